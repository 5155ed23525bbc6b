"""Rows of different lengths in one stream, framed by the last bit of each."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..stimulus.unit import CaseGroup
from .fields import Columns


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


def case_group(source: str, reason: str, columns: Mapping[str, ArrayLike]) -> CaseGroup:
    """Return cases of one word each, the columns of their stream `stimulus` given."""
    stimulus: Columns = {name: np.asarray(x, np.int64) for name, x in columns.items()}
    return CaseGroup(source, reason, len(next(iter(stimulus.values()))), {"stimulus": stimulus})


def row_group(
    source: str,
    reason: str,
    rows: Sequence[Mapping[str, ArrayLike]],
    params: Mapping[str, ArrayLike] | None = None,
) -> CaseGroup:
    """Return rows as cases, `last` set in the last beat of each.

    Args:
        source, reason: of the group.
        rows: the columns of each row's beats; every row has at least one.
        params: the columns of the stream `params`, one entry a row; None where there is none.
    """
    names = list(rows[0])
    lengths = [len(np.asarray(row[names[0]])) for row in rows]
    last = np.zeros(sum(lengths), np.int64)
    last[np.cumsum(lengths) - 1] = 1
    stimulus: Columns = {"last": last}
    for name in names:
        stimulus[name] = np.concatenate([np.asarray(row[name], np.int64) for row in rows])
    tables = {"stimulus": stimulus}
    if params is not None:
        tables = {"params": {name: np.asarray(x, np.int64) for name, x in params.items()}} | tables
    return CaseGroup(source, reason, len(rows), tables)
