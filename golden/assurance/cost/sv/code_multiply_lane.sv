// A lane for a uniform code: (v - zv) times the code.
//
// Latency: 0 cycles, combinational.
// Throughput: one key and channel a cycle of whatever registers stand around it.
// Handshake: none.
//
// Not the function of shift_add_lane: another code, of the same four bits. A cost to compare with.
module code_multiply_lane #(
    parameter integer V_WIDTH = bitlog2_pkg::V_WIDTH,
    parameter integer CODE_WIDTH = 4,
    parameter integer ACC_WIDTH = bitlog2_pkg::ACC_WIDTH
) (
    input  logic        [CODE_WIDTH-1:0] code,
    input  logic        [   V_WIDTH-1:0] v,
    input  logic        [   V_WIDTH-1:0] zv,
    output logic signed [ ACC_WIDTH-1:0] term
);
  logic signed [V_WIDTH:0] x;
  logic signed [CODE_WIDTH:0] factor;

  assign x = {1'b0, v} - {1'b0, zv};
  assign factor = {1'b0, code};
  assign term = ACC_WIDTH'(factor) * ACC_WIDTH'(x);
endmodule
