// Score requantizer with registers: t = SAT(RND(score * m >> n) + bias).
//
// Latency: 4 * PIPELINE cycles of `advance`.
// Throughput: one score a cycle of `advance`; with PIPELINE = 0, combinational.
// Handshake: none. m and n are held while scores are in it.
// Requirements: BL2-REQ-01, BL2-REQ-02, BL2-REQ-03, BL2-NUM-02, BL2-NUM-05
//
// Assumes n <= MAX_N. One rounding of the whole product, one saturation after the bias; the adder
// in front of it keeps every bit. Registers: after the product, its rounding constant, the shift and
// the bias.
module score_requantizer_pipe #(
    parameter integer PIPELINE = 1,
    parameter integer SCORE_WIDTH = bitlog2_pkg::SCORE_WIDTH,
    parameter integer M_WIDTH = bitlog2_pkg::M_WIDTH,
    parameter integer N_WIDTH = bitlog2_pkg::N_WIDTH,
    parameter integer PRODUCT_WIDTH = bitlog2_pkg::PRODUCT_WIDTH,
    parameter integer T_WIDTH = bitlog2_pkg::T_WIDTH
) (
    input  logic                          clk,
    input  logic                          advance,
    input  logic signed [SCORE_WIDTH-1:0] score,
    input  logic        [    M_WIDTH-1:0] m,
    input  logic        [    N_WIDTH-1:0] n,
    input  logic signed [    T_WIDTH-1:0] bias,
    output logic signed [    T_WIDTH-1:0] t
);
  localparam integer SUM_WIDTH = ((PRODUCT_WIDTH > T_WIDTH) ? PRODUCT_WIDTH : T_WIDTH) + 1;
  localparam logic signed [T_WIDTH-1:0] HIGHEST = {1'b0, {(T_WIDTH - 1) {1'b1}}};
  localparam logic signed [T_WIDTH-1:0] LOWEST = {1'b1, {(T_WIDTH - 1) {1'b0}}};

  logic signed [PRODUCT_WIDTH-1:0] product, product_1, half, half_1, halved, halved_2;
  logic signed [PRODUCT_WIDTH-1:0] rounded, rounded_3;
  logic signed [M_WIDTH:0] multiplier;
  logic signed [T_WIDTH-1:0] bias_3;
  logic signed [SUM_WIDTH-1:0] sum, sum_4;

  assign multiplier = {1'b0, m};
  assign product = PRODUCT_WIDTH'(score) * PRODUCT_WIDTH'(multiplier);
  assign half = (PRODUCT_WIDTH'(1) << n) >> 1;

  delay_line #(
      .WIDTH(2 * PRODUCT_WIDTH),
      .DEPTH(PIPELINE)
  ) after_product (
      .clk(clk),
      .advance(advance),
      .d({product, half}),
      .q({product_1, half_1})
  );

  assign halved = product_1 + half_1;

  delay_line #(
      .WIDTH(PRODUCT_WIDTH),
      .DEPTH(PIPELINE)
  ) after_half (
      .clk(clk),
      .advance(advance),
      .d(halved),
      .q(halved_2)
  );

  assign rounded = halved_2 >>> n;

  delay_line #(
      .WIDTH(PRODUCT_WIDTH),
      .DEPTH(PIPELINE)
  ) after_shift (
      .clk(clk),
      .advance(advance),
      .d(rounded),
      .q(rounded_3)
  );

  delay_line #(
      .WIDTH(T_WIDTH),
      .DEPTH(3 * PIPELINE)
  ) bias_beside (
      .clk(clk),
      .advance(advance),
      .d(bias),
      .q(bias_3)
  );

  assign sum = SUM_WIDTH'(rounded_3) + SUM_WIDTH'(bias_3);

  delay_line #(
      .WIDTH(SUM_WIDTH),
      .DEPTH(PIPELINE)
  ) after_bias (
      .clk(clk),
      .advance(advance),
      .d(sum),
      .q(sum_4)
  );

  always_comb begin
    if (sum_4 > SUM_WIDTH'(HIGHEST)) t = HIGHEST;
    else if (sum_4 < SUM_WIDTH'(LOWEST)) t = LOWEST;
    else t = sum_4[T_WIDTH-1:0];
  end
endmodule

// Points that the vectors of the default configuration do not reach.
// not reached: toggle "half(_1)?\[(2[89]|3[01])\]:.*"
//   half an LSB is at most 2^27: n is at most 28 (BL2-PARAM-02)
// not reached: toggle "multiplier\[16\]:.*"
//   sign bit of M, which is unsigned (BL2-PARAM-02)
// not reached: toggle "(clk|advance):.*"
//   the unit is combinational: it has no registers without PIPELINE (BL2-REQ-01)
