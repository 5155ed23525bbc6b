/* BitLog2: the attention datapath, specification version 1, and the units of the network around it,
 * version 2: a bit-exact model in C99.
 *
 * Integers only. No allocation, no global state, no I/O: the caller gives every buffer, and calls
 * on different buffers may run in different threads. Ids such as BL2-EXP2-03 are requirements of
 * sim/SPEC.md.
 *
 * Every function returns a bl2_status. On any status but BL2_OK nothing was written.
 */
#ifndef BITLOG2_H
#define BITLOG2_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BL2_SPEC_VERSION 1
#define BL2_NETWORK_VERSION 3

/* BL2-CONF-01: the range of each free choice, made from the declaration of the configuration. */
/* limits of a configuration: begin */
#define BL2_Q_BITS_LOW 2
#define BL2_Q_BITS_HIGH 8
#define BL2_K_BITS_LOW 2
#define BL2_K_BITS_HIGH 8
#define BL2_V_BITS_LOW 2
#define BL2_V_BITS_HIGH 8
#define BL2_O_BITS_LOW 2
#define BL2_O_BITS_HIGH 8
#define BL2_MAX_HEAD_DIM_LOW 1
#define BL2_MAX_HEAD_DIM_HIGH 1024
#define BL2_MAX_TOKENS_LOW 1
#define BL2_MAX_TOKENS_HIGH 65536
#define BL2_FRACTION_BITS_LOW 1
#define BL2_FRACTION_BITS_HIGH 8
#define BL2_TABLE_BITS_LOW 4
#define BL2_TABLE_BITS_HIGH 20
#define BL2_DISTANCE_INT_BITS_LOW 2
#define BL2_DISTANCE_INT_BITS_HIGH 6
#define BL2_M_BITS_LOW 4
#define BL2_M_BITS_HIGH 24
#define BL2_MAX_N_LOW 0
#define BL2_MAX_N_HIGH 48
#define BL2_M2_BITS_LOW 4
#define BL2_M2_BITS_HIGH 24
#define BL2_MAX_N2_LOW 0
#define BL2_MAX_N2_HIGH 48
#define BL2_T_BITS_LOW 8
#define BL2_T_BITS_HIGH 24
/* limits of a configuration: end */

/* BL2-NET-03: the same of the network around attention. */
/* limits of a network: begin */
#define BL2_NETWORK_A_BITS_LOW 2
#define BL2_NETWORK_A_BITS_HIGH 8
#define BL2_NETWORK_W_BITS_LOW 2
#define BL2_NETWORK_W_BITS_HIGH 8
#define BL2_NETWORK_OUTER_BITS_LOW 2
#define BL2_NETWORK_OUTER_BITS_HIGH 8
#define BL2_NETWORK_PIXEL_BITS_LOW 1
#define BL2_NETWORK_PIXEL_BITS_HIGH 16
#define BL2_NETWORK_MAX_CHANNELS_LOW 1
#define BL2_NETWORK_MAX_CHANNELS_HIGH 16384
#define BL2_NETWORK_MAX_INPUTS_LOW 1
#define BL2_NETWORK_MAX_INPUTS_HIGH 65536
#define BL2_NETWORK_MAX_TOKENS_LOW 1
#define BL2_NETWORK_MAX_TOKENS_HIGH 65536
#define BL2_NETWORK_STREAM_BITS_LOW 8
#define BL2_NETWORK_STREAM_BITS_HIGH 24
#define BL2_NETWORK_Z_FRACTION_BITS_LOW 0
#define BL2_NETWORK_Z_FRACTION_BITS_HIGH 16
#define BL2_NETWORK_ROOT_BITS_LOW 4
#define BL2_NETWORK_ROOT_BITS_HIGH 24
#define BL2_NETWORK_GAIN_BITS_LOW 4
#define BL2_NETWORK_GAIN_BITS_HIGH 24
#define BL2_NETWORK_MAX_GAIN_SHIFT_LOW 0
#define BL2_NETWORK_MAX_GAIN_SHIFT_HIGH 48
#define BL2_NETWORK_OFFSET_BITS_LOW 8
#define BL2_NETWORK_OFFSET_BITS_HIGH 52
#define BL2_NETWORK_EPS_BITS_LOW 1
#define BL2_NETWORK_EPS_BITS_HIGH 48
#define BL2_NETWORK_BIAS_BITS_LOW 8
#define BL2_NETWORK_BIAS_BITS_HIGH 31
#define BL2_NETWORK_M_BITS_LOW 4
#define BL2_NETWORK_M_BITS_HIGH 24
#define BL2_NETWORK_MAX_N_LOW 0
#define BL2_NETWORK_MAX_N_HIGH 48
#define BL2_NETWORK_U_BITS_LOW 4
#define BL2_NETWORK_U_BITS_HIGH 12
#define BL2_NETWORK_MEAN_BITS_LOW 8
#define BL2_NETWORK_MEAN_BITS_HIGH 24
/* limits of a network: end */

#define BL2_MAX_TABLE (1 << BL2_FRACTION_BITS_HIGH) /* entries of the largest exp2 table */
#define BL2_MAX_LEVEL 16                            /* the top level of 17 levels */

typedef enum bl2_status {
    BL2_OK = 0,
    BL2_NULL_POINTER,
    /* configuration, BL2-CONF-01 and BL2-CONF-03 */
    BL2_BAD_SCHEME,
    BL2_BAD_CODE_BITS,
    BL2_BAD_MAX_HEAD_DIM,
    BL2_BAD_MAX_TOKENS,
    BL2_BAD_FRACTION_BITS,
    BL2_BAD_TABLE_BITS,
    BL2_BAD_DISTANCE_INT_BITS,
    BL2_BAD_M_BITS,
    BL2_BAD_MAX_N,
    BL2_BAD_M2_BITS,
    BL2_BAD_MAX_N2,
    BL2_BAD_T_BITS,
    BL2_WIDTH_TOO_NARROW,
    BL2_WIDTH_TOO_WIDE,
    /* layer parameters, BL2-PARAM-02 */
    BL2_BAD_M,
    BL2_BAD_N,
    BL2_BAD_M2,
    BL2_BAD_N2,
    BL2_BAD_ZERO_POINT,
    /* a row, BL2-ROW-01, BL2-PARAM-04, BL2-MAX-02 */
    BL2_BAD_TOKENS,
    BL2_BAD_HEAD_DIM,
    BL2_BAD_CHANNELS,
    BL2_BAD_CODE,
    BL2_BAD_MASK,
    BL2_BAD_BIAS,
    BL2_ALL_MASKED,
    /* a register's value that no row can bring to a unit */
    BL2_BAD_SCORE,
    BL2_BAD_T,
    BL2_BAD_D,
    BL2_BAD_E,
    BL2_BAD_ROW_SUM,
    BL2_BAD_LEVEL,
    BL2_BAD_NIBBLE,
    BL2_BAD_ACC,
    /* only from the DPI functions */
    BL2_ARRAY_TOO_SHORT,
    BL2_OUT_OF_MEMORY,
    /* what RowMax has and the published schemes lack, or the other way round */
    BL2_ABSENT_UNIT,
    BL2_ABSENT_REGISTER,
    BL2_MAX_N2_TOO_SMALL,
    BL2_ACC_TOO_WIDE,
    BL2_BAD_WEIGHT_SUM,
    /* configuration of the network, BL2-NET-03 to -05; what it shares with attention is above */
    BL2_BAD_LAYER_BITS,
    BL2_BAD_PIXEL_BITS,
    BL2_BAD_MAX_CHANNELS,
    BL2_BAD_MAX_INPUTS,
    BL2_BAD_STREAM_BITS,
    BL2_BAD_Z_FRACTION_BITS,
    BL2_BAD_ROOT_BITS,
    BL2_BAD_GAIN_BITS,
    BL2_BAD_MAX_GAIN_SHIFT,
    BL2_BAD_OFFSET_BITS,
    BL2_BAD_EPS_BITS,
    BL2_BAD_BIAS_BITS,
    BL2_BAD_U_BITS,
    BL2_BAD_MEAN_BITS,
    BL2_Z_FINER_THAN_ROOT,
    BL2_LINEAR_ACC_TOO_WIDE,
    BL2_REGISTER_TOO_WIDE,
    /* parameters of a layer of the network, BL2-NET-07, BL2-HEAD-02 */
    BL2_BAD_GAIN,
    BL2_BAD_OFFSET,
    BL2_BAD_GAIN_SHIFT,
    BL2_BAD_EPS,
    BL2_BAD_LINEAR_BIAS,
    BL2_BAD_Y_BITS,
    BL2_BAD_INPUTS,
    BL2_LOGIT_TOO_LARGE,
    /* what no image, weight or token brings to a unit of the network */
    BL2_BAD_PIXEL,
    BL2_BAD_WEIGHT,
    BL2_BAD_LINEAR_ACC,
    BL2_BAD_STREAM,
    BL2_BAD_NORM_CHANNELS,
    BL2_BAD_STREAM_SUM,
    BL2_BAD_VARIANCE,
    BL2_BAD_ROOT_SHIFT,
    BL2_BAD_RECIPROCAL,
    BL2_BAD_Z,
    BL2_BAD_U,
    BL2_BAD_TERM,
    BL2_BAD_MEAN_TOKENS,
    BL2_BAD_MEAN_SUM,
    BL2_BAD_CLASSES,
    BL2_BAD_GATE,
    BL2_STATUS_COUNT
} bl2_status;

typedef enum bl2_scheme {
    /* schemes: begin */
    BL2_SINGLE_16 = 0,
    BL2_SINGLE_17 = 1,
    BL2_HALF_16 = 2,
    BL2_HALF_17 = 3,
    BL2_ROWMAX_16 = 4,
    /* schemes: end */
    BL2_SCHEME_COUNT
} bl2_scheme;

/* What the hardware is built with (section 2). The last eight pin a width; 0 takes the derived
 * one. A pinned width changes no value, it is only checked. RowMax has no e, no row sum and nothing
 * to compare with it: their widths stay 0, and table_bits has no effect. */
typedef struct bl2_config {
    int32_t scheme;
    int32_t q_bits, k_bits, v_bits, o_bits;
    int32_t max_head_dim, max_tokens;
    int32_t fraction_bits, table_bits, distance_int_bits;
    int32_t m_bits, max_n, m2_bits, max_n2, t_bits;
    int32_t score_bits, product_bits, distance_bits, exp_bits;
    int32_t sum_bits, compare_bits, acc_bits, out_product_bits;
} bl2_config;

/* What a layer loads at run time (section 3). M2 / 2^n2 of a layer of RowMax stands for s_v / s_o:
 * a row divides it by its weight sum. */
typedef struct bl2_params {
    int32_t m, n, m2, n2;
    int32_t zq, zk, zv, zo;
} bl2_params;

/* Bits of each register (section 6); 0: the scheme's datapath has no such register. RowMax lacks e,
 * row_sum and compare, the published schemes lack the last three. */
typedef struct bl2_widths {
    int32_t score, product, t, row_max, d, e, row_sum, compare, acc, out_product, o;
    int32_t weight_sum, m2_row, n2_row;
} bl2_widths;

/* A checked configuration with its exp2 table, or for RowMax with its thresholds on d; the other
 * one is 0 throughout. Made by bl2_model_init, then read only. */
typedef struct bl2_model {
    bl2_config config;
    uint32_t table[BL2_MAX_TABLE];
    uint32_t thresholds[BL2_MAX_LEVEL];
} bl2_model;

/* One query against `tokens` keys. k[j * head_dim + d], v[j * channels + c]; masked[j] is 0 or 1,
 * bias[j] has t's range; a null `masked` masks nothing, a null `bias` is 0 throughout. */
typedef struct bl2_row {
    size_t tokens, head_dim, channels;
    const uint8_t *q, *k, *v, *masked;
    const int32_t *bias;
} bl2_row;

/* The registers of a row. The caller sets the pointers: `tokens` elements behind score, t, d, e,
 * level, nibble and flag, `channels` elements behind acc and o.
 *
 * A datapath lacks some of them: RowMax has no e and no row_sum, the published schemes have no
 * weight_sum, m2_row and n2_row. An absent array is not looked at, so its pointer may be null. An
 * absent number is 0, which the same number never is where the datapath has it. */
typedef struct bl2_registers {
    int32_t *score, *t;
    uint32_t *d, *e;
    uint8_t *level, *nibble, *flag;
    int32_t *acc;
    uint8_t *o;
    int32_t row_max;
    uint64_t row_sum;
    uint32_t weight_sum;
    int32_t m2_row, n2_row;
} bl2_registers;

/* What the hardware around attention is built with (section 10). */
typedef struct bl2_network_config {
    int32_t a_bits, w_bits, outer_bits, pixel_bits;
    int32_t max_channels, max_inputs, max_tokens;
    int32_t stream_bits, z_fraction_bits, root_bits;
    int32_t gain_bits, max_gain_shift, offset_bits, eps_bits, bias_bits;
    int32_t m_bits, max_n, u_bits, mean_bits;
} bl2_network_config;

/* Bits of each register of the network (section 10). */
typedef struct bl2_network_widths {
    int32_t image_product, image_code, linear_acc, linear_product, linear_code;
    int32_t residual_product, residual_sum, residual;
    int32_t stream_sum, square_sum, square_product, variance;
    int32_t root_shift, root_argument, root, reciprocal;
    int32_t centred, norm_product, z, gain_product, norm_code, stream_norm;
    int32_t activation_product, u, activation_code, gate, gate_product, gate_code;
    int32_t mean_term_product, mean_term, mean_sum, mean_product, mean_code, stream_mean;
    int32_t head_product, logit;
} bl2_network_widths;

/* A checked configuration of the network with its widths and the largest magnitudes that registers
 * bring to a unit. Made by bl2_network_init, then read only. */
typedef struct bl2_network {
    bl2_network_config config;
    bl2_network_widths widths;
    int64_t linear_acc, variance, z, mean_sum;
    int32_t largest_root_shift; /* the largest k of unit 26 */
} bl2_network;

/* A multiplier and a shift: M / 2^n. */
typedef struct bl2_scale {
    int32_t m, n;
} bl2_scale;

/* A gain with its offset, in front of one shift: (x * G + H) / 2^n. */
typedef struct bl2_affine {
    int32_t gain;
    int64_t offset;
    int32_t shift;
} bl2_affine;

/* The input of a linear layer. is_outer is 0 but in the patch embedding and the head, whose codes
 * and weights have outer_bits. */
typedef struct bl2_linear {
    size_t inputs;
    int32_t zx, is_outer;
} bl2_linear;

/* functions, of bitlog2.c: begin */

/* BL2-CONF-02: the width of every register, pinned ones included; 0 for one that the scheme's
 * datapath lacks. */
bl2_status bl2_register_widths(const bl2_config *config, bl2_widths *widths);

/* BL2-CONF-01, BL2-CONF-03: is the configuration legal? */
bl2_status bl2_check_config(const bl2_config *config);

/* The default configuration of section 2 with the given scheme. */
bl2_config bl2_default_config(bl2_scheme scheme);

/* Checks the configuration and makes the exp2 table, or for RowMax the thresholds on d. */
bl2_status bl2_model_init(bl2_model *model, const bl2_config *config);

/* BL2-PARAM-02: are the layer parameters legal for this configuration? For RowMax n2 is at most
 * max_n2 - lod(max_tokens * A). */
bl2_status bl2_check_params(const bl2_model *model, const bl2_params *params);

/* BL2-EXP2-01: T[f] for f = 0 .. 2^F - 1, exact. F from 1 to 8, P from 4 to 20. */
bl2_status bl2_exp2_table(int32_t fraction_bits, int32_t table_bits, uint32_t *table);

/* BL2-DIST-01: thresholds[L - 1] is the largest d of level L, L = 1 .. 15, exact. scheme is of
 * RowMax, F from 1 to 8. */
bl2_status bl2_distance_thresholds(int32_t scheme, int32_t fraction_bits, uint32_t *thresholds);

/* Unit 1: the score of one key; q and k have head_dim codes. */
bl2_status bl2_score_accumulator(const bl2_model *model, const bl2_params *params,
                                 size_t head_dim, const uint8_t *q, const uint8_t *k,
                                 int32_t *score);

/* Unit 2: one rounding, bias, one saturation. */
bl2_status bl2_score_requantizer(const bl2_model *model, const bl2_params *params, int32_t score,
                                 int32_t bias, int32_t *t);

/* Unit 3: the maximum over the keys that are not masked. */
bl2_status bl2_row_max(const bl2_model *model, size_t tokens, const int32_t *t,
                       const uint8_t *masked, int32_t *row_max);

/* Unit 3: the saturating distance; d_max for a masked key (BL2-MAX-04). */
bl2_status bl2_distance(const bl2_model *model, int32_t row_max, int32_t t, uint8_t masked,
                        uint32_t *d);

/* Unit 4: table, rounding barrel shifter; 0 for a masked key. Not for RowMax. */
bl2_status bl2_exp2(const bl2_model *model, uint32_t d, uint8_t masked, uint32_t *e);

/* Unit 5: the exact sum. Not for RowMax. */
bl2_status bl2_row_sum(const bl2_model *model, size_t tokens, const uint32_t *e,
                       uint64_t *row_sum);

/* Unit 6, comparing form (BL2-LOG2-04 to -06): no division. row_sum > 0, e <= row_sum.
 * Not for RowMax. */
bl2_status bl2_log2_quantizer(const bl2_model *model, uint32_t e, uint64_t row_sum,
                              uint8_t *level);

/* Unit 6, dividing form (BL2-LOG2-01 to -03): the same function. */
bl2_status bl2_log2_quantizer_dividing(const bl2_model *model, uint32_t e, uint64_t row_sum,
                                       uint8_t *level);

/* Unit 10, RowMax alone: the largest level whose threshold d does not pass; 0 for a masked key. */
bl2_status bl2_distance_quantizer(const bl2_model *model, uint32_t d, uint8_t masked,
                                  uint8_t *level);

/* Unit 11, RowMax alone: the exact sum of the levels' values. */
bl2_status bl2_weight_sum(const bl2_model *model, size_t tokens, const uint8_t *level,
                          uint32_t *weight_sum);

/* Unit 12, RowMax alone: the multiplier and shift that unit 9 takes in a row of this weight sum, A
 * to max_tokens * A, in place of the layer's. */
bl2_status bl2_row_multiplier(const bl2_model *model, const bl2_params *params,
                              uint32_t weight_sum, int32_t *m2_row, int32_t *n2_row);

/* Unit 7: level to nibble and zero flag. */
bl2_status bl2_code_register(const bl2_model *model, uint8_t level, uint8_t *nibble,
                             uint8_t *flag);

/* Unit 7 read back: nibble and zero flag to level. */
bl2_status bl2_code_level(const bl2_model *model, uint8_t nibble, uint8_t flag, uint8_t *level);

/* BL2-CODE-03, -04: a row's nibbles in (tokens + 1) / 2 bytes. */
bl2_status bl2_pack_nibbles(size_t tokens, const uint8_t *nibble, uint8_t *plane);

/* BL2-CODE-03, -04: a row's flags in (tokens + 7) / 8 bytes. Only 17 levels have this plane. */
bl2_status bl2_pack_flags(size_t tokens, const uint8_t *flag, uint8_t *plane);

/* Unit 8: one output channel; key j's code is v[j * stride]. */
bl2_status bl2_shift_add(const bl2_model *model, const bl2_params *params, size_t tokens,
                         const uint8_t *nibble, const uint8_t *flag, const uint8_t *v,
                         size_t stride, int32_t *acc);

/* Unit 9: one rounding, zero point, one saturation. For RowMax m2 and n2 of params are those of
 * the row, from bl2_row_multiplier; n2 is at most max_n2. */
bl2_status bl2_output_requantizer(const bl2_model *model, const bl2_params *params, int32_t acc,
                                  uint8_t *o);

/* The whole row, every register kept that the scheme's datapath has. */
bl2_status bl2_attention_row(const bl2_model *model, const bl2_params *params, const bl2_row *row,
                             bl2_registers *registers);

/* The row from unit 2 on: `scores` has row->tokens scores; row->q, row->k and row->head_dim are
 * not looked at. `scores` may be registers->score itself. */
bl2_status bl2_attention_row_from_scores(const bl2_model *model, const bl2_params *params,
                                         const bl2_row *row, const int32_t *scores,
                                         bl2_registers *registers);

/* BL2-NET-03 to -05: checks the configuration of the network and derives widths and bounds. */
bl2_status bl2_network_init(bl2_network *network, const bl2_network_config *config);

/* The default configuration of the network, section 10. */
bl2_network_config bl2_default_network_config(void);

/* Unit 21: the code of a pixel; G from 1 to 2^m_bits - 1, n to max_n. */
bl2_status bl2_image_requantizer(const bl2_network *network, const bl2_affine *affine,
                                 uint32_t pixel, uint8_t *code);

/* Unit 22: A of one output channel; x and w have linear->inputs codes and weights. */
bl2_status bl2_linear_accumulator(const bl2_network *network, const bl2_linear *linear,
                                  const uint8_t *x, const int16_t *w, int32_t bias, int32_t *acc);

/* Unit 23: a code of y_bits bits with its zero point. */
bl2_status bl2_linear_requantizer(const bl2_network *network, const bl2_scale *scale, int32_t zero,
                                  int32_t y_bits, int32_t acc, uint8_t *code);

/* Unit 24: the sum in front of the saturation, and what the stream holds of it: a value that
 * saturated is one with residual other than sum. M may be 0. */
bl2_status bl2_residual_adder(const bl2_network *network, const bl2_scale *scale, int32_t acc,
                              int32_t x, int64_t *sum, int32_t *residual);

/* Unit 25: S, Q and V of a token of `channels` values. */
bl2_status bl2_norm_sums(const bl2_network *network, size_t channels, const int32_t *x,
                         uint64_t eps, int64_t *sum, uint64_t *squares, uint64_t *variance);

/* Unit 26: k, the integer root of V moved by 2k places, and the floor of its reciprocal. */
bl2_status bl2_reciprocal_root(const bl2_network *network, uint64_t variance, int32_t *root_shift,
                               uint32_t *root, uint32_t *reciprocal);

/* Unit 27: N of a channel, and z, from S of unit 25 and k and r of unit 26. */
bl2_status bl2_normalizer(const bl2_network *network, size_t channels, int32_t x, int64_t sum,
                          int32_t root_shift, uint32_t reciprocal, int64_t *centred, int32_t *z);

/* Unit 28: a code of y_bits bits, BL2-NORMREQ-01. */
bl2_status bl2_norm_requantizer(const bl2_network *network, const bl2_affine *affine,
                                int32_t y_bits, int32_t z, uint8_t *code);

/* Unit 28 behind the patch embedding: a value of the stream, BL2-NORMREQ-02. */
bl2_status bl2_stream_norm(const bl2_network *network, const bl2_affine *affine, int32_t z,
                           int32_t *x);

/* Unit 29: u, BL2-ACT-01. */
bl2_status bl2_activation_input(const bl2_network *network, const bl2_scale *scale, int32_t acc,
                                int32_t *u);

/* Unit 29: T[u], BL2-ACT-02; `table` has 2^u_bits codes, from the smallest u to the largest. Of
 * them the one that is given is checked. */
bl2_status bl2_activation(const bl2_network *network, const uint8_t *table, int32_t u,
                          uint8_t *code);

/* Unit 32: T[u], BL2-GATE-01; `table` has 2^u_bits numbers, from the smallest u to the largest. Of
 * them the one that is given is checked. */
bl2_status bl2_gate(const bl2_network *network, const int16_t *table, int32_t u, int32_t *gate);

/* Unit 32: a code of y_bits bits of g times x, with its zero point, BL2-GATE-02. */
bl2_status bl2_gate_code(const bl2_network *network, const bl2_scale *scale, int32_t zero,
                         int32_t y_bits, int32_t gate, int32_t x, uint8_t *code);

/* Unit 30: p of a normalized channel, BL2-MEAN-01. */
bl2_status bl2_mean_term(const bl2_network *network, const bl2_affine *affine, int32_t z,
                         int32_t *term);

/* Unit 30: P of one channel, BL2-MEAN-02: the sum of p, or of the stream itself. Token t's value
 * is term[t * stride]. */
bl2_status bl2_mean_sum(const bl2_network *network, size_t tokens, const int32_t *term,
                        size_t stride, int64_t *total);

/* Unit 30: the mean as a code of y_bits bits, BL2-MEAN-03. */
bl2_status bl2_mean_code(const bl2_network *network, const bl2_scale *scale, int32_t y_bits,
                         int64_t total, uint8_t *code);

/* Unit 30: the mean of the stream as a value of the stream, BL2-MEAN-04. */
bl2_status bl2_stream_mean(const bl2_network *network, const bl2_scale *scale, int64_t total,
                           int32_t *mean);

/* BL2-HEAD-02: does a class of `inputs` inputs, with this bias, multiplier and shift, fit? Of a head
 * alone. */
bl2_status bl2_check_head(const bl2_network *network, const bl2_scale *scale, size_t inputs,
                          int32_t bias);

/* Unit 31: a logit, BL2-HEAD-01 and -04; `before` is that of the head in front, 0 without one. */
bl2_status bl2_head(const bl2_network *network, const bl2_scale *scale, int32_t acc,
                    int32_t before, int32_t *logit);

/* BL2-HEAD-03: the class of the largest logit, of equal ones the lowest. */
bl2_status bl2_prediction(size_t classes, const int32_t *logit, size_t *prediction);

/* The status as a sentence, for any value. Never null. */
const char *bl2_status_text(bl2_status status);

/* functions: end */

#ifdef __cplusplus
}
#endif

#endif
