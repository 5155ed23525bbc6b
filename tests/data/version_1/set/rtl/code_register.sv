// Code register: a level as four bits and, where there are 17 levels, a zero flag.
//
// Latency: 0 cycles, combinational; the register is the memory behind it (code_memory).
// Throughput: one level a cycle of whatever registers stand around it.
// Handshake: none.
// Requirements: BL2-CODE-01, BL2-CODE-02
//
// Assumes level <= TOP_LEVEL.
module code_register #(
    parameter integer LEVEL_WIDTH = bitlog2_pkg::LEVEL_WIDTH,
    parameter integer ZERO_FLAG = bitlog2_pkg::ZERO_FLAG
) (
    input  logic [LEVEL_WIDTH-1:0] level,
    output logic [            3:0] nibble,
    output logic                   flag
);
  logic zero;

  assign zero = level == '0;

  if (ZERO_FLAG != 0) begin : g_17_levels
    assign nibble = zero ? 4'd0 : 4'(level - LEVEL_WIDTH'(1));
    assign flag = zero;
  end else begin : g_16_levels
    assign nibble = zero ? 4'd0 : 4'(level);
    assign flag = 1'b0;
  end
endmodule
