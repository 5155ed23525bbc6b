"""Rows that show faults in output codes, found by trial before any stimulus is drawn.

Short rows are made for each fault, and worked right and wrong with many output parameters. The
first row that shows it is a corner of every set; what an earlier row shows needs none of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from bitlog2.sim import AttentionConfig, LayerParams
from bitlog2.sim.units.distance_quantizer import thresholds_of

from .row_decisions import Decisions, bit_rows, decision_rows
from .row_faults import faults
from .row_shapes import RowMaker
from .row_stages import Integers, rows_of
from .rows import RowCase, tables_of_rows
from .sampler import Sampler
from .unit import Point, Tables, Target


@dataclass(frozen=True)
class _Shape:
    """A row without output parameters: score, bias, mask and v of each key."""

    scores: tuple[int, ...]
    bias: tuple[int, ...]
    hidden: tuple[int, ...]
    v: tuple[int, ...]
    m: int = 1
    n: int = 0
    zv: int = 0
    zo: int = 0

    def case(self, m2: int, n2: int, reason: str) -> RowCase:
        """Return the row with these output parameters, in one lane."""
        return RowCase(
            scores=np.array(self.scores, np.int64),
            v=np.array(self.v, np.int64)[:, None],
            params=LayerParams(m=self.m, n=self.n, m2=m2, n2=n2, zv=self.zv, zo=self.zo),
            masked=np.array(self.hidden, np.bool_),
            bias=np.array(self.bias, np.int64),
            reason=reason,
        )

    def tables(self, m2: Integers, n2: Integers) -> Tables:
        """Return the row once with each of these output parameters, (R,) each, in one lane."""
        last = (0,) * (len(self.v) - 1) + (1,)
        beats = {"last": last, "mask": self.hidden, "score": self.scores, "bias": self.bias}
        stimulus = {name: np.tile(each, len(m2)) for name, each in {**beats, "v": self.v}.items()}
        same = {"m": self.m, "n": self.n, "zv": self.zv, "zo": self.zo}
        params = {name: np.full(len(m2), value) for name, value in same.items()}
        return {"stimulus": stimulus, "params": params | {"m2": m2, "n2": n2}}


class Trials:
    """The rows that are tried for the faults of a configuration, before output parameters."""

    def __init__(self, config: AttentionConfig) -> None:
        self.config = config
        self.reach = config.t_max - config.t_min
        self.octave = 1 << config.fraction_bits
        self.most = (1 << config.v_bits) - 1

    def _of_t(
        self, t: Sequence[int], sensed: Sequence[int], hidden: Sequence[int] = ()
    ) -> Iterator[_Shape]:
        """Yield the row with these t by scores of 0, the sensed keys alone having v - zv > 0."""
        low, high = self.config.t_min, self.config.t_max
        if len(t) <= self.config.max_tokens and low <= min(t) <= max(t) <= high:
            zeros, v = (0,) * len(t), tuple(self.most * each for each in sensed)
            yield _Shape(zeros, tuple(t), tuple(hidden) or zeros, v)

    def near(self) -> Iterator[_Shape]:
        """Yield a key beside the maximum: at a threshold of RowMax and next to it, octaves away."""
        edges = self._edges()
        for d in sorted({edge + step for edge in edges for step in (0, 1)}):
            if d <= min(self.reach, self.config.d_max):
                yield from self._of_t((0, -d), (0, 1))
                yield from self._of_t((-d, 0), (1, 0))
                yield from self._of_t((0, -d), (1, 0))

    def far(self) -> Iterator[_Shape]:
        """Yield a key past the largest distance, or past half of it."""
        top, half = self.config.t_max, self.config.d_max // 2
        for past in (1, self.octave, 8 * self.octave):
            for d in (self.config.d_max + past, half + past):
                if d <= self.reach:
                    yield from self._of_t((top, top - d), (0, 1))
                    yield from self._of_t((top, top - d), (1, 0))

    def far_apart(self) -> Iterator[_Shape]:
        """Yield t at its limits and about half of them, in either order."""
        top, bottom = self.config.t_max, self.config.t_min
        half = (top + 1) // 2
        yield from self._of_t((bottom,), (1,))
        pairs = [(half, bottom), (half, -1), (1, -1), (top, -1), (top, bottom), (half, half // 2)]
        for low in (-bottom // 2, self.octave, 1):
            pairs += [(top, top - low), (half, half - low), (top, -low), (half, -low), (low, -low)]
        for high, low in pairs:
            for t, sensed in (((high, low), (0, 1)), ((low, high), (1, 0)), ((high, low), (1, 0))):
                yield from self._of_t(t, sensed)

    def masked(self) -> Iterator[_Shape]:
        """Yield a masked key above the maximum by steps up to all octaves, or below it."""
        steps = (1, self.octave // 2, *(k * self.octave for k in range(1, 14)), self.reach - 1)
        for step in sorted({step for step in steps if step > 0}):
            low = -(step // 2)
            high = low + step
            yield from self._of_t((low, low - 1, high), (1, 0, 0), (0, 0, 1))
            yield from self._of_t((high, low, low - 1), (0, 1, 0), (1, 0, 0))
            for sensed in ((1, 0), (0, 1)):
                yield from self._of_t((high, low), sensed, (1, 0))
        for d in (0, 1, self.octave):
            yield from self._of_t((0, -d), (0, 1), (0, 1))

    def _edges(self) -> list[int]:
        """Return the distances of two keys between which levels change."""
        config = self.config
        edges: Sequence[int] = thresholds_of(config.code, config.fraction_bits)
        if not config.code.row_max:
            edges = [k * self.octave for k in range(config.table_bits + 2)]
        most = min(self.reach, config.d_max) if config.max_tokens > 1 else -1
        return [edge for edge in edges if edge <= most]

    def score_ties(self) -> Iterator[_Shape]:
        """Yield scores that are no whole t, both signs, at a threshold and next to it."""
        for edge in self._edges():
            for n, score in ((1, 1), (1, -1), (1, 3), (1, -3), (2, 1), (2, -1), (2, 3), (2, -3)):
                for past in (0, 1) if n <= self.config.max_n and edge + 4 <= self.reach else ():
                    d = edge + past + (score + (1 << n >> 1) >> n)
                    yield _Shape((0, score), (0, -d), (0, 0), (0, self.most), 1, n)

    def saturated_scores(self) -> Iterator[_Shape]:
        """Yield keys at a limit of t, past it, or there by a bias after a product past it."""
        config, bound = self.config, self.config.registers["score"].bound
        top, bottom, v = config.t_max, config.t_min, (0, self.most)
        for edge in (each for each in self._edges() if each + 4 <= self.reach):
            for biases in ((top, top - edge - 1), (bottom + edge + 1, bottom)):
                yield _Shape((0, 0), biases, (0, 0), v)
            for score in {1, self.octave} if self.octave <= bound else {1}:
                yield _Shape((score, 0), (top, top - edge), (0, 0), v)
                yield _Shape((0, -score), (bottom + edge, bottom), (0, 0), v)
            m = -(-(top + 1 + self.octave) // bound)
            past = -(-(top + 1 + self.octave) // m)
            if m < 1 << config.m_bits and m * past <= self.reach:
                yield _Shape((past, 0), (top - m * past, top - edge), (0, 0), v, m)
                yield _Shape((0, -past), (bottom + edge, bottom + m * past), (0, 0), v, m)

    def scaled_scores(self) -> Iterator[_Shape]:
        """Yield the largest products, shifted into the range of t, beside keys near the result."""
        config, bound = self.config, self.config.registers["score"].bound
        m, half = (1 << config.m_bits) - 1, 1 << max(config.max_n.bit_length() - 1, 0)
        for n in sorted({half, config.max_n, *range(config.max_n)}, reverse=True):
            t = (bound * m + (1 << n >> 1)) >> n
            for score, at in ((bound, t), (-bound, (-bound * m + (1 << n >> 1)) >> n)):
                for step in (self.octave, -self.octave, 4 * self.octave, -4 * self.octave):
                    fits = -self.reach // 2 < min(at, at + step) <= max(at, at + step)
                    if n <= config.max_n and fits and max(at, at + step) <= config.t_max:
                        for v in ((0, self.most), (self.most, 0)):
                            if config.max_tokens > 1:
                                yield _Shape((score, 0), (0, at + step), (0, 0), v, m, n)

    def ties(self) -> Iterator[_Shape]:
        """Yield the rows whose sensed key is exactly at the threshold of a level."""
        for row in Decisions.of(self.config).ties:
            t = [-d for d in row.distances]
            yield from self._of_t(t, (1, *(0,) * (len(t) - 1)))

    def next_to_half(self) -> Iterator[_Shape]:
        """Yield short rows: among many M2 some give a product next to half an LSB."""
        octave = self.octave
        rows = (
            (0,),
            (0, 0),
            (0, -octave),
            (0, 0, 0),
            (0, -octave, -2 * octave),
            (0, 0, 0, 0, -octave),
        )
        for t in rows:
            for v in sorted({1, self.most // 2, self.most}):
                if len(t) <= self.config.max_tokens and max(t) - min(t) <= self.reach:
                    yield _Shape((0,) * len(t), t, (0,) * len(t), (v,) * len(t))

    def widest(self) -> Iterator[_Shape]:
        """Yield flat rows, short and as long as fits, with v - zv at its bounds and at 0."""
        most = self.config.max_tokens
        for keys in sorted({1, min(2, most), most}):
            zeros = (0,) * keys
            for v, zv in ((self.most, 0), (0, self.most), (self.most, self.most)):
                yield _Shape(zeros, zeros, zeros, (v,) * keys, zv=zv)

    def long(self) -> Iterator[_Shape]:
        """Yield a flat row of three quarters of the most keys: a sum above every threshold."""
        keys = max(3 * self.config.max_tokens // 4, 1)
        yield from self._of_t((0,) * keys, (1,) * keys)

    def offsets(self) -> Iterator[_Shape]:
        """Yield rows of one key with a zero point, v above, at or below its own."""
        top = (1 << self.config.o_bits) - 1
        for zo in sorted({1, top // 2, top}):
            for v, zv in ((0, 1), (1, 0), (self.most, self.most - 1), (0, self.most)):
                yield _Shape((0,), (0,), (0,), (v,), zv=zv, zo=zo)


#: Keys of a row and all its repetitions that are tried.
_KEYS = 1 << 14


def _scales(config: AttentionConfig, keys: int) -> tuple[Integers, Integers]:
    """Return M2 and n2 that are tried.

    In turn: any ratio, one where o spans its range, a power of two, the largest M2; the latter two
    with every n2.

    Args:
        config: gives the ranges.
        keys: of the row.
    """
    top, most = config.m2_bits - 1, config.max_layer_n2 + 1
    index = np.arange(max(_KEYS // keys, 256), dtype=np.int64)
    kind, index = index % 4, index // 4
    whole = top + (0 if config.code.row_max else config.code.base_shift)
    octave = np.where(kind == 0, index % (whole + 12), whole - 3 + index % 8)
    n2 = np.clip(octave, 0, most - 1)
    m2 = (1 << top) + index * (1 << max(top - 13, 0)) % (1 << top)
    m2 = np.maximum(m2 >> np.maximum(octave - n2, 0), 1)
    m2 = np.where(kind == 2, 1 << index % (top + 1), m2)
    n2 = np.where(kind == 2, index // (top + 1) % most, n2)
    largest = kind == 3
    return np.where(largest, (2 << top) - 1, m2), np.where(largest, index % most, n2)


def _decided(config: AttentionConfig) -> list[RowCase]:
    """Return the rows in which one LSB decides, which every set has, in one lane."""
    maker = RowMaker(Target(config, 1), Sampler(0, "decisions"))
    return [*decision_rows(maker), *bit_rows(maker)]


@dataclass(frozen=True)
class ShownFaults:
    """What output codes show of the faults of a configuration.

    Attributes:
        names: the faults that some row shows.
        rows: rows, in one lane, that show them beside those in which one LSB decides.
    """

    names: frozenset[str]
    rows: tuple[RowCase, ...]


@lru_cache(maxsize=8)
def shown_faults(config: AttentionConfig) -> ShownFaults:
    """Return the faults that output codes show, and the rows that were found for them."""
    trials, found, cases = Trials(config), set[str](), list[RowCase]()
    if not config.code.row_max and (decided := _decided(config)):
        rows = rows_of(config, tables_of_rows(decided))
        known = (fault for fault in faults(config) if "decisions" in fault.rows)
        found |= {fault.name for fault in known if rows.shows(fault.stage, fault.wrong).any()}
    names = dict.fromkeys(each for fault in faults(config) for each in fault.rows)
    for name in (each for each in names if each != "decisions"):
        left = [f for f in faults(config) if f.name not in found and name in f.rows]
        for shape in getattr(trials, name)() if left else ():
            if not left:
                break
            m2, n2 = _scales(config, len(shape.v))
            rows = rows_of(config, shape.tables(m2, n2))
            for fault in list(left):
                shown = rows.shows(fault.stage, fault.wrong)
                if fault.name not in found and shown.any():
                    row = int(shown.argmax())
                    reason = f"o shows {fault.name.replace('_', ' ')}"
                    cases.append(shape.case(int(m2[row]), int(n2[row]), reason))
                    worked = rows_of(config, tables_of_rows(cases[-1:]))
                    also = (f for f in faults(config) if f.name not in found)
                    found |= {f.name for f in also if worked.shows(f.stage, f.wrong).any()}
            left = [fault for fault in left if fault.name not in found]
    return ShownFaults(frozenset(found), tuple(cases))


def fault_rows(maker: RowMaker) -> Iterator[RowCase]:
    """Yield the rows that show the faults, with the same v in every lane."""
    for case in shown_faults(maker.config).rows:
        yield replace(case, v=case.v.repeat(maker.target.head_dim, axis=1))


def fault_points(config: AttentionConfig) -> list[Point]:
    """Return a bin for each fault."""
    found = shown_faults(config).names
    return [
        Point(
            f"o_shows_{fault.name}",
            fault.requirement,
            reachable=fault.name in found,
            why=fault.unseen,
        )
        for fault in faults(config)
    ]
