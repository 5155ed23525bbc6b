"""Rounding shifters behind a multiplier: which roundings a shift reaches, and what reaches them.

Both requantizers shift value * multiplier by n and round (BL2-NUM-02): for each n there is a
product half an LSB off, of either sign, one just below that, and all others.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..coverage import Point

__all__ = ["below_tie", "rounding_kind", "shift_cases", "shift_points", "tie"]

_PLAIN, _TIE_POSITIVE, _TIE_NEGATIVE, _BELOW_TIE = range(4)
_KINDS = {
    _PLAIN: "no_tie",
    _TIE_POSITIVE: "tie_positive",
    _TIE_NEGATIVE: "tie_negative",
    _BELOW_TIE: "below_tie",
}
#: Multipliers that are tried: a wider one is not needed for any tie.
_MOST_BITS = 16


def tie(bound: int, bits: int, n: int) -> tuple[int, int] | None:
    """Return (value, multiplier) with the product 2**(n-1), or None where no tie is reached.

    A product has at most lod(bound) + bits - 1 trailing zeros for 0 < |value| <= bound and a
    multiplier of `bits` bits, and both factors may be powers of two: so ties end there.
    """
    most = bound.bit_length() - 1
    if n < 1 or n - 1 > most + bits - 1:
        return None
    of_value = min(n - 1, most)
    return 1 << of_value, 1 << (n - 1 - of_value)


@lru_cache(maxsize=1024)
def below_tie(bound: int, bits: int, n: int) -> tuple[int, int] | None:
    """Return (value, multiplier) with a product of 2**(n-1) - 1 modulo 2**n, or None.

    That product is odd for n >= 2, so the multiplier is, and for each one there is a single value
    modulo 2**n: the one nearest to 0 counts. Tried are multipliers of at most 16 bits.
    """
    if n < 1:
        return None
    odd = np.arange(1, 1 << min(bits, _MOST_BITS), 2, dtype=np.uint64)
    mask = np.uint64((1 << n) - 1)
    inverse = odd.copy()
    for _ in range(5):
        inverse *= np.uint64(2) - odd * inverse
    value = ((np.uint64((1 << (n - 1)) - 1) * inverse) & mask).astype(np.int64)
    value[value >= 1 << (n - 1)] -= 1 << n
    found = np.flatnonzero(np.abs(value) <= bound)
    return (int(value[found[0]]), int(odd[found[0]])) if found.size else None


def shift_points(name: str, requirement: str, bound: int, bits: int, largest: int) -> list[Point]:
    """Return for every shift amount the points of a tie of either sign, just below one, of none.

    Args:
        name: of the shift amount, the points' first word.
        requirement: that they belong to.
        bound: of |value|.
        bits: of the multiplier.
        largest: shift amount.
    """
    points = []
    for n in range(largest + 1):
        has_tie = tie(bound, bits, n) is not None
        reachable = {
            _PLAIN: n != 1,
            _TIE_POSITIVE: has_tie,
            _TIE_NEGATIVE: has_tie,
            _BELOW_TIE: below_tie(bound, bits, n) is not None,
        }
        points += [
            Point(f"{name}_{n}_{_KINDS[kind]}", requirement, "rounding", 4 * n + kind, reached)
            for kind, reached in reachable.items()
        ]
    return points


def rounding_kind(product: ArrayLike, n: ArrayLike) -> NDArray[np.int64]:
    """Return the signal `rounding` of the points: 4 * n + how the product is rounded.

    A shift by 0 rounds nothing. Just below a tie is one less than it: for n = 1 every even product.
    """
    values, shift = np.asarray(product, np.int64), np.asarray(n, np.int64)
    one = np.int64(1)
    half = (one << shift) >> one
    rest = values & ((one << shift) - one)
    kind = np.where(rest == half, np.where(values > 0, _TIE_POSITIVE, _TIE_NEGATIVE), _PLAIN)
    kind = np.where(rest == half - one, _BELOW_TIE, kind)
    return 4 * shift + np.where(shift > 0, kind, _PLAIN)


def shift_cases(bound: int, bits: int, largest: int) -> list[tuple[int, int, int]]:
    """Return (value, multiplier, n) that fill every point of `shift_points`."""
    cases = []
    for n in range(largest + 1):
        cases += [(0, 1, n), (1, 1, n), (-1, 1, n)]
        found = tie(bound, bits, n)
        if found is not None:
            value, multiplier = found
            cases += [(sign * value, multiplier, n) for sign in (1, -1)]
            cases += [(sign * 3 * value, multiplier, n) for sign in (1, -1) if 3 * value <= bound]
        found = below_tie(bound, bits, n)
        if found is not None:
            cases.append((*found, n))
    return cases
