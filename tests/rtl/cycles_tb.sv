// Gives attention_row rows of BEATS beats without a pause, takes every output at once, and prints
// the cycles from the first beat of the first row to its output, both counted, and between outputs.
`timescale 1ns / 1ps
module cycles_tb #(
    parameter integer LANES = 4,
    parameter integer BEATS = 1
);
  import bitlog2_pkg::*;

  logic clk = 1'b0;
  logic rst_n = 1'b0;
  logic score_tready, m_axis_tvalid;
  integer cycle = 0;
  integer first = -1;
  integer last = -1;
  integer beat = 0;
  integer rows = 0;

  attention_row #(
      .LANES(LANES)
  ) device (
      .clk(clk),
      .rst_n(rst_n),
      .m(M_WIDTH'(1)),
      .n(N_WIDTH'(0)),
      .m2(M2_WIDTH'(1)),
      .n2(N2_WIDTH'(0)),
      .zv(V_WIDTH'(0)),
      .zo(O_WIDTH'(0)),
      .s_axis_score_tvalid(rst_n),
      .s_axis_score_tready(score_tready),
      .s_axis_score_tdata({(LANES * (1 + SCORE_WIDTH + T_WIDTH)) {1'b0}}),
      .s_axis_score_tkeep({LANES{1'b1}}),
      .s_axis_score_tlast(beat == BEATS - 1),
      .s_axis_v_tvalid(1'b1),
      .s_axis_v_tready(),
      .s_axis_v_tdata({(LANES * HEAD_DIM * V_WIDTH) {1'b0}}),
      .s_axis_v_tkeep({LANES{1'b1}}),
      .s_axis_v_tlast(1'b0),
      .m_axis_tvalid(m_axis_tvalid),
      .m_axis_tready(1'b1),
      .m_axis_tdata(),
      .tap_keys_tvalid(),
      .tap_keys_tdata(),
      .tap_keys_tkeep(),
      .tap_keys_tlast(),
      .tap_rows_tvalid(),
      .tap_rows_tdata()
  );

  always #5 clk = !clk;

  initial begin
    repeat (3) @(posedge clk);
    rst_n <= 1'b1;
  end

  always @(posedge clk) begin
    cycle <= cycle + 1;
    if (rst_n && score_tready) begin
      if (first < 0) first <= cycle;
      beat <= (beat == BEATS - 1) ? 0 : beat + 1;
    end
    if (rst_n && m_axis_tvalid) begin
      if (rows == 0) $display("latency %0d", cycle - first + 1);
      else $display("interval %0d", cycle - last);
      last <= cycle;
      rows <= rows + 1;
      if (rows == 8) $finish;
    end
  end
endmodule
