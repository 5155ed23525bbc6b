"""Unit 6, kernel: a row of e to levels, comparing form; the dividing form beside it."""

import numpy as np

from ..jit import borrowing_kernel as kernel
from .rounding import leading_one

__all__ = ["log2_quantizer", "log2_quantizer_dividing"]


@kernel
def _level(k, half_bit, scheme):
    """Level of exponent k (negative: zero) and half bit, before the clamp to the top level."""
    if scheme.half:
        level = 2 * k + half_bit if k >= 1 else k + 1
    else:
        level = k + 1
    return level if k >= 0 else np.int64(0)


@kernel
def log2_quantizer(e, s, scheme, level):
    """Write level[j] of e[j] / s by leading ones and comparisons at the width of s.

    e: (N,) int32 with 0 <= e <= s; s: int64 > 0; level: (N,) uint8. With x = odd * e and
    E = x << a, the comparison E < s << k is made as x << (a - k) < s, shifting whichever side
    keeps the shift non-negative: 28 bits at the default widths (BL2-LOG2-06). k ends at a + 1 or
    below, since e <= s.
    """
    a = np.int64(scheme.base_shift)
    zero = np.int64(0)
    one = np.int64(1)
    leading_s = leading_one(s)
    for j in range(e.size):
        x = np.int64(e[j]) * scheme.odd
        aligned = leading_one(x) + a - leading_s
        k = max(aligned, zero)
        below = np.int64((x << max(a - k, zero)) < (s << max(k - a, zero)))
        k = np.int64(-1) if (aligned < zero or x == zero) else k - below
        half_bit = np.int64((x << (a + one - max(k, zero))) >= 3 * s)
        level[j] = min(_level(k, half_bit, scheme), scheme.top_level)


@kernel
def log2_quantizer_dividing(e, s, scheme, level):
    """Write the same levels from p = min(e * A // s, A - 1): the specification's form."""
    for j in range(e.size):
        p = min(np.int64(e[j]) * scheme.int_max // s, np.int64(scheme.int_max - 1))
        k = leading_one(p) if p > 0 else np.int64(-1)
        half_bit = (p >> (k - 1)) & 1 if k >= 1 else np.int64(0)
        level[j] = _level(k, half_bit, scheme)
