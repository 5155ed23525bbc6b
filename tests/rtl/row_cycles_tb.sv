// Gives softmax_row, or with ATTENTION attention_row, rows of KEYS keys without a pause, takes every
// output at once, and prints the cycles of 32 rows, from end to end, after 8 rows that fill what
// there is of pipelines and buffers.
`timescale 1ns / 1ps
module row_cycles_tb #(
    parameter integer KEYS = 8,
    parameter integer LANES = 4
);
  import bitlog2_pkg::*;

  localparam integer B = (KEYS + LANES - 1) / LANES;
  localparam integer KEY_WIDTH = 1 + SCORE_WIDTH + T_WIDTH;
  localparam integer BEFORE = 8;
  localparam integer ROWS = 32;

  logic clk = 0, rst_n = 0;
  logic score_ready, ended;
  logic [LANES*KEY_WIDTH-1:0] scores;
  logic [LANES-1:0] keep;
  integer beat = 0, cycle = 0, rows = 0, begun = 0;

  wire last = beat == B - 1;

  always #5 clk = ~clk;

  // The mask, highest of a key, is 0, so that each row has keys that count.
  always_comb begin
    for (int lane = 0; lane < LANES; lane++) begin
      keep[lane] = beat * LANES + lane < KEYS;
      scores[lane*KEY_WIDTH+:KEY_WIDTH] = KEY_WIDTH'((beat * 7919 + lane * 104729) % 65521);
    end
  end

`ifdef ATTENTION
  attention_row #(
      .LANES(LANES)
  ) dut (
      .clk(clk),
      .rst_n(rst_n),
      .m(M_WIDTH'(1000)),
      .n(N_WIDTH'(8)),
      .m2(M2_WIDTH'(1 << (M2_WIDTH - 1))),
      .n2(N2_WIDTH'(16)),
      .zv('0),
      .zo('0),
      .s_axis_score_tvalid(1'b1),
      .s_axis_score_tready(score_ready),
      .s_axis_score_tdata(scores),
      .s_axis_score_tkeep(keep),
      .s_axis_score_tlast(last),
      .s_axis_v_tvalid(1'b1),
      .s_axis_v_tready(),
      .s_axis_v_tdata('0),
      .s_axis_v_tkeep(keep),
      .s_axis_v_tlast(1'b0),
      .m_axis_tvalid(ended),
      .m_axis_tready(1'b1),
      .m_axis_tdata(),
      .tap_keys_tvalid(),
      .tap_keys_tdata(),
      .tap_keys_tkeep(),
      .tap_keys_tlast(),
      .tap_rows_tvalid(),
      .tap_rows_tdata()
  );
`else
  logic code_valid, code_last;

  softmax_row #(
      .LANES(LANES)
  ) dut (
      .clk(clk),
      .rst_n(rst_n),
      .m(M_WIDTH'(1000)),
      .n(N_WIDTH'(8)),
      .s_axis_score_tvalid(1'b1),
      .s_axis_score_tready(score_ready),
      .s_axis_score_tdata(scores),
      .s_axis_score_tkeep(keep),
      .s_axis_score_tlast(last),
      .m_axis_tvalid(code_valid),
      .m_axis_tready(1'b1),
      .m_axis_tdata(),
      .m_axis_tkeep(),
      .m_axis_tlast(code_last),
      .tap_keys_tvalid(),
      .tap_keys_tdata(),
      .tap_keys_tkeep(),
      .tap_keys_tlast(),
      .row_max(),
      .row_sum()
  );

  assign ended = code_valid && code_last;
`endif

  always @(posedge clk) begin
    cycle <= cycle + 1;
    if (rst_n && score_ready) beat <= last ? 0 : beat + 1;
    if (rst_n && ended) begin
      rows <= rows + 1;
      if (rows == BEFORE - 1) begun <= cycle;
      if (rows == BEFORE + ROWS - 1) begin
        $display("%0d rows in %0d cycles", ROWS, cycle - begun);
        $finish;
      end
    end
    if (cycle == 5) rst_n <= 1;
    if (cycle == 100 * (BEFORE + ROWS) * (B + 10)) $fatal(1, "row %0d does not end", rows);
  end
endmodule
