"""Coverage bins of the log2 quantizer: what a configuration can reach, and what cases hit."""

from collections import Counter
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import AttentionConfig
from bitlog2.sim.spec import code_register, log2_quantizer

from ..target import Target
from ..threads import parts_of
from ..unit import Tables
from .log2_cases import corner_sums, range_of_s, threshold

__all__ = ["log2_bins", "log2_hits"]

#: Cases that are counted at a time: they and their products stay in a core's cache.
_BLOCK = 1 << 16
_Integers = NDArray[np.int64]


def _level_bin(level: int, config: AttentionConfig) -> str:
    nibble, flag = code_register(level, config.code)
    return f"level_{level}_nibble_{nibble}_flag_{flag}"


def _half_bit_bin(level: int) -> str:
    return f"half_bit_{'set' if level % 2 else 'clear'}_k_{level // 2}"


def log2_bins(target: Target) -> tuple[str, ...]:
    """Return the bins that some e <= 2**P <= s <= N * 2**P reaches, tried at the corner sums."""
    return _declared(target.config)


@lru_cache(maxsize=8)
def _declared(config: AttentionConfig) -> tuple[str, ...]:
    low, high = range_of_s(config)
    scheme, sums = config.code, np.array(corner_sums(config), np.int64)
    levels, edges = {0, scheme.top_level}, []
    for level, p in enumerate(scheme.values[1:], start=1):
        edge = threshold(p, sums, config)
        if any(
            log2_quantizer(int(e), int(s), scheme) == level
            for e, s in zip(edge, sums, strict=True)
            if e <= low
        ):
            levels.add(level)
        found = [
            ("below", edge - 1 <= low),
            ("at", edge <= low),
            ("above", edge + 1 <= low),
            ("equal", (edge <= low) & (edge * scheme.int_max == p * sums)),
        ]
        edges += [f"level_{level}_edge_{name}" for name, cases in found if cases.any()]
    bins = [_level_bin(level, config) for level in sorted(levels)] + edges
    if scheme.half:
        bins += [_half_bit_bin(level) for level in sorted(levels) if level >= 2]
    bins += [f"leading_one_of_s_{k}" for k in range(low.bit_length() - 1, high.bit_length())]
    return (*bins, "zero_e", *(["zero_guard"] if high > scheme.int_max else []), "top_clamp")


def log2_hits(target: Target, tables: Tables) -> dict[str, int]:
    """Return how many cases hit each bin."""
    e, s = tables["stimulus"]["e"], tables["stimulus"]["s"]
    level = tables["expected"]["level"]
    total: Counter[str] = Counter(dict.fromkeys(log2_bins(target), 0))
    for part in parts_of(len(e), _BLOCK):
        total.update(_hits(target.config, e[part], s[part], level[part]))
    return dict(total)


def _hits(config: AttentionConfig, e: _Integers, s: _Integers, level: _Integers) -> dict[str, int]:
    scheme, (low, high) = config.code, range_of_s(config)
    of_level = np.bincount(level, minlength=scheme.levels).tolist()
    hits = {_level_bin(k, config): of_level[k] for k in range(scheme.levels)}
    hits |= {_half_bit_bin(k): of_level[k] for k in range(1, scheme.levels)}
    octaves = range(low.bit_length() - 1, high.bit_length())
    reached = [int(np.count_nonzero(s >= 1 << k)) for k in (*octaves, high.bit_length())]
    hits |= {f"leading_one_of_s_{k}": reached[i] - reached[i + 1] for i, k in enumerate(octaves)}
    zero, below = e == 0, e * scheme.int_max < s
    hits["zero_e"] = int(np.count_nonzero(zero))
    hits["zero_guard"] = int(np.count_nonzero(below & ~zero))
    hits["top_clamp"] = int(np.count_nonzero(e == s))
    return hits | _edge_hits(config, e, s)


def _edge_hits(config: AttentionConfig, e: _Integers, s: _Integers) -> dict[str, int]:
    """Return how many cases lie at, next to, or exactly on the edge of each level.

    An edge at e - 1, e or e + 1 is the smallest integer x with floor(x * A / s) >= p, so the
    quotient steps there: only cases whose quotient is not the same from e - 2 to e + 1 have one.
    """
    scheme = config.code
    near = np.flatnonzero((e - 2) * scheme.int_max // s != (e + 1) * scheme.int_max // s)
    e, s = e[near], s[near]
    hits = {}
    for level, p in enumerate(scheme.values[1:], start=1):
        past = e - threshold(p, s, config)
        for name, step in (("below", -1), ("at", 0), ("above", 1)):
            hits[f"level_{level}_edge_{name}"] = int(np.count_nonzero(past == step))
        equal = e * scheme.int_max == p * s
        hits[f"level_{level}_edge_equal"] = int(np.count_nonzero(equal))
    return hits
