"""Unit 22: the product of a linear layer, its bias included."""

from collections.abc import Sequence

import numpy as np

from ...declarations import LAST, Port, Stream, Unit, ones
from ...expressions import parameter
from ...jit import borrowing_kernel as kernel

ZERO = Port("zx", "layer", ones("code_bits"))
CODE = Port("x_code", "beat", ones("code_bits"))
WEIGHT = Port("weight", "beat", ones("weight_bits"), signed=True)
BIAS = Port("linear_bias", "channel", ones("bias_bits") >> 1, signed=True)
#: K products of a difference of codes and a weight, and the bias.
ACC = Port(
    "linear_acc",
    "channel",
    parameter("max_inputs") * parameter("largest_term") + BIAS.bound,
    signed=True,
    register=True,
    dtype="int32",
)

LINEAR_ACCUMULATOR = Unit(
    "linear_accumulator",
    number=22,
    declares=(LAST, ZERO, CODE, WEIGHT, BIAS, ACC),
    streams=(
        Stream("params", "input", "case", ("zx", "linear_bias")),
        Stream("stimulus", "input", "beat", ("last", "x_code", "weight")),
        Stream("expected", "output", "case", ("linear_acc",)),
    ),
    makes=(("linear_accumulator", "expected", "linear_acc"),),
    longest=parameter("max_inputs"),
    version=2,
)


def linear_accumulator(codes: Sequence[int], zero: int, weights: Sequence[int], bias: int) -> int:
    """Return A = sum_i (x[i] - zx) * w[i] + B of one output channel, exact (BL2-LINEAR-01).

    Args:
        codes: K unsigned codes.
        zero: zx, their zero point, a code too.
        weights: K signed weights: each its code less the zero point of its channel.
        bias: B, in units of the product.

    Cannot overflow: |A| <= K * (2**a_bits - 1) * (2**w_bits - 1) + |B| (BL2-LINEAR-02).
    """
    return sum((x - zero) * w for x, w in zip(codes, weights, strict=True)) + bias


@kernel
def linear_accumulator_kernel(codes, zero, weights, bias, acc):
    """Write acc[t, o] = sum_i (codes[t, i] - zero) * weights[o, i] + bias[o] of a tile.

    codes: (T, K) uint8; zero: int64; weights: (O, K) int16; bias: (O,) int64; acc: (T, O) int32,
    which holds every partial sum (BL2-LINEAR-02).
    """
    for t in range(acc.shape[0]):
        for o in range(acc.shape[1]):
            total = bias[o]
            for i in range(codes.shape[1]):
                total += (np.int64(codes[t, i]) - zero) * np.int64(weights[o, i])
            acc[t, o] = total
