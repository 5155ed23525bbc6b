// Checkers to bind to a device: the rules of a stream, and the bounds that every row keeps.
//
// Latency: none, a violation is reported at the clock edge at which it is seen.
// Throughput: a beat a cycle.
// Handshake: listens only, drives nothing.
// Requirements: BL2-ROW-01, BL2-REQ-01, BL2-MAX-01, BL2-MAX-03, BL2-EXP2-04, BL2-EXP2-05,
// Requirements: BL2-SUM-01, BL2-SUM-02, BL2-LOG2-05, BL2-CODE-01, BL2-CODE-02, BL2-ACC-02,
// Requirements: BL2-DIST-02, BL2-DIST-03, BL2-WEIGHT-02, BL2-ROWMUL-02, BL2-ACC-03
//
// Every check is an immediate assertion that calls $error with the instance and the requirement.
// Synthesis (SYNTHESIS defined, as Yosys does) sees empty modules. bind/bind_checks.sv binds them
// to the reference; README.md beside it says how to bind them to another device.
/* verilator lint_off DECLFILENAME */

// One AXI-Stream of WIDTH data bits. Tie `tkeep` and `tlast` to ones where the stream has none.
// Rows keep all lanes on every beat but the last, whose kept lanes are the lowest, at least one.
module axis_checks #(
  parameter integer WIDTH = 8,
  parameter integer LANES = 1
) (
  input wire             clk,
  input wire             rst_n,
  input wire             tvalid,
  input wire             tready,
  input wire [WIDTH-1:0] tdata,
  input wire [LANES-1:0] tkeep,
  input wire             tlast
);
`ifndef SYNTHESIS
  localparam [LANES-1:0] LANE_0 = 1;

  reg             resetting;  // the previous edge was one of reset
  reg             waiting;    // the previous edge saw a beat that was not taken
  reg [WIDTH-1:0] tdata_before;
  reg [LANES-1:0] tkeep_before;
  reg             tlast_before;

  wire [LANES-1:0] above_kept = tkeep + LANE_0;

  initial begin
    resetting = 1'b0;
    waiting   = 1'b0;
  end

  always @(posedge clk) begin
    resetting    <= !rst_n;
    waiting      <= rst_n && tvalid && !tready;
    tdata_before <= tdata;
    tkeep_before <= tkeep;
    tlast_before <= tlast;
  end

  always @(posedge clk) begin
    if (!rst_n) begin
      assert (!resetting || tvalid === 1'b0)
      else $error("%m: AXI-Stream: tvalid must be low during reset");
    end else begin
      assert (tvalid === 1'b0 || tvalid === 1'b1)
      else $error("%m: AXI-Stream: tvalid must be known after reset");
      if (waiting) begin
        assert (tvalid === 1'b1)
        else $error("%m: AXI-Stream: tvalid must stay until tready");
        assert (tdata === tdata_before)
        else $error("%m: AXI-Stream: tdata must be stable until tready");
        assert (tkeep === tkeep_before)
        else $error("%m: AXI-Stream: tkeep must be stable until tready");
        assert (tlast === tlast_before)
        else $error("%m: AXI-Stream: tlast must be stable until tready");
      end
      if (tvalid) begin
        assert (tkeep[0] === 1'b1 && (tkeep & above_kept) === {LANES{1'b0}})
        else $error("%m: AXI-Stream: kept lanes must be the lowest, got tkeep %b", tkeep);
        assert (tlast === 1'b1 || &tkeep === 1'b1)
        else $error("%m: AXI-Stream: only a last beat leaves lanes out, got tkeep %b", tkeep);
      end
    end
  end
`endif
endmodule

// The rows of a device with the taps of `softmax_row` and `attention_row`.
//
// The score stream says which keys are masked: a beat of `keys` belongs to the beat of scores of
// the same number. Of `scores`, `score_taken` is tvalid && tready. A device without the tap of rows
// ties `rows_tvalid` to 0.
module row_checks #(
  parameter integer LANES         = 4,
  parameter integer CHANNELS      = bitlog2_pkg::HEAD_DIM,
  parameter integer MAX_TOKENS    = bitlog2_pkg::MAX_TOKENS,
  parameter integer TABLE_BITS    = bitlog2_pkg::TABLE_BITS,
  parameter integer DISTANCE_MAX  = bitlog2_pkg::DISTANCE_MAX,
  parameter integer ROW_MAX       = bitlog2_pkg::ROW_MAX,
  parameter integer OCTAVE_LEVELS = bitlog2_pkg::OCTAVE_LEVELS,
  parameter integer TOP_LEVEL     = bitlog2_pkg::TOP_LEVEL,
  parameter integer ZERO_FLAG     = bitlog2_pkg::ZERO_FLAG,
  parameter integer V_BITS        = bitlog2_pkg::V_BITS,
  parameter integer INT_MAX       = bitlog2_pkg::INT_MAX,
  parameter integer T_WIDTH       = bitlog2_pkg::T_WIDTH,
  parameter integer D_WIDTH       = bitlog2_pkg::D_WIDTH,
  parameter integer E_WIDTH       = bitlog2_pkg::E_WIDTH,
  parameter integer ROW_SUM_WIDTH = bitlog2_pkg::ROW_SUM_WIDTH,
  parameter integer WEIGHT_SUM_WIDTH = bitlog2_pkg::WEIGHT_SUM_WIDTH,
  parameter integer M2_WIDTH      = bitlog2_pkg::M2_WIDTH,
  parameter integer N2_WIDTH      = bitlog2_pkg::N2_WIDTH,
  parameter integer ACC_WIDTH     = bitlog2_pkg::ACC_WIDTH,
  // Beats of scores that the device may be ahead of its keys: two rows, and registers behind them.
  parameter integer BEATS_HELD    = 2 * MAX_TOKENS + 16,
  parameter integer KEY_WIDTH     = T_WIDTH + D_WIDTH + ((ROW_MAX != 0) ? 0 : E_WIDTH) + 10,
  parameter integer ROW_WIDTH     = T_WIDTH + CHANNELS * ACC_WIDTH +
      ((ROW_MAX != 0) ? WEIGHT_SUM_WIDTH + M2_WIDTH + N2_WIDTH : ROW_SUM_WIDTH)
) (
  input wire                       clk,
  input wire                       rst_n,
  input wire                       score_taken,
  input wire [LANES-1:0]           score_mask,
  input wire [LANES-1:0]           score_tkeep,
  input wire                       score_tlast,
  input wire                       keys_tvalid,
  input wire [LANES-1:0]           keys_tkeep,
  input wire                       keys_tlast,
  input wire [LANES*KEY_WIDTH-1:0] keys_tdata,  // LANES x {t, d, e, level, nibble, flag}, no e
  input wire                       rows_tvalid, // and weight_sum, m2_row, n2_row with ROW_MAX
  input wire [ROW_WIDTH-1:0]       rows_tdata   // {row_max, row_sum, acc x CHANNELS}
);
`ifndef SYNTHESIS
  localparam integer E_BITS   = (ROW_MAX != 0) ? 1 : E_WIDTH;
  localparam integer M2_BITS  = (ROW_MAX != 0) ? M2_WIDTH : 1;
  localparam integer N2_BITS  = (ROW_MAX != 0) ? N2_WIDTH : 1;
  localparam integer SUM_BITS = (ROW_MAX != 0) ? WEIGHT_SUM_WIDTH : ROW_SUM_WIDTH;
  // Weight of distance 0: an e, or with ROW_MAX the value of a level.
  localparam [63:0] ONE       = (ROW_MAX != 0) ? $unsigned(64'(INT_MAX)) : 64'd1 << TABLE_BITS;
  localparam [63:0] SUM_BOUND = $unsigned(64'(MAX_TOKENS)) * ONE;
  localparam [63:0] D_BOUND   = $unsigned(64'(DISTANCE_MAX));
  localparam [5:0]  TOP       = $unsigned(6'(TOP_LEVEL));
  localparam signed [63:0] ACC_BOUND = ((64'sd1 << V_BITS) - 64'sd1) * 64'(INT_MAX) *
      ((ROW_MAX != 0) ? 64'(MAX_TOKENS) : 64'sd1);

  // ---- what the score stream said, a beat an entry: {tlast, tkeep, mask} ----
  reg [2*LANES:0] beats[0:BEATS_HELD-1];
  integer         taken;
  integer         shown;
  reg [63:0]      sum_before;   // weights of the row so far
  integer         keys_before;

  wire [2*LANES:0] beat = beats[shown % BEATS_HELD];

  initial begin
    taken       = 0;
    shown       = 0;
    sum_before  = 64'd0;
    keys_before = 0;
  end

  always @(posedge clk) begin
    if (!rst_n) begin
      taken <= 0;
      shown <= 0;
    end else begin
      if (score_taken) begin
        beats[taken % BEATS_HELD] <= {score_tlast, score_tkeep, score_mask};
        taken <= taken + 1;
      end
      if (keys_tvalid) shown <= shown + 1;
    end
  end

  // ---- the row so far ----
  function automatic [63:0] value_of(input [4:0] code);
    integer above;
    above = $signed({27'd0, code}) - OCTAVE_LEVELS;
    if (code == 5'd0) value_of = 64'd0;
    else if (above <= 0) value_of = 64'd1 << (code - 5'd1);
    else value_of = (((above % 2) != 0 ? 64'd3 : 64'd2) << (OCTAVE_LEVELS - 1 + above / 2)) >> 1;
  endfunction

  function automatic [63:0] sum_of(input [LANES*KEY_WIDTH-1:0] data, input [LANES-1:0] keep);
    sum_of = 64'd0;
    for (int lane = 0; lane < LANES; lane++)
      if (keep[lane])
        sum_of = sum_of + ((ROW_MAX != 0) ? value_of(data[lane*KEY_WIDTH+5+:5]) :
            64'(data[lane*KEY_WIDTH+10+:E_BITS]));
  endfunction

  function automatic integer kept(input [LANES-1:0] keep);
    kept = 0;
    for (int lane = 0; lane < LANES; lane++) if (keep[lane]) kept = kept + 1;
  endfunction

  wire [63:0]  sum = sum_before + sum_of(keys_tdata, keys_tkeep);
  wire integer keys = keys_before + kept(keys_tkeep);

  always @(posedge clk) begin
    if (!rst_n) begin
      sum_before  <= 64'd0;
      keys_before <= 0;
    end else if (keys_tvalid) begin
      sum_before  <= keys_tlast ? 64'd0 : sum;
      keys_before <= keys_tlast ? 0 : keys;
    end
  end

  always @(posedge clk) begin
    if (rst_n) begin
      assert (keys_tvalid === 1'b0 || keys_tvalid === 1'b1)
      else $error("%m: BL2-ROW-01: the tap of keys must be known after reset");
      assert (taken - shown <= BEATS_HELD)
      else $error("%m: BL2-ROW-01: scores are more than %0d beats ahead of keys", BEATS_HELD);
    end
    if (rst_n && keys_tvalid) begin
      assert (shown < taken)
      else $error("%m: BL2-ROW-01: a beat of keys must follow its beat of scores");
      if (shown < taken) begin
        assert ({keys_tlast, keys_tkeep} === beat[2*LANES:LANES])
        else $error("%m: BL2-ROW-01: tlast and tkeep of a beat of keys must be its scores'");
      end
      if (keys_tlast) begin
        assert (keys <= MAX_TOKENS)
        else $error("%m: BL2-ROW-01: a row has at most %0d keys, got %0d", MAX_TOKENS, keys);
        assert (ROW_MAX != 0 || sum >= ONE)
        else $error("%m: BL2-SUM-02: the e of a row must sum to at least %0d, got %0d", ONE, sum);
        assert (ROW_MAX == 0 || sum >= ONE)
        else $error("%m: BL2-WEIGHT-02: values of a row sum to at least %0d, got %0d", ONE, sum);
      end
    end
  end

  // ---- keys ----
  generate
    for (genvar lane = 0; lane < LANES; lane = lane + 1) begin : lanes
      wire [KEY_WIDTH-1:0] key = keys_tdata[lane*KEY_WIDTH+:KEY_WIDTH];
      wire known = ^key[KEY_WIDTH-1-:T_WIDTH] !== 1'bx;
      wire [63:0] d = 64'(key[KEY_WIDTH-T_WIDTH-1-:D_WIDTH]);
      wire [63:0] e = 64'(key[10+:E_BITS]);  // means nothing with ROW_MAX
      wire [5:0]  level = {1'b0, key[9:5]};
      wire [5:0]  nibble = {2'b0, key[4:1]};
      wire        flag = key[0];
      wire        masked = shown < taken && beat[lane];
      always @(posedge clk) begin
        if (rst_n && keys_tvalid && keys_tkeep[lane]) begin
          assert (known) else $error("%m: BL2-REQ-01: t must be known");
          assert (masked || d <= D_BOUND)
          else $error("%m: BL2-MAX-03: d is at most %0d, got %0d", DISTANCE_MAX, d);
          assert (ROW_MAX != 0 || e <= ONE)
          else $error("%m: BL2-EXP2-05: e is at most %0d, got %0d", ONE, e);
          assert (ROW_MAX != 0 || !masked || e == 64'd0)
          else $error("%m: BL2-EXP2-04: e of a masked key must be 0, got %0d", e);
          assert (ROW_MAX == 0 || !masked || level == 6'd0)
          else $error("%m: BL2-DIST-03: level of a masked key must be 0, got %0d", level);
          assert (ROW_MAX != 0 || level <= TOP)
          else $error("%m: BL2-LOG2-05: level is at most %0d, got %0d", TOP_LEVEL, level);
          assert (ROW_MAX == 0 || level <= TOP)
          else $error("%m: BL2-DIST-02: level is at most %0d, got %0d", TOP_LEVEL, level);
          assert (flag === 1'b0 || ZERO_FLAG != 0)
          else $error("%m: BL2-CODE-01: flag must be 0 where codes have 16 levels");
          assert (flag === 1'b0 || nibble == 6'd0)
          else $error("%m: BL2-CODE-02: flag must come with nibble 0, got nibble %0d", nibble);
          assert (ZERO_FLAG != 0 || nibble == level)
          else $error("%m: BL2-CODE-01: nibble must be level %0d, got %0d", level, nibble);
          assert (ZERO_FLAG == 0 || nibble + 6'd1 == level + 6'(flag))
          else $error("%m: BL2-CODE-02: level %0d has nibble %0d, flag %b", level, nibble, flag);
        end
      end
    end
  endgenerate

  // ---- rows ----
  wire        max_known = ^rows_tdata[ROW_WIDTH-1-:T_WIDTH] !== 1'bx;
  wire [63:0] row_sum = 64'(rows_tdata[ROW_WIDTH-T_WIDTH-1-:SUM_BITS]);  // or weight_sum
  // These mean nothing without ROW_MAX.
  wire [63:0] m2_row = 64'(rows_tdata[CHANNELS*ACC_WIDTH+N2_BITS+:M2_BITS]);
  wire [63:0] n2_row = 64'(rows_tdata[CHANNELS*ACC_WIDTH+:N2_BITS]);

  always @(posedge clk) begin
    if (rst_n) begin
      assert (rows_tvalid === 1'b0 || rows_tvalid === 1'b1)
      else $error("%m: BL2-ROW-01: the tap of rows must be known after reset");
    end
    if (rst_n && rows_tvalid) begin
      assert (max_known) else $error("%m: BL2-MAX-01: row max must be known");
      assert (ROW_MAX != 0 || row_sum >= ONE)
      else $error("%m: BL2-SUM-02: s is at least %0d, got %0d", ONE, row_sum);
      assert (ROW_MAX != 0 || row_sum <= SUM_BOUND)
      else $error("%m: BL2-SUM-01: s is at most %0d, got %0d", SUM_BOUND, row_sum);
      assert (ROW_MAX == 0 || (ONE <= row_sum && row_sum <= SUM_BOUND))
      else $error("%m: BL2-WEIGHT-02: w is from %0d to %0d, got %0d", ONE, SUM_BOUND, row_sum);
      assert (ROW_MAX == 0 || m2_row != 64'd0)
      else $error("%m: BL2-ROWMUL-02: m2 of a row must not be 0");
      assert (ROW_MAX == 0 || n2_row <= $unsigned(64'(bitlog2_pkg::MAX_N2)))
      else $error("%m: BL2-ROWMUL-02: n2 of a row is at most %0d, got %0d", bitlog2_pkg::MAX_N2,
                  n2_row);
    end
  end

  generate
    for (genvar channel = 0; channel < CHANNELS; channel = channel + 1) begin : channels
      wire signed [63:0] acc = 64'($signed(rows_tdata[channel*ACC_WIDTH+:ACC_WIDTH]));
      always @(posedge clk) begin
        if (rst_n && rows_tvalid) begin
          assert (ROW_MAX != 0 || (-ACC_BOUND <= acc && acc <= ACC_BOUND))
          else
            $error("%m: BL2-ACC-02: acc is from -%0d to %0d, got %0d", ACC_BOUND, ACC_BOUND, acc);
          assert (ROW_MAX == 0 || (-ACC_BOUND <= acc && acc <= ACC_BOUND))
          else
            $error("%m: BL2-ACC-03: acc is from -%0d to %0d, got %0d", ACC_BOUND, ACC_BOUND, acc);
        end
      end
    end
  endgenerate
`endif
endmodule
