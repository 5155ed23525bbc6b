// exp2 of an engineer who adds half an LSB where the reference keeps a guard bit: a device of one's own.
//
// e = RND(T[d mod 2^F] >> (d div 2^F)), 0 for a masked key. Combinational.
module my_exp2
  import bitlog2_pkg::*;
(
    input  logic               mask,
    input  logic [D_WIDTH-1:0] d,
    output logic [E_WIDTH-1:0] e
);
  localparam integer SHIFT_WIDTH = D_WIDTH - FRACTION_BITS;
  localparam integer WIDE = E_WIDTH + (1 << SHIFT_WIDTH);

  logic [SHIFT_WIDTH-1:0] shift;
  logic [FRACTION_BITS-1:0] fraction;
  logic [WIDE-1:0] entry;
  logic [WIDE-1:0] half;

  assign {shift, fraction} = d;
  assign entry = WIDE'(EXP2_TABLE[fraction*E_WIDTH+:E_WIDTH]);
  assign half = (WIDE'(1) << shift) >> 1;
  assign e = mask ? '0 : E_WIDTH'((entry + half) >> shift);
endmodule
