"""Unit 23: the accumulators of a linear layer as codes, a multiplier and a shift per channel."""

import numpy as np

from ...declarations import Port, Stream, Unit, ones
from ...expressions import number, parameter
from ...jit import borrowing_kernel as kernel
from ...rounding import rnd, rnd_kernel, sat
from .linear_accumulator import ACC

MULTIPLIER = Port("linear_multiplier", "channel", ones("m_bits"), low=1)
SHIFT = Port("linear_shift", "channel", parameter("max_n"))
ZERO = Port("linear_zero", "layer", ones("code_bits"))
#: Bits of the codes that a layer gives.
BITS = Port("y_bits", "layer", parameter("code_bits"), low=2)
#: |A| * M plus the rounding constant 2**(n-1).
PRODUCT = Port(
    "linear_product",
    "channel",
    ACC.bound * MULTIPLIER.bound + (number(1) << SHIFT.bound >> 1),
    signed=True,
    register=True,
)
CODE = Port("linear_code", "channel", ones("code_bits"), register=True, dtype="uint8")

LINEAR_REQUANTIZER = Unit(
    "linear_requantizer",
    number=23,
    declares=(MULTIPLIER, SHIFT, ZERO, BITS, PRODUCT, CODE),
    streams=(
        Stream("params", "input", "case", ("linear_zero", "y_bits")),
        Stream("stimulus", "input", "case", ("linear_acc", "linear_multiplier", "linear_shift")),
        Stream("expected", "output", "case", ("linear_code",)),
    ),
    makes=(("linear_requantizer", "expected", "linear_code"),),
    assumes=(SHIFT.bounded,),
    clocked=False,
    version=2,
)


def linear_requantizer(acc: int, multiplier: int, shift: int, zero: int, bits: int) -> int:
    """Return y = SAT(RND(A * M >> n) + z, 0, 2**b - 1) (BL2-LINREQ-01).

    Args:
        acc: A of the channel.
        multiplier, shift: M and n of the channel.
        zero: z, of the layer's codes.
        bits: b of the layer's codes.
    """
    return sat(rnd(acc * multiplier, shift) + zero, 0, (1 << bits) - 1)


@kernel
def linear_requantizer_kernel(acc, multiplier, shift, zero, top, code):
    """Write code[t, o] of acc[t, o], of a tile that a product has just left.

    acc: (T, O) int32; multiplier, shift: (O,) int64; zero, top: int64, the zero point and the
    largest code; code: (T, O) uint8.
    """
    for t in range(code.shape[0]):
        for o in range(code.shape[1]):
            value = rnd_kernel(np.int64(acc[t, o]) * multiplier[o], shift[o]) + zero
            code[t, o] = min(max(value, np.int64(0)), top)
