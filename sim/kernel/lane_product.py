"""Units 1 and 8: one row of int16 integers times a matrix that stays in cache, sums in int32.

The matrix is laid out in blocks of so many columns, two of its rows side by side: a vector then
holds the pairs that one instruction multiplies and adds (`pairs.py`).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..jit import borrowing_kernel as kernel
from ..jit import vector_kernel

#: Rows of the matrix that are taken at once: its depth is a multiple, filled up with zeros.
DEPTH = 8
#: Columns of a block: keys of unit 1, channels of unit 8.
KEY_LANES = 128
CHANNEL_LANES = 64


def laid_out(depth: int, columns: int, lanes: int) -> tuple[int, int]:
    """Return the shape of a matrix (depth, columns) as the kernels want it: (blocks, values)."""
    return -(-columns // lanes), -(-depth // DEPTH) * DEPTH * lanes


@kernel
def place_of(row, lane, lanes):
    """Return where an element of the matrix lies in its block: beside that of the row's pair."""
    return (row // 2 * lanes + lane) * 2 + row % 2


def adding_loop(lanes: int) -> Any:
    """Return the kernel that adds products to a block of so many lanes; in vectors, `pairs.py`."""

    @vector_kernel(f"add_pairs_{lanes}")
    def add_pairs(a, p, b, q, out, first):
        """Add to out[first + j] the products of 8 elements of a from p on and rows of b from q on.

        a, b: (n,) int16; out: (n,) int32, j below `lanes`.
        """
        for j in range(lanes):
            for i in range(DEPTH):
                place = q + np.uint64((i // 2 * lanes + j) * 2 + i % 2)
                out[first + np.uint64(j)] += np.int32(a[p + np.uint64(i)]) * np.int32(b[place])

    return add_pairs


def _product_kernel(lanes: int) -> Callable[..., Any]:
    width, depth, add_pairs = np.uint64(lanes), np.uint64(DEPTH), adding_loop(lanes)

    @kernel
    def product(a, b, out):
        """Write out[j] = sum_d a[d] * b[d, j], where b[d, j] lies in block j // lanes.

        a: (depth,) int16, depth a multiple of 8; b: (blocks, depth * lanes) int16, as `laid_out`
        and `place_of`; out: (blocks * lanes,) int32. The caller has proved that every partial sum
        fits int32.
        """
        for block in range(np.uint64(b.shape[0])):
            first = block * width
            for j in range(width):
                out[first + j] = 0
            for d in range(np.uint64(0), np.uint64(a.size), depth):
                add_pairs(a, d, b[block], d * width, out, first)

    return product


key_product = _product_kernel(KEY_LANES)
channel_product = _product_kernel(CHANNEL_LANES)
