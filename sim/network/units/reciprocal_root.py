"""Unit 26: 1 / sqrt(V) of a token as a mantissa and a shift: one integer root, one division."""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING

import numpy as np

from ...declarations import Port, Stream, Unit, ones
from ...expressions import number, parameter
from ...jit import borrowing_kernel as kernel
from ...rounding import leading_one, leading_one_kernel
from .norm_sums import VARIANCE

if TYPE_CHECKING:
    from ..config import NetworkConfig

SHIFT = Port(
    "root_shift",
    "row",
    parameter("largest_root_shift"),
    signed=True,
    register=True,
    dtype="int8",
)
ARGUMENT = Port(
    "root_argument", "row", (number(1) << 2 * parameter("root_bits")) - 1, register=True
)
ROOT = Port("root", "row", ones("root_bits"), low=1, register=True, dtype="int32")
RECIPROCAL = Port(
    "reciprocal", "row", number(1) << parameter("root_bits"), low=1, register=True, dtype="int32"
)

RECIPROCAL_ROOT = Unit(
    "reciprocal_root",
    number=26,
    declares=(SHIFT, ARGUMENT, ROOT, RECIPROCAL),
    streams=(
        Stream("stimulus", "input", "case", ("variance",)),
        Stream("expected", "output", "case", ("root_shift", "root", "reciprocal")),
    ),
    makes=(
        ("reciprocal_root", "expected", "root_shift"),
        ("reciprocal_root", "expected", "root"),
        ("reciprocal_root", "expected", "reciprocal"),
    ),
    assumes=(VARIANCE.bounded,),
    version=2,
)


def reciprocal_root(variance: int, config: NetworkConfig) -> tuple[int, int, int]:
    """Return (k, root, r): 1 / sqrt(V) is about r / 2**(2 * B - 1 + k), with B = root_bits.

    k = (lod(V) >> 1) - (B - 1) brings V to u = V >> 2k, to the left for k < 0, whose leading bit is
    one of its top two, 2B - 1 and 2B - 2. Then root = floor(sqrt(u)) and
    r = floor(2**(2B - 1) / root) (BL2-ROOT-01 to -03).

    Args:
        variance: V, at least 1.
        config: gives B.

    root is from 2**(B-1) to 2**B - 1, so r is from 2**(B-1) to 2**B; off by less than a relative
    2**-(B-1) to either side, since the two floors go against each other (BL2-ROOT-04).
    """
    bits = config.root_bits
    k = (leading_one(variance) >> 1) - (bits - 1)
    root = isqrt(variance >> 2 * k if k >= 0 else variance << -2 * k)
    return k, root, (1 << (2 * bits - 1)) // root


@kernel
def integer_root(u, bits):
    """Return floor(sqrt(u)) of u < 2**(2 * bits), int64: a bit of the root at a time, from the top.

    What is left of u, and the root so far, are kept shifted: a bit is set where the remainder
    holds it.
    """
    root, left, bit = np.int64(0), u, np.int64(1) << (np.int64(2) * bits - np.int64(2))
    for _ in range(bits):
        trial = root + bit
        fits = np.int64(left >= trial)
        left -= trial * fits
        root = (root >> np.int64(1)) + bit * fits
        bit >>= np.int64(2)
    return root


@kernel
def reciprocal_root_kernel(variance, bits, shift, root, reciprocal):
    """Write k, root and r of each variance. variance: (T,) int64; bits: int64; the rest (T,)."""
    one, zero = np.int64(1), np.int64(0)
    for t in range(variance.size):
        k = (leading_one_kernel(variance[t]) >> one) - (bits - one)
        up, down = max(-k, zero), max(k, zero)
        found = integer_root((variance[t] << (up + up)) >> (down + down), bits)
        shift[t], root[t] = k, found
        reciprocal[t] = (one << (bits + bits - one)) // found
