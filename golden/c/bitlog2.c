/* BitLog2, attention and the network around it: a bit-exact model in C99. See bitlog2.h. */
#include "bitlog2.h"

#define REFUSE_UNLESS(condition, status) \
    do {                                 \
        if (!(condition)) {              \
            return (status);             \
        }                                \
    } while (0)

#define RETURN_IF_REFUSED(call)        \
    do {                               \
        const bl2_status got = (call); \
        if (got != BL2_OK) {           \
            return got;                \
        }                              \
    } while (0)

/* ---- section 1: numbers, roundings, overflows ---- */

/* TRN, BL2-NUM-01. C99 leaves `>>` of a negative number to the compiler; ~x is not negative. */
static int64_t trn(int64_t x, int32_t n)
{
    return x >= 0 ? x >> n : ~(~x >> n);
}

/* RND, BL2-NUM-02. */
static int64_t rnd(int64_t x, int32_t n)
{
    return n == 0 ? x : trn(x + ((int64_t)1 << (n - 1)), n);
}

/* SAT, BL2-NUM-05. */
static int64_t sat(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}

/* bits(u) of section 6: the length of u in binary. */
static int32_t bit_length(uint64_t u)
{
    int32_t length = 0;
    while (u != 0) {
        u >>= 1;
        length += 1;
    }
    return length;
}

/* Leading-one detector, BL2-NUM-06: x > 0. */
static int32_t lod(uint64_t x)
{
    return bit_length(x) - 1;
}

static int within(int64_t x, int64_t low, int64_t high)
{
    return low <= x && x <= high;
}

/* ---- section 4: schemes, BL2-SCHEME-01, -02 ---- */

typedef struct scheme_facts {
    int is_row_max;  /* a level is read from the distance, not from a quotient */
    int32_t octaves; /* levels 1 to this one are an octave apart, above it half steps alternate */
    int32_t top_level;
    uint32_t odd; /* A = odd * 2^a */
    int32_t a;
} scheme_facts;

static scheme_facts facts_of(int32_t scheme)
{
    static const scheme_facts facts[BL2_SCHEME_COUNT] = {
        /* schemes: begin */
        {0, 15, 15, 1, 15}, /* BL2_SINGLE_16 */
        {0, 16, 16, 1, 16}, /* BL2_SINGLE_17 */
        {0, 2, 15, 1, 8}, /* BL2_HALF_16 */
        {0, 2, 16, 3, 7}, /* BL2_HALF_17 */
        {1, 7, 15, 1, 10}, /* BL2_ROWMAX_16 */
        /* schemes: end */
    };
    return facts[scheme];
}

static int64_t value_of_one(int32_t scheme) /* A */
{
    const scheme_facts facts = facts_of(scheme);
    return (int64_t)facts.odd << facts.a;
}

static int is_row_max(const bl2_config *config)
{
    return facts_of(config->scheme).is_row_max;
}

/* Above the whole octaves two levels share a power of two, and the second one is its 1.5-fold. */
static int32_t power_of_level(const scheme_facts *facts, int32_t level)
{
    const int32_t octaves = facts->octaves;
    return level <= octaves ? level - 1 : octaves - 1 + (level - octaves) / 2;
}

static int has_half_bit(const scheme_facts *facts, int32_t level)
{
    return level > facts->octaves && (level - facts->octaves) % 2 != 0;
}

/* The value of a level, in units of 1 / A. */
static int64_t value_of_level(const scheme_facts *facts, int32_t level)
{
    if (level == 0) {
        return 0;
    }
    const int64_t power = (int64_t)1 << power_of_level(facts, level);
    return has_half_bit(facts, level) ? power + power / 2 : power;
}

/* ---- section 2: configuration; section 6: widths ---- */

static int64_t largest_code(int32_t bits)
{
    return ((int64_t)1 << bits) - 1;
}

static int64_t score_bound(const bl2_config *config)
{
    return largest_code(config->q_bits) * largest_code(config->k_bits) * config->max_head_dim;
}

static int64_t weight_sum_bound(const bl2_config *config)
{
    return config->max_tokens * value_of_one(config->scheme);
}

/* BL2-ACC-02: a row of quotients sums to at most A. BL2-ACC-03: RowMax has N values up to A. */
static int64_t acc_bound(const bl2_config *config)
{
    const int64_t one = value_of_one(config->scheme);
    const int64_t weights = is_row_max(config) ? weight_sum_bound(config) : one;
    return largest_code(config->v_bits) * weights;
}

/* A row of RowMax adds up to lod(N * A) to the shift of its layer. Below 0: no n2 is left. */
static int32_t largest_layer_n2(const bl2_config *config)
{
    const uint64_t weights = (uint64_t)weight_sum_bound(config);
    return config->max_n2 - (is_row_max(config) ? lod(weights) : 0);
}

static int64_t t_low(const bl2_config *config)
{
    return -((int64_t)1 << (config->t_bits - 1));
}

static int64_t t_high(const bl2_config *config)
{
    return ((int64_t)1 << (config->t_bits - 1)) - 1;
}

static int64_t d_max(const bl2_config *config)
{
    return ((int64_t)1 << (config->distance_int_bits + config->fraction_bits)) - 1;
}

static int64_t e_max(const bl2_config *config)
{
    return (int64_t)1 << config->table_bits;
}

static int64_t row_sum_bound(const bl2_config *config)
{
    return config->max_tokens * e_max(config);
}

/* A product with its rounding constant: multiplier of `bits` bits, shift of at most `max_shift`. */
static int64_t product_bound(int64_t bound, int32_t bits, int32_t max_shift)
{
    return bound * largest_code(bits) + (((int64_t)1 << max_shift) >> 1);
}

static int32_t unsigned_bits(int64_t bound)
{
    return bit_length((uint64_t)bound);
}

static int32_t signed_bits(int64_t bound)
{
    return bit_length((uint64_t)bound) + 1;
}

#define IN_RANGE(value, field) within(value, BL2_##field##_LOW, BL2_##field##_HIGH)

/* BL2-CONF-01. */
static bl2_status check_free_choices(const bl2_config *c)
{
    REFUSE_UNLESS(within(c->scheme, 0, BL2_SCHEME_COUNT - 1), BL2_BAD_SCHEME);
    REFUSE_UNLESS(IN_RANGE(c->q_bits, Q_BITS), BL2_BAD_CODE_BITS);
    REFUSE_UNLESS(IN_RANGE(c->k_bits, K_BITS), BL2_BAD_CODE_BITS);
    REFUSE_UNLESS(IN_RANGE(c->v_bits, V_BITS), BL2_BAD_CODE_BITS);
    REFUSE_UNLESS(IN_RANGE(c->o_bits, O_BITS), BL2_BAD_CODE_BITS);
    REFUSE_UNLESS(IN_RANGE(c->max_head_dim, MAX_HEAD_DIM), BL2_BAD_MAX_HEAD_DIM);
    REFUSE_UNLESS(IN_RANGE(c->max_tokens, MAX_TOKENS), BL2_BAD_MAX_TOKENS);
    REFUSE_UNLESS(IN_RANGE(c->fraction_bits, FRACTION_BITS), BL2_BAD_FRACTION_BITS);
    REFUSE_UNLESS(IN_RANGE(c->table_bits, TABLE_BITS), BL2_BAD_TABLE_BITS);
    REFUSE_UNLESS(IN_RANGE(c->distance_int_bits, DISTANCE_INT_BITS), BL2_BAD_DISTANCE_INT_BITS);
    REFUSE_UNLESS(IN_RANGE(c->m_bits, M_BITS), BL2_BAD_M_BITS);
    REFUSE_UNLESS(IN_RANGE(c->max_n, MAX_N), BL2_BAD_MAX_N);
    REFUSE_UNLESS(IN_RANGE(c->m2_bits, M2_BITS), BL2_BAD_M2_BITS);
    REFUSE_UNLESS(IN_RANGE(c->max_n2, MAX_N2), BL2_BAD_MAX_N2);
    REFUSE_UNLESS(IN_RANGE(c->t_bits, T_BITS), BL2_BAD_T_BITS);
    return BL2_OK;
}

/* What RowMax asks for beyond the ranges: a layer's n2 of 0 at least, an acc of 32 bits at most. */
static bl2_status check_row_max(const bl2_config *config)
{
    REFUSE_UNLESS(largest_layer_n2(config) >= 0, BL2_MAX_N2_TOO_SMALL);
    REFUSE_UNLESS(acc_bound(config) <= INT32_MAX, BL2_ACC_TOO_WIDE);
    return BL2_OK;
}

/* Every width from the largest magnitude that can reach the register, BL2-CONF-02; 0 for a
 * register that the datapath lacks. */
static bl2_widths derived_widths(const bl2_config *c)
{
    const int quotients = !is_row_max(c);
    bl2_widths widths;
    widths.score = signed_bits(score_bound(c));
    widths.product = signed_bits(product_bound(score_bound(c), c->m_bits, c->max_n));
    widths.t = c->t_bits;
    widths.row_max = c->t_bits;
    widths.d = unsigned_bits(d_max(c));
    widths.e = quotients ? unsigned_bits(e_max(c)) : 0;
    widths.row_sum = quotients ? unsigned_bits(row_sum_bound(c)) : 0;
    widths.compare = quotients ? unsigned_bits(4 * row_sum_bound(c) - 2) : 0;
    widths.acc = signed_bits(acc_bound(c));
    widths.out_product = signed_bits(product_bound(acc_bound(c), c->m2_bits, c->max_n2));
    widths.o = c->o_bits;
    widths.weight_sum = quotients ? 0 : unsigned_bits(weight_sum_bound(c));
    widths.m2_row = quotients ? 0 : c->m2_bits;
    widths.n2_row = quotients ? 0 : unsigned_bits(c->max_n2);
    return widths;
}

/* BL2-CONF-03: a pinned width (0: none) takes the place of the derived one. */
static bl2_status apply_pin(int32_t pinned, int32_t *width)
{
    if (pinned == 0) {
        return BL2_OK;
    }
    REFUSE_UNLESS(*width != 0, BL2_ABSENT_REGISTER); /* BL2-ROW-02 */
    REFUSE_UNLESS(pinned >= *width, BL2_WIDTH_TOO_NARROW);
    REFUSE_UNLESS(pinned <= 62, BL2_WIDTH_TOO_WIDE);
    *width = pinned;
    return BL2_OK;
}

/** BL2-CONF-02: the width of every register, pinned ones included; 0 for one that the scheme's
 * datapath lacks. */
bl2_status bl2_register_widths(const bl2_config *config, bl2_widths *widths)
{
    bl2_widths found;
    REFUSE_UNLESS(config != NULL && widths != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(check_free_choices(config));
    RETURN_IF_REFUSED(check_row_max(config));
    found = derived_widths(config);
    RETURN_IF_REFUSED(apply_pin(config->score_bits, &found.score));
    RETURN_IF_REFUSED(apply_pin(config->product_bits, &found.product));
    RETURN_IF_REFUSED(apply_pin(config->distance_bits, &found.d));
    RETURN_IF_REFUSED(apply_pin(config->exp_bits, &found.e));
    RETURN_IF_REFUSED(apply_pin(config->sum_bits, &found.row_sum));
    RETURN_IF_REFUSED(apply_pin(config->compare_bits, &found.compare));
    RETURN_IF_REFUSED(apply_pin(config->acc_bits, &found.acc));
    RETURN_IF_REFUSED(apply_pin(config->out_product_bits, &found.out_product));
    *widths = found;
    return BL2_OK;
}

/** BL2-CONF-01, BL2-CONF-03: is the configuration legal? */
bl2_status bl2_check_config(const bl2_config *config)
{
    bl2_widths widths;
    return bl2_register_widths(config, &widths);
}

/** The default configuration of section 2 with the given scheme. */
bl2_config bl2_default_config(bl2_scheme scheme)
{
    const bl2_config config = {
        (int32_t)scheme,
        4, 4, 4, 4,             /* bits of q, k, v, o */
        128, 1024,              /* largest D, N */
        5, 16, 5,               /* F, P, I */
        16, 28, 16, 36, 18,     /* M, n, M2, n2, t */
        0, 0, 0, 0, 0, 0, 0, 0, /* no pinned width */
    };
    return config;
}

/** Checks the configuration and makes the exp2 table, or for RowMax the thresholds on d. */
bl2_status bl2_model_init(bl2_model *model, const bl2_config *config)
{
    REFUSE_UNLESS(model != NULL && config != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(bl2_check_config(config));
    model->config = *config;
    for (size_t i = 0; i < BL2_MAX_TABLE; i++) {
        model->table[i] = 0;
    }
    for (size_t i = 0; i < BL2_MAX_LEVEL; i++) {
        model->thresholds[i] = 0;
    }
    if (is_row_max(config)) {
        return bl2_distance_thresholds(config->scheme, config->fraction_bits, model->thresholds);
    }
    return bl2_exp2_table(config->fraction_bits, config->table_bits, model->table);
}

/* ---- section 3: layer parameters, BL2-PARAM-02 ---- */

static int is_code(int32_t x, int32_t bits)
{
    return within(x, 0, largest_code(bits));
}

/* BL2-PARAM-02; n2 is a layer's or a row's, and has its own limit. */
static bl2_status check_params_and_n2(const bl2_model *model, const bl2_params *params,
                                      int32_t largest_n2)
{
    REFUSE_UNLESS(within(params->m, 1, largest_code(model->config.m_bits)), BL2_BAD_M);
    REFUSE_UNLESS(within(params->n, 0, model->config.max_n), BL2_BAD_N);
    REFUSE_UNLESS(within(params->m2, 1, largest_code(model->config.m2_bits)), BL2_BAD_M2);
    REFUSE_UNLESS(within(params->n2, 0, largest_n2), BL2_BAD_N2);
    REFUSE_UNLESS(is_code(params->zq, model->config.q_bits), BL2_BAD_ZERO_POINT);
    REFUSE_UNLESS(is_code(params->zk, model->config.k_bits), BL2_BAD_ZERO_POINT);
    REFUSE_UNLESS(is_code(params->zv, model->config.v_bits), BL2_BAD_ZERO_POINT);
    REFUSE_UNLESS(is_code(params->zo, model->config.o_bits), BL2_BAD_ZERO_POINT);
    return BL2_OK;
}

/** BL2-PARAM-02: are the layer parameters legal for this configuration? For RowMax n2 is at most
 * max_n2 - lod(max_tokens * A). */
bl2_status bl2_check_params(const bl2_model *model, const bl2_params *params)
{
    REFUSE_UNLESS(model != NULL && params != NULL, BL2_NULL_POINTER);
    return check_params_and_n2(model, params, largest_layer_n2(&model->config));
}

/* ---- the exp2 table, BL2-EXP2-01 ---- */

/* Limbs of the largest power: (2^21 - 1)^256 has 21 * 256 bits. */
#define POWER_LIMBS 168

/* square[0 .. 2n-1] = x[0 .. n-1]^2; the return value is its length without leading zeros. */
static size_t square_limbs(const uint32_t *x, size_t n, uint32_t *square)
{
    size_t length = 2 * n;
    for (size_t i = 0; i < length; i++) {
        square[i] = 0;
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t carry = 0;
        for (size_t j = 0; j < n; j++) {
            carry += (uint64_t)x[i] * x[j] + square[i + j];
            square[i + j] = (uint32_t)(carry & UINT32_MAX);
            carry >>= 32;
        }
        square[i + n] = (uint32_t)carry;
    }
    while (length > 1 && square[length - 1] == 0) {
        length -= 1;
    }
    return length;
}

/* Length in binary of base^(2^squarings), by repeated squaring. */
static int32_t power_bits(uint32_t base, int32_t squarings)
{
    uint32_t power[POWER_LIMBS] = {0};
    uint32_t next[POWER_LIMBS];
    size_t length = 1;
    power[0] = base;
    for (int32_t i = 0; i < squarings; i++) {
        length = square_limbs(power, length, next);
        for (size_t limb = 0; limb < length; limb++) {
            power[limb] = next[limb];
        }
    }
    return (int32_t)(32 * (length - 1)) + bit_length(power[length - 1]);
}

/* T[f] is the largest T with T - 1/2 <= 2^(P - f/2^F). Both sides doubled and raised to the power
 * 2^F: (2T - 1)^(2^F) <= 2^((P + 1) * 2^F - f). The left side is odd, and 1 only for T = 1, which
 * no entry is; so it is never equal, and its length in binary decides. */
/** BL2-EXP2-01: T[f] for f = 0 .. 2^F - 1, exact. F from 1 to 8, P from 4 to 20. */
bl2_status bl2_exp2_table(int32_t fraction_bits, int32_t table_bits, uint32_t *table)
{
    REFUSE_UNLESS(table != NULL, BL2_NULL_POINTER);
    REFUSE_UNLESS(within(fraction_bits, 1, 8), BL2_BAD_FRACTION_BITS);
    REFUSE_UNLESS(within(table_bits, 4, 20), BL2_BAD_TABLE_BITS);
    const int32_t entries = (int32_t)1 << fraction_bits;
    table[0] = (uint32_t)1 << table_bits;
    for (int32_t f = 1; f < entries; f++) {
        uint32_t low = (uint32_t)1 << (table_bits - 1); /* not above T[f] */
        uint32_t high = table[f - 1];                   /* not below T[f] */
        while (low < high) {
            const uint32_t middle = low + (high - low + 1) / 2;
            if (power_bits(2 * middle - 1, fraction_bits) <= (table_bits + 1) * entries - f) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        table[f] = low;
    }
    return BL2_OK;
}

/* ---- the thresholds of RowMax on d, BL2-DIST-01 ---- */

#define LN_FRACTION_BITS 60

/* ln((n + 1) / (n - 1)) = 2 * (1/n + 1/(3 n^3) + 1/(5 n^5) + ...) with 60 fraction bits. n is 5 or
 * 7: at most 26 terms of two cuts each, so less than 2^-54 below the logarithm. */
static uint64_t ln_of_ratio(uint64_t n)
{
    uint64_t sum = 0;
    uint64_t power = ((uint64_t)2 << LN_FRACTION_BITS) / n;
    for (uint64_t i = 1; power != 0; i += 2) {
        sum += power / i;
        power /= n * n;
    }
    return sum;
}

/* floor(2^bits * log2(x * 2^octaves)) for an x > 0 of LN_FRACTION_BITS: a bit for each squaring. */
static uint32_t log2_of(uint64_t x, int32_t octaves, int32_t bits)
{
    const int32_t lead = lod(x);
    uint32_t log = (uint32_t)(octaves + lead - LN_FRACTION_BITS);
    x >>= lead - 31; /* 1 <= x < 2, of 31 fraction bits */
    for (int32_t i = 0; i < bits; i++) {
        const uint64_t square = x * x;
        const uint64_t bit = square >> 63;
        x = square >> (31 + bit);
        log = 2 * log + (uint32_t)bit;
    }
    return log;
}

/* RND(2^F * log2(A / mean)). The mean of neighbours a > b is (a - b) / ln(a / b): a / b is 3/2, 4/3
 * or 2, and a - b a power of two. In front of zero it is 1/2. Cutting x makes it smaller by less
 * than 2^-21 of itself, nine squarings included, so the product by less than 2^-20; for F <= 8 none
 * lies so near a tie. */
static uint32_t threshold_of(const scheme_facts *facts, int32_t level, int32_t fraction_bits)
{
    const int32_t octaves = facts->a - power_of_level(facts, level) + 1;
    uint64_t ratio;
    int32_t finer = 0; /* a - b is 2^(k - 1 - finer) */
    if (level == 1) {
        ratio = (uint64_t)1 << LN_FRACTION_BITS;
    } else if (has_half_bit(facts, level)) {
        ratio = ln_of_ratio(5); /* 3/2 */
    } else if (has_half_bit(facts, level - 1)) {
        ratio = ln_of_ratio(7); /* 4/3 */
        finer = 1;
    } else {
        ratio = ln_of_ratio(5) + ln_of_ratio(7); /* 3/2 * 4/3 */
    }
    return (log2_of(facts->odd * ratio, octaves + finer, fraction_bits + 1) + 1) >> 1;
}

/** BL2-DIST-01: thresholds[L - 1] is the largest d of level L, L = 1 .. 15, exact. scheme is of
 * RowMax, F from 1 to 8. */
bl2_status bl2_distance_thresholds(int32_t scheme, int32_t fraction_bits, uint32_t *thresholds)
{
    REFUSE_UNLESS(thresholds != NULL, BL2_NULL_POINTER);
    REFUSE_UNLESS(within(scheme, 0, BL2_SCHEME_COUNT - 1), BL2_BAD_SCHEME);
    REFUSE_UNLESS(within(fraction_bits, 1, 8), BL2_BAD_FRACTION_BITS);
    const scheme_facts facts = facts_of(scheme);
    REFUSE_UNLESS(facts.is_row_max, BL2_ABSENT_UNIT);
    for (int32_t level = 1; level <= facts.top_level; level++) {
        thresholds[level - 1] = threshold_of(&facts, level, fraction_bits);
    }
    return BL2_OK;
}

/* ---- unit 1, score accumulator ---- */

/* BL2-SCORE-01. |score| <= 255 * 255 * 1024 < 2^31 (BL2-SCORE-02). */
static int32_t score_of_key(const bl2_params *params, size_t head_dim, const uint8_t *q,
                            const uint8_t *k)
{
    int32_t score = 0;
    for (size_t d = 0; d < head_dim; d++) {
        score += (q[d] - params->zq) * (k[d] - params->zk);
    }
    return score;
}

static bl2_status check_codes(const uint8_t *codes, size_t count, int32_t bits)
{
    for (size_t i = 0; i < count; i++) {
        REFUSE_UNLESS(is_code(codes[i], bits), BL2_BAD_CODE);
    }
    return BL2_OK;
}

static bl2_status check_head_dim(const bl2_config *config, size_t head_dim)
{
    const size_t largest = (size_t)config->max_head_dim;
    REFUSE_UNLESS(1 <= head_dim && head_dim <= largest, BL2_BAD_HEAD_DIM);
    return BL2_OK;
}

/** Unit 1: the score of one key; q and k have head_dim codes. */
bl2_status bl2_score_accumulator(const bl2_model *model, const bl2_params *params,
                                 size_t head_dim, const uint8_t *q, const uint8_t *k,
                                 int32_t *score)
{
    REFUSE_UNLESS(q != NULL && k != NULL && score != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(bl2_check_params(model, params));
    RETURN_IF_REFUSED(check_head_dim(&model->config, head_dim));
    RETURN_IF_REFUSED(check_codes(q, head_dim, model->config.q_bits));
    RETURN_IF_REFUSED(check_codes(k, head_dim, model->config.k_bits));
    *score = score_of_key(params, head_dim, q, k);
    return BL2_OK;
}

/* ---- unit 2, score requantizer ---- */

/* BL2-REQ-01, -02. The product is below 2^51 in any configuration. */
static int32_t requantized_score(const bl2_config *config, const bl2_params *params,
                                 int32_t score, int32_t bias)
{
    const int64_t rounded = rnd((int64_t)score * params->m, params->n);
    return (int32_t)sat(rounded + bias, t_low(config), t_high(config));
}

static bl2_status check_score(const bl2_config *config, int32_t score)
{
    const int64_t bound = score_bound(config);
    REFUSE_UNLESS(within(score, -bound, bound), BL2_BAD_SCORE);
    return BL2_OK;
}

static int has_t_range(const bl2_config *config, int32_t x)
{
    return within(x, t_low(config), t_high(config));
}

/** Unit 2: one rounding, bias, one saturation. */
bl2_status bl2_score_requantizer(const bl2_model *model, const bl2_params *params, int32_t score,
                                 int32_t bias, int32_t *t)
{
    REFUSE_UNLESS(t != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(bl2_check_params(model, params));
    RETURN_IF_REFUSED(check_score(&model->config, score));
    REFUSE_UNLESS(has_t_range(&model->config, bias), BL2_BAD_BIAS); /* BL2-REQ-03 */
    *t = requantized_score(&model->config, params, score, bias);
    return BL2_OK;
}

/* ---- unit 3, row max and distance ---- */

static int is_masked(const uint8_t *masked, size_t j)
{
    return masked != NULL && masked[j] != 0;
}

/* BL2-MAX-01. At least one key is not masked. */
static int32_t largest_unmasked(const bl2_config *config, size_t tokens, const int32_t *t,
                                const uint8_t *masked)
{
    int32_t largest = (int32_t)t_low(config);
    for (size_t j = 0; j < tokens; j++) {
        if (!is_masked(masked, j) && t[j] > largest) {
            largest = t[j];
        }
    }
    return largest;
}

static bl2_status check_tokens(const bl2_config *config, size_t tokens)
{
    REFUSE_UNLESS(1 <= tokens && tokens <= (size_t)config->max_tokens, BL2_BAD_TOKENS);
    return BL2_OK;
}

/* BL2-MAX-02. */
static bl2_status check_mask(size_t tokens, const uint8_t *masked)
{
    size_t left = 0;
    for (size_t j = 0; j < tokens; j++) {
        REFUSE_UNLESS(masked == NULL || masked[j] <= 1, BL2_BAD_MASK);
        left += is_masked(masked, j) ? 0 : 1;
    }
    REFUSE_UNLESS(left > 0, BL2_ALL_MASKED);
    return BL2_OK;
}

/** Unit 3: the maximum over the keys that are not masked. */
bl2_status bl2_row_max(const bl2_model *model, size_t tokens, const int32_t *t,
                       const uint8_t *masked, int32_t *row_max)
{
    REFUSE_UNLESS(model != NULL && t != NULL && row_max != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(check_tokens(&model->config, tokens));
    RETURN_IF_REFUSED(check_mask(tokens, masked));
    for (size_t j = 0; j < tokens; j++) {
        REFUSE_UNLESS(has_t_range(&model->config, t[j]), BL2_BAD_T);
    }
    *row_max = largest_unmasked(&model->config, tokens, t, masked);
    return BL2_OK;
}

/* BL2-MAX-03, -04. */
static uint32_t distance_to(const bl2_config *config, int32_t row_max, int32_t t, int masked)
{
    const int64_t largest = d_max(config);
    return (uint32_t)(masked ? largest : sat((int64_t)row_max - t, 0, largest));
}

/** Unit 3: the saturating distance; d_max for a masked key (BL2-MAX-04). */
bl2_status bl2_distance(const bl2_model *model, int32_t row_max, int32_t t, uint8_t masked,
                        uint32_t *d)
{
    REFUSE_UNLESS(model != NULL && d != NULL, BL2_NULL_POINTER);
    REFUSE_UNLESS(masked <= 1, BL2_BAD_MASK);
    REFUSE_UNLESS(has_t_range(&model->config, row_max), BL2_BAD_T);
    REFUSE_UNLESS(has_t_range(&model->config, t) && (masked || t <= row_max), BL2_BAD_T);
    *d = distance_to(&model->config, row_max, t, masked);
    return BL2_OK;
}

/* ---- what only one family of schemes has, BL2-ROW-02 ---- */

static bl2_status needs_quotients(const bl2_model *model)
{
    REFUSE_UNLESS(!is_row_max(&model->config), BL2_ABSENT_UNIT);
    return BL2_OK;
}

static bl2_status needs_row_max(const bl2_model *model)
{
    REFUSE_UNLESS(is_row_max(&model->config), BL2_ABSENT_UNIT);
    return BL2_OK;
}

/* ---- unit 4, exp2 ---- */

/* BL2-EXP2-02 to -04. */
static uint32_t power_of_distance(const bl2_model *model, uint32_t d, int masked)
{
    const int32_t fraction_bits = model->config.fraction_bits;
    const int32_t shift = (int32_t)(d >> fraction_bits);
    if (masked || shift >= model->config.table_bits + 2) {
        return 0;
    }
    return (uint32_t)rnd(model->table[d & (((uint32_t)1 << fraction_bits) - 1)], shift);
}

/** Unit 4: table, rounding barrel shifter; 0 for a masked key. Not for RowMax. */
bl2_status bl2_exp2(const bl2_model *model, uint32_t d, uint8_t masked, uint32_t *e)
{
    REFUSE_UNLESS(model != NULL && e != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(needs_quotients(model));
    REFUSE_UNLESS(masked <= 1, BL2_BAD_MASK);
    REFUSE_UNLESS(d <= d_max(&model->config), BL2_BAD_D);
    *e = power_of_distance(model, d, masked);
    return BL2_OK;
}

/* ---- unit 5, row sum ---- */

/* BL2-SUM-01. */
static uint64_t sum_of_row(size_t tokens, const uint32_t *e)
{
    uint64_t sum = 0;
    for (size_t j = 0; j < tokens; j++) {
        sum += e[j];
    }
    return sum;
}

/** Unit 5: the exact sum. Not for RowMax. */
bl2_status bl2_row_sum(const bl2_model *model, size_t tokens, const uint32_t *e,
                       uint64_t *row_sum)
{
    REFUSE_UNLESS(model != NULL && e != NULL && row_sum != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(needs_quotients(model));
    RETURN_IF_REFUSED(check_tokens(&model->config, tokens));
    for (size_t j = 0; j < tokens; j++) {
        REFUSE_UNLESS(e[j] <= e_max(&model->config), BL2_BAD_E);
    }
    *row_sum = sum_of_row(tokens, e);
    return BL2_OK;
}

/* ---- unit 6, log2 quantizer ---- */

/* x * 2^shift >= y, without fractions. */
static int reaches(uint64_t x, int32_t shift, uint64_t y)
{
    return shift >= 0 ? (x << shift) >= y : x >= (y << -shift);
}

/* BL2-LOG2-02, -03, -05: the level of a leading one k and a half bit. */
static uint8_t level_of(const scheme_facts *facts, int32_t k, int half_bit)
{
    const int is_half = facts->octaves < facts->top_level;
    const int32_t level = !is_half ? k + 1 : k == 0 ? 1 : 2 * k + half_bit;
    return (uint8_t)(level < facts->top_level ? level : facts->top_level);
}

/* The comparisons of BL2-LOG2-04 and -05, aligned as in BL2-LOG2-06. */
static uint8_t level_by_comparing(int32_t scheme, uint32_t e, uint64_t row_sum)
{
    const scheme_facts facts = facts_of(scheme);
    const uint64_t x = (uint64_t)facts.odd * e;
    int32_t k;
    int half_bit;
    if (e == 0) {
        return 0;
    }
    k = lod(x) + facts.a - lod(row_sum);
    if (k >= 0 && !reaches(x, facts.a - k, row_sum)) {
        k -= 1;
    }
    if (k < 0) {
        return 0; /* E < s */
    }
    half_bit = k >= 1 && reaches(x, facts.a - k + 1, 3 * row_sum);
    return level_of(&facts, k, half_bit);
}

/* BL2-LOG2-01, clamped before the leading one is taken. */
static uint8_t level_by_dividing(int32_t scheme, uint32_t e, uint64_t row_sum)
{
    const scheme_facts facts = facts_of(scheme);
    const uint64_t one = (uint64_t)value_of_one(scheme);
    const uint64_t quotient = e * one / row_sum;
    const uint64_t p = quotient < one ? quotient : one - 1;
    int32_t k;
    if (p == 0) {
        return 0;
    }
    k = lod(p);
    return level_of(&facts, k, k >= 1 && ((p >> (k - 1)) & 1) != 0);
}

static bl2_status check_share(const bl2_model *model, uint32_t e, uint64_t row_sum,
                              const uint8_t *level)
{
    REFUSE_UNLESS(model != NULL && level != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(needs_quotients(model));
    REFUSE_UNLESS(1 <= row_sum && row_sum <= (uint64_t)row_sum_bound(&model->config),
                  BL2_BAD_ROW_SUM);
    REFUSE_UNLESS(e <= row_sum && e <= e_max(&model->config), BL2_BAD_E);
    return BL2_OK;
}

/** Unit 6, comparing form (BL2-LOG2-04 to -06): no division. row_sum > 0, e <= row_sum.
 * Not for RowMax. */
bl2_status bl2_log2_quantizer(const bl2_model *model, uint32_t e, uint64_t row_sum,
                              uint8_t *level)
{
    RETURN_IF_REFUSED(check_share(model, e, row_sum, level));
    *level = level_by_comparing(model->config.scheme, e, row_sum);
    return BL2_OK;
}

/** Unit 6, dividing form (BL2-LOG2-01 to -03): the same function. */
bl2_status bl2_log2_quantizer_dividing(const bl2_model *model, uint32_t e, uint64_t row_sum,
                                       uint8_t *level)
{
    RETURN_IF_REFUSED(check_share(model, e, row_sum, level));
    *level = level_by_dividing(model->config.scheme, e, row_sum);
    return BL2_OK;
}

/* ---- unit 10, distance quantizer of RowMax ---- */

/* BL2-DIST-02, -03. */
static uint8_t level_by_distance(const bl2_model *model, uint32_t d, int masked)
{
    int32_t level = masked ? 0 : facts_of(model->config.scheme).top_level;
    while (level > 0 && d > model->thresholds[level - 1]) {
        level -= 1;
    }
    return (uint8_t)level;
}

/** Unit 10, RowMax alone: the largest level whose threshold d does not pass; 0 for a masked key. */
bl2_status bl2_distance_quantizer(const bl2_model *model, uint32_t d, uint8_t masked,
                                  uint8_t *level)
{
    REFUSE_UNLESS(model != NULL && level != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(needs_row_max(model));
    REFUSE_UNLESS(masked <= 1, BL2_BAD_MASK);
    REFUSE_UNLESS(d <= d_max(&model->config), BL2_BAD_D);
    *level = level_by_distance(model, d, masked);
    return BL2_OK;
}

/* ---- unit 11, weight sum of RowMax ---- */

/* BL2-WEIGHT-01. At most N * A, below 2^31 where acc has 32 bits (BL2-WEIGHT-02). */
static uint32_t weight_of_row(const bl2_model *model, size_t tokens, const uint8_t *level)
{
    const scheme_facts facts = facts_of(model->config.scheme);
    int64_t sum = 0;
    for (size_t j = 0; j < tokens; j++) {
        sum += value_of_level(&facts, level[j]);
    }
    return (uint32_t)sum;
}

/** Unit 11, RowMax alone: the exact sum of the levels' values. */
bl2_status bl2_weight_sum(const bl2_model *model, size_t tokens, const uint8_t *level,
                          uint32_t *weight_sum)
{
    REFUSE_UNLESS(model != NULL && level != NULL && weight_sum != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(needs_row_max(model));
    RETURN_IF_REFUSED(check_tokens(&model->config, tokens));
    for (size_t j = 0; j < tokens; j++) {
        REFUSE_UNLESS(level[j] <= facts_of(model->config.scheme).top_level, BL2_BAD_LEVEL);
    }
    *weight_sum = weight_of_row(model, tokens, level);
    return BL2_OK;
}

/* ---- unit 12, row multiplier of RowMax ---- */

/* RND(x / y) of the exact quotient: up from a remainder of half y. In unit 12 none is half: 2 x / y
 * would be an odd number, and w divisible by 2^(k + 1), which is larger. */
static int64_t rounded_quotient(int64_t x, int64_t y)
{
    const int64_t quotient = x / y;
    const int64_t remainder = x % y;
    return quotient + (2 * remainder >= y ? 1 : 0);
}

/* BL2-ROWMUL-01. The dividend has at most 24 + 31 bits. 2^k <= w < 2^(k + 1), so the result is from
 * m2 / 2 to m2: it fits the register of m2 and is not 0 (BL2-ROWMUL-02). */
static bl2_params params_of_row(const bl2_params *params, uint32_t weight_sum)
{
    const int32_t k = lod(weight_sum);
    bl2_params row = *params;
    row.m2 = (int32_t)rounded_quotient(params->m2 * ((int64_t)1 << k), weight_sum);
    row.n2 = params->n2 + k;
    return row;
}

/** Unit 12, RowMax alone: the multiplier and shift that unit 9 takes in a row of this weight sum, A
 * to max_tokens * A, in place of the layer's. */
bl2_status bl2_row_multiplier(const bl2_model *model, const bl2_params *params,
                              uint32_t weight_sum, int32_t *m2_row, int32_t *n2_row)
{
    bl2_params row;
    REFUSE_UNLESS(m2_row != NULL && n2_row != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(bl2_check_params(model, params));
    RETURN_IF_REFUSED(needs_row_max(model));
    REFUSE_UNLESS(within(weight_sum, value_of_one(model->config.scheme),
                         weight_sum_bound(&model->config)),
                  BL2_BAD_WEIGHT_SUM);
    row = params_of_row(params, weight_sum);
    *m2_row = row.m2;
    *n2_row = row.n2;
    return BL2_OK;
}

/* ---- unit 7, code register ---- */

/* BL2-CODE-01, -02. */
static int has_flag(const scheme_facts *facts)
{
    return facts->top_level == 16;
}

/** Unit 7: level to nibble and zero flag. */
bl2_status bl2_code_register(const bl2_model *model, uint8_t level, uint8_t *nibble,
                             uint8_t *flag)
{
    REFUSE_UNLESS(model != NULL && nibble != NULL && flag != NULL, BL2_NULL_POINTER);
    const scheme_facts facts = facts_of(model->config.scheme);
    REFUSE_UNLESS(level <= facts.top_level, BL2_BAD_LEVEL);
    *nibble = (uint8_t)(has_flag(&facts) && level > 0 ? level - 1 : level);
    *flag = (uint8_t)(has_flag(&facts) && level == 0);
    return BL2_OK;
}

/** Unit 7 read back: nibble and zero flag to level. */
bl2_status bl2_code_level(const bl2_model *model, uint8_t nibble, uint8_t flag, uint8_t *level)
{
    REFUSE_UNLESS(model != NULL && level != NULL, BL2_NULL_POINTER);
    const scheme_facts facts = facts_of(model->config.scheme);
    REFUSE_UNLESS(nibble <= 15 && flag <= 1, BL2_BAD_NIBBLE);
    REFUSE_UNLESS(flag == 0 || (has_flag(&facts) && nibble == 0), BL2_BAD_NIBBLE);
    *level = (uint8_t)(flag ? 0 : has_flag(&facts) ? nibble + 1 : nibble);
    return BL2_OK;
}

static bl2_status pack(size_t tokens, const uint8_t *words, size_t words_in_byte, uint8_t largest,
                       uint8_t *plane)
{
    REFUSE_UNLESS(words != NULL && plane != NULL, BL2_NULL_POINTER);
    REFUSE_UNLESS(tokens >= 1, BL2_BAD_TOKENS);
    for (size_t j = 0; j < tokens; j++) {
        REFUSE_UNLESS(words[j] <= largest, BL2_BAD_NIBBLE);
    }
    for (size_t j = 0; j < tokens; j++) {
        const size_t position = j % words_in_byte;
        const unsigned word = (unsigned)words[j] << (position * (8 / words_in_byte));
        const unsigned kept = position == 0 ? 0 : plane[j / words_in_byte];
        plane[j / words_in_byte] = (uint8_t)(kept | word);
    }
    return BL2_OK;
}

/** BL2-CODE-03, -04: a row's nibbles in (tokens + 1) / 2 bytes. */
bl2_status bl2_pack_nibbles(size_t tokens, const uint8_t *nibble, uint8_t *plane)
{
    return pack(tokens, nibble, 2, 15, plane);
}

/** BL2-CODE-03, -04: a row's flags in (tokens + 7) / 8 bytes. Only 17 levels have this plane. */
bl2_status bl2_pack_flags(size_t tokens, const uint8_t *flag, uint8_t *plane)
{
    return pack(tokens, flag, 8, 1, plane);
}

/* ---- unit 8, shift-and-add ---- */

/* BL2-ACC-01. A product by a power of two, for `<<` of a negative number has no meaning in C99. */
static int64_t term(const scheme_facts *facts, int32_t level, int32_t x)
{
    if (level == 0) {
        return 0;
    }
    const int32_t k = power_of_level(facts, level);
    const int half_bit = has_half_bit(facts, level);
    return x * ((int64_t)1 << k) + (half_bit ? x * ((int64_t)1 << (k - 1)) : 0);
}

/* No sum of 65536 terms passes 2^16 * 2^15 * 2^8, whatever the levels are; those of a row stay
 * within the bounds of BL2-ACC-02 and -03. */
/** Unit 8: one output channel; key j's code is v[j * stride]. */
bl2_status bl2_shift_add(const bl2_model *model, const bl2_params *params, size_t tokens,
                         const uint8_t *nibble, const uint8_t *flag, const uint8_t *v,
                         size_t stride, int32_t *acc)
{
    int64_t sum = 0;
    REFUSE_UNLESS(nibble != NULL && flag != NULL, BL2_NULL_POINTER);
    REFUSE_UNLESS(v != NULL && acc != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(bl2_check_params(model, params));
    RETURN_IF_REFUSED(check_tokens(&model->config, tokens));
    const scheme_facts facts = facts_of(model->config.scheme);
    const int64_t bound = acc_bound(&model->config);
    for (size_t j = 0; j < tokens; j++) {
        const uint8_t code = v[j * stride];
        uint8_t level;
        REFUSE_UNLESS(is_code(code, model->config.v_bits), BL2_BAD_CODE);
        RETURN_IF_REFUSED(bl2_code_level(model, nibble[j], flag[j], &level));
        sum += term(&facts, level, code - params->zv);
    }
    REFUSE_UNLESS(within(sum, -bound, bound), BL2_BAD_ACC);
    *acc = (int32_t)sum;
    return BL2_OK;
}

/* ---- unit 9, output requantizer ---- */

/* BL2-OUT-01; the product is below 2^49 (BL2-OUT-02). */
/** Unit 9: one rounding, zero point, one saturation. For RowMax m2 and n2 of params are those of
 * the row, from bl2_row_multiplier; n2 is at most max_n2. */
bl2_status bl2_output_requantizer(const bl2_model *model, const bl2_params *params, int32_t acc,
                                  uint8_t *o)
{
    REFUSE_UNLESS(model != NULL && params != NULL && o != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(check_params_and_n2(model, params, model->config.max_n2));
    const int64_t bound = acc_bound(&model->config);
    REFUSE_UNLESS(within(acc, -bound, bound), BL2_BAD_ACC);
    const int64_t rounded = rnd((int64_t)acc * params->m2, params->n2);
    *o = (uint8_t)sat(rounded + params->zo, 0, largest_code(model->config.o_bits));
    return BL2_OK;
}

/* ---- the row ---- */

static bl2_status check_registers(const bl2_config *config, const bl2_registers *registers)
{
    REFUSE_UNLESS(registers != NULL, BL2_NULL_POINTER);
    REFUSE_UNLESS(registers->score != NULL && registers->t != NULL, BL2_NULL_POINTER);
    REFUSE_UNLESS(registers->d != NULL, BL2_NULL_POINTER);
    REFUSE_UNLESS(registers->e != NULL || is_row_max(config), BL2_NULL_POINTER);
    REFUSE_UNLESS(registers->level != NULL && registers->nibble != NULL, BL2_NULL_POINTER);
    REFUSE_UNLESS(registers->flag != NULL, BL2_NULL_POINTER);
    REFUSE_UNLESS(registers->acc != NULL && registers->o != NULL, BL2_NULL_POINTER);
    return BL2_OK;
}

/* BL2-ROW-01: everything of a row but q, k and the scores. */
static bl2_status check_row(const bl2_model *model, const bl2_params *params, const bl2_row *row,
                            const bl2_registers *registers)
{
    RETURN_IF_REFUSED(bl2_check_params(model, params));
    REFUSE_UNLESS(row != NULL && row->v != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(check_registers(&model->config, registers));
    RETURN_IF_REFUSED(check_tokens(&model->config, row->tokens));
    REFUSE_UNLESS(row->channels >= 1, BL2_BAD_CHANNELS);
    RETURN_IF_REFUSED(check_mask(row->tokens, row->masked));
    for (size_t j = 0; row->bias != NULL && j < row->tokens; j++) {
        REFUSE_UNLESS(has_t_range(&model->config, row->bias[j]), BL2_BAD_BIAS);
    }
    return check_codes(row->v, row->tokens * row->channels, model->config.v_bits);
}

/* Units 4 to 6: the levels of a row whose distances are known, by quotients. */
static void find_levels_by_quotient(const bl2_model *model, const bl2_row *row,
                                    bl2_registers *registers)
{
    for (size_t j = 0; j < row->tokens; j++) {
        const int masked = is_masked(row->masked, j);
        registers->e[j] = power_of_distance(model, registers->d[j], masked);
    }
    registers->row_sum = sum_of_row(row->tokens, registers->e);
    for (size_t j = 0; j < row->tokens; j++) {
        registers->level[j] =
            level_by_comparing(model->config.scheme, registers->e[j], registers->row_sum);
    }
    registers->weight_sum = 0;
    registers->m2_row = 0;
    registers->n2_row = 0;
}

/* Units 10 to 12 of RowMax: the levels, their weight sum, the row's multiplier and shift. */
static void find_levels_by_distance(const bl2_model *model, const bl2_params *params,
                                    const bl2_row *row, bl2_registers *registers)
{
    bl2_params of_row;
    for (size_t j = 0; j < row->tokens; j++) {
        const int masked = is_masked(row->masked, j);
        registers->level[j] = level_by_distance(model, registers->d[j], masked);
    }
    registers->row_sum = 0;
    registers->weight_sum = weight_of_row(model, row->tokens, registers->level);
    of_row = params_of_row(params, registers->weight_sum);
    registers->m2_row = of_row.m2;
    registers->n2_row = of_row.n2;
}

/* Unit 2 to the last on a row that was checked; registers->score is set. */
static bl2_status run_from_scores(const bl2_model *model, const bl2_params *params,
                                  const bl2_row *row, bl2_registers *registers)
{
    const bl2_config *config = &model->config;
    bl2_params output = *params;
    for (size_t j = 0; j < row->tokens; j++) {
        const int32_t bias = row->bias == NULL ? 0 : row->bias[j];
        registers->t[j] = requantized_score(config, params, registers->score[j], bias);
    }
    registers->row_max = largest_unmasked(config, row->tokens, registers->t, row->masked);
    for (size_t j = 0; j < row->tokens; j++) {
        const int masked = is_masked(row->masked, j);
        registers->d[j] = distance_to(config, registers->row_max, registers->t[j], masked);
    }
    if (is_row_max(config)) {
        find_levels_by_distance(model, params, row, registers);
        output.m2 = registers->m2_row;
        output.n2 = registers->n2_row;
    } else {
        find_levels_by_quotient(model, row, registers);
    }
    for (size_t j = 0; j < row->tokens; j++) {
        RETURN_IF_REFUSED(bl2_code_register(model, registers->level[j], &registers->nibble[j],
                                            &registers->flag[j]));
    }
    for (size_t c = 0; c < row->channels; c++) {
        RETURN_IF_REFUSED(bl2_shift_add(model, params, row->tokens, registers->nibble,
                                        registers->flag, row->v + c, row->channels,
                                        &registers->acc[c]));
        RETURN_IF_REFUSED(
            bl2_output_requantizer(model, &output, registers->acc[c], &registers->o[c]));
    }
    return BL2_OK;
}

/** The whole row, every register kept that the scheme's datapath has. */
bl2_status bl2_attention_row(const bl2_model *model, const bl2_params *params, const bl2_row *row,
                             bl2_registers *registers)
{
    RETURN_IF_REFUSED(check_row(model, params, row, registers));
    REFUSE_UNLESS(row->q != NULL && row->k != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(check_head_dim(&model->config, row->head_dim));
    RETURN_IF_REFUSED(check_codes(row->q, row->head_dim, model->config.q_bits));
    RETURN_IF_REFUSED(check_codes(row->k, row->tokens * row->head_dim, model->config.k_bits));
    for (size_t j = 0; j < row->tokens; j++) {
        const uint8_t *key = row->k + j * row->head_dim;
        registers->score[j] = score_of_key(params, row->head_dim, row->q, key);
    }
    return run_from_scores(model, params, row, registers);
}

/** The row from unit 2 on: `scores` has row->tokens scores; row->q, row->k and row->head_dim are
 * not looked at. `scores` may be registers->score itself. */
bl2_status bl2_attention_row_from_scores(const bl2_model *model, const bl2_params *params,
                                         const bl2_row *row, const int32_t *scores,
                                         bl2_registers *registers)
{
    RETURN_IF_REFUSED(check_row(model, params, row, registers));
    REFUSE_UNLESS(scores != NULL, BL2_NULL_POINTER);
    for (size_t j = 0; j < row->tokens; j++) {
        RETURN_IF_REFUSED(check_score(&model->config, scores[j]));
    }
    for (size_t j = 0; j < row->tokens; j++) {
        registers->score[j] = scores[j];
    }
    return run_from_scores(model, params, row, registers);
}

/* ==== section 10: the units of the network ==== */

/* ---- configuration, BL2-NET-03 to -05; widths ---- */

/* BL2-NET-03. */
static bl2_status check_network_choices(const bl2_network_config *c)
{
    REFUSE_UNLESS(IN_RANGE(c->a_bits, NETWORK_A_BITS), BL2_BAD_LAYER_BITS);
    REFUSE_UNLESS(IN_RANGE(c->w_bits, NETWORK_W_BITS), BL2_BAD_LAYER_BITS);
    REFUSE_UNLESS(IN_RANGE(c->outer_bits, NETWORK_OUTER_BITS), BL2_BAD_LAYER_BITS);
    REFUSE_UNLESS(IN_RANGE(c->pixel_bits, NETWORK_PIXEL_BITS), BL2_BAD_PIXEL_BITS);
    REFUSE_UNLESS(IN_RANGE(c->max_channels, NETWORK_MAX_CHANNELS), BL2_BAD_MAX_CHANNELS);
    REFUSE_UNLESS(IN_RANGE(c->max_inputs, NETWORK_MAX_INPUTS), BL2_BAD_MAX_INPUTS);
    REFUSE_UNLESS(IN_RANGE(c->max_tokens, NETWORK_MAX_TOKENS), BL2_BAD_MAX_TOKENS);
    REFUSE_UNLESS(IN_RANGE(c->stream_bits, NETWORK_STREAM_BITS), BL2_BAD_STREAM_BITS);
    REFUSE_UNLESS(IN_RANGE(c->z_fraction_bits, NETWORK_Z_FRACTION_BITS), BL2_BAD_Z_FRACTION_BITS);
    REFUSE_UNLESS(IN_RANGE(c->root_bits, NETWORK_ROOT_BITS), BL2_BAD_ROOT_BITS);
    REFUSE_UNLESS(IN_RANGE(c->gain_bits, NETWORK_GAIN_BITS), BL2_BAD_GAIN_BITS);
    REFUSE_UNLESS(IN_RANGE(c->max_gain_shift, NETWORK_MAX_GAIN_SHIFT), BL2_BAD_MAX_GAIN_SHIFT);
    REFUSE_UNLESS(IN_RANGE(c->offset_bits, NETWORK_OFFSET_BITS), BL2_BAD_OFFSET_BITS);
    REFUSE_UNLESS(IN_RANGE(c->eps_bits, NETWORK_EPS_BITS), BL2_BAD_EPS_BITS);
    REFUSE_UNLESS(IN_RANGE(c->bias_bits, NETWORK_BIAS_BITS), BL2_BAD_BIAS_BITS);
    REFUSE_UNLESS(IN_RANGE(c->m_bits, NETWORK_M_BITS), BL2_BAD_M_BITS);
    REFUSE_UNLESS(IN_RANGE(c->max_n, NETWORK_MAX_N), BL2_BAD_MAX_N);
    REFUSE_UNLESS(IN_RANGE(c->u_bits, NETWORK_U_BITS), BL2_BAD_U_BITS);
    REFUSE_UNLESS(IN_RANGE(c->mean_bits, NETWORK_MEAN_BITS), BL2_BAD_MEAN_BITS);
    return BL2_OK;
}

static int32_t wider(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

/* c of the table of widths: bits of the widest codes between layers. */
static int32_t code_bits(const bl2_network_config *c)
{
    return wider(c->a_bits, c->outer_bits);
}

/* T of the table of widths. */
static int64_t largest_term(const bl2_network_config *c)
{
    const int64_t inner = largest_code(c->a_bits) * largest_code(c->w_bits);
    const int64_t outer = largest_code(c->outer_bits) * largest_code(c->outer_bits);
    return inner > outer ? inner : outer;
}

/* floor(sqrt(u)), u < 2^62, by Newton's iteration: from above it falls until it is there. */
static uint64_t integer_root(uint64_t u)
{
    uint64_t root = (uint64_t)1 << ((bit_length(u) + 1) / 2);
    uint64_t next = u == 0 ? 0 : (root + u / root) / 2;
    while (0 < next && next < root) {
        root = next;
        next = (root + u / root) / 2;
    }
    return u == 0 ? 0 : root;
}

/* BL2-NORM-06. */
static int64_t z_bound(const bl2_network_config *c)
{
    const uint64_t channels = (uint64_t)c->max_channels - 1;
    const int64_t root = (int64_t)integer_root(channels << (2 * c->z_fraction_bits)) + 1;
    return root + (root >> (c->root_bits - 1)) + 1;
}

/* BL2-NORM-03. Below 2^63, since the width of square_product was checked. */
static int64_t variance_bound(const bl2_network_config *c)
{
    const int64_t pairs = (int64_t)c->max_channels * c->max_channels / 4;
    const int64_t distance = largest_code(c->stream_bits);
    return pairs * distance * distance + largest_code(c->eps_bits);
}

/* The bits of a signed product of a gain with its offset and its rounding constant. */
static int32_t affine_bits(int64_t largest, const bl2_network_config *c, int32_t max_shift)
{
    const int64_t offset = largest_code(c->offset_bits - 1);
    return signed_bits(largest + offset + (((int64_t)1 << max_shift) >> 1));
}

/* Of C^2 * 2^(2 * stream_bits - 2), which may pass 2^63: the register of C * Q. */
static int32_t square_product_bits(const bl2_network_config *c)
{
    return unsigned_bits((int64_t)c->max_channels * c->max_channels) + 2 * c->stream_bits - 2;
}

/* Widths of units 21 to 24, 29, 31 and 32, which start from a pixel or a linear_acc. */
static void set_linear_widths(const bl2_network_config *c, int64_t acc, bl2_network_widths *w)
{
    const int64_t product = product_bound(acc, c->m_bits, c->max_n);
    const int64_t image = largest_code(c->pixel_bits) * largest_code(c->m_bits);
    w->image_product = affine_bits(image, c, c->max_n);
    w->image_code = c->outer_bits;
    w->linear_acc = signed_bits(acc);
    w->linear_product = signed_bits(product);
    w->residual_product = w->linear_product;
    w->activation_product = w->linear_product;
    w->head_product = w->linear_product;
    w->linear_code = code_bits(c);
    w->activation_code = code_bits(c);
    w->residual_sum = signed_bits(product + ((int64_t)1 << (c->stream_bits - 1)));
    w->residual = c->stream_bits;
    w->u = c->u_bits;
    w->gate = c->u_bits + 2;
    w->gate_product = signed_bits(product_bound(
        largest_code(c->u_bits + 1) << (c->stream_bits - 1), c->m_bits, c->max_n));
    w->gate_code = code_bits(c);
    w->logit = 32;
}

/* Widths of units 25 to 28, from those of the network's bounds. */
static void set_norm_widths(const bl2_network *network, bl2_network_widths *w)
{
    const bl2_network_config *c = &network->config;
    const int32_t k = network->largest_root_shift;
    const int32_t shift = wider(0, 2 * c->root_bits - 1 + k - c->z_fraction_bits);
    const int64_t centred = (c->max_channels - 1) * largest_code(c->stream_bits);
    const int64_t norm = (centred << c->root_bits) + (((int64_t)1 << shift) >> 1);
    w->stream_sum = signed_bits((int64_t)c->max_channels << (c->stream_bits - 1));
    w->square_sum = unsigned_bits(c->max_channels) + 2 * c->stream_bits - 2;
    w->square_product = square_product_bits(c);
    w->variance = unsigned_bits(network->variance);
    w->root_shift = signed_bits(wider(c->root_bits - 1, k));
    w->root_argument = 2 * c->root_bits;
    w->root = c->root_bits;
    w->reciprocal = c->root_bits + 1;
    w->centred = signed_bits(centred);
    w->norm_product = signed_bits(norm);
    w->z = signed_bits(network->z);
    w->gain_product =
        affine_bits(network->z * largest_code(c->gain_bits - 1), c, c->max_gain_shift);
    w->norm_code = code_bits(c);
    w->stream_norm = c->stream_bits;
}

/* Widths of unit 30. mean_product may pass 2^63 by less than 2^48: unsigned numbers hold it. */
static void set_mean_widths(const bl2_network *network, bl2_network_widths *w)
{
    const bl2_network_config *c = &network->config;
    const uint64_t product = (uint64_t)network->mean_sum * (uint64_t)largest_code(c->m_bits);
    w->mean_term_product = w->gain_product;
    w->mean_term = c->mean_bits;
    w->mean_sum = signed_bits(network->mean_sum);
    w->mean_product = bit_length(product + (((uint64_t)1 << c->max_n) >> 1)) + 1;
    w->mean_code = code_bits(c);
    w->stream_mean = c->stream_bits;
}

/* BL2-NET-04. The registers that are left out are never wider than one of these. */
static bl2_status check_network_widths(const bl2_network_widths *w)
{
    const int32_t widths[] = {w->image_product, w->residual_sum, w->variance,
                              w->norm_product,  w->gain_product, w->mean_product};
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        REFUSE_UNLESS(widths[i] <= 62, BL2_REGISTER_TOO_WIDE);
    }
    return BL2_OK;
}

/** BL2-NET-03 to -05: checks the configuration of the network and derives widths and bounds. */
bl2_status bl2_network_init(bl2_network *network, const bl2_network_config *config)
{
    bl2_network made;
    const bl2_network_config *c = &made.config;
    REFUSE_UNLESS(network != NULL && config != NULL, BL2_NULL_POINTER);
    made.config = *config;
    RETURN_IF_REFUSED(check_network_choices(c));
    REFUSE_UNLESS(c->z_fraction_bits <= c->root_bits, BL2_Z_FINER_THAN_ROOT);
    made.linear_acc = c->max_inputs * largest_term(c) + largest_code(c->bias_bits - 1);
    REFUSE_UNLESS(made.linear_acc <= INT32_MAX, BL2_LINEAR_ACC_TOO_WIDE);
    REFUSE_UNLESS(square_product_bits(c) <= 62, BL2_REGISTER_TOO_WIDE);
    made.variance = variance_bound(c);
    made.largest_root_shift = (lod((uint64_t)made.variance) >> 1) - (c->root_bits - 1);
    made.z = z_bound(c);
    made.mean_sum = (int64_t)c->max_tokens << (wider(c->mean_bits, c->stream_bits) - 1);
    set_linear_widths(c, made.linear_acc, &made.widths);
    set_norm_widths(&made, &made.widths);
    set_mean_widths(&made, &made.widths);
    RETURN_IF_REFUSED(check_network_widths(&made.widths));
    *network = made;
    return BL2_OK;
}

/** The default configuration of the network, section 10. */
bl2_network_config bl2_default_network_config(void)
{
    const bl2_network_config config = {
        4, 4, 8, 8,         /* bits of codes, weights, both at the ends, pixels */
        4096, 8192, 1024,   /* largest C, K, N */
        16, 10, 16,         /* W_r, Z, B */
        17, 30, 40, 40, 30, /* G, its shift, H, EPS, B of a linear layer */
        16, 36, 10, 20,     /* M, n, u, p of a mean */
    };
    return config;
}

/* ---- parameters of a layer, BL2-NET-07 ---- */

/* SAT to a signed register. */
static int64_t sat_signed(int64_t x, int32_t bits)
{
    const int64_t half = (int64_t)1 << (bits - 1);
    return sat(x, -half, half - 1);
}

static int is_signed(int64_t x, int32_t bits)
{
    return sat_signed(x, bits) == x;
}

/* A signed parameter, which does not take the smallest value of its width. */
static int is_parameter(int64_t x, int32_t bits)
{
    return within(x, -largest_code(bits - 1), largest_code(bits - 1));
}

/* The whole product, rounded once. The registers of products hold it in 62 bits. */
static int64_t scaled(int64_t x, const bl2_scale *scale)
{
    return rnd(x * scale->m, scale->n);
}

/* Product and offset, rounded once together. */
static int64_t affine_of(int64_t x, const bl2_affine *affine)
{
    return rnd(x * affine->gain + affine->offset, affine->shift);
}

static bl2_status check_scale(const bl2_network *network, const bl2_scale *scale, int64_t least_m)
{
    REFUSE_UNLESS(network != NULL && scale != NULL, BL2_NULL_POINTER);
    REFUSE_UNLESS(within(scale->m, least_m, largest_code(network->config.m_bits)), BL2_BAD_M);
    REFUSE_UNLESS(within(scale->n, 0, network->config.max_n), BL2_BAD_N);
    return BL2_OK;
}

/* Of units 28 and 30; the limits of unit 21 are those of M and n. */
static bl2_status check_affine(const bl2_network *network, const bl2_affine *affine)
{
    REFUSE_UNLESS(network != NULL && affine != NULL, BL2_NULL_POINTER);
    REFUSE_UNLESS(is_parameter(affine->gain, network->config.gain_bits), BL2_BAD_GAIN);
    REFUSE_UNLESS(is_parameter(affine->offset, network->config.offset_bits), BL2_BAD_OFFSET);
    REFUSE_UNLESS(within(affine->shift, 0, network->config.max_gain_shift), BL2_BAD_GAIN_SHIFT);
    return BL2_OK;
}

static bl2_status check_y_bits(const bl2_network *network, int32_t y_bits)
{
    REFUSE_UNLESS(within(y_bits, 2, code_bits(&network->config)), BL2_BAD_Y_BITS);
    return BL2_OK;
}

static bl2_status check_linear_acc(const bl2_network *network, int32_t acc)
{
    REFUSE_UNLESS(within(acc, -network->linear_acc, network->linear_acc), BL2_BAD_LINEAR_ACC);
    return BL2_OK;
}

static bl2_status check_z(const bl2_network *network, int64_t z)
{
    REFUSE_UNLESS(within(z, -network->z, network->z), BL2_BAD_Z);
    return BL2_OK;
}

static bl2_status check_mean_total(const bl2_network *network, int64_t total)
{
    REFUSE_UNLESS(within(total, -network->mean_sum, network->mean_sum), BL2_BAD_MEAN_SUM);
    return BL2_OK;
}

/* ---- unit 21, image requantizer, BL2-IMAGE-01 ---- */

/** Unit 21: the code of a pixel; G from 1 to 2^m_bits - 1, n to max_n. */
bl2_status bl2_image_requantizer(const bl2_network *network, const bl2_affine *affine,
                                 uint32_t pixel, uint8_t *code)
{
    REFUSE_UNLESS(network != NULL && affine != NULL && code != NULL, BL2_NULL_POINTER);
    const bl2_network_config *c = &network->config;
    REFUSE_UNLESS(within(affine->gain, 1, largest_code(c->m_bits)), BL2_BAD_GAIN);
    REFUSE_UNLESS(is_parameter(affine->offset, c->offset_bits), BL2_BAD_OFFSET);
    REFUSE_UNLESS(within(affine->shift, 0, c->max_n), BL2_BAD_GAIN_SHIFT);
    REFUSE_UNLESS(within(pixel, 0, largest_code(c->pixel_bits)), BL2_BAD_PIXEL);
    *code = (uint8_t)sat(affine_of(pixel, affine), 0, largest_code(c->outer_bits));
    return BL2_OK;
}

/* ---- unit 22, linear accumulator ---- */

static bl2_status check_linear(const bl2_network *network, const bl2_linear *linear)
{
    REFUSE_UNLESS(network != NULL && linear != NULL, BL2_NULL_POINTER);
    const size_t largest = (size_t)network->config.max_inputs;
    const int32_t bits = linear->is_outer ? network->config.outer_bits : network->config.a_bits;
    REFUSE_UNLESS(1 <= linear->inputs && linear->inputs <= largest, BL2_BAD_INPUTS);
    REFUSE_UNLESS(is_code(linear->zx, bits), BL2_BAD_ZERO_POINT);
    return BL2_OK;
}

/** Unit 22: A of one output channel; x and w have linear->inputs codes and weights. */
bl2_status bl2_linear_accumulator(const bl2_network *network, const bl2_linear *linear,
                                  const uint8_t *x, const int16_t *w, int32_t bias, int32_t *acc)
{
    REFUSE_UNLESS(x != NULL && w != NULL && acc != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(check_linear(network, linear));
    const bl2_network_config *c = &network->config;
    const int64_t largest = largest_code(linear->is_outer ? c->outer_bits : c->w_bits);
    REFUSE_UNLESS(is_parameter(bias, c->bias_bits), BL2_BAD_LINEAR_BIAS);
    RETURN_IF_REFUSED(
        check_codes(x, linear->inputs, linear->is_outer ? c->outer_bits : c->a_bits));
    int64_t sum = bias; /* BL2-LINEAR-01 */
    for (size_t i = 0; i < linear->inputs; i++) {
        REFUSE_UNLESS(within(w[i], -largest, largest), BL2_BAD_WEIGHT);
        sum += (int64_t)(x[i] - linear->zx) * w[i];
    }
    *acc = (int32_t)sum; /* BL2-LINEAR-02 */
    return BL2_OK;
}

/* ---- unit 23, linear requantizer, BL2-LINREQ-01 ---- */

/** Unit 23: a code of y_bits bits with its zero point. */
bl2_status bl2_linear_requantizer(const bl2_network *network, const bl2_scale *scale, int32_t zero,
                                  int32_t y_bits, int32_t acc, uint8_t *code)
{
    REFUSE_UNLESS(code != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(check_scale(network, scale, 1));
    RETURN_IF_REFUSED(check_y_bits(network, y_bits));
    REFUSE_UNLESS(is_code(zero, y_bits), BL2_BAD_ZERO_POINT);
    RETURN_IF_REFUSED(check_linear_acc(network, acc));
    *code = (uint8_t)sat(scaled(acc, scale) + zero, 0, largest_code(y_bits));
    return BL2_OK;
}

/* ---- unit 24, residual adder, BL2-RESID-01 to -03 ---- */

/** Unit 24: the sum in front of the saturation, and what the stream holds of it: a value that
 * saturated is one with residual other than sum. M may be 0. */
bl2_status bl2_residual_adder(const bl2_network *network, const bl2_scale *scale, int32_t acc,
                              int32_t x, int64_t *sum, int32_t *residual)
{
    REFUSE_UNLESS(sum != NULL && residual != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(check_scale(network, scale, 0));
    RETURN_IF_REFUSED(check_linear_acc(network, acc));
    REFUSE_UNLESS(is_signed(x, network->config.stream_bits), BL2_BAD_STREAM);
    *sum = x + scaled(acc, scale);
    *residual = (int32_t)sat_signed(*sum, network->config.stream_bits);
    return BL2_OK;
}

/* ---- unit 25, norm sums, BL2-NORM-01 to -03 ---- */

static bl2_status check_norm_channels(const bl2_network *network, size_t channels)
{
    const size_t largest = (size_t)network->config.max_channels;
    REFUSE_UNLESS(1 <= channels && channels <= largest, BL2_BAD_NORM_CHANNELS);
    return BL2_OK;
}

/** Unit 25: S, Q and V of a token of `channels` values. */
bl2_status bl2_norm_sums(const bl2_network *network, size_t channels, const int32_t *x,
                         uint64_t eps, int64_t *sum, uint64_t *squares, uint64_t *variance)
{
    REFUSE_UNLESS(network != NULL && x != NULL, BL2_NULL_POINTER);
    REFUSE_UNLESS(sum != NULL && squares != NULL && variance != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(check_norm_channels(network, channels));
    REFUSE_UNLESS(1 <= eps && eps <= (uint64_t)largest_code(network->config.eps_bits),
                  BL2_BAD_EPS);
    int64_t total = 0;
    int64_t total_of_squares = 0;
    for (size_t i = 0; i < channels; i++) {
        REFUSE_UNLESS(is_signed(x[i], network->config.stream_bits), BL2_BAD_STREAM);
        total += x[i];
        total_of_squares += (int64_t)x[i] * x[i];
    }
    *sum = total;
    *squares = (uint64_t)total_of_squares;
    *variance = (uint64_t)((int64_t)channels * total_of_squares - total * total) + eps;
    return BL2_OK;
}

/* ---- unit 26, reciprocal root, BL2-ROOT-01 to -03 ---- */

/** Unit 26: k, the integer root of V moved by 2k places, and the floor of its reciprocal. */
bl2_status bl2_reciprocal_root(const bl2_network *network, uint64_t variance, int32_t *root_shift,
                               uint32_t *root, uint32_t *reciprocal)
{
    REFUSE_UNLESS(network != NULL, BL2_NULL_POINTER);
    REFUSE_UNLESS(root_shift != NULL && root != NULL && reciprocal != NULL, BL2_NULL_POINTER);
    REFUSE_UNLESS(1 <= variance && variance <= (uint64_t)network->variance, BL2_BAD_VARIANCE);
    const int32_t bits = network->config.root_bits;
    const int32_t k = (lod(variance) >> 1) - (bits - 1);
    const uint64_t u = k >= 0 ? variance >> (2 * k) : variance << (-2 * k);
    const uint64_t found = integer_root(u);
    *root_shift = k;
    *root = (uint32_t)found;
    *reciprocal = (uint32_t)(((uint64_t)1 << (2 * bits - 1)) / found);
    return BL2_OK;
}

/* ---- unit 27, normalizer, BL2-NORM-04 to -06 ---- */

static bl2_status check_root(const bl2_network *network, int32_t root_shift, uint32_t reciprocal)
{
    const int32_t bits = network->config.root_bits;
    const int64_t half = (int64_t)1 << (bits - 1);
    REFUSE_UNLESS(within(root_shift, 1 - bits, network->largest_root_shift), BL2_BAD_ROOT_SHIFT);
    REFUSE_UNLESS(within(reciprocal, half, 2 * half), BL2_BAD_RECIPROCAL);
    return BL2_OK;
}

/** Unit 27: N of a channel, and z, from S of unit 25 and k and r of unit 26. */
bl2_status bl2_normalizer(const bl2_network *network, size_t channels, int32_t x, int64_t sum,
                          int32_t root_shift, uint32_t reciprocal, int64_t *centred, int32_t *z)
{
    REFUSE_UNLESS(network != NULL && centred != NULL && z != NULL, BL2_NULL_POINTER);
    const bl2_network_config *c = &network->config;
    RETURN_IF_REFUSED(check_norm_channels(network, channels));
    RETURN_IF_REFUSED(check_root(network, root_shift, reciprocal));
    REFUSE_UNLESS(is_signed(x, c->stream_bits), BL2_BAD_STREAM);
    const int64_t count = (int64_t)channels;
    const int64_t most = count << (c->stream_bits - 1);
    const int64_t apart = (count - 1) * largest_code(c->stream_bits);
    REFUSE_UNLESS(within(sum, -most, most), BL2_BAD_STREAM_SUM);
    const int64_t n = count * x - sum;
    REFUSE_UNLESS(within(n, -apart, apart), BL2_BAD_STREAM_SUM);
    const int64_t found =
        rnd(n * reciprocal, 2 * c->root_bits - 1 + root_shift - c->z_fraction_bits);
    RETURN_IF_REFUSED(check_z(network, found));
    *centred = n;
    *z = (int32_t)found;
    return BL2_OK;
}

/* ---- unit 28, norm requantizer ---- */

/** Unit 28: a code of y_bits bits, BL2-NORMREQ-01. */
bl2_status bl2_norm_requantizer(const bl2_network *network, const bl2_affine *affine,
                                int32_t y_bits, int32_t z, uint8_t *code)
{
    REFUSE_UNLESS(code != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(check_affine(network, affine));
    RETURN_IF_REFUSED(check_y_bits(network, y_bits));
    RETURN_IF_REFUSED(check_z(network, z));
    *code = (uint8_t)sat(affine_of(z, affine), 0, largest_code(y_bits));
    return BL2_OK;
}

/** Unit 28 behind the patch embedding: a value of the stream, BL2-NORMREQ-02. */
bl2_status bl2_stream_norm(const bl2_network *network, const bl2_affine *affine, int32_t z,
                           int32_t *x)
{
    REFUSE_UNLESS(x != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(check_affine(network, affine));
    RETURN_IF_REFUSED(check_z(network, z));
    *x = (int32_t)sat_signed(affine_of(z, affine), network->config.stream_bits);
    return BL2_OK;
}

/* ---- unit 29, activation ---- */

/** Unit 29: u, BL2-ACT-01. */
bl2_status bl2_activation_input(const bl2_network *network, const bl2_scale *scale, int32_t acc,
                                int32_t *u)
{
    REFUSE_UNLESS(u != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(check_scale(network, scale, 1));
    RETURN_IF_REFUSED(check_linear_acc(network, acc));
    *u = (int32_t)sat_signed(scaled(acc, scale), network->config.u_bits);
    return BL2_OK;
}

/** Unit 29: T[u], BL2-ACT-02; `table` has 2^u_bits codes, from the smallest u to the largest. Of
 * them the one that is given is checked. */
bl2_status bl2_activation(const bl2_network *network, const uint8_t *table, int32_t u,
                          uint8_t *code)
{
    REFUSE_UNLESS(network != NULL && table != NULL && code != NULL, BL2_NULL_POINTER);
    const bl2_network_config *c = &network->config;
    REFUSE_UNLESS(is_signed(u, c->u_bits), BL2_BAD_U);
    const uint8_t found = table[u + ((int32_t)1 << (c->u_bits - 1))];
    REFUSE_UNLESS(is_code(found, code_bits(c)), BL2_BAD_CODE);
    *code = found;
    return BL2_OK;
}

/* ---- unit 32, gate ---- */

/* g is two bits wider than u, and has no smallest value of its width. */
static int is_gate(int32_t gate, const bl2_network_config *c)
{
    return is_parameter(gate, c->u_bits + 2);
}

/** Unit 32: T[u], BL2-GATE-01; `table` has 2^u_bits numbers, from the smallest u to the largest. Of
 * them the one that is given is checked. */
bl2_status bl2_gate(const bl2_network *network, const int16_t *table, int32_t u, int32_t *gate)
{
    REFUSE_UNLESS(network != NULL && table != NULL && gate != NULL, BL2_NULL_POINTER);
    const bl2_network_config *c = &network->config;
    REFUSE_UNLESS(is_signed(u, c->u_bits), BL2_BAD_U);
    const int16_t found = table[u + ((int32_t)1 << (c->u_bits - 1))];
    REFUSE_UNLESS(is_gate(found, c), BL2_BAD_GATE);
    *gate = found;
    return BL2_OK;
}

/** Unit 32: a code of y_bits bits of g times x, with its zero point, BL2-GATE-02. */
bl2_status bl2_gate_code(const bl2_network *network, const bl2_scale *scale, int32_t zero,
                         int32_t y_bits, int32_t gate, int32_t x, uint8_t *code)
{
    REFUSE_UNLESS(code != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(check_scale(network, scale, 1));
    RETURN_IF_REFUSED(check_y_bits(network, y_bits));
    REFUSE_UNLESS(is_code(zero, y_bits), BL2_BAD_ZERO_POINT);
    REFUSE_UNLESS(is_gate(gate, &network->config), BL2_BAD_GATE);
    REFUSE_UNLESS(is_signed(x, network->config.stream_bits), BL2_BAD_STREAM);
    const int64_t y = scaled((int64_t)gate * x, scale) + zero;
    *code = (uint8_t)sat(y, 0, largest_code(y_bits));
    return BL2_OK;
}

/* ---- unit 30, token mean ---- */

/** Unit 30: p of a normalized channel, BL2-MEAN-01. */
bl2_status bl2_mean_term(const bl2_network *network, const bl2_affine *affine, int32_t z,
                         int32_t *term)
{
    REFUSE_UNLESS(term != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(check_affine(network, affine));
    RETURN_IF_REFUSED(check_z(network, z));
    *term = (int32_t)sat_signed(affine_of(z, affine), network->config.mean_bits);
    return BL2_OK;
}

/** Unit 30: P of one channel, BL2-MEAN-02: the sum of p, or of the stream itself. Token t's value
 * is term[t * stride]. */
bl2_status bl2_mean_sum(const bl2_network *network, size_t tokens, const int32_t *term,
                        size_t stride, int64_t *total)
{
    REFUSE_UNLESS(network != NULL && term != NULL && total != NULL, BL2_NULL_POINTER);
    const bl2_network_config *c = &network->config;
    const int32_t bits = wider(c->mean_bits, c->stream_bits);
    int64_t sum = 0;
    REFUSE_UNLESS(1 <= tokens && tokens <= (size_t)c->max_tokens, BL2_BAD_MEAN_TOKENS);
    for (size_t t = 0; t < tokens; t++) {
        REFUSE_UNLESS(is_signed(term[t * stride], bits), BL2_BAD_TERM);
        sum += term[t * stride];
    }
    *total = sum;
    return BL2_OK;
}

/** Unit 30: the mean as a code of y_bits bits, BL2-MEAN-03. */
bl2_status bl2_mean_code(const bl2_network *network, const bl2_scale *scale, int32_t y_bits,
                         int64_t total, uint8_t *code)
{
    REFUSE_UNLESS(code != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(check_scale(network, scale, 1));
    RETURN_IF_REFUSED(check_y_bits(network, y_bits));
    RETURN_IF_REFUSED(check_mean_total(network, total));
    *code = (uint8_t)sat(scaled(total, scale), 0, largest_code(y_bits));
    return BL2_OK;
}

/** Unit 30: the mean of the stream as a value of the stream, BL2-MEAN-04. */
bl2_status bl2_stream_mean(const bl2_network *network, const bl2_scale *scale, int64_t total,
                           int32_t *mean)
{
    REFUSE_UNLESS(mean != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(check_scale(network, scale, 1));
    RETURN_IF_REFUSED(check_mean_total(network, total));
    *mean = (int32_t)sat_signed(scaled(total, scale), network->config.stream_bits);
    return BL2_OK;
}

/* ---- unit 31, head ---- */

/* A logit has no smallest value of its width. */
static bl2_status check_logit(int64_t logit)
{
    REFUSE_UNLESS(within(logit, -INT32_MAX, INT32_MAX), BL2_LOGIT_TOO_LARGE);
    return BL2_OK;
}

/** BL2-HEAD-02: does a class of `inputs` inputs, with this bias, multiplier and shift, fit? Of a head
 * alone. */
bl2_status bl2_check_head(const bl2_network *network, const bl2_scale *scale, size_t inputs,
                          int32_t bias)
{
    RETURN_IF_REFUSED(check_scale(network, scale, 1));
    const bl2_network_config *c = &network->config;
    REFUSE_UNLESS(1 <= inputs && inputs <= (size_t)c->max_inputs, BL2_BAD_INPUTS);
    REFUSE_UNLESS(is_parameter(bias, c->bias_bits), BL2_BAD_LINEAR_BIAS);
    const int64_t largest = (int64_t)inputs * largest_term(c) + (bias < 0 ? -bias : bias);
    return check_logit(scaled(largest, scale));
}

/** Unit 31: a logit, BL2-HEAD-01 and -04; `before` is that of the head in front, 0 without one. */
bl2_status bl2_head(const bl2_network *network, const bl2_scale *scale, int32_t acc,
                    int32_t before, int32_t *logit)
{
    REFUSE_UNLESS(logit != NULL, BL2_NULL_POINTER);
    RETURN_IF_REFUSED(check_scale(network, scale, 1));
    RETURN_IF_REFUSED(check_linear_acc(network, acc));
    RETURN_IF_REFUSED(check_logit(before));
    const int64_t found = before + scaled(acc, scale);
    RETURN_IF_REFUSED(check_logit(found));
    *logit = (int32_t)found;
    return BL2_OK;
}

/** BL2-HEAD-03: the class of the largest logit, of equal ones the lowest. */
bl2_status bl2_prediction(size_t classes, const int32_t *logit, size_t *prediction)
{
    REFUSE_UNLESS(logit != NULL && prediction != NULL, BL2_NULL_POINTER);
    REFUSE_UNLESS(classes >= 1, BL2_BAD_CLASSES);
    size_t best = 0;
    for (size_t i = 1; i < classes; i++) {
        best = logit[i] > logit[best] ? i : best;
    }
    *prediction = best;
    return BL2_OK;
}

/* ---- texts ---- */

/** The status as a sentence, for any value. Never null. */
const char *bl2_status_text(bl2_status status)
{
    static const char *const texts[BL2_STATUS_COUNT] = {
        "ok",
        "a pointer is null",
        "scheme is not one of bl2_scheme",
        "q_bits, k_bits, v_bits and o_bits must be from 2 to 8",
        "max_head_dim must be from 1 to 1024",
        "max_tokens must be from 1 to 65536",
        "fraction_bits must be from 1 to 8",
        "table_bits must be from 4 to 20",
        "distance_int_bits must be from 2 to 6",
        "m_bits must be from 4 to 24",
        "max_n must be from 0 to 48",
        "m2_bits must be from 4 to 24",
        "max_n2 must be from 0 to 48",
        "t_bits must be from 8 to 24",
        "a pinned width does not hold the register's bound",
        "a pinned width is more than 62 bits",
        "m must be from 1 to 2^m_bits - 1, from 0 in the residual adder",
        "n must be from 0 to max_n",
        "m2 must be from 1 to 2^m2_bits - 1",
        "n2 must be from 0 to max_n2, in a layer of RowMax to max_n2 - lod(max_tokens * A)",
        "a zero point is not a code of its tensor",
        "the number of keys must be from 1 to max_tokens",
        "the head dimension must be from 1 to max_head_dim",
        "the number of output channels must be at least 1",
        "a code is wider than its tensor",
        "a mask byte must be 0 or 1",
        "a bias is outside the range of t",
        "every key of the row is masked",
        "a score is beyond the bound of the score register",
        "a t is outside its range, or above the row max",
        "a distance is above d_max",
        "an e is above 2^P or above the row sum",
        "the row sum must be from 1 to max_tokens * 2^P",
        "the level is above the top level of the scheme",
        "nibble and flag are no code of the scheme",
        "acc is beyond its bound: no row has these levels",
        "an array is shorter than the row",
        "out of memory",
        "the scheme's datapath lacks this unit",
        "a width is pinned of a register that the scheme's datapath lacks",
        "max_n2 leaves no n2 for a layer: a row adds up to lod(max_tokens * A)",
        "acc would need more than 32 bits: max_tokens is too large for v_bits",
        "the weight sum must be from A to max_tokens * A",
        "a_bits, w_bits and outer_bits must be from 2 to 8",
        "pixel_bits must be from 1 to 16",
        "max_channels must be from 1 to 16384",
        "max_inputs must be from 1 to 65536",
        "stream_bits must be from 8 to 24",
        "z_fraction_bits must be from 0 to 16",
        "root_bits must be from 4 to 24",
        "gain_bits must be from 4 to 24",
        "max_gain_shift must be from 0 to 48",
        "offset_bits must be from 8 to 52",
        "eps_bits must be from 1 to 48",
        "bias_bits must be from 8 to 31",
        "u_bits must be from 4 to 12",
        "mean_bits must be from 8 to 24",
        "z_fraction_bits must be at most root_bits",
        "linear_acc would need more than 32 bits: max_inputs is too large",
        "a register of the network would need more than 62 bits",
        "a gain must be within its width: from 1 in unit 21, of either sign elsewhere",
        "the magnitude of an offset must be at most 2^(offset_bits - 1) - 1",
        "the shift behind a gain must be from 0 to max_gain_shift, in unit 21 to max_n",
        "eps must be from 1 to 2^eps_bits - 1",
        "the magnitude of a bias of a linear layer must be at most 2^(bias_bits - 1) - 1",
        "the bits of a layer's codes must be from 2 to the larger of a_bits and outer_bits",
        "the number of inputs must be from 1 to max_inputs",
        "a logit would need more than 32 bits",
        "a pixel must be from 0 to 2^pixel_bits - 1",
        "a weight must be from -(2^b - 1) to 2^b - 1 of its b bits",
        "a linear_acc is beyond its bound",
        "a value of the residual stream is outside its range",
        "the number of channels must be from 1 to max_channels",
        "no token of these channels has this sum",
        "a variance must be from 1 to its bound",
        "a root shift must be from -(root_bits - 1) to that of the largest variance",
        "a reciprocal must be from 2^(root_bits - 1) to 2^root_bits",
        "a z is beyond its bound: no token has it",
        "a u is outside its range",
        "a term of a mean is outside its range",
        "the number of tokens must be from 1 to max_tokens",
        "the sum of a mean is beyond its bound",
        "the number of classes must be at least 1",
        "a gate is outside its range",
    };
    const unsigned index = (unsigned)status;
    return index < BL2_STATUS_COUNT ? texts[index] : "not a status of this library";
}
