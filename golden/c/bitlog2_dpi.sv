// DPI-C imports of the BitLog2 reference model, specification version 1: the units and the
// row, for a scoreboard or a plain testbench. bitlog2_dpi.c is the other side.
//
// Every function but bl2_close and bl2_status_text returns a status: BL2_OK, or a reason that
// bl2_status_text puts into words. On any status but BL2_OK no output has a meaning.
//
// Arrays are one-dimensional and hold at least the elements that a call speaks of, so arrays of
// the largest size serve every row. Element i of the model is the i-th index from the lowest,
// however the array is declared. `masked` is 0 or 1 per key.
//
// RowMax has units 10 to 12 in place of units 4 to 6; a unit that the scheme's datapath lacks
// refuses. Its rows leave e as it is, of any length, and row_sum is 0. bl2_weight_sum of a row's
// levels and bl2_row_multiplier of that sum give the row's weight_sum, m2_row and n2_row.
package bitlog2_dpi;

  typedef enum int {
    // schemes: begin
    BL2_SINGLE_16 = 0,
    BL2_SINGLE_17 = 1,
    BL2_HALF_16 = 2,
    BL2_HALF_17 = 3,
    BL2_ROWMAX_16 = 4,
    // schemes: end
    BL2_SCHEME_COUNT
  } bl2_scheme_e;

  localparam int BL2_OK = 0;

  import "DPI-C" bl2_dpi_status_text = function string bl2_status_text(input int status);

  // A model with this configuration; one layer's parameters at a time are loaded into it.
  import "DPI-C" bl2_dpi_open = function int bl2_open(
    output chandle model, input int scheme,
    input int q_bits, input int k_bits, input int v_bits, input int o_bits,
    input int max_head_dim, input int max_tokens,
    input int fraction_bits, input int table_bits, input int distance_int_bits,
    input int m_bits, input int max_n, input int m2_bits, input int max_n2, input int t_bits);
  import "DPI-C" bl2_dpi_load = function int bl2_load(
    input chandle model, input int m, input int n, input int m2, input int n2,
    input int zq, input int zk, input int zv, input int zo);
  import "DPI-C" bl2_dpi_close = function void bl2_close(input chandle model);

  // The default configuration with this scheme.
  function automatic int bl2_open_default(output chandle model, input bl2_scheme_e scheme);
    return bl2_open(model, int'(scheme), 4, 4, 4, 4, 128, 1024, 5, 16, 5, 16, 28, 16, 36, 18);
  endfunction

  // Unit 1. q and k: head_dim codes each.
  import "DPI-C" bl2_dpi_score_accumulator = function int bl2_score_accumulator(
    input chandle model, input int head_dim, input byte unsigned q[], input byte unsigned k[],
    output int score);
  // Unit 2.
  import "DPI-C" bl2_dpi_score_requantizer = function int bl2_score_requantizer(
    input chandle model, input int score, input int bias, output int t);
  // Unit 3. t and masked: tokens.
  import "DPI-C" bl2_dpi_row_max = function int bl2_row_max(
    input chandle model, input int tokens, input int t[], input byte unsigned masked[],
    output int row_max);
  import "DPI-C" bl2_dpi_distance = function int bl2_distance(
    input chandle model, input int row_max, input int t, input byte unsigned masked,
    output int unsigned d);
  // Unit 4.
  import "DPI-C" bl2_dpi_exp2 = function int bl2_exp2(
    input chandle model, input int unsigned d, input byte unsigned masked, output int unsigned e);
  // Unit 5. e: tokens.
  import "DPI-C" bl2_dpi_row_sum = function int bl2_row_sum(
    input chandle model, input int tokens, input int unsigned e[],
    output longint unsigned row_sum);
  // Unit 6, comparing form, and the dividing form of the same function.
  import "DPI-C" bl2_dpi_log2_quantizer = function int bl2_log2_quantizer(
    input chandle model, input int unsigned e, input longint unsigned row_sum,
    output byte unsigned level);
  import "DPI-C" bl2_dpi_log2_quantizer_dividing = function int bl2_log2_quantizer_dividing(
    input chandle model, input int unsigned e, input longint unsigned row_sum,
    output byte unsigned level);
  // Unit 10, of RowMax.
  import "DPI-C" bl2_dpi_distance_quantizer = function int bl2_distance_quantizer(
    input chandle model, input int unsigned d, input byte unsigned masked,
    output byte unsigned level);
  // Unit 11, of RowMax. level: tokens.
  import "DPI-C" bl2_dpi_weight_sum = function int bl2_weight_sum(
    input chandle model, input int tokens, input byte unsigned level[],
    output int unsigned weight_sum);
  // Unit 12, of RowMax: what unit 9 takes in place of the loaded m2 and n2.
  import "DPI-C" bl2_dpi_row_multiplier = function int bl2_row_multiplier(
    input chandle model, input int unsigned weight_sum, output int m2_row, output int n2_row);
  // Unit 7, and its inverse.
  import "DPI-C" bl2_dpi_code_register = function int bl2_code_register(
    input chandle model, input byte unsigned level,
    output byte unsigned nibble, output byte unsigned flag);
  import "DPI-C" bl2_dpi_code_level = function int bl2_code_level(
    input chandle model, input byte unsigned nibble, input byte unsigned flag,
    output byte unsigned level);
  // Unit 8, one output channel. nibble, flag and v: tokens.
  import "DPI-C" bl2_dpi_shift_add = function int bl2_shift_add(
    input chandle model, input int tokens, input byte unsigned nibble[],
    input byte unsigned flag[], input byte unsigned v[], output int acc);
  // Unit 9.
  import "DPI-C" bl2_dpi_output_requantizer = function int bl2_output_requantizer(
    input chandle model, input int acc, output byte unsigned o);
  // Unit 9 in a row of RowMax.
  import "DPI-C" bl2_dpi_row_output_requantizer = function int bl2_row_output_requantizer(
    input chandle model, input int m2_row, input int n2_row, input int acc,
    output byte unsigned o);

  // A whole row. q: head_dim; k[j*head_dim + d]; v[j*channels + c]; masked, bias and what is made a
  // key: tokens; acc and o: channels.
  import "DPI-C" bl2_dpi_attention_row = function int bl2_attention_row(
    input chandle model, input int tokens, input int head_dim, input int channels,
    input byte unsigned q[], input byte unsigned k[], input byte unsigned v[],
    input byte unsigned masked[], input int bias[],
    inout int score[], inout int t[], output int row_max, inout int unsigned d[],
    inout int unsigned e[], output longint unsigned row_sum, inout byte unsigned level[],
    inout byte unsigned nibble[], inout byte unsigned flag[], inout int acc[],
    inout byte unsigned o[]);
  // The same from unit 2 on; score: tokens.
  import "DPI-C" bl2_dpi_attention_row_from_scores = function int bl2_attention_row_from_scores(
    input chandle model, input int tokens, input int channels, input int score[],
    input byte unsigned v[], input byte unsigned masked[], input int bias[],
    inout int t[], output int row_max, inout int unsigned d[],
    inout int unsigned e[], output longint unsigned row_sum, inout byte unsigned level[],
    inout byte unsigned nibble[], inout byte unsigned flag[], inout int acc[],
    inout byte unsigned o[]);

endpackage
