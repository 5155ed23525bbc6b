// Shift-and-add lane: what one key adds to one accumulator, (v - zv) times the level's value.
//
// Latency: 0 cycles, combinational.
// Throughput: one key and channel a cycle of whatever registers stand around it.
// Handshake: none.
// Requirements: BL2-ACC-01
//
// Assumes a code that code_register makes: a flag only with nibble 0, and none for 16 levels.
module shift_add_lane #(
    parameter integer V_WIDTH = bitlog2_pkg::V_WIDTH,
    parameter integer ACC_WIDTH = bitlog2_pkg::ACC_WIDTH,
    parameter integer HALF = bitlog2_pkg::HALF,
    parameter integer OCTAVE_LEVELS = bitlog2_pkg::OCTAVE_LEVELS,
    parameter integer ZERO_FLAG = bitlog2_pkg::ZERO_FLAG
) (
    input  logic        [          3:0] nibble,
    input  logic                        flag,
    input  logic        [  V_WIDTH-1:0] v,
    input  logic        [  V_WIDTH-1:0] zv,
    output logic signed [ACC_WIDTH-1:0] term
);
  logic signed [V_WIDTH:0] x;
  logic signed [ACC_WIDTH-1:0] shifted;
  logic [4:0] level;
  logic zero;

  assign x = {1'b0, v} - {1'b0, zv};
  assign level = (ZERO_FLAG != 0) ? 5'(nibble) + 5'd1 : 5'(nibble);
  assign zero = (ZERO_FLAG != 0) ? flag : flag || nibble == 4'd0;

  if (HALF != 0 && OCTAVE_LEVELS != 2) begin : g_both
    logic signed [V_WIDTH+2:0] multiple;  // of x: 2, or 3 with the half bit
    logic signed [ACC_WIDTH:0] doubled;
    logic [5:0] above, shift;

    // Levels to OCTAVE_LEVELS are a shift each; above, two share one, the second with the half bit.
    assign above = 6'(level) - 6'(OCTAVE_LEVELS);
    assign shift = above[5] ? 6'(level) - 6'd1 : 6'(OCTAVE_LEVELS - 1) + (above >> 1);
    assign multiple = (!above[5] && above[0]) ?
        ((V_WIDTH + 3)'(x) <<< 1) + (V_WIDTH + 3)'(x) : (V_WIDTH + 3)'(x) <<< 1;
    assign doubled = (ACC_WIDTH + 1)'(multiple) <<< shift;
    assign shifted = ACC_WIDTH'(doubled >>> 1);
    assign term = zero ? '0 : shifted;
  end else if (HALF != 0) begin : g_half
    logic signed [ACC_WIDTH-1:0] half_shifted;

    // Level 1 has k = 0, and a lowest bit that is no half bit.
    assign shifted = ACC_WIDTH'(x) <<< level[4:1];
    assign half_shifted = shifted >>> 1;
    assign term = zero ? '0 :
        (level[0] && level[4:1] != '0) ? shifted + half_shifted : shifted;
  end else begin : g_single
    assign shifted = ACC_WIDTH'(x) <<< (level - 5'd1);
    assign term = zero ? '0 : shifted;
  end
endmodule

// Points that the vectors of the default configuration do not reach.
// not reached: line "cond_else: assign (level|zero) = \(ZERO_FLAG != 0\).*"
//   a constant of the scheme: 17 levels have a zero flag (BL2-SCHEME-02)
