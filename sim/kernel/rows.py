"""Units 2 to 9 over rows: the unit kernels one after another, a row at a time in cache."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..jit import kernel
from .code_register import code_register
from .exp2 import exp2
from .output_requantizer import output_requantizer
from .row_max import distance, row_max
from .row_sum import row_sum
from .score_requantizer import score_requantizer
from .shift_add import level_value
from .threshold_quantizer import count_thresholds, row_thresholds

__all__ = ["RowRegisters", "code_rows", "output_rows"]


class RowRegisters(NamedTuple):
    """Registers of units 2 to 7 for G heads, R rows, N keys; or one row of scratch where R is 1.

    t, d, e: (G, R, N) int32; level, nibble, flag: (G, R, N) uint8; row_max: (G, R) int32;
    row_sum: (G, R) int64.
    """

    t: NDArray[np.int32]
    row_max: NDArray[np.int32]
    d: NDArray[np.int32]
    e: NDArray[np.int32]
    row_sum: NDArray[np.int64]
    level: NDArray[np.uint8]
    nibble: NDArray[np.uint8]
    flag: NDArray[np.uint8]


@kernel
def code_rows(score, masked, bias, layer, scheme, keep, regs, weight):
    """Take scores to levels and their values, a row at a time.

    score: (G, R, N) int32; masked: (G or 1, R or 1, N) uint8, or (1, 1, 0) for none;
    bias: (G or 1, R or 1, N) int32;
    weight: (G, R, N), receives the value of each level. With keep == 0, `regs` is scratch of one
    row, written over and over.
    """
    edge = np.empty(16, np.int32)
    count = np.empty(score.shape[2], np.int32)
    for g in range(score.shape[0]):
        mask_g = min(g, masked.shape[0] - 1)
        bias_g = min(g, bias.shape[0] - 1)
        for i in range(score.shape[1]):
            mask = masked[mask_g, min(i, masked.shape[1] - 1)]
            offset = bias[bias_g, min(i, bias.shape[1] - 1)]
            a, b = (g, i) if keep else (0, 0)
            t, d, e, level = regs.t[a, b], regs.d[a, b], regs.e[a, b], regs.level[a, b]
            score_requantizer(score[g, i], offset, layer, t)
            largest = row_max(t, mask, layer)
            distance(t, largest, mask, layer, d)
            exp2(d, mask, layer, e)
            total = row_sum(e)
            row_thresholds(total, scheme, edge)
            count_thresholds(e, scheme, edge, count, level)
            level_value(level, scheme, weight[g, i])
            if keep:
                code_register(level, scheme, regs.nibble[a, b], regs.flag[a, b])
                regs.row_max[a, b] = largest
                regs.row_sum[a, b] = total


@kernel
def output_rows(acc, layer, o):
    """Take accumulators to output codes. acc: (G, R, D) int32; o: (G, R, D) uint8."""
    for g in range(acc.shape[0]):
        for i in range(acc.shape[1]):
            output_requantizer(acc[g, i], layer, o[g, i])
