// Shift-and-add: acc = sum over a row's keys of the level's value times (v - zv), a lane a channel.
//
// Latency: 1 cycle from the last beat to the accumulators.
// Throughput: one key a cycle, all channels at once; rows follow one another without a gap.
// Handshake: AXI-Stream in, tdata = {nibble, flag, v of each channel}, tlast on the last key;
//   AXI-Stream out, a beat a row. zv is held from a row's first beat until its output is taken.
// Requirements: BL2-ACC-01, BL2-ACC-02, BL2-ACC-03
//
// Assumes levels of one row: of quotients, whose p sum to at most A, or of at most MAX_TOKENS keys.
// The accumulators then cannot overflow.
module shift_add #(
    parameter integer HEAD_DIM = bitlog2_pkg::HEAD_DIM,
    parameter integer V_WIDTH = bitlog2_pkg::V_WIDTH,
    parameter integer ACC_WIDTH = bitlog2_pkg::ACC_WIDTH,
    parameter integer HALF = bitlog2_pkg::HALF,
    parameter integer OCTAVE_LEVELS = bitlog2_pkg::OCTAVE_LEVELS,
    parameter integer ZERO_FLAG = bitlog2_pkg::ZERO_FLAG
) (
    input  logic                          clk,
    input  logic                          rst_n,
    input  logic [           V_WIDTH-1:0] zv,
    input  logic                          s_axis_tvalid,
    output logic                          s_axis_tready,
    input  logic [HEAD_DIM*V_WIDTH+4:0]   s_axis_tdata,
    input  logic                          s_axis_tlast,
    output logic                          m_axis_tvalid,
    input  logic                          m_axis_tready,
    output logic [HEAD_DIM*ACC_WIDTH-1:0] m_axis_tdata
);
  logic [3:0] nibble;
  logic [HEAD_DIM*V_WIDTH-1:0] v;
  logic flag, first, fire;

  assign {nibble, flag, v} = s_axis_tdata;
  assign s_axis_tready = !m_axis_tvalid || m_axis_tready;
  assign fire = s_axis_tvalid && s_axis_tready;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      first <= 1'b1;
      m_axis_tvalid <= 1'b0;
    end else if (s_axis_tready) begin
      m_axis_tvalid <= fire && s_axis_tlast;
      if (fire) first <= s_axis_tlast;
    end
  end

  for (genvar channel = 0; channel < HEAD_DIM; channel++) begin : g_channel
    logic signed [ACC_WIDTH-1:0] term, acc;

    shift_add_lane #(
        .V_WIDTH(V_WIDTH),
        .ACC_WIDTH(ACC_WIDTH),
        .HALF(HALF),
        .OCTAVE_LEVELS(OCTAVE_LEVELS),
        .ZERO_FLAG(ZERO_FLAG)
    ) lane (
        .clk(1'b0),
        .advance(1'b0),
        .nibble(nibble),
        .flag(flag),
        .v(v[channel*V_WIDTH+:V_WIDTH]),
        .zv(zv),
        .term(term)
    );

    always_ff @(posedge clk) begin
      if (!rst_n) acc <= '0;
      else if (fire) acc <= first ? term : acc + term;
    end

    assign m_axis_tdata[channel*ACC_WIDTH+:ACC_WIDTH] = acc;
  end
endmodule
// For proofs of equivalence: what holds at every clock edge, and where two states must agree.
// invariant: !m_axis_tvalid || first
// agree: .*__acc: m_axis_tvalid || !first
// agree: .*__acc: m_axis_tvalid || !first || self == 0; first: any(.*__acc)
