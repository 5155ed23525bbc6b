// Softmax row: the scores of a row to the codes of its attention map, LANES keys a beat.
//
// Latency: 2 B + 1 cycles from the first beat of a row to its first codes, B = ceil(N / LANES); with
//   ROW_MAX, B + 1.
// Throughput: a row takes 3 B cycles: its scores are loaded as t, then two passes over the row
//   buffer, one for the row sum, one for the codes. With ROW_MAX, where codes need no row sum, it
//   takes 2 B. Rows do not overlap.
// Handshake: AXI-Stream in, LANES x {mask, score, bias}, lane 0 lowest; tkeep, a bit a lane, is 1 on
//   all lanes but for the last beat, where the low lanes are kept; tlast on the last beat.
//   AXI-Stream out, LANES x {nibble, flag}, framed alike. m and n are held from a row's first beat
//   until its last codes are taken. tap_keys is valid in the cycle in which codes are taken;
//   row_max and row_sum are those of its row; with ROW_MAX row_sum is 0.
// Cycles: quotient 3 * B; row_max 2 * B
// Requirements: BL2-ROW-01, BL2-MAX-01, BL2-EXP2-04, BL2-SUM-01, BL2-SUM-02, BL2-DIST-02,
// Requirements: BL2-DIST-03, BL2-CODE-01, BL2-CODE-02
//
// Assumes 1 to MAX_TOKENS keys a row, one of them not masked, and n <= MAX_N.
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
  localparam integer WORD_WIDTH = LANES * (1 + T_WIDTH);
  localparam logic signed [T_WIDTH-1:0] LOWEST = {1'b1, {(T_WIDTH - 1) {1'b0}}};

  localparam logic [1:0] LOAD = 2'd0;
  localparam logic [1:0] SUM = 2'd1;
  localparam logic [1:0] CODE = 2'd2;
  localparam logic [1:0] LOADED = (ROW_MAX != 0) ? CODE : SUM;  // what follows LOAD

  logic [1:0] state;
  logic [WORD_WIDTH-1:0] buffer[0:BEATS-1];  // {mask, t} of each lane
  logic [WORD_WIDTH-1:0] loaded, held;
  logic [INDEX_WIDTH-1:0] index, last_index;
  logic [LANES-1:0] last_keep;
  logic signed [T_WIDTH-1:0] beat_max;
  logic load, at_end;

  assign s_axis_score_tready = state == LOAD;
  assign load = s_axis_score_tvalid && s_axis_score_tready;
  assign held = buffer[index];
  assign at_end = index == last_index;

  // Load: t of each lane, and the maximum of those that are there and not masked.
  for (genvar lane = 0; lane < LANES; lane++) begin : g_load
    logic mask;
    logic signed [SCORE_WIDTH-1:0] score;
    logic signed [T_WIDTH-1:0] bias, t;

    assign {mask, score, bias} = s_axis_score_tdata[lane*KEY_WIDTH+:KEY_WIDTH];

    score_requantizer #(
        .SCORE_WIDTH(SCORE_WIDTH),
        .M_WIDTH(M_WIDTH),
        .N_WIDTH(N_WIDTH),
        .PRODUCT_WIDTH(PRODUCT_WIDTH),
        .T_WIDTH(T_WIDTH)
    ) requantizer (
        .score(score),
        .m(m),
        .n(n),
        .bias(bias),
        .t(t)
    );

    assign loaded[lane*(1+T_WIDTH)+:1+T_WIDTH] = {mask || !s_axis_score_tkeep[lane], t};
  end

  always_comb begin
    beat_max = (index == '0) ? LOWEST : row_max;
    for (int lane = 0; lane < LANES; lane++) begin
      if (!loaded[lane*(1+T_WIDTH)+T_WIDTH] &&
          $signed(loaded[lane*(1+T_WIDTH)+:T_WIDTH]) > beat_max)
        beat_max = loaded[lane*(1+T_WIDTH)+:T_WIDTH];
    end
  end

  if (ROW_MAX != 0) begin : g_row_max
    // One pass: the level of each lane is read from its distance.
    for (genvar lane = 0; lane < LANES; lane++) begin : g_key
      logic mask, flag;
      logic signed [T_WIDTH-1:0] t;
      logic [D_WIDTH-1:0] d;
      logic [LEVEL_WIDTH-1:0] level;
      logic [3:0] nibble;

      assign {mask, t} = held[lane*(1+T_WIDTH)+:1+T_WIDTH];

      distance #(
          .T_WIDTH(T_WIDTH),
          .D_WIDTH(D_WIDTH),
          .DISTANCE_MAX(DISTANCE_MAX)
      ) of_key (
          .row_max(row_max),
          .t(t),
          .d(d)
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

      assign m_axis_tdata[lane*5+:5] = {nibble, flag};
      assign tap_keys_tdata[lane*TAP_WIDTH+:TAP_WIDTH] = {t, d, level, nibble, flag};
    end

    assign row_sum = '0;
  end else begin : g_quotient
    logic [LANES*E_WIDTH-1:0] lane_e;
    logic [S_WIDTH-1:0] beat_sum;

    // Both passes: d and e of each lane; the second has the sum, and so the codes.
    for (genvar lane = 0; lane < LANES; lane++) begin : g_key
      logic mask, flag;
      logic signed [T_WIDTH-1:0] t;
      logic [D_WIDTH-1:0] d;
      logic [E_WIDTH-1:0] e;
      logic [LEVEL_WIDTH-1:0] level;
      logic [3:0] nibble;

      assign {mask, t} = held[lane*(1+T_WIDTH)+:1+T_WIDTH];

      distance #(
          .T_WIDTH(T_WIDTH),
          .D_WIDTH(D_WIDTH),
          .DISTANCE_MAX(DISTANCE_MAX)
      ) of_key (
          .row_max(row_max),
          .t(t),
          .d(d)
      );

      exp2 #(
          .D_WIDTH(D_WIDTH),
          .E_WIDTH(E_WIDTH),
          .FRACTION_BITS(FRACTION_BITS),
          .TABLE(TABLE)
      ) of_distance (
          .mask(mask),
          .d(d),
          .e(e)
      );

      log2_quantizer #(
          .S_WIDTH(S_WIDTH),
          .E_WIDTH(E_WIDTH),
          .LEVEL_WIDTH(LEVEL_WIDTH),
          .COMPARE_WIDTH(COMPARE_WIDTH),
          .ODD_FACTOR(ODD_FACTOR),
          .BASE_SHIFT(BASE_SHIFT),
          .HALF(HALF),
          .TOP_LEVEL(TOP_LEVEL),
          .ZERO_FLAG(ZERO_FLAG)
      ) quantizer (
          .s(row_sum),
          .e(e),
          .level(level),
          .nibble(nibble),
          .flag(flag)
      );

      assign lane_e[lane*E_WIDTH+:E_WIDTH] = e;
      assign m_axis_tdata[lane*5+:5] = {nibble, flag};
      assign tap_keys_tdata[lane*TAP_WIDTH+:TAP_WIDTH] = {t, d, e, level, nibble, flag};
    end

    always_comb begin
      beat_sum = (index == '0) ? '0 : row_sum;
      for (int lane = 0; lane < LANES; lane++) begin
        beat_sum = beat_sum + S_WIDTH'(lane_e[lane*E_WIDTH+:E_WIDTH]);
      end
    end

    always_ff @(posedge clk) begin
      if (!rst_n) row_sum <= '0;
      else if (state == SUM) row_sum <= beat_sum;
    end
  end

  assign m_axis_tvalid = state == CODE;
  assign m_axis_tlast = at_end;
  assign m_axis_tkeep = at_end ? last_keep : '1;
  assign tap_keys_tvalid = m_axis_tvalid && m_axis_tready;
  assign tap_keys_tkeep = m_axis_tkeep;
  assign tap_keys_tlast = m_axis_tlast;

  always_ff @(posedge clk) begin
    if (load) buffer[index] <= loaded;
  end

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      state <= LOAD;
      index <= '0;
      last_index <= '0;
      last_keep <= '0;
      row_max <= '0;
    end else begin
      case (state)
        LOAD:
        if (load) begin
          row_max <= beat_max;
          index <= s_axis_score_tlast ? '0 : index + 1'b1;
          if (s_axis_score_tlast) begin
            last_index <= index;
            last_keep <= s_axis_score_tkeep;
            state <= LOADED;
          end
        end
        SUM: begin
          index <= at_end ? '0 : index + 1'b1;
          if (at_end) state <= CODE;
        end
        default:
        if (m_axis_tready) begin
          index <= at_end ? '0 : index + 1'b1;
          if (at_end) state <= LOAD;
        end
      endcase
    end
  end
endmodule
// For proofs of equivalence: what holds at every clock edge, and where two states must agree.
// assume: !s_axis_score_tvalid || (s_axis_score_tkeep[0]
//   && (s_axis_score_tkeep & (s_axis_score_tkeep + 1)) == 0)
// assume: !s_axis_score_tvalid || s_axis_score_tlast || (&s_axis_score_tkeep
//   && index != (bitlog2_pkg::MAX_TOKENS + 3) / 4 - 1)
// invariant: state != 3
// row_max invariant: state != 1
// invariant: state == 0 || index <= last_index
// invariant: state == 0 || (last_keep[0] && (last_keep & (last_keep + 1)) == 0)
// quotient lemma: BL2-SUM-01, BL2-SUM-02: state != 2
//   || (row_sum >= (1 << bitlog2_pkg::TABLE_BITS)
//   && row_sum <= (bitlog2_pkg::MAX_TOKENS << bitlog2_pkg::TABLE_BITS))
// agree: row_max: state != 0 || index != 0;
//   row_sum: state == 2 || (state == 1 && index != 0);
//   last_index: state != 0; last_keep: state != 0;
//   buffer: state == 0 ? entry < index : entry <= last_index
// compare: row_max: m_axis_tvalid
// compare: row_sum: m_axis_tvalid
