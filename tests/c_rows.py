"""Rows for the C model: random cases, mutants of its source, and a program that runs rows."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from c_model import Case

from bitlog2.sim import KEY_REGISTERS, OUTPUT_REGISTERS, SCHEMES, AttentionConfig, LayerParams

_CODES = ("q", "k", "v", "o")
#: Text of bitlog2.c, what replaces it: each one error that hardware has had.
MUTANTS = {
    "truncation instead of rounding": ("trn(x + ((int64_t)1 << (n - 1)), n)", "trn(x, n)"),
    "a tie rounds down": ("trn(x + ((int64_t)1 << (n - 1)), n)", "trn(x + (1 << (n - 1)) - 1, n)"),
    "a negative tie rounds away from zero": (
        "return n == 0 ? x : trn(x +",
        "return n == 0 ? x : trn(x - (x < 0) +",
    ),
    "a shift toward zero": (
        "return x >= 0 ? x >> n : ~(~x >> n);",
        "return x / ((int64_t)1 << n);",
    ),
    "the zero point of k is missing": ("(k[d] - params->zk)", "k[d]"),
    "saturation before the bias": (
        "sat(rounded + bias, t_low(config), t_high(config))",
        "(sat(rounded, t_low(config), t_high(config)) + bias)",
    ),
    "t saturates one too low": (
        "1 << (config->t_bits - 1)) - 1;",
        "1 << (config->t_bits - 1)) - 2;",
    ),
    "a masked key takes part in the maximum": (
        "!is_masked(masked, j) && t[j] > largest",
        "t[j] > largest",
    ),
    "the distance does not saturate": (
        "sat((int64_t)row_max - t, 0, largest)",
        "((int64_t)row_max - t)",
    ),
    "a masked key has an e": ("if (masked || shift", "if (shift"),
    "the shift of exp2 ends one too soon": ("config.table_bits + 2", "config.table_bits + 1"),
    "table entries are cut off": ("power_bits(2 * middle - 1,", "power_bits(2 * middle,"),
    "the test for zero is missing": ("        return 0; /* E < s */", ""),
    "a threshold is not its own level": ("(x << shift) >= y :", "(x << shift) > y :"),
    "the half bit is compared at the wrong shift": ("facts.a - k + 1, 3 *", "facts.a - k, 3 *"),
    "the leading one is not corrected": ("        k -= 1;", ""),
    "the clamp to the top level is missing": (
        "(level < facts->top_level ? level : facts->top_level)",
        "(level)",
    ),
    "nibbles of 17 levels are not shifted": (
        "level > 0 ? level - 1 : level",
        "level > 0 ? level : 0",
    ),
    "16 levels have a flag": ("(has_flag(&facts) && level == 0)", "(level == 0)"),
    "the half bit adds too much": ("1 << (k - 1)) : 0", "1 << k) : 0"),
    "the output saturates before its zero point": (
        "sat(rounded + params->zo, 0, largest_code(model->config.o_bits))",
        "(sat(rounded, 0, largest_code(model->config.o_bits)) + params->zo)",
    ),
    "the output does not saturate": (
        "sat(rounded + params->zo, 0, largest_code(model->config.o_bits))",
        "(rounded + params->zo)",
    ),
}

#: Reads rows of integers from standard input, runs them in buffers of their exact size, prints
#: the status and the registers of each.
DRIVER = r"""
#include <stdio.h>
#include <stdlib.h>
#include "bitlog2.h"
static long next(void)
{
    long x = 0;
    if (scanf("%ld", &x) != 1) exit(3);
    return x;
}
static uint8_t *bytes(size_t n)
{
    uint8_t *made = malloc(n);
    for (size_t i = 0; i < n; i++) made[i] = (uint8_t)next();
    return made;
}
static int32_t *ints(size_t n)
{
    int32_t *made = malloc(n * sizeof *made);
    for (size_t i = 0; i < n; i++) made[i] = (int32_t)next();
    return made;
}
#define SHOW(array, n) for (size_t i = 0; i < (n); i++) printf("%ld ", (long)(array)[i])
int main(void)
{
    for (long rows = next(); rows > 0; rows--) {
        bl2_config *config = (bl2_config *)ints(sizeof *config / sizeof(int32_t));
        bl2_params *params = (bl2_params *)ints(sizeof *params / sizeof(int32_t));
        bl2_model *model = malloc(sizeof *model);
        size_t N = (size_t)next(), D = (size_t)next(), C = (size_t)next();
        uint8_t *q = bytes(D), *k = bytes(N * D), *v = bytes(N * C);
        uint8_t *masked = next() ? bytes(N) : NULL;
        int32_t *bias = next() ? ints(N) : NULL;
        bl2_row row = {N, D, C, q, k, v, masked, bias};
        bl2_registers r = {malloc(4 * N), malloc(4 * N), malloc(4 * N), malloc(4 * N), malloc(N),
                           malloc(N), malloc(N), malloc(4 * C), malloc(C), 0, 0};
        bl2_status status = bl2_model_init(model, config);
        if (status == BL2_OK) status = bl2_attention_row(model, params, &row, &r);
        printf("%d ", (int)status);
        if (status == BL2_OK) {
            SHOW(r.score, N); SHOW(r.t, N); SHOW(r.d, N); SHOW(r.e, N); SHOW(r.level, N);
            SHOW(r.nibble, N); SHOW(r.flag, N); SHOW(r.acc, C); SHOW(r.o, C);
            printf("%ld %lld", (long)r.row_max, (long long)r.row_sum);
        }
        printf("\n");
        void *all[] = {config, params, model, q, k, v, masked, bias, r.score, r.t, r.d, r.e,
                       r.level, r.nibble, r.flag, r.acc, r.o};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    }
    return 0;
}
"""


def random_config(rng: np.random.Generator, **fixed: Any) -> AttentionConfig:
    """A configuration with every free choice drawn from its whole range."""
    high = int(2.0 ** rng.uniform(0, 9))
    fields: dict[str, Any] = {
        "scheme": str(rng.choice(list(SCHEMES))),
        "max_head_dim": int(rng.integers(1, 65)),
        "max_tokens": int(rng.integers(1, high + 1)),
        "fraction_bits": int(rng.integers(1, 9)),
        "table_bits": int(rng.integers(4, 21)),
        "distance_int_bits": int(rng.integers(2, 7)),
        "m_bits": int(rng.integers(4, 25)),
        "max_n": int(rng.integers(0, 49)),
        "m2_bits": int(rng.integers(4, 25)),
        "max_n2": int(rng.integers(0, 49)),
        "t_bits": int(rng.integers(8, 25)),
    }
    fields |= {f"{name}_bits": int(rng.integers(2, 9)) for name in _CODES}
    return AttentionConfig(**fields | fixed)


def random_params(rng: np.random.Generator, config: AttentionConfig) -> LayerParams:
    """Multipliers and shifts that spread t over its range and the outputs over their codes."""

    def pair(bits: int, largest: int, bound: int, target: int) -> tuple[int, int]:
        m = int(rng.integers(1, 1 << int(rng.integers(1, bits + 1))))
        return m, min(max((bound * m).bit_length() - target, 0), largest)

    score, acc = (config.registers[name].bound for name in ("score", "acc"))
    m, n = pair(config.m_bits, config.max_n, score, int(rng.integers(3, config.t_bits + 3)))
    target = config.o_bits + int(rng.integers(-1, 4))
    m2, n2 = pair(config.m2_bits, config.max_n2, acc, target)
    limits = (1 << getattr(config, f"{name}_bits") for name in _CODES)
    zeros = [int(rng.choice([0, x - 1, rng.integers(x)])) for x in limits]
    return LayerParams(m, n, m2, n2, *zeros)


def random_codes(rng: np.random.Generator, bits: int, shape: tuple[int, ...]) -> np.ndarray:
    """Codes spread evenly, all at both ends, or of few values."""
    values = [np.arange(1 << bits), np.array([0, (1 << bits) - 1]), rng.integers(1 << bits, size=2)]
    return rng.choice(values[int(rng.choice(3, p=[0.6, 0.2, 0.2]))], shape).astype(np.uint8)


def random_case(rng: np.random.Generator, rows: int, **fixed: Any) -> Case:
    """A case of a random configuration; N and D are at their ends as often as not."""
    config = random_config(rng, **fixed)
    keys = int(rng.choice([1, config.max_tokens, rng.integers(1, config.max_tokens + 1)]))
    dim = int(rng.choice([1, config.max_head_dim, rng.integers(1, config.max_head_dim + 1)]))
    masked = bias = None
    if rng.random() < 0.6:
        masked = rng.random((rows, keys)) < rng.random()
        masked[np.arange(rows), rng.integers(keys, size=rows)] = False
    if rng.random() < 0.6:
        most = min(int(rng.choice([1, 1 << config.fraction_bits, 1 << 24])), config.t_max)
        bias = rng.integers(-most - 1, most + 1, (rows, keys))
    return Case(
        config,
        random_params(rng, config),
        random_codes(rng, config.q_bits, (rows, dim)),
        random_codes(rng, config.k_bits, (keys, dim)),
        random_codes(rng, config.v_bits, (keys, int(rng.integers(1, 6)))),
        masked,
        bias,
    )


def random_cases(seed: int, count: int, rows: int, **fixed: Any) -> Iterator[Case]:
    """`count` cases of `rows` rows each."""
    rng = np.random.default_rng(seed)
    return (random_case(rng, rows, **fixed) for _ in range(count))


def driver_input(case: Case, r: int) -> str:
    """One row as the driver reads it."""
    config = case.config.as_dict() | {"scheme": list(SCHEMES).index(case.config.scheme)}
    words = [x or 0 for x in config.values()] + list(case.params.as_dict().values())
    words += [*case.k.shape, case.v.shape[1]]
    words += [int(x) for part in (case.q[r], case.k, case.v) for x in part.ravel()]
    for part in (case.masked, case.bias):
        words += [0] if part is None else [1, *(int(x) for x in part[r])]
    return " ".join(map(str, words))


def driver_output(expected: Any, r: int) -> str:
    """The line that the driver prints for that row."""
    words = [0]
    for name in (*KEY_REGISTERS, *OUTPUT_REGISTERS):
        words += getattr(expected, name)[0, r].tolist()
    words += [int(expected.row_max[0, r]), int(expected.row_sum[0, r])]
    return " ".join(map(str, words))
