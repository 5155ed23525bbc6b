// A lane and its accumulator in the online form of RowMax: one pass, no row buffer.
//
// Latency: 1 cycle.
// Throughput: one key a cycle.
// Handshake: none; `take` is the enable, `first` begins a row.
// Cycles: N
//
// Levels are relative to the row's largest t until now, rounded up to a whole octave. Where a key
// raises that by `rise` octaves, all that was summed is shifted by as many, low bits dropped.
module online_accumulator #(
    parameter integer V_WIDTH = bitlog2_pkg::V_WIDTH,
    parameter integer ACC_WIDTH = bitlog2_pkg::ACC_WIDTH,
    parameter integer RISE_WIDTH = $clog2(ACC_WIDTH + 1)
) (
    input  logic                         clk,
    input  logic                         take,
    input  logic                         first,
    input  logic        [           3:0] nibble,
    input  logic                         flag,
    input  logic        [   V_WIDTH-1:0] v,
    input  logic        [   V_WIDTH-1:0] zv,
    input  logic        [RISE_WIDTH-1:0] rise,
    output logic signed [ ACC_WIDTH-1:0] acc
);
  logic signed [ACC_WIDTH-1:0] term, rescaled;

  shift_add_lane lane (
      .clk(1'b0), .advance(1'b0), .nibble(nibble), .flag(flag), .v(v), .zv(zv), .term(term)
  );

  assign rescaled = acc >>> rise;

  always_ff @(posedge clk) begin
    if (take) acc <= first ? term : rescaled + term;
  end
endmodule
