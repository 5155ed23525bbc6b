// Score accumulator: score = sum over a row's beats of (q - zq) * (k - zk).
//
// Latency: 1 cycle from the last beat to the score.
// Throughput: one channel a cycle; rows follow one another without a gap.
// Handshake: AXI-Stream in, tdata = {q, k}, tlast on the last channel; AXI-Stream out, a beat a row.
//   zq and zk are held from a row's first beat until its score is taken.
// Requirements: BL2-SCORE-01, BL2-SCORE-02
//
// Assumes at most MAX_HEAD_DIM beats a row: the accumulator then cannot overflow.
module score_accumulator #(
    parameter integer Q_WIDTH = bitlog2_pkg::Q_WIDTH,
    parameter integer K_WIDTH = bitlog2_pkg::K_WIDTH,
    parameter integer SCORE_WIDTH = bitlog2_pkg::SCORE_WIDTH
) (
    input  logic                          clk,
    input  logic                          rst_n,
    input  logic        [    Q_WIDTH-1:0] zq,
    input  logic        [    K_WIDTH-1:0] zk,
    input  logic                          s_axis_tvalid,
    output logic                          s_axis_tready,
    input  logic        [Q_WIDTH+K_WIDTH-1:0] s_axis_tdata,
    input  logic                          s_axis_tlast,
    output logic                          m_axis_tvalid,
    input  logic                          m_axis_tready,
    output logic signed [SCORE_WIDTH-1:0] m_axis_tdata
);
  logic [Q_WIDTH-1:0] q;
  logic [K_WIDTH-1:0] k;
  logic signed [Q_WIDTH:0] query;
  logic signed [K_WIDTH:0] key;
  logic signed [SCORE_WIDTH-1:0] term;
  logic first, fire;

  assign {q, k} = s_axis_tdata;
  assign query = {1'b0, q} - {1'b0, zq};
  assign key = {1'b0, k} - {1'b0, zk};
  assign term = SCORE_WIDTH'(query) * SCORE_WIDTH'(key);

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
        m_axis_tdata <= first ? term : m_axis_tdata + term;
      end
    end
  end
endmodule
// For proofs of equivalence: what holds at every clock edge, and where two states must agree.
// invariant: !m_axis_tvalid || first
// agree: m_axis_tdata: m_axis_tvalid || !first
// agree: m_axis_tdata: m_axis_tvalid || !first || self == 0; first: any(m_axis_tdata)
