// What the environment is built with: the lanes of the device, and sizes of the set's package.
package row_dims_pkg;
  localparam int LANES = 4;
  localparam int D = bitlog2_pkg::HEAD_DIM;
  localparam int N_MAX = bitlog2_pkg::MAX_TOKENS;
  localparam int KEY_WIDTH = 1 + bitlog2_pkg::SCORE_WIDTH + bitlog2_pkg::T_WIDTH;
  localparam int TAP_WIDTH =
      bitlog2_pkg::T_WIDTH + bitlog2_pkg::D_WIDTH + bitlog2_pkg::E_WIDTH + 10;
  localparam int ROW_TAP_WIDTH =
      bitlog2_pkg::T_WIDTH + bitlog2_pkg::S_WIDTH + D * bitlog2_pkg::ACC_WIDTH;
endpackage
