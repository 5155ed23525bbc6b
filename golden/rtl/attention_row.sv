// Attention row: scores and values of a row to its output codes, LANES keys a beat.
//
// Latency: 3 B + 1 cycles from the first beat of a row to its output, B = ceil(N / LANES), when
//   values never wait; with ROW_MAX, 2 B + M2_WIDTH + 4.
// Throughput: a row takes 3 B cycles, as in softmax_row; the next row is loaded while the output of
//   the last one waits to be taken. With ROW_MAX it takes 2 B cycles, or M2_WIDTH + 3 where that is
//   more: the accumulators move to a register of their own while the row's multiplier is made.
// Handshake: AXI-Stream in, scores as in softmax_row; AXI-Stream in, values, LANES x {v of each
//   channel}, lane 0 lowest, beat for beat with the scores (their tkeep and tlast frame both);
//   AXI-Stream out, a beat a row, o of each channel. m, n, m2, n2, zv and zo are held from a row's
//   first beat until its output is taken. tap_keys and tap_rows have no ready: they are valid when
//   codes are taken inside, and when the output is taken.
// Cycles: quotient 3 * B; row_max max(2 * B, M2_WIDTH + 3)
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
  logic code_valid, code_ready, code_last, free, fire, first;
  logic [LANES*5-1:0] codes;
  logic [LANES-1:0] keep;
  logic signed [T_WIDTH-1:0] row_max, tap_row_max;
  logic [S_WIDTH-1:0] row_sum;
  logic [HEAD_DIM*ACC_WIDTH-1:0] accumulators, finished;  // the latter as the requantizers have them
  logic [M2_WIDTH-1:0] row_m2;
  logic [N2_WIDTH-1:0] row_n2;

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
      .m_axis_tkeep(keep),
      .m_axis_tlast(code_last),
      .tap_keys_tvalid(tap_keys_tvalid),
      .tap_keys_tdata(tap_keys_tdata),
      .tap_keys_tkeep(tap_keys_tkeep),
      .tap_keys_tlast(tap_keys_tlast),
      .row_max(row_max),
      .row_sum(row_sum)
  );

  // Codes and values are taken together, when the accumulators are free.
  assign code_ready = s_axis_v_tvalid && free;
  assign s_axis_v_tready = code_valid && free;
  assign fire = code_valid && code_ready;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      first <= 1'b1;
      tap_row_max <= '0;
    end else if (fire) begin
      first <= code_last;
      tap_row_max <= row_max;
    end
  end

  if (ROW_MAX != 0) begin : g_row_max
    localparam integer VALUE_WIDTH = $clog2(INT_MAX + 1);

    logic [LANES*VALUE_WIDTH-1:0] values;
    logic [WEIGHT_SUM_WIDTH-1:0] weight_sum, next_weight_sum, held_weight_sum;
    logic signed [T_WIDTH-1:0] held_row_max;
    logic complete, multiplier_ready, unused_row_sum;

    assign unused_row_sum = ^row_sum;
    assign free = !complete || multiplier_ready;

    for (genvar lane = 0; lane < LANES; lane++) begin : g_lane
      logic [LEVEL_WIDTH-1:0] level;
      logic [VALUE_WIDTH-1:0] value;

      if (ZERO_FLAG != 0) begin : g_17_levels
        assign level = codes[lane*5] ? '0 : LEVEL_WIDTH'(codes[lane*5+1+:4]) + LEVEL_WIDTH'(1);
      end else begin : g_16_levels
        assign level = LEVEL_WIDTH'(codes[lane*5+1+:4]);
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

      assign values[lane*VALUE_WIDTH+:VALUE_WIDTH] = keep[lane] ? value : '0;
    end

    always_comb begin
      next_weight_sum = first ? '0 : weight_sum;
      for (int lane = 0; lane < LANES; lane++) begin
        next_weight_sum = next_weight_sum +
            WEIGHT_SUM_WIDTH'(values[lane*VALUE_WIDTH+:VALUE_WIDTH]);
      end
    end

    row_multiplier #(
        .WEIGHT_SUM_WIDTH(WEIGHT_SUM_WIDTH),
        .M2_WIDTH(M2_WIDTH),
        .N2_WIDTH(N2_WIDTH)
    ) multiplier (
        .clk(clk),
        .rst_n(rst_n),
        .s_axis_tvalid(complete),
        .s_axis_tready(multiplier_ready),
        .s_axis_tdata({weight_sum, m2, n2}),
        .m_axis_tvalid(m_axis_tvalid),
        .m_axis_tready(m_axis_tready),
        .m_axis_tdata({row_m2, row_n2})
    );

    // A complete row leaves the accumulators as its weight sum enters the divider.
    always_ff @(posedge clk) begin
      if (!rst_n) begin
        complete <= 1'b0;
        weight_sum <= '0;
        held_weight_sum <= '0;
        held_row_max <= '0;
        finished <= '0;
      end else begin
        if (free) complete <= fire && code_last;
        if (fire) weight_sum <= next_weight_sum;
        if (complete && multiplier_ready) begin
          held_weight_sum <= weight_sum;
          held_row_max <= tap_row_max;
          finished <= accumulators;
        end
      end
    end

    assign tap_rows_tdata = {held_row_max, held_weight_sum, row_m2, row_n2, finished};
  end else begin : g_quotient
    logic [S_WIDTH-1:0] tap_row_sum;

    assign free = !m_axis_tvalid || m_axis_tready;
    assign row_m2 = m2;
    assign row_n2 = n2;
    assign finished = accumulators;

    always_ff @(posedge clk) begin
      if (!rst_n) begin
        m_axis_tvalid <= 1'b0;
        tap_row_sum <= '0;
      end else begin
        if (free) m_axis_tvalid <= fire && code_last;
        if (fire) tap_row_sum <= row_sum;
      end
    end

    assign tap_rows_tdata = {tap_row_max, tap_row_sum, accumulators};
  end

  for (genvar channel = 0; channel < HEAD_DIM; channel++) begin : g_channel
    logic [LANES*ACC_WIDTH-1:0] terms;
    logic signed [ACC_WIDTH-1:0] acc, next_acc;

    for (genvar lane = 0; lane < LANES; lane++) begin : g_lane
      logic signed [ACC_WIDTH-1:0] term;

      shift_add_lane #(
          .V_WIDTH(V_WIDTH),
          .ACC_WIDTH(ACC_WIDTH),
          .HALF(HALF),
          .OCTAVE_LEVELS(OCTAVE_LEVELS),
          .ZERO_FLAG(ZERO_FLAG)
      ) shift_and_add (
          .nibble(codes[lane*5+1+:4]),
          .flag(codes[lane*5]),
          .v(s_axis_v_tdata[(lane*HEAD_DIM+channel)*V_WIDTH+:V_WIDTH]),
          .zv(zv),
          .term(term)
      );

      assign terms[lane*ACC_WIDTH+:ACC_WIDTH] = keep[lane] ? term : '0;
    end

    always_comb begin
      next_acc = first ? '0 : acc;
      for (int lane = 0; lane < LANES; lane++) begin
        next_acc = next_acc + $signed(terms[lane*ACC_WIDTH+:ACC_WIDTH]);
      end
    end

    always_ff @(posedge clk) begin
      if (!rst_n) acc <= '0;
      else if (fire) acc <= next_acc;
    end

    output_requantizer #(
        .ACC_WIDTH(ACC_WIDTH),
        .M2_WIDTH(M2_WIDTH),
        .N2_WIDTH(N2_WIDTH),
        .OUT_PRODUCT_WIDTH(OUT_PRODUCT_WIDTH),
        .O_WIDTH(O_WIDTH)
    ) requantizer (
        .acc(finished[channel*ACC_WIDTH+:ACC_WIDTH]),
        .m2(row_m2),
        .n2(row_n2),
        .zo(zo),
        .o(m_axis_tdata[channel*O_WIDTH+:O_WIDTH])
    );

    assign accumulators[channel*ACC_WIDTH+:ACC_WIDTH] = acc;
  end

  assign tap_rows_tvalid = m_axis_tvalid && m_axis_tready;
endmodule
// For proofs of equivalence: what holds at every clock edge, and where two states must agree.
// within: softmax: softmax_row, index, last_index, state, last_keep, buffer
// row_max within: g_row_max_multiplier: row_multiplier, left, divisor, remainder, quotient
// quotient invariant: !m_axis_tvalid || first
// row_max invariant: !g_row_max_complete || first
// invariant: first || softmax_state == 2
// row_max lemma: BL2-WEIGHT-01, BL2-WEIGHT-02: !g_row_max_complete
//   || (g_row_max_weight_sum >= bitlog2_pkg::INT_MAX
//   && g_row_max_weight_sum <= bitlog2_pkg::LARGEST_WEIGHT)
// quotient agree: .*__acc: m_axis_tvalid || !first; tap_row_max|.*tap_row_sum: m_axis_tvalid
// quotient agree: .*__acc: m_axis_tvalid || !first || self == 0; first: any(.*__acc);
//   tap_row_max|.*tap_row_sum: m_axis_tvalid
// row_max agree: .*__acc|g_row_max_weight_sum: g_row_max_complete || !first;
//   tap_row_max: g_row_max_complete;
//   g_row_max_held.*|finished|row_n2: g_row_max_multiplier_left != 0 || m_axis_tvalid
