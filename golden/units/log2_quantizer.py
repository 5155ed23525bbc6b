"""Vectors of the log2 quantizer with its code register: e and s to level, nibble and flag."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import AttentionConfig
from bitlog2.sim.kernel.code_register import code_register as code_register_kernel
from bitlog2.sim.kernel.constants import scheme_constants
from bitlog2.sim.kernel.log2_quantizer import log2_quantizer as log2_quantizer_kernel
from bitlog2.sim.spec import code_register, log2_quantizer

from ..fields import Field
from ..sampler import Sampler
from ..target import Target
from ..unit import CaseGroup, Progress, Stream, Tables, Unit

__all__ = ["LOG2_QUANTIZER"]

_EXHAUSTIVE = 1 << 20
_RANDOM_CASES = 4096
_Integers = NDArray[np.int64]


def _stimulus_fields(target: Target) -> tuple[Field, ...]:
    config = target.config
    return (Field("s", config.width("row_sum")), Field("e", config.width("e")))


def _expected_fields(target: Target) -> tuple[Field, ...]:
    return (Field("level", 5), Field("nibble", 4), Field("flag", 1))


def _range_of_s(config: AttentionConfig) -> tuple[int, int]:
    """Return the smallest and the largest row sum: one key at the maximum has e = 2**P."""
    return 1 << config.table_bits, config.max_tokens << config.table_bits


@lru_cache(maxsize=8)
def _corner_sums(config: AttentionConfig) -> tuple[int, ...]:
    """Return 2**k and 3 * 2**(k-1) with their neighbours for every leading one of s."""
    low, high = _range_of_s(config)
    sums = {high - 1, high}
    for k in range(low.bit_length() - 1, high.bit_length()):
        sums |= {base + step for base in (1 << k, 3 << (k - 1)) for step in (-1, 0, 1)}
    return tuple(sorted(s for s in sums if low <= s <= high))


def _threshold(p: int, s: _Integers, config: AttentionConfig) -> _Integers:
    """Return the smallest e with e * A >= p * s."""
    return -(-p * s // config.code.int_max)


def _group(source: str, reason: str, e: _Integers, s: _Integers) -> CaseGroup:
    return CaseGroup(source, reason, len(e), {"stimulus": {"s": s, "e": e}})


def _stimulus(target: Target, source: str, seed: int) -> list[CaseGroup]:
    return _corners(target) if source == "corners" else _random(target, seed)


def _corners(target: Target) -> list[CaseGroup]:
    config = target.config
    low, high = _range_of_s(config)
    if (high - low + 1) * (low + 1) <= _EXHAUSTIVE:
        s, e = (grid.ravel() for grid in np.mgrid[low : high + 1, 0 : low + 1])
        return [_group("exhaustive", "every e <= 2**P <= s <= N * 2**P", e, s)]
    sums = np.array(_corner_sums(config), np.int64)
    groups = [
        _group("corners", "e = 0, for every s", np.zeros_like(sums), sums),
        _group("corners", "e = 2**P, the row maximum; e = s clamps", np.full_like(sums, low), sums),
    ]
    for level, p in enumerate(config.code.values[1:], start=1):
        edge = _threshold(p, sums, config)
        e, s = np.concatenate([edge - 1, edge, edge + 1]), np.tile(sums, 3)
        legal = e <= low
        reason = f"level {level} begins: e * A next to {p} * s, one below, at and one above"
        groups.append(_group("corners", reason, e[legal], s[legal]))
    return groups


def _random(target: Target, seed: int) -> list[CaseGroup]:
    config = target.config
    sampler = Sampler(seed, "log2_quantizer.random")
    low, high = _range_of_s(config)
    leading = sampler.integers(low.bit_length() - 1, high.bit_length() - 1, _RANDOM_CASES)
    s = np.minimum((np.int64(1) << leading) + sampler.below_power(leading), high)
    bits = sampler.integers(0, config.table_bits, _RANDOM_CASES)
    bits[::2] = config.table_bits
    e = sampler.below_power(bits)
    return [_group("random", "octave of s drawn; e drawn, or its octave drawn", e, s)]


def _check(target: Target, e: _Integers, s: _Integers) -> None:
    low, high = _range_of_s(target.config)
    wrong = np.flatnonzero((e < 0) | (e > low) | (s < low) | (s > high))
    if wrong.size:
        case = int(wrong[0])
        raise ValueError(
            f"log2_quantizer case {case}: e must be from 0 to {low} and s from {low} to {high}, "
            f"got e = {e[case]} and s = {s[case]}"
        )


def _simulate(target: Target, inputs: Tables, progress: Progress) -> Tables:
    e, s = inputs["stimulus"]["e"], inputs["stimulus"]["s"]
    _check(target, e, s)
    scheme = scheme_constants(target.config.code)
    order = np.argsort(s, kind="stable")
    starts = np.flatnonzero(np.diff(s[order], prepend=-1))
    levels = np.empty((3, len(e)), np.uint8)
    runs = np.split(order, starts[1:]) if len(e) else []
    for run in progress(runs, "log2_quantizer: simulate", len(runs)):
        level = np.empty(len(run), np.uint8)
        log2_quantizer_kernel(e[run].astype(np.int32), int(s[run[0]]), scheme, level)
        levels[0, run] = level
    code_register_kernel(levels[0], scheme, levels[1], levels[2])
    names = ("level", "nibble", "flag")
    return {"expected": {name: levels[i].astype(np.int64) for i, name in enumerate(names)}}


def _specify(target: Target, inputs: Tables, progress: Progress) -> Tables:
    scheme = target.config.code
    pairs = list(
        zip(inputs["stimulus"]["e"].tolist(), inputs["stimulus"]["s"].tolist(), strict=True)
    )
    level = [
        log2_quantizer(e, s, scheme)
        for e, s in progress(pairs, "log2_quantizer: specification", len(pairs))
    ]
    codes = np.array([code_register(each, scheme) for each in level], np.int64).reshape(-1, 2)
    columns = {"level": np.array(level, np.int64), "nibble": codes[:, 0], "flag": codes[:, 1]}
    return {"expected": columns}


def _level_bin(level: int, config: AttentionConfig) -> str:
    nibble, flag = code_register(level, config.code)
    return f"level_{level}_nibble_{nibble}_flag_{flag}"


@lru_cache(maxsize=8)
def _declared(config: AttentionConfig) -> tuple[str, ...]:
    """Return the bins that some e <= 2**P <= s <= N * 2**P reaches, tried at the corner sums."""
    low, high = _range_of_s(config)
    scheme, sums = config.code, np.array(_corner_sums(config), np.int64)
    levels, edges = {0, scheme.top_level}, []
    for level, p in enumerate(scheme.values[1:], start=1):
        edge = _threshold(p, sums, config)
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
        bins += [
            f"half_bit_{'set' if level % 2 else 'clear'}_k_{level // 2}"
            for level in sorted(levels)
            if level >= 2
        ]
    bins += [f"leading_one_of_s_{k}" for k in range(low.bit_length() - 1, high.bit_length())]
    return (*bins, "zero_e", *(["zero_guard"] if high > scheme.int_max else []), "top_clamp")


def _hits(target: Target, tables: Tables) -> dict[str, int]:
    config = target.config
    e, s = tables["stimulus"]["e"], tables["stimulus"]["s"]
    level, scheme = tables["expected"]["level"], config.code
    hits = {_level_bin(k, config): level == k for k in range(scheme.levels)}
    for k, p in enumerate(scheme.values[1:], start=1):
        edge = _threshold(p, s, config)
        for name, step in (("below", -1), ("at", 0), ("above", 1)):
            hits[f"level_{k}_edge_{name}"] = e == edge + step
        hits[f"level_{k}_edge_equal"] = e * scheme.int_max == p * s
        half_bit = "set" if k % 2 else "clear"
        hits[f"half_bit_{half_bit}_k_{k // 2}"] = level == k
    for k in range(config.table_bits, 63):
        hits[f"leading_one_of_s_{k}"] = (s >> k) == 1
    hits["zero_e"] = e == 0
    hits["zero_guard"] = (e > 0) & (e * scheme.int_max < s)
    hits["top_clamp"] = e == s
    return {name: int(np.count_nonzero(cases)) for name, cases in hits.items()}


LOG2_QUANTIZER = Unit(
    name="log2_quantizer",
    streams=(
        Stream("stimulus", "input", "case", _stimulus_fields),
        Stream("expected", "output", "case", _expected_fields),
    ),
    datapath=(
        ("log2_quantizer", "expected", "level"),
        ("code_register", "expected", "nibble"),
        ("code_register", "expected", "flag"),
    ),
    stimulus=_stimulus,
    simulate=_simulate,
    specify=_specify,
    bins=lambda target: _declared(target.config),
    hits=_hits,
)
