// log2 quantizer, dividing form with a restoring array of no more rows than the quotient has bits.
//
// Latency: 0 cycles, combinational.
// Throughput: one key a cycle of whatever registers stand around it.
// Handshake: none.
// Requirements: BL2-LOG2-01, BL2-LOG2-02, BL2-LOG2-03, BL2-SCHEME-01
//
// The same function as log2_quantizer_divide, whose `/` does not know that e <= s. With
// A = ODD_FACTOR * 2^BASE_SHIFT and x = ODD_FACTOR * e: rows for 2s (where x can be 3e) and s, then
// one for each bit of the shift. Assumes e <= s and s > 0.
module log2_quantizer_restoring #(
    parameter integer S_WIDTH = bitlog2_pkg::S_WIDTH,
    parameter integer E_WIDTH = bitlog2_pkg::E_WIDTH,
    parameter integer LEVEL_WIDTH = bitlog2_pkg::LEVEL_WIDTH,
    parameter integer INT_MAX = bitlog2_pkg::INT_MAX,
    parameter integer ODD_FACTOR = bitlog2_pkg::ODD_FACTOR,
    parameter integer BASE_SHIFT = bitlog2_pkg::BASE_SHIFT,
    parameter integer HALF = bitlog2_pkg::HALF,
    parameter integer ZERO_FLAG = bitlog2_pkg::ZERO_FLAG
) (
    input  logic [    S_WIDTH-1:0] s,
    input  logic [    E_WIDTH-1:0] e,
    output logic [LEVEL_WIDTH-1:0] level,
    output logic [            3:0] nibble,
    output logic                   flag
);
  localparam integer P_WIDTH = $clog2(INT_MAX);
  localparam integer K_WIDTH = $clog2(P_WIDTH);
  localparam integer ROWS = BASE_SHIFT + ((ODD_FACTOR == 3) ? 2 : 1);
  localparam integer REST_WIDTH = S_WIDTH + 2;  // 3e <= 3s, and twice a rest below s

  logic [REST_WIDTH-1:0] rest, subtrahend;
  logic [REST_WIDTH:0] difference;
  logic [ROWS-1:0] quotient;
  logic [P_WIDTH-1:0] p;
  logic [K_WIDTH-1:0] k;
  logic any;

  always_comb begin
    rest = (ODD_FACTOR == 3) ? REST_WIDTH'(e) + (REST_WIDTH'(e) << 1) : REST_WIDTH'(e);
    quotient = '0;
    subtrahend = '0;
    difference = '0;
    for (int row = ROWS - 1; row >= 0; row--) begin
      // Above BASE_SHIFT s moves up, from there on the rest does.
      if (row < BASE_SHIFT) rest = rest << 1;
      subtrahend = (row > BASE_SHIFT) ? REST_WIDTH'(s) << 1 : REST_WIDTH'(s);
      difference = {1'b0, rest} - {1'b0, subtrahend};
      quotient[row] = !difference[REST_WIDTH];
      rest = difference[REST_WIDTH] ? rest : difference[REST_WIDTH-1:0];
    end
  end

  assign p = (quotient >= ROWS'(INT_MAX)) ? P_WIDTH'(INT_MAX - 1) : P_WIDTH'(quotient);

  leading_one #(
      .WIDTH(P_WIDTH),
      .POSITION_WIDTH(K_WIDTH)
  ) of_p (
      .clk(1'b0),
      .advance(1'b0),
      .x(p),
      .any(any),
      .position(k)
  );

  if (HALF != 0) begin : g_half
    logic half_bit;

    assign half_bit = (k == '0) ? any : 1'(p >> (k - K_WIDTH'(1)));
    assign level = LEVEL_WIDTH'({k, half_bit});
  end else begin : g_single
    assign level = any ? LEVEL_WIDTH'(k) + LEVEL_WIDTH'(1) : '0;
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
