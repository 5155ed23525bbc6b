// Softmax row: the scores of a row to the codes of its attention map, LANES keys a beat.
//
// Latency: 2 B + 2 T + 22 cycles from the first beat of a row to its first codes, B = ceil(N /
//   LANES), T = ceil(log2 LANES); with ROW_MAX, B + T + 12.
// Throughput: rows overlap: while one is read out of the row buffer, the next one is loaded. A row
//   takes 2 B + T + 3 cycles: two passes over the buffer, one for the row sum and one for the codes;
//   or half of 3 B + 2 T + 9 where that is more: its room in the buffer is free again after that.
//   With ROW_MAX, where codes need no row sum, it takes half of 2 B + T + 7.
// Handshake: AXI-Stream in, LANES x {mask, score, bias}, lane 0 lowest; tkeep, a bit a lane, is 1 on
//   all lanes but for the last beat, where the low lanes are kept; tlast on the last beat.
//   AXI-Stream out, LANES x {nibble, flag}, framed alike. m and n are held from a row's first beat
//   until its last codes are taken. tap_keys is valid in the cycle in which codes are taken;
//   row_max and row_sum are those of its row; with ROW_MAX row_sum is 0.
// Cycles: quotient max(2 * B + TREE + 3, (3 * B + 2 * TREE + 9) / 2);
//   row_max (2 * B + TREE + 7) / 2
// Requirements: BL2-ROW-01, BL2-MAX-01, BL2-EXP2-04, BL2-SUM-01, BL2-SUM-02, BL2-DIST-02,
// Requirements: BL2-DIST-03, BL2-CODE-01, BL2-CODE-02
//
// Assumes 1 to MAX_TOKENS keys a row, one of them not masked, and n <= MAX_N.
//
// The way in never stops: a row is let in only where the buffer has room for it. The way out stands
// still as a whole while codes wait to be taken. What passes through registers is numbered by the
// one that holds it, from 0 for the first of each way.
module softmax_row #(
    parameter integer LANES = 4,
    parameter integer MAX_TOKENS = bitlog2_pkg::MAX_TOKENS,
    parameter integer SCORE_WIDTH = bitlog2_pkg::SCORE_WIDTH,
    parameter integer M_WIDTH = bitlog2_pkg::M_WIDTH,
    parameter integer N_WIDTH = bitlog2_pkg::N_WIDTH,
    parameter integer PRODUCT_WIDTH = bitlog2_pkg::PRODUCT_WIDTH,
    parameter integer T_WIDTH = bitlog2_pkg::T_WIDTH,
    parameter integer D_WIDTH = bitlog2_pkg::D_WIDTH,
    parameter integer E_WIDTH = bitlog2_pkg::E_WIDTH,
    parameter integer S_WIDTH = bitlog2_pkg::S_WIDTH,
    parameter integer LEVEL_WIDTH = bitlog2_pkg::LEVEL_WIDTH,
    parameter integer DISTANCE_MAX = bitlog2_pkg::DISTANCE_MAX,
    parameter integer FRACTION_BITS = bitlog2_pkg::FRACTION_BITS,
    parameter logic [(E_WIDTH << FRACTION_BITS)-1:0] TABLE = bitlog2_pkg::EXP2_TABLE,
    parameter integer COMPARE_WIDTH = bitlog2_pkg::COMPARE_WIDTH,
    parameter integer ODD_FACTOR = bitlog2_pkg::ODD_FACTOR,
    parameter integer BASE_SHIFT = bitlog2_pkg::BASE_SHIFT,
    parameter integer HALF = bitlog2_pkg::HALF,
    parameter integer TOP_LEVEL = bitlog2_pkg::TOP_LEVEL,
    parameter integer ZERO_FLAG = bitlog2_pkg::ZERO_FLAG,
    parameter integer ROW_MAX = bitlog2_pkg::ROW_MAX,
    parameter integer OCTAVE_LEVELS = bitlog2_pkg::OCTAVE_LEVELS,
    parameter integer THRESHOLD_WIDTH = bitlog2_pkg::THRESHOLD_WIDTH,
    parameter logic [TOP_LEVEL*THRESHOLD_WIDTH-1:0] THRESHOLDS = bitlog2_pkg::THRESHOLDS,
    parameter integer KEY_WIDTH = 1 + SCORE_WIDTH + T_WIDTH,
    parameter integer TAP_WIDTH = T_WIDTH + D_WIDTH + ((ROW_MAX != 0) ? 0 : E_WIDTH) +
        LEVEL_WIDTH + 5
) (
    input  logic                              clk,
    input  logic                              rst_n,
    input  logic        [        M_WIDTH-1:0] m,
    input  logic        [        N_WIDTH-1:0] n,
    input  logic                              s_axis_score_tvalid,
    output logic                              s_axis_score_tready,
    input  logic        [LANES*KEY_WIDTH-1:0] s_axis_score_tdata,
    input  logic        [          LANES-1:0] s_axis_score_tkeep,
    input  logic                              s_axis_score_tlast,
    output logic                              m_axis_tvalid,
    input  logic                              m_axis_tready,
    output logic        [        LANES*5-1:0] m_axis_tdata,
    output logic        [          LANES-1:0] m_axis_tkeep,
    output logic                              m_axis_tlast,
    output logic                              tap_keys_tvalid,
    output logic        [LANES*TAP_WIDTH-1:0] tap_keys_tdata,
    output logic        [          LANES-1:0] tap_keys_tkeep,
    output logic                              tap_keys_tlast,
    output logic signed [        T_WIDTH-1:0] row_max,
    output logic        [        S_WIDTH-1:0] row_sum
);
  localparam integer BEATS = (MAX_TOKENS + LANES - 1) / LANES;
  localparam integer INDEX_WIDTH = (BEATS > 1) ? $clog2(BEATS) : 1;
  localparam integer LANE_WIDTH = 2 + T_WIDTH;
  localparam integer TREE = $clog2(LANES);  // levels of a tree over the lanes, a register each
  localparam integer LEAVES = 1 << TREE;
  localparam logic signed [T_WIDTH-1:0] LOWEST = {1'b1, {(T_WIDTH - 1) {1'b0}}};

  // The way in: the beat, 4 registers in the requantizer, t, the tree.
  localparam integer OF_T = 5;
  localparam integer OF_MAX = OF_T + TREE;
  // The way out: the word of the buffer twice, d, e, 7 registers in the quantizer, codes.
  localparam integer OF_WORD = 1;
  localparam integer OF_E = 3;
  localparam integer OUT = (ROW_MAX != 0) ? 3 : 11;
  // Cycles between the passes: sum and leading one are there as the first e comes again.
  localparam integer GAP_CYCLES = TREE + 2;
  localparam integer COUNT_WIDTH = ($clog2(GAP_CYCLES) > INDEX_WIDTH) ?
      $clog2(GAP_CYCLES) : INDEX_WIDTH;

  localparam logic [1:0] IDLE = 2'd0;
  localparam logic [1:0] SUM = 2'd1;
  localparam logic [1:0] GAP = 2'd2;
  localparam logic [1:0] CODE = 2'd3;
  localparam logic [1:0] BEGIN = (ROW_MAX != 0) ? CODE : SUM;  // what follows IDLE

  logic accept, advance, taken, at_end, released, last_of_word;
  logic [1:0] rows;  // that are in, and not yet read for the last time
  logic [OF_MAX:0] loading, lasts;  // where beats are on the way in, and last ones
  logic [OUT:0] coding;  // and on the way out
  logic waiting;  // a row whose maximum is known
  logic write_bank, read_bank;
  logic [INDEX_WIDTH-1:0] write_index, last_index, read_last;
  logic [LANES*LANE_WIDTH-1:0] loaded, written, read, held;  // {kept, masked, t} of each lane
  logic [LANES*LANE_WIDTH-1:0] buffer[0:(2<<INDEX_WIDTH)-1];
  logic [(2*LEAVES-1)*T_WIDTH-1:0] maxima;  // a tree: 0 is its root, below i are 2 i + 1, 2 i + 2
  logic signed [T_WIDTH-1:0] beat_max, largest, read_max, max_of_word;
  logic [1:0] state;
  logic [COUNT_WIDTH-1:0] count;

  assign s_axis_score_tready = !rows[1];
  assign accept = s_axis_score_tvalid && s_axis_score_tready;
  assign advance = !m_axis_tvalid || m_axis_tready;

  // In: t of each lane, and the maximum of those that are there and not masked.
  for (genvar lane = 0; lane < LANES; lane++) begin : g_load
    logic mask, kept, masked, kept_before;
    logic signed [SCORE_WIDTH-1:0] score;
    logic signed [T_WIDTH-1:0] bias, t;

    delay_line #(
        .WIDTH(1 + KEY_WIDTH)
    ) of_beat (
        .clk(clk),
        .advance(1'b1),
        .d({s_axis_score_tkeep[lane], s_axis_score_tdata[lane*KEY_WIDTH+:KEY_WIDTH]}),
        .q({kept, mask, score, bias})
    );

    delay_line #(
        .WIDTH(2),
        .DEPTH(OF_T - 1)
    ) beside_t (
        .clk(clk),
        .advance(1'b1),
        .d({kept, mask || !kept}),
        .q({kept_before, masked})
    );

    score_requantizer_pipe #(
        .SCORE_WIDTH(SCORE_WIDTH),
        .M_WIDTH(M_WIDTH),
        .N_WIDTH(N_WIDTH),
        .PRODUCT_WIDTH(PRODUCT_WIDTH),
        .T_WIDTH(T_WIDTH)
    ) requantizer (
        .clk(clk),
        .advance(1'b1),
        .score(score),
        .m(m),
        .n(n),
        .bias(bias),
        .t(t)
    );

    delay_line #(
        .WIDTH(LANE_WIDTH)
    ) of_t (
        .clk(clk),
        .advance(1'b1),
        .d({kept_before, masked, t}),
        .q(loaded[lane*LANE_WIDTH+:LANE_WIDTH])
    );
  end

  for (genvar leaf = 0; leaf < LEAVES; leaf++) begin : g_maximum
    logic signed [T_WIDTH-1:0] of_leaf;

    if (leaf < LANES) begin : g_lane
      assign of_leaf = loaded[leaf*LANE_WIDTH+T_WIDTH] ?
          LOWEST : loaded[leaf*LANE_WIDTH+:T_WIDTH];
    end else begin : g_none
      assign of_leaf = LOWEST;
    end

    assign maxima[(LEAVES-1+leaf)*T_WIDTH+:T_WIDTH] = of_leaf;

    if (leaf < LEAVES - 1) begin : g_node
      logic signed [T_WIDTH-1:0] left, right, larger;

      assign left = maxima[(2*leaf+1)*T_WIDTH+:T_WIDTH];
      assign right = maxima[(2*leaf+2)*T_WIDTH+:T_WIDTH];

      always_ff @(posedge clk) begin
        larger <= (left > right) ? left : right;
      end

      assign maxima[leaf*T_WIDTH+:T_WIDTH] = larger;
    end
  end

  assign beat_max = maxima[T_WIDTH-1:0];

  delay_line #(
      .WIDTH(LANES * LANE_WIDTH),
      .DEPTH(TREE)
  ) beside_tree (
      .clk(clk),
      .advance(1'b1),
      .d(loaded),
      .q(written)
  );

  always_ff @(posedge clk) begin
    if (loading[OF_MAX]) buffer[{write_bank, write_index}] <= written;
  end

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      rows <= '0;
      loading <= '0;
      lasts <= '0;
      write_bank <= 1'b0;
      write_index <= '0;
      waiting <= 1'b0;
      largest <= '0;
      last_index <= '0;
    end else begin
      rows <= rows + 2'(accept && s_axis_score_tlast) - 2'(released);
      loading <= {loading[OF_MAX-1:0], accept};
      lasts <= {lasts[OF_MAX-1:0], accept && s_axis_score_tlast};
      if (loading[OF_MAX]) begin
        if (write_index == '0 || beat_max > largest) largest <= beat_max;
        write_index <= lasts[OF_MAX] ? '0 : write_index + 1'b1;
      end
      if (lasts[OF_MAX]) begin
        write_bank <= !write_bank;
        last_index <= write_index;
      end
      waiting <= (waiting && !taken) || lasts[OF_MAX];
    end
  end

  // Passes over the buffer.
  assign taken = state == IDLE && waiting;
  assign at_end = count == ((state == GAP) ? COUNT_WIDTH'(GAP_CYCLES - 1) :
      COUNT_WIDTH'(read_last));
  assign released = advance && state == CODE && at_end;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      state <= IDLE;
      count <= '0;
      read_bank <= 1'b0;
      read_max <= '0;
      read_last <= '0;
      coding <= '0;
    end else begin
      if (taken) begin
        state <= BEGIN;
        read_max <= largest;
        read_last <= last_index;
      end else if (advance && state != IDLE) begin
        count <= at_end ? '0 : count + 1'b1;
        if (at_end) state <= state + 2'd1;
      end
      if (released) read_bank <= !read_bank;
      if (advance) coding <= {coding[OUT-1:0], state == CODE};
    end
  end

  // Out: d of each lane, and its level.
  always_ff @(posedge clk) begin
    if (advance) read <= buffer[{read_bank, count[INDEX_WIDTH-1:0]}];
  end

  delay_line #(
      .WIDTH(LANES * LANE_WIDTH),
      .DEPTH(OF_WORD)
  ) word_again (
      .clk(clk),
      .advance(advance),
      .d(read),
      .q(held)
  );

  delay_line #(
      .WIDTH(1 + T_WIDTH),
      .DEPTH(OF_WORD + 1)
  ) row_beside_word (
      .clk(clk),
      .advance(advance),
      .d({at_end, read_max}),
      .q({last_of_word, max_of_word})
  );

  delay_line #(
      .WIDTH(1 + T_WIDTH),
      .DEPTH(OUT - OF_WORD)
  ) row_beside_code (
      .clk(clk),
      .advance(advance),
      .d({last_of_word, max_of_word}),
      .q({m_axis_tlast, row_max})
  );

  if (ROW_MAX != 0) begin : g_row_max
    // One pass: the level of each lane is read from its distance.
    for (genvar lane = 0; lane < LANES; lane++) begin : g_key
      logic kept, masked, mask, flag;
      logic signed [T_WIDTH-1:0] t, out_t;
      logic [D_WIDTH-1:0] found_d, d, out_d;
      logic [LEVEL_WIDTH-1:0] level, out_level;
      logic [3:0] nibble;

      assign {kept, masked, t} = held[lane*LANE_WIDTH+:LANE_WIDTH];

      distance #(
          .T_WIDTH(T_WIDTH),
          .D_WIDTH(D_WIDTH),
          .DISTANCE_MAX(DISTANCE_MAX)
      ) of_key (
          .row_max(max_of_word),
          .t(t),
          .d(found_d)
      );

      delay_line #(
          .WIDTH(1 + D_WIDTH)
      ) of_d (
          .clk(clk),
          .advance(advance),
          .d({masked, found_d}),
          .q({mask, d})
      );

      delay_line #(
          .WIDTH(1 + T_WIDTH + D_WIDTH),
          .DEPTH(OUT - OF_WORD)
      ) beside_code (
          .clk(clk),
          .advance(advance),
          .d({kept, t, found_d}),
          .q({m_axis_tkeep[lane], out_t, out_d})
      );

      delay_line #(
          .WIDTH(LEVEL_WIDTH + 5)
      ) of_code (
          .clk(clk),
          .advance(advance),
          .d({level, nibble, flag}),
          .q({out_level, m_axis_tdata[lane*5+:5]})
      );

      distance_quantizer #(
          .D_WIDTH(D_WIDTH),
          .FRACTION_BITS(FRACTION_BITS),
          .LEVEL_WIDTH(LEVEL_WIDTH),
          .TOP_LEVEL(TOP_LEVEL),
          .OCTAVE_LEVELS(OCTAVE_LEVELS),
          .ZERO_FLAG(ZERO_FLAG),
          .THRESHOLD_WIDTH(THRESHOLD_WIDTH),
          .THRESHOLDS(THRESHOLDS)
      ) quantizer (
          .mask(mask),
          .d(d),
          .level(level),
          .nibble(nibble),
          .flag(flag)
      );

      assign tap_keys_tdata[lane*TAP_WIDTH+:TAP_WIDTH] =
          {out_t, out_d, out_level, m_axis_tdata[lane*5+:5]};
    end

    assign row_sum = '0;
  end else begin : g_quotient
    localparam integer OF_SUM = OF_E + TREE;
    localparam integer S_POSITION_WIDTH = $clog2(S_WIDTH);

    logic [OF_SUM:0] summing, firsts;  // where beats of the first pass are, and first ones
    logic [(2*LEAVES-1)*S_WIDTH-1:0] sums;  // a tree as that of the maxima
    logic [S_WIDTH-1:0] sum;
    logic [S_POSITION_WIDTH-1:0] lod_found, lod_s;
    logic unused_any;

    // Both passes: d and e of each lane; the second has the sum, and so the codes.
    for (genvar lane = 0; lane < LANES; lane++) begin : g_key
      logic [E_WIDTH-1:0] found_e, e, out_e;
      logic kept, masked, mask, flag;
      logic signed [T_WIDTH-1:0] t, out_t;
      logic [D_WIDTH-1:0] found_d, d, out_d;
      logic [LEVEL_WIDTH-1:0] level, out_level;
      logic [3:0] nibble;

      assign {kept, masked, t} = held[lane*LANE_WIDTH+:LANE_WIDTH];

      distance #(
          .T_WIDTH(T_WIDTH),
          .D_WIDTH(D_WIDTH),
          .DISTANCE_MAX(DISTANCE_MAX)
      ) of_key (
          .row_max(max_of_word),
          .t(t),
          .d(found_d)
      );

      delay_line #(
          .WIDTH(1 + D_WIDTH)
      ) of_d (
          .clk(clk),
          .advance(advance),
          .d({masked, found_d}),
          .q({mask, d})
      );

      delay_line #(
          .WIDTH(1 + T_WIDTH + D_WIDTH),
          .DEPTH(OUT - OF_WORD)
      ) beside_code (
          .clk(clk),
          .advance(advance),
          .d({kept, t, found_d}),
          .q({m_axis_tkeep[lane], out_t, out_d})
      );

      delay_line #(
          .WIDTH(LEVEL_WIDTH + 5)
      ) of_code (
          .clk(clk),
          .advance(advance),
          .d({level, nibble, flag}),
          .q({out_level, m_axis_tdata[lane*5+:5]})
      );

      exp2 #(
          .D_WIDTH(D_WIDTH),
          .E_WIDTH(E_WIDTH),
          .FRACTION_BITS(FRACTION_BITS),
          .TABLE(TABLE)
      ) of_distance (
          .mask(mask),
          .d(d),
          .e(found_e)
      );

      delay_line #(
          .WIDTH(E_WIDTH)
      ) of_e (
          .clk(clk),
          .advance(advance),
          .d(found_e),
          .q(e)
      );

      log2_quantizer_pipe #(
          .S_WIDTH(S_WIDTH),
          .E_WIDTH(E_WIDTH),
          .LEVEL_WIDTH(LEVEL_WIDTH),
          .COMPARE_WIDTH(COMPARE_WIDTH),
          .ODD_FACTOR(ODD_FACTOR),
          .BASE_SHIFT(BASE_SHIFT),
          .HALF(HALF),
          .TOP_LEVEL(TOP_LEVEL),
          .ZERO_FLAG(ZERO_FLAG),
          .S_POSITION_WIDTH(S_POSITION_WIDTH)
      ) quantizer (
          .clk(clk),
          .advance(advance),
          .s(sum),
          .lod_s(lod_s),
          .e(e),
          .level(level),
          .nibble(nibble),
          .flag(flag)
      );

      delay_line #(
          .WIDTH(E_WIDTH),
          .DEPTH(OUT - OF_E)
      ) e_beside_code (
          .clk(clk),
          .advance(advance),
          .d(e),
          .q(out_e)
      );

      assign tap_keys_tdata[lane*TAP_WIDTH+:TAP_WIDTH] =
          {out_t, out_d, out_e, out_level, m_axis_tdata[lane*5+:5]};
      assign sums[(LEAVES-1+lane)*S_WIDTH+:S_WIDTH] = S_WIDTH'(e);
    end

    for (genvar node = 0; node < LEAVES - 1; node++) begin : g_sum
      logic [S_WIDTH-1:0] added;

      always_ff @(posedge clk) begin
        if (advance) added <= sums[(2*node+1)*S_WIDTH+:S_WIDTH] + sums[(2*node+2)*S_WIDTH+:S_WIDTH];
      end

      assign sums[node*S_WIDTH+:S_WIDTH] = added;
    end

    for (genvar leaf = LANES; leaf < LEAVES; leaf++) begin : g_none
      assign sums[(LEAVES-1+leaf)*S_WIDTH+:S_WIDTH] = '0;
    end

    always_ff @(posedge clk) begin
      if (!rst_n) begin
        summing <= '0;
        firsts <= '0;
        sum <= '0;
      end else if (advance) begin
        summing <= {summing[OF_SUM-1:0], state == SUM};
        firsts <= {firsts[OF_SUM-1:0], state == SUM && count == '0};
        if (summing[OF_SUM]) sum <= sums[S_WIDTH-1:0] + (firsts[OF_SUM] ? '0 : sum);
      end
    end

    leading_one #(
        .WIDTH(S_WIDTH),
        .PIPELINE(1),
        .POSITION_WIDTH(S_POSITION_WIDTH)
    ) of_sum (
        .clk(clk),
        .advance(advance),
        .x(sum),
        .any(unused_any),
        .position(lod_found)
    );

    delay_line #(
        .WIDTH(S_POSITION_WIDTH)
    ) of_lod (
        .clk(clk),
        .advance(advance),
        .d(lod_found),
        .q(lod_s)
    );

    delay_line #(
        .WIDTH(S_WIDTH),
        .DEPTH(OUT - OF_E)
    ) sum_beside_code (
        .clk(clk),
        .advance(advance),
        .d(sum),
        .q(row_sum)
    );
  end

  assign m_axis_tvalid = coding[OUT];
  assign tap_keys_tvalid = m_axis_tvalid && m_axis_tready;
  assign tap_keys_tkeep = m_axis_tkeep;
  assign tap_keys_tlast = m_axis_tlast;
endmodule
// Points that the vectors of the default configuration do not reach.
// not reached: toggle "g_quotient\.(sums\[(19|2[0-6]|5[123])\]|g_sum\[0\]\.added\[(19|2[0-6])\]):.*"
//   upper bits of the sum of a beat: each e is at most 2^16, and four make 2^18 (BL2-SUM-01)
// not reached: toggle "g_quotient\.g_sum\[[12]\]\.added\[(1[89]|2[0-6])\]:.*"
//   upper bits of the sum of two keys: each e is at most 2^16 (BL2-SUM-01)

// For proofs of equivalence, of 4 lanes: what holds at every clock edge, and where two states must
// agree.
// assume: !s_axis_score_tvalid || (s_axis_score_tkeep[0]
//   && (s_axis_score_tkeep & (s_axis_score_tkeep + 1)) == 0)
// assume: !s_axis_score_tvalid || s_axis_score_tlast || &s_axis_score_tkeep
// invariant: (lasts & ~loading) == 0
// invariant: rows <= 2 && rows == $countones(lasts) + waiting + (state != 0)
// invariant: write_bank == (read_bank ^ waiting ^ (state != 0))
// invariant: !rows[1] || ((loading & (~loading + 8'd1) & ~lasts) == 0
//   && (loading != 0 || write_index == 0))
// invariant: state[0] ? count <= read_last : state == 2 ? count <= 3 : count == 0
// row_max invariant: state == 0 || state == 3
// row_max invariant: of 4 lanes: !loading[1] ||
//   the(.*load_#__requantizer_after_product_q)[bitlog2_pkg::PRODUCT_WIDTH-1:0]
//   <= (1 << bitlog2_pkg::MAX_N) >> 1
// row_max invariant: of 4 lanes: (!coding[0]
//   || read[(# + 1) * (bitlog2_pkg::T_WIDTH + 2) - 2+:2] != 0) && (!coding[1]
//   || held[(# + 1) * (bitlog2_pkg::T_WIDTH + 2) - 2+:2] != 0) && (!coding[2]
//   || top(.*key_#__beside_code_.*_0__held) || top(.*key_#__of_d_q))
// quotient invariant: (g_quotient_firsts & ~g_quotient_summing) == 0
// quotient invariant: state != 1 || count == 0 || g_quotient_summing[0]
// quotient invariant: (g_quotient_summing & ((state == 0 || (state == 1 && count == 0)) ? 6'h1f
//   : state == 1 ? 6'h00 : state == 2 ? (6'h01 << count) - 6'h01
//   : count == 0 ? 6'h0f : count == 1 ? 6'h1f : 6'h3f)) == 0
// quotient invariant: !g_quotient_summing[4] || ((g_quotient_g_sum_1__added |
//   g_quotient_g_sum_2__added) >> (bitlog2_pkg::E_WIDTH + 1)) == 0
// quotient invariant: !g_quotient_summing[5]
//   || (g_quotient_g_sum_0__added >> (bitlog2_pkg::E_WIDTH + 2)) == 0
// quotient invariant: (!coding[0] || g_quotient_summing[4:0] == 0)
//   && (!coding[1] || g_quotient_summing[5:1] == 0)
// quotient invariant: !coding[2] || g_quotient_of_sum_in_the_middle_q ==
//   ((g_quotient_sum >> 24) != 0 ? {32'(g_quotient_sum >> 24), 5'd24}
//   : (g_quotient_sum >> 20) != 0 ? {32'(g_quotient_sum >> 20), 5'd20}
//   : (g_quotient_sum >> 16) != 0 ? {32'(g_quotient_sum >> 16), 5'd16}
//   : (g_quotient_sum >> 12) != 0 ? {32'(g_quotient_sum >> 12), 5'd12}
//   : (g_quotient_sum >> 8) != 0 ? {32'(g_quotient_sum >> 8), 5'd8}
//   : (g_quotient_sum >> 4) != 0 ? {32'(g_quotient_sum >> 4), 5'd4}
//   : {32'(g_quotient_sum), 5'd0})
// quotient invariant: !coding[3] || ((g_quotient_of_sum_in_the_middle_q >> 9) == 0
//   && g_quotient_of_sum_in_the_middle_q[1:0] == 0
//   && g_quotient_lod_s == {g_quotient_of_sum_in_the_middle_q[4:2],
//   g_quotient_of_sum_in_the_middle_q[8:7] != 0, g_quotient_of_sum_in_the_middle_q[8:7] != 0
//   ? g_quotient_of_sum_in_the_middle_q[8] : g_quotient_of_sum_in_the_middle_q[6]})
// quotient invariant: !coding[5] || ((g_quotient_g_key_0__quantizer_of_x_in_the_middle_q
//   | g_quotient_g_key_1__quantizer_of_x_in_the_middle_q
//   | g_quotient_g_key_2__quantizer_of_x_in_the_middle_q
//   | g_quotient_g_key_3__quantizer_of_x_in_the_middle_q) >> 9) == 0
// quotient invariant: !coding[3] || g_quotient_lod_s >= bitlog2_pkg::TABLE_BITS
// quotient invariant: of 4 lanes: (!coding[4]
//   || the(.*key_#__quantizer_after_x_q)[4:0] >= bitlog2_pkg::TABLE_BITS) && (!coding[5]
//   || the(.*key_#__quantizer_beside_lod_.*_0__held)[4:0] >= bitlog2_pkg::TABLE_BITS)
//   && (!coding[6] || the(.*key_#__quantizer_beside_lod_q)[4:0] >= bitlog2_pkg::TABLE_BITS)
// quotient invariant: of 4 lanes: (!coding[5]
//   || (the(.*key_#__quantizer_of_x_in_the_middle_q) >> 5) != 0
//   || the(.*key_#__quantizer_of_x_in_the_middle_q) == 0) && (!coding[6]
//   || top(.*key_#__quantizer_after_lod_q) || the(.*key_#__quantizer_after_lod_q) == 0)
// invariant: of 4 lanes: (!loading[1] || the(.*load_#__beside_t_.*_0__held) != 0)
//   && (!loading[2] || the(.*load_#__beside_t_.*_1__held) != 0)
//   && (!loading[3] || the(.*load_#__beside_t_.*_2__held) != 0)
//   && (!loading[4] || the(.*load_#__beside_t_q) != 0)
//   && (!loading[5] || the(.*load_#__of_t_q)[bitlog2_pkg::T_WIDTH+:2] != 0)
//   && (!loading[6] || the(.*beside_tree_.*_0__held)[(# + 1) * (bitlog2_pkg::T_WIDTH + 2) - 2+:2]
//   != 0)
//   && (!loading[7] || the(.*written)[(# + 1) * (bitlog2_pkg::T_WIDTH + 2) - 2+:2] != 0)
// invariant: of 4 lanes: buffer[(# + 1) * (bitlog2_pkg::T_WIDTH + 2) - 2+:2] != 0
//   || !((entry[8] == write_bank && entry[7:0] < write_index)
//   || (waiting && entry[8] != write_bank && entry[7:0] <= last_index)
//   || (state != 0 && entry[8] == read_bank && entry[7:0] <= read_last))
// invariant: (!loading[0] || top(.*load_0__of_beat_q))
//   && (!loading[1] || top(.*load_0__beside_t_.*_0__held))
//   && (!loading[2] || top(.*load_0__beside_t_.*_1__held))
//   && (!loading[3] || top(.*load_0__beside_t_.*_2__held))
//   && (!loading[4] || top(.*load_0__beside_t_q)) && (!loading[5] || top(.*load_0__of_t_q))
//   && (!loading[6] || the(.*beside_tree_.*_0__held)[bitlog2_pkg::T_WIDTH + 1])
//   && (!loading[7] || the(.*written)[bitlog2_pkg::T_WIDTH + 1])
// invariant: buffer[bitlog2_pkg::T_WIDTH + 1]
//   || !((entry[8] == write_bank && entry[7:0] < write_index)
//   || (waiting && entry[8] != write_bank && entry[7:0] <= last_index)
//   || (state != 0 && entry[8] == read_bank && entry[7:0] <= read_last))
// invariant: (!coding[0] || read[bitlog2_pkg::T_WIDTH + 1])
//   && (!coding[1] || held[bitlog2_pkg::T_WIDTH + 1])
//   && (!coding[2] || top(.*key_0__beside_code_.*_0__held))
// quotient invariant: (!coding[3] || top(.*key_0__beside_code_.*_1__held))
//   && (!coding[4] || top(.*key_0__beside_code_.*_2__held))
//   && (!coding[5] || top(.*key_0__beside_code_.*_3__held))
//   && (!coding[6] || top(.*key_0__beside_code_.*_4__held))
//   && (!coding[7] || top(.*key_0__beside_code_.*_5__held))
//   && (!coding[8] || top(.*key_0__beside_code_.*_6__held))
//   && (!coding[9] || top(.*key_0__beside_code_.*_7__held))
//   && (!coding[10] || top(.*key_0__beside_code_.*_8__held))
//   && (!coding[11] || top(.*key_0__beside_code_q))
// row_max invariant: !coding[3] || top(.*key_0__beside_code_q)
// row_max invariant: of 4 lanes: !coding[3]
//   || (the(.*key_#__of_code_q) >> 5) <= bitlog2_pkg::TOP_LEVEL
// quotient invariant: of 4 lanes: (!(coding[0] || g_quotient_summing[0])
//   || read[(# + 1) * (bitlog2_pkg::T_WIDTH + 2) - 2+:2] != 0) && (!(coding[1]
//   || g_quotient_summing[1])
//   || held[(# + 1) * (bitlog2_pkg::T_WIDTH + 2) - 2+:2] != 0) && (!(coding[2]
//   || g_quotient_summing[2])
//   || top(.*key_#__beside_code_.*_0__held) || top(.*key_#__of_d_q))
// quotient invariant: of 4 lanes:
//   (!coding[3] || top(.*key_#__beside_code_.*_1__held) || the(.*key_#__e) == 0)
//   && (!coding[4] || top(.*key_#__beside_code_.*_2__held)
//   || (the(.*key_#__quantizer_after_x_q) >> (bitlog2_pkg::S_WIDTH + 5)) == 0)
//   && (!coding[5] || top(.*key_#__beside_code_.*_3__held)
//   || (the(.*key_#__quantizer_of_x_in_the_middle_q) >> 5) == 0)
//   && (!coding[6] || top(.*key_#__beside_code_.*_4__held) || !top(.*key_#__quantizer_after_lod_q))
//   && (!coding[7] || top(.*key_#__beside_code_.*_5__held)
//   || !top(.*key_#__quantizer_after_left_q))
//   && (!coding[8] || top(.*key_#__beside_code_.*_6__held)
//   || !top(.*key_#__quantizer_after_aligned_q))
//   && (!coding[9] || top(.*key_#__beside_code_.*_7__held)
//   || !top(.*key_#__quantizer_after_below_q))
//   && (!coding[10] || top(.*key_#__beside_code_.*_8__held)
//   || !top(.*key_#__quantizer_.*after_k_q))
//   && (!coding[11] || top(.*key_#__beside_code_q) || (bitlog2_pkg::ZERO_FLAG != 0
//   ? the(.*key_#__of_code_q)[0] : the(.*key_#__of_code_q)[4:0] == 0))
// quotient lemma: BL2-SUM-01, BL2-SUM-02: coding[3:1] == 0
//   || (g_quotient_sum >= (1 << bitlog2_pkg::TABLE_BITS)
//   && g_quotient_sum <= (bitlog2_pkg::MAX_TOKENS << bitlog2_pkg::TABLE_BITS))
// quotient agree: .*largest: waiting || write_index != 0;
//   .*last_index: waiting; .*read_max|.*read_last: state != 0;
//   buffer: (entry[8] == write_bank && entry[7:0] < write_index) || (waiting &&
//   entry[8] != write_bank && entry[7:0] <= last_index) || (state != 0 && entry[8] == read_bank &&
//   entry[7:0] <= read_last) ? of 4 lanes: {1, 1, *self[(# + 1) * (bitlog2_pkg::T_WIDTH + 2) - 1]};
//   .*load_#__of_beat_q: loading[0] ? {1, *top(self)};
//   .*g_load_.*beside_t.*_0__held: loading[1]; .*g_load_.*beside_t.*_1__held: loading[2];
//   .*g_load_.*beside_t.*_2__held: loading[3]; .*g_load_.*beside_t_q: loading[4];
//   .*load_#__.*(after_product_q|bias_beside.*_0__held):
//   loading[1] && top(.*load_#__beside_t.*_0__held); .*load_#__.*(halved_2|bias_beside.*_1__held):
//   loading[2] && top(.*load_#__beside_t.*_1__held); .*load_#__.*(rounded_3|bias_3):
//   loading[3] && top(.*load_#__beside_t.*_2__held); .*load_#__.*sum_4:
//   loading[4] && top(.*load_#__beside_t_q); .*g_load_.*of_t_q: loading[5] ? {1, 1, *top(self)};
//   .*g_maximum_0__g_node_.*: loading[6]; .*beat_max: loading[7];
//   .*beside_tree.*: loading[6] ? of 4 lanes: {1, 1, *self[(# + 1) * (bitlog2_pkg::T_WIDTH + 2) -
//   1]};
//   .*written: loading[7] ? of 4 lanes: {1, 1, *self[(# + 1) * (bitlog2_pkg::T_WIDTH + 2) - 1]};
//   read: coding[0] || g_quotient_summing[0] ? of 4 lanes: {1, 1,
//   *self[(# + 1) * (bitlog2_pkg::T_WIDTH + 2) - 1]}; .*row_beside_word.*_0__held: coding[0]
//   || g_quotient_summing[0];
//   held: coding[1] || g_quotient_summing[1] ? of 4 lanes: {1, 1,
//   *self[(# + 1) * (bitlog2_pkg::T_WIDTH + 2) - 1]}; .*row_beside_code_d: coding[1]
//   || g_quotient_summing[1];
//   .*key_#__of_d_q: coding[2] || g_quotient_summing[2] ? {1,
//   *top(.*key_#__beside_code.*_0__held)};
//   .*row_beside_code.*_0__held: coding[2] || g_quotient_summing[2];
//   .*key_#__beside_code.*_0__held: coding[2] || g_quotient_summing[2] ? {1, *top(self)};
//   .*key_\d__e|.*row_beside_code.*_1__held: coding[3] || g_quotient_summing[3];
//   .*key_#__beside_code.*_1__held: coding[3] || g_quotient_summing[3] ? {1, *top(self)};
//   .*g_quotient_g_sum_[12]__added: g_quotient_summing[4]; .*g_quotient_g_sum_0__added:
//   g_quotient_summing[5]; .*after_x_q: coding[4];
//   .*key_#__beside_code.*_2__held: coding[4] ? {1, *top(self)};
//   .*row_beside_code.*_2__held|.*(e|sum)_beside_code.*_0__held: coding[4];
//   .*of_x_in_the_middle_q|.*beside_lod.*_0__held: coding[5];
//   .*key_#__beside_code.*_3__held: coding[5] ? {1, *top(self)};
//   .*row_beside_code.*_3__held|.*(e|sum)_beside_code.*_1__held: coding[5];
//   .*key_#__.*after_lod_q: coding[6] ? {the(.*key_#__.*beside_lod_q)[4:0]
//   <= self[4:0] + bitlog2_pkg::BASE_SHIFT, *1}; .*beside_lod_q: coding[6];
//   .*key_#__beside_code.*_4__held: coding[6] ? {1, *top(self)};
//   .*row_beside_code.*_4__held|.*(e|sum)_beside_code.*_2__held: coding[6];
//   .*after_left_q: coding[7] ? {$signed(self[(bitlog2_pkg::S_WIDTH + bitlog2_pkg::E_WIDTH
//   + (bitlog2_pkg::ODD_FACTOR == 3))+:8]) <= bitlog2_pkg::BASE_SHIFT + 1, *1};
//   .*key_#__beside_code.*_5__held: coding[7] ? {1, *top(self)};
//   .*row_beside_code.*_5__held|.*(e|sum)_beside_code.*_3__held: coding[7];
//   .*after_aligned_q: coding[8] ? {$signed(self[(bitlog2_pkg::S_WIDTH
//   + bitlog2_pkg::COMPARE_WIDTH)+:8]) <= bitlog2_pkg::BASE_SHIFT + 1, *1};
//   .*key_#__beside_code.*_6__held: coding[8] ? {1, *top(self)};
//   .*row_beside_code.*_6__held|.*(e|sum)_beside_code.*_4__held: coding[8];
//   .*after_triple_q: coding[9];
//   .*after_below_q: coding[9] ? {$signed(self[8:1]) <= bitlog2_pkg::BASE_SHIFT + 1, *1};
//   .*key_#__beside_code.*_7__held: coding[9] ? {1, *top(self)};
//   .*row_beside_code.*_7__held|.*(e|sum)_beside_code.*_5__held: coding[9]; .*after_k_q:
//   coding[10] ? {!self[7 + bitlog2_pkg::HALF], *1};
//   .*key_#__beside_code.*_8__held: coding[10] ? {1, *top(self)};
//   .*row_beside_code.*_8__held|.*(e|sum)_beside_code.*_6__held: coding[10];
//   .*key_#__beside_code_q: coding[11] ? {1, *top(self)};
//   .*of_code_q|.*beside_code_q|.*out_e|row_sum: coding[11];
//   .*of_sum_in_the_middle_q: coding[3:2] != 0; .*lod_s: coding[3];
//   .*g_quotient_firsts: {g_quotient_summing}; .*g_quotient_sum: coding[3:1]
//   != 0 || (coding[0] && !g_quotient_firsts[5]) || (g_quotient_firsts == 0 &&
//   (g_quotient_summing != 0 || state[1])); .*g_quotient_summing: {(coding[3:1] != 0 ||
//   (coding[0] && !g_quotient_firsts[5]) || (g_quotient_firsts == 0 && (g_quotient_summing != 0
//   || state[1]))) ? 6'h3f : g_quotient_firsts | (g_quotient_firsts >> 1) | (g_quotient_firsts >>
//   2) | (g_quotient_firsts >> 3) | (g_quotient_firsts >> 4) | (g_quotient_firsts >> 5)}
// row_max agree: .*largest: waiting || write_index != 0;
//   .*last_index: waiting; .*read_max|.*read_last: state != 0;
//   buffer: (entry[8] == write_bank && entry[7:0] < write_index) || (waiting &&
//   entry[8] != write_bank && entry[7:0] <= last_index) || (state != 0 && entry[8] == read_bank &&
//   entry[7:0] <= read_last) ? of 4 lanes: {1, 1, *self[(# + 1) * (bitlog2_pkg::T_WIDTH + 2) - 1]};
//   .*load_#__of_beat_q: loading[0] ? {1, *top(self)};
//   .*g_load_.*beside_t.*_0__held: loading[1]; .*g_load_.*beside_t.*_1__held: loading[2];
//   .*g_load_.*beside_t.*_2__held: loading[3]; .*g_load_.*beside_t_q: loading[4];
//   .*load_#__.*(after_product_q|bias_beside.*_0__held):
//   loading[1] && top(.*load_#__beside_t.*_0__held); .*load_#__.*(halved_2|bias_beside.*_1__held):
//   loading[2] && top(.*load_#__beside_t.*_1__held); .*load_#__.*(rounded_3|bias_3):
//   loading[3] && top(.*load_#__beside_t.*_2__held); .*load_#__.*sum_4:
//   loading[4] && top(.*load_#__beside_t_q); .*g_load_.*of_t_q: loading[5] ? {1, 1, *top(self)};
//   .*g_maximum_0__g_node_.*: loading[6]; .*beat_max: loading[7];
//   .*beside_tree.*: loading[6] ? of 4 lanes: {1, 1, *self[(# + 1) * (bitlog2_pkg::T_WIDTH + 2) -
//   1]};
//   .*written: loading[7] ? of 4 lanes: {1, 1, *self[(# + 1) * (bitlog2_pkg::T_WIDTH + 2) - 1]};
//   read: coding[0] ? of 4 lanes: {1, 1, *self[(# + 1) * (bitlog2_pkg::T_WIDTH + 2) - 1]};
//   .*row_beside_word.*_0__held: coding[0];
//   held: coding[1] ? of 4 lanes: {1, 1, *self[(# + 1) * (bitlog2_pkg::T_WIDTH + 2) - 1]};
//   .*row_beside_code_d: coding[1];
//   .*key_#__of_d_q: coding[2] ? {1, *top(.*key_#__beside_code.*_0__held)};
//   .*row_beside_code.*_0__held: coding[2];
//   .*key_#__beside_code.*_0__held: coding[2] ? {1, *top(self)};
//   .*key_#__beside_code_q: coding[3] ? {1, *top(self)}; .*of_code_q|.*row_beside_code_q: coding[3]
// compare: row_max: m_axis_tvalid
// compare: row_sum: m_axis_tvalid
