"""The table of the exp2 unit and the thresholds of RowMax, made with integers only."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from math import isqrt

#: Fraction bits of logarithms: far more than the nearest tie needs (claim distance_thresholds).
_BITS = 96


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


def distance_thresholds(values: Sequence[int], fraction_bits: int) -> tuple[int, ...]:
    """Return the largest d of each level, the top level first and level 1 last.

    Between the values a > b of neighbours it is RND(2**F * log2(A / M)), M = (a - b) / ln(a / b)
    their logarithmic mean and A the largest value; that of level 1 lies an octave behind its value.

    Args:
        values: of the levels, rising from 0.
        fraction_bits: F.

    Source: SPEC.md BL2-DIST-01.
    """
    largest, smallest = values[-1], values[1]
    falling = pairwise(values[:0:-1])
    ratios = (_logarithm(a, b) * largest // (a - b) for a, b in falling)
    last = (largest // smallest).bit_length() << fraction_bits
    return (*((_octaves(ratio, fraction_bits + 1) + 1) >> 1 for ratio in ratios), last)


def _logarithm(a: int, b: int) -> int:
    """Return ln(a / b), a above b, with _BITS fraction bits: 2 atanh((a - b) / (a + b))."""
    step = ((a - b) << _BITS) // (a + b)
    total, power, odd = 0, step, 1
    while power:
        total += power // odd
        power, odd = (power * step >> _BITS) * step >> _BITS, odd + 2
    return 2 * total


def _octaves(x: int, bits: int) -> int:
    """Return log2 of x, at least 1 and with _BITS fraction bits, cut off to that many bits.

    Squaring doubles a logarithm: each time x passes 2, the next bit is 1.
    """
    whole = x.bit_length() - 1 - _BITS
    x, found = x >> whole, whole
    for _ in range(bits):
        x = x * x >> _BITS
        found = 2 * found + (x >> (_BITS + 1))
        x >>= x >> (_BITS + 1)
    return found
