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


def block_loop(lanes: int) -> Any:
    """Return the kernel that makes the sums of a block of so many lanes; in vectors, `pairs.py`."""

    @vector_kernel(f"block_product_{lanes}")
    def block_product(a, b, out, first):
        """Write out[first + j] = sum_d a[d] * b[d, j], j below `lanes`.

        a: (depth,), b: (depth * lanes,) int16, b[d, j] as `place_of`; out: (n,) int32.
        """
        for j in range(lanes):
            total = np.int32(0)
            for d in range(a.size):
                total += np.int32(a[d]) * np.int32(b[place_of(d, j, lanes)])
            out[first + np.uint64(j)] = total

    return block_product


def _product_kernel(lanes: int) -> Callable[..., Any]:
    width, block_product = np.uint64(lanes), block_loop(lanes)

    @kernel
    def product(a, b, out):
        """Write out[j] = sum_d a[d] * b[d, j], where b[d, j] lies in block j // lanes.

        a: (depth,) int16, depth a multiple of 8; b: (blocks, depth * lanes) int16, as `laid_out`
        and `place_of`; out: (blocks * lanes,) int32. The caller has proved that every sum fits
        int32.
        """
        for block in range(np.uint64(b.shape[0])):
            block_product(a, b[block], out, block * width)

    return product


key_product = _product_kernel(KEY_LANES)
channel_product = _product_kernel(CHANNEL_LANES)
