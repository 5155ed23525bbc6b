// float32 product of two operands that are not negative, rounded to nearest, ties to even.
//
// Latency: 0 cycles, combinational.
// Throughput: one product a cycle of whatever registers stand around it.
// Handshake: none.
//
// Operands and product: 0 or normal. A product below the smallest normal number is 0, one above the
// largest is infinity. No sign, subnormal operands, infinities or NaN: less than IEEE 754 asks for.
module float32_multiply (
    input  logic [30:0] a,
    input  logic [30:0] b,
    output logic [30:0] y
);
  logic [47:0] product;
  // verilator lint_off UNUSEDSIGNAL
  logic [24:0] rounded;  // bit 23 is the hidden one
  // verilator lint_on UNUSEDSIGNAL
  logic [23:0] significand;
  logic signed [9:0] exponent;
  logic guard, sticky, above_two;

  assign product = 48'({1'b1, a[22:0]}) * 48'({1'b1, b[22:0]});
  assign above_two = product[47];
  assign significand = above_two ? product[47:24] : product[46:23];
  assign guard = above_two ? product[23] : product[22];
  assign sticky = |product[21:0] || (above_two && product[22]);
  assign rounded = 25'(significand) + 25'(guard && (sticky || significand[0]));
  assign exponent = $signed(10'(a[30:23])) + $signed(10'(b[30:23])) - 10'sd127
      + $signed(10'(above_two)) + $signed(10'(rounded[24]));

  always_comb begin
    if (a[30:23] == '0 || b[30:23] == '0 || exponent <= 0) y = '0;
    else if (exponent >= 10'sd255) y = {8'd255, 23'd0};
    else y = {exponent[7:0], rounded[24] ? 23'd0 : rounded[22:0]};
  end
endmodule
