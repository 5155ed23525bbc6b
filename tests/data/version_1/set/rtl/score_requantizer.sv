// Score requantizer: t = SAT(RND(score * m >> n) + bias).
//
// Latency: 0 cycles, combinational.
// Throughput: one score a cycle of whatever registers stand around it.
// Handshake: none.
// Requirements: BL2-REQ-01, BL2-REQ-02, BL2-REQ-03, BL2-NUM-02, BL2-NUM-05
//
// Assumes n <= MAX_N. One rounding of the whole product, one saturation after the bias; the adder
// in front of it keeps every bit.
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
  localparam integer SUM_WIDTH = ((PRODUCT_WIDTH > T_WIDTH) ? PRODUCT_WIDTH : T_WIDTH) + 1;
  localparam logic signed [T_WIDTH-1:0] HIGHEST = {1'b0, {(T_WIDTH - 1) {1'b1}}};
  localparam logic signed [T_WIDTH-1:0] LOWEST = {1'b1, {(T_WIDTH - 1) {1'b0}}};

  logic signed [PRODUCT_WIDTH-1:0] product, half, rounded;
  logic signed [M_WIDTH:0] multiplier;
  logic signed [SUM_WIDTH-1:0] sum;

  assign multiplier = {1'b0, m};
  assign product = PRODUCT_WIDTH'(score) * PRODUCT_WIDTH'(multiplier);
  assign half = (PRODUCT_WIDTH'(1) << n) >> 1;
  assign rounded = (product + half) >>> n;
  assign sum = SUM_WIDTH'(rounded) + SUM_WIDTH'(bias);

  always_comb begin
    if (sum > SUM_WIDTH'(HIGHEST)) t = HIGHEST;
    else if (sum < SUM_WIDTH'(LOWEST)) t = LOWEST;
    else t = sum[T_WIDTH-1:0];
  end
endmodule
