"""Vectors of the row sum: a row of e to s."""

from collections.abc import Iterable, Mapping

import numpy as np

from bitlog2.sim import AttentionConfig
from bitlog2.sim.spec import row_sum
from bitlog2.sim.units import row_sum as row_sum_unit
from bitlog2.sim.units.row_sum import row_sum_kernel

from ..words.framing import row_lengths, row_slices, row_starts, sums_of_rows
from .log2_quantizer import range_of_s
from .row_max import random_length
from .sampler import Sampler
from .unit import (
    CaseGroup,
    GoldenUnit,
    Point,
    Progress,
    Signals,
    Specified,
    Tables,
    Target,
    check_range,
    row_groups,
)


def _sums(config: AttentionConfig) -> list[int]:
    """Return every power of two among the sums with its neighbours, and the limits."""
    low, high = range_of_s(config)
    sums = {low, low + 1, high - 1, high}
    for k in range(low.bit_length() - 1, high.bit_length()):
        sums |= {(1 << k) + step for step in (-1, 0, 1)}
    return sorted(s for s in sums if low <= s <= high)


def _row_of_sum(s: int, one: int, first: bool) -> np.ndarray:
    """Return the shortest row of that sum: keys of `one`, what is left in the first or last."""
    keys, left = divmod(s, one)
    row = np.full(keys + (left > 0), one, np.int64)
    if left:
        row[0 if first else -1] = left
    return row


def _uniform(config: AttentionConfig) -> Iterable[np.ndarray]:
    one = 1 << config.table_bits
    for keys in (1, 2, 3, 5, 8, 16, 17):
        if keys <= config.max_tokens:
            yield np.full(keys, one)


def _one_hot(config: AttentionConfig) -> Iterable[np.ndarray]:
    """Rows of one largest key, every other e being 0, its largest value less one, or 0101..."""
    one = 1 << config.table_bits
    for keys in sorted({min(each, config.max_tokens) for each in (2, 5, 17)} - {1}):
        for place in sorted({0, keys // 2, keys - 1}):
            for other in (0, 1, one - 1, (one - 1) // 3):
                row = np.full(keys, other)
                row[place] = one
                yield row


#: Rows of the largest sum: its top bit is 1 in no other, and each may be taken without waiting.
_LARGEST_SUMS = 8


def _longest(config: AttentionConfig, sampler: Sampler) -> Iterable[np.ndarray]:
    for place in sorted({0, config.max_tokens - 1}):
        row = sampler.integers(0, 1 << config.table_bits, config.max_tokens)
        row[place] = 1 << config.table_bits
        yield row
    for _ in range(_LARGEST_SUMS):
        yield np.full(config.max_tokens, 1 << config.table_bits)


def _corners(target: Target, sampler: Sampler) -> list[CaseGroup]:
    config = target.config
    one = 1 << config.table_bits
    rows_of = {
        "sums at every power of two and its neighbours, and at the limits": (
            _row_of_sum(s, one, index % 2 == 0) for index, s in enumerate(_sums(config))
        ),
        "uniform rows": _uniform(config),
        "one key at the maximum, the others equal": _one_hot(config),
        "the largest N": _longest(config, sampler),
    }
    return _groups("corners", rows_of)


def _random(target: Target, sampler: Sampler, cases: int) -> list[CaseGroup]:
    rows = (_drawn(target.config, sampler) for _ in range(cases))
    return _groups("random", {"N and the octaves of e drawn": rows})


def _drawn(config: AttentionConfig, sampler: Sampler) -> np.ndarray:
    keys = random_length(config, sampler)
    row = sampler.below_power(sampler.integers(0, config.table_bits, keys))
    row[sampler.integer(0, keys - 1)] = 1 << config.table_bits
    return row


def _groups(source: str, rows_of: Mapping[str, Iterable[np.ndarray]]) -> list[CaseGroup]:
    return row_groups(source, {why: ({"e": row} for row in rows) for why, rows in rows_of.items()})


def _simulate(target: Target, inputs: Tables, progress: Progress) -> Tables:
    beats, one = inputs["stimulus"], 1 << target.config.table_bits
    largest = np.maximum.reduceat(beats["e"], row_starts(beats["last"]))
    check_range("row_sum", "the largest e", largest, one, one)
    e = beats["e"].astype(np.int32)
    sums = [row_sum_kernel(e[row]) for row in row_slices(beats["last"])]
    return {"expected": {"s": np.array(sums, np.int64)}}


def _points(target: Target) -> list[Point]:
    config = target.config
    low, high = range_of_s(config)
    several = config.max_tokens >= 2
    return [
        Point("one_key", "BL2-ROW-01", "keys", 1),
        Point("most_keys", "BL2-ROW-01", "keys", config.max_tokens),
        *(
            Point(f"s_power_{k}_{name}", "BL2-SUM-01", "s", s, low <= s <= high)
            for k in range(low.bit_length() - 1, high.bit_length())
            for name, s in (("below", (1 << k) - 1), ("at", 1 << k), ("above", (1 << k) + 1))
        ),
        Point("s_smallest", "BL2-SUM-02", "s", low),
        Point("s_largest", "BL2-SUM-01", "s", high),
        Point("one_hot", "BL2-SUM-02", reachable=several),
        Point("uniform", "BL2-SUM-01", reachable=several),
        Point("largest_e_first", "BL2-SUM-02", reachable=several),
        Point("largest_e_last", "BL2-SUM-02", reachable=several),
    ]


def _signals(target: Target, tables: Tables) -> Signals:
    last, e = tables["stimulus"]["last"], tables["stimulus"]["e"]
    starts, keys = row_starts(last), row_lengths(last)
    full = e == 1 << target.config.table_bits
    largest, nonzero = sums_of_rows(full, last), sums_of_rows(e > 0, last)
    several = keys > 1
    return {
        "keys": keys,
        "s": tables["expected"]["s"],
        "one_hot": several & (nonzero == 1),
        "uniform": several & (largest == keys),
        "largest_e_first": several & (largest == 1) & full[starts],
        "largest_e_last": several & (largest == 1) & full[starts + keys - 1],
    }


ROW_SUM = GoldenUnit(
    declared=row_sum_unit.ROW_SUM,
    corners=_corners,
    random=_random,
    random_cases=128,
    kernels=_simulate,
    specify=Specified(row_sum_unit.ROW_SUM, "s", row_sum, ("e",), configured=False),
    points=_points,
    signals=_signals,
)
