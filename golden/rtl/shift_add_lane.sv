// Shift-and-add lane: what one key adds to one accumulator, (v - zv) times the level's value.
//
// Latency: PIPELINE cycles of `advance`.
// Throughput: one key and channel a cycle of `advance`; with PIPELINE = 0, combinational.
// Handshake: none. zv is held from a row's first beat until its terms are added.
// Requirements: BL2-ACC-01
//
// Assumes a code that code_register makes: a flag only with nibble 0, and none for 16 levels.
// Registers: of what the code says, which lanes of the same code share, and of v - zv.
module shift_add_lane #(
    parameter integer PIPELINE = 0,
    parameter integer V_WIDTH = bitlog2_pkg::V_WIDTH,
    parameter integer ACC_WIDTH = bitlog2_pkg::ACC_WIDTH,
    parameter integer HALF = bitlog2_pkg::HALF,
    parameter integer OCTAVE_LEVELS = bitlog2_pkg::OCTAVE_LEVELS,
    parameter integer ZERO_FLAG = bitlog2_pkg::ZERO_FLAG
) (
    input  logic                        clk,
    input  logic                        advance,
    input  logic        [          3:0] nibble,
    input  logic                        flag,
    input  logic        [  V_WIDTH-1:0] v,
    input  logic        [  V_WIDTH-1:0] zv,
    output logic signed [ACC_WIDTH-1:0] term
);
  logic signed [V_WIDTH:0] x, x_1;
  logic signed [ACC_WIDTH-1:0] shifted;
  logic [4:0] level;
  logic [3:0] shift, shift_1;
  logic half, half_1, zero, zero_1;

  assign x = {1'b0, v} - {1'b0, zv};
  assign level = (ZERO_FLAG != 0) ? 5'(nibble) + 5'd1 : 5'(nibble);
  assign zero = (ZERO_FLAG != 0) ? flag : flag || nibble == 4'd0;

  delay_line #(
      .WIDTH(6),
      .DEPTH(PIPELINE)
  ) of_shift (
      .clk(clk),
      .advance(advance),
      .d({shift, half, zero}),
      .q({shift_1, half_1, zero_1})
  );

  delay_line #(
      .WIDTH(V_WIDTH + 1),
      .DEPTH(PIPELINE)
  ) of_x (
      .clk(clk),
      .advance(advance),
      .d(x),
      .q(x_1)
  );

  if (HALF != 0 && OCTAVE_LEVELS != 2) begin : g_both
    logic [5:0] above;
    logic signed [V_WIDTH+2:0] multiple;  // of x: 2, or 3 with the half bit
    logic signed [ACC_WIDTH:0] doubled;

    // Levels to OCTAVE_LEVELS are a shift each; above, two share one, the second with the half bit.
    assign above = 6'(level) - 6'(OCTAVE_LEVELS);
    assign shift = 4'(above[5] ? 6'(level) - 6'd1 : 6'(OCTAVE_LEVELS - 1) + (above >> 1));
    assign half = !above[5] && above[0];
    assign multiple = half_1 ?
        ((V_WIDTH + 3)'(x_1) <<< 1) + (V_WIDTH + 3)'(x_1) : (V_WIDTH + 3)'(x_1) <<< 1;
    assign doubled = (ACC_WIDTH + 1)'(multiple) <<< shift_1;
    assign shifted = ACC_WIDTH'(doubled >>> 1);
    assign term = zero_1 ? '0 : shifted;
  end else if (HALF != 0) begin : g_half
    logic signed [ACC_WIDTH-1:0] half_shifted;

    // Level 1 has k = 0, and a lowest bit that is no half bit.
    assign shift = level[4:1];
    assign half = level[0] && level[4:1] != '0;
    assign shifted = ACC_WIDTH'(x_1) <<< shift_1;
    assign half_shifted = shifted >>> 1;
    assign term = zero_1 ? '0 : half_1 ? shifted + half_shifted : shifted;
  end else begin : g_single
    logic unused_half;

    assign shift = 4'(level - 5'd1);
    assign half = 1'b0;
    assign unused_half = half_1;
    assign shifted = ACC_WIDTH'(x_1) <<< shift_1;
    assign term = zero_1 ? '0 : shifted;
  end
endmodule

// Points that the vectors of the default configuration do not reach.
// not reached: line "cond_else: assign (level|zero) = \(ZERO_FLAG != 0\).*"
//   a constant of the scheme: 17 levels have a zero flag (BL2-SCHEME-02)
// not reached: toggle "(clk|advance):.*"
//   the unit is combinational: it has no registers without PIPELINE (BL2-ACC-01)
