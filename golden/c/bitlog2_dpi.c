/* The C side of bitlog2_dpi.sv: copies between the simulator's arrays and the model's. */
#include <stdlib.h>

#include "bitlog2.h"
#include "svdpi.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct handle {
    bl2_model model;
    bl2_params params;
} handle;

const char *bl2_dpi_status_text(int status)
{
    const int known = 0 <= status && status < BL2_STATUS_COUNT;
    return bl2_status_text(known ? (bl2_status)status : BL2_STATUS_COUNT);
}

int bl2_dpi_open(void **model, int scheme, int q_bits, int k_bits, int v_bits, int o_bits,
                 int max_head_dim, int max_tokens, int fraction_bits, int table_bits,
                 int distance_int_bits, int m_bits, int max_n, int m2_bits, int max_n2, int t_bits)
{
    bl2_config config = bl2_default_config(BL2_HALF_17);
    handle *made = (handle *)calloc(1, sizeof *made);
    bl2_status status = BL2_OUT_OF_MEMORY;
    config.scheme = scheme;
    config.q_bits = q_bits;
    config.k_bits = k_bits;
    config.v_bits = v_bits;
    config.o_bits = o_bits;
    config.max_head_dim = max_head_dim;
    config.max_tokens = max_tokens;
    config.fraction_bits = fraction_bits;
    config.table_bits = table_bits;
    config.distance_int_bits = distance_int_bits;
    config.m_bits = m_bits;
    config.max_n = max_n;
    config.m2_bits = m2_bits;
    config.max_n2 = max_n2;
    config.t_bits = t_bits;
    if (made != NULL) {
        status = bl2_model_init(&made->model, &config);
    }
    if (status != BL2_OK) {
        free(made);
        made = NULL;
    }
    *model = made;
    return (int)status;
}

int bl2_dpi_load(void *model, int m, int n, int m2, int n2, int zq, int zk, int zv, int zo)
{
    handle *h = (handle *)model;
    const bl2_params params = {m, n, m2, n2, zq, zk, zv, zo};
    const bl2_status status = bl2_check_params(h == NULL ? NULL : &h->model, &params);
    if (status == BL2_OK) {
        h->params = params;
    }
    return (int)status;
}

void bl2_dpi_close(void *model)
{
    free(model);
}

/* Until bl2_load, m is 0 and every unit that wants parameters refuses it. */
static const bl2_model *model_of(void *model)
{
    return model == NULL ? NULL : &((handle *)model)->model;
}

static const bl2_params *params_of(void *model)
{
    return model == NULL ? NULL : &((handle *)model)->params;
}

/* ---- arrays ---- */

static void *element(const svOpenArrayHandle array, int i)
{
    return svGetArrElemPtr1(array, svLow(array, 1) + i);
}

/* The copies of one call's arrays, freed together, and the first thing that went wrong. */
#define MOST_BLOCKS 16

typedef struct copies {
    void *blocks[MOST_BLOCKS];
    int count;
    bl2_status status;
} copies;

static copies no_copies(void)
{
    copies held;
    held.count = 0;
    held.status = BL2_OK;
    return held;
}

static int finish(copies *held, bl2_status status)
{
    for (int i = 0; i < held->count; i++) {
        free(held->blocks[i]);
    }
    return (int)(held->status == BL2_OK ? status : held->status);
}

/* A block for `count` elements of `array`, or null where the array has fewer. */
static void *take(copies *held, const svOpenArrayHandle array, int count, size_t bytes)
{
    void *block = NULL;
    if (count < 0 || count > svSize(array, 1)) {
        held->status = BL2_ARRAY_TOO_SHORT;
        return NULL;
    }
    if (held->count < MOST_BLOCKS) {
        block = calloc((size_t)count + 1, bytes);
    }
    if (block == NULL) {
        held->status = BL2_OUT_OF_MEMORY;
        return NULL;
    }
    held->blocks[held->count] = block;
    held->count += 1;
    return block;
}

static uint8_t *bytes_of(copies *held, const svOpenArrayHandle array, int count)
{
    uint8_t *copy = (uint8_t *)take(held, array, count, sizeof *copy);
    for (int i = 0; copy != NULL && i < count; i++) {
        copy[i] = *(const uint8_t *)element(array, i);
    }
    return copy;
}

static int32_t *ints_of(copies *held, const svOpenArrayHandle array, int count)
{
    int32_t *copy = (int32_t *)take(held, array, count, sizeof *copy);
    for (int i = 0; copy != NULL && i < count; i++) {
        copy[i] = *(const int32_t *)element(array, i);
    }
    return copy;
}

static uint32_t *words_of(copies *held, const svOpenArrayHandle array, int count)
{
    uint32_t *copy = (uint32_t *)take(held, array, count, sizeof *copy);
    for (int i = 0; copy != NULL && i < count; i++) {
        copy[i] = *(const uint32_t *)element(array, i);
    }
    return copy;
}

static void give_bytes(const svOpenArrayHandle array, const uint8_t *copy, int count)
{
    for (int i = 0; i < count; i++) {
        *(uint8_t *)element(array, i) = copy[i];
    }
}

static void give_ints(const svOpenArrayHandle array, const int32_t *copy, int count)
{
    for (int i = 0; i < count; i++) {
        *(int32_t *)element(array, i) = copy[i];
    }
}

static void give_words(const svOpenArrayHandle array, const uint32_t *copy, int count)
{
    for (int i = 0; i < count; i++) {
        *(uint32_t *)element(array, i) = copy[i];
    }
}

/* ---- units ---- */

int bl2_dpi_score_accumulator(void *model, int head_dim, const svOpenArrayHandle q,
                              const svOpenArrayHandle k, int *score)
{
    copies held = no_copies();
    const uint8_t *q_codes = bytes_of(&held, q, head_dim);
    const uint8_t *k_codes = bytes_of(&held, k, head_dim);
    int32_t made = 0;
    bl2_status status = held.status;
    if (status == BL2_OK) {
        status = bl2_score_accumulator(model_of(model), params_of(model), (size_t)head_dim,
                                       q_codes, k_codes, &made);
    }
    *score = made;
    return finish(&held, status);
}

int bl2_dpi_score_requantizer(void *model, int score, int bias, int *t)
{
    int32_t made = 0;
    const bl2_status status =
        bl2_score_requantizer(model_of(model), params_of(model), score, bias, &made);
    *t = made;
    return (int)status;
}

int bl2_dpi_row_max(void *model, int tokens, const svOpenArrayHandle t,
                    const svOpenArrayHandle masked, int *row_max)
{
    copies held = no_copies();
    const int32_t *t_values = ints_of(&held, t, tokens);
    const uint8_t *mask = bytes_of(&held, masked, tokens);
    int32_t made = 0;
    bl2_status status = held.status;
    if (status == BL2_OK) {
        status = bl2_row_max(model_of(model), (size_t)tokens, t_values, mask, &made);
    }
    *row_max = made;
    return finish(&held, status);
}

int bl2_dpi_distance(void *model, int row_max, int t, unsigned char masked, unsigned *d)
{
    uint32_t made = 0;
    const bl2_status status = bl2_distance(model_of(model), row_max, t, masked, &made);
    *d = made;
    return (int)status;
}

int bl2_dpi_exp2(void *model, unsigned d, unsigned char masked, unsigned *e)
{
    uint32_t made = 0;
    const bl2_status status = bl2_exp2(model_of(model), d, masked, &made);
    *e = made;
    return (int)status;
}

int bl2_dpi_row_sum(void *model, int tokens, const svOpenArrayHandle e,
                    unsigned long long *row_sum)
{
    copies held = no_copies();
    const uint32_t *e_values = words_of(&held, e, tokens);
    uint64_t made = 0;
    bl2_status status = held.status;
    if (status == BL2_OK) {
        status = bl2_row_sum(model_of(model), (size_t)tokens, e_values, &made);
    }
    *row_sum = made;
    return finish(&held, status);
}

int bl2_dpi_log2_quantizer(void *model, unsigned e, unsigned long long row_sum,
                           unsigned char *level)
{
    uint8_t made = 0;
    const bl2_status status = bl2_log2_quantizer(model_of(model), e, row_sum, &made);
    *level = made;
    return (int)status;
}

int bl2_dpi_log2_quantizer_dividing(void *model, unsigned e, unsigned long long row_sum,
                                    unsigned char *level)
{
    uint8_t made = 0;
    const bl2_status status = bl2_log2_quantizer_dividing(model_of(model), e, row_sum, &made);
    *level = made;
    return (int)status;
}

int bl2_dpi_distance_quantizer(void *model, unsigned d, unsigned char masked,
                               unsigned char *level)
{
    uint8_t made = 0;
    const bl2_status status = bl2_distance_quantizer(model_of(model), d, masked, &made);
    *level = made;
    return (int)status;
}

int bl2_dpi_weight_sum(void *model, int tokens, const svOpenArrayHandle level,
                       unsigned *weight_sum)
{
    copies held = no_copies();
    const uint8_t *levels = bytes_of(&held, level, tokens);
    uint32_t made = 0;
    bl2_status status = held.status;
    if (status == BL2_OK) {
        status = bl2_weight_sum(model_of(model), (size_t)tokens, levels, &made);
    }
    *weight_sum = made;
    return finish(&held, status);
}

int bl2_dpi_row_multiplier(void *model, unsigned weight_sum, int *m2_row, int *n2_row)
{
    int32_t made[2] = {0, 0};
    const bl2_status status = bl2_row_multiplier(model_of(model), params_of(model), weight_sum,
                                                 &made[0], &made[1]);
    *m2_row = made[0];
    *n2_row = made[1];
    return (int)status;
}

int bl2_dpi_code_register(void *model, unsigned char level, unsigned char *nibble,
                          unsigned char *flag)
{
    uint8_t made[2] = {0, 0};
    const bl2_status status = bl2_code_register(model_of(model), level, &made[0], &made[1]);
    *nibble = made[0];
    *flag = made[1];
    return (int)status;
}

int bl2_dpi_code_level(void *model, unsigned char nibble, unsigned char flag,
                       unsigned char *level)
{
    uint8_t made = 0;
    const bl2_status status = bl2_code_level(model_of(model), nibble, flag, &made);
    *level = made;
    return (int)status;
}

int bl2_dpi_shift_add(void *model, int tokens, const svOpenArrayHandle nibble,
                      const svOpenArrayHandle flag, const svOpenArrayHandle v, int *acc)
{
    copies held = no_copies();
    const uint8_t *nibbles = bytes_of(&held, nibble, tokens);
    const uint8_t *flags = bytes_of(&held, flag, tokens);
    const uint8_t *codes = bytes_of(&held, v, tokens);
    int32_t made = 0;
    bl2_status status = held.status;
    if (status == BL2_OK) {
        status = bl2_shift_add(model_of(model), params_of(model), (size_t)tokens, nibbles, flags,
                               codes, 1, &made);
    }
    *acc = made;
    return finish(&held, status);
}

int bl2_dpi_output_requantizer(void *model, int acc, unsigned char *o)
{
    uint8_t made = 0;
    const bl2_status status = bl2_output_requantizer(model_of(model), params_of(model), acc, &made);
    *o = made;
    return (int)status;
}

int bl2_dpi_row_output_requantizer(void *model, int m2_row, int n2_row, int acc, unsigned char *o)
{
    bl2_params params = {0, 0, 0, 0, 0, 0, 0, 0};
    uint8_t made = 0;
    bl2_status status = BL2_NULL_POINTER;
    if (model != NULL) {
        params = *params_of(model);
        params.m2 = m2_row;
        params.n2 = n2_row;
        status = bl2_output_requantizer(model_of(model), &params, acc, &made);
    }
    *o = made;
    return (int)status;
}

/* ---- the row ---- */

/* The arrays that both rows have. */
typedef struct row_arrays {
    svOpenArrayHandle v, masked, bias, t, d, e, level, nibble, flag, acc, o;
} row_arrays;

/* a * b, or -1 where no array is as long. */
static int product_of(int a, int b)
{
    const long long product = (long long)a * b;
    return a < 0 || b < 0 || product > 0x7fffffff ? -1 : (int)product;
}

static bl2_row inputs_of(copies *held, const row_arrays *a, int tokens, int channels)
{
    bl2_row row = {0, 0, 0, NULL, NULL, NULL, NULL, NULL};
    row.v = bytes_of(held, a->v, product_of(tokens, channels));
    row.masked = bytes_of(held, a->masked, tokens);
    row.bias = ints_of(held, a->bias, tokens);
    if (held->status == BL2_OK) {
        row.tokens = (size_t)tokens;
        row.channels = (size_t)channels;
    }
    return row;
}

/* RowMax has no e: then that array is not looked at. */
static int has_e(void *model)
{
    bl2_widths widths;
    return model != NULL && bl2_register_widths(&model_of(model)->config, &widths) == BL2_OK &&
           widths.e != 0;
}

static bl2_registers registers_of(copies *held, void *model, const row_arrays *a, int32_t *score,
                                  int tokens, int channels)
{
    bl2_registers made = {NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0};
    made.score = score;
    made.t = (int32_t *)take(held, a->t, tokens, sizeof(int32_t));
    made.d = (uint32_t *)take(held, a->d, tokens, sizeof(uint32_t));
    made.e = has_e(model) ? (uint32_t *)take(held, a->e, tokens, sizeof(uint32_t)) : NULL;
    made.level = (uint8_t *)take(held, a->level, tokens, 1);
    made.nibble = (uint8_t *)take(held, a->nibble, tokens, 1);
    made.flag = (uint8_t *)take(held, a->flag, tokens, 1);
    made.acc = (int32_t *)take(held, a->acc, channels, sizeof(int32_t));
    made.o = (uint8_t *)take(held, a->o, channels, 1);
    return made;
}

static void give_registers(const row_arrays *a, const bl2_registers *made, int tokens,
                           int channels)
{
    give_ints(a->t, made->t, tokens);
    give_words(a->d, made->d, tokens);
    if (made->e != NULL) {
        give_words(a->e, made->e, tokens);
    }
    give_bytes(a->level, made->level, tokens);
    give_bytes(a->nibble, made->nibble, tokens);
    give_bytes(a->flag, made->flag, tokens);
    give_ints(a->acc, made->acc, channels);
    give_bytes(a->o, made->o, channels);
}

int bl2_dpi_attention_row(void *model, int tokens, int head_dim, int channels,
                          const svOpenArrayHandle q, const svOpenArrayHandle k,
                          const svOpenArrayHandle v, const svOpenArrayHandle masked,
                          const svOpenArrayHandle bias, const svOpenArrayHandle score,
                          const svOpenArrayHandle t, int *row_max, const svOpenArrayHandle d,
                          const svOpenArrayHandle e, unsigned long long *row_sum,
                          const svOpenArrayHandle level, const svOpenArrayHandle nibble,
                          const svOpenArrayHandle flag, const svOpenArrayHandle acc,
                          const svOpenArrayHandle o)
{
    const row_arrays arrays = {v, masked, bias, t, d, e, level, nibble, flag, acc, o};
    copies held = no_copies();
    bl2_row row = inputs_of(&held, &arrays, tokens, channels);
    int32_t *scores = (int32_t *)take(&held, score, tokens, sizeof *scores);
    bl2_registers made = registers_of(&held, model, &arrays, scores, tokens, channels);
    bl2_status status;
    row.q = bytes_of(&held, q, head_dim);
    row.k = bytes_of(&held, k, product_of(tokens, head_dim));
    status = held.status;
    if (status == BL2_OK) {
        row.head_dim = (size_t)head_dim;
        status = bl2_attention_row(model_of(model), params_of(model), &row, &made);
    }
    if (status == BL2_OK) {
        give_ints(score, made.score, tokens);
        give_registers(&arrays, &made, tokens, channels);
    }
    *row_max = made.row_max;
    *row_sum = made.row_sum;
    return finish(&held, status);
}

int bl2_dpi_attention_row_from_scores(
    void *model, int tokens, int channels, const svOpenArrayHandle score,
    const svOpenArrayHandle v, const svOpenArrayHandle masked, const svOpenArrayHandle bias,
    const svOpenArrayHandle t, int *row_max, const svOpenArrayHandle d, const svOpenArrayHandle e,
    unsigned long long *row_sum, const svOpenArrayHandle level, const svOpenArrayHandle nibble,
    const svOpenArrayHandle flag, const svOpenArrayHandle acc, const svOpenArrayHandle o)
{
    const row_arrays arrays = {v, masked, bias, t, d, e, level, nibble, flag, acc, o};
    copies held = no_copies();
    const bl2_row row = inputs_of(&held, &arrays, tokens, channels);
    int32_t *scores = ints_of(&held, score, tokens);
    bl2_registers made = registers_of(&held, model, &arrays, scores, tokens, channels);
    bl2_status status = held.status;
    if (status == BL2_OK) {
        status = bl2_attention_row_from_scores(model_of(model), params_of(model), &row, scores,
                                               &made);
    }
    if (status == BL2_OK) {
        give_registers(&arrays, &made, tokens, channels);
    }
    *row_max = made.row_max;
    *row_sum = made.row_sum;
    return finish(&held, status);
}

#ifdef __cplusplus
}
#endif
