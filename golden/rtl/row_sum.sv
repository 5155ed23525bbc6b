// Row sum: s = sum over a row's beats of e.
//
// Latency: 1 cycle from the last beat to the sum.
// Throughput: one key a cycle; rows follow one another without a gap.
// Handshake: AXI-Stream in, tdata = e, tlast on the last key; AXI-Stream out, a beat a row.
// Requirements: BL2-SUM-01
//
// Assumes at most MAX_TOKENS beats a row, each at most 2^P: the sum then cannot overflow.
module row_sum #(
    parameter integer E_WIDTH = bitlog2_pkg::E_WIDTH,
    parameter integer S_WIDTH = bitlog2_pkg::S_WIDTH
) (
    input  logic               clk,
    input  logic               rst_n,
    input  logic               s_axis_tvalid,
    output logic               s_axis_tready,
    input  logic [E_WIDTH-1:0] s_axis_tdata,
    input  logic               s_axis_tlast,
    output logic               m_axis_tvalid,
    input  logic               m_axis_tready,
    output logic [S_WIDTH-1:0] m_axis_tdata
);
  logic first, fire;

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
        m_axis_tdata <= S_WIDTH'(s_axis_tdata) + (first ? '0 : m_axis_tdata);
      end
    end
  end
endmodule
// For proofs of equivalence: what holds at every clock edge, and where two states must agree.
// assume: !s_axis_tvalid || first || m_axis_tdata <= (bitlog2_pkg::MAX_TOKENS - 1)
//   << bitlog2_pkg::TABLE_BITS
// invariant: !m_axis_tvalid || first
// agree: m_axis_tdata: m_axis_tvalid || !first
// agree: m_axis_tdata: m_axis_tvalid || !first || self == 0; first: any(m_axis_tdata)
