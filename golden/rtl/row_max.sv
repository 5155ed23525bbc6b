// Row max and distance: the largest t of the keys that are not masked, then d of each key.
//
// Latency: 1 cycle from the last beat to the maximum and to the first distance.
// Throughput: 2 cycles a key: a row is taken, then its distances are given; rows do not overlap.
// Handshake: AXI-Stream in, tdata = {mask, t}, tlast on the last key; AXI-Stream out, a beat a row;
//   AXI-Stream m_axis_keys, d of each key, tlast on the last. d of a masked key means nothing.
// Requirements: BL2-MAX-01, BL2-MAX-03, BL2-MAX-04
//
// Assumes 1 to MAX_TOKENS beats a row, and a key that is not masked.
module row_max #(
    parameter integer T_WIDTH = bitlog2_pkg::T_WIDTH,
    parameter integer D_WIDTH = bitlog2_pkg::D_WIDTH,
    parameter integer DISTANCE_MAX = bitlog2_pkg::DISTANCE_MAX,
    parameter integer MAX_TOKENS = bitlog2_pkg::MAX_TOKENS
) (
    input  logic                      clk,
    input  logic                      rst_n,
    input  logic                      s_axis_tvalid,
    output logic                      s_axis_tready,
    input  logic        [  T_WIDTH:0] s_axis_tdata,
    input  logic                      s_axis_tlast,
    output logic                      m_axis_tvalid,
    input  logic                      m_axis_tready,
    output logic signed [T_WIDTH-1:0] m_axis_tdata,
    output logic                      m_axis_keys_tvalid,
    input  logic                      m_axis_keys_tready,
    output logic        [D_WIDTH-1:0] m_axis_keys_tdata,
    output logic                      m_axis_keys_tlast
);
  localparam integer INDEX_WIDTH = (MAX_TOKENS > 1) ? $clog2(MAX_TOKENS) : 1;
  localparam logic signed [T_WIDTH-1:0] LOWEST = {1'b1, {(T_WIDTH - 1) {1'b0}}};

  logic signed [T_WIDTH-1:0] buffer[0:MAX_TOKENS-1];
  logic [INDEX_WIDTH-1:0] index, last_index;
  logic signed [T_WIDTH-1:0] t, largest;
  logic mask, fire;

  assign {mask, t} = s_axis_tdata;
  assign s_axis_tready = !m_axis_tvalid && !m_axis_keys_tvalid;
  assign fire = s_axis_tvalid && s_axis_tready;
  assign largest = (!mask && t > m_axis_tdata) ? t : m_axis_tdata;
  assign m_axis_keys_tlast = index == last_index;

  distance #(
      .T_WIDTH(T_WIDTH),
      .D_WIDTH(D_WIDTH),
      .DISTANCE_MAX(DISTANCE_MAX)
  ) of_key (
      .row_max(m_axis_tdata),
      .t(buffer[index]),
      .d(m_axis_keys_tdata)
  );

  always_ff @(posedge clk) begin
    if (fire) buffer[index] <= t;
  end

  // The maximum is held until both outputs are taken, and starts anew with the next row's first key.
  logic fresh;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      m_axis_tvalid <= 1'b0;
      m_axis_keys_tvalid <= 1'b0;
      m_axis_tdata <= LOWEST;
      index <= '0;
      last_index <= '0;
    end else if (fire) begin
      m_axis_tdata <= fresh ? (mask ? LOWEST : t) : largest;
      m_axis_tvalid <= s_axis_tlast;
      m_axis_keys_tvalid <= s_axis_tlast;
      index <= s_axis_tlast ? '0 : index + 1'b1;
      if (s_axis_tlast) last_index <= index;
    end else begin
      if (m_axis_tready) m_axis_tvalid <= 1'b0;
      if (m_axis_keys_tvalid && m_axis_keys_tready) begin
        m_axis_keys_tvalid <= !m_axis_keys_tlast;
        index <= m_axis_keys_tlast ? '0 : index + 1'b1;
      end
    end
  end

  assign fresh = index == '0;
endmodule
// For proofs of equivalence: what holds at every clock edge, and where two states must agree.
// assume: !s_axis_tvalid || s_axis_tlast || index != bitlog2_pkg::MAX_TOKENS - 1
// invariant: !m_axis_keys_tvalid || index <= last_index
// invariant: !m_axis_tvalid || m_axis_keys_tvalid || index == 0
// agree: m_axis_tdata: index != 0 || m_axis_tvalid || m_axis_keys_tvalid;
//   last_index: m_axis_keys_tvalid;
//   buffer: m_axis_keys_tvalid ? entry <= last_index : entry < index
