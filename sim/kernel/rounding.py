"""Roundings and the leading-one detector for the kernels, branch-free on int64."""

import numpy as np

from ..jit import borrowing_kernel as kernel

__all__ = ["leading_one", "rnd"]


@kernel
def rnd(x, n):
    """RND(x >> n) for 0 <= n <= 62, int64: ties toward plus infinity; n = 0 adds nothing."""
    return (x + ((np.int64(1) << n) >> np.int64(1))) >> n


@kernel
def leading_one(x):
    """Position of the leading one of 0 < x < 2**63: a binary search by shifts, five steps and one.

    For x = 0 it gives 0.
    """
    position = np.int64(0)
    for step in (32, 16, 8, 4, 2, 1):
        above = np.int64((x >> np.int64(step)) != 0) * np.int64(step)
        x = x >> above
        position += above
    return position
