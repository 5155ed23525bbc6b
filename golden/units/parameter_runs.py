"""Cases whose layer parameters vary: the kernels take one set of parameters at a time."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..sampler import Sampler

__all__ = ["any_multipliers", "parameter_runs"]


def parameter_runs(*columns: NDArray[np.int64]) -> Iterator[tuple[list[int], NDArray[np.int64]]]:
    """Yield each set of parameters with the cases that have it, ascending.

    Args:
        columns: (cases,) each, one a parameter.
    """
    table = np.stack(columns)
    order = np.lexsort(table)
    changes = (np.diff(table[:, order], axis=1) != 0).any(axis=0)
    for cases in np.split(order, np.flatnonzero(changes) + 1):
        if cases.size:
            yield table[:, cases[0]].tolist(), cases


def any_multipliers(sampler: Sampler, octaves: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each octave k a multiplier drawn from 2**k to 2**(k+1) - 1."""
    return (np.int64(1) << octaves) + sampler.below_power(octaves)
