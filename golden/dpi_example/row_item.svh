// The transaction of the inputs: one row and the layer parameters that it is computed with.
// Arrays have the largest size (what DPI-C takes from every simulator); `tokens` keys are used.
class row_item;
  localparam int SCORE_BOUND =
      (2 ** Q_BITS - 1) * (2 ** K_BITS - 1) * MAX_HEAD_DIM;

  int tokens;
  int m, n, m2, n2, zv, zo;
  byte unsigned masked[N_MAX];
  int score[N_MAX];
  int bias[N_MAX];
  byte unsigned v[N_MAX*D];

  // From low to high, both included.
  static function int between(int low, int high);
    return low + int'($urandom_range(high - low, 0));
  endfunction

  // A row that the specification allows: scores of a random spread around a random middle.
  function void fill();
    int spread = between(0, 1) == 0 ? SCORE_BOUND : between(0, 200);
    int middle = between(-SCORE_BOUND + spread, SCORE_BOUND - spread);
    tokens = between(1, N_MAX);
    m = between(1, 2 ** M_BITS - 1);
    n = between(0, MAX_N);
    m2 = between(1, 2 ** M2_BITS - 1);
    n2 = between(0, MAX_LAYER_N2);
    zv = between(0, 2 ** V_BITS - 1);
    zo = between(0, 2 ** O_BITS - 1);
    for (int j = 0; j < tokens; j++) begin
      score[j]  = between(middle - spread, middle + spread);
      bias[j]   = between(0, 3) == 0 ? between(-100, 100) : 0;
      masked[j] = between(0, 7) == 0 ? 8'd1 : 8'd0;
      for (int c = 0; c < D; c++) v[j*D+c] = 8'(between(0, 2 ** V_BITS - 1));
    end
    masked[between(0, tokens - 1)] = 8'd0;  // BL2-MAX-02: one key at least takes part
  endfunction
endclass
