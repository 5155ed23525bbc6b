"""Rows of RowMax in which one wrong register decides the output: a device without taps shows it.

A fault is a stage of the datapath with one thing wrong. Rows are worked as whole arrays, once right
and once with the fault, and the fault shows in a row when an output code differs. Which faults can
show is found by trying rows made for each before any stimulus is drawn; the same rows are corners.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import AttentionConfig, LayerParams
from bitlog2.sim.units.distance_quantizer import thresholds_of

from ..words.framing import row_lengths, row_starts
from .row_shapes import RowMaker
from .rows import RowCase
from .unit import Point, Tables

_Integers = NDArray[np.int64]
_Flags = NDArray[np.bool_]


def _rounded(product: _Integers, shift: _Integers) -> _Integers:
    return (product + ((np.int64(1) << shift) >> np.int64(1))) >> shift


def _lod(values: _Integers) -> _Integers:
    return np.frexp(values.astype(np.float64))[1].astype(np.int64) - 1


def _wrapped(values: _Integers, bits: int) -> _Integers:
    """Return the low bits, read as two's complement."""
    half = np.int64(1) << np.int64(bits - 1)
    return ((values + half) & (2 * half - 1)) - half


class Rows:
    """Rows through RowMax's units 2 to 9, a stage a method; a fault replaces one stage.

    Keys lie one after another, (K,); rows are (R,), and lanes of v and of the output (..., D).
    """

    def __init__(self, config: AttentionConfig, tables: Tables) -> None:
        beats, self.params = tables["stimulus"], tables["params"]
        self.config = config
        self.starts = row_starts(beats["last"])
        self.row_of = np.repeat(np.arange(len(self.starts)), row_lengths(beats["last"]))
        self.hidden, self.bias = beats["mask"] == 1, beats["bias"]
        self.shift = self.params["n"][self.row_of]
        self.product = beats["score"] * self.params["m"][self.row_of]
        zero = self.params["zv"][self.row_of]
        self.x = beats["v"].reshape(len(self.row_of), -1) - zero[:, None]
        self.values = np.array(config.code.values, np.int64)
        thresholds = thresholds_of(config.code, config.fraction_bits)
        self.thresholds = np.array(thresholds, np.int64)

    def outputs(self, wrong: Mapping[str, Callable[..., Any]] | None = None) -> _Integers:
        """Return o, (R, D), with some stages replaced."""

        def stage(name: str, *inputs: Any) -> Any:
            replaced = (wrong or {}).get(name)
            return replaced(self, *inputs) if replaced else getattr(self, name)(*inputs)

        t = stage("requantized")
        d = stage("distance", stage("maximum", t)[self.row_of] - t)
        level = stage("level", d)
        m2, n2 = stage("multiplier", stage("weight", level))
        return stage("output", stage("accumulated", level), m2[:, None], n2[:, None])

    def requantized(self) -> _Integers:
        """Return t, (K,)."""
        total = _rounded(self.product, self.shift) + self.bias
        return np.clip(total, self.config.t_min, self.config.t_max)

    def maximum(self, t: _Integers) -> _Integers:
        """Return the row maximum, (R,)."""
        return np.maximum.reduceat(np.where(self.hidden, np.iinfo(np.int64).min, t), self.starts)

    def distance(self, gap: _Integers) -> _Integers:
        """Return d, (K,)."""
        return np.minimum(gap, self.config.d_max)

    def level(self, d: _Integers) -> _Integers:
        """Return the level, (K,)."""
        return np.where(self.hidden, 0, self.quantized(d, self.thresholds))

    @staticmethod
    def quantized(d: _Integers, thresholds: _Integers) -> _Integers:
        """Return how many thresholds, descending from the top level's, d does not pass."""
        return len(thresholds) - np.searchsorted(thresholds, d, side="left")

    def weight(self, level: _Integers) -> _Integers:
        """Return w, (R,)."""
        return np.add.reduceat(self.values[level], self.starts)

    def multiplier(self, weight: _Integers) -> tuple[_Integers, _Integers]:
        """Return M2 and n2 of the rows, (R,) each; a sum of 0, which only faults make, is 1."""
        weight = np.maximum(weight, 1)
        k = _lod(weight)
        numerator = (self.params["m2"] << (k + 1)) + weight
        return numerator // (2 * weight), self.params["n2"] + k

    def accumulated(self, level: _Integers) -> _Integers:
        """Return acc, (R, D)."""
        return np.add.reduceat(self.values[level][:, None] * self.x, self.starts)

    def output(self, acc: _Integers, m2: _Integers, n2: _Integers) -> _Integers:
        """Return o, (R, D)."""
        total = _rounded(acc * m2, n2) + self.params["zo"][:, None]
        return np.clip(total, 0, (1 << self.config.o_bits) - 1)


@dataclass(frozen=True)
class Fault:
    """One thing wrong in one stage.

    Attributes:
        name: of what o then shows.
        requirement: the id that is broken.
        stage: the method of `Rows` that it replaces.
        wrong: (rows, *inputs of the stage) -> its output.
        rows: names the rows that are tried, a method of `_Tried`.
    """

    name: str
    requirement: str
    stage: str
    wrong: Callable[..., Any]
    rows: str


def _ceiling(product: _Integers, shift: _Integers) -> _Integers:
    return -(-product >> shift)


def _ties_down(product: _Integers, shift: _Integers) -> _Integers:
    return -_rounded(-product, shift)


def _ties_away(product: _Integers, shift: _Integers) -> _Integers:
    return np.sign(product) * _rounded(np.abs(product), shift)


def _ties_even(product: _Integers, shift: _Integers) -> _Integers:
    up, down = _rounded(product, shift), _ties_down(product, shift)
    return np.where(up & 1, down, up)


_ROUNDINGS: dict[str, Callable[[_Integers, _Integers], _Integers]] = {
    "truncated": np.right_shift,
    "rounded_up": _ceiling,
    "ties_down": _ties_down,
    "ties_away_from_zero": _ties_away,
    "ties_to_even": _ties_even,
}


def _score_by(rounding: Callable[[_Integers, _Integers], _Integers]) -> Callable[[Rows], _Integers]:
    def wrong(rows: Rows) -> _Integers:
        total = rounding(rows.product, rows.shift) + rows.bias
        return np.clip(total, rows.config.t_min, rows.config.t_max)

    return wrong


def _limited(low: int, high: int) -> Callable[[Rows], _Integers]:
    return lambda rows: np.clip(_rounded(rows.product, rows.shift) + rows.bias, low, high)


def _saturated_twice(rows: Rows) -> _Integers:
    limits = rows.config.t_min, rows.config.t_max
    return np.clip(np.clip(_rounded(rows.product, rows.shift), *limits) + rows.bias, *limits)


def _also(place: int) -> Callable[[Rows, _Integers], _Integers]:
    """Return the maximum of the seen keys and of the first key, or the last one."""

    def wrong(rows: Rows, t: _Integers) -> _Integers:
        ends = rows.starts if place == 0 else np.append(rows.starts[1:], len(t)) - 1
        return np.maximum(rows.maximum(t), t[ends])

    return wrong


def _moved_threshold(level: int, step: int) -> Callable[[Rows, _Integers], _Integers]:
    def wrong(rows: Rows, d: _Integers) -> _Integers:
        thresholds = rows.thresholds.copy()
        thresholds[-level] += step
        return np.where(rows.hidden, 0, rows.quantized(d, thresholds))

    return wrong


def _weight_plus(step: int) -> Callable[[Rows, _Integers], _Integers]:
    return lambda rows, level: rows.weight(level) + step


def _narrow_weight(rows: Rows, level: _Integers) -> _Integers:
    bits = rows.config.width("weight_sum") - 1
    return rows.weight(level) & ((1 << bits) - 1)


def _narrow_acc(rows: Rows, level: _Integers) -> _Integers:
    return _wrapped(rows.accumulated(level), rows.config.width("acc") - 1)


def _half_bit_lost(rows: Rows, level: _Integers) -> _Integers:
    powers = np.int64(1) << _lod(np.maximum(rows.values, 1))
    values = np.where(rows.values > 0, powers, 0)
    return np.add.reduceat(values[level][:, None] * rows.x, rows.starts)


def _truncated_multiplier(rows: Rows, weight: _Integers) -> tuple[_Integers, _Integers]:
    weight = np.maximum(weight, 1)
    k = _lod(weight)
    return (rows.params["m2"] << k) // weight, rows.params["n2"] + k


def _raised_multiplier(rows: Rows, weight: _Integers) -> tuple[_Integers, _Integers]:
    k = _lod(np.maximum(weight, 1))
    return -(-(rows.params["m2"] << k) // np.maximum(weight, 1)), rows.params["n2"] + k


def _one_octave(rows: Rows, weight: _Integers) -> tuple[_Integers, _Integers]:
    k = np.full_like(weight, rows.config.code.base_shift)
    return rows.multiplier(weight)[0], rows.params["n2"] + k


def _not_limited(rows: Rows, acc: _Integers, m2: _Integers, n2: _Integers) -> _Integers:
    total = _rounded(acc * m2, n2) + rows.params["zo"][:, None]
    return total & ((1 << rows.config.o_bits) - 1)


def _truncated_output(rows: Rows, acc: _Integers, m2: _Integers, n2: _Integers) -> _Integers:
    total = ((acc * m2) >> n2) + rows.params["zo"][:, None]
    return np.clip(total, 0, (1 << rows.config.o_bits) - 1)


def faults(config: AttentionConfig) -> list[Fault]:
    """Return the faults that o may show."""
    return [
        *(
            Fault(f"score_{name}", "BL2-REQ-01", "requantized", _score_by(rounding), "score_ties")
            for name, rounding in _ROUNDINGS.items()
        ),
        *(
            Fault(f"t_{name}", "BL2-REQ-02", "requantized", _limited(low, high), "saturated_scores")
            for name, low, high in (
                ("saturates_late_at_the_bottom", config.t_min + 1, config.t_max),
                ("saturates_early_at_the_top", config.t_min, config.t_max - 1),
            )
        ),
        Fault(
            "t_saturates_before_the_bias",
            "BL2-REQ-02",
            "requantized",
            _saturated_twice,
            "saturated_scores",
        ),
        Fault(
            "t_not_saturated",
            "BL2-REQ-02",
            "requantized",
            lambda rows: _rounded(rows.product, rows.shift) + rows.bias,
            "saturated_scores",
        ),
        Fault(
            "masked_maximum",
            "BL2-MAX-01",
            "maximum",
            lambda rows, t: np.maximum.reduceat(t, rows.starts),
            "masked",
        ),
        *(
            Fault(f"masked_{name}_key_maximum", "BL2-MAX-01", "maximum", _also(place), "masked")
            for name, place in (("first", 0), ("last", -1))
        ),
        Fault(
            "distance_wraps",
            "BL2-MAX-03",
            "distance",
            lambda rows, gap: gap & config.d_max,
            "far",
        ),
        *(
            Fault(
                f"threshold_{level}_one_{name}",
                "BL2-DIST-01",
                "level",
                _moved_threshold(level, step),
                "near_thresholds",
            )
            for level in range(1, config.code.levels)
            for step, name in ((-1, "less"), (1, "more"))
        ),
        Fault(
            "masked_level",
            "BL2-DIST-03",
            "level",
            lambda rows, d: rows.quantized(d, rows.thresholds),
            "masked",
        ),
        Fault("weight_one_more", "BL2-WEIGHT-01", "weight", _weight_plus(1), "next_to_half"),
        Fault("weight_one_less", "BL2-WEIGHT-01", "weight", _weight_plus(-1), "next_to_half"),
        Fault("weight_narrow", "BL2-WEIGHT-02", "weight", _narrow_weight, "longest"),
        Fault(
            "multiplier_truncated",
            "BL2-ROWMUL-01",
            "multiplier",
            _truncated_multiplier,
            "next_to_half",
        ),
        Fault(
            "multiplier_rounded_up",
            "BL2-ROWMUL-01",
            "multiplier",
            _raised_multiplier,
            "next_to_half",
        ),
        Fault("octave_of_weight", "BL2-ROWMUL-01", "multiplier", _one_octave, "next_to_half"),
        Fault("half_bit_lost", "BL2-ACC-01", "accumulated", _half_bit_lost, "near_thresholds"),
        Fault("acc_narrow", "BL2-ACC-03", "accumulated", _narrow_acc, "longest"),
        Fault("output_truncated", "BL2-OUT-01", "output", _truncated_output, "next_to_half"),
        Fault("output_not_limited", "BL2-OUT-01", "output", _not_limited, "next_to_half"),
    ]


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

    def case(self, m2: int, n2: int, lanes: int, reason: str) -> RowCase:
        """Return the row with these output parameters."""
        return RowCase(
            scores=np.array(self.scores, np.int64),
            v=np.array(self.v, np.int64)[:, None].repeat(lanes, axis=1),
            params=LayerParams(m=self.m, n=self.n, m2=m2, n2=n2, zv=self.zv, zo=0),
            masked=np.array(self.hidden, np.bool_),
            bias=np.array(self.bias, np.int64),
            reason=reason,
        )

    def tables(self, m2: _Integers, n2: _Integers) -> Tables:
        """Return the row once with each of these output parameters, (R,) each, in one lane."""
        last = (0,) * (len(self.v) - 1) + (1,)
        beats = {"last": last, "mask": self.hidden, "score": self.scores, "bias": self.bias}
        stimulus = {name: np.tile(each, len(m2)) for name, each in {**beats, "v": self.v}.items()}
        same = {"m": self.m, "n": self.n, "zv": self.zv, "zo": 0}
        params = {name: np.full(len(m2), value) for name, value in same.items()}
        return {"stimulus": stimulus, "params": params | {"m2": m2, "n2": n2}}


class _Tried:
    """The rows that are tried for the faults of a configuration, before output parameters."""

    def __init__(self, config: AttentionConfig) -> None:
        self.config = config
        self.reach = config.t_max - config.t_min
        self.octave = 1 << config.fraction_bits
        self.most = (1 << config.v_bits) - 1

    def _of_t(
        self, t: Iterable[int], sensed: Iterable[int], hidden: Iterable[int] = ()
    ) -> Iterator[_Shape]:
        """Yield the row with these t by scores of 0, the sensed keys alone having v - zv > 0."""
        values, masked = tuple(t), tuple(hidden) or (0,) * len(tuple(sensed))
        lows = self.config.t_min, self.config.t_max
        if (
            len(values) <= self.config.max_tokens
            and lows[0] <= min(values) <= max(values) <= lows[1]
        ):
            v = tuple(self.most * each for each in sensed)
            yield _Shape((0,) * len(values), values, masked, v)

    def near_thresholds(self) -> Iterator[_Shape]:
        """Yield a key at a threshold, and next to it, beside the maximum."""
        edges = thresholds_of(self.config.code, self.config.fraction_bits)
        for d in sorted({edge + step for edge in edges for step in (0, 1)}):
            if d <= min(self.reach, self.config.d_max):
                yield from self._of_t((0, -d), (0, 1))

    def far(self) -> Iterator[_Shape]:
        """Yield a key past the largest distance."""
        for past in (1, self.octave, 8 * self.octave):
            d = self.config.d_max + past
            top = self.config.t_max
            if d <= self.reach:
                yield from self._of_t((top, top - d), (0, 1))
                yield from self._of_t((top, top - d), (1, 0))

    def masked(self) -> Iterator[_Shape]:
        """Yield a masked key above the maximum by steps up to all octaves, or below it."""
        steps = (1, self.octave // 2, *(k * self.octave for k in range(1, 12)), self.reach - 1)
        for step in sorted({step for step in steps if step > 0}):
            yield from self._of_t((0, -1, step), (1, 0, 0), (0, 0, 1))
            yield from self._of_t((step, 0, -1), (0, 1, 0), (1, 0, 0))
            for sensed in ((1, 0), (0, 1)):
                yield from self._of_t((step, 0), sensed, (1, 0))
        for d in (0, 1, self.octave):
            yield from self._of_t((0, -d), (0, 1), (0, 1))

    def _edges(self) -> list[int]:
        """Return the thresholds that a row of two keys reaches."""
        edges = thresholds_of(self.config.code, self.config.fraction_bits)
        most = min(self.reach, self.config.d_max) - 4 if self.config.max_tokens > 1 else -1
        return [edge for edge in edges if edge <= most]

    def score_ties(self) -> Iterator[_Shape]:
        """Yield scores that are no whole t, both signs, at a threshold and next to it."""
        for edge in self._edges():
            for n, score in ((1, 1), (1, -1), (1, 3), (1, -3), (2, 1), (2, -1), (2, 3), (2, -3)):
                for past in (0, 1) if n <= self.config.max_n else ():
                    d = edge + past + (score + (1 << n >> 1) >> n)
                    yield _Shape((0, score), (0, -d), (0, 0), (0, self.most), 1, n)

    def saturated_scores(self) -> Iterator[_Shape]:
        """Yield keys at a limit of t, past it, or there by a bias after a product past it."""
        config, bound = self.config, self.config.registers["score"].bound
        top, bottom, v = config.t_max, config.t_min, (0, self.most)
        for edge in self._edges():
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

    def longest(self) -> Iterator[_Shape]:
        """Yield the row of as many keys as fit, all at the maximum."""
        keys = self.config.max_tokens
        yield _Shape((0,) * keys, (0,) * keys, (0,) * keys, (self.most,) * keys)
        zeros = (0,) * keys
        yield _Shape(zeros, zeros, zeros, zeros, zv=self.most)


#: Keys of a row and all its repetitions that are tried.
_KEYS = 1 << 15


def _scales(config: AttentionConfig, keys: int) -> tuple[_Integers, _Integers]:
    """Return M2 and n2 that are tried: half of them over all ratios, half where o spans its range.

    Args:
        config: gives the ranges.
        keys: of the row.
    """
    top, index = config.m2_bits - 1, np.arange(max(_KEYS // keys, 64), dtype=np.int64)
    octave = np.where(index % 2, top - 3 + index // 2 % 8, index // 2 % (top + 12))
    n2 = np.clip(octave, 0, config.max_layer_n2)
    m2 = (1 << top) + index * (1 << max(top - 15, 0)) % (1 << top)
    return np.maximum(m2 >> np.maximum(octave - n2, 0), 1), n2


@lru_cache(maxsize=8)
def shown_faults(config: AttentionConfig) -> dict[str, RowCase]:
    """Return for each fault that o shows the first row found, with one lane."""
    tried, found = _Tried(config), {}
    waiting: dict[str, list[Fault]] = {}
    for fault in faults(config):
        waiting.setdefault(fault.rows, []).append(fault)
    for name, group in waiting.items():
        for shape in getattr(tried, name)():
            left = [fault for fault in group if fault.name not in found]
            if not left:
                break
            m2, n2 = _scales(config, len(shape.v))
            rows = Rows(config, shape.tables(m2, n2))
            right = rows.outputs()
            for fault in left:
                differs = (rows.outputs({fault.stage: fault.wrong}) != right).any(axis=1)
                if differs.any():
                    row = int(differs.argmax())
                    found[fault.name] = shape.case(int(m2[row]), int(n2[row]), 1, "")
    return found


def fault_rows(maker: RowMaker) -> Iterator[RowCase]:
    """Yield for each fault that o shows a row that shows it, in every lane."""
    for name, case in shown_faults(maker.config).items():
        yield RowCase(
            case.scores,
            case.v.repeat(maker.target.head_dim, axis=1),
            case.params,
            case.masked,
            case.bias,
            f"o shows {name.replace('_', ' ')}",
        )


def fault_points(config: AttentionConfig) -> list[Point]:
    """Return a bin for each fault."""
    found = shown_faults(config)
    return [
        Point(f"o_shows_{fault.name}", fault.requirement, reachable=fault.name in found)
        for fault in faults(config)
    ]


def fault_hits(config: AttentionConfig, tables: Tables) -> dict[str, _Flags]:
    """Return for each bin the rows whose output codes show the fault."""
    rows = Rows(config, tables)
    right = tables["expected"]["o"].reshape(len(rows.starts), -1)
    return {
        f"o_shows_{fault.name}": (rows.outputs({fault.stage: fault.wrong}) != right).any(axis=1)
        for fault in faults(config)
    }
