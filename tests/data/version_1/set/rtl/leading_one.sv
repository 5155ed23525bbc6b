// Leading-one detector: the position of the highest bit that is set.
//
// Latency: 0 cycles, combinational.
// Throughput: one value a cycle of whatever registers stand around it.
// Handshake: none.
// Requirements: BL2-NUM-06
//
// Halves the rest at each step: is there a one in the upper half? So the depth is logarithmic.
module leading_one #(
    parameter integer WIDTH = 8,
    parameter integer POSITION_WIDTH = (WIDTH > 1) ? $clog2(WIDTH) : 1
) (
    input  logic [         WIDTH-1:0] x,
    output logic                      any,      // x is not 0
    output logic [POSITION_WIDTH-1:0] position  // of the leading one; 0 for x = 0
);
  localparam integer PADDED = 1 << POSITION_WIDTH;

  logic [PADDED-1:0] rest, upper;

  always_comb begin
    rest = {{(PADDED - WIDTH) {1'b0}}, x};
    position = '0;
    for (int step = POSITION_WIDTH - 1; step >= 0; step--) begin
      upper = rest >> (1 << step);
      if (upper != '0) begin
        position[step] = 1'b1;
        rest = upper;
      end
    end
    any = rest[0];
  end
endmodule
