"""Vectors of the weight sum of RowMax: levels of a row to the sum of their values."""

from collections.abc import Iterable

import numpy as np

from bitlog2.sim import AttentionConfig
from bitlog2.sim.kernel.constants import scheme_constants
from bitlog2.sim.spec import weight_sum
from bitlog2.sim.units import weight_sum as weight_sum_unit
from bitlog2.sim.units.weight_sum import weight_sum_kernel

from ..words.framing import row_lengths, row_slices, row_starts, sums_of_rows
from .cases import level_name
from .row_max import random_length
from .sampler import Sampler
from .unit import (
    CaseGroup,
    GoldenUnit,
    Point,
    Progress,
    Signals,
    Tables,
    Target,
    check_range,
    row_groups,
)

_Row = dict[str, np.ndarray]


def _corners(target: Target, sampler: Sampler) -> list[CaseGroup]:
    config = target.config
    rows_of = {
        "one key": [_row([config.code.top_level])],
        "every level beside the maximum, before and after it": _beside(config),
        "uniform rows, and the largest N": _uniform(config),
        "one key at the maximum, the others of one level": _one_hot(config),
        "sums at every power of two and next to it": _sums(config),
        "the largest N, levels drawn": _longest(config, sampler),
    }
    return row_groups("corners", rows_of)


def _random(target: Target, sampler: Sampler, cases: int) -> list[CaseGroup]:
    rows = (_drawn(target.config, sampler) for _ in range(cases))
    return row_groups("random", {"N and levels drawn, one of them the largest": rows})


def _row(levels: Iterable[int]) -> _Row:
    return {"level": np.array(list(levels), np.int64)}


def _beside(config: AttentionConfig) -> Iterable[_Row]:
    top = config.code.top_level
    for level in range(config.code.levels if config.max_tokens >= 2 else 0):
        yield _row([top, level])
        yield _row([level, top])


def _uniform(config: AttentionConfig) -> Iterable[_Row]:
    for keys in sorted({*(2, 3, 5, 8, 16, 17), config.max_tokens}):
        if keys <= config.max_tokens:
            yield _row([config.code.top_level] * keys)


def _one_hot(config: AttentionConfig) -> Iterable[_Row]:
    top = config.code.top_level
    for keys in sorted({min(each, config.max_tokens) for each in (2, 5, 17)} - {1}):
        for place in sorted({0, keys // 2, keys - 1}):
            for other in (0, 1, top - 1):
                yield _row(top if key == place else other for key in range(keys))


def _reached(config: AttentionConfig, total: int) -> list[int] | None:
    """Return the fewest levels, the top level among them, whose values add up to `total`."""
    values, levels, left = config.code.values, [], total
    for level in reversed(range(1, config.code.levels)):
        count, left = divmod(left, values[level])
        levels += [level] * min(count, config.max_tokens + 1)
    short = left == 0 and len(levels) <= config.max_tokens and levels[:1] == [config.code.top_level]
    return levels if short else None


def _targets(config: AttentionConfig) -> list[int]:
    """Return the sums at powers of two and next to them that rows reach."""
    octaves = range(config.code.int_max.bit_length() - 1, config.largest_weight.bit_length())
    sums = sorted({(1 << k) + step for k in octaves for step in (-1, 0, 1)})
    return [each for each in sums if _reached(config, each) is not None]


def _sums(config: AttentionConfig) -> Iterable[_Row]:
    for index, total in enumerate(_targets(config)):
        levels = _reached(config, total)
        assert levels is not None
        yield _row(levels if index % 2 else reversed(levels))


def _longest(config: AttentionConfig, sampler: Sampler) -> Iterable[_Row]:
    for place in sorted({0, config.max_tokens - 1}):
        levels = sampler.integers(0, config.code.top_level, config.max_tokens)
        levels[place] = config.code.top_level
        yield {"level": levels}


def _drawn(config: AttentionConfig, sampler: Sampler) -> _Row:
    keys = random_length(config, sampler)
    levels = sampler.integers(0, config.code.top_level, keys)
    levels[sampler.integer(0, keys - 1)] = config.code.top_level
    return {"level": levels}


def _simulate(target: Target, inputs: Tables, progress: Progress) -> Tables:
    beats, scheme = inputs["stimulus"], target.config.code
    top = scheme.top_level
    largest = np.maximum.reduceat(beats["level"], row_starts(beats["last"]))
    check_range("weight_sum", "the largest level", largest, top, top)
    level, constants = beats["level"].astype(np.uint8), scheme_constants(scheme)
    sums = [weight_sum_kernel(level[row], constants) for row in row_slices(beats["last"])]
    return {"expected": {"weight_sum": np.array(sums, np.int64)}}


def _specify(target: Target, inputs: Tables, progress: Progress) -> Tables:
    beats, scheme = inputs["stimulus"], target.config.code
    rows = row_slices(beats["last"])
    label = "weight_sum: specification"
    sums = [
        weight_sum(beats["level"][r].tolist(), scheme) for r in progress(rows, label, len(rows))
    ]
    return {"expected": {"weight_sum": np.array(sums, np.int64)}}


def _points(target: Target) -> list[Point]:
    config = target.config
    several, high = config.max_tokens >= 2, config.largest_weight
    return [
        Point("one_key", "BL2-ROW-01", "keys", 1),
        Point("most_keys", "BL2-ROW-01", "keys", config.max_tokens),
        *(
            Point(
                f"{level_name(level, config)}_beside_the_maximum",
                "BL2-WEIGHT-01",
                "beside",
                level,
                several,
            )
            for level in range(config.code.levels)
        ),
        *(
            Point(f"weight_sum_{total}", "BL2-WEIGHT-01", "weight_sum", total)
            for total in _targets(config)
        ),
        Point("weight_sum_smallest", "BL2-WEIGHT-02", "weight_sum", config.code.int_max),
        Point("weight_sum_largest", "BL2-WEIGHT-02", "weight_sum", high),
        Point("one_hot", "BL2-WEIGHT-02", reachable=several),
        Point("maximum_first", "BL2-WEIGHT-01", reachable=several),
        Point("maximum_last", "BL2-WEIGHT-01", reachable=several),
    ]


def _signals(target: Target, tables: Tables) -> Signals:
    last, level = tables["stimulus"]["last"], tables["stimulus"]["level"]
    starts, keys = row_starts(last), row_lengths(last)
    top = level == target.config.code.top_level
    maxima, nonzero = sums_of_rows(top, last), sums_of_rows(level > 0, last)
    several, alone = keys > 1, (keys > 1) & (maxima == 1)
    beside = np.repeat(maxima, keys) - top > 0
    return {
        "keys": keys,
        "weight_sum": tables["expected"]["weight_sum"],
        "beside": np.where(beside, level, -1),
        "one_hot": several & (nonzero == 1),
        "maximum_first": alone & top[starts],
        "maximum_last": alone & top[starts + keys - 1],
    }


WEIGHT_SUM = GoldenUnit(
    declared=weight_sum_unit.WEIGHT_SUM,
    corners=_corners,
    random=_random,
    random_cases=128,
    kernels=_simulate,
    specify=_specify,
    points=_points,
    signals=_signals,
)
