// Output requantizer: o = SAT(RND(acc * m2 >> n2) + zo) to an unsigned code.
//
// Latency: 0 cycles, combinational.
// Throughput: one accumulator a cycle of whatever registers stand around it.
// Handshake: none.
// Requirements: BL2-OUT-01, BL2-OUT-02, BL2-NUM-02, BL2-NUM-05
//
// Assumes n2 <= MAX_N2.
module output_requantizer #(
    parameter integer ACC_WIDTH = bitlog2_pkg::ACC_WIDTH,
    parameter integer M2_WIDTH = bitlog2_pkg::M2_WIDTH,
    parameter integer N2_WIDTH = bitlog2_pkg::N2_WIDTH,
    parameter integer OUT_PRODUCT_WIDTH = bitlog2_pkg::OUT_PRODUCT_WIDTH,
    parameter integer O_WIDTH = bitlog2_pkg::O_WIDTH
) (
    input  logic signed [ACC_WIDTH-1:0] acc,
    input  logic        [ M2_WIDTH-1:0] m2,
    input  logic        [ N2_WIDTH-1:0] n2,
    input  logic        [  O_WIDTH-1:0] zo,
    output logic        [  O_WIDTH-1:0] o
);
  localparam integer SUM_WIDTH = OUT_PRODUCT_WIDTH + 1;

  logic signed [OUT_PRODUCT_WIDTH-1:0] product, half, rounded;
  logic signed [M2_WIDTH:0] multiplier;
  logic signed [O_WIDTH:0] zero;
  logic signed [SUM_WIDTH-1:0] sum;

  assign multiplier = {1'b0, m2};
  assign product = OUT_PRODUCT_WIDTH'(acc) * OUT_PRODUCT_WIDTH'(multiplier);
  assign half = (OUT_PRODUCT_WIDTH'(1) << n2) >> 1;
  assign rounded = (product + half) >>> n2;
  assign zero = {1'b0, zo};
  assign sum = SUM_WIDTH'(rounded) + SUM_WIDTH'(zero);

  always_comb begin
    if (sum[SUM_WIDTH-1]) o = '0;
    else if (|sum[SUM_WIDTH-2:O_WIDTH]) o = '1;
    else o = sum[O_WIDTH-1:0];
  end
endmodule
