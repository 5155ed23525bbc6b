// The pins of attention_row. Sampled at a rising edge, driven after it by non-blocking assignments.
interface row_if (
    input logic clk
);
  import row_dims_pkg::*;

  logic rst_n = 1'b0;
  logic [bitlog2_pkg::M_WIDTH-1:0] m = '0;
  logic [bitlog2_pkg::N_WIDTH-1:0] n = '0;
  logic [bitlog2_pkg::M2_WIDTH-1:0] m2 = '0;
  logic [bitlog2_pkg::N2_WIDTH-1:0] n2 = '0;
  logic [bitlog2_pkg::V_WIDTH-1:0] zv = '0;
  logic [bitlog2_pkg::O_WIDTH-1:0] zo = '0;
  logic s_axis_score_tvalid = 1'b0;
  logic s_axis_score_tready;
  logic [LANES*KEY_WIDTH-1:0] s_axis_score_tdata = '0;
  logic [LANES-1:0] s_axis_score_tkeep = '1;
  logic s_axis_score_tlast = 1'b0;
  logic s_axis_v_tvalid = 1'b0;
  logic s_axis_v_tready;
  logic [LANES*D*bitlog2_pkg::V_WIDTH-1:0] s_axis_v_tdata = '0;
  logic [LANES-1:0] s_axis_v_tkeep = '1;
  logic s_axis_v_tlast = 1'b0;
  logic m_axis_tvalid;
  logic m_axis_tready = 1'b0;
  logic [D*bitlog2_pkg::O_WIDTH-1:0] m_axis_tdata;
  logic tap_keys_tvalid;
  logic [LANES*TAP_WIDTH-1:0] tap_keys_tdata;
  logic [LANES-1:0] tap_keys_tkeep;
  logic tap_keys_tlast;
  logic tap_rows_tvalid;
  logic [ROW_TAP_WIDTH-1:0] tap_rows_tdata;
endinterface
