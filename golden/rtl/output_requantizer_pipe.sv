// Output requantizer with registers: o = SAT(RND(acc * m2 >> n2) + zo) to an unsigned code.
//
// Latency: 4 * PIPELINE cycles of `advance`.
// Throughput: one accumulator a cycle of `advance`; with PIPELINE = 0, combinational.
// Handshake: none. m2, n2 and zo are held while accumulators are in it.
// Requirements: BL2-OUT-01, BL2-OUT-02, BL2-NUM-02, BL2-NUM-05
//
// Assumes n2 <= MAX_N2. Registers: after the product, its rounding constant, the shift and the zero
// point. An accumulator wider than a signed 18 bit multiplier of an FPGA is multiplied in two parts,
// and their products are added behind the first register.
module output_requantizer_pipe #(
    parameter integer PIPELINE = 1,
    parameter integer ACC_WIDTH = bitlog2_pkg::ACC_WIDTH,
    parameter integer M2_WIDTH = bitlog2_pkg::M2_WIDTH,
    parameter integer N2_WIDTH = bitlog2_pkg::N2_WIDTH,
    parameter integer OUT_PRODUCT_WIDTH = bitlog2_pkg::OUT_PRODUCT_WIDTH,
    parameter integer O_WIDTH = bitlog2_pkg::O_WIDTH
) (
    input  logic                        clk,
    input  logic                        advance,
    input  logic signed [ACC_WIDTH-1:0] acc,
    input  logic        [ M2_WIDTH-1:0] m2,
    input  logic        [ N2_WIDTH-1:0] n2,
    input  logic        [  O_WIDTH-1:0] zo,
    output logic        [  O_WIDTH-1:0] o
);
  localparam integer SUM_WIDTH = OUT_PRODUCT_WIDTH + 1;
  localparam integer LOW_WIDTH = (ACC_WIDTH > 18) ? 17 : 0;  // of acc, unsigned, in its lower part
  localparam integer LOW_PRODUCT_WIDTH = (LOW_WIDTH == 0) ? 0 : LOW_WIDTH + M2_WIDTH;
  localparam integer HIGH_PRODUCT_WIDTH = OUT_PRODUCT_WIDTH - LOW_WIDTH;
  localparam integer PARTS_WIDTH = HIGH_PRODUCT_WIDTH + LOW_PRODUCT_WIDTH;

  logic [PARTS_WIDTH-1:0] parts, parts_1;
  logic signed [HIGH_PRODUCT_WIDTH-1:0] high_product;
  logic signed [OUT_PRODUCT_WIDTH-1:0] product_1, half, half_1, halved, halved_2;
  logic signed [OUT_PRODUCT_WIDTH-1:0] rounded, rounded_3;
  logic signed [M2_WIDTH:0] multiplier;
  logic signed [O_WIDTH:0] zero;
  logic signed [SUM_WIDTH-1:0] sum, sum_4;

  assign multiplier = {1'b0, m2};
  assign high_product = HIGH_PRODUCT_WIDTH'(acc >>> LOW_WIDTH) * HIGH_PRODUCT_WIDTH'(multiplier);
  assign half = (OUT_PRODUCT_WIDTH'(1) << n2) >> 1;

  if (LOW_WIDTH != 0) begin : g_parts
    logic [LOW_PRODUCT_WIDTH-1:0] low_product;

    assign low_product = LOW_PRODUCT_WIDTH'(acc[LOW_WIDTH-1:0]) * LOW_PRODUCT_WIDTH'(m2);
    assign parts = {high_product, low_product};
    assign product_1 = {parts_1[PARTS_WIDTH-1:LOW_PRODUCT_WIDTH], {LOW_WIDTH{1'b0}}} +
        OUT_PRODUCT_WIDTH'(parts_1[LOW_PRODUCT_WIDTH-1:0]);
  end else begin : g_whole
    assign parts = high_product;
    assign product_1 = parts_1;
  end

  delay_line #(
      .WIDTH(PARTS_WIDTH + OUT_PRODUCT_WIDTH),
      .DEPTH(PIPELINE)
  ) after_product (
      .clk(clk),
      .advance(advance),
      .d({parts, half}),
      .q({parts_1, half_1})
  );

  assign halved = product_1 + half_1;

  delay_line #(
      .WIDTH(OUT_PRODUCT_WIDTH),
      .DEPTH(PIPELINE)
  ) after_half (
      .clk(clk),
      .advance(advance),
      .d(halved),
      .q(halved_2)
  );

  assign rounded = halved_2 >>> n2;

  delay_line #(
      .WIDTH(OUT_PRODUCT_WIDTH),
      .DEPTH(PIPELINE)
  ) after_shift (
      .clk(clk),
      .advance(advance),
      .d(rounded),
      .q(rounded_3)
  );

  assign zero = {1'b0, zo};
  assign sum = SUM_WIDTH'(rounded_3) + SUM_WIDTH'(zero);

  delay_line #(
      .WIDTH(SUM_WIDTH),
      .DEPTH(PIPELINE)
  ) after_zero (
      .clk(clk),
      .advance(advance),
      .d(sum),
      .q(sum_4)
  );

  always_comb begin
    if (sum_4[SUM_WIDTH-1]) o = '0;
    else if (|sum_4[SUM_WIDTH-2:O_WIDTH]) o = '1;
    else o = sum_4[O_WIDTH-1:0];
  end
endmodule

// Points that the vectors of the default configuration do not reach.
// not reached: toggle "half(_1)?\[36\]:.*"
//   half an LSB is at most 2^35: n2 is at most 36 (BL2-PARAM-02)
// not reached: toggle "multiplier\[16\]:.*"
//   sign bit of M2, which is unsigned (BL2-PARAM-02)
// not reached: toggle "zero\[4\]:.*"
//   sign bit of a zero point, which is unsigned (BL2-PARAM-02)
// not reached: toggle "(clk|advance):.*"
//   the unit is combinational: it has no registers without PIPELINE (BL2-OUT-01)
