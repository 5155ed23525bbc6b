// A lane and its accumulator: what one channel costs, whatever multiplies.
//
// Latency: 1 cycle.
// Throughput: one key a cycle.
// Handshake: none; `take` is the enable, `first` begins a row.
//
// KIND 0: shift_add_lane; 1: value_multiply_lane, the same function; 2: code_multiply_lane, for a
// uniform code in `nibble`.
module lane_accumulator #(
    parameter integer KIND = 0,
    parameter integer V_WIDTH = bitlog2_pkg::V_WIDTH,
    parameter integer ACC_WIDTH = bitlog2_pkg::ACC_WIDTH
) (
    input  logic                        clk,
    input  logic                        take,
    input  logic                        first,
    input  logic        [          3:0] nibble,
    // verilator lint_off UNUSEDSIGNAL
    input  logic                        flag,  // not with KIND 2
    // verilator lint_on UNUSEDSIGNAL
    input  logic        [  V_WIDTH-1:0] v,
    input  logic        [  V_WIDTH-1:0] zv,
    output logic signed [ACC_WIDTH-1:0] acc
);
  logic signed [ACC_WIDTH-1:0] term;

  if (KIND == 0) begin : g_shift_add
    shift_add_lane lane (
        .clk(1'b0), .advance(1'b0), .nibble(nibble), .flag(flag), .v(v), .zv(zv), .term(term)
    );
  end else if (KIND == 1) begin : g_value
    value_multiply_lane lane (.nibble(nibble), .flag(flag), .v(v), .zv(zv), .term(term));
  end else begin : g_code
    code_multiply_lane lane (.code(nibble), .v(v), .zv(zv), .term(term));
  end

  always_ff @(posedge clk) begin
    if (take) acc <= first ? term : acc + term;
  end
endmodule
