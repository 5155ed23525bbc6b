// log2 quantizer, comparing form: the level of e / s without a divider.
//
// Latency: 0 cycles, combinational.
// Throughput: one key a cycle of whatever registers stand around it.
// Handshake: none.
// Requirements: BL2-LOG2-04, BL2-LOG2-05, BL2-LOG2-06, BL2-SCHEME-01
//
// Assumes e <= s and 2^P <= s <= MAX_TOKENS * 2^P. log2_quantizer_pipe without its registers.
module log2_quantizer #(
    parameter integer S_WIDTH = bitlog2_pkg::S_WIDTH,
    parameter integer E_WIDTH = bitlog2_pkg::E_WIDTH,
    parameter integer LEVEL_WIDTH = bitlog2_pkg::LEVEL_WIDTH,
    parameter integer COMPARE_WIDTH = bitlog2_pkg::COMPARE_WIDTH,
    parameter integer ODD_FACTOR = bitlog2_pkg::ODD_FACTOR,
    parameter integer BASE_SHIFT = bitlog2_pkg::BASE_SHIFT,
    parameter integer HALF = bitlog2_pkg::HALF,
    parameter integer TOP_LEVEL = bitlog2_pkg::TOP_LEVEL,
    parameter integer ZERO_FLAG = bitlog2_pkg::ZERO_FLAG
) (
    input  logic [    S_WIDTH-1:0] s,
    input  logic [    E_WIDTH-1:0] e,
    output logic [LEVEL_WIDTH-1:0] level,
    output logic [            3:0] nibble,
    output logic                   flag
);
  localparam integer S_POSITION_WIDTH = $clog2(S_WIDTH);

  logic [S_POSITION_WIDTH-1:0] lod_s;
  logic unused_any;

  leading_one #(
      .WIDTH(S_WIDTH),
      .POSITION_WIDTH(S_POSITION_WIDTH)
  ) of_s (
      .clk(1'b0),
      .advance(1'b0),
      .x(s),
      .any(unused_any),
      .position(lod_s)
  );

  log2_quantizer_pipe #(
      .PIPELINE(0),
      .S_WIDTH(S_WIDTH),
      .E_WIDTH(E_WIDTH),
      .LEVEL_WIDTH(LEVEL_WIDTH),
      .COMPARE_WIDTH(COMPARE_WIDTH),
      .ODD_FACTOR(ODD_FACTOR),
      .BASE_SHIFT(BASE_SHIFT),
      .HALF(HALF),
      .TOP_LEVEL(TOP_LEVEL),
      .ZERO_FLAG(ZERO_FLAG),
      .S_POSITION_WIDTH(S_POSITION_WIDTH)
  ) pipe (
      .clk(1'b0),
      .advance(1'b0),
      .s(s),
      .lod_s(lod_s),
      .e(e),
      .level(level),
      .nibble(nibble),
      .flag(flag)
  );
endmodule

// Points that the vectors of the default configuration do not reach.
// not reached: toggle "lod_s\[4\]:1->0"
//   2^16 <= s, so its leading one is at 16 to 26 (BL2-SUM-02)
// not reached: toggle "unused_any:1->0"
//   s is never 0 (BL2-SUM-02)
