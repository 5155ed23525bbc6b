"""Scores to codes over rows: the unit kernels one after another, a few rows at a time in cache."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..config import AttentionConfig
from ..datapath import PORTS
from ..declarations import Port
from ..jit import borrowing_kernel as kernel
from ..jit import vector_kernel
from ..parts import filled_up
from ..units.code_register import code_register_kernel
from ..units.distance_quantizer import distance_quantizer_kernel, level_on_ladder
from ..units.exp2 import E_BITS, exp2_kernel, sum_of_exp2
from ..units.log2_quantizer import quotient_quantizer, row_thresholds, threshold_quantizer
from ..units.row_max import distance_kernel, keep_distance, row_max_kernel
from ..units.score_requantizer import narrow_t, score_requantizer_kernel
from ..units.shift_add import value_of_level

#: Rows that go through one unit before the next: no unit waits for the result of its only row.
BLOCK_ROWS = 8
#: Bytes of a cache line, and of the widest vector.
_LINE = 64


class Registers(NamedTuple):
    """What a trace keeps but for o: G heads, R rows, N keys, D channels; else empty.

    score, t, d, e: (G, R, N) int32; level, nibble, flag: (G, R, N) uint8; row_max, weight_sum,
    m2_row: (G, R) int32; n2_row: (G, R) uint8; row_sum: (G, R) int64; acc: (G, R, D) int32.
    Registers that the scheme's datapath lacks are empty.
    """

    score: NDArray[np.int32]
    t: NDArray[np.int32]
    row_max: NDArray[np.int32]
    d: NDArray[np.int32]
    e: NDArray[np.int32]
    row_sum: NDArray[np.int64]
    level: NDArray[np.uint8]
    nibble: NDArray[np.uint8]
    flag: NDArray[np.uint8]
    weight_sum: NDArray[np.int32]
    m2_row: NDArray[np.int32]
    n2_row: NDArray[np.uint8]
    acc: NDArray[np.int32]


class RowBlock(NamedTuple):
    """A few rows between the units, written over and over.

    Rows are whole vectors long, W keys, of which those past N stay 0. t, logarithm: (B, W) int32;
    short_t: (B, W) int16, in place of t where `layer.short`; d: (B, W) int16, d_max + 1 for a
    masked key; row_max, power, raised: (B,) int32, the last two the thresholds of unit 6; row_sum:
    (B,) int64; no_mask: (0,) uint8.
    """

    t: NDArray[np.int32]
    short_t: NDArray[np.int16]
    row_max: NDArray[np.int32]
    d: NDArray[np.int16]
    logarithm: NDArray[np.int32]
    row_sum: NDArray[np.int64]
    power: NDArray[np.int32]
    raised: NDArray[np.int32]
    no_mask: NDArray[np.uint8]


def aligned(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return zeros that begin at a multiple of 64 bytes: no vector lies across two cache lines."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.zeros(size + _LINE, np.uint8)
    start = -memory.__array_interface__["data"][0] % _LINE
    return memory[start : start + size].view(dtype).reshape(shape)


def new_registers(
    config: AttentionConfig, heads: int, rows: int, keys: int, channels: int
) -> Registers:
    """Return registers to be filled; those that the datapath lacks have no rows."""

    def empty(port: Port) -> NDArray[Any]:
        shapes = {"key": (keys,), "row": (), "channel": (channels,)}
        kept = rows if port.name in config.ports else 0
        return np.empty((heads, kept, *shapes[port.per]), port.dtype)

    return Registers(*(empty(PORTS[name]) for name in Registers._fields))


def row_block(keys: int) -> RowBlock:
    """Return scratch for rows of that many keys."""
    grid, rows = (BLOCK_ROWS, filled_up(keys)), (BLOCK_ROWS,)
    return RowBlock(
        t=aligned(grid, np.int32),
        short_t=aligned(grid, np.int16),
        row_max=aligned(rows, np.int32),
        d=aligned(grid, np.int16),
        logarithm=aligned(grid, np.int32),
        row_sum=aligned(rows, np.int64),
        power=aligned(rows, np.int32),
        raised=aligned(rows, np.int32),
        no_mask=np.empty(0, np.uint8),
    )


@vector_kernel("row_weights")
def row_weights(level, scheme, weight):
    """Write the negative of what each level stands for, and return their sum, int32.

    level: (W,) uint8; weight: (W,) int16, which holds -2**15.
    """
    total = np.int32(0)
    for j in range(level.size):
        weight[j] = np.int16(-value_of_level(level[j], scheme))
        total = np.add(total, np.int32(weight[j]))
    return total


@vector_kernel("largest_score")
def largest_score(score):
    """Return the largest one. score: (N,) int32."""
    largest = score[0]
    for j in range(score.size):
        largest = max(largest, score[j])
    return largest


@vector_kernel("levels_of_scores")
def levels_of_scores(score, row_max, layer, scheme, level, weight):
    """Write the levels of a row and the negative of what each stands for, and return their sum.

    Units 2, 3, 10 and 11 in one, for a trace has no part of it, where `layer.direct` allows it.

    score: (N,) int32; row_max: int32, the largest t; level: (W,) uint8, weight: (W,) int16, W whole
    vectors, of which those past N are 0.
    """
    d_max = np.int32(layer.d_max)
    for j in range(score.size):
        d = np.int16(min(np.subtract(row_max, narrow_t(score[j], layer)), d_max))
        level[j] = np.uint8(level_on_ladder(d, layer.steps, scheme))
    return row_weights(level, scheme, weight)


@vector_kernel("exp2_of_scores")
def exp2_of_scores(score, row_max, layer, logarithm):
    """Write the logarithm of e of each key, and return the sum of e, int64.

    Units 2 to 5 in one, where `layer.direct` allows it. score: (N,) int32; row_max: int32, the
    largest t; logarithm: (W,) int32, W whole vectors, whose keys past N may be written, too.
    """
    d_max, mask, total = np.int32(layer.d_max), (np.int64(1) << E_BITS) - np.int64(1), np.int64(0)
    for j in range(score.size):
        d = min(np.subtract(row_max, narrow_t(score[j], layer)), d_max)
        word = layer.exp2_words[np.uint16(d)]
        logarithm[j] = word >> np.int64(E_BITS)
        total += word & mask
    return total


@vector_kernel("levels_of_logarithms")
def levels_of_logarithms(logarithm, power, raised, layer, scheme, level):
    """Write level as `threshold_quantizer` does. logarithm: (N,) int32; level: (W,) uint8."""
    threshold_quantizer(logarithm, power, raised, layer, scheme, level[: logarithm.size])


@kernel
def _direct(score, keys, layer, scheme, block, level, weight, total):
    """Take a few rows from scores to levels where `layer.direct` allows it; as `code_block`."""
    size = score.shape[0]
    if scheme.row_max:
        for i in range(size):
            row = score[i, :keys]
            row_max = narrow_t(largest_score(row), layer)
            total[i] = -np.int64(levels_of_scores(row, row_max, layer, scheme, level[i], weight[i]))
        return
    for i in range(size):
        row = score[i, :keys]
        row_max = narrow_t(largest_score(row), layer)
        block.row_sum[i] = exp2_of_scores(row, row_max, layer, block.logarithm[i])
    row_thresholds(block.row_sum[:size], layer, scheme, block.power, block.raised)
    for i in range(size):
        power, raised, row = block.power[i], block.raised[i], block.logarithm[i, :keys]
        levels_of_logarithms(row, power, raised, layer, scheme, level[i])


@kernel
def _distances(score, keys, masked, bias, first, layer, block, t):
    """Take rows from scores to t, their maximum and d: units 2 and 3; t: (B, W) int32 or int16."""
    size = score.shape[0]
    for i in range(size):
        offset = bias[min(first + i, bias.shape[0] - 1)]
        block.row_max[i] = score_requantizer_kernel(score[i], offset, layer, t[i, :keys])
    for i in range(size):
        mask = masked[min(first + i, masked.shape[0] - 1)]
        if mask.size > 0:
            block.row_max[i] = row_max_kernel(t[i, :keys], mask, layer)
        distance_kernel(t[i, :keys], block.row_max[i], mask, layer, block.d[i, :keys])


@kernel
def code_block(score, keys, masked, bias, first, layer, scheme, trace, block, level, weight, total):
    """Take a few rows of a head from scores to levels; for a trace all results stay in `block`.

    score: (B, N or more) int32, B at most BLOCK_ROWS, the rows of the head from `first` on; keys:
    N; masked: (R or 1, N) uint8, bias: (R or 1, N) int32, or (1, 0) for none; level: (B, W) uint8,
    whose keys past N are 0 and stay so; weight: (B, W) int16 and total: (B,) int64, the weights and
    their sum, written for RowMax.
    """
    size = score.shape[0]
    if layer.direct and masked.size == 0 and not trace:
        _direct(score, keys, layer, scheme, block, level, weight, total)
        return
    if layer.short:
        _distances(score, keys, masked, bias, first, layer, block, block.short_t)
    else:
        _distances(score, keys, masked, bias, first, layer, block, block.t)
    if scheme.row_max:
        for i in range(size):
            distance_quantizer_kernel(block.d[i], layer.steps, scheme, level[i, :keys])
        for i in range(size):
            total[i] = -np.int64(row_weights(level[i], scheme, weight[i]))
        return
    for i in range(size):
        block.row_sum[i] = sum_of_exp2(block.d[i, :keys], layer, block.logarithm[i])
    if scheme.octave_levels == 0:
        for i in range(size):
            exp2_kernel(block.d[i, :keys], block.no_mask, layer, block.logarithm[i, :keys])
            quotient_quantizer(block.logarithm[i, :keys], block.row_sum[i], scheme, level[i, :keys])
        return
    row_thresholds(block.row_sum[:size], layer, scheme, block.power, block.raised)
    for i in range(size):
        power, raised = block.power[i], block.raised[i]
        threshold_quantizer(block.logarithm[i], power, raised, layer, scheme, level[i, :keys])


@kernel
def keep(values, kept):
    """Copy the first values into kept, (N,)."""
    for j in range(kept.size):
        kept[j] = values[j]


@kernel
def keep_block(g, first, masked, block, level, layer, scheme, regs):
    """Keep the rows of head g that `code_block` has just left in `block` and `level`."""
    keys = regs.t.shape[2]
    for i in range(level.shape[0]):
        row, d = first + i, block.d[i, :keys]
        if layer.short:
            keep(block.short_t[i], regs.t[g, row])
        else:
            keep(block.t[i], regs.t[g, row])
        regs.row_max[g, row] = block.row_max[i]
        keep_distance(d, layer, regs.d[g, row])
        if not scheme.row_max:
            exp2_kernel(d, masked[min(row, masked.shape[0] - 1)], layer, regs.e[g, row])
            regs.row_sum[g, row] = block.row_sum[i]
        keep(level[i], regs.level[g, row])
        code_register_kernel(level[i, :keys], scheme, regs.nibble[g, row], regs.flag[g, row])
