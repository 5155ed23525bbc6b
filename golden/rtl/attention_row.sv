// Attention row: scores and values of a row to its output codes, LANES keys a beat.
//
// Latency: 3 B + 3 T + C + 30 cycles from the first beat of a row to its output, B = ceil(N /
//   LANES), T = ceil(log2 LANES), C = ceil(HEAD_DIM / REQUANTIZERS), when values never wait; with
//   ROW_MAX, 2 B + 2 T + C + M2_WIDTH + 24.
// Throughput: a row takes the cycles that it takes in softmax_row, or C + 5 where that is more: few
//   requantizers go over the channels while the next row runs. With ROW_MAX it takes those of
//   softmax_row, or C + M2_WIDTH + 9: a division comes first; where the two are nearly the same,
//   half of B + T + C + M2_WIDTH + 13 may be more: two rows at a time are in behind softmax_row.
// Handshake: AXI-Stream in, scores as in softmax_row; AXI-Stream in, values, LANES x {v of each
//   channel}, lane 0 lowest, beat for beat with the scores (their tkeep and tlast frame both);
//   AXI-Stream out, a beat a row, o of each channel. m, n, m2, n2, zv and zo are held from a row's
//   first beat until its output is taken. tap_keys and tap_rows have no ready: they are valid when
//   codes are taken inside, and when the output is taken.
// Cycles: quotient max(2 * B + TREE + 3, (3 * B + 2 * TREE + 9) / 2, GROUPS + 5);
//   row_max max((2 * B + TREE + 7) / 2, GROUPS + M2_WIDTH + 9,
//   (B + TREE + GROUPS + M2_WIDTH + 13) / 2)
// Requirements: BL2-ROW-01, BL2-ACC-01, BL2-ACC-02, BL2-ACC-03, BL2-WEIGHT-01, BL2-WEIGHT-02,
// Requirements: BL2-ROWMUL-01, BL2-OUT-01
//
// Assumes what softmax_row assumes, and n2 <= MAX_N2; with ROW_MAX, n2 <= MAX_LAYER_N2.
module attention_row #(
    parameter integer LANES = 4,
    parameter integer HEAD_DIM = bitlog2_pkg::HEAD_DIM,
    parameter integer MAX_TOKENS = bitlog2_pkg::MAX_TOKENS,
    parameter integer SCORE_WIDTH = bitlog2_pkg::SCORE_WIDTH,
    parameter integer M_WIDTH = bitlog2_pkg::M_WIDTH,
    parameter integer N_WIDTH = bitlog2_pkg::N_WIDTH,
    parameter integer M2_WIDTH = bitlog2_pkg::M2_WIDTH,
    parameter integer N2_WIDTH = bitlog2_pkg::N2_WIDTH,
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
    parameter integer INT_MAX = bitlog2_pkg::INT_MAX,
    parameter integer OCTAVE_LEVELS = bitlog2_pkg::OCTAVE_LEVELS,
    parameter integer THRESHOLD_WIDTH = bitlog2_pkg::THRESHOLD_WIDTH,
    parameter logic [TOP_LEVEL*THRESHOLD_WIDTH-1:0] THRESHOLDS = bitlog2_pkg::THRESHOLDS,
    parameter integer WEIGHT_SUM_WIDTH = bitlog2_pkg::WEIGHT_SUM_WIDTH,
    parameter integer V_WIDTH = bitlog2_pkg::V_WIDTH,
    parameter integer ACC_WIDTH = bitlog2_pkg::ACC_WIDTH,
    parameter integer OUT_PRODUCT_WIDTH = bitlog2_pkg::OUT_PRODUCT_WIDTH,
    parameter integer O_WIDTH = bitlog2_pkg::O_WIDTH,
    parameter integer REQUANTIZERS = 4,
    parameter integer KEY_WIDTH = 1 + SCORE_WIDTH + T_WIDTH,
    parameter integer TAP_WIDTH = T_WIDTH + D_WIDTH + ((ROW_MAX != 0) ? 0 : E_WIDTH) +
        LEVEL_WIDTH + 5,
    parameter integer ROW_TAP_WIDTH = T_WIDTH +
        ((ROW_MAX != 0) ? WEIGHT_SUM_WIDTH + M2_WIDTH + N2_WIDTH : S_WIDTH) + HEAD_DIM * ACC_WIDTH
) (
    input  logic                              clk,
    input  logic                              rst_n,
    input  logic [               M_WIDTH-1:0] m,
    input  logic [               N_WIDTH-1:0] n,
    input  logic [              M2_WIDTH-1:0] m2,
    input  logic [              N2_WIDTH-1:0] n2,
    input  logic [               V_WIDTH-1:0] zv,
    input  logic [               O_WIDTH-1:0] zo,
    input  logic                              s_axis_score_tvalid,
    output logic                              s_axis_score_tready,
    input  logic [       LANES*KEY_WIDTH-1:0] s_axis_score_tdata,
    input  logic [                 LANES-1:0] s_axis_score_tkeep,
    input  logic                              s_axis_score_tlast,
    input  logic                              s_axis_v_tvalid,
    output logic                              s_axis_v_tready,
    input  logic [LANES*HEAD_DIM*V_WIDTH-1:0] s_axis_v_tdata,
    // verilator lint_off UNUSEDSIGNAL
    input  logic [                 LANES-1:0] s_axis_v_tkeep,
    input  logic                              s_axis_v_tlast,
    // verilator lint_on UNUSEDSIGNAL
    output logic                              m_axis_tvalid,
    input  logic                              m_axis_tready,
    output logic [      HEAD_DIM*O_WIDTH-1:0] m_axis_tdata,
    output logic                              tap_keys_tvalid,
    output logic [       LANES*TAP_WIDTH-1:0] tap_keys_tdata,
    output logic [                 LANES-1:0] tap_keys_tkeep,
    output logic                              tap_keys_tlast,
    output logic                              tap_rows_tvalid,
    output logic [         ROW_TAP_WIDTH-1:0] tap_rows_tdata
);
  localparam integer TREE = $clog2(LANES);  // levels of a tree over the lanes, a register each
  localparam integer LEAVES = 1 << TREE;
  localparam integer SHARERS = 8;  // channels that share a copy of the codes
  localparam integer COPIES = (HEAD_DIM + SHARERS - 1) / SHARERS;
  // Registers in front of the accumulators: of codes and values, in the lanes, of terms, the tree.
  localparam integer OF_TERM = 2;
  localparam integer OF_SUM = OF_TERM + TREE;
  localparam integer GROUP = (REQUANTIZERS < HEAD_DIM) ? REQUANTIZERS : HEAD_DIM;  // channels
  localparam integer GROUPS = (HEAD_DIM + GROUP - 1) / GROUP;
  localparam integer STAGES = 4;  // registers in a requantizer
  localparam integer LEFT_WIDTH = $clog2(GROUPS + STAGES + 1);

  logic code_valid, code_ready, code_last, room, fire, sum_last, first, complete, ready, start;
  logic [LANES*5-1:0] codes;
  logic [LANES-1:0] unused_keep;
  logic [COPIES*LANES*5-1:0] codes_0;  // a copy for SHARERS channels each
  logic [1:0] rows;  // that are in, and whose outputs are not yet taken
  logic signed [T_WIDTH-1:0] row_max, sum_row_max, acc_row_max, held_row_max;
  logic [S_WIDTH-1:0] row_sum;
  logic [OF_SUM:0] adding;  // where beats are in front of the accumulators
  logic [HEAD_DIM*ACC_WIDTH-1:0] accumulators;
  logic [GROUPS*GROUP*ACC_WIDTH-1:0] finished;  // turned by a group at a time, once around
  logic [GROUPS*GROUP*O_WIDTH-1:0] outputs;
  logic [GROUP*O_WIDTH-1:0] group_outputs;
  logic [LEFT_WIDTH-1:0] left;  // cycles until the output is there
  logic turning, taking;  // left > STAGES, and left from 1 to GROUPS; they go to all channels
  logic idle;  // left == 0, for what goes to all channels
  logic [M2_WIDTH-1:0] m2_row;
  logic [M2_WIDTH-1:0] used_m2;  // by the requantizers
  logic [N2_WIDTH-1:0] n2_row;

  softmax_row #(
      .LANES(LANES),
      .MAX_TOKENS(MAX_TOKENS),
      .SCORE_WIDTH(SCORE_WIDTH),
      .M_WIDTH(M_WIDTH),
      .N_WIDTH(N_WIDTH),
      .PRODUCT_WIDTH(PRODUCT_WIDTH),
      .T_WIDTH(T_WIDTH),
      .D_WIDTH(D_WIDTH),
      .E_WIDTH(E_WIDTH),
      .S_WIDTH(S_WIDTH),
      .LEVEL_WIDTH(LEVEL_WIDTH),
      .DISTANCE_MAX(DISTANCE_MAX),
      .FRACTION_BITS(FRACTION_BITS),
      .TABLE(TABLE),
      .COMPARE_WIDTH(COMPARE_WIDTH),
      .ODD_FACTOR(ODD_FACTOR),
      .BASE_SHIFT(BASE_SHIFT),
      .HALF(HALF),
      .TOP_LEVEL(TOP_LEVEL),
      .ZERO_FLAG(ZERO_FLAG),
      .ROW_MAX(ROW_MAX),
      .OCTAVE_LEVELS(OCTAVE_LEVELS),
      .THRESHOLD_WIDTH(THRESHOLD_WIDTH),
      .THRESHOLDS(THRESHOLDS)
  ) softmax (
      .clk(clk),
      .rst_n(rst_n),
      .m(m),
      .n(n),
      .s_axis_score_tvalid(s_axis_score_tvalid),
      .s_axis_score_tready(s_axis_score_tready),
      .s_axis_score_tdata(s_axis_score_tdata),
      .s_axis_score_tkeep(s_axis_score_tkeep),
      .s_axis_score_tlast(s_axis_score_tlast),
      .m_axis_tvalid(code_valid),
      .m_axis_tready(code_ready),
      .m_axis_tdata(codes),
      .m_axis_tkeep(unused_keep),
      .m_axis_tlast(code_last),
      .tap_keys_tvalid(tap_keys_tvalid),
      .tap_keys_tdata(tap_keys_tdata),
      .tap_keys_tkeep(tap_keys_tkeep),
      .tap_keys_tlast(tap_keys_tlast),
      .row_max(row_max),
      .row_sum(row_sum)
  );

  // Codes and values are taken together, while there is room for their row: two are let in, one for
  // the accumulators and one behind them. So nothing on the way to the accumulators ever waits.
  assign room = !rows[1];
  assign code_ready = s_axis_v_tvalid && room;
  assign s_axis_v_tready = code_valid && room;
  assign fire = code_valid && code_ready;

  // A lane without a key has the code of level 0, and adds nothing. Synthesis would make one register
  // of equal ones, and one net to all channels.
  for (genvar copy = 0; copy < COPIES; copy++) begin : g_copy
    logic [LANES*5-1:0] taken;

    (* keep *)
    always_ff @(posedge clk) begin
      taken <= codes;
    end

    assign codes_0[copy*LANES*5+:LANES*5] = taken;
  end

  delay_line #(
      .WIDTH(1 + T_WIDTH),
      .DEPTH(OF_SUM + 1)
  ) beside_terms (
      .clk(clk),
      .advance(1'b1),
      .d({code_last, row_max}),
      .q({sum_last, sum_row_max})
  );

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      rows <= '0;
      adding <= '0;
      first <= 1'b1;
      complete <= 1'b0;
    end else begin
      rows <= rows + 2'(fire && code_last) - 2'(m_axis_tvalid && m_axis_tready);
      adding <= {adding[OF_SUM-1:0], fire};
      if (adding[OF_SUM]) first <= sum_last;
      complete <= (complete && !ready) || (adding[OF_SUM] && sum_last);
    end
  end

  always_ff @(posedge clk) begin
    if (adding[OF_SUM]) acc_row_max <= sum_row_max;
  end

  for (genvar channel = 0; channel < HEAD_DIM; channel++) begin : g_channel
    localparam integer OF_LANES = channel / SHARERS * LANES;  // where its copy begins

    logic [(2*LEAVES-1)*ACC_WIDTH-1:0] sums;  // a tree: 0 is its root, below i are 2 i + 1, 2 i + 2
    logic signed [ACC_WIDTH-1:0] acc;

    for (genvar lane = 0; lane < LANES; lane++) begin : g_lane
      logic [V_WIDTH-1:0] v;
      logic signed [ACC_WIDTH-1:0] term;

      delay_line #(
          .WIDTH(V_WIDTH)
      ) of_v (
          .clk(clk),
          .advance(1'b1),
          .d(s_axis_v_tdata[(lane*HEAD_DIM+channel)*V_WIDTH+:V_WIDTH]),
          .q(v)
      );

      shift_add_lane #(
          .PIPELINE(1),
          .V_WIDTH(V_WIDTH),
          .ACC_WIDTH(ACC_WIDTH),
          .HALF(HALF),
          .OCTAVE_LEVELS(OCTAVE_LEVELS),
          .ZERO_FLAG(ZERO_FLAG)
      ) shift_and_add (
          .clk(clk),
          .advance(1'b1),
          .nibble(codes_0[(OF_LANES+lane)*5+1+:4]),
          .flag(codes_0[(OF_LANES+lane)*5]),
          .v(v),
          .zv(zv),
          .term(term)
      );

      delay_line #(
          .WIDTH(ACC_WIDTH)
      ) of_term (
          .clk(clk),
          .advance(1'b1),
          .d(term),
          .q(sums[(LEAVES-1+lane)*ACC_WIDTH+:ACC_WIDTH])
      );
    end

    for (genvar leaf = LANES; leaf < LEAVES; leaf++) begin : g_none
      assign sums[(LEAVES-1+leaf)*ACC_WIDTH+:ACC_WIDTH] = '0;
    end

    for (genvar node = 0; node < LEAVES - 1; node++) begin : g_sum
      logic [ACC_WIDTH-1:0] added;

      always_ff @(posedge clk) begin
        added <= sums[(2*node+1)*ACC_WIDTH+:ACC_WIDTH] + sums[(2*node+2)*ACC_WIDTH+:ACC_WIDTH];
      end

      assign sums[node*ACC_WIDTH+:ACC_WIDTH] = added;
    end

    always_ff @(posedge clk) begin
      if (adding[OF_SUM]) acc <= $signed(sums[ACC_WIDTH-1:0]) + (first ? '0 : acc);
    end

    assign accumulators[channel*ACC_WIDTH+:ACC_WIDTH] = acc;
  end

  if (ROW_MAX != 0) begin : g_row_max
    localparam integer VALUE_WIDTH = $clog2(INT_MAX + 1);

    logic [M2_WIDTH-1:0] taken_m2;
    logic [(2*LEAVES-1)*WEIGHT_SUM_WIDTH-1:0] weights;  // a tree as those of the terms
    logic [WEIGHT_SUM_WIDTH-1:0] weight_sum, held_weight_sum;
    logic multiplier_m_axis_tvalid, unused_row_sum;

    assign unused_row_sum = ^row_sum;

    for (genvar lane = 0; lane < LANES; lane++) begin : g_lane
      logic [LEVEL_WIDTH-1:0] level;
      logic [VALUE_WIDTH-1:0] value, of_term;  // beside its term

      if (ZERO_FLAG != 0) begin : g_17_levels
        assign level = codes_0[lane*5] ? '0 : LEVEL_WIDTH'(codes_0[lane*5+1+:4]) + LEVEL_WIDTH'(1);
      end else begin : g_16_levels
        assign level = LEVEL_WIDTH'(codes_0[lane*5+1+:4]);
      end

      level_value #(
          .LEVEL_WIDTH(LEVEL_WIDTH),
          .OCTAVE_LEVELS(OCTAVE_LEVELS),
          .INT_MAX(INT_MAX),
          .VALUE_WIDTH(VALUE_WIDTH)
      ) of_level (
          .level(level),
          .value(value)
      );

      delay_line #(
          .WIDTH(VALUE_WIDTH),
          .DEPTH(OF_TERM)
      ) of_value (
          .clk(clk),
          .advance(1'b1),
          .d(value),
          .q(of_term)
      );

      assign weights[(LEAVES-1+lane)*WEIGHT_SUM_WIDTH+:WEIGHT_SUM_WIDTH] =
          WEIGHT_SUM_WIDTH'(of_term);
    end

    for (genvar leaf = LANES; leaf < LEAVES; leaf++) begin : g_none
      assign weights[(LEAVES-1+leaf)*WEIGHT_SUM_WIDTH+:WEIGHT_SUM_WIDTH] = '0;
    end

    for (genvar node = 0; node < LEAVES - 1; node++) begin : g_sum
      logic [WEIGHT_SUM_WIDTH-1:0] added;

      always_ff @(posedge clk) begin
        added <= weights[(2*node+1)*WEIGHT_SUM_WIDTH+:WEIGHT_SUM_WIDTH] +
            weights[(2*node+2)*WEIGHT_SUM_WIDTH+:WEIGHT_SUM_WIDTH];
      end

      assign weights[node*WEIGHT_SUM_WIDTH+:WEIGHT_SUM_WIDTH] = added;
    end

    always_ff @(posedge clk) begin
      if (adding[OF_SUM])
        weight_sum <= weights[WEIGHT_SUM_WIDTH-1:0] + (first ? '0 : weight_sum);
    end

    // A complete row leaves the accumulators as its weight sum enters the divider.
    row_multiplier #(
        .WEIGHT_SUM_WIDTH(WEIGHT_SUM_WIDTH),
        .M2_WIDTH(M2_WIDTH),
        .N2_WIDTH(N2_WIDTH)
    ) multiplier (
        .clk(clk),
        .rst_n(rst_n),
        .s_axis_tvalid(complete),
        .s_axis_tready(ready),
        .s_axis_tdata({weight_sum, m2, n2}),
        .m_axis_tvalid(multiplier_m_axis_tvalid),
        .m_axis_tready(m_axis_tvalid && m_axis_tready),
        .m_axis_tdata({m2_row, n2_row})
    );

    assign start = multiplier_m_axis_tvalid && idle && !m_axis_tvalid;

    always_ff @(posedge clk) begin
      if (!rst_n) held_weight_sum <= '0;
      else if (complete && ready) held_weight_sum <= weight_sum;
    end

    // The multiplier is there a cycle before the first product, and stays: a register next to them.
    always_ff @(posedge clk) taken_m2 <= m2_row;

    assign used_m2 = taken_m2;

    assign tap_rows_tdata =
        {held_row_max, held_weight_sum, m2_row, n2_row, finished[HEAD_DIM*ACC_WIDTH-1:0]};
  end else begin : g_quotient
    logic [S_WIDTH-1:0] sum_row_sum, acc_row_sum, held_row_sum;

    delay_line #(
        .WIDTH(S_WIDTH),
        .DEPTH(OF_SUM + 1)
    ) sum_beside_terms (
        .clk(clk),
        .advance(1'b1),
        .d(row_sum),
        .q(sum_row_sum)
    );

    assign ready = idle && (!m_axis_tvalid || m_axis_tready);
    assign start = complete && ready;
    assign m2_row = m2;
    assign n2_row = n2;
    assign used_m2 = m2_row;

    always_ff @(posedge clk) begin
      if (adding[OF_SUM]) acc_row_sum <= sum_row_sum;
      if (!rst_n) held_row_sum <= '0;
      else if (complete && ready) held_row_sum <= acc_row_sum;
    end

    assign tap_rows_tdata = {held_row_max, held_row_sum, finished[HEAD_DIM*ACC_WIDTH-1:0]};
  end

  // The requantizers go over the channels of a row that is complete, a group a cycle.
  for (genvar channel = 0; channel < GROUP; channel++) begin : g_requantizer
    output_requantizer_pipe #(
        .ACC_WIDTH(ACC_WIDTH),
        .M2_WIDTH(M2_WIDTH),
        .N2_WIDTH(N2_WIDTH),
        .OUT_PRODUCT_WIDTH(OUT_PRODUCT_WIDTH),
        .O_WIDTH(O_WIDTH)
    ) requantizer (
        .clk(clk),
        .advance(1'b1),
        .acc(finished[channel*ACC_WIDTH+:ACC_WIDTH]),
        .m2(used_m2),
        .n2(n2_row),
        .zo(zo),
        .o(group_outputs[channel*O_WIDTH+:O_WIDTH])
    );
  end

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      left <= '0;
      turning <= 1'b0;
      taking <= 1'b0;
      idle <= 1'b1;
      m_axis_tvalid <= 1'b0;
    end else begin
      turning <= start || left > LEFT_WIDTH'(STAGES + 1);
      taking <= left > LEFT_WIDTH'(1) && left <= LEFT_WIDTH'(GROUPS + 1);
      idle <= !start && left <= LEFT_WIDTH'(1);
      if (m_axis_tready) m_axis_tvalid <= 1'b0;
      if (start) left <= LEFT_WIDTH'(GROUPS + STAGES);
      else if (left != '0) begin
        left <= left - 1'b1;
        if (left == LEFT_WIDTH'(1)) m_axis_tvalid <= 1'b1;
      end
    end
  end

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      held_row_max <= '0;
      finished <= '0;
    end else if (complete && ready) begin
      held_row_max <= acc_row_max;
      finished <= (GROUPS * GROUP * ACC_WIDTH)'(accumulators);
    end else if (turning) begin
      finished <= (GROUPS * GROUP * ACC_WIDTH)'({finished, finished} >> (GROUP * ACC_WIDTH));
    end
  end

  always_ff @(posedge clk) begin
    if (taking) begin
      outputs <= (GROUPS * GROUP * O_WIDTH)'({group_outputs, outputs} >> (GROUP * O_WIDTH));
    end
  end

  assign m_axis_tdata = outputs[HEAD_DIM*O_WIDTH-1:0];
  assign tap_rows_tvalid = m_axis_tvalid && m_axis_tready;
endmodule
// For proofs of equivalence, of 4 lanes and at least 4 channels: what holds at every clock edge, and
// where two states must agree.
// within: softmax: softmax_row, rows, loading, lasts, waiting, write_bank, read_bank, write_index,
//   last_index, read_last, state, count, coding, buffer, read, held, g_quotient_summing,
//   g_quotient_firsts, g_quotient_sum, g_quotient_g_sum_0__added, g_quotient_g_sum_1__added,
//   g_quotient_g_sum_2__added, g_quotient_of_sum_in_the_middle_q, g_quotient_lod_s,
//   g_quotient_g_key_0__quantizer_of_x_in_the_middle_q,
//   g_quotient_g_key_1__quantizer_of_x_in_the_middle_q,
//   g_quotient_g_key_2__quantizer_of_x_in_the_middle_q,
//   g_quotient_g_key_3__quantizer_of_x_in_the_middle_q
// row_max within: g_row_max_multiplier: row_multiplier, left, k, divisor, remainder, quotient,
//   layer_n2, m_axis_tvalid
// quotient invariant: rows <= 2 && rows == $countones(adding &
//   {beside_terms_q[bitlog2_pkg::T_WIDTH],
//   beside_terms_g_line_g_stage_3__held[bitlog2_pkg::T_WIDTH],
//   beside_terms_g_line_g_stage_2__held[bitlog2_pkg::T_WIDTH],
//   beside_terms_g_line_g_stage_1__held[bitlog2_pkg::T_WIDTH],
//   beside_terms_g_line_g_stage_0__held[bitlog2_pkg::T_WIDTH]})
//   + complete + (left != 0 || m_axis_tvalid)
// row_max invariant: rows <= 2 && rows == $countones(adding &
//   {beside_terms_q[bitlog2_pkg::T_WIDTH],
//   beside_terms_g_line_g_stage_3__held[bitlog2_pkg::T_WIDTH],
//   beside_terms_g_line_g_stage_2__held[bitlog2_pkg::T_WIDTH],
//   beside_terms_g_line_g_stage_1__held[bitlog2_pkg::T_WIDTH],
//   beside_terms_g_line_g_stage_0__held[bitlog2_pkg::T_WIDTH]})
//   + complete + (g_row_max_multiplier_left != 0 || g_row_max_multiplier_m_axis_tvalid)
// invariant: !rows[1] || (adding & (~adding + 5'd1) & ~{beside_terms_q[bitlog2_pkg::T_WIDTH],
//   beside_terms_g_line_g_stage_3__held[bitlog2_pkg::T_WIDTH],
//   beside_terms_g_line_g_stage_2__held[bitlog2_pkg::T_WIDTH],
//   beside_terms_g_line_g_stage_1__held[bitlog2_pkg::T_WIDTH],
//   beside_terms_g_line_g_stage_0__held[bitlog2_pkg::T_WIDTH]}) == 0
// invariant: !complete || first
// invariant: !m_axis_tvalid || left == 0
// invariant: turning == (left > 4) && taking == (left != 0 && left <= (bitlog2_pkg::HEAD_DIM + 3) / 4)
// invariant: idle == (left == 0)
// invariant: left <= (bitlog2_pkg::HEAD_DIM + 3) / 4 + 4
// row_max invariant: (left == 0 && !m_axis_tvalid) || g_row_max_multiplier_m_axis_tvalid
// row_max invariant: (left == 0 && !m_axis_tvalid) || used_m2
//   == g_row_max_multiplier_quotient[bitlog2_pkg::M2_WIDTH-1:0]
// quotient invariant: (softmax_coding & {beside_terms_d[bitlog2_pkg::T_WIDTH],
//   softmax_row_beside_code_g_line_g_stage_8__held[bitlog2_pkg::T_WIDTH],
//   softmax_row_beside_code_g_line_g_stage_7__held[bitlog2_pkg::T_WIDTH],
//   softmax_row_beside_code_g_line_g_stage_6__held[bitlog2_pkg::T_WIDTH],
//   softmax_row_beside_code_g_line_g_stage_5__held[bitlog2_pkg::T_WIDTH],
//   softmax_row_beside_code_g_line_g_stage_4__held[bitlog2_pkg::T_WIDTH],
//   softmax_row_beside_code_g_line_g_stage_3__held[bitlog2_pkg::T_WIDTH],
//   softmax_row_beside_code_g_line_g_stage_2__held[bitlog2_pkg::T_WIDTH],
//   softmax_row_beside_code_g_line_g_stage_1__held[bitlog2_pkg::T_WIDTH],
//   softmax_row_beside_code_g_line_g_stage_0__held[bitlog2_pkg::T_WIDTH],
//   softmax_row_beside_code_d[bitlog2_pkg::T_WIDTH],
//   softmax_row_beside_word_g_line_g_stage_0__held[bitlog2_pkg::T_WIDTH]} & ((softmax_coding << 1)
//   | (softmax_coding << 2) | (softmax_coding << 3) | (softmax_coding << 4) | (softmax_coding << 5)
//   | (softmax_state == 3 ? 12'h01f : softmax_state == 2 ? (12'h002 << softmax_count) - 12'h001 :
//   12'h000))) == 0
// quotient invariant: (!adding[0] || !beside_terms_g_line_g_stage_0__held[bitlog2_pkg::T_WIDTH] ||
//   (softmax_coding[11:7] == 0)) && (!adding[1] ||
//   !beside_terms_g_line_g_stage_1__held[bitlog2_pkg::T_WIDTH] || (softmax_coding[11:8] == 0 &&
//   !adding[0])) && (!adding[2] || !beside_terms_g_line_g_stage_2__held[bitlog2_pkg::T_WIDTH] ||
//   (softmax_coding[11:9] == 0 && adding[1:0] == 0)) && (!adding[3] ||
//   !beside_terms_g_line_g_stage_3__held[bitlog2_pkg::T_WIDTH] || (softmax_coding[11:10] == 0 &&
//   adding[2:0] == 0)) && (!adding[4] ||
//   !beside_terms_q[bitlog2_pkg::T_WIDTH] || (!softmax_coding[11] && adding[3:0] == 0))
// quotient invariant: !complete || adding == 0
// row_max invariant: !adding[3] || ((g_row_max_g_sum_1__added | g_row_max_g_sum_2__added)
//   >> ($clog2(bitlog2_pkg::INT_MAX + 1) + 1)) == 0
// row_max invariant: !adding[4]
//   || (g_row_max_g_sum_0__added >> ($clog2(bitlog2_pkg::INT_MAX + 1) + 2)) == 0
// row_max invariant: of 4 lanes: left < 4 || left >= (bitlog2_pkg::HEAD_DIM + 3) / 4 + 4
//   || the(g_requantizer_#__requantizer_after_product_q)[bitlog2_pkg::OUT_PRODUCT_WIDTH-1:0]
//   == (bitlog2_pkg::OUT_PRODUCT_WIDTH'(1) << n2_row) >> 1
// row_max invariant: of 4 lanes: left < 2 || left >= (bitlog2_pkg::HEAD_DIM + 3) / 4 + 2
//   || $signed(the(g_requantizer_#__requantizer_rounded_3)) >>> (bitlog2_pkg::OUT_PRODUCT_WIDTH
//   - $clog2(bitlog2_pkg::INT_MAX + 1)) == 0
//   || &($signed(the(g_requantizer_#__requantizer_rounded_3)) >>> (bitlog2_pkg::OUT_PRODUCT_WIDTH
//   - $clog2(bitlog2_pkg::INT_MAX + 1)))
// row_max invariant: of 4 lanes: left < 1 || left >= (bitlog2_pkg::HEAD_DIM + 3) / 4 + 1
//   || top(g_requantizer_#__requantizer_sum_4) || (the(g_requantizer_#__requantizer_sum_4)
//   >> (bitlog2_pkg::OUT_PRODUCT_WIDTH - $clog2(bitlog2_pkg::INT_MAX + 1) + 1)) == 0
// quotient held: n2
// quotient invariant: of 4 lanes: left < 4 || left >= (bitlog2_pkg::HEAD_DIM + 3) / 4 + 4
//   || the(g_requantizer_#__requantizer_after_product_q)[bitlog2_pkg::OUT_PRODUCT_WIDTH-1:0]
//   == (bitlog2_pkg::OUT_PRODUCT_WIDTH'(1) << n2) >> 1
// quotient invariant: of 4 lanes: bitlog2_pkg::ACC_WIDTH > 18
//   || left < 4 || left >= (bitlog2_pkg::HEAD_DIM + 3) / 4 + 4
//   || $signed(the(g_requantizer_#__requantizer_after_product_q)) >>> (bitlog2_pkg::OUT_PRODUCT_WIDTH
//   + bitlog2_pkg::ACC_WIDTH + bitlog2_pkg::M2_WIDTH) == 0
//   || &($signed(the(g_requantizer_#__requantizer_after_product_q))
//   >>> (bitlog2_pkg::OUT_PRODUCT_WIDTH + bitlog2_pkg::ACC_WIDTH + bitlog2_pkg::M2_WIDTH))
// row_max lemma: BL2-WEIGHT-01, BL2-WEIGHT-02: (!complete
//   || (g_row_max_weight_sum >= bitlog2_pkg::INT_MAX
//   && g_row_max_weight_sum <= bitlog2_pkg::LARGEST_WEIGHT)) && (first
//   || g_row_max_weight_sum <= bitlog2_pkg::LARGEST_WEIGHT - bitlog2_pkg::INT_MAX)
// quotient agree: held_row_max|g_quotient_held_row_sum|finished|turning: left != 0 || m_axis_tvalid;
//   taking: (left != 0 && left <= (bitlog2_pkg::HEAD_DIM + 3) / 4) || m_axis_tvalid;
//   beside_terms_d: softmax_coding[11];
//   g_copy_.*__taken|g_channel_.*__v|.*beside_terms.*_0__held: adding[0];
//   g_channel_.*(of_shift_q|x_1): adding[1];
//   .*beside_terms.*_1__held|g_row_max_g_lane_.*of_value.*_0__held: adding[1];
//   .*beside_terms.*_2__held|g_channel_.*of_term_q|g_row_max_g_lane_.*of_(value_q|term): adding[2];
//   .*beside_terms.*_3__held|g_(channel_.*|row_max_)g_sum_[12]__added: adding[3];
//   beside_terms_q|g_quotient_sum_row_sum|g_(channel_.*|row_max_)g_sum_0__added: adding[4];
//   .*__acc|g_row_max_weight_sum: complete || !first; acc_row_max|g_quotient_acc_row_sum: complete;
//   .*requantizer_after_product_q: left >= 4 && left < (bitlog2_pkg::HEAD_DIM + 3) / 4 + 4
//   ? {{(bitlog2_pkg::OUT_PRODUCT_WIDTH + bitlog2_pkg::M2_WIDTH){1'b1}},
//   {bitlog2_pkg::OUT_PRODUCT_WIDTH{1'b1}} << (bitlog2_pkg::ACC_WIDTH <= 18
//   && n2 > bitlog2_pkg::ACC_WIDTH + bitlog2_pkg::M2_WIDTH + 2 ? n2 - 4 : 0)};
//   .*requantizer_halved_2: left >= 3 && left < (bitlog2_pkg::HEAD_DIM + 3) / 4 + 3
//   ? {{bitlog2_pkg::OUT_PRODUCT_WIDTH{1'b1}} << n2};
//   .*requantizer_rounded_3: left >= 2 && left < (bitlog2_pkg::HEAD_DIM + 3) / 4 + 2;
//   .*requantizer_sum_4: left >= 1 && left < (bitlog2_pkg::HEAD_DIM + 3) / 4 + 1; outputs: {(left
//   == 0 || left > (bitlog2_pkg::HEAD_DIM + 3) / 4) ? {((bitlog2_pkg::HEAD_DIM + 3) / 4 * 4 *
//   bitlog2_pkg::O_WIDTH){m_axis_tvalid}} : ~({((bitlog2_pkg::HEAD_DIM + 3) / 4 * 4 *
//   bitlog2_pkg::O_WIDTH){1'b1}} >> (((bitlog2_pkg::HEAD_DIM + 3) / 4 - left) * 4 *
//   bitlog2_pkg::O_WIDTH))}
// row_max agree: held_row_max|g_row_max_held_weight_sum|finished|turning:
//   g_row_max_multiplier_left != 0 || g_row_max_multiplier_m_axis_tvalid;
//   taking: left != 0 || m_axis_tvalid; beside_terms_d: softmax_coding[3];
//   g_copy_.*__taken|g_channel_.*__v|.*beside_terms.*_0__held: adding[0];
//   g_channel_.*(of_shift_q|x_1): adding[1];
//   .*beside_terms.*_1__held|g_row_max_g_lane_.*of_value.*_0__held: adding[1];
//   .*beside_terms.*_2__held|g_channel_.*of_term_q|g_row_max_g_lane_.*of_(value_q|term): adding[2];
//   .*beside_terms.*_3__held|g_(channel_.*|row_max_)g_sum_[12]__added: adding[3];
//   beside_terms_q|g_quotient_sum_row_sum|g_(channel_.*|row_max_)g_sum_0__added: adding[4];
//   .*__acc|g_row_max_weight_sum: complete || !first; acc_row_max|g_quotient_acc_row_sum: complete;
//   .*g_requantizer_.*after_product_q: left >= 4 && left < (bitlog2_pkg::HEAD_DIM + 3) / 4 + 4
//   ? {{(bitlog2_pkg::OUT_PRODUCT_WIDTH + bitlog2_pkg::M2_WIDTH - $clog2(bitlog2_pkg::INT_MAX + 1)
//   + 2){1'b1}}, {($clog2(bitlog2_pkg::INT_MAX + 1) - 2){1'b0}},
//   {bitlog2_pkg::OUT_PRODUCT_WIDTH{1'b1}}};
//   .*g_requantizer_.*halved_2: left >= 3 && left < (bitlog2_pkg::HEAD_DIM + 3) / 4 + 3
//   ? {{(bitlog2_pkg::OUT_PRODUCT_WIDTH - $clog2(bitlog2_pkg::INT_MAX + 1) + 1){1'b1}},
//   {($clog2(bitlog2_pkg::INT_MAX + 1) - 1){1'b0}}};
//   .*g_requantizer_.*rounded_3: left >= 2 && left < (bitlog2_pkg::HEAD_DIM + 3) / 4 + 2;
//   .*g_requantizer_.*sum_4: {{(bitlog2_pkg::OUT_PRODUCT_WIDTH + 1){1'(left >= 1
//   && left < (bitlog2_pkg::HEAD_DIM + 3) / 4 + 1)}} & {1'b1,
//   {bitlog2_pkg::OUT_PRODUCT_WIDTH{!top(self)}} &
//   (self[bitlog2_pkg::OUT_PRODUCT_WIDTH-1:bitlog2_pkg::O_WIDTH] == 0
//   ? {bitlog2_pkg::OUT_PRODUCT_WIDTH{1'b1}}
//   : {self[bitlog2_pkg::OUT_PRODUCT_WIDTH-1:bitlog2_pkg::O_WIDTH]
//   & (~self[bitlog2_pkg::OUT_PRODUCT_WIDTH-1:bitlog2_pkg::O_WIDTH] + 1'b1),
//   {bitlog2_pkg::O_WIDTH{1'b0}}})}}; outputs: {(left
//   == 0 || left > (bitlog2_pkg::HEAD_DIM + 3) / 4) ? {((bitlog2_pkg::HEAD_DIM + 3) / 4 * 4 *
//   bitlog2_pkg::O_WIDTH){m_axis_tvalid}} : ~({((bitlog2_pkg::HEAD_DIM + 3) / 4 * 4 *
//   bitlog2_pkg::O_WIDTH){1'b1}} >> (((bitlog2_pkg::HEAD_DIM + 3) / 4 - left) * 4 *
//   bitlog2_pkg::O_WIDTH))}; used_m2: left != 0
// quotient else: left: as self ^ ((self >> 3 & self & 1) << 2)
// row_max else: left: as self ^ ((self >> 3 & ~self & 1) << 1)
