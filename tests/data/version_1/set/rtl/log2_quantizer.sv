// log2 quantizer, comparing form: the level of e / s without a divider.
//
// Latency: 0 cycles, combinational.
// Throughput: one key a cycle of whatever registers stand around it.
// Handshake: none.
// Requirements: BL2-LOG2-04, BL2-LOG2-05, BL2-LOG2-06, BL2-SCHEME-01
//
// Assumes e <= s and 2^P <= s <= MAX_TOKENS * 2^P. With A = ODD_FACTOR * 2^BASE_SHIFT and
// x = ODD_FACTOR * e, both leading ones are brought together by one shift, twice the size so that
// it never goes to the right: aligned < 2s says that k is one less, and the half bit compares with
// 3s. Nothing is wider than COMPARE_WIDTH.
module log2_quantizer #(
    parameter integer S_WIDTH = bitlog2_pkg::S_WIDTH,
    parameter integer E_WIDTH = bitlog2_pkg::E_WIDTH,
    parameter integer LEVEL_WIDTH = bitlog2_pkg::LEVEL_WIDTH,
    parameter integer COMPARE_WIDTH = bitlog2_pkg::COMPARE_WIDTH,
    parameter integer ODD_FACTOR = bitlog2_pkg::ODD_FACTOR,
    parameter integer BASE_SHIFT = bitlog2_pkg::BASE_SHIFT,
    parameter integer HALF = bitlog2_pkg::HALF,
    parameter integer TOP_LEVEL = bitlog2_pkg::TOP_LEVEL,
    parameter integer ZERO_FLAG = bitlog2_pkg::ZERO_FLAG
) (
    input  logic [    S_WIDTH-1:0] s,
    input  logic [    E_WIDTH-1:0] e,
    output logic [LEVEL_WIDTH-1:0] level,
    output logic [            3:0] nibble,
    output logic                   flag
);
  localparam integer X_WIDTH = (ODD_FACTOR == 3) ? E_WIDTH + 1 : E_WIDTH;
  localparam integer X_POSITION_WIDTH = $clog2(X_WIDTH);
  localparam integer S_POSITION_WIDTH = $clog2(S_WIDTH);
  localparam integer K_WIDTH = 8;  // signed: k is from -BASE_SHIFT - 36 to BASE_SHIFT + 1

  logic [X_WIDTH-1:0] x;
  logic [X_POSITION_WIDTH-1:0] lod_x;
  logic [S_POSITION_WIDTH-1:0] lod_s;
  logic any, below, unused_any;
  logic signed [K_WIDTH-1:0] left, k;
  logic [COMPARE_WIDTH-1:0] aligned;

  assign x = (ODD_FACTOR == 3) ? X_WIDTH'(e) + (X_WIDTH'(e) << 1) : X_WIDTH'(e);

  leading_one #(
      .WIDTH(X_WIDTH),
      .POSITION_WIDTH(X_POSITION_WIDTH)
  ) of_x (
      .x(x),
      .any(any),
      .position(lod_x)
  );

  leading_one #(
      .WIDTH(S_WIDTH),
      .POSITION_WIDTH(S_POSITION_WIDTH)
  ) of_s (
      .x(s),
      .any(unused_any),
      .position(lod_s)
  );

  // From 0, for lod(x) <= lod(s) + 1, up.
  assign left = K_WIDTH'(lod_s) - K_WIDTH'(lod_x) + K_WIDTH'(1);
  assign aligned = COMPARE_WIDTH'(x) << left;
  assign below = aligned < (COMPARE_WIDTH'(s) << 1);
  assign k = K_WIDTH'(BASE_SHIFT + 1) - left - K_WIDTH'(below);

  if (HALF != 0) begin : g_half
    logic half_bit;
    logic [K_WIDTH-1:0] unclamped;

    assign half_bit = (below ? aligned << 1 : aligned) >=
        (COMPARE_WIDTH'(s) << 1) + COMPARE_WIDTH'(s);
    assign unclamped = (k == '0) ? K_WIDTH'(1) : {k[K_WIDTH-2:0], half_bit};

    always_comb begin
      if (!any || k[K_WIDTH-1]) level = '0;
      else if (unclamped > K_WIDTH'(TOP_LEVEL)) level = LEVEL_WIDTH'(TOP_LEVEL);
      else level = LEVEL_WIDTH'(unclamped);
    end
  end else begin : g_single
    always_comb begin
      if (!any || k[K_WIDTH-1]) level = '0;
      else if (k >= K_WIDTH'(TOP_LEVEL)) level = LEVEL_WIDTH'(TOP_LEVEL);
      else level = LEVEL_WIDTH'(k) + LEVEL_WIDTH'(1);
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
