"""Rows of different lengths in one stream, framed by the last bit of each."""

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray


def row_starts(last: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first beat of each row; `last` is (beats,), 1 where a row ends."""
    return np.concatenate([np.zeros(1, np.int64), np.flatnonzero(last)[:-1] + 1])


def row_lengths(last: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the beats of each row."""
    return np.diff(row_starts(last), append=len(last))


def row_slices(last: NDArray[np.int64]) -> list[slice]:
    """Return the beats of each row as slices."""
    ends = [0, *(np.flatnonzero(last) + 1).tolist()]
    return [slice(first, end) for first, end in pairwise(ends)]


def sums_of_rows(values: ArrayLike, last: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum of `values`, one for each beat, over each row: of flags their number."""
    sums = np.add.reduceat(np.asarray(values, np.int64), row_starts(last))
    return np.asarray(sums, np.int64)
