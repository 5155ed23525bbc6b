"""The four BitLog2 codes of an attention map (SPEC.md, section "Schemes")."""

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Scheme:
    """A code for values in [0, 1): a level is a power of two, or of two and its 1.5-fold.

    Attributes:
        name: the published name.
        int_max: A, the integer that stands for 1.0.
        half: whether the bit below the leading one is kept (Half) or not (Single).
        levels: 16 or 17, level 0 (zero) counted. Sixteen fit a 4-bit register; seventeen need
            four bits and a zero flag: a fifth bit of storage.

    Source: BitLog2, `int_max` and levels as published.
    """

    name: str
    int_max: int
    half: bool
    levels: int

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
        return 5 if self.zero_flag else 4

    @property
    def odd_factor(self) -> int:
        """1 or 3: A = odd_factor * 2**base_shift."""
        return 3 if self.int_max % 3 == 0 else 1

    @property
    def base_shift(self) -> int:
        """The power of two in A: 15, 16, 8 or 7."""
        return (self.int_max // self.odd_factor).bit_length() - 1

    @cached_property
    def values(self) -> tuple[int, ...]:
        """The integer that each level stands for, in units of 1/A: strictly increasing from 0."""
        if not self.half:
            return (0, *(1 << k for k in range(self.top_level)))
        ladder = [0, 1]
        for k in range(1, 9):
            ladder += [1 << k, 3 << (k - 1)]
        return tuple(ladder[: self.levels])


SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        Scheme("BitLog2_Single_16", 32768, half=False, levels=16),
        Scheme("BitLog2_Single_17", 65536, half=False, levels=17),
        Scheme("BitLog2_Half_16", 256, half=True, levels=16),
        Scheme("BitLog2_Half_17", 384, half=True, levels=17),
    )
}


def scheme_named(name: str) -> Scheme:
    """Return the scheme of that published name; ValueError lists the legal ones."""
    if name not in SCHEMES:
        raise ValueError(f"scheme must be one of {', '.join(SCHEMES)}, got {name!r}")
    return SCHEMES[name]
