"""Roundings and overflows, one function each, on unbounded integers.

The names are the field's (IEEE 1666 fixed-point modes): TRN, RND, RND_CONV; WRAP, SAT.

The kernels have forms of their own, branch-free on int64.
"""

import numpy as np

from .jit import borrowing_kernel as kernel
from .jit import vector_kernel


def trn(x: int, n: int) -> int:
    """TRN: x / 2**n toward minus infinity, an arithmetic shift. n >= 0."""
    return x >> n


def rnd(x: int, n: int) -> int:
    """RND: x / 2**n to the nearest, ties toward plus infinity, negative x included. n >= 0."""
    if n == 0:
        return x
    return (x + (1 << (n - 1))) >> n


def rnd_conv(x: int, n: int) -> int:
    """RND_CONV: x / 2**n to the nearest, ties to even (convergent). n >= 0."""
    if n == 0:
        return x
    half = 1 << (n - 1)
    tie = x & ((1 << n) - 1) == half
    floor = x >> n
    if tie:
        return floor + (floor & 1)
    return (x + half) >> n


def wrap(x: int, bits: int) -> int:
    """WRAP: the low `bits` bits of x as two's complement."""
    low = x & ((1 << bits) - 1)
    return low - (1 << bits) if low >> (bits - 1) else low


def sat(x: int, low: int, high: int) -> int:
    """SAT: x limited to [low, high]."""
    return min(max(x, low), high)


def leading_one(x: int) -> int:
    """Position of the leading one of x > 0, by a priority encoder: floor(log2 x)."""
    return x.bit_length() - 1


@kernel
def rnd_kernel(x, n):
    """RND(x >> n) for 0 <= n <= 62, int64: ties toward plus infinity; n = 0 adds nothing."""
    return (x + ((np.int64(1) << n) >> np.int64(1))) >> n


@vector_kernel("leading_one")
def leading_one_kernel(x):
    """Position of the leading one of 0 < x < 2**63: a binary search by shifts, five steps and one.

    For x = 0 it gives 0.
    """
    position = np.int64(0)
    for step in (32, 16, 8, 4, 2, 1):
        above = np.int64((x >> np.int64(step)) != 0) * np.int64(step)
        x = x >> above
        position += above
    return position
