// Distance quantizer: the level of a distance, how many thresholds it does not pass.
//
// Latency: 0 cycles, combinational.
// Throughput: one distance a cycle of whatever registers stand around it.
// Handshake: none.
// Requirements: BL2-DIST-01, BL2-DIST-02, BL2-DIST-03
//
// Assumes d <= DISTANCE_MAX, and a top level that is a power of two. The thresholds of an octave are
// those of the octave before, 2^F further. So the octave of d gives the level up to one or two, and
// its fraction is compared with two thresholds where there are half steps, with one where there are
// none. Level 1 reaches to the end of its octave, that end included.
module distance_quantizer #(
    parameter integer D_WIDTH = bitlog2_pkg::D_WIDTH,
    parameter integer FRACTION_BITS = bitlog2_pkg::FRACTION_BITS,
    parameter integer LEVEL_WIDTH = bitlog2_pkg::LEVEL_WIDTH,
    parameter integer TOP_LEVEL = bitlog2_pkg::TOP_LEVEL,
    parameter integer OCTAVE_LEVELS = bitlog2_pkg::OCTAVE_LEVELS,
    parameter integer ZERO_FLAG = bitlog2_pkg::ZERO_FLAG,
    parameter integer THRESHOLD_WIDTH = bitlog2_pkg::THRESHOLD_WIDTH,
    parameter logic [TOP_LEVEL*THRESHOLD_WIDTH-1:0] THRESHOLDS = bitlog2_pkg::THRESHOLDS
) (
    input  logic                   mask,
    input  logic [    D_WIDTH-1:0] d,
    output logic [LEVEL_WIDTH-1:0] level,
    output logic [            3:0] nibble,
    output logic                   flag
);
  localparam integer WIDTH = (D_WIDTH > THRESHOLD_WIDTH) ? D_WIDTH : THRESHOLD_WIDTH;
  localparam integer OCTAVE_WIDTH = WIDTH - FRACTION_BITS;
  localparam integer HALF_OCTAVES = (TOP_LEVEL - OCTAVE_LEVELS) / 2;  // of two levels each
  localparam logic [OCTAVE_WIDTH-1:0] LAST_OCTAVE =
      OCTAVE_WIDTH'(HALF_OCTAVES + OCTAVE_LEVELS - 1);
  localparam logic [WIDTH-1:0] FARTHEST = WIDTH'(THRESHOLDS[THRESHOLD_WIDTH-1:0]);
  localparam logic [FRACTION_BITS-1:0] WHOLE_STEP =
      THRESHOLDS[(OCTAVE_LEVELS-1)*THRESHOLD_WIDTH+:FRACTION_BITS];

  logic [WIDTH-1:0] distance;
  logic [OCTAVE_WIDTH-1:0] octave;
  logic [FRACTION_BITS-1:0] fraction;
  logic [LEVEL_WIDTH-1:0] whole, found;

  assign distance = WIDTH'(d);
  assign {octave, fraction} = distance;
  assign whole = LEVEL_WIDTH'(HALF_OCTAVES + OCTAVE_LEVELS) - LEVEL_WIDTH'(octave) -
      LEVEL_WIDTH'({1'b0, fraction} > {1'b0, WHOLE_STEP});

  if (HALF_OCTAVES != 0) begin : g_half_steps
    localparam logic [FRACTION_BITS-1:0] HALF_STEP =
        THRESHOLDS[(TOP_LEVEL-1)*THRESHOLD_WIDTH+:FRACTION_BITS];
    localparam logic [FRACTION_BITS-1:0] FULL_STEP =
        THRESHOLDS[(TOP_LEVEL-2)*THRESHOLD_WIDTH+:FRACTION_BITS];

    logic [LEVEL_WIDTH-1:0] half;

    assign half = LEVEL_WIDTH'(TOP_LEVEL) - (LEVEL_WIDTH'(octave) << 1) -
        LEVEL_WIDTH'({1'b0, fraction} > {1'b0, HALF_STEP}) -
        LEVEL_WIDTH'({1'b0, fraction} > {1'b0, FULL_STEP});
    assign found = (octave < OCTAVE_WIDTH'(HALF_OCTAVES)) ? half : whole;
  end else begin : g_whole_steps
    assign found = whole;
  end

  always_comb begin
    if (mask || distance > FARTHEST) level = '0;
    else if (octave >= LAST_OCTAVE) level = LEVEL_WIDTH'(1);
    else level = found;
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
