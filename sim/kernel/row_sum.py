"""Unit 5, kernel: the sum of a row."""

import numpy as np

from ..jit import kernel

__all__ = ["row_sum"]


@kernel
def row_sum(e):
    """Return the sum of e, (N,) int32, as int64: at most 36 bits for every configuration."""
    total = np.int64(0)
    for j in range(e.size):
        total += np.int64(e[j])
    return total
