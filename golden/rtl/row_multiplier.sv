// Row multiplier: m2_row = RND(m2 * 2^k / w) and n2_row = n2 + k of a row, k = lod(w).
//
// Latency: M2_WIDTH + 4 cycles from a word to its result.
// Throughput: one word each M2_WIDTH + 4 cycles: the next one is taken as the result leaves.
// Handshake: AXI-Stream in, tdata = {weight_sum, m2, n2}; AXI-Stream out, {m2_row, n2_row}: a beat a
//   row in both.
// Requirements: BL2-ROWMUL-01, BL2-ROWMUL-02
//
// Assumes w >= 1, and n2 + k <= MAX_N2. A restoring divider, a bit of the quotient a cycle. k is
// found as w is taken; a cycle of its own then shifts the leading one of w to the top, so that m2
// over w is below 2 from the start. The quotient has one bit more than m2_row, and half an LSB is
// that bit, added in the last cycle. What only a division reads is loaded in every cycle between two
// of them, and the quotient's old bits are shifted out: so no enable waits for the handshake.
module row_multiplier #(
    parameter integer WEIGHT_SUM_WIDTH = bitlog2_pkg::WEIGHT_SUM_WIDTH,
    parameter integer M2_WIDTH = bitlog2_pkg::M2_WIDTH,
    parameter integer N2_WIDTH = bitlog2_pkg::N2_WIDTH
) (
    input  logic                                          clk,
    input  logic                                          rst_n,
    input  logic                                          s_axis_tvalid,
    output logic                                          s_axis_tready,
    input  logic [WEIGHT_SUM_WIDTH+M2_WIDTH+N2_WIDTH-1:0] s_axis_tdata,
    output logic                                          m_axis_tvalid,
    input  logic                                          m_axis_tready,
    output logic [                 M2_WIDTH+N2_WIDTH-1:0] m_axis_tdata
);
  localparam integer WIDTH = (WEIGHT_SUM_WIDTH > M2_WIDTH) ? WEIGHT_SUM_WIDTH : M2_WIDTH;
  localparam integer POSITION_WIDTH = (WEIGHT_SUM_WIDTH > 1) ? $clog2(WEIGHT_SUM_WIDTH) : 1;
  localparam integer STEPS = M2_WIDTH + 3;
  localparam integer COUNT_WIDTH = $clog2(STEPS + 1);

  logic [WEIGHT_SUM_WIDTH-1:0] weight_sum;
  logic [M2_WIDTH-1:0] m2;
  logic [N2_WIDTH-1:0] n2, layer_n2, n2_row;
  logic [POSITION_WIDTH-1:0] lod_found, k;
  logic [COUNT_WIDTH-1:0] left;  // cycles: the first one normalizes, the last one rounds
  logic [WIDTH-1:0] divisor, rest;
  logic [WIDTH:0] remainder;
  logic [M2_WIDTH:0] quotient;
  logic fire, enough, unused_any;

  assign {weight_sum, m2, n2} = s_axis_tdata;
  assign s_axis_tready = left == '0 && (!m_axis_tvalid || m_axis_tready);
  assign fire = s_axis_tvalid && s_axis_tready;
  assign m_axis_tdata = {quotient[M2_WIDTH-1:0], n2_row};

  leading_one #(
      .WIDTH(WEIGHT_SUM_WIDTH),
      .POSITION_WIDTH(POSITION_WIDTH)
  ) of_weight_sum (
      .clk(1'b0),
      .advance(1'b0),
      .x(weight_sum),
      .any(unused_any),
      .position(lod_found)
  );

  assign enough = remainder >= {1'b0, divisor};
  assign rest = enough ? WIDTH'(remainder - {1'b0, divisor}) : remainder[WIDTH-1:0];

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      left <= '0;
      k <= '0;
      divisor <= '0;
      remainder <= '0;
      layer_n2 <= '0;
      quotient <= '0;
      n2_row <= '0;
      m_axis_tvalid <= 1'b0;
    end else if (left == COUNT_WIDTH'(STEPS)) begin
      left <= left - 1'b1;
      divisor <= divisor << (WIDTH - 1 - 32'(k));
      n2_row <= layer_n2 + N2_WIDTH'(k);
    end else if (left != '0) begin
      left <= left - 1'b1;
      remainder <= {rest, 1'b0};
      quotient <= {quotient[M2_WIDTH-1:0], enough};
      if (left == COUNT_WIDTH'(1)) begin
        quotient <= (quotient >> 1) + (M2_WIDTH + 1)'(quotient[0]);
        m_axis_tvalid <= 1'b1;
      end
    end else begin
      if (m_axis_tready) m_axis_tvalid <= 1'b0;
      if (fire) left <= COUNT_WIDTH'(STEPS);
      k <= lod_found;
      divisor <= WIDTH'(weight_sum);
      remainder <= (WIDTH + 1)'(m2) << (WIDTH - M2_WIDTH);
      layer_n2 <= n2;
    end
  end
endmodule
// For proofs of equivalence: what holds at every clock edge, and where two states must agree.
// invariant: !m_axis_tvalid || left == 0
// invariant: left <= bitlog2_pkg::M2_WIDTH + 3
// invariant: left < 2 || left > bitlog2_pkg::M2_WIDTH + 2 || remainder < {divisor, 1'b0}
// invariant: left != bitlog2_pkg::M2_WIDTH + 3 || (divisor >> k == 1 && remainder >>
//   ((bitlog2_pkg::WEIGHT_SUM_WIDTH > bitlog2_pkg::M2_WIDTH) ? bitlog2_pkg::WEIGHT_SUM_WIDTH
//   : bitlog2_pkg::M2_WIDTH) == 0)
// invariant: left != bitlog2_pkg::M2_WIDTH + 3 || (divisor <= bitlog2_pkg::LARGEST_WEIGHT
//   && k >= $clog2(bitlog2_pkg::INT_MAX + 1) - 1
//   && k <= $clog2(bitlog2_pkg::LARGEST_WEIGHT + 1) - 1 && layer_n2 <= bitlog2_pkg::MAX_LAYER_N2)
// invariant: left < 2 || left > bitlog2_pkg::M2_WIDTH + 2 || !divisor[0]
//   || bitlog2_pkg::LARGEST_WEIGHT != 1 << (bitlog2_pkg::WEIGHT_SUM_WIDTH - 1)
// invariant: left < 2 || !remainder[0] || (left > bitlog2_pkg::M2_WIDTH + 1
//   && bitlog2_pkg::WEIGHT_SUM_WIDTH <= bitlog2_pkg::M2_WIDTH)
// invariant: (left == 0 && !m_axis_tvalid) || left == bitlog2_pkg::M2_WIDTH + 3
//   || (n2_row >= $clog2(bitlog2_pkg::INT_MAX + 1) - 1 && n2_row <= bitlog2_pkg::MAX_N2)
// agree: k|layer_n2: left == bitlog2_pkg::M2_WIDTH + 3; divisor|remainder: left > 1;
//   n2_row: m_axis_tvalid || (left != 0 && left != bitlog2_pkg::M2_WIDTH + 3);
//   quotient: {left == 0 || left == bitlog2_pkg::M2_WIDTH + 3
//   ? {(bitlog2_pkg::M2_WIDTH + 1){m_axis_tvalid}}
//   : ~({(bitlog2_pkg::M2_WIDTH + 1){1'b1}} << (bitlog2_pkg::M2_WIDTH + 2 - left))}
// else: left: as self ^ ((self >> 2 & self & 1) << 1)
// else: left: as self ^ ((self >> 3 & self & 1) << 1)
// else: left: as self ^ ((self >> 2 & ~self & 1) << 4)
