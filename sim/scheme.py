"""The codes of an attention map (SPEC.md, section "Schemes")."""

from dataclasses import dataclass
from functools import cached_property

#: How a level is found: from the quotient of e and the row sum, or from the distance alone.
QUOTIENT, ROW_MAX = "quotient", "row_max"
FAMILIES = (QUOTIENT, ROW_MAX)


@dataclass(frozen=True)
class Scheme:
    """A code for values in [0, 1]: a level is a power of two, or of two and its 1.5-fold.

    Attributes:
        name: as it is published; RowMax is this project's own.
        int_max: A, the integer that stands for 1: for the probability 1, or in the family row_max
            for the weight of the row's maximum.
        octave_levels: levels 1 to this one are powers of two, an octave apart; above it powers of
            two alternate with their 1.5-fold.
        levels: level 0 (zero) counted. Sixteen fit a 4-bit register; seventeen need four bits and
            a zero flag: a fifth bit of storage.
        family: `quotient` or `row_max`.

    Source: BitLog2, `int_max` and levels as published.
    """

    name: str
    int_max: int
    octave_levels: int
    levels: int
    family: str = QUOTIENT

    @property
    def row_max(self) -> bool:
        """Whether a level is read from the distance to the row's maximum, not from a quotient."""
        return self.family == ROW_MAX

    @property
    def half(self) -> bool:
        """Whether there are half steps: levels that are the 1.5-fold of a power of two."""
        return self.octave_levels < self.top_level

    @property
    def top_level(self) -> int:
        """The largest level, 15 or 16."""
        return self.levels - 1

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
        ladder = [0]
        for level in range(1, self.levels):
            above = max(level - self.octave_levels, 0)
            k, half_bit = min(level, self.octave_levels) - 1 + (above >> 1), above & 1
            ladder.append(((2 + half_bit) << k) >> 1)
        return tuple(ladder)


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


def scheme_named(name: str) -> Scheme:
    """Return the scheme of that name; ValueError lists the legal ones."""
    if name not in SCHEMES:
        raise ValueError(f"scheme must be one of {', '.join(SCHEMES)}, got {name!r}")
    return SCHEMES[name]
