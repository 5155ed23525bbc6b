"""Unit 22 for a tile of tokens: weights laid out once, int16 pairs, sums in int32."""

import numpy as np
from numpy.typing import NDArray

from ..jit import borrowing_kernel as kernel
from ..kernel.lane_product import DEPTH, KEY_LANES, adding_loop, laid_out, place_of

_LANES, _DEPTH = np.uint64(KEY_LANES), np.uint64(DEPTH)
_add_pairs = adding_loop(KEY_LANES)


def laid_out_weights(weights: NDArray[np.signedinteger]) -> NDArray[np.int16]:
    """Return weights (O, K) as `linear_product_kernel` takes them: a block per 128 outputs."""
    outputs, inputs = weights.shape
    blocks = np.zeros(laid_out(inputs, outputs, KEY_LANES), np.int16)
    _lay_out(weights, blocks)
    return blocks


def depth_of(blocks: NDArray[np.int16]) -> int:
    """Return K, filled up to a multiple of 8."""
    return blocks.shape[1] // KEY_LANES


@kernel
def _lay_out(weights, blocks):
    for o in range(weights.shape[0]):
        block, lane = o // KEY_LANES, o % KEY_LANES
        for i in range(weights.shape[1]):
            blocks[block, place_of(i, lane, KEY_LANES)] = weights[o, i]


@kernel
def linear_product_kernel(codes, zero, blocks, bias, rows, sums, acc):
    """Write acc[t, o] = sum_i (codes[t, i] - zero) * w[o, i] + bias[o] of a tile.

    codes: (T, K) uint8; zero: int64; blocks: of `laid_out_weights`; bias: (O,) int64; rows:
    (T, depth) int16 and sums: (128,) int32, scratch; acc: (T, O) int32, which holds every partial
    sum, in any order (BL2-LINEAR-02). rows is 0 beyond K.
    """
    for t in range(codes.shape[0]):
        for i in range(codes.shape[1]):
            rows[t, i] = np.int64(codes[t, i]) - zero
    for block in range(blocks.shape[0]):
        left = block * KEY_LANES
        lanes = min(KEY_LANES, acc.shape[1] - left)
        for t in range(codes.shape[0]):
            for lane in range(lanes):
                sums[lane] = bias[left + lane]
            for d in range(np.uint64(0), np.uint64(rows.shape[1]), _DEPTH):
                _add_pairs(rows[t], d, blocks[block], d * _LANES, sums, np.uint64(0))
            for lane in range(lanes):
                acc[t, left + lane] = sums[lane]
