"""Rows for shift-and-add: every level with every sign, pairs of levels, bounds, lengths, random.

The values of a row's levels sum to at most A, as those of a quantized row do.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bitlog2.sim import AttentionConfig
from bitlog2.sim.spec import code_register

from ..framing import row_group
from ..sampler import Sampler
from ..target import Target
from ..unit import CaseGroup
from .row_max_cases import random_length

__all__ = ["shift_add_cases"]

_RANDOM_ROWS = 64


@dataclass(frozen=True)
class _Row:
    """Levels (N,), codes v (N, D) and the zero point of a row."""

    levels: Sequence[int]
    v: np.ndarray
    zv: int


@dataclass(frozen=True)
class _Maker:
    config: AttentionConfig
    lanes: int
    sampler: Sampler

    @property
    def top(self) -> int:
        """The largest code of v."""
        return (1 << self.config.v_bits) - 1

    def flat(self, levels: Sequence[int], v: int, zv: int) -> _Row:
        """Return a row with one code in every key and lane."""
        return _Row(levels, np.full((len(levels), self.lanes), v), zv)

    def drawn(self, levels: Sequence[int]) -> _Row:
        """Return a row with codes and zero point drawn: every lane differs."""
        v = self.sampler.integers(0, self.top, len(levels) * self.lanes)
        return _Row(levels, v.reshape(-1, self.lanes), self.sampler.integer(0, self.top))

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


def shift_add_cases(target: Target, source: str, seed: int, cases: int | None) -> list[CaseGroup]:
    """Return the corner rows or the random rows of a seed."""
    maker = _Maker(target.config, target.head_dim, Sampler(seed, f"shift_add.{source}"))
    if source == "random":
        count = _RANDOM_ROWS if cases is None else cases
        return [_group(maker, source, "N, levels, v and zero point drawn", _random(maker, count))]
    reasons = {
        "every level alone: v - zv at both bounds, at 0 and drawn": _alone(maker),
        "every pair of levels whose values sum to at most A": _pairs(maker),
        "values that sum to A: accumulators at both bounds, and 0 by cancellation": _bounds(maker),
        "the largest N, and a row that has vanished": _lengths(maker),
    }
    listed = ((reason, list(rows)) for reason, rows in reasons.items())
    return [_group(maker, source, reason, rows) for reason, rows in listed if rows]


def _group(maker: _Maker, source: str, reason: str, rows: Iterable[_Row]) -> CaseGroup:
    listed = list(rows)
    codes = np.array([code_register(k, maker.config.code) for k in range(maker.config.code.levels)])
    beats = [
        {"nibble": codes[list(row.levels), 0], "flag": codes[list(row.levels), 1], "v": row.v}
        for row in listed
    ]
    return row_group(source, reason, beats, {"zv": [row.zv for row in listed]})


def _alone(maker: _Maker) -> Iterable[_Row]:
    top = maker.top
    for level in range(maker.config.code.levels):
        for v, zv in ((0, top), (top, 0), (1, 1)):
            yield maker.flat([level], v, zv)
        yield maker.drawn([level])


def _pairs(maker: _Maker) -> Iterable[_Row]:
    scheme = maker.config.code
    for first in range(scheme.levels if maker.config.max_tokens >= 2 else 0):
        for second in range(scheme.levels):
            if scheme.values[first] + scheme.values[second] <= scheme.int_max:
                yield maker.drawn([first, second])


def _bounds(maker: _Maker) -> Iterable[_Row]:
    """Two equal keys have the value A / 2 each; with level 1 alone it takes A keys."""
    scheme, most, top = maker.config.code, maker.config.max_tokens, maker.top
    if most < 2:
        return
    half = scheme.values.index(scheme.int_max // 2)
    rows = [[half, half]]
    if most >= 3:
        rows.append([half, 0, half])
    if most >= scheme.int_max <= 1024:
        rows.append([1] * scheme.int_max)
    for levels in rows:
        for v, zv in ((0, top), (top, 0), (top, top)):
            yield maker.flat(levels, v, zv)
    cancelling = np.array([[0], [2]]).repeat(maker.lanes, axis=1)
    yield _Row([half, half], cancelling, 1)
    yield _Row([half, half], cancelling[::-1], 1)


def _lengths(maker: _Maker) -> Iterable[_Row]:
    most = maker.config.max_tokens
    yield maker.drawn(maker.levels(most, maker.config.code.int_max))
    yield maker.drawn([0] * min(most, 5))


def _random(maker: _Maker, count: int) -> Iterable[_Row]:
    for _ in range(count):
        keys = random_length(maker.config, maker.sampler)
        yield maker.drawn(maker.levels(keys, maker.config.code.int_max))
