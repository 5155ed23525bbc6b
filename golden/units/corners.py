"""Values that hurt: powers of two, their neighbours, limits; all values where they are few."""

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

__all__ = ["EXHAUSTIVE", "every_case", "few", "near_powers"]

#: Inputs up to this number are all tried.
EXHAUSTIVE = 1 << 20


def few(ranges: Sequence[tuple[int, int]]) -> bool:
    """Return whether the inputs (low, high) have at most 2**20 combinations."""
    return prod(high - low + 1 for low, high in ranges) <= EXHAUSTIVE


def every_case(ranges: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Return every combination of the inputs (low, high), (inputs, cases)."""
    axes = [np.arange(low, high + 1, dtype=np.int64) for low, high in ranges]
    return np.stack([grid.ravel() for grid in np.meshgrid(*axes, indexing="ij")])


def near_powers(low: int, high: int) -> list[int]:
    """Return 0, the powers of two of both signs with their neighbours, low, high and theirs.

    All of them from low to high, ascending.
    """
    values = {0, low, low + 1, high - 1, high}
    for k in range(max(abs(low), abs(high)).bit_length() + 1):
        values |= {sign * (1 << k) + step for sign in (1, -1) for step in (-1, 0, 1)}
    return sorted(value for value in values if low <= value <= high)
