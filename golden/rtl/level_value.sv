// Level value: what a level stands for, in units of 1/A.
//
// Latency: 0 cycles, combinational.
// Throughput: one level a cycle of whatever registers stand around it.
// Handshake: none.
// Requirements: BL2-SCHEME-01, BL2-WEIGHT-01
//
// Assumes level <= TOP_LEVEL. Levels 1 to OCTAVE_LEVELS are a power of two each; above, two levels
// share one, and the second has the half bit: 2 or 3, shifted and halved.
module level_value #(
    parameter integer LEVEL_WIDTH = bitlog2_pkg::LEVEL_WIDTH,
    parameter integer OCTAVE_LEVELS = bitlog2_pkg::OCTAVE_LEVELS,
    parameter integer INT_MAX = bitlog2_pkg::INT_MAX,
    parameter integer VALUE_WIDTH = $clog2(INT_MAX + 1)
) (
    input  logic [LEVEL_WIDTH-1:0] level,
    output logic [VALUE_WIDTH-1:0] value
);
  logic [LEVEL_WIDTH:0] above, shift;
  logic [VALUE_WIDTH:0] doubled;
  logic half_step;

  assign above = (LEVEL_WIDTH + 1)'(level) - (LEVEL_WIDTH + 1)'(OCTAVE_LEVELS);
  assign half_step = !above[LEVEL_WIDTH] && above[0];
  assign shift = above[LEVEL_WIDTH] ? (LEVEL_WIDTH + 1)'(level) - 1'b1 :
      (LEVEL_WIDTH + 1)'(OCTAVE_LEVELS - 1) + (above >> 1);
  assign doubled = (VALUE_WIDTH + 1)'({1'b1, half_step}) << shift;
  assign value = (level == '0) ? '0 : VALUE_WIDTH'(doubled >> 1);
endmodule
