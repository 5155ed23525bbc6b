"""Coverage bins of what o alone shows: rows in which one wrong register changes o.

Each bin is a wrong register as a formula: a row is worked again with it, and hits the bin where o
differs. So a set that fills the bins finds these faults in a device without taps.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import AttentionConfig
from bitlog2.sim.kernel.constants import scheme_constants
from bitlog2.sim.spec.rounding import rnd, trn
from bitlog2.sim.table import exp2_table

from ..unit import Tables
from .log2_pairs import levels_of_pairs
from .row_decisions import Decisions
from .row_shapes import vanishing_distance

__all__ = ["observability_hits", "observability_points", "rounded"]

_Integers = NDArray[np.int64]
_Flags = NDArray[np.bool_]
#: Bits below an entry of a finer table, by which entries are truncated.
_FINER = 20


def _truncated_table(config: AttentionConfig) -> tuple[int, ...]:
    fine = exp2_table(config.fraction_bits, config.table_bits + _FINER)
    return tuple(entry >> _FINER for entry in fine)


def observability_points(config: AttentionConfig) -> list[tuple[str, str, bool]]:
    """Return the bins with their requirement, and whether the configuration reaches them."""
    found = Decisions.of(config)
    vanishing, reach = vanishing_distance(config), config.t_max - config.t_min
    near = bool(found.near)
    room = near and len(found.near[0].distances) < config.max_tokens
    blank = any(-row.distances[-1] >= (vanishing or reach + 1) for row in found.masked)
    rounds_scores = near and config.max_n > 0 and max(found.near[1].distances) + 4 <= reach
    truncated = _truncated_table(config)
    wraps = room and vanishing is not None and reach > config.d_max
    return [
        (f"o_shows_{name}", requirement, reached)
        for name, requirement, reached in (
            ("masked_maximum", "BL2-MAX-01", bool(found.masked)),
            ("masked_maximum_blanks", "BL2-MAX-01", blank),
            ("masked_e", "BL2-EXP2-04", room),
            ("score_truncated", "BL2-REQ-01", rounds_scores),
            ("t_not_saturated", "BL2-REQ-02", found.saturates),
            ("distance_wraps", "BL2-MAX-03", wraps),
            ("exp2_truncated", "BL2-EXP2-02", found.shows_exp2(config.table, trn)),
            ("entry_truncated", "BL2-EXP2-01", found.shows_exp2(truncated, rnd)),
            ("sum_one_more", "BL2-SUM-01", near),
            ("sum_one_less", "BL2-SUM-01", near),
            ("level_zero", "BL2-ACC-01", found.zero_level is not None),
        )
    ]


def observability_hits(
    config: AttentionConfig, tables: Tables, starts: _Integers
) -> dict[str, _Flags]:
    """Return for each bin the rows that hit it.

    Args:
        config: what the hardware is built with.
        tables: every stream.
        starts: the first beat of each row.
    """
    row = _Rows(config, tables, starts)
    hits = {f"o_shows_{name}": row.detected(e, extra) for name, e, extra in row.wrong_registers()}
    blank = row.sums(row.with_every_key_in_the_maximum()) == 0
    hits["o_shows_masked_maximum_blanks"] = hits["o_shows_masked_maximum"] & blank
    hits["o_shows_level_zero"] = row.detected_by(np.maximum(tables["keys"]["level"], 1))
    return hits


def rounded(product: _Integers, shift: _Integers) -> _Integers:
    """Return RND(product >> shift)."""
    return (product + ((np.int64(1) << shift) >> np.int64(1))) >> shift


class _Rows:
    """Rows with the registers that the simulator gave, to be worked again from one of them on."""

    def __init__(self, config: AttentionConfig, tables: Tables, starts: _Integers) -> None:
        self._config, self._tables, self._starts = config, tables, starts
        beats, params = tables["stimulus"], tables["params"]
        lengths = np.diff(starts, append=len(beats["last"]))
        self._row_of = np.repeat(np.arange(len(starts)), lengths)
        self._hidden = beats["mask"] == 1
        self._n = params["n"][self._row_of]
        self._product = beats["score"] * params["m"][self._row_of]

    def wrong_registers(self) -> Iterator[tuple[str, _Integers, int]]:
        """Yield the name of a bin, e of each key as the wrong register gives it, and what is
        added to the row sum.
        """
        config, t, bias = self._config, self._tables["keys"]["t"], self._tables["stimulus"]["bias"]
        gaps = self._gaps(t)
        e, d = self._tables["keys"]["e"], np.minimum(gaps, config.d_max)
        yield "masked_maximum", self.with_every_key_in_the_maximum(), 0
        every = self._exp2(np.maximum(d, 0))
        yield "masked_e", every, 0
        truncated = np.clip((self._product >> self._n) + bias, config.t_min, config.t_max)
        yield "score_truncated", self._from_t(truncated), 0
        yield "t_not_saturated", self._from_t(rounded(self._product, self._n) + bias), 0
        yield "distance_wraps", self._seen(self._exp2(gaps & config.d_max)), 0
        d = np.maximum(d, 0)
        fraction, shift = d & ((1 << config.fraction_bits) - 1), d >> config.fraction_bits
        yield "exp2_truncated", self._seen(np.array(config.table)[fraction] >> shift), 0
        entry = np.array(_truncated_table(config), np.int64)[fraction]
        yield "entry_truncated", self._seen(rounded(entry, shift)), 0
        yield "sum_one_more", e, 1
        yield "sum_one_less", e, -1

    def with_every_key_in_the_maximum(self) -> _Integers:
        """Return e where masked keys take part in the maximum."""
        t = self._tables["keys"]["t"]
        largest = np.maximum.reduceat(t, self._starts)[self._row_of]
        return self._seen(self._exp2(np.minimum(largest - t, self._config.d_max)))

    def sums(self, e: _Integers) -> _Integers:
        """Return the row sums."""
        return np.add.reduceat(e, self._starts)

    def detected(self, e: _Integers, extra: int) -> _Flags:
        """Return the rows whose o differs with these e, and `extra` added to the row sums."""
        sums = np.maximum(self.sums(e) + extra, 1)[self._row_of]
        level = np.empty(len(e), np.uint8)
        pairs = np.minimum(e, sums).astype(np.int32), sums
        levels_of_pairs(*pairs, scheme_constants(self._config.code), level)
        return self.detected_by(level.astype(np.int64))

    def detected_by(self, level: _Integers) -> _Flags:
        """Return the rows whose o differs with these levels."""
        right, params = self._tables["keys"]["level"], self._tables["params"]
        changed = np.flatnonzero(level != right)
        rows, values = self._row_of[changed], np.array(self._config.code.values, np.int64)
        lanes = self._tables["stimulus"]["v"].reshape(len(level), -1)[changed]
        terms = (values[level[changed]] - values[right[changed]])[:, None] * (
            lanes - params["zv"][rows][:, None]
        )
        acc = self._tables["rows"]["acc"].reshape(len(self._starts), -1).copy()
        np.add.at(acc, rows, terms)
        m2, n2, zo = (params[name][:, None] for name in ("m2", "n2", "zo"))
        o = np.clip(rounded(acc * m2, n2) + zo, 0, (1 << self._config.o_bits) - 1)
        return (o != self._tables["expected"]["o"].reshape(o.shape)).any(axis=1)

    def _gaps(self, t: _Integers) -> _Integers:
        """Return the distances before their limit, below zero for masked keys above the maximum."""
        lowest = np.iinfo(np.int64).min
        seen = np.where(self._hidden, lowest, t)
        return np.maximum.reduceat(seen, self._starts)[self._row_of] - t

    def _from_t(self, t: _Integers) -> _Integers:
        return self._seen(self._exp2(np.clip(self._gaps(t), 0, self._config.d_max)))

    def _exp2(self, d: _Integers) -> _Integers:
        config = self._config
        entry = np.array(config.table, np.int64)[d & ((1 << config.fraction_bits) - 1)]
        return rounded(entry, d >> config.fraction_bits)

    def _seen(self, e: _Integers) -> _Integers:
        return np.where(self._hidden, 0, e)
