"""Unit 24: the accumulators of a linear layer, added to the residual stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...declarations import Port, Stream, Unit, ones
from ...expressions import number, parameter
from ...jit import borrowing_kernel as kernel
from ...rounding import rnd, rnd_kernel, sat
from .linear_accumulator import ACC

if TYPE_CHECKING:
    from ..config import NetworkConfig

#: 0 for a branch that adds nothing: a LayerScale of 0.
MULTIPLIER = Port("residual_multiplier", "channel", ones("m_bits"))
SHIFT = Port("residual_shift", "channel", parameter("max_n"))
STREAM = Port("x", "channel", ones("stream_bits") >> 1, signed=True, saturates=True)
#: |A| * M plus the rounding constant 2**(n-1).
PRODUCT = Port(
    "residual_product",
    "channel",
    ACC.bound * MULTIPLIER.bound + (number(1) << SHIFT.bound >> 1),
    signed=True,
    register=True,
)
#: In front of the saturation: -2**(stream_bits-1) has one more than the largest x.
SUM = Port("residual_sum", "channel", PRODUCT.bound + STREAM.bound + 1, signed=True, register=True)
RESIDUAL = Port(
    "residual",
    "channel",
    STREAM.bound,
    signed=True,
    saturates=True,
    register=True,
    dtype="int32",
)

RESIDUAL_ADDER = Unit(
    "residual_adder",
    number=24,
    declares=(MULTIPLIER, SHIFT, STREAM, PRODUCT, SUM, RESIDUAL),
    streams=(
        Stream(
            "stimulus",
            "input",
            "case",
            ("linear_acc", "residual_multiplier", "residual_shift", "x"),
        ),
        Stream("expected", "output", "case", ("residual",)),
    ),
    makes=(("residual_adder", "expected", "residual"),),
    assumes=(SHIFT.bounded,),
    clocked=False,
    version=2,
)


def residual_sum(acc: int, multiplier: int, shift: int, x: int) -> int:
    """Return x + RND(A * M >> n): one rounding, of the product alone (BL2-RESID-01)."""
    return x + rnd(acc * multiplier, shift)


def residual_adder(acc: int, multiplier: int, shift: int, x: int, config: NetworkConfig) -> int:
    """Return x' = SAT(x + RND(A * M >> n)), signed, `stream_bits` wide (BL2-RESID-01, -02).

    Args:
        acc: A of the channel.
        multiplier, shift: M and n of the channel.
        x: of the stream, or the constant that stands in its place in front of the first block.
        config: gives the width of the stream.
    """
    return sat(residual_sum(acc, multiplier, shift, x), config.stream_min, config.stream_max)


@kernel
def residual_adder_kernel(acc, multiplier, shift, low, high, x):
    """Add acc[t, o] to x[t, o]; return how many of them saturated.

    acc: (T, O) int32; multiplier, shift: (O,) int64; low, high: int64, the range of the stream;
    x: (T, O) int32, the stream before and after.
    """
    saturated = np.int64(0)
    for t in range(x.shape[0]):
        for o in range(x.shape[1]):
            value = rnd_kernel(np.int64(acc[t, o]) * multiplier[o], shift[o]) + np.int64(x[t, o])
            kept = min(max(value, low), high)
            saturated += np.int64(kept != value)
            x[t, o] = kept
    return saturated
