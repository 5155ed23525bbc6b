// Score requantizer: t = SAT(RND(score * m >> n) + bias).
//
// Latency: 0 cycles, combinational.
// Throughput: one score a cycle of whatever registers stand around it.
// Handshake: none.
// Requirements: BL2-REQ-01, BL2-REQ-02, BL2-REQ-03, BL2-NUM-02, BL2-NUM-05
//
// Assumes n <= MAX_N. score_requantizer_pipe without its registers.
module score_requantizer #(
    parameter integer SCORE_WIDTH = bitlog2_pkg::SCORE_WIDTH,
    parameter integer M_WIDTH = bitlog2_pkg::M_WIDTH,
    parameter integer N_WIDTH = bitlog2_pkg::N_WIDTH,
    parameter integer PRODUCT_WIDTH = bitlog2_pkg::PRODUCT_WIDTH,
    parameter integer T_WIDTH = bitlog2_pkg::T_WIDTH
) (
    input  logic signed [SCORE_WIDTH-1:0] score,
    input  logic        [    M_WIDTH-1:0] m,
    input  logic        [    N_WIDTH-1:0] n,
    input  logic signed [    T_WIDTH-1:0] bias,
    output logic signed [    T_WIDTH-1:0] t
);
  score_requantizer_pipe #(
      .PIPELINE(0),
      .SCORE_WIDTH(SCORE_WIDTH),
      .M_WIDTH(M_WIDTH),
      .N_WIDTH(N_WIDTH),
      .PRODUCT_WIDTH(PRODUCT_WIDTH),
      .T_WIDTH(T_WIDTH)
  ) pipe (
      .clk(1'b0),
      .advance(1'b0),
      .score(score),
      .m(m),
      .n(n),
      .bias(bias),
      .t(t)
  );
endmodule
