// exp2: e = RND(T[d mod 2^F] >> (d div 2^F)), 0 for a masked key.
//
// Latency: 0 cycles, combinational.
// Throughput: one distance a cycle of whatever registers stand around it.
// Handshake: none.
// Requirements: BL2-EXP2-01, BL2-EXP2-02, BL2-EXP2-03, BL2-EXP2-04
//
// A table and a barrel shifter with one guard bit, which rounds. A shift beyond the entry gives 0.
module exp2 #(
    parameter integer D_WIDTH = bitlog2_pkg::D_WIDTH,
    parameter integer E_WIDTH = bitlog2_pkg::E_WIDTH,
    parameter integer FRACTION_BITS = bitlog2_pkg::FRACTION_BITS,
    parameter logic [(E_WIDTH << FRACTION_BITS)-1:0] TABLE = bitlog2_pkg::EXP2_TABLE
) (
    input  logic               mask,
    input  logic [D_WIDTH-1:0] d,
    output logic [E_WIDTH-1:0] e
);
  logic [FRACTION_BITS-1:0] fraction;
  logic [D_WIDTH-FRACTION_BITS-1:0] shift;
  logic [E_WIDTH-1:0] entry;
  logic [E_WIDTH:0] shifted;

  assign {shift, fraction} = d;
  assign entry = TABLE[fraction*E_WIDTH+:E_WIDTH];
  assign shifted = {entry, 1'b0} >> shift;
  assign e = mask ? '0 : shifted[E_WIDTH:1] + E_WIDTH'(shifted[0]);
endmodule
