// Distance of a key to the row's maximum: d = min(row_max - t, d_max).
//
// Latency: 0 cycles, combinational.
// Throughput: one value a cycle of whatever registers stand around it.
// Handshake: none.
// Requirements: BL2-MAX-03, BL2-MAX-04
//
// Assumes t <= row_max; of a masked key t may be larger, and d then means nothing.
module distance #(
    parameter integer T_WIDTH = bitlog2_pkg::T_WIDTH,
    parameter integer D_WIDTH = bitlog2_pkg::D_WIDTH,
    parameter integer DISTANCE_MAX = bitlog2_pkg::DISTANCE_MAX
) (
    input  logic signed [T_WIDTH-1:0] row_max,
    input  logic signed [T_WIDTH-1:0] t,
    output logic        [D_WIDTH-1:0] d
);
  localparam integer WIDTH = (T_WIDTH > D_WIDTH) ? T_WIDTH : D_WIDTH;
  localparam logic [WIDTH-1:0] LARGEST = WIDTH'(DISTANCE_MAX);

  logic [T_WIDTH-1:0] difference;
  logic [  WIDTH-1:0] wide;

  assign difference = row_max - t;
  assign wide = WIDTH'(difference);
  assign d = (wide > LARGEST) ? D_WIDTH'(DISTANCE_MAX) : wide[D_WIDTH-1:0];
endmodule
