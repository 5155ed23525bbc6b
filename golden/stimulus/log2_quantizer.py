"""Vectors of the log2 quantizer with its code register: e and s to level, nibble and flag."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import gcd

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import AttentionConfig, LayerParams
from bitlog2.sim.kernel.constants import layer_constants, scheme_constants
from bitlog2.sim.scheme import Scheme
from bitlog2.sim.spec import code_register, log2_quantizer
from bitlog2.sim.units import log2_quantizer as log2_quantizer_unit
from bitlog2.sim.units.code_register import code_register_kernel
from bitlog2.sim.units.log2_quantizer import log2_quantizer_kernel

from ..threads import each_part, parts_of
from .cases import EXHAUSTIVE, level_name
from .sampler import Sampler
from .unit import (
    CaseGroup,
    GoldenUnit,
    NarrowTables,
    Point,
    Progress,
    Signals,
    Tables,
    Target,
    case_group,
)

#: Sums that are drawn in each octave for each level.
_NEAR_TIES = 8
_Integers = NDArray[np.int64]


def range_of_s(config: AttentionConfig) -> tuple[int, int]:
    """Return the smallest and the largest row sum: one key at the maximum has e = 2**P."""
    return log2_quantizer_unit.LOG2_QUANTIZER.limits("s", config)


@lru_cache(maxsize=8)
def corner_sums(config: AttentionConfig) -> tuple[int, ...]:
    """Return 2**k and 3 * 2**(k-1) with their neighbours for every leading one of s."""
    low, high = range_of_s(config)
    sums = {high - 1, high}
    for k in range(low.bit_length() - 1, high.bit_length()):
        sums |= {base + step for base in (1 << k, 3 << (k - 1)) for step in (-1, 0, 1)}
    return tuple(sorted(s for s in sums if low <= s <= high))


def threshold(p: int, s: _Integers, config: AttentionConfig) -> _Integers:
    """Return the smallest e with e * A >= p * s."""
    return -(-p * s // config.code.int_max)


def _group(source: str, reason: str, e: _Integers, s: _Integers) -> CaseGroup:
    return case_group(source, reason, {"s": s, "e": e})


def corner_cases(target: Target, sampler: Sampler) -> list[CaseGroup]:
    """Return every pair of e and s where they are at most 2**20, else the corners.

    Drawn are the sums next to which a level just begins.
    """
    config = target.config
    low, high = range_of_s(config)
    if (high - low + 1) * (low + 1) <= EXHAUSTIVE:
        s, e = (grid.ravel() for grid in np.mgrid[low : high + 1, 0 : low + 1])
        return [_group("exhaustive", "every e <= 2**P <= s <= N * 2**P", e, s)]
    sums = np.array(corner_sums(config), np.int64)
    groups = [
        _group("corners", "e = 0, for every s", np.zeros_like(sums), sums),
        _group("corners", "e = 2**P, the row maximum; e = s clamps", np.full_like(sums, low), sums),
    ]
    for level, p in enumerate(config.code.values[1:], start=1):
        edge = threshold(p, sums, config)
        e, s = np.concatenate([edge - 1, edge, edge + 1]), np.tile(sums, 3)
        legal = e <= low
        reason = f"level {level} begins: e * A next to {p} * s, one below, at and one above"
        groups.append(_group("corners", reason, e[legal], s[legal]))
    return [*groups, *_near_ties(config, Sampler(sampler.seed, "log2_quantizer.near_ties"))]


def _near_ties(config: AttentionConfig, sampler: Sampler) -> list[CaseGroup]:
    """Return pairs of which the lowest bits of a comparison decide, in every octave of s.

    For each level that begins at p: the smallest e with e * A >= p * s and e - 1, of drawn s; then
    for this e the largest s that it still reaches p of, and s + 1.
    """
    low, high = range_of_s(config)
    octaves = np.arange(low.bit_length() - 1, high.bit_length())
    leading = np.repeat(octaves, _NEAR_TIES)
    groups = []
    for level, p in enumerate(config.code.values[1:], start=1):
        drawn = np.minimum(sampler.below_power(leading) + (np.int64(1) << leading), high)
        edge = threshold(p, drawn, config)
        last = edge * config.code.int_max // p
        e = np.concatenate([edge, edge - 1, edge, edge])
        s = np.concatenate([drawn, drawn, last, last + 1])
        legal = (e <= low) & (s >= low) & (s <= high)
        reason = f"level {level} begins by the lowest bits: e * A nearest to {p} * s, s drawn"
        if legal.any():
            groups.append(_group("corners", reason, e[legal], s[legal]))
    return groups


def random_cases(target: Target, sampler: Sampler, count: int) -> list[CaseGroup]:
    """Return random pairs."""
    config = target.config
    low, high = range_of_s(config)
    leading = sampler.integers(low.bit_length() - 1, high.bit_length() - 1, count)
    s = sampler.below_power(leading)
    s += np.int64(1) << leading
    np.minimum(s, high, out=s)
    bits = sampler.integers(0, config.table_bits, count)
    bits[::2] = config.table_bits
    e = sampler.below_power(bits)
    return [_group("random", "octave of s drawn; e drawn, or its octave drawn", e, s)]


#: Where a case lies by an edge, by name: e minus the edge.
EDGES = {"below": -1, "at": 0, "above": 1}


def octaves_of_s(config: AttentionConfig) -> range:
    """Return the leading ones that s has."""
    low, high = range_of_s(config)
    return range(low.bit_length() - 1, high.bit_length())


def edge_witness(p: int, name: str, k: int, config: AttentionConfig) -> tuple[int, int] | None:
    """Return (e, s) by the edge of p with leading one k of s, or None where there is none.

    The edge grows with s, so the smallest s of the octave decides; e is at least 0, for an edge is
    at least 1. `equal`: e * A = p * s takes an s that A / gcd(p, A) divides, the smallest again.
    """
    (low, high), one = range_of_s(config), config.code.int_max
    first, last = max(low, 1 << k), min(high, (2 << k) - 1)
    if name == "equal":
        divisor = one // gcd(p, one)
        s = -(-first // divisor) * divisor
        e = p * s // one
    else:
        s = first
        e = -(-p * s // one) + EDGES[name]
    return (e, s) if e <= low and s <= last else None


@lru_cache(maxsize=256)
def level_witness(level: int, config: AttentionConfig) -> tuple[int, int] | None:
    """Return (e, s) with that level, or None where no pair has it.

    With the values p of this level and q of the next, e has it for the integers s in
    (e * A / q, e * A / p] that are legal; the top level has no next one, and level 0 no p.
    """
    (low, high), code = range_of_s(config), config.code
    if level == 0:
        return 0, low
    e = np.arange(1, low + 1, dtype=np.int64)
    largest = np.minimum(high, e * code.int_max // code.values[level])
    smallest = np.full(low, low)
    if level < code.top_level:
        smallest = np.maximum(low, e * code.int_max // code.values[level + 1] + 1)
    found = np.flatnonzero(smallest <= largest)
    return (int(e[found[-1]]), int(smallest[found[-1]])) if found.size else None


#: Cases that are counted at a time: they and their products stay in a core's cache.
_BLOCK = 1 << 16
#: A bin's requirement and a pair (e, s) that hits it.
_Bin = tuple[str, tuple[int, int]]


def _half_bit_bin(level: int) -> str:
    return f"half_bit_{'set' if level % 2 else 'clear'}_k_{level // 2}"


def _edge_bin(level: int, name: str, k: int) -> str:
    return f"level_{level}_edge_{name}_leading_one_{k}"


def _points(target: Target) -> list[Point]:
    """Return the bins that some e <= 2**P <= s <= N * 2**P reaches."""
    declared = _declared(target.config)
    return [Point(name, requirement) for name, (requirement, _) in declared.items()]


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
    hits = _signals(target, {"stimulus": {"e": e, "s": s}, "expected": {"level": level}})
    pairs = {pair: None for name, (_, pair) in _declared(config).items() if not hits[name]}
    if not pairs:
        return []
    reason = "what the formulas of coverage reach beyond the corners"
    return [_group("corners", reason, *np.array(list(pairs), np.int64).T)]


def _signals(target: Target, tables: Tables) -> Signals:
    """Return how many cases hit each bin."""
    e, s = tables["stimulus"]["e"], tables["stimulus"]["s"]
    level = tables["expected"]["level"]
    total: Counter[str] = Counter()
    for part in parts_of(len(e), _BLOCK):
        total.update(_hits(target.config, e[part], s[part], level[part]))
    return total


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


#: Up to here the specification's own function is called for every case.
_CALLED_FOR_EACH = 1 << 20
#: In a larger set it is called for so many cases, evenly spread, or a few more.
_CALLED_AT_LEAST = 1 << 16


def _corners(target: Target, sampler: Sampler) -> list[CaseGroup]:
    groups = corner_cases(target, sampler)
    return [*groups, *completing_cases(target, groups)]


def _simulate(target: Target, inputs: Tables, progress: Progress) -> Tables:
    e, s = inputs["stimulus"]["e"], inputs["stimulus"]["s"]
    scheme = scheme_constants(target.config.code)
    layer = layer_constants(target.config, LayerParams(m=1, n=0, m2=1, n2=0))
    columns = {name: np.empty(len(e), np.int64) for name in ("level", "nibble", "flag")}

    def simulate(part: slice) -> None:
        level, nibble, flag = np.empty((3, part.stop - part.start), np.uint8)
        scratch = np.empty((3, len(level)), np.int32)
        log2_quantizer_kernel(e[part].astype(np.int32), s[part], layer, scheme, scratch, level)
        code_register_kernel(level, scheme, nibble, flag)
        for column, values in zip(columns.values(), (level, nibble, flag), strict=True):
            column[part] = values

    parts = parts_of(len(e), _BLOCK)
    for _ in progress(each_part(simulate, parts), "log2_quantizer: simulate", len(parts)):
        pass
    return {"expected": columns}


def _specify(target: Target, inputs: Tables, progress: Progress) -> NarrowTables:
    scheme, e, s = target.config.code, inputs["stimulus"]["e"], inputs["stimulus"]["s"]
    whole = len(e) <= _CALLED_FOR_EACH
    level = np.empty(len(e), np.uint8) if whole else dividing_levels(e, s, scheme)
    called = slice(0, None, 1 if whole else len(e) // _CALLED_AT_LEAST)
    pairs = list(zip(e[called].tolist(), s[called].tolist(), strict=True))
    level[called] = [
        log2_quantizer(each_e, each_s, scheme)
        for each_e, each_s in progress(pairs, "log2_quantizer: specification", len(pairs))
    ]
    code_of = np.array([code_register(k, scheme) for k in range(scheme.levels)], np.uint8).T
    codes = np.empty((2, len(e)), np.uint8)
    for part in parts_of(len(e), _BLOCK):
        codes[:, part] = code_of[:, level[part]]
    return {"expected": {"level": level, "nibble": codes[0], "flag": codes[1]}}


@lru_cache(maxsize=8)
def _level_of_quotient(scheme: Scheme) -> NDArray[np.uint8]:
    """Return the specification's level of each quotient p: that of e = p and s = A."""
    one = scheme.int_max
    return np.array([log2_quantizer(p, one, scheme) for p in range(one)], np.uint8)


def dividing_levels(e: _Integers, s: _Integers, scheme: Scheme) -> NDArray[np.uint8]:
    """Return the levels by the specification's dividing form, the division on whole arrays.

    Args:
        e, s: (N,) with 0 <= e <= s, s > 0 and e * A within int64.
        scheme: the levels' scheme.

    Source: SPEC.md BL2-LOG2-01 to -03.
    """
    one, level_of = scheme.int_max, _level_of_quotient(scheme)
    level = np.empty(len(e), np.uint8)
    for part in parts_of(len(e), _BLOCK):
        level[part] = level_of[np.minimum(e[part] * one // s[part], one - 1)]
    return level


LOG2_QUANTIZER = GoldenUnit(
    declared=log2_quantizer_unit.LOG2_QUANTIZER,
    corners=_corners,
    random=random_cases,
    random_cases=4096,
    kernels=_simulate,
    specify=_specify,
    points=_points,
    signals=_signals,
)
