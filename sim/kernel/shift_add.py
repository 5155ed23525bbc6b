"""Unit 8, kernel: levels as shifts, and the accumulator."""

import numpy as np

from ..jit import borrowing_kernel as kernel

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
    """Write value[j], what level[j] stands for in units of 1/A. level: (N,) uint8, value: (N,).

    Half: two, or three with the half bit, shifted by k and halved: level 1 keeps the half of its
    three, level 0 is taken away. Single: one shifted by the level, halved. All within int32.
    """
    one, two = np.int32(1), np.int32(2)
    for j in range(level.size):
        code = np.int32(level[j])
        if scheme.half:
            lead = np.add(two, np.bitwise_and(code, one))
            raised = np.left_shift(lead, np.right_shift(code, one))
            value[j] = np.subtract(np.right_shift(raised, one), np.int32(code == 0))
        else:
            value[j] = np.right_shift(np.left_shift(one, code), one)


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
