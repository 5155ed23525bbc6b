// Code memory: the codes of a row as the bytes of the nibble plane and of the flag plane.
//
// Latency: 1 cycle from a key to its beat.
// Throughput: one key a cycle; rows follow one another without a gap.
// Handshake: AXI-Stream in, tdata = {nibble, flag}, tlast on the last key; AXI-Stream out, a beat a
//   key, {nibble_write, nibble_byte, flag_write, flag_byte}: a byte is to be written where its write
//   bit is 1, at the next address of its plane; it is 0 where it is not complete.
// Requirements: BL2-CODE-03, BL2-CODE-04
module code_memory #(
    parameter integer ZERO_FLAG = bitlog2_pkg::ZERO_FLAG
) (
    input  logic        clk,
    input  logic        rst_n,
    input  logic        s_axis_tvalid,
    output logic        s_axis_tready,
    input  logic [ 4:0] s_axis_tdata,
    input  logic        s_axis_tlast,
    output logic        m_axis_memory_tvalid,
    input  logic        m_axis_memory_tready,
    output logic [17:0] m_axis_memory_tdata,
    output logic        m_axis_memory_tlast
);
  logic [2:0] place;  // of the key in its flag byte
  logic [3:0] low_nibble, nibble;
  logic [6:0] low_flags;
  logic [7:0] nibble_byte, flag_byte;
  logic flag, fire, nibble_write, flag_write;

  assign {nibble, flag} = s_axis_tdata;
  assign s_axis_tready = !m_axis_memory_tvalid || m_axis_memory_tready;
  assign fire = s_axis_tvalid && s_axis_tready;

  assign nibble_write = s_axis_tlast || place[0];
  assign nibble_byte = place[0] ? {nibble, low_nibble} : {4'd0, nibble};
  assign flag_write = ZERO_FLAG != 0 && (s_axis_tlast || place == 3'd7);
  assign flag_byte = {1'b0, low_flags} | (8'(flag) << place);

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      place <= '0;
      low_nibble <= '0;
      low_flags <= '0;
      m_axis_memory_tvalid <= 1'b0;
      m_axis_memory_tdata <= '0;
      m_axis_memory_tlast <= 1'b0;
    end else if (s_axis_tready) begin
      m_axis_memory_tvalid <= fire;
      if (fire) begin
        place <= s_axis_tlast ? '0 : place + 3'd1;
        low_nibble <= nibble;
        low_flags <= (s_axis_tlast || place == 3'd7) ? '0 : flag_byte[6:0];
        m_axis_memory_tlast <= s_axis_tlast;
        m_axis_memory_tdata <= {
          nibble_write,
          nibble_write ? nibble_byte : 8'd0,
          flag_write,
          flag_write ? flag_byte : 8'd0
        };
      end
    end
  end
endmodule
// For proofs of equivalence: what holds at every clock edge, and where two states must agree.
// invariant: the(low_flags) >> place == 0
// invariant: bitlog2_pkg::ZERO_FLAG != 0 || m_axis_memory_tdata[8:0] == 0
// agree: place: {{2{1'(bitlog2_pkg::ZERO_FLAG != 0)}}, 1'b1};
//   m_axis_memory_tdata: {m_axis_memory_tvalid,
//   {8{m_axis_memory_tvalid && m_axis_memory_tdata[17]}}, m_axis_memory_tvalid,
//   {8{m_axis_memory_tvalid && m_axis_memory_tdata[8]}}};
//   m_axis_memory_tlast: m_axis_memory_tvalid; low_nibble: place[0]
// agree: place: {{2{1'(bitlog2_pkg::ZERO_FLAG != 0)}}, 1'b1};
//   m_axis_memory_tlast|m_axis_memory_tdata: m_axis_memory_tvalid; low_nibble: place[0]
// compare: m_axis_memory_tdata: {m_axis_memory_tvalid,
//   {8{m_axis_memory_tvalid && m_axis_memory_tdata[17]}}, m_axis_memory_tvalid,
//   {8{m_axis_memory_tvalid && m_axis_memory_tdata[8]}}}
