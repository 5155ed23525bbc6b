"""Unit 22 for a tile of tokens, in one of two forms, whose weights are laid out once.

Bytes: codes as they are, four products with weights of int8 added at once, where this processor has
the instruction (`dots.py`). Words: codes less their zero point and weights as int16, two products
at once, on any processor and for any weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..jit import Kernel
from ..jit import borrowing_kernel as kernel
from ..kernel.lane_product import KEY_LANES, block_loop, laid_out, place_of

if TYPE_CHECKING:
    from .program import Linear

#: Tokens and outputs whose sums a tile of bytes holds in registers; bytes that are multiplied and
#: added at once.
TOKENS, LANES, BYTES = 4, 64, 4
_block_product = block_loop(KEY_LANES)


class _DotKernel(Kernel):
    """A kernel whose place the vectors of `dots.py` take where this processor has them."""

    @cached_property
    def compiled(self) -> Callable[..., Any]:
        """The vectors, or the loop, as numba's dispatcher."""
        from ..compilation import compiled, runs_python

        if runs_python():
            return self.py_func
        from .dots import dot_tile, has_dots

        return compiled(dot_tile if has_dots() else self.py_func, self._options)


def _dot_kernel(function: Callable[..., Any]) -> Kernel:
    return _DotKernel(function, forceinline=True, _nrt=False)


@dataclass(frozen=True)
class ByteProduct:
    """Weights from -127 to 127: (blocks, values) int8, and B - zx * sum(w) of each output."""

    blocks: NDArray[np.int8]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, linear: Linear) -> ByteProduct:
        """Lay the weights of a layer out."""
        weights, product = linear.weights, linear.product
        size = len(range(0, linear.outputs, LANES)), len(range(0, linear.inputs, BYTES)) * BYTES
        blocks = np.zeros((size[0], size[1] * LANES), np.int8)
        _lay_bytes_out(weights, blocks)
        sums = weights.sum(axis=1, dtype=np.int64)
        return cls(blocks, np.array(product.linear_bias, np.int64) - product.zx * sums)

    def __call__(self, codes: NDArray[np.uint8], acc: NDArray[np.int32]) -> None:
        """Write the accumulators (T, O) of codes (T, K)."""
        size = len(range(0, len(codes), TOKENS)) * TOKENS, self.blocks.shape[1] // LANES
        rows, sums = np.zeros(size, np.uint8), np.empty((TOKENS, LANES), np.int32)
        byte_product_kernel(codes, self.blocks, self.offsets, rows, sums, acc)


@dataclass(frozen=True)
class WordProduct:
    """Any weights: (blocks, values) int16, as `kernel/lane_product.py` takes them; zx and B."""

    blocks: NDArray[np.int16]
    zero: int
    bias: NDArray[np.int64]

    @classmethod
    def of(cls, linear: Linear) -> WordProduct:
        """Lay the weights of a layer out."""
        blocks = np.zeros(laid_out(linear.inputs, linear.outputs, KEY_LANES), np.int16)
        _lay_words_out(linear.weights, blocks)
        return cls(blocks, linear.product.zx, np.array(linear.product.linear_bias, np.int64))

    def __call__(self, codes: NDArray[np.uint8], acc: NDArray[np.int32]) -> None:
        """Write the accumulators (T, O) of codes (T, K)."""
        rows = np.zeros((len(codes), self.blocks.shape[1] // KEY_LANES), np.int16)
        sums = np.empty(KEY_LANES, np.int32)
        word_product_kernel(codes, self.zero, self.blocks, self.bias, rows, sums, acc)


Product = ByteProduct | WordProduct


def product_of(linear: Linear) -> Product:
    """Return the form that is the faster one here."""
    from ..compilation import runs_python

    if abs(linear.weights.astype(np.int16)).max() > 127:
        return WordProduct.of(linear)
    if not runs_python():
        from .dots import has_dots

        if not has_dots():
            return WordProduct.of(linear)
    return ByteProduct.of(linear)


@kernel
def _lay_bytes_out(weights, blocks):
    for o in range(weights.shape[0]):
        block, lane = o // LANES, o % LANES
        for i in range(weights.shape[1]):
            blocks[block, (i // BYTES * LANES + lane) * BYTES + i % BYTES] = weights[o, i]


@kernel
def _lay_words_out(weights, blocks):
    for o in range(weights.shape[0]):
        block, lane = o // KEY_LANES, o % KEY_LANES
        for i in range(weights.shape[1]):
            blocks[block, place_of(i, lane, KEY_LANES)] = weights[o, i]


@_dot_kernel
def dot_tile(codes, first, weights, sums):
    """Write sums[t, lane] of 4 rows of codes from `first` on and the weights of a block.

    codes: (T, depth) uint8, depth a multiple of 4; weights: (depth * 64,) int8, a block; sums:
    (4, 64) int32, which hold every sum: depth * 255 * 127 is below 2**31.
    """
    for t in range(TOKENS):
        for lane in range(LANES):
            total = np.int32(0)
            for i in range(codes.shape[1]):
                place = (i // BYTES * LANES + lane) * BYTES + i % BYTES
                total += np.int32(codes[first + t, i]) * np.int32(weights[place])
            sums[t, lane] = total


@kernel
def byte_product_kernel(codes, blocks, offsets, rows, sums, acc):
    """Write acc[t, o] = sum_i codes[t, i] * w[o, i] + offsets[o] of a tile.

    codes: (T, K) uint8; blocks, offsets: of a `ByteProduct`; rows: (T filled up to a multiple of 4,
    depth) uint8, 0 beyond T and K, and sums: (4, 64) int32, scratch; acc: (T, O) int32.
    """
    for t in range(codes.shape[0]):
        for i in range(codes.shape[1]):
            rows[t, i] = codes[t, i]
    for block in range(blocks.shape[0]):
        left = block * LANES
        lanes = min(LANES, acc.shape[1] - left)
        for first in range(0, rows.shape[0], TOKENS):
            dot_tile(rows, first, blocks[block], sums)
            for t in range(min(TOKENS, codes.shape[0] - first)):
                for lane in range(lanes):
                    acc[first + t, left + lane] = np.int64(sums[t, lane]) + offsets[left + lane]


@kernel
def word_product_kernel(codes, zero, blocks, bias, rows, sums, acc):
    """Write acc[t, o] = sum_i (codes[t, i] - zero) * w[o, i] + bias[o] of a tile.

    codes: (T, K) uint8; zero: int64; blocks, bias: of a `WordProduct`; rows: (T, depth) int16, 0
    beyond K, and sums: (128,) int32, scratch; acc: (T, O) int32, which holds every partial sum, in
    any order (BL2-LINEAR-02).
    """
    for t in range(codes.shape[0]):
        for i in range(codes.shape[1]):
            rows[t, i] = np.int64(codes[t, i]) - zero
    for block in range(blocks.shape[0]):
        left = block * KEY_LANES
        lanes = min(KEY_LANES, acc.shape[1] - left)
        for t in range(codes.shape[0]):
            _block_product(rows[t], blocks[block], sums, np.uint64(0))
            for lane in range(lanes):
                acc[t, left + lane] = np.int64(sums[lane]) + bias[left + lane]
