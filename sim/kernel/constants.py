"""What the kernels are handed: plain integers and arrays, unpacked once from the configuration."""

from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..config import AttentionConfig, LayerParams
from ..rounding import rnd
from ..scheme import Scheme
from ..units.distance_quantizer import Steps, steps_of
from ..units.exp2 import exp2_of_every_distance, exp2_words

#: Entries of a table in vectors of 512 bits: of words of one, or of int32 of two.
_LEVELS = 32
#: Keys whose e are added side by side, in such a vector.
SUM_LANES = 16


class SchemeConstants(NamedTuple):
    """A scheme, for the kernels from levels to accumulators: A = odd * 2**base_shift.

    powers, raised_powers: how many levels are 2**k, and how many are 3 * 2**k.
    weights: (32,) int16, the negatives of the levels' values, since int16 holds -2**15; then 0.
    levels: (A,) uint8, the level of every p, of a quotient that is no ladder; else (0,).
    """

    odd: int
    base_shift: int
    int_max: int
    row_max: int
    octave_levels: int
    top_level: int
    zero_flag: int
    powers: int
    raised_powers: int
    weights: NDArray[np.int16]
    levels: NDArray[np.uint8]


class LayerConstants(NamedTuple):
    """Configuration and parameters of a layer, for the kernels of units 2 to 9.

    narrow, narrow_output: 1 where the product of unit 2 or 9, with what is added to it, stays
        within int32, proved from the widths.
    t_min, t_max: ends of t: those of its register, or without a bias of the t of every score.
    short: 1 where the difference of two t fits int16, proved from these.
    direct: 1 where a ladder's levels may be had from scores in few loops: the layer is narrow, no t
        saturates and none has a bias, so that the largest score has the largest t; scores fit
        int16, and M 16 bits; and with unit 4, `doubled` holds its table, and a 16th of the largest
        row sum fits 32 bits.
    octave_bits: F, of t and of d.
    fraction_bits: P, of e and of its logarithm.
    exp2_words: (d_max + 2,) int64, e and its logarithm by distance: unit 4 for every d at once;
        (0,) for RowMax.
    doubled: (32,) int32, twice the entries of unit 4's table, over and over; (0,) where it has
        more, and for RowMax.
    steps: thresholds of unit 10.
    """

    m: int
    n: int
    narrow: int
    short: int
    direct: int
    t_min: int
    t_max: int
    d_max: int
    m2: int
    n2: int
    zq: int
    zk: int
    zv: int
    zo: int
    o_max: int
    narrow_output: int
    octave_bits: int
    fraction_bits: int
    exp2_words: NDArray[np.int64]
    doubled: NDArray[np.int32]
    steps: Steps


@cache
def scheme_constants(scheme: Scheme) -> SchemeConstants:
    """Return the integers of a scheme."""
    p = np.arange(0 if scheme.is_ladder or scheme.row_max else scheme.int_max)
    levels = np.searchsorted(scheme.thresholds(), p, side="right").astype(np.uint8)
    return SchemeConstants(
        scheme.odd_factor,
        scheme.base_shift,
        scheme.int_max,
        int(scheme.row_max),
        scheme.octave_levels,
        scheme.top_level,
        int(scheme.zero_flag),
        sum(value & (value - 1) == 0 for value in scheme.values[1:]),
        sum(value % 3 == 0 for value in scheme.values[1:]),
        np.negative(np.pad(scheme.values, (0, _LEVELS - scheme.levels))).astype(np.int16),
        levels,
    )


@lru_cache(maxsize=256)
def layer_constants(
    config: AttentionConfig, params: LayerParams, biased: bool = True
) -> LayerConstants:
    """Return the integers of a configuration and a layer's parameters, with or without a bias."""
    t_min, t_max = config.t_min, config.t_max
    bound = config.registers["score"].bound
    if not biased:
        largest = rnd(bound * params.m, params.n)
        t_min, t_max = max(t_min, -largest), min(t_max, largest)
    doubled = _doubled(config)
    direct = (
        (config.code.row_max or (doubled.size > 0 and _sixteenth(config) < 1 << 32))
        and config.code.is_ladder
        and not biased
        and config.scores_fit_int32
        and largest <= config.t_max
        and bound < 1 << 15
        and params.m < 1 << 16
    )
    largest_n2 = params.n2 + config.max_n2 - config.max_layer_n2
    largest_output = config.registers["acc"].bound * params.m2 + (1 << largest_n2 >> 1)
    return LayerConstants(
        params.m,
        params.n,
        int(config.scores_fit_int32),
        int(t_max - t_min < 1 << 15),
        int(direct),
        t_min,
        t_max,
        config.d_max,
        params.m2,
        params.n2,
        params.zq,
        params.zk,
        params.zv,
        params.zo,
        (1 << config.o_bits) - 1,
        int(largest_output + (1 << config.o_bits) < 1 << 31),
        config.fraction_bits,
        config.table_bits,
        _exp2_words(config),
        doubled,
        steps_of(config),
    )


def _sixteenth(config: AttentionConfig) -> int:
    """Return the largest sum of e of every 16th key."""
    return -(-config.max_tokens // SUM_LANES) << config.table_bits


@lru_cache(maxsize=64)
def _doubled(config: AttentionConfig) -> NDArray[np.int32]:
    entries = np.empty(0) if config.code.row_max else np.array(config.table)
    if not 0 < entries.size <= _LEVELS:
        return np.empty(0, np.int32)
    return np.resize(2 * entries, _LEVELS).astype(np.int32)


@lru_cache(maxsize=64)
def _exp2_words(config: AttentionConfig) -> NDArray[np.int64]:
    """Return e and its logarithm for every distance, by the kernels of unit 4."""
    if config.code.row_max:
        return np.empty(0, np.int64)
    e, words = np.empty(config.d_max + 1, np.int32), np.empty(config.d_max + 2, np.int64)
    entries = np.array(config.table, dtype=np.int32)
    exp2_of_every_distance(entries, config.fraction_bits, config.table_bits + 2, e)
    exp2_words(e, config.table_bits, words)
    return words
