"""Vectors of row max and distance: t and mask of a row's keys to its maximum, and d of each key."""

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import LayerParams
from bitlog2.sim.kernel.constants import layer_constants
from bitlog2.sim.kernel.row_max import distance as distance_kernel
from bitlog2.sim.kernel.row_max import keep_distance
from bitlog2.sim.kernel.row_max import row_max as row_max_kernel
from bitlog2.sim.spec import distance, row_max

from ..coverage import Coverage, Point, Signals
from ..framing import row_lengths, row_slices, row_starts, sums_of_rows
from ..ports import stream
from ..target import Target
from ..unit import Progress, Tables, Unit
from .checks import check_lengths, check_range
from .row_max_cases import row_max_cases

__all__ = ["ROW_MAX"]


def _simulate(target: Target, inputs: Tables, progress: Progress) -> Tables:
    config, beats = target.config, inputs["stimulus"]
    check_lengths("row_max", beats["last"], config.max_tokens)
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
        Point("row_max_smallest", "BL2-MAX-01", "row_max", config.t_min),
        Point("row_max_largest", "BL2-MAX-01", "row_max", config.t_max),
        Point("masked_first", "BL2-MAX-01", "masked_first", reachable=several),
        Point("masked_last", "BL2-MAX-01", "masked_last", reachable=several),
        Point("masked_above_row_max", "BL2-MAX-01", "masked_above", reachable=several),
        Point("masked_largest_t_over_smallest", "BL2-MAX-01", "masked_far", reachable=several),
        Point("one_unmasked", "BL2-MAX-02", "one_unmasked", reachable=several),
        Point("maximum_first", "BL2-MAX-01", "maximum_first", reachable=several),
        Point("maximum_last", "BL2-MAX-01", "maximum_last", reachable=several),
        Point("maximum_negative", "BL2-MAX-01", "maximum_negative"),
        Point("all_equal", "BL2-MAX-03", "all_equal", reachable=several),
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
        "masked_above": any_key(~seen & (t > of_key)),
        "masked_far": any_key(~seen & (t == config.t_max)) & (row_max == config.t_min),
        "one_unmasked": (visible == 1) & (keys > 1),
        "maximum_first": alone & maximum[starts],
        "maximum_last": alone & maximum[ends],
        "maximum_negative": row_max < 0,
        "all_equal": (maxima == keys) & (keys > 1),
        "gap": np.where(seen, of_key - t, -1),
    }


def _ignored(tables: Tables) -> dict[tuple[str, str], NDArray[np.bool_]]:
    """The distance of a masked key means nothing on a device (BL2-MAX-04)."""
    return {("keys", "d"): tables["stimulus"]["mask"] == 1}


_COVERAGE = Coverage(_points, _signals)

ROW_MAX = Unit(
    name="row_max",
    streams=(
        stream("stimulus", "input", "beat", "last", "mask", "t"),
        stream("expected", "output", "case", "row_max"),
        stream("keys", "output", "beat", "d"),
    ),
    datapath=(("row_max", "expected", "row_max"), ("distance", "keys", "d")),
    stimulus=row_max_cases,
    simulate=_simulate,
    specify=_specify,
    bins=_COVERAGE.bins,
    hits=_COVERAGE.hits,
    requirements=_COVERAGE.requirements,
    ignored=_ignored,
)
