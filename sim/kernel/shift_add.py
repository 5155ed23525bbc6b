"""Unit 8, kernel: levels as shifts, and the accumulator."""

import numpy as np

from ..jit import kernel

__all__ = ["level_value", "shift_add"]


@kernel
def _shifted(x, level, scheme):
    """x << k, plus x << (k - 1) with the half bit; 0 for level 0."""
    if scheme.half:
        k = np.int64(level) >> 1
        half_bit = np.int64(level) & 1 if k >= 1 else np.int64(0)
    else:
        k = max(np.int64(level) - 1, np.int64(0))
        half_bit = np.int64(0)
    term = (x << k) + half_bit * (x << max(k - 1, np.int64(0)))
    return term if level > 0 else np.int64(0)


@kernel
def level_value(level, scheme, value):
    """Write value[j], what level[j] stands for in units of 1/A: one shifted. value: (N,)."""
    for j in range(level.size):
        value[j] = _shifted(np.int64(1), level[j], scheme)


@kernel
def shift_add(level, v, zv, scheme, acc):
    """Write acc[d] = sum_j of (v[j, d] - zv) shifted by level[j].

    level: (N,) uint8; v: (N, D) int32; acc: (D,) int32, which cannot overflow: |acc| <= 255 * A
    (BL2-ACC-02).
    """
    acc[:] = 0
    for j in range(level.size):
        for d in range(acc.size):
            acc[d] += _shifted(np.int64(v[j, d]) - zv, level[j], scheme)
