// The row worked in section 7 of the specification, from a testbench, by the row and by units; then
// the same scores and values in RowMax_16.
module example_tb;
  import bitlog2_dpi::*;

  localparam int N = 8;
  localparam int D = 4;
  localparam int C = 2;

  byte unsigned q[D] = '{1, 13, 15, 14};
  byte unsigned k[N*D] = '{11, 7, 12, 8, 3, 10, 6, 7, 15, 6, 4, 11, 2, 11, 0, 15,
                           13, 14, 11, 11, 3, 9, 11, 9, 2, 7, 8, 1, 11, 11, 10, 1};
  byte unsigned v[N*C] = '{13, 2, 0, 7, 4, 15, 0, 6, 6, 8, 13, 11, 10, 0, 7, 12};
  byte unsigned masked[N] = '{0, 0, 0, 0, 0, 1, 0, 0};
  int bias[N] = '{0, 12, -20, 0, 35, -7, 0, 64};

  int score[N], t[N], acc[C], row_max;
  int unsigned d[N], e[N];
  longint unsigned row_sum;
  byte unsigned level[N], nibble[N], flag[N], o[C];

  int errors = 0;

  function automatic void expect_ok(string what, int status);
    if (status != BL2_OK) begin
      $display("%s: %s", what, bl2_status_text(status));
      errors++;
    end
  endfunction

  function automatic void expect_that(string what, bit holds);
    if (!holds) begin
      $display("%s differs", what);
      errors++;
    end
  endfunction

  // The first key and the first output channel, unit by unit, against the row's registers.
  function automatic void check_units(chandle model);
    byte unsigned first_key[D], column[N];
    int unsigned got_d, got_e;
    longint unsigned got_sum;
    byte unsigned got_level, other_level, got_nibble, got_flag, got_o;
    int got;
    foreach (first_key[i]) first_key[i] = k[i];
    foreach (column[j]) column[j] = v[j*C];
    expect_ok("score accumulator", bl2_score_accumulator(model, D, q, first_key, got));
    expect_that("score", got == score[0]);
    expect_ok("score requantizer", bl2_score_requantizer(model, score[0], bias[0], got));
    expect_that("t", got == t[0]);
    expect_ok("row max", bl2_row_max(model, N, t, masked, got));
    expect_that("row max", got == row_max);
    expect_ok("distance", bl2_distance(model, row_max, t[0], masked[0], got_d));
    expect_that("d", got_d == d[0]);
    expect_ok("exp2", bl2_exp2(model, d[0], masked[0], got_e));
    expect_that("e", got_e == e[0]);
    expect_ok("row sum", bl2_row_sum(model, N, e, got_sum));
    expect_that("row sum", got_sum == row_sum);
    expect_ok("log2 quantizer", bl2_log2_quantizer(model, e[0], row_sum, got_level));
    expect_that("level", got_level == level[0]);
    expect_ok("dividing", bl2_log2_quantizer_dividing(model, e[0], row_sum, other_level));
    expect_that("level by dividing", other_level == level[0]);
    expect_ok("code register", bl2_code_register(model, level[0], got_nibble, got_flag));
    expect_that("nibble", got_nibble == nibble[0]);
    expect_that("flag", got_flag == flag[0]);
    expect_ok("code level", bl2_code_level(model, nibble[0], flag[0], got_level));
    expect_that("level read back", got_level == level[0]);
    expect_ok("shift-and-add", bl2_shift_add(model, N, nibble, flag, column, got));
    expect_that("acc", got == acc[0]);
    expect_ok("output requantizer", bl2_output_requantizer(model, acc[0], got_o));
    expect_that("o", got_o == o[0]);
  endfunction

  // The row in RowMax_16, whose M2 / 2^n2 is s_v / s_o = 2; then what RowMax has of its own.
  function automatic void check_row_max();
    chandle model;
    int unsigned weight_sum;
    int m2_row, n2_row, got;
    int unsigned no_e[1] = '{77};
    byte unsigned got_level, got_o;
    expect_ok("open", bl2_open_default(model, BL2_ROWMAX_16));
    expect_ok("load", bl2_load(model, 47274, 14, 32768, 14, 7, 8, 6, 7));
    expect_ok("row", bl2_attention_row(model, N, D, C, q, k, v, masked, bias, score, t, row_max,
                                       d, no_e, row_sum, level, nibble, flag, acc, o));
    expect_that("acc 0 of RowMax", acc[0] == -1848);
    expect_that("acc 1 of RowMax", acc[1] == 2016);
    expect_that("o 0 of RowMax", o[0] == 4);
    expect_that("o 1 of RowMax", o[1] == 10);
    expect_that("no e", no_e[0] == 77);
    expect_that("no row sum", row_sum == 0);
    expect_ok("distance quantizer", bl2_distance_quantizer(model, d[0], masked[0], got_level));
    expect_that("level of RowMax", got_level == level[0]);
    expect_ok("weight sum", bl2_weight_sum(model, N, level, weight_sum));
    expect_that("weight sum", weight_sum == 1424);
    expect_ok("row multiplier", bl2_row_multiplier(model, weight_sum, m2_row, n2_row));
    expect_that("m2_row", m2_row == 23564);
    expect_that("n2_row", n2_row == 24);
    expect_ok("output of a row", bl2_row_output_requantizer(model, m2_row, n2_row, acc[0], got_o));
    expect_that("o of RowMax", got_o == o[0]);
    got = bl2_exp2(model, d[0], masked[0], weight_sum);
    expect_that("a unit that RowMax lacks", got != BL2_OK);
    bl2_close(model);
  endfunction

  initial begin
    chandle model;
    expect_ok("open", bl2_open_default(model, BL2_HALF_17));
    expect_ok("load", bl2_load(model, 47274, 14, 43691, 23, 7, 8, 6, 7));
    expect_ok("row", bl2_attention_row(model, N, D, C, q, k, v, masked, bias, score, t, row_max,
                                       d, e, row_sum, level, nibble, flag, acc, o));
    $display("acc %0d %0d, o %0d %0d", acc[0], acc[1], o[0], o[1]);
    check_units(model);
    expect_ok("row from scores",
              bl2_attention_row_from_scores(model, N, C, score, v, masked, bias, t, row_max, d, e,
                                            row_sum, level, nibble, flag, acc, o));
    expect_that("o 0", o[0] == 5);
    expect_that("o 1", o[1] == 10);
    bl2_close(model);
    check_row_max();
    if (errors == 0) $display("PASS");
    else $fatal(1, "%0d errors", errors);
    $finish;
  end

endmodule
