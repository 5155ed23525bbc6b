"""The codes of an attention map (SPEC.md, section "Schemes")."""

from dataclasses import dataclass
from functools import cached_property

from .table import distance_thresholds

#: How a level is found: from the quotient of e and the row sum, or from the distance alone.
QUOTIENT, ROW_MAX = "quotient", "row_max"
FAMILIES = (QUOTIENT, ROW_MAX)
#: Fraction bits of the thresholds of a code of one's own: the most that a distance has.
OWN_FRACTION_BITS = 8


@dataclass(frozen=True)
class Scheme:
    """A code for values in [0, 1]: a level is a power of two, or of two and its 1.5-fold.

    A code of a user's own (`own_scheme.py`) may have any values and thresholds in their place.

    Attributes:
        name: as it is published; RowMax is this project's own.
        int_max: A, the integer that stands for 1: for the probability 1, or in the family row_max
            for the weight of the row's maximum.
        octave_levels: levels 1 to this one are powers of two, an octave apart; above it powers of
            two alternate with their 1.5-fold.
        levels: level 0 (zero) counted. Sixteen fit a 4-bit register; seventeen need four bits and
            a zero flag: a fifth bit of storage.
        family: `quotient` or `row_max`.
        own_values: the values of a code that is no such ladder, whose `octave_levels` is 0.
        own_thresholds: in a code of one's own, what reaches levels 1 to the top one: p, or in the
            family row_max a distance in units of 2**-8 octaves.

    Source: BitLog2, `int_max` and levels as published.
    """

    name: str
    int_max: int
    octave_levels: int
    levels: int
    family: str = QUOTIENT
    own_values: tuple[int, ...] = ()
    own_thresholds: tuple[int, ...] = ()

    @property
    def is_ladder(self) -> bool:
        """Whether the values are powers of two and their 1.5-fold, with the thresholds of these."""
        return self.octave_levels > 0

    @property
    def row_max(self) -> bool:
        """Whether a level is read from the distance to the row's maximum, not from a quotient."""
        return self.family == ROW_MAX

    @property
    def half(self) -> bool:
        """Whether there are half steps: levels that are the 1.5-fold of a power of two."""
        return 0 < self.octave_levels < self.top_level

    @property
    def top_level(self) -> int:
        """The largest level, 15 or 16."""
        return self.levels - 1

    @property
    def middle_level(self) -> int:
        """The largest level that stands for at most A / 2, or else 1."""
        return max(1, sum(2 * value <= self.int_max for value in self.values[1:]))

    @property
    def zero_flag(self) -> bool:
        """Whether a zero flag is stored beside the four bits."""
        return self.levels == 17

    @property
    def storage_bits(self) -> int:
        """Bits that one code takes in memory, the zero flag counted."""
        return self.top_level.bit_length()

    @property
    def odd_factor(self) -> int:
        """1 or 3: A = odd_factor * 2**base_shift."""
        return 3 if self.int_max % 3 == 0 else 1

    @property
    def base_shift(self) -> int:
        """The power of two in A: 15, 16, 8, 7 or 10."""
        return (self.int_max // self.odd_factor).bit_length() - 1

    @cached_property
    def values(self) -> tuple[int, ...]:
        """The integer that each level stands for, in units of 1/A: strictly increasing from 0."""
        if not self.is_ladder:
            return self.own_values
        ladder = [0]
        for level in range(1, self.levels):
            above = max(level - self.octave_levels, 0)
            k, half_bit = min(level, self.octave_levels) - 1 + (above >> 1), above & 1
            ladder.append(((2 + half_bit) << k) >> 1)
        return tuple(ladder)

    def thresholds(self, fraction_bits: int = OWN_FRACTION_BITS) -> tuple[int, ...]:
        """Return what reaches levels 1 to the top one.

        The smallest p of each level (BL2-LOG2-01 to -03); in the family row_max its largest d
        (BL2-DIST-01), F = fraction_bits. A threshold of one's own is cut off to F bits: the same d
        as compared with it in full.
        """
        if not self.row_max:
            return self.own_thresholds or self.values[1:]
        if self.own_thresholds:
            return tuple(each >> OWN_FRACTION_BITS - fraction_bits for each in self.own_thresholds)
        return distance_thresholds(self.values, fraction_bits)[::-1]


def scheme_label(name: str) -> str:
    """Return a name without the declaration that a code of one's own carries in it."""
    return name.partition("=")[0]


SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        Scheme("BitLog2_Single_16", 32768, octave_levels=15, levels=16),
        Scheme("BitLog2_Single_17", 65536, octave_levels=16, levels=17),
        Scheme("BitLog2_Half_16", 256, octave_levels=2, levels=16),
        Scheme("BitLog2_Half_17", 384, octave_levels=2, levels=17),
        Scheme("RowMax_16", 1024, octave_levels=7, levels=16, family=ROW_MAX),
    )
}
