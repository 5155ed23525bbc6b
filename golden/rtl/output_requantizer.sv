// Output requantizer: o = SAT(RND(acc * m2 >> n2) + zo) to an unsigned code.
//
// Latency: 0 cycles, combinational.
// Throughput: one accumulator a cycle of whatever registers stand around it.
// Handshake: none.
// Requirements: BL2-OUT-01, BL2-OUT-02, BL2-NUM-02, BL2-NUM-05
//
// Assumes n2 <= MAX_N2. output_requantizer_pipe without its registers.
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
  output_requantizer_pipe #(
      .PIPELINE(0),
      .ACC_WIDTH(ACC_WIDTH),
      .M2_WIDTH(M2_WIDTH),
      .N2_WIDTH(N2_WIDTH),
      .OUT_PRODUCT_WIDTH(OUT_PRODUCT_WIDTH),
      .O_WIDTH(O_WIDTH)
  ) pipe (
      .clk(1'b0),
      .advance(1'b0),
      .acc(acc),
      .m2(m2),
      .n2(n2),
      .zo(zo),
      .o(o)
  );
endmodule
