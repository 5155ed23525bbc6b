// The shift-and-add lane with a multiplier instead: the code's value, then (v - zv) times it.
//
// Latency: 0 cycles, combinational.
// Throughput: one key and channel a cycle of whatever registers stand around it.
// Handshake: none.
// Requirements: BL2-ACC-01
//
// The same function as shift_add_lane. VALUE_WIDTH holds the largest value: 9 bits for
// BitLog2_Half_17. Assumes a code that code_register makes.
module value_multiply_lane #(
    parameter integer V_WIDTH = bitlog2_pkg::V_WIDTH,
    parameter integer ACC_WIDTH = bitlog2_pkg::ACC_WIDTH,
    parameter integer HALF = bitlog2_pkg::HALF,
    parameter integer ZERO_FLAG = bitlog2_pkg::ZERO_FLAG,
    parameter integer VALUE_WIDTH = (HALF != 0) ? 8 + ZERO_FLAG : 15 + ZERO_FLAG
) (
    input  logic        [          3:0] nibble,
    input  logic                        flag,
    input  logic        [  V_WIDTH-1:0] v,
    input  logic        [  V_WIDTH-1:0] zv,
    output logic signed [ACC_WIDTH-1:0] term
);
  logic signed [V_WIDTH:0] x;
  logic signed [VALUE_WIDTH:0] value;
  logic [VALUE_WIDTH-1:0] power;
  logic [4:0] level;
  logic zero;

  assign x = {1'b0, v} - {1'b0, zv};
  assign level = (ZERO_FLAG != 0) ? 5'(nibble) + 5'd1 : 5'(nibble);
  assign zero = (ZERO_FLAG != 0) ? flag : flag || nibble == 4'd0;

  if (HALF != 0) begin : g_half
    assign power = VALUE_WIDTH'(1) << level[4:1];
    assign value = zero ? '0 :
        {1'b0, power | (level[0] ? power >> 1 : VALUE_WIDTH'(0))};
  end else begin : g_single
    assign power = VALUE_WIDTH'(1) << (level - 5'd1);
    assign value = zero ? '0 : {1'b0, power};
  end

  assign term = ACC_WIDTH'(value) * ACC_WIDTH'(x);
endmodule
