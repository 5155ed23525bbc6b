// log2 quantizer with registers, comparing form: the level of e / s without a divider.
//
// Latency: 7 * PIPELINE cycles of `advance`.
// Throughput: one key a cycle of `advance`; with PIPELINE = 0, combinational.
// Handshake: none.
// Requirements: BL2-LOG2-04, BL2-LOG2-05, BL2-LOG2-06, BL2-SCHEME-01
//
// Assumes e <= s and 2^P <= s <= MAX_TOKENS * 2^P. With A = ODD_FACTOR * 2^BASE_SHIFT and
// x = ODD_FACTOR * e, both leading ones are brought together by one shift, twice the size so that
// it never goes to the right: aligned < 2s says that k is one less, and the half bit compares with
// 3s. Nothing is wider than COMPARE_WIDTH.
// lod_s is the position of the leading one of s, which is found once a row. Registers: after
// x, within and after its leading-one detector, after left, aligned, below and k.
module log2_quantizer_pipe #(
    parameter integer PIPELINE = 1,
    parameter integer S_WIDTH = bitlog2_pkg::S_WIDTH,
    parameter integer E_WIDTH = bitlog2_pkg::E_WIDTH,
    parameter integer LEVEL_WIDTH = bitlog2_pkg::LEVEL_WIDTH,
    parameter integer COMPARE_WIDTH = bitlog2_pkg::COMPARE_WIDTH,
    parameter integer ODD_FACTOR = bitlog2_pkg::ODD_FACTOR,
    parameter integer BASE_SHIFT = bitlog2_pkg::BASE_SHIFT,
    parameter integer HALF = bitlog2_pkg::HALF,
    parameter integer TOP_LEVEL = bitlog2_pkg::TOP_LEVEL,
    parameter integer ZERO_FLAG = bitlog2_pkg::ZERO_FLAG,
    parameter integer S_POSITION_WIDTH = $clog2(S_WIDTH)
) (
    input  logic                        clk,
    input  logic                        advance,
    input  logic [         S_WIDTH-1:0] s,
    input  logic [S_POSITION_WIDTH-1:0] lod_s,
    input  logic [         E_WIDTH-1:0] e,
    output logic [     LEVEL_WIDTH-1:0] level,
    output logic [                 3:0] nibble,
    output logic                        flag
);
  localparam integer X_WIDTH = (ODD_FACTOR == 3) ? E_WIDTH + 1 : E_WIDTH;
  localparam integer X_POSITION_WIDTH = $clog2(X_WIDTH);
  localparam integer SHIFT_WIDTH = $clog2(COMPARE_WIDTH);
  localparam integer K_WIDTH = 8;  // signed: k is from -BASE_SHIFT - 36 to BASE_SHIFT + 1
  localparam integer BESIDE_WIDTH = X_WIDTH + S_WIDTH + S_POSITION_WIDTH;

  logic [X_WIDTH-1:0] x, x_1, x_3, x_4;
  logic [S_WIDTH-1:0] s_1, s_3, s_4, s_5;
  logic [S_POSITION_WIDTH-1:0] lod_s_1, lod_s_3;
  logic [X_POSITION_WIDTH-1:0] lod_x, lod_x_3;
  logic any, any_3, any_4, any_5, any_6, any_7, below, below_6;
  logic signed [K_WIDTH-1:0] left, left_4, left_5, left_6, k, k_7;
  logic [COMPARE_WIDTH-1:0] aligned, aligned_5;

  assign x = (ODD_FACTOR == 3) ? X_WIDTH'(e) + (X_WIDTH'(e) << 1) : X_WIDTH'(e);

  delay_line #(
      .WIDTH(BESIDE_WIDTH),
      .DEPTH(PIPELINE)
  ) after_x (
      .clk(clk),
      .advance(advance),
      .d({x, s, lod_s}),
      .q({x_1, s_1, lod_s_1})
  );

  leading_one #(
      .WIDTH(X_WIDTH),
      .PIPELINE(PIPELINE),
      .POSITION_WIDTH(X_POSITION_WIDTH)
  ) of_x (
      .clk(clk),
      .advance(advance),
      .x(x_1),
      .any(any),
      .position(lod_x)
  );

  delay_line #(
      .WIDTH(BESIDE_WIDTH),
      .DEPTH(2 * PIPELINE)
  ) beside_lod (
      .clk(clk),
      .advance(advance),
      .d({x_1, s_1, lod_s_1}),
      .q({x_3, s_3, lod_s_3})
  );

  delay_line #(
      .WIDTH(1 + X_POSITION_WIDTH),
      .DEPTH(PIPELINE)
  ) after_lod (
      .clk(clk),
      .advance(advance),
      .d({any, lod_x}),
      .q({any_3, lod_x_3})
  );

  // From 0, for lod(x) <= lod(s) + 1, up.
  assign left = K_WIDTH'(lod_s_3) - K_WIDTH'(lod_x_3) + K_WIDTH'(1);

  delay_line #(
      .WIDTH(1 + K_WIDTH + X_WIDTH + S_WIDTH),
      .DEPTH(PIPELINE)
  ) after_left (
      .clk(clk),
      .advance(advance),
      .d({any_3, left, x_3, s_3}),
      .q({any_4, left_4, x_4, s_4})
  );

  assign aligned = COMPARE_WIDTH'(x_4) << left_4[SHIFT_WIDTH-1:0];

  delay_line #(
      .WIDTH(1 + K_WIDTH + COMPARE_WIDTH + S_WIDTH),
      .DEPTH(PIPELINE)
  ) after_aligned (
      .clk(clk),
      .advance(advance),
      .d({any_4, left_4, aligned, s_4}),
      .q({any_5, left_5, aligned_5, s_5})
  );

  assign below = aligned_5 < (COMPARE_WIDTH'(s_5) << 1);

  delay_line #(
      .WIDTH(2 + K_WIDTH),
      .DEPTH(PIPELINE)
  ) after_below (
      .clk(clk),
      .advance(advance),
      .d({any_5, left_5, below}),
      .q({any_6, left_6, below_6})
  );

  assign k = K_WIDTH'(BASE_SHIFT + 1) - left_6 - K_WIDTH'(below_6);

  if (HALF != 0) begin : g_half
    logic [COMPARE_WIDTH-1:0] aligned_6, triple, triple_6;
    logic half_bit, half_bit_7;
    logic [K_WIDTH-1:0] unclamped;

    assign triple = (COMPARE_WIDTH'(s_5) << 1) + COMPARE_WIDTH'(s_5);

    delay_line #(
        .WIDTH(2 * COMPARE_WIDTH),
        .DEPTH(PIPELINE)
    ) after_triple (
        .clk(clk),
        .advance(advance),
        .d({aligned_5, triple}),
        .q({aligned_6, triple_6})
    );

    assign half_bit = (below_6 ? aligned_6 << 1 : aligned_6) >= triple_6;

    delay_line #(
        .WIDTH(2 + K_WIDTH),
        .DEPTH(PIPELINE)
    ) after_k (
        .clk(clk),
        .advance(advance),
        .d({any_6, k, half_bit}),
        .q({any_7, k_7, half_bit_7})
    );

    assign unclamped = (k_7 == '0) ? K_WIDTH'(1) : {k_7[K_WIDTH-2:0], half_bit_7};

    always_comb begin
      if (!any_7 || k_7[K_WIDTH-1]) level = '0;
      else if (unclamped > K_WIDTH'(TOP_LEVEL)) level = LEVEL_WIDTH'(TOP_LEVEL);
      else level = LEVEL_WIDTH'(unclamped);
    end
  end else begin : g_single
    delay_line #(
        .WIDTH(1 + K_WIDTH),
        .DEPTH(PIPELINE)
    ) after_k (
        .clk(clk),
        .advance(advance),
        .d({any_6, k}),
        .q({any_7, k_7})
    );

    always_comb begin
      if (!any_7 || k_7[K_WIDTH-1]) level = '0;
      else if (k_7 >= K_WIDTH'(TOP_LEVEL)) level = LEVEL_WIDTH'(TOP_LEVEL);
      else level = LEVEL_WIDTH'(k_7) + LEVEL_WIDTH'(1);
    end
  end

  code_register #(
      .LEVEL_WIDTH(LEVEL_WIDTH),
      .ZERO_FLAG(ZERO_FLAG)
  ) code (
      .level(level),
      .nibble(nibble),
      .flag(flag)
  );
endmodule

// Points that the vectors of the default configuration do not reach.
// not reached: line "cond_else: assign x = \(ODD_FACTOR == 3\).*"
//   a constant of the scheme: A = 384 is 3 * 2^7 (BL2-SCHEME-01)
// not reached: toggle "lod_s(_\d)?\[4\]:1->0"
//   2^16 <= s, so its leading one is at 16 to 26 (BL2-SUM-02)
// not reached: toggle "left(_\d)?\[[567]\]:.*"
//   lod(s) - lod(x) + 1 is from 0 to 27: its higher bits stay 0 (BL2-LOG2-06)
// not reached: toggle "(clk|advance):.*"
//   the unit is combinational: it has no registers without PIPELINE (BL2-LOG2-04)
