// exp2 by a linear correction: e = RND((1 - f/2) * 2^P >> shift), 0 for a masked key; no table.
//
// Latency: 0 cycles, combinational.
// Throughput: one distance a cycle of whatever registers stand around it.
// Handshake: none.
//
// Not the function of exp2, only its ends: f/2 for 1 - 2^-f is too little by up to 0.043 of 2^P, so
// e is up to 6.2 % too large. A cost to compare with, nothing of the datapath.
// Assumes TABLE_BITS > FRACTION_BITS: every entry is then an integer.
module exp2_linear #(
    parameter integer D_WIDTH = bitlog2_pkg::D_WIDTH,
    parameter integer E_WIDTH = bitlog2_pkg::E_WIDTH,
    parameter integer FRACTION_BITS = bitlog2_pkg::FRACTION_BITS,
    parameter integer TABLE_BITS = bitlog2_pkg::TABLE_BITS
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
  assign entry = (E_WIDTH'(1) << TABLE_BITS)
      - (E_WIDTH'(fraction) << (TABLE_BITS - FRACTION_BITS - 1));
  assign shifted = {entry, 1'b0} >> shift;
  assign e = mask ? '0 : shifted[E_WIDTH:1] + E_WIDTH'(shifted[0]);
endmodule
