// Weight sum: w = sum over a row's beats of what its levels stand for.
//
// Latency: 1 cycle from the last beat to the sum.
// Throughput: one key a cycle; rows follow one another without a gap.
// Handshake: AXI-Stream in, tdata = level, tlast on the last key; AXI-Stream out, a beat a row.
// Requirements: BL2-WEIGHT-01
//
// Assumes at most MAX_TOKENS beats a row, level <= TOP_LEVEL: the sum then cannot overflow.
module weight_sum #(
    parameter integer LEVEL_WIDTH = bitlog2_pkg::LEVEL_WIDTH,
    parameter integer OCTAVE_LEVELS = bitlog2_pkg::OCTAVE_LEVELS,
    parameter integer INT_MAX = bitlog2_pkg::INT_MAX,
    parameter integer WEIGHT_SUM_WIDTH = bitlog2_pkg::WEIGHT_SUM_WIDTH
) (
    input  logic                        clk,
    input  logic                        rst_n,
    input  logic                        s_axis_tvalid,
    output logic                        s_axis_tready,
    input  logic [     LEVEL_WIDTH-1:0] s_axis_tdata,
    input  logic                        s_axis_tlast,
    output logic                        m_axis_tvalid,
    input  logic                        m_axis_tready,
    output logic [WEIGHT_SUM_WIDTH-1:0] m_axis_tdata
);
  localparam integer VALUE_WIDTH = $clog2(INT_MAX + 1);

  logic [VALUE_WIDTH-1:0] value;
  logic first, fire;

  level_value #(
      .LEVEL_WIDTH(LEVEL_WIDTH),
      .OCTAVE_LEVELS(OCTAVE_LEVELS),
      .INT_MAX(INT_MAX),
      .VALUE_WIDTH(VALUE_WIDTH)
  ) of_level (
      .level(s_axis_tdata),
      .value(value)
  );

  assign s_axis_tready = !m_axis_tvalid || m_axis_tready;
  assign fire = s_axis_tvalid && s_axis_tready;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      first <= 1'b1;
      m_axis_tvalid <= 1'b0;
      m_axis_tdata <= '0;
    end else if (s_axis_tready) begin
      m_axis_tvalid <= fire && s_axis_tlast;
      if (fire) begin
        first <= s_axis_tlast;
        m_axis_tdata <= WEIGHT_SUM_WIDTH'(value) + (first ? '0 : m_axis_tdata);
      end
    end
  end
endmodule
// For proofs of equivalence: what holds at every clock edge, and where two states must agree.
// assume: !s_axis_tvalid || first || m_axis_tdata <= (bitlog2_pkg::MAX_TOKENS - 1)
//   * bitlog2_pkg::INT_MAX
// invariant: !m_axis_tvalid || first
// agree: m_axis_tdata: m_axis_tvalid || !first
// agree: m_axis_tdata: m_axis_tvalid || !first || self == 0; first: any(m_axis_tdata)
