"""Units 1 and 8 in int16 lanes: one row of integers times a matrix that stays in cache.

Where the widths prove that no partial sum passes int16, a lane of 16 bits multiplies and adds
exactly, with twice the lanes of float32. The matrix is laid out in blocks of so many columns: the
distance between its rows is then a constant, and the compiler keeps eight rows' factors in
registers.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..jit import borrowing_kernel as kernel

#: Rows of the matrix that are taken at once: its depth is a multiple, filled up with zeros.
DEPTH = 8
#: Columns of a block: keys of unit 1, channels of unit 8.
KEY_LANES = 128
CHANNEL_LANES = 64


def laid_out(depth: int, columns: int, lanes: int) -> tuple[int, int]:
    """Return the shape of a matrix (depth, columns) as the kernels want it: (blocks, values)."""
    return -(-columns // lanes), -(-depth // DEPTH) * DEPTH * lanes


def _product_kernel(lanes: int) -> Callable[..., Any]:
    width, depth = np.uint64(lanes), np.uint64(DEPTH)
    r1, r2, r3, r4, r5, r6, r7 = (np.uint64(row) for row in range(1, DEPTH))
    p1, p2, p3, p4, p5, p6, p7 = (np.uint64(row * lanes) for row in range(1, DEPTH))

    @kernel
    def product(a, b, out):
        """Write out[j] = sum_d a[d] * b[d, j], where b[d, j] lies in block j // width.

        a: (depth,) int16, depth a multiple of 8; b: (blocks, depth * width) int16, as `laid_out`;
        out: (blocks * width,) int16. The caller has proved that every partial sum fits int16.
        Unsigned indices are not tested for negative ones.
        """
        for block in range(np.uint64(b.shape[0])):
            first = block * width
            for j in range(width):
                out[first + j] = 0
            for d in range(np.uint64(0), np.uint64(a.size), depth):
                a0, a1, a2, a3 = a[d], a[d + r1], a[d + r2], a[d + r3]
                a4, a5, a6, a7 = a[d + r4], a[d + r5], a[d + r6], a[d + r7]
                for j in range(width):
                    p = d * width + j
                    x = np.int16(a0 * b[block, p]) + np.int16(a1 * b[block, p + p1])
                    x += np.int16(a2 * b[block, p + p2]) + np.int16(a3 * b[block, p + p3])
                    y = np.int16(a4 * b[block, p + p4]) + np.int16(a5 * b[block, p + p5])
                    y += np.int16(a6 * b[block, p + p6]) + np.int16(a7 * b[block, p + p7])
                    out[first + j] = np.int16(out[first + j] + np.int16(x + y))

    return product


key_product = _product_kernel(KEY_LANES)
channel_product = _product_kernel(CHANNEL_LANES)
