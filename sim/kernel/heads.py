"""Units 1 or 2 to 9 over heads.

Rows are taken eight at a time: the keys, then the row's tables, then the values come into the
nearest cache once for all eight.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..jit import borrowing_kernel as kernel
from ..parts import filled_up
from ..units.output_requantizer import output_requantizer_kernel
from ..units.row_multiplier import row_multiplier_kernel
from .lane_product import (
    CHANNEL_LANES,
    KEY_LANES,
    channel_product,
    key_product,
    laid_out,
    place_of,
)
from .rows import (
    BLOCK_ROWS,
    RowBlock,
    aligned,
    code_block,
    keep,
    keep_block,
    row_block,
    row_weights,
)

#: Query rows between the products.
_ROWS = 32
#: Shapes, and scratches of each, that are kept for the next call.
_SPARE_SHAPES, _SPARES = 8, 16


class HeadScratch(NamedTuple):
    """One head between the units, written over and over; what fills up is 0 and stays so.

    k: keys less their zero point, v: the zero point less values, laid out for the products, int16.
    q: (D,) int16, a query less its zero point. score, acc: (32, ...) int32. weight: (32, W) int16,
    the negatives of the levels' values, and level: (8, W) uint8: rows of whole vectors. total, m2,
    n2: (32,) int64, of each row the sum of what its levels stand for, and for unit 9. Depths are
    filled up to a multiple of 8. block: scratch of a few rows.
    """

    k: NDArray[np.int16]
    v: NDArray[np.int16]
    q: NDArray[np.int16]
    score: NDArray[np.int32]
    level: NDArray[np.uint8]
    weight: NDArray[np.int16]
    acc: NDArray[np.int32]
    total: NDArray[np.int64]
    m2: NDArray[np.int64]
    n2: NDArray[np.int64]
    block: RowBlock


def head_scratch(keys: int, channels: int, out_channels: int) -> HeadScratch:
    """Return scratch for heads of that many keys, channels and output channels."""
    k_shape = laid_out(channels, keys, KEY_LANES)
    v_shape = laid_out(keys, out_channels, CHANNEL_LANES)
    return HeadScratch(
        k=aligned(k_shape, np.int16),
        v=aligned(v_shape, np.int16),
        q=aligned((k_shape[1] // KEY_LANES,), np.int16),
        score=aligned((_ROWS, k_shape[0] * KEY_LANES), np.int32),
        level=aligned((BLOCK_ROWS, filled_up(keys)), np.uint8),
        weight=aligned((_ROWS, filled_up(keys)), np.int16),
        acc=aligned((_ROWS, v_shape[0] * CHANNEL_LANES), np.int32),
        total=aligned((_ROWS,), np.int64),
        m2=aligned((_ROWS,), np.int64),
        n2=aligned((_ROWS,), np.int64),
        block=row_block(keys),
    )


@lru_cache(maxsize=_SPARE_SHAPES)
def _spare_scratch(keys: int, channels: int, out_channels: int) -> deque[HeadScratch]:
    return deque(maxlen=_SPARES)


@contextmanager
def borrowed_scratch(keys: int, channels: int, out_channels: int) -> Iterator[HeadScratch]:
    """Lend scratch that nobody else has meanwhile: one that was made before, or a new one.

    Making it holds the interpreter as long as half a head takes, and the other threads wait.
    """
    spare = _spare_scratch(keys, channels, out_channels)
    try:
        scratch = spare.pop()
    except IndexError:
        scratch = head_scratch(keys, channels, out_channels)
    try:
        yield scratch
    finally:
        spare.append(scratch)


@kernel
def _load_keys(k, zero, block):
    """Write keys (N, D) less the zero point where `key_product` reads them: a column a key.

    This and the next two return the bits that any of their codes has set, so that one that is out
    of range is seen.
    """
    seen = np.int32(0)
    for j in range(k.shape[0]):
        first, lane = j // KEY_LANES, j % KEY_LANES
        for d in range(k.shape[1]):
            seen = np.bitwise_or(seen, k[j, d])
            block[first, place_of(d, lane, KEY_LANES)] = k[j, d] - zero
    return seen


@kernel
def _load_values(v, zero, block):
    """Write the zero point less values (N, D') where `channel_product` reads them."""
    seen = np.int32(0)
    for first in range(block.shape[0]):
        left = first * CHANNEL_LANES
        lanes = min(CHANNEL_LANES, v.shape[1] - left)
        for j in range(v.shape[0]):
            for lane in range(lanes):
                seen = np.bitwise_or(seen, v[j, left + lane])
                block[first, place_of(j, lane, CHANNEL_LANES)] = zero - v[j, left + lane]
    return seen


@kernel
def _load_query(q, zero, row):
    """Write a query (D,) less the zero point."""
    seen = np.int32(0)
    for d in range(q.size):
        seen = np.bitwise_or(seen, q[d])
        row[d] = q[d] - zero
    return seen


@kernel
def _rows_to_outputs(g, top, score, keys, masks, offsets, layer, scheme, trace, head, regs, o):
    """Take the scores of some rows of head g, from row `top` on, to output codes.

    score: (size, N or more) int32, size at most _ROWS; keys: N.
    """
    size, depth = score.shape[0], head.v.shape[1] // CHANNEL_LANES
    for first in range(0, size, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, size)
        rows, level, weight = score[first:last], head.level[: last - first], head.weight[first:last]
        made = level, weight, head.total[first:last]
        code_block(rows, keys, masks, offsets, top + first, layer, scheme, trace, head.block, *made)
        if not scheme.row_max:
            for i in range(last - first):
                row_weights(level[i], scheme, weight[i])
        if trace:
            keep_block(g, top + first, masks, head.block, level, layer, scheme, regs)
    if scheme.row_max:
        row_multiplier_kernel(head.total[:size], layer, head.m2[:size], head.n2[:size])
        if trace:
            keep(head.total[:size], regs.weight_sum[g, top : top + size])
            keep(head.m2[:size], regs.m2_row[g, top : top + size])
            keep(head.n2[:size], regs.n2_row[g, top : top + size])
    else:
        head.m2[:size], head.n2[:size] = layer.m2, layer.n2
    for r in range(size):
        channel_product(head.weight[r, :depth], head.v, head.acc[r])
        output_requantizer_kernel(head.acc[r], head.m2[r], head.n2[r], layer, o[g, top + r])
        if trace:
            keep(score[r], regs.score[g, top + r])
            keep(head.acc[r], regs.acc[g, top + r])


@kernel
def attention_heads(q, k, v, masked, bias, layer, scheme, trace, head, regs, o):
    """Take heads from codes to output codes.

    q: (G, R, D), k: (G, N, D), v: (G, N, D') int32 codes; masked: (G or 1, R or 1, N) uint8, or
    (1, 1, 0) for none; bias: (G or 1, R or 1, N) int32, or
    (1, 1, 0) for none; head: scratch; regs: filled where trace is
    set; o: (G, R, D') uint8. Returns the bits that any code of q, k and v has set.
    """
    seen_q, seen_k, seen_v = np.int32(0), np.int32(0), np.int32(0)
    for g in range(q.shape[0]):
        masks = masked[min(g, masked.shape[0] - 1)]
        offsets = bias[min(g, bias.shape[0] - 1)]
        seen_k = np.bitwise_or(seen_k, _load_keys(k[g], layer.zk, head.k))
        seen_v = np.bitwise_or(seen_v, _load_values(v[g], layer.zv, head.v))
        for top in range(0, q.shape[1], _ROWS):
            size = min(_ROWS, q.shape[1] - top)
            for r in range(size):
                seen_q = np.bitwise_or(seen_q, _load_query(q[g, top + r], layer.zq, head.q))
                key_product(head.q, head.k, head.score[r])
            score = head.score[:size]
            _rows_to_outputs(
                g, top, score, k.shape[1], masks, offsets, layer, scheme, trace, head, regs, o
            )
    return seen_q, seen_k, seen_v


@kernel
def heads_from_scores(score, v, masked, bias, layer, scheme, trace, head, regs, o):
    """Take heads from scores, (G, R, N) int32, to output codes; else as `attention_heads`.

    Returns the bits that any code of v has set.
    """
    seen = np.int32(0)
    for g in range(score.shape[0]):
        masks = masked[min(g, masked.shape[0] - 1)]
        offsets = bias[min(g, bias.shape[0] - 1)]
        seen = np.bitwise_or(seen, _load_values(v[g], layer.zv, head.v))
        for top in range(0, score.shape[1], _ROWS):
            rows = score[g, top : top + _ROWS]
            _rows_to_outputs(
                g, top, rows, v.shape[1], masks, offsets, layer, scheme, trace, head, regs, o
            )
    return seen
