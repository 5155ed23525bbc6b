"""Rows in which one LSB decides the output: a device without taps shows its roundings in them.

In such a row only the sensed key, and a masked one, have v - zv = 1; every other key has v = zv, so
that o shows the level of the sensed key. The distances are chosen so that the row sum is the
largest at which that level is reached ("at its threshold"), or one more ("above it"). So an LSB
more, or less, in the e of any key changes o.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import AttentionConfig, LayerParams, multiplier_and_shift
from bitlog2.sim.rounding import rnd
from bitlog2.sim.spec import exp2, log2_quantizer, output_requantizer

from .row_shapes import RowMaker, farthest, vanishing_distance
from .rows import RowCase


@dataclass(frozen=True)
class Decision:
    """Distances of a row, the sensed key first, then the tested one.

    Attributes:
        distances: distance of each key; a masked key has one below zero.
        level: level whose threshold the row sum meets, or exceeds by one.
    """

    distances: tuple[int, ...]
    level: int


#: Keys of the largest row that shows a bit of the row sum.
_FEW_KEYS = 520


class Decisions:
    """The rows that a configuration allows, found by trying sums of few distances."""

    def __init__(self, config: AttentionConfig) -> None:
        self._config = config
        self._full, self._octave = 1 << config.table_bits, 1 << config.fraction_bits
        self._e = [exp2(d, False, config) for d in range(farthest(config) + 1)]
        self._distance_of = np.full(self._full + 1, -1, np.int32)
        for d in reversed(range(len(self._e))):
            self._distance_of[self._e[d]] = d
        self._values = np.unique(np.array(self._e, np.int64))[::-1]
        # Three keys are tried where the small sums are there that make most sums possible.
        self._far_keys = 3 if self._values[-1] <= 1 else 2

    @classmethod
    @lru_cache(maxsize=8)
    def of(cls, config: AttentionConfig) -> "Decisions":
        """Return the rows of a configuration, found once."""
        return cls(config)

    @cached_property
    def thresholds(self) -> list[Decision]:
        """Rows at the threshold of each level, and above it."""
        levels = range(1, self._config.code.levels)
        return _found(self._threshold(level, above) for level in levels for above in (0, 1))

    @cached_property
    def entries(self) -> list[Decision]:
        """Rows at a threshold and above it with each entry of the exp2 table, not shifted."""
        fractions = range(1, min(self._octave, len(self._e)))
        return _found(self._with(f, above) for f in fractions for above in (0, 1))

    @cached_property
    def ties(self) -> list[Decision]:
        """Rows whose sensed key is exactly at its threshold, where rows whole octaves away are not.

        One a level: the sensed key's e * A is the level's value times the row sum.
        """
        one, found = self._config.code.int_max, []
        for level, value in enumerate(self._config.code.values):
            if value and self._full * one % value:
                distances = (
                    d for d in range(len(self._e)) if self._e[d] and self._e[d] * one % value == 0
                )
                rows = (self._filled((d, 0), level, 0) for d in distances)
                found.append(next((row for row in rows if row is not None), None))
        return _found(found)

    @cached_property
    def shifts(self) -> list[Decision]:
        """Rows with each shift of exp2: above a threshold where it rounds up, at it where down."""
        table, found = self._config.table, []
        for shift in range(1, self._config.table_bits + 3):
            half = 1 << (shift - 1)
            kinds: dict[tuple[int, bool], tuple[int, int]] = {}
            for f, entry in enumerate(table):
                low, odd = entry & (2 * half - 1), entry >> shift & 1
                kind = (low > half) - (low < half), odd == 1 and low == half
                kinds.setdefault(kind, (shift * self._octave + f, int(low >= half)))
            found += [self._with(d, above) for d, above in kinds.values()]
        return _found(found)

    @cached_property
    def near(self) -> list[Decision]:
        """A row at a threshold and one above it; an LSB of the tested key's d changes its e."""
        e = self._e
        for d in range(1, len(e) - 1):
            if not e[d - 1] > e[d] > e[d + 1]:
                continue
            rows = _found(self._with(d, above) for above in (0, 1))
            if len(rows) == 2:
                return rows
        return []

    @cached_property
    def masked(self) -> list[Decision]:
        """Rows with a masked key above the maximum, by steps at which o shows whether it counts.

        From one LSB over every octave to those that leave all e at 0. The masked key is the last.
        """
        config, octave = self._config, self._octave
        steps = {1, 2, octave // 2, *(k * octave for k in range(1, config.table_bits + 3))}
        reach = config.t_max - config.t_min
        steps |= {config.d_max + 1, reach - octave, reach - 2 * octave}
        rows = [*self.near, *self.entries, *self.shifts]
        return [
            Decision((*row.distances, -step), row.level)
            for step in sorted(step for step in steps if step > 0)
            if (row := next((row for row in rows if self._shows_step(row, step)), None))
        ]

    @cached_property
    def bits(self) -> list[Decision]:
        """Rows that show each bit of e and of the row sum in the comparison, lost and set.

        At a threshold a bit of e that is 1 decides, and one of the sum that is 0; one above it the
        others; two above it those of the sum that are worth as much. Rows of few keys show all but
        the highest bits of the sum.
        """
        found, shown = [], set[tuple[str, int, bool]]()
        values = self._config.code.values
        e_bits, s_bits = (range(self._config.width(name)) for name in "es")
        places = list(product(range(len(self._e)), range(len(values) - 1, 0, -1)))
        near = [(above, *place) for place in places for above in (0, 1)]
        for above, d, level in (*near, *((2, *place) for place in places)):
            e = self._e[d]
            s = e * self._config.code.int_max // values[level] + above
            if s > _FEW_KEYS * self._full:
                continue
            lost = above > 0
            shows = {("s", k, lost) for k in s_bits if s >> k & 1 == lost and above <= 1 << k}
            if above < 2:
                shows |= {("e", k, lost) for k in e_bits if e >> k & 1 != lost}
            if not shows <= shown:
                row = self._filled((d, 0)[: 1 + (d > 0)], level, above)
                if row is not None:
                    found.append(row)
                    shown |= shows
        return found

    @cached_property
    def odd_ties(self) -> list[Decision]:
        """Short rows, one a level: the sensed key has an odd e and is exactly at its threshold."""
        one, found = self._config.code.int_max, []
        odd = [d for d in reversed(range(1, len(self._e))) if self._e[d] % 2]
        for level, value in enumerate(self._config.code.values):
            exact = (d for d in odd if value and self._e[d] * one % value == 0)
            rows = (self._filled((d, 0), level, 0) for d in exact)
            found.append(next((row for row in rows if row is not None), None))
        return _found(found)

    @property
    def zero_level(self) -> int | None:
        """The farthest distance, where a key there has level 0 beside the maximum; else None."""
        s = self._full + self._e[-1]
        zero = log2_quantizer(self._e[-1], s, self._config.code) == 0
        return len(self._e) - 1 if zero and self._config.max_tokens > 1 else None

    @property
    def saturates(self) -> bool:
        """Whether o shows the distance of three keys an octave away, at a limit of t."""
        config = self._config
        legal = self._octave <= min(config.registers["score"].bound, len(self._e) - 1)
        level = config.code.middle_level
        return config.max_tokens >= 4 and legal and self.output_scale(level) is not None

    def _shows_step(self, row: Decision, step: int) -> bool:
        """Whether o changes when every distance of a row is larger by `step`."""
        config, distances = self._config, row.distances
        if len(distances) >= config.max_tokens:
            return False
        if max(distances) + step > config.t_max - config.t_min:
            return False
        return self._shows(row, lambda d: exp2(min(d + step, config.d_max), False, config))

    def _shows(self, row: Decision, wrong: Callable[[int], int]) -> bool:
        """Whether o changes when `wrong` gives e of a distance; a row sum of 0 gives level 0."""
        scale, levels = self.output_scale(row.level), []
        for exp2_of in (self._e.__getitem__, wrong):
            e = [exp2_of(d) for d in row.distances]
            levels.append(log2_quantizer(e[0], sum(e), self._config.code) if sum(e) else 0)
        return scale is not None and len({self._o(level, *scale) for level in levels}) > 1

    def _threshold(self, level: int, above: int) -> Decision | None:
        """Return the shortest row whose sensed key is whole octaves away."""
        far = range(self._octave, len(self._e), self._octave)
        rows = _found(self._filled(keys, level, above) for keys in [(0,), *((d, 0) for d in far)])
        return min(rows, key=lambda row: len(row.distances), default=None)

    def _with(self, d: int, above: int) -> Decision | None:
        """Return the row of the highest level whose sensed key is the maximum, another key at d."""
        if d >= len(self._e):
            return None
        levels = reversed(range(1, self._config.code.levels))
        rows = (self._filled((0, d), level, above) for level in levels)
        return next((row for row in rows if row is not None), None)

    def _filled(self, distances: tuple[int, ...], level: int, above: int) -> Decision | None:
        """Return these distances and more ones, so that the row sum is at the threshold."""
        config = self._config
        if self.output_scale(level) is None:
            return None
        total = self._e[distances[0]] * config.code.int_max // config.code.values[level] + above
        near, rest = divmod(total - sum(self._e[d] for d in distances), self._full)
        room = config.max_tokens - len(distances) - near
        if near < 0 or room < 0:
            return None
        far = self._sum_of(rest, min(room, self._far_keys))
        return None if far is None else Decision((*distances, *(0,) * near, *far), level)

    def _sum_of(self, total: int, most: int) -> tuple[int, ...] | None:
        """Return the distances of at most `most` keys whose e add up to `total`, below 2**P."""
        if total == 0:
            return ()
        if most >= 1 and (d := int(self._distance_of[total])) >= 0:
            return (d,)
        parts = self._values[(self._values > 0) & (self._values < total)]
        if most >= 2:
            pairs = parts[self._distance_of[total - parts] >= 0]
            if pairs.size:
                return tuple(int(self._distance_of[e]) for e in (pairs[0], total - pairs[0]))
        for e in parts if most >= 3 else ():
            rest = self._sum_of(total - int(e), most - 1)
            if rest is not None:
                return (int(self._distance_of[e]), *rest)
        return None

    @lru_cache(maxsize=32)  # noqa: B019
    def output_scale(self, level: int) -> tuple[int, int] | None:
        """Return M2 and n2 under which o shows a level from its neighbours; None where none do."""
        config = self._config
        values = config.code.values
        ratio = 7 * 2.0 ** (config.o_bits - 4) / values[level]
        try:
            m2, n2 = multiplier_and_shift(ratio, config.m2_bits, config.max_n2, "M2 / 2**n2")
        except ValueError:
            return None
        o = self._o(level, m2, n2)
        return None if o in (0, self._o(level - 1, m2, n2)) else (m2, n2)

    def _o(self, level: int, m2: int, n2: int) -> int:
        return output_requantizer(self._config.code.values[level], m2, n2, 0, self._config)


def _found(rows: Iterable[Decision | None]) -> list[Decision]:
    return [row for row in rows if row is not None]


def decision_rows(maker: RowMaker) -> Iterator[RowCase]:
    """Yield the rows; there are none for one key, and where two levels give one o."""
    found = Decisions.of(maker.config)
    for reason, rows in (
        ("o shows a row sum at the threshold of a level from one above it", found.thresholds),
        ("o shows an LSB of each entry of the exp2 table", found.entries),
        ("o shows whether exp2 rounds up or down", found.shifts),
    ):
        for row in rows:
            yield _sensed(maker, reason, row)
    for row in found.masked:
        for place in (0, len(row.distances) - 1):
            reason = "o shows whether a masked key above the maximum counts"
            yield _sensed(maker, reason, row, masked=place)
    for make in (_masked_e, _limited_distances, _rounded_scores, _saturated_scores, _zero_levels):
        yield from make(maker, found)


def bit_rows(maker: RowMaker) -> Iterator[RowCase]:
    """Yield the rows that show bits of e and of the row sum, behind all others: they draw last."""
    for row in Decisions.of(maker.config).bits:
        yield _sensed(maker, "o shows bits of e and of the row sum in a comparison", row)


#: Keys in front of one that waits, in rows that follow one another: whole beats of 4 lanes.
_IN_FRONT = (24, 20, 16, 12, 8)


def waiting_rows(maker: RowMaker) -> Iterator[RowCase]:
    """Yield ties of odd e whose key comes last: it stands in a register while keys in front wait.

    Of the two highest levels. The rows of a level have the same parameters, so that they overlap
    and codes wait for the rows before. Masked keys fill up what is missing.
    """
    for row, most in product(Decisions.of(maker.config).odd_ties[-2:], _IN_FRONT):
        sensed, *others = row.distances
        hidden = range(len(others), max(len(others), most))
        distances = [*others, *(0 for _ in hidden), sensed]
        if len(distances) <= maker.config.max_tokens:
            reason = "o shows a bit of a comparison that is lost while its key waits"
            v = _codes(maker, len(distances), {len(distances) - 1})
            params = _params(maker, row)
            yield maker.row_of_distances(reason, distances, masked=hidden, v=v, params=params)


#: Keys in front of one whose bits all may wait: enough beats of 4 lanes for each register of a
#: comparison, several times, for pauses are drawn; and keys of the longest such row.
_FAR_IN_FRONT, _LONGEST_WAITING = range(28, 60, 4), 130


def waiting_bit_rows(maker: RowMaker) -> Iterator[RowCase]:
    """Yield the rows of each bit with codes in front of their key in each register that it enters.

    So it waits there where these wait for values. Rows of a level follow one another, as in
    `waiting_rows`.
    """
    bits = sorted(Decisions.of(maker.config).bits, key=lambda row: row.level)
    for row, most in product(bits, _FAR_IN_FRONT):
        sensed, *others = row.distances
        hidden = range(len(others), most)
        distances = [*others[:most], *(0 for _ in hidden), sensed, *others[most:]]
        if len(distances) <= min(maker.config.max_tokens, _LONGEST_WAITING):
            reason = "o shows each bit of a comparison that is lost while its key waits"
            v = _codes(maker, len(distances), {most})
            params = _params(maker, row)
            yield maker.row_of_distances(reason, distances, masked=hidden, v=v, params=params)


def _sensed(maker: RowMaker, reason: str, row: Decision, *, masked: int | None = None) -> RowCase:
    """Return the row of a decision; where `masked` is a place, its last key is masked and there."""
    distances, sensed = list(row.distances), {0}
    if masked is not None:
        distances.insert(masked, distances.pop())
        sensed = {masked, int(masked == 0)}
    params = _params(maker, row)
    hidden = () if masked is None else (masked,)
    v = _codes(maker, len(distances), sensed)
    return maker.row_of_distances(reason, distances, masked=hidden, v=v, params=params)


def _params(maker: RowMaker, row: Decision, **fields: int) -> LayerParams:
    scale = Decisions.of(maker.config).output_scale(row.level)
    assert scale is not None, row
    return maker.params(m2=scale[0], n2=scale[1], zo=0, **fields)


def _codes(maker: RowMaker, keys: int, sensed: set[int]) -> NDArray[np.int64]:
    """Return v: one more than its zero point for the sensed keys, the zero point for others."""
    codes = np.full((keys, maker.target.head_dim), 1 << (maker.config.v_bits - 1), np.int64)
    codes[list(sensed)] += 1
    return codes


def _masked_e(maker: RowMaker, found: Decisions) -> Iterator[RowCase]:
    """A masked key at the maximum, and one below it: e or a level that is not 0 changes o."""
    for row in found.near[:1]:
        for d in row.distances[:2] if len(row.distances) < maker.config.max_tokens else ():
            reason = "o shows whether e of a masked key is 0"
            yield _sensed(maker, reason, Decision((*row.distances, d), row.level), masked=0)


def _limited_distances(maker: RowMaker, found: Decisions) -> Iterator[RowCase]:
    """Keys at and past the largest distance, beside a row at its threshold: their e is 0."""
    config = maker.config
    reach = config.t_max - config.t_min
    for row in found.near[:1] if vanishing_distance(config) is not None else ():
        for d in (config.d_max, config.d_max + 1, config.d_max + 1 + max(row.distances), reach):
            if d <= reach and len(row.distances) < config.max_tokens:
                reason = "o shows whether a distance past the largest is limited"
                yield _sensed(maker, reason, Decision((*row.distances, d), row.level))


def _rounded_scores(maker: RowMaker, found: Decisions) -> Iterator[RowCase]:
    """Scores that are no whole t, both signs: ties with an even and an odd neighbour, others."""
    config, n = maker.config, min(2, maker.config.max_n)
    drawn = ((), (1, -1, 3, -3), (1, -1, 2, -2, 3, -3, 6, -6))[n]
    for score, row in product(drawn, found.near):
        span = max(row.distances)
        if span + 4 > config.t_max - config.t_min:
            continue
        top = maker.sampler.integer(config.t_min + span + 2, config.t_max - 2)
        bias, scores = top - np.array(row.distances), np.zeros(len(row.distances), np.int64)
        scores[1], bias[1] = score, bias[1] - rnd(score, n)
        yield maker.row(
            "o shows how a score is rounded",
            scores,
            bias=bias,
            v=_codes(maker, len(scores), {0}),
            params=_params(maker, row, m=1, n=n),
        )


def _saturated_scores(maker: RowMaker, found: Decisions) -> Iterator[RowCase]:
    """The maximum at the top of t, or the other keys at its bottom: there after a saturation of t,
    or by a bias after a product past the limit.
    """
    config, octave, bound = maker.config, 1 << maker.config.fraction_bits, maker.score_bound
    if not found.saturates:
        return
    level = config.code.middle_level
    m = -(-(config.t_max + 1 + octave) // bound)
    past = -(-(config.t_max + 1 + octave) // m)
    shapes = [(1, octave, config.t_max), (1, -octave, config.t_min)]
    if m < 1 << config.m_bits and m * past <= config.t_max - config.t_min:
        shapes += [
            (m, past, config.t_max - m * past),
            (m, -past, config.t_min + m * past),
        ]
    for keys, (factor, score, bias) in product((3, 4), shapes):
        top = config.t_max if score > 0 else config.t_min + octave
        scores, biases = np.zeros(keys, np.int64), np.full(keys, top - octave)
        biases[0] = top
        moved = slice(0, 1) if score > 0 else slice(1, None)
        scores[moved], biases[moved] = score, bias
        yield maker.row(
            "o shows where t saturates",
            scores,
            bias=biases,
            v=_codes(maker, keys, {0}),
            params=_params(maker, Decision((), level), m=factor),
        )


def _zero_levels(maker: RowMaker, found: Decisions) -> Iterator[RowCase]:
    """A key of level 0 alone has v - zv = 1: o is 0, and 1 where it counts as level 1."""
    if found.zero_level is not None:
        yield maker.row_of_distances(
            "o shows whether level 0 counts",
            [0, found.zero_level],
            v=_codes(maker, 2, {1}),
            params=maker.params(m2=1, n2=0, zo=0),
        )
