"""Vectors of row max and distance: t and mask of a row's keys to its maximum, and d of each key."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import AttentionConfig, LayerParams
from bitlog2.sim.kernel.constants import layer_constants
from bitlog2.sim.spec import distance, row_max
from bitlog2.sim.units import row_max as row_max_unit
from bitlog2.sim.units.row_max import distance_kernel, keep_distance, row_max_kernel

from ..words.framing import row_lengths, row_slices, row_starts, sums_of_rows
from .cases import near_powers
from .sampler import Sampler
from .unit import (
    CaseGroup,
    GoldenUnit,
    Point,
    Progress,
    Row,
    Signals,
    Tables,
    Target,
    check_range,
    ends,
    row_groups,
)

_LONGEST = 200


def _corners(target: Target, sampler: Sampler) -> list[CaseGroup]:
    config = target.config
    rows_of = {
        "one key: t at powers of two and their neighbours": (
            _row([t]) for t in near_powers(config.t_min, config.t_max)
        ),
        "every gap at powers of two, at the largest distance and their neighbours": _gaps(config),
        "all t equal, at the limits, at 0 and next to it": _equal(config),
        "the maximum in every place": _places(config, sampler),
        "masked keys: first, last, all but one, though above the maximum": _masked(config),
        "the largest N: maximum first, maximum last, every second key masked": _long(
            config, sampler
        ),
    }
    return row_groups("corners", rows_of)


def _random(target: Target, sampler: Sampler, cases: int) -> list[CaseGroup]:
    rows = (_drawn(target.config, sampler) for _ in range(cases))
    return row_groups("random", {"N, t about a centre, and masks drawn": rows})


def _row(t: Sequence[int] | np.ndarray, masked: Sequence[int] = ()) -> Row:
    mask = np.zeros(len(t), np.int64)
    mask[list(masked)] = 1
    return {"mask": mask, "t": np.asarray(t, np.int64)}


def _gaps(config: AttentionConfig) -> Iterable[Row]:
    reach = config.t_max - config.t_min
    gaps = {*near_powers(0, reach), *(config.d_max + step for step in (-1, 0, 1, 2))}
    for gap in sorted(gap for gap in gaps if gap <= reach) if config.max_tokens > 1 else ():
        for top in sorted({config.t_max, config.t_min + gap}):
            yield _row([top, top - gap])
            yield _row([top - gap, top])


def _equal(config: AttentionConfig) -> Iterable[Row]:
    for keys in (2, 3, 8, 17):
        if keys <= config.max_tokens:
            for t in (config.t_min, -1, 0, 1, config.t_max):
                yield _row([t] * keys)


def _places(config: AttentionConfig, sampler: Sampler) -> Iterable[Row]:
    keys = min(9, config.max_tokens)
    for place in range(keys):
        for top in (config.t_max, config.t_min + 5, 0):
            gaps = sampler.integers(1, 5, keys)
            gaps[place] = 0
            yield _row(top - gaps)


def _masked(config: AttentionConfig) -> Iterable[Row]:
    for keys in (2, 3, 6):
        if keys > config.max_tokens:
            continue
        for seen in sorted({0, keys // 2, keys - 1}):
            others = [key for key in range(keys) if key != seen]
            for low, high in ((config.t_min, config.t_max), (-3, 4), (config.t_max, config.t_min)):
                t = [low if key == seen else high for key in range(keys)]
                yield _row(t, others)
        for hidden in (0, keys - 1):
            t = [key - keys for key in range(keys)]
            t[hidden] = config.t_max
            yield _row(t, [hidden])


def _long(config: AttentionConfig, sampler: Sampler) -> Iterable[Row]:
    keys = config.max_tokens
    for place in sorted({0, keys - 1}):
        t = config.t_max - sampler.integers(1, 2 * config.d_max, keys)
        t[place] = config.t_max
        yield _row(np.maximum(t, config.t_min))
    yield _row(_spread_t(config, sampler, keys), range(1, keys, 2))


def _spread_t(config: AttentionConfig, sampler: Sampler, keys: int) -> np.ndarray:
    centre = sampler.integer(config.t_min, config.t_max)
    reach = 1 << sampler.integer(0, config.t_bits - 1)
    return np.clip(centre + sampler.integers(-reach, reach, keys), config.t_min, config.t_max)


def random_length(config: AttentionConfig, sampler: Sampler) -> int:
    """Return N: half of the rows short, half anywhere up to 200."""
    longest = min(_LONGEST, config.max_tokens)
    short = sampler.integer(0, 1) == 1
    return sampler.integer(1, min(17, longest) if short else longest)


def _drawn(config: AttentionConfig, sampler: Sampler) -> Row:
    keys = random_length(config, sampler)
    drawn = sampler.integers(0, 3, keys) < sampler.integer(0, 3)
    drawn[sampler.integer(0, keys - 1)] = False
    return _row(_spread_t(config, sampler, keys), np.flatnonzero(drawn).tolist())


def _simulate(target: Target, inputs: Tables, progress: Progress) -> Tables:
    config, beats = target.config, inputs["stimulus"]
    seen = sums_of_rows(beats["mask"] == 0, beats["last"])
    check_range("row_max", "keys that are not masked", seen, 1, config.max_tokens)
    layer = layer_constants(config, LayerParams(m=1, n=0, m2=1, n2=0))
    t, mask = beats["t"].astype(np.int32), beats["mask"].astype(np.uint8)
    largest, d = np.empty(len(seen), np.int64), np.empty(len(t), np.int32)
    held = np.empty(len(t), np.int16)
    for case, row in enumerate(row_slices(beats["last"])):
        hidden = mask[row] if mask[row].any() else mask[:0]
        largest[case] = row_max_kernel(t[row], hidden, layer)
        distance_kernel(t[row], np.int32(largest[case]), hidden, layer, held[row])
    keep_distance(held, layer, d)
    return {"expected": {"row_max": largest}, "keys": {"d": d.astype(np.int64)}}


def _specify(target: Target, inputs: Tables, progress: Progress) -> Tables:
    beats, maxima, d = inputs["stimulus"], [], []
    rows = row_slices(beats["last"])
    for row in progress(rows, "row_max: specification", len(rows)):
        t, masked = beats["t"][row].tolist(), [bool(each) for each in beats["mask"][row]]
        maxima.append(row_max(t, masked))
        d += [
            distance(value, maxima[-1], hidden, target.config)
            for value, hidden in zip(t, masked, strict=True)
        ]
    return {"expected": {"row_max": np.array(maxima)}, "keys": {"d": np.array(d)}}


def _points(target: Target) -> list[Point]:
    config = target.config
    several, reach = config.max_tokens >= 2, config.t_max - config.t_min
    gaps = {1 << k for k in range(config.d_max.bit_length())} | {config.d_max - 1, config.d_max}
    return [
        Point("one_key", "BL2-ROW-01", "keys", 1),
        Point("most_keys", "BL2-ROW-01", "keys", config.max_tokens),
        *ends(config, "BL2-MAX-01", "row_max"),
        Point("masked_first", "BL2-MAX-01", reachable=several),
        Point("masked_last", "BL2-MAX-01", reachable=several),
        Point("masked_above_row_max", "BL2-MAX-01", reachable=several),
        Point("masked_largest_t_over_smallest", "BL2-MAX-01", reachable=several),
        Point("one_unmasked", "BL2-MAX-02", reachable=several),
        Point("maximum_first", "BL2-MAX-01", reachable=several),
        Point("maximum_last", "BL2-MAX-01", reachable=several),
        Point("maximum_negative", "BL2-MAX-01"),
        Point("all_equal", "BL2-MAX-03", reachable=several),
        Point("gap_0", "BL2-MAX-03", "gap", 0),
        *(
            Point(f"gap_{gap}", "BL2-MAX-03", "gap", gap, several and gap <= reach)
            for gap in sorted(gaps)
        ),
        Point(
            "gap_first_saturated",
            "BL2-MAX-03",
            "gap",
            config.d_max + 1,
            several and config.d_max < reach,
        ),
        Point("gap_largest", "BL2-MAX-03", "gap", reach, several),
    ]


def _signals(target: Target, tables: Tables) -> Signals:
    config, beats = target.config, tables["stimulus"]
    last, t, seen = beats["last"], beats["t"], beats["mask"] == 0
    starts, keys = row_starts(last), row_lengths(last)
    ends = starts + keys - 1
    row_max = tables["expected"]["row_max"]
    of_key = np.repeat(row_max, keys)
    maximum = seen & (t == of_key)
    maxima, visible = sums_of_rows(maximum, last), sums_of_rows(seen, last)
    alone = (maxima == 1) & (keys > 1)

    def any_key(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return sums_of_rows(flags, last) > 0

    return {
        "keys": keys,
        "row_max": row_max,
        "masked_first": ~seen[starts],
        "masked_last": ~seen[ends],
        "masked_above_row_max": any_key(~seen & (t > of_key)),
        "masked_largest_t_over_smallest": any_key(~seen & (t == config.t_max))
        & (row_max == config.t_min),
        "one_unmasked": (visible == 1) & (keys > 1),
        "maximum_first": alone & maximum[starts],
        "maximum_last": alone & maximum[ends],
        "maximum_negative": row_max < 0,
        "all_equal": (maxima == keys) & (keys > 1),
        "gap": np.where(seen, of_key - t, -1),
    }


ROW_MAX = GoldenUnit(
    declared=row_max_unit.ROW_MAX,
    corners=_corners,
    random=_random,
    random_cases=128,
    kernels=_simulate,
    specify=_specify,
    points=_points,
    signals=_signals,
)
