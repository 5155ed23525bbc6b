"""Coverage bins of the log2 quantizer: declared by the formulas of `log2_reach`, and counted."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import AttentionConfig

from ..target import Target
from ..threads import parts_of
from ..unit import CaseGroup, Tables
from .level_names import level_name
from .log2_cases import range_of_s, threshold
from .log2_reach import EDGES, edge_witness, level_witness, octaves_of_s

__all__ = ["completing_cases", "log2_bins", "log2_hits", "log2_requirements"]

#: Cases that are counted at a time: they and their products stay in a core's cache.
_BLOCK = 1 << 16
_Integers = NDArray[np.int64]
#: A bin's requirement and a pair (e, s) that hits it.
_Bin = tuple[str, tuple[int, int]]


def _half_bit_bin(level: int) -> str:
    return f"half_bit_{'set' if level % 2 else 'clear'}_k_{level // 2}"


def _edge_bin(level: int, name: str, k: int) -> str:
    return f"level_{level}_edge_{name}_leading_one_{k}"


def log2_bins(target: Target) -> tuple[str, ...]:
    """Return the bins that some e <= 2**P <= s <= N * 2**P reaches."""
    return tuple(_declared(target.config))


def log2_requirements(target: Target) -> dict[str, str]:
    """Return the requirement of each declared bin."""
    return {name: requirement for name, (requirement, _) in _declared(target.config).items()}


@lru_cache(maxsize=8)
def _declared(config: AttentionConfig) -> dict[str, _Bin]:
    """Return each reachable bin with its requirement and a pair that hits it."""
    (low, high), scheme = range_of_s(config), config.code
    bins: dict[str, _Bin] = {}
    for level in range(scheme.levels):
        found = level_witness(level, config)
        if found is None:
            continue
        code = "BL2-CODE-02" if scheme.zero_flag else "BL2-CODE-01"
        bins[level_name(level, config)] = code, found
        if scheme.half and level >= 2:
            bins[_half_bit_bin(level)] = "BL2-LOG2-05", found
    bins |= dict(_edge_bins(config))
    for k in octaves_of_s(config):
        bins[f"leading_one_of_s_{k}"] = "BL2-NUM-06", (0, max(low, 1 << k))
    bins["zero_e"] = "BL2-LOG2-04", (0, low)
    if high > scheme.int_max:
        bins["zero_guard"] = "BL2-LOG2-04", (1, high)
    bins["top_clamp"] = "BL2-LOG2-01", (low, low)
    return bins


def _edge_bins(config: AttentionConfig) -> Iterator[tuple[str, _Bin]]:
    """Yield the bins at, next to and exactly on the edge of each level, for each octave of s."""
    scheme = config.code
    for level, p in enumerate(scheme.values[1:], start=1):
        requirement = "BL2-LOG2-05" if scheme.half and level % 2 and level > 1 else "BL2-LOG2-04"
        for name in (*EDGES, "equal"):
            for k in octaves_of_s(config):
                found = edge_witness(p, name, k, config)
                if found is not None:
                    yield _edge_bin(level, name, k), (requirement, found)


def completing_cases(target: Target, groups: Sequence[CaseGroup]) -> list[CaseGroup]:
    """Return a pair for each bin that these groups leave empty: none where they fill all."""
    config = target.config
    columns = [group.inputs["stimulus"] for group in groups]
    e, s = (np.concatenate([each[name] for each in columns]) for name in ("e", "s"))
    p = np.minimum(e * config.code.int_max // s, config.code.int_max - 1)
    level = np.searchsorted(np.array(config.code.values), p, side="right") - 1
    hits = log2_hits(target, {"stimulus": {"e": e, "s": s}, "expected": {"level": level}})
    pairs = {pair: None for name, (_, pair) in _declared(config).items() if not hits[name]}
    if not pairs:
        return []
    e, s = np.array(list(pairs), np.int64).T
    reason = "what the formulas of coverage reach beyond the corners"
    return [CaseGroup("corners", reason, len(e), {"stimulus": {"s": s, "e": e}})]


def log2_hits(target: Target, tables: Tables) -> dict[str, int]:
    """Return how many cases hit each declared bin."""
    e, s = tables["stimulus"]["e"], tables["stimulus"]["s"]
    level = tables["expected"]["level"]
    declared = log2_bins(target)
    total: Counter[str] = Counter()
    for part in parts_of(len(e), _BLOCK):
        total.update(_hits(target.config, e[part], s[part], level[part]))
    return {name: total[name] for name in declared}


def _hits(config: AttentionConfig, e: _Integers, s: _Integers, level: _Integers) -> dict[str, int]:
    scheme = config.code
    of_level = np.bincount(level, minlength=scheme.levels).tolist()
    hits = {level_name(k, config): of_level[k] for k in range(scheme.levels)}
    hits |= {_half_bit_bin(k): of_level[k] for k in range(1, scheme.levels)}
    octaves = octaves_of_s(config)
    reached = [int(np.count_nonzero(s >= 1 << k)) for k in (*octaves, octaves.stop)]
    hits |= {f"leading_one_of_s_{k}": reached[i] - reached[i + 1] for i, k in enumerate(octaves)}
    zero, below = e == 0, e * scheme.int_max < s
    hits["zero_e"] = int(np.count_nonzero(zero))
    hits["zero_guard"] = int(np.count_nonzero(below & ~zero))
    hits["top_clamp"] = int(np.count_nonzero(e == s))
    return hits | _edge_hits(config, e, s)


def _edge_hits(config: AttentionConfig, e: _Integers, s: _Integers) -> dict[str, int]:
    """Return how many cases lie at, next to, or exactly on the edge of each level, by octave of s.

    An edge at e - 1, e or e + 1 is the smallest integer x with floor(x * A / s) >= p, so the
    quotient steps there: only cases whose quotient is not the same from e - 2 to e + 1 have one.
    """
    scheme, octaves = config.code, octaves_of_s(config)
    near = np.flatnonzero((e - 2) * scheme.int_max // s != (e + 1) * scheme.int_max // s)
    e, s = e[near], s[near]
    hits: dict[str, int] = {}
    for level, p in enumerate(scheme.values[1:], start=1):
        past = e - threshold(p, s, config)
        close = np.flatnonzero(np.abs(past) <= 1)
        past, sums = past[close], s[close]
        octave = np.searchsorted(np.int64(1) << np.array(octaves), sums, side="right") - 1
        cases = {name: past == step for name, step in EDGES.items()}
        cases["equal"] = e[close] * scheme.int_max == p * sums
        for name, flags in cases.items():
            counts = np.bincount(octave[flags], minlength=len(octaves)).tolist()
            hits |= {_edge_bin(level, name, k): n for k, n in zip(octaves, counts, strict=True)}
    return hits
