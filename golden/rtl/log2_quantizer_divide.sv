// log2 quantizer, dividing form: the specification as hardware, to compare the other with.
//
// Latency: 0 cycles, combinational.
// Throughput: one key a cycle of whatever registers stand around it.
// Handshake: none.
// Requirements: BL2-LOG2-01, BL2-LOG2-02, BL2-LOG2-03, BL2-SCHEME-01
//
// Assumes e <= s and 2^P <= s.
module log2_quantizer_divide #(
    parameter integer S_WIDTH = bitlog2_pkg::S_WIDTH,
    parameter integer E_WIDTH = bitlog2_pkg::E_WIDTH,
    parameter integer LEVEL_WIDTH = bitlog2_pkg::LEVEL_WIDTH,
    parameter integer INT_MAX = bitlog2_pkg::INT_MAX,
    parameter integer HALF = bitlog2_pkg::HALF,
    parameter integer ZERO_FLAG = bitlog2_pkg::ZERO_FLAG
) (
    input  logic [    S_WIDTH-1:0] s,
    input  logic [    E_WIDTH-1:0] e,
    output logic [LEVEL_WIDTH-1:0] level,
    output logic [            3:0] nibble,
    output logic                   flag
);
  localparam integer A_WIDTH = $clog2(INT_MAX + 1);
  localparam integer P_WIDTH = $clog2(INT_MAX);
  localparam integer K_WIDTH = $clog2(P_WIDTH);
  localparam integer DIVIDEND_WIDTH = E_WIDTH + A_WIDTH;
  localparam integer WIDTH = (DIVIDEND_WIDTH > S_WIDTH) ? DIVIDEND_WIDTH : S_WIDTH;

  logic [WIDTH-1:0] quotient;
  logic [P_WIDTH-1:0] p;
  logic [K_WIDTH-1:0] k;
  logic any;

  assign quotient = (WIDTH'(e) * WIDTH'(INT_MAX)) / WIDTH'(s);
  assign p = (quotient >= WIDTH'(INT_MAX)) ? P_WIDTH'(INT_MAX - 1) : P_WIDTH'(quotient);

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

// Points that the vectors of the default configuration do not reach.
// not reached: toggle "quotient\[(9|1\d|2[0-6])\]:.*"
//   e <= s, so the quotient is at most 384 (BL2-SUM-02)
