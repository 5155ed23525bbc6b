"""The kernels as tests call them, and inputs that hurt: corners, thresholds, random rows."""

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from bitlog2.golden.stimulus.unit import tables_of
from bitlog2.sim import SCHEMES, AttentionConfig, LayerParams
from bitlog2.sim.kernel.constants import layer_constants, scheme_constants
from bitlog2.sim.kernel.lane_product import (
    CHANNEL_LANES,
    DEPTH,
    KEY_LANES,
    block_loop,
    channel_product,
    key_product,
    laid_out,
    place_of,
)
from bitlog2.sim.parts import LANES
from bitlog2.sim.rounding import leading_one_kernel as leading_one
from bitlog2.sim.rounding import rnd_kernel as rnd
from bitlog2.sim.scheme import Scheme
from bitlog2.sim.spec import distance as distance_of
from bitlog2.sim.spec import distance_quantizer, exp2, log2_quantizer, score_requantizer
from bitlog2.sim.units.code_register import pack_row_kernel
from bitlog2.sim.units.exp2 import E_BITS, exp2_words
from bitlog2.sim.units.log2_quantizer import (
    log2_quantizer_kernel,
    row_thresholds,
    threshold_quantizer,
)
from bitlog2.sim.units.row_max import distance_kernel as distance
from bitlog2.sim.units.score_accumulator import score_accumulator_kernel as score_accumulator
from bitlog2.sim.units.shift_add import shift_add_kernel as shift_add
from bitlog2.sim.units.shift_add import value_of_level

__all__ = [
    "CHANNEL_LANES",
    "DEPTH",
    "FULL",
    "KEY_LANES",
    "MOST",
    "channel_product",
    "code_planes",
    "corners",
    "formed",
    "framed",
    "held_distances",
    "key_product",
    "laid_out",
    "leading_one",
    "leading_ones",
    "levels_alone",
    "levels_of_rows",
    "logarithms",
    "looked_up",
    "place_of",
    "random_rows",
    "rnd",
    "row_levels",
    "scores_of",
    "summed_terms",
    "sums_of_pairs",
    "threshold_cases",
    "thresholds",
    "values_of",
]

FULL, MOST = 1 << 16, 1 << 26


def corners(low: int, high: int) -> list[int]:
    """Powers of two and their neighbours at distance 0, 1, 2, of both signs, and both ends."""
    powers = {sign << bit for sign in (-1, 1) for bit in range(max(-low, high).bit_length() + 1)}
    near = {x + step for x in powers | {0, low, high} for step in (-2, -1, 0, 1, 2)}
    return sorted(x for x in near if low <= x <= high)


def framed(rows: Sequence[dict[str, ArrayLike]], **params: Sequence[int]) -> dict[str, Any]:
    """Rows as the input streams of a unit, with their last bits."""
    loaded = (
        dict(zip(params, values, strict=True)) for values in zip(*params.values(), strict=True)
    )
    return tables_of([row | next(loaded, {}) for row in rows])


def scores_of(q: ArrayLike, k: ArrayLike, zq: int, zk: int) -> np.ndarray:
    q, k = np.asarray(q, np.int32), np.asarray(k, np.int32)
    score = np.empty((len(q), len(k)), np.int32)
    score_accumulator(q, k, zq, zk, score)
    return score


def held_distances(t: ArrayLike, largest: int, masked: ArrayLike, config: AttentionConfig) -> Any:
    """The distances as the kernel of a row holds them: of a masked key beyond d_max."""
    t, masked = np.asarray(t, np.int32), np.asarray(masked, np.uint8)
    held = np.empty(t.shape, np.int16)
    layer = layer_constants(config, LayerParams(1, 0, 1, 0))
    distance(t, np.int32(largest), masked, layer, held)
    return held


def code_planes(nibble: np.ndarray, flag: np.ndarray, scheme: Scheme) -> tuple[bytes, bytes]:
    """A row packed into memory that was not zero."""
    keys = len(nibble)
    nibbles = np.full((keys + 1) // 2, 0xAA, np.uint8)
    flags = np.full((keys + 7) // 8 if scheme.zero_flag else 0, 0x55, np.uint8)
    pack_row_kernel(nibble.astype(np.uint8), flag.astype(np.uint8), nibbles, flags)
    return nibbles.tobytes(), flags.tobytes()


def summed_terms(levels: ArrayLike, v: ArrayLike, zv: int, scheme: Scheme) -> list[int]:
    """acc of each channel of v (keys, channels)."""
    v = np.asarray(v, np.int32)
    acc = np.empty(v.shape[1], np.int32)
    shift_add(np.asarray(levels, np.uint8), v, zv, scheme_constants(scheme), acc)
    return acc.tolist()


def values_of(scheme: Scheme) -> list[int]:
    constants = scheme_constants(scheme)
    return [int(value_of_level(np.uint8(level), constants)) for level in range(scheme.levels)]


def _layer(table_bits: int) -> Any:
    return layer_constants(AttentionConfig(table_bits=table_bits), LayerParams(1, 0, 1, 0))


def logarithms(e: np.ndarray, table_bits: int) -> np.ndarray:
    """The logarithms of e as the table of unit 4 holds them."""
    words = np.empty(e.size + 1, np.int64)
    exp2_words(e.astype(np.int32), table_bits, words)
    return (words[:-1] >> E_BITS).astype(np.int32)


def thresholds(s: int, scheme: Scheme, table_bits: int) -> list[np.int32]:
    """The two thresholds of a row sum: of levels with the half bit clear, and set."""
    pair = np.empty((2, 1), np.int32)
    row_thresholds(np.array([s]), _layer(table_bits), scheme_constants(scheme), *pair)
    return list(pair[:, 0])


def row_levels(
    e: ArrayLike, s: int, scheme: Scheme, table_bits: int = 16, *, moved: Sequence[int] = (0, 0)
) -> np.ndarray:
    """The levels of a row by logarithms; `moved` is added to its thresholds."""
    e = np.asarray(e, np.int64)
    level = np.empty(e.size, np.uint8)
    pair = [x + np.int32(y) for x, y in zip(thresholds(s, scheme, table_bits), moved, strict=True)]
    constants = _layer(table_bits), scheme_constants(scheme)
    threshold_quantizer(logarithms(e, table_bits), *pair, *constants, level)
    return level


def levels_alone(e: ArrayLike, s: int, scheme: Scheme, table_bits: int = 16) -> np.ndarray:
    """The levels of a row by the kernel of unit 6 alone, its sum given with every key."""
    e = np.asarray(e, np.int32)
    level, scratch = np.empty(e.size, np.uint8), np.empty((3, e.size), np.int32)
    constants = _layer(table_bits), scheme_constants(scheme)
    log2_quantizer_kernel(e, np.full(e.size, s), *constants, scratch, level)
    return level


def threshold_cases(scheme: Scheme) -> list[tuple[int, int]]:
    """(e, s) with e * A / s at each integer threshold of the code, and just beside it."""
    cases = set()
    for value in [*scheme.values[1:], scheme.int_max - 1, scheme.int_max]:
        for e in (1, 2, 3, 255, 4097, 40503, FULL - 1, FULL):
            s = e * scheme.int_max // value
            cases |= {(e, x) for x in range(s - 2, s + 3) if max(e, 1) <= x <= MOST}
    for s in corners(1, MOST + 2):
        cases |= {(e, s) for e in (0, 1, 2, 3, s - 1, s) if 0 <= e <= s}
    return sorted(cases)


def random_rows(seed: int, rows: int, keys: int) -> Iterator[tuple[np.ndarray, int]]:
    """Rows (e, s) of the datapath's domain: e of every magnitude and next to the thresholds."""
    rng = np.random.default_rng(seed)
    for _ in range(rows):
        s = int(2.0 ** rng.uniform(16, 26))
        e = (2.0 ** rng.uniform(0, 16, keys)).astype(np.int64)
        values = rng.choice(384, keys // 2)
        e[: keys // 2] = values * s // 384 + rng.integers(-1, 2, keys // 2)
        yield np.clip(e, 0, FULL), s


def looked_up(made: Callable[..., Any]) -> Iterator[tuple[list[int], list[int]]]:
    """What a form of `row_weights` writes and returns, and the values of each scheme's levels.

    Whole vectors before others that stay as they are.
    """
    form = formed(made)
    rng = np.random.default_rng(3)
    for scheme in SCHEMES.values():
        level = rng.integers(0, scheme.levels, 3 * LANES).astype(np.uint8)
        level[: scheme.levels] = range(scheme.levels)
        weight = np.full(4 * LANES, 77, np.int16)
        total = form(level, scheme_constants(scheme), weight[: level.size])
        expected = [-scheme.values[each] for each in level.tolist()]
        yield [*weight.tolist(), int(total)], [*expected, *[77] * LANES, sum(expected)]


#: Layers whose levels are had from scores at once: D, M, n, F; of the last one products just fit.
DIRECT = ((64, 40000, 20, 5), (64, 1, 1, 2), (128, 65535, 28, 5), (136, 65535, 28, 4))


def direct_rows(*schemes: str) -> Iterator[tuple[np.ndarray, list[int], Any, AttentionConfig]]:
    """Rows of scores for parts of a vector, one and several: scores, t, layer and configuration.

    Of 17 keys none has a score above -5.
    """
    rng = np.random.default_rng(4)
    for (channels, m, n, bits), keys in product(DIRECT, (1, 2, 16, 17, 32, 33, 70)):
        for scheme in schemes:
            config = AttentionConfig(scheme, max_head_dim=channels, fraction_bits=bits)
            layer = layer_constants(config, LayerParams(m, n, 1, 0), False)
            assert layer.direct
            bound = config.registers["score"].bound
            score = rng.integers(-bound, bound + 1, keys).astype(np.int32)
            score[: keys // 2] >>= rng.integers(12)
            score[[0, -1]] = (-bound, bound) if keys % 4 else (bound, -bound)
            score = np.minimum(score, -5) if keys == 17 else score
            t = [score_requantizer(each, m, n, 0, config) for each in score.tolist()]
            yield score, t, layer, config


def formed(made: Callable[..., Any]) -> Callable[..., Any]:
    """A form as the kernels have it, but compiled here: a mutant's is not that of its source."""
    return njit(forceinline=True, _nrt=False)(made)  # type: ignore[call-overload, no-any-return]


def leading_ones(made: Callable[..., Any]) -> Iterator[tuple[list[int], list[int]]]:
    """What a form of `leading_one_kernel` gives, and the position: of 0, 0."""
    form = formed(made)
    for x in (0, *(1 << k for k in range(63)), *((1 << k) - 1 for k in range(1, 64))):
        yield [int(form(np.int64(x)))], [max(x.bit_length() - 1, 0)]


def levels_of_rows(
    form_of: Callable[[str], Callable[..., Any]],
) -> Iterator[tuple[list[int], list[int]]]:
    """What forms from scores to levels give of rows, by name, and the specification.

    Whole vectors before others that stay as they are.
    """
    largest, levels = formed(form_of("largest_score")), formed(form_of("levels_of_scores"))
    exp2_of, reached = formed(form_of("exp2_of_scores")), formed(form_of("levels_of_logarithms"))
    ladders = ("RowMax_16", "BitLog2_Half_17", "BitLog2_Single_16")
    for score, t, layer, config in direct_rows(*ladders):
        top, scheme, code = np.int32(max(t)), scheme_constants(config.code), config.code
        level, weight = np.zeros(2 * LANES, np.uint8), np.zeros(2 * LANES, np.int16)
        level[LANES:], weight[LANES:] = 77, 77
        d = [distance_of(each, max(t), False, config) for each in t]
        rest = [0] * (LANES - len(t)) + [77] * LANES
        if code.row_max:
            total = levels(score, top, layer, scheme, level[:LANES], weight[:LANES])
            expected = [distance_quantizer(each, False, config) for each in d]
            values = [-code.values[each] for each in expected]
            found, sums = [*level.tolist(), *weight.tolist()], sum(values)
            wanted = [*expected, *rest, *values, *rest]
        else:
            logarithm = np.full(2 * LANES, 77, np.int32)
            total = exp2_of(score, top, layer, logarithm[:LANES])
            e = [exp2(each, False, config) for each in d]
            power, raised = thresholds(int(total), code, config.table_bits)
            row = logarithm[: len(t)]
            reached(row, power, raised, layer, scheme, level[:LANES])
            sums = sum(e)
            found = [*level.tolist(), *row.tolist(), *logarithm[LANES:].tolist()]
            logs = logarithms(np.array(e), config.table_bits).tolist()
            wanted = [log2_quantizer(each, sums, code) for each in e]
            wanted += [*rest, *logs, *[77] * LANES]
        yield [int(largest(score)), int(total), *found], [int(score.max()), sums, *wanted]


def sums_of_pairs(
    former: Callable[..., Any], lanes: int, feature: str
) -> Iterator[tuple[list[int], list[int]]]:
    """What a form in vectors of the loop of `lane_product` writes, and what the loop does.

    Blocks of so many lanes between two that stay as they are, on the ends of int16 too.
    """
    make, rng, depth = former(lanes, feature), np.random.default_rng(lanes), 3 * DEPTH

    @njit
    def form(a, b, out, first):  # type: ignore[no-untyped-def]
        make(a, b, out, first)

    for low, high in ((-300, 301), (-32767, 32768)):
        a = rng.integers(low, high, depth).astype(np.int16)
        b = rng.integers(-255, 256, depth * lanes).astype(np.int16)
        a[-1], b[-1] = -32768, 255
        out = rng.integers(-1000, 1000, 3 * lanes).astype(np.int32)
        expected = out.copy()
        form(a, b, out, np.uint64(lanes))
        block_loop(lanes).py_func(a, b, expected, np.uint64(lanes))
        yield out.tolist(), expected.tolist()
