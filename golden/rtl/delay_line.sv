// Delay line: DEPTH registers in a row, or with DEPTH = 0 a wire.
//
// Latency: DEPTH cycles of `advance`.
// Throughput: one value a cycle of `advance`.
// Handshake: none; while `advance` is 0 everything stays as it is.
// Requirements: BL2-ROW-01
//
// What is in it after reset means nothing: a valid bit beside it says what does.
module delay_line #(
    parameter integer WIDTH = 1,
    parameter integer DEPTH = 1
) (
    input  logic             clk,
    input  logic             advance,
    input  logic [WIDTH-1:0] d,
    output logic [WIDTH-1:0] q
);
  localparam integer LINE = (DEPTH == 0) ? 1 : DEPTH;  // registers that are there

  if (DEPTH == 0) begin : g_wire
    logic unused;

    assign unused = ^{clk, advance};
    assign q = d;
  end else begin : g_line
    logic [(LINE+1)*WIDTH-1:0] places;

    assign places[WIDTH-1:0] = d;
    assign q = places[LINE*WIDTH+:WIDTH];

    for (genvar stage = 0; stage < LINE; stage++) begin : g_stage
      logic [WIDTH-1:0] held;

      always_ff @(posedge clk) begin
        if (advance) held <= places[stage*WIDTH+:WIDTH];
      end

      assign places[(stage+1)*WIDTH+:WIDTH] = held;
    end
  end
endmodule
