// Every check of an attention row, by the names of its ports: to be bound with `.*`.
//
// Latency: none, a violation is reported at the clock edge at which it is seen.
// Throughput: a beat a cycle.
// Handshake: listens only, drives nothing.
// Requirements: BL2-ROW-01, BL2-EXP2-04, BL2-EXP2-05, BL2-SUM-01, BL2-SUM-02, BL2-CODE-01,
// Requirements: BL2-CODE-02, BL2-ACC-02, BL2-DIST-02, BL2-DIST-03, BL2-WEIGHT-02,
// Requirements: BL2-ROWMUL-02, BL2-ACC-03
module attention_row_checks #(
    parameter integer LANES = 4,
    parameter integer HEAD_DIM = bitlog2_pkg::HEAD_DIM,
    parameter integer MAX_TOKENS = bitlog2_pkg::MAX_TOKENS,
    parameter integer SCORE_WIDTH = bitlog2_pkg::SCORE_WIDTH,
    parameter integer T_WIDTH = bitlog2_pkg::T_WIDTH,
    parameter integer D_WIDTH = bitlog2_pkg::D_WIDTH,
    parameter integer E_WIDTH = bitlog2_pkg::E_WIDTH,
    parameter integer S_WIDTH = bitlog2_pkg::S_WIDTH,
    parameter integer ROW_MAX = bitlog2_pkg::ROW_MAX,
    parameter integer WEIGHT_SUM_WIDTH = bitlog2_pkg::WEIGHT_SUM_WIDTH,
    parameter integer M2_WIDTH = bitlog2_pkg::M2_WIDTH,
    parameter integer N2_WIDTH = bitlog2_pkg::N2_WIDTH,
    parameter integer V_WIDTH = bitlog2_pkg::V_WIDTH,
    parameter integer ACC_WIDTH = bitlog2_pkg::ACC_WIDTH,
    parameter integer O_WIDTH = bitlog2_pkg::O_WIDTH,
    parameter integer KEY_WIDTH = 1 + SCORE_WIDTH + T_WIDTH,
    parameter integer TAP_WIDTH = T_WIDTH + D_WIDTH + ((ROW_MAX != 0) ? 0 : E_WIDTH) + 10,
    parameter integer ROW_TAP_WIDTH = T_WIDTH +
        ((ROW_MAX != 0) ? WEIGHT_SUM_WIDTH + M2_WIDTH + N2_WIDTH : S_WIDTH) + HEAD_DIM * ACC_WIDTH
) (
    input wire                              clk,
    input wire                              rst_n,
    input wire                              s_axis_score_tvalid,
    input wire                              s_axis_score_tready,
    input wire [       LANES*KEY_WIDTH-1:0] s_axis_score_tdata,
    input wire [                 LANES-1:0] s_axis_score_tkeep,
    input wire                              s_axis_score_tlast,
    input wire                              s_axis_v_tvalid,
    input wire                              s_axis_v_tready,
    input wire [LANES*HEAD_DIM*V_WIDTH-1:0] s_axis_v_tdata,
    input wire [                 LANES-1:0] s_axis_v_tkeep,
    input wire                              s_axis_v_tlast,
    input wire                              m_axis_tvalid,
    input wire                              m_axis_tready,
    input wire [      HEAD_DIM*O_WIDTH-1:0] m_axis_tdata,
    input wire                              tap_keys_tvalid,
    input wire [       LANES*TAP_WIDTH-1:0] tap_keys_tdata,
    input wire [                 LANES-1:0] tap_keys_tkeep,
    input wire                              tap_keys_tlast,
    input wire                              tap_rows_tvalid,
    input wire [         ROW_TAP_WIDTH-1:0] tap_rows_tdata
);
  wire [LANES-1:0] mask;

  generate
    for (genvar lane = 0; lane < LANES; lane = lane + 1) begin : masks
      assign mask[lane] = s_axis_score_tdata[(lane+1)*KEY_WIDTH-1];
    end
  endgenerate

  axis_checks #(
      .WIDTH(LANES * KEY_WIDTH),
      .LANES(LANES)
  ) scores (
      .clk(clk),
      .rst_n(rst_n),
      .tvalid(s_axis_score_tvalid),
      .tready(s_axis_score_tready),
      .tdata(s_axis_score_tdata),
      .tkeep(s_axis_score_tkeep),
      .tlast(s_axis_score_tlast)
  );

  axis_checks #(
      .WIDTH(LANES * HEAD_DIM * V_WIDTH),
      .LANES(LANES)
  ) values (
      .clk(clk),
      .rst_n(rst_n),
      .tvalid(s_axis_v_tvalid),
      .tready(s_axis_v_tready),
      .tdata(s_axis_v_tdata),
      .tkeep(s_axis_v_tkeep),
      .tlast(s_axis_v_tlast)
  );

  axis_checks #(
      .WIDTH(HEAD_DIM * O_WIDTH)
  ) outputs (
      .clk(clk),
      .rst_n(rst_n),
      .tvalid(m_axis_tvalid),
      .tready(m_axis_tready),
      .tdata(m_axis_tdata),
      .tkeep(1'b1),
      .tlast(1'b1)
  );

  row_checks #(
      .LANES(LANES),
      .CHANNELS(HEAD_DIM),
      .MAX_TOKENS(MAX_TOKENS),
      .T_WIDTH(T_WIDTH),
      .D_WIDTH(D_WIDTH),
      .E_WIDTH(E_WIDTH),
      .ROW_SUM_WIDTH(S_WIDTH),
      .ROW_MAX(ROW_MAX),
      .WEIGHT_SUM_WIDTH(WEIGHT_SUM_WIDTH),
      .M2_WIDTH(M2_WIDTH),
      .N2_WIDTH(N2_WIDTH),
      .ACC_WIDTH(ACC_WIDTH)
  ) row (
      .clk(clk),
      .rst_n(rst_n),
      .score_taken(s_axis_score_tvalid && s_axis_score_tready),
      .score_mask(mask),
      .score_tkeep(s_axis_score_tkeep),
      .score_tlast(s_axis_score_tlast),
      .keys_tvalid(tap_keys_tvalid),
      .keys_tkeep(tap_keys_tkeep),
      .keys_tlast(tap_keys_tlast),
      .keys_tdata(tap_keys_tdata),
      .rows_tvalid(tap_rows_tvalid),
      .rows_tdata(tap_rows_tdata)
  );
endmodule
