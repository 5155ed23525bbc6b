// The published log2 quantizer: p = floor((e / s) * A) in float32, then its level.
//
// Latency: 0 cycles, combinational.
// Throughput: one key a cycle of whatever registers stand around it.
// Handshake: none.
//
// e and s are float32 without their sign, as float32_divide takes them; two roundings. floor and
// leading one cost nothing here: they are the exponent, the half bit is the top of the significand.
// What makes e and s, an exponential and a sum in float32, is not in it.
module float32_log2_quantizer #(
    parameter integer LEVEL_WIDTH = bitlog2_pkg::LEVEL_WIDTH,
    parameter integer ODD_FACTOR = bitlog2_pkg::ODD_FACTOR,
    parameter integer BASE_SHIFT = bitlog2_pkg::BASE_SHIFT,
    parameter integer HALF = bitlog2_pkg::HALF,
    parameter integer TOP_LEVEL = bitlog2_pkg::TOP_LEVEL,
    parameter integer ZERO_FLAG = bitlog2_pkg::ZERO_FLAG
) (
    input  logic [           30:0] e,
    input  logic [           30:0] s,
    output logic [LEVEL_WIDTH-1:0] level,
    output logic [            3:0] nibble,
    output logic                   flag
);
  // A = 2^BASE_SHIFT, or 3 * 2^BASE_SHIFT = 1.5 * 2^(BASE_SHIFT + 1).
  localparam logic [30:0] A = (ODD_FACTOR == 3) ?
      {8'(128 + BASE_SHIFT), 23'h400000} : {8'(127 + BASE_SHIFT), 23'd0};

  logic [30:0] probability;
  // The rest of the significand lies below the half bit.
  // verilator lint_off UNUSEDSIGNAL
  logic [30:0] product;
  // verilator lint_on UNUSEDSIGNAL
  logic signed [8:0] k;

  float32_divide divide (.a(e), .b(s), .y(probability));
  float32_multiply multiply (.a(probability), .b(A), .y(product));

  assign k = $signed({1'b0, product[30:23]}) - 9'sd127;

  if (HALF != 0) begin : g_half
    logic [8:0] unclamped;

    assign unclamped = (k == '0) ? 9'd1 : {k[7:0], product[22]};

    always_comb begin
      if (k < 0) level = '0;
      else if (unclamped > 9'(TOP_LEVEL)) level = LEVEL_WIDTH'(TOP_LEVEL);
      else level = LEVEL_WIDTH'(unclamped);
    end
  end else begin : g_single
    always_comb begin
      if (k < 0) level = '0;
      else if (k >= 9'(TOP_LEVEL)) level = LEVEL_WIDTH'(TOP_LEVEL);
      else level = LEVEL_WIDTH'(k) + LEVEL_WIDTH'(1);
    end
  end

  code_register #(
      .LEVEL_WIDTH(LEVEL_WIDTH),
      .ZERO_FLAG(ZERO_FLAG)
  ) code (
      .level(level),
      .nibble(nibble),
      .flag(flag)
  );
endmodule
