// What the environment is built with: the lanes of the device, and sizes of the set's package.
package row_dims_pkg;
  localparam int LANES = 4;
  localparam int D = bitlog2_pkg::HEAD_DIM;
  localparam int N_MAX = bitlog2_pkg::MAX_TOKENS;
  localparam int KEY_WIDTH = 1 + bitlog2_pkg::SCORE_WIDTH + bitlog2_pkg::T_WIDTH;
  // Bits of the registers of a key, and of a row, that not every scheme has.
`ifdef ROW_MAX
  localparam int KEY_OWN_WIDTH = 0;
  localparam int ROW_OWN_WIDTH =
      bitlog2_pkg::WEIGHT_SUM_WIDTH + bitlog2_pkg::M2_ROW_WIDTH + bitlog2_pkg::N2_ROW_WIDTH;
`else
  localparam int KEY_OWN_WIDTH = bitlog2_pkg::E_WIDTH;
  localparam int ROW_OWN_WIDTH = bitlog2_pkg::S_WIDTH;
`endif
  localparam int TAP_WIDTH = bitlog2_pkg::T_WIDTH + bitlog2_pkg::D_WIDTH + KEY_OWN_WIDTH + 10;
  localparam int ROW_TAP_WIDTH =
      bitlog2_pkg::T_WIDTH + ROW_OWN_WIDTH + D * bitlog2_pkg::ACC_WIDTH;
endpackage
