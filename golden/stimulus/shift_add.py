"""Vectors of shift-and-add: nibbles, flags and v of a row to one accumulator a channel."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import AttentionConfig
from bitlog2.sim.kernel.constants import scheme_constants
from bitlog2.sim.scheme import Scheme
from bitlog2.sim.spec import code_register, level_of_code, shift_add
from bitlog2.sim.units import shift_add as shift_add_unit
from bitlog2.sim.units.shift_add import shift_add_kernel

from ..words.framing import row_lengths, row_slices, sums_of_rows
from .cases import level_name
from .row_max import random_length
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
    bounds,
    check_range,
    ends,
    row_groups,
)


@dataclass(frozen=True)
class _Maker:
    config: AttentionConfig
    lanes: int
    sampler: Sampler

    @property
    def top(self) -> int:
        """The largest code of v."""
        return (1 << self.config.v_bits) - 1

    def row(self, levels: Sequence[int], v: np.ndarray, zv: int) -> Row:
        """Return a row of levels (N,), codes v (N, D) and their zero point."""
        codes = [code_register(level, self.config.code) for level in levels]
        nibble, flag = np.array(codes).T
        return {"nibble": nibble, "flag": flag, "v": v, "zv": zv}

    def flat(self, levels: Sequence[int], v: int, zv: int) -> Row:
        """Return a row with one code in every key and lane."""
        return self.row(levels, np.full((len(levels), self.lanes), v), zv)

    def drawn(self, levels: Sequence[int]) -> Row:
        """Return a row with codes and zero point drawn: every lane differs."""
        v = self.sampler.integers(0, self.top, len(levels) * self.lanes)
        return self.row(levels, v.reshape(-1, self.lanes), self.sampler.integer(0, self.top))

    def levels(self, keys: int, left: int) -> list[int]:
        """Return drawn levels whose values sum to at most `left`, the larger anywhere."""
        values, levels = self.config.code.values, []
        for _ in range(keys):
            most = sum(value <= left for value in values) - 1
            level = self.sampler.integer(0, most)
            left -= values[level]
            levels.append(level)
        turn = self.sampler.integer(0, keys - 1)
        return levels[turn:] + levels[:turn]


def _corners(target: Target, sampler: Sampler) -> list[CaseGroup]:
    maker = _Maker(target.config, target.head_dim, sampler)
    most = "N * A" if target.config.code.row_max else "A"
    rows_of = {
        "every level alone: v - zv at both bounds, at 0 and drawn": _alone(maker),
        f"every pair of levels whose values sum to at most {most}": _pairs(maker),
        f"values that sum to {most}: accumulators at both bounds, and 0 by cancellation": _bounds(
            maker
        ),
        "the largest N, and a row that has vanished": _lengths(maker),
    }
    return row_groups("corners", rows_of)


def _random(target: Target, sampler: Sampler, cases: int) -> list[CaseGroup]:
    maker = _Maker(target.config, target.head_dim, sampler)
    rows = (_any_row(maker) for _ in range(cases))
    return row_groups("random", {"N, levels, v and zero point drawn": rows})


def _alone(maker: _Maker) -> Iterable[Row]:
    top = maker.top
    for level in range(maker.config.code.levels):
        for v, zv in ((0, top), (top, 0), (1, 1)):
            yield maker.flat([level], v, zv)
        yield maker.drawn([level])


def _pairs(maker: _Maker) -> Iterable[Row]:
    scheme = maker.config.code
    for first in range(scheme.levels if maker.config.max_tokens >= 2 else 0):
        for second in range(scheme.levels):
            if scheme.values[first] + scheme.values[second] <= maker.config.largest_weight:
                yield maker.drawn([first, second])


def _bounds(maker: _Maker) -> Iterable[Row]:
    """Quotients: two equal keys have the value A / 2 each; with level 1 alone it takes A keys.
    RowMax: as many keys as fit have the value A.
    """
    scheme, most, top = maker.config.code, maker.config.max_tokens, maker.top
    half = scheme.middle_level
    rows = [[scheme.top_level] * most] if scheme.row_max else []
    if not scheme.row_max:
        rows += [[half, half]] if most >= 2 else []
        rows += [[half, 0, half]] if most >= 3 else []
        rows += [[1] * scheme.int_max] if most >= scheme.int_max <= 1024 else []
    for levels in rows:
        for v, zv in ((0, top), (top, 0), (top, top)):
            yield maker.flat(levels, v, zv)
    if most < 2:
        return
    cancelling = np.array([[0], [2]]).repeat(maker.lanes, axis=1)
    yield maker.row([half, half], cancelling, 1)
    yield maker.row([half, half], cancelling[::-1], 1)


def _lengths(maker: _Maker) -> Iterable[Row]:
    most = maker.config.max_tokens
    yield maker.drawn(maker.levels(most, maker.config.largest_weight))
    yield maker.drawn([0] * min(most, 5))


def _any_row(maker: _Maker) -> Row:
    keys = random_length(maker.config, maker.sampler)
    return maker.drawn(maker.levels(keys, maker.config.largest_weight))


_Integers = NDArray[np.int64]
_SIGNS = ("negative", "zero", "positive")


def _levels(scheme: Scheme, nibble: _Integers, flag: _Integers) -> _Integers:
    return nibble + (1 - flag) if scheme.zero_flag else nibble


def _checked(target: Target, inputs: Tables) -> None:
    """Refuse values that sum to more than a row's: those of quotients to at most A."""
    scheme, beats = target.config.code, inputs["stimulus"]
    values = np.array(scheme.values)[_levels(scheme, beats["nibble"], beats["flag"])]
    total = sums_of_rows(values, beats["last"])
    most = target.config.largest_weight
    check_range("shift_add", "the sum of the values", total, 0, most)


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
    bound_id = "BL2-ACC-03" if scheme.row_max else "BL2-ACC-02"
    values_sum = "values_sum_to_n_a" if scheme.row_max else "values_sum_to_a"
    top = (1 << config.v_bits) - 1
    return [
        *(
            Point(f"{level_name(level, config)}_x_{sign}", "BL2-ACC-01", "term", 3 * level + index)
            for level in range(scheme.levels)
            for index, sign in enumerate(_SIGNS)
        ),
        Point("x_smallest", "BL2-ACC-01", "x", -top),
        Point("x_largest", "BL2-ACC-01", "x", top),
        *ends(config, "BL2-PARAM-02", "zv"),
        *bounds(config, bound_id, "acc", several or scheme.row_max),
        Point("acc_cancelled", "BL2-ACC-01", reachable=several),
        Point(values_sum, bound_id, "total", config.largest_weight, several or scheme.row_max),
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
        "acc_cancelled": adds & (acc == 0).any(axis=1),
        "total": total,
        "keys": keys,
    }


SHIFT_ADD = GoldenUnit(
    declared=shift_add_unit.SHIFT_ADD,
    corners=_corners,
    random=_random,
    random_cases=64,
    kernels=_simulate,
    specify=_specify,
    points=_points,
    signals=_signals,
)
