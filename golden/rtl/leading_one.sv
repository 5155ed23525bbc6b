// Leading-one detector: the position of the highest bit that is set.
//
// Latency: PIPELINE cycles of `advance`.
// Throughput: one value a cycle of `advance`; with PIPELINE = 0, combinational.
// Handshake: none.
// Requirements: BL2-NUM-06
//
// Halves the rest at each step: is there a one in the upper half? So the depth is logarithmic.
module leading_one #(
    parameter integer WIDTH = 8,
    parameter integer PIPELINE = 0,
    parameter integer POSITION_WIDTH = (WIDTH > 1) ? $clog2(WIDTH) : 1
) (
    input  logic                      clk,
    input  logic                      advance,
    input  logic [         WIDTH-1:0] x,
    output logic                      any,      // x is not 0
    output logic [POSITION_WIDTH-1:0] position  // of the leading one; 0 for x = 0
);
  localparam integer PADDED = 1 << POSITION_WIDTH;
  localparam integer LOW_STEPS = POSITION_WIDTH / 2;  // behind the register

  logic [PADDED-1:0] rest, upper, rest_1, low_rest, low_upper;
  logic [POSITION_WIDTH-1:0] high_position, position_1;

  always_comb begin
    rest = {{(PADDED - WIDTH) {1'b0}}, x};
    high_position = '0;
    for (int step = POSITION_WIDTH - 1; step >= LOW_STEPS; step--) begin
      upper = rest >> (1 << step);
      if (upper != '0) begin
        high_position[step] = 1'b1;
        rest = upper;
      end
    end
  end

  delay_line #(
      .WIDTH(PADDED + POSITION_WIDTH),
      .DEPTH(PIPELINE)
  ) in_the_middle (
      .clk(clk),
      .advance(advance),
      .d({rest, high_position}),
      .q({rest_1, position_1})
  );

  always_comb begin
    low_rest = rest_1;
    low_upper = '0;
    position = position_1;
    for (int step = LOW_STEPS - 1; step >= 0; step--) begin
      low_upper = low_rest >> (1 << step);
      if (low_upper != '0) begin
        position[step] = 1'b1;
        low_rest = low_upper;
      end
    end
    any = low_rest[0];
  end
endmodule

// Points that the vectors of the default configuration do not reach.
// not reached: toggle "(rest(_1)?|upper)\[([4-9]|[12]\d|3[01])\]:.*"
//   working values of the first loop: at its end at most the lowest four bits are left (BL2-NUM-06)
// not reached: toggle "low_(rest|upper)\[([1-9]|[12]\d|3[01])\]:.*"
//   working values of the second loop: at its end at most the lowest bit is left (BL2-NUM-06)
// not reached: toggle "(high_position|position_1)\[[01]\]:.*"
//   the two low bits are found by the second loop (BL2-NUM-06)
// not reached: toggle "(clk|advance):.*"
//   the unit is combinational: its leading ones are found without registers (BL2-NUM-06)
