"""Vectors of shift-and-add: nibbles, flags and v of a row to one accumulator a channel."""

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim.kernel.constants import scheme_constants
from bitlog2.sim.kernel.shift_add import shift_add as shift_add_kernel
from bitlog2.sim.scheme import Scheme
from bitlog2.sim.spec import level_of_code, shift_add

from ..coverage import Coverage, Point, Signals
from ..framing import row_lengths, row_slices, sums_of_rows
from ..ports import stream
from ..target import Target
from ..unit import Progress, Tables, Unit
from .checks import check_lengths, check_range
from .level_names import level_name
from .shift_add_cases import shift_add_cases

__all__ = ["SHIFT_ADD"]

_Integers = NDArray[np.int64]
_SIGNS = ("negative", "zero", "positive")


def _levels(scheme: Scheme, nibble: _Integers, flag: _Integers) -> _Integers:
    return nibble + (1 - flag) if scheme.zero_flag else nibble


def _checked(target: Target, inputs: Tables) -> None:
    """Refuse what no row has: codes that there are not, values that sum to more than A."""
    config, beats = target.config, inputs["stimulus"]
    scheme, last = config.code, beats["last"]
    check_lengths("shift_add", last, config.max_tokens)
    nibble, flag = beats["nibble"], beats["flag"]
    case_of = np.repeat(np.arange(int(last.sum())), row_lengths(last))
    check_range("shift_add", "flag", flag, 0, int(scheme.zero_flag), case_of)
    check_range("shift_add", "a nibble beside the flag", nibble * flag, 0, 0, case_of)
    values = np.array(scheme.values)[_levels(scheme, nibble, flag)]
    total = sums_of_rows(values, last)
    check_range("shift_add", "the sum of the values", total, 0, scheme.int_max)


def _simulate(target: Target, inputs: Tables, progress: Progress) -> Tables:
    _checked(target, inputs)
    scheme, beats = target.config.code, inputs["stimulus"]
    level = _levels(scheme, beats["nibble"], beats["flag"]).astype(np.uint8)
    v = beats["v"].reshape(len(level), -1).astype(np.int32)
    constants, rows = scheme_constants(scheme), row_slices(beats["last"])
    acc = np.empty((len(rows), target.head_dim), np.int32)
    for case, (row, zv) in enumerate(zip(rows, inputs["params"]["zv"].tolist(), strict=True)):
        shift_add_kernel(level[row], v[row], zv, constants, acc[case])
    return {"expected": {"acc": acc.astype(np.int64)}}


def _specify(target: Target, inputs: Tables, progress: Progress) -> Tables:
    scheme, beats = target.config.code, inputs["stimulus"]
    v = beats["v"].reshape(len(beats["last"]), -1)
    cases = list(zip(row_slices(beats["last"]), inputs["params"]["zv"].tolist(), strict=True))
    acc = []
    for row, zv in progress(cases, "shift_add: specification", len(cases)):
        codes = zip(beats["nibble"][row].tolist(), beats["flag"][row].tolist(), strict=True)
        levels = [level_of_code(nibble, flag, scheme) for nibble, flag in codes]
        acc.append([shift_add(levels, channel, zv, scheme) for channel in v[row].T.tolist()])
    return {"expected": {"acc": np.array(acc, np.int64)}}


def _points(target: Target) -> list[Point]:
    config = target.config
    scheme, several = config.code, config.max_tokens >= 2
    bound, top = config.registers["acc"].bound, (1 << config.v_bits) - 1
    return [
        *(
            Point(f"{level_name(level, config)}_x_{sign}", "BL2-ACC-01", "term", 3 * level + index)
            for level in range(scheme.levels)
            for index, sign in enumerate(_SIGNS)
        ),
        Point("x_smallest", "BL2-ACC-01", "x", -top),
        Point("x_largest", "BL2-ACC-01", "x", top),
        Point("zv_smallest", "BL2-PARAM-02", "zv", 0),
        Point("zv_largest", "BL2-PARAM-02", "zv", top),
        Point("acc_bound_low", "BL2-ACC-02", "acc", -bound, several),
        Point("acc_bound_high", "BL2-ACC-02", "acc", bound, several),
        Point("acc_cancelled", "BL2-ACC-01", "cancelled", reachable=several),
        Point("values_sum_to_a", "BL2-ACC-02", "total", scheme.int_max, several),
        Point("vanished", "BL2-ACC-01", "total", 0),
        Point("one_key", "BL2-ROW-01", "keys", 1),
        Point("most_keys", "BL2-ROW-01", "keys", config.max_tokens),
    ]


def _signals(target: Target, tables: Tables) -> Signals:
    scheme, beats = target.config.code, tables["stimulus"]
    last, zv = beats["last"], tables["params"]["zv"]
    keys = row_lengths(last)
    level = _levels(scheme, beats["nibble"], beats["flag"])
    x = beats["v"].reshape(len(last), -1) - np.repeat(zv, keys)[:, None]
    total = sums_of_rows(np.array(scheme.values)[level], last)
    acc = tables["expected"]["acc"].reshape(len(keys), -1)
    adds = sums_of_rows((level > 0) & (x != 0).all(axis=1), last) > 1
    return {
        "term": 3 * level[:, None] + np.sign(x) + 1,
        "x": x,
        "zv": zv,
        "acc": acc,
        "cancelled": adds & (acc == 0).any(axis=1),
        "total": total,
        "keys": keys,
    }


_COVERAGE = Coverage(_points, _signals)

SHIFT_ADD = Unit(
    name="shift_add",
    streams=(
        stream("params", "input", "case", "zv"),
        stream("stimulus", "input", "beat", "last", "nibble", "flag", "v", lanes=("v",)),
        stream("expected", "output", "case", "acc", lanes=("acc",)),
    ),
    datapath=(("shift_add", "expected", "acc"),),
    stimulus=shift_add_cases,
    simulate=_simulate,
    specify=_specify,
    bins=_COVERAGE.bins,
    hits=_COVERAGE.hits,
    requirements=_COVERAGE.requirements,
)
