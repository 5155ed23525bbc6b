"""The table of the exp2 unit, made with integers only."""

from functools import lru_cache
from math import isqrt


@lru_cache(maxsize=64)
def exp2_table(fraction_bits: int, table_bits: int) -> tuple[int, ...]:
    """Return T[f] = RND(2**P * 2**(-f / 2**F)) for f = 0 .. 2**F - 1.

    Exact on every machine: with x = 2**(P + 1 - f/2**F), floor(x) is F nested integer square
    roots of the integer x**(2**F), and RND(x / 2) = (floor(x) + 1) >> 1.

    Args:
        fraction_bits: F.
        table_bits: P.

    Source: SPEC.md BL2-EXP2-01.
    """
    entries = []
    for f in range(1 << fraction_bits):
        root = 1 << (((table_bits + 1) << fraction_bits) - f)
        for _ in range(fraction_bits):
            root = isqrt(root)
        entries.append((root + 1) >> 1)
    return tuple(entries)
