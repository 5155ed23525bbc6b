// float32 quotient of two operands that are not negative, rounded to nearest, ties to even.
//
// Latency: 0 cycles, combinational.
// Throughput: one quotient a cycle of whatever registers stand around it.
// Handshake: none.
//
// A restoring array of 25 rows: the 24 bits of the significand and a guard bit. Dividend: 0 or
// normal, divisor normal. A quotient below the smallest normal number is 0, one above the largest
// is infinity. No sign, subnormal operands, infinities or NaN: less than IEEE 754 asks for.
module float32_divide (
    input  logic [30:0] a,
    input  logic [30:0] b,
    output logic [30:0] y
);
  logic [23:0] divisor;
  logic [24:0] rest, quotient;
  // verilator lint_off UNUSEDSIGNAL
  logic [24:0] rounded;  // bit 23 is the hidden one
  // verilator lint_on UNUSEDSIGNAL
  logic [25:0] difference;
  logic signed [9:0] exponent;
  logic below_one;

  assign divisor = {1'b1, b[22:0]};
  assign below_one = a[22:0] < b[22:0];

  always_comb begin
    rest = below_one ? {1'b1, a[22:0], 1'b0} : {2'b01, a[22:0]};
    quotient = '0;
    difference = '0;
    for (int row = 24; row >= 0; row--) begin
      difference = 26'(rest) - 26'(divisor);
      quotient[row] = !difference[25];
      rest = (difference[25] ? rest : difference[24:0]) << 1;
    end
  end

  // The lowest bit of `quotient` is the guard bit, what is left over the sticky one.
  assign rounded = 25'(quotient[24:1]) + 25'(quotient[0] && (rest != '0 || quotient[1]));
  assign exponent = $signed(10'(a[30:23])) - $signed(10'(b[30:23])) + 10'sd127
      - $signed(10'(below_one)) + $signed(10'(rounded[24]));

  always_comb begin
    if (a[30:23] == '0 || exponent <= 0) y = '0;
    else if (exponent >= 10'sd255) y = {8'd255, 23'd0};
    else y = {exponent[7:0], rounded[24] ? 23'd0 : rounded[22:0]};
  end
endmodule
