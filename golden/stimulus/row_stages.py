"""A row as stages on whole arrays: worked again from a stage that is wrong, up to the outputs.

Rows are worked once right. A stage that is replaced changes what follows from it and nothing else,
so that only those stages run again. Keys lie one after another, (K,); rows are (R,), lanes of v and
of the output (..., D).
"""

from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import AttentionConfig
from bitlog2.sim.units.distance_quantizer import thresholds_of

from ..words.framing import row_lengths, row_starts
from .cases import rounded
from .unit import Tables

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
#: (rows, *inputs of a stage) -> what it gives.
Stage = Callable[..., Integers]


def leading_one(values: Integers) -> Integers:
    """Return floor(log2(values)) of values from 1 to 2**53."""
    return np.frexp(values.astype(np.float64))[1].astype(np.int64) - 1


class Rows:
    """Rows through the units from the scores on, a stage a method.

    Attributes:
        config: what the hardware is built with.
        params: parameters that each row loads, (R,) each.
        starts: first key of each row, (R,).
        row_of: row of each key, (K,).
        hidden: masked keys, (K,).
        values: of each level, (levels,).
        right: output of each stage.
    """

    #: The stages of both families in order, with the stages whose outputs go into them.
    first: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "product": (),
        "requantized": ("product",),
        "maximum": ("requantized",),
        "gap": ("requantized", "maximum"),
        "distance": ("gap",),
    }
    last: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "coded": ("level",),
        "difference": (),
        "accumulated": ("coded", "difference"),
        "output": ("accumulated", "scale"),
    }
    #: The stages between these, of a family.
    middle: ClassVar[Mapping[str, tuple[str, ...]]]

    def __init__(self, config: AttentionConfig, tables: Tables) -> None:
        beats, self.params = tables["stimulus"], tables["params"]
        self.config, self._beats = config, beats
        self.starts = row_starts(beats["last"])
        self.row_of = np.repeat(np.arange(len(self.starts)), row_lengths(beats["last"]))
        self.hidden, self.bias = beats["mask"] == 1, beats["bias"]
        self.shift = self.params["n"][self.row_of]
        self.v = beats["v"].reshape(len(self.row_of), -1)
        self.zero = self.params["zv"][self.row_of][:, None]
        self.zo = self.params["zo"][:, None]
        self.values = np.array(config.code.values, np.int64)
        self.stages = {**self.first, **self.middle, **self.last}
        self.right: dict[str, Integers] = {}
        for name, inputs in self.stages.items():
            self.right[name] = getattr(self, name)(*(self.right[each] for each in inputs))

    def changed(self, stage: str, wrong: Stage) -> dict[str, Integers]:
        """Return the outputs that a wrong stage changes, by stage."""
        found: dict[str, Integers] = {}
        for name, inputs in self.stages.items():
            if name != stage and found.keys().isdisjoint(inputs):
                continue
            given = (found.get(each, self.right[each]) for each in inputs)
            made = wrong(self, *given) if name == stage else getattr(self, name)(*given)
            if not np.array_equal(made, self.right[name]):
                found[name] = made
        return found

    def differing(self, stage: str, changed: Mapping[str, Integers]) -> Flags:
        """Return the rows in which a stage is among those changed, (R,); d of seen keys counts."""
        if stage not in changed:
            return np.zeros(len(self.starts), np.bool_)
        differs = changed[stage] != self.right[stage]
        if stage == "scale":
            return differs.any(axis=0)
        if stage in ("accumulated", "output"):
            return differs.any(axis=1)
        if stage in ("maximum", "total_weight"):
            return differs
        return np.logical_or.reduceat(differs & ~(self.hidden & (stage == "distance")), self.starts)

    def shows(self, stage: str, wrong: Stage) -> Flags:
        """Return the rows whose output codes a wrong stage changes, (R,)."""
        return self.differing("output", self.changed(stage, wrong))

    def total(self, keys: Integers) -> Integers:
        """Return the sum over the keys of each row."""
        return np.add.reduceat(keys, self.starts)

    def largest(self, t: Integers, hidden: Flags) -> Integers:
        """Return the largest t of the keys of each row that are not hidden."""
        seen = np.where(hidden, np.iinfo(np.int64).min, t)
        return np.maximum.reduceat(seen, self.starts)

    def product(self) -> Integers:
        """Return score * M, (K,)."""
        return self._beats["score"] * self.params["m"][self.row_of]

    def requantized(self, product: Integers) -> Integers:
        """Return t, (K,)."""
        total = rounded(product, self.shift) + self.bias
        return np.clip(total, self.config.t_min, self.config.t_max)

    def maximum(self, t: Integers) -> Integers:
        """Return the row maximum, (R,)."""
        return self.largest(t, self.hidden)

    def gap(self, t: Integers, maximum: Integers) -> Integers:
        """Return the distance before its limits, (K,); below zero for masked keys alone."""
        return maximum[self.row_of] - t

    def distance(self, gap: Integers) -> Integers:
        """Return d, (K,)."""
        return np.clip(gap, 0, self.config.d_max)

    def coded(self, level: Integers) -> Integers:
        """Return the level as it is read from nibble and flag, (K,)."""
        return level

    def difference(self) -> Integers:
        """Return v - zv, (K, D)."""
        return self.v - self.zero

    def accumulated(self, level: Integers, difference: Integers) -> Integers:
        """Return acc, (R, D)."""
        known = self.right.get("accumulated")
        if known is None or difference is not self.right["difference"]:
            return self.total(self.values[level][:, None] * difference)
        right = self.right["coded"]
        keys = np.flatnonzero(level != right)
        more = self.values[level[keys]] - self.values[right[keys]]
        acc = known.copy()
        np.add.at(acc, self.row_of[keys], more[:, None] * difference[keys])
        return acc

    def output(self, acc: Integers, scale: Integers) -> Integers:
        """Return o, (R, D); M2 and n2 of each row are the rows of `scale`."""
        m2, n2 = scale[:, :, None]
        return np.clip(rounded(acc * m2, n2) + self.zo, 0, (1 << self.config.o_bits) - 1)


class QuotientRows(Rows):
    """Rows of a code that is a quotient by the row sum."""

    middle: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "weight": ("distance",),
        "total_weight": ("weight",),
        "level": ("weight", "total_weight"),
        "scale": (),
    }

    def exp2(self, d: Integers, table: Integers, rounding: Stage = rounded) -> Integers:
        """Return e of each d, by a table and a rounding, before masked keys are left out."""
        bits = self.config.fraction_bits
        return rounding(table[d & ((1 << bits) - 1)], d >> bits)

    def weight(self, d: Integers) -> Integers:
        """Return e, (K,)."""
        return np.where(self.hidden, 0, self.exp2(d, np.array(self.config.table, np.int64)))

    def total_weight(self, e: Integers) -> Integers:
        """Return s, (R,)."""
        return self.total(e)

    def level(self, e: Integers, s: Integers) -> Integers:
        """Return the level, (K,); a sum below 1, which only faults make, is 1."""
        quotient = e * self.config.code.int_max // np.maximum(s, 1)[self.row_of]
        return np.searchsorted(self.values[1:], quotient, side="right")

    def scale(self) -> Integers:
        """Return M2 and n2 of each row, (2, R)."""
        return np.stack([self.params["m2"], self.params["n2"]])


class RowMaxRows(Rows):
    """Rows of a code that is read from the distance, and divided by the sum of the values."""

    middle: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "level": ("distance",),
        "total_weight": ("level",),
        "scale": ("total_weight",),
    }

    def __init__(self, config: AttentionConfig, tables: Tables) -> None:
        edges = thresholds_of(config.code, config.fraction_bits)
        self.thresholds = np.array(edges, np.int64)
        super().__init__(config, tables)

    def level(self, d: Integers) -> Integers:
        """Return the level, (K,)."""
        return np.where(self.hidden, 0, self.quantized(d, self.thresholds))

    @staticmethod
    def quantized(d: Integers, thresholds: Integers) -> Integers:
        """Return how many thresholds, descending from the top level's, d does not pass."""
        return len(thresholds) - np.searchsorted(thresholds, d, side="left")

    def total_weight(self, level: Integers) -> Integers:
        """Return w, (R,)."""
        return self.total(self.values[level])

    def scale(self, weight: Integers) -> Integers:
        """Return M2 and n2 of the rows, (2, R); a sum of 0, which only faults make, is 1."""
        weight = np.maximum(weight, 1)
        k = leading_one(weight)
        numerator = (self.params["m2"] << (k + 1)) + weight
        return np.stack([numerator // (2 * weight), self.params["n2"] + k])


def rows_of(config: AttentionConfig, tables: Tables) -> Rows:
    """Return the rows of the input streams `params` and `stimulus`, worked."""
    return (RowMaxRows if config.code.row_max else QuotientRows)(config, tables)


def coding_stages(config: AttentionConfig) -> frozenset[str]:
    """Return the stages of `softmax_row`: from the scores to the codes."""
    middle = {"level"} if config.code.row_max else {"weight", "total_weight", "level"}
    return frozenset({*Rows.first, *middle, "coded"})
