"""Unit 31: the accumulators of a head as logits of one common LSB, and the prediction."""

from collections.abc import Sequence

import numpy as np

from ...declarations import Port, Stream, Unit, ones
from ...expressions import number, parameter
from ...jit import borrowing_kernel as kernel
from ...rounding import rnd, rnd_kernel
from .linear_accumulator import ACC

MULTIPLIER = Port("head_multiplier", "channel", ones("m_bits"), low=1)
SHIFT = Port("head_shift", "channel", parameter("max_n"))
#: |A| * M plus the rounding constant 2**(n-1).
PRODUCT = Port(
    "head_product",
    "channel",
    ACC.bound * MULTIPLIER.bound + (number(1) << SHIFT.bound >> 1),
    signed=True,
    register=True,
)
#: Parameters with which a logit could pass this are refused.
_LARGEST = (number(1) << 31) - 1
#: Of the head in front; 0 without one.
LOGIT_IN = Port("logit_in", "channel", _LARGEST, signed=True)
LOGIT = Port("logit", "channel", _LARGEST, signed=True, register=True, dtype="int32")

HEAD = Unit(
    "head",
    number=31,
    declares=(MULTIPLIER, SHIFT, PRODUCT, LOGIT_IN, LOGIT),
    streams=(
        Stream(
            "stimulus",
            "input",
            "case",
            ("linear_acc", "head_multiplier", "head_shift", "logit_in"),
        ),
        Stream("expected", "output", "case", ("logit",)),
    ),
    makes=(("head", "expected", "logit"),),
    assumes=(SHIFT.bounded,),
    clocked=False,
    version=3,
)


def head(acc: int, multiplier: int, shift: int, before: int = 0) -> int:
    """Return L = L' + RND(A * M >> n) of a class (BL2-HEAD-01, -04).

    Args:
        acc: A of the class.
        multiplier, shift: M and n of the class.
        before: L', the logit of the head in front; 0 without one.

    It fits int32 by what loads (BL2-HEAD-02).
    """
    return before + rnd(acc * multiplier, shift)


def prediction(logits: Sequence[int]) -> int:
    """Return the class of the largest logit, of equal ones the lowest (BL2-HEAD-03)."""
    return max(range(len(logits)), key=lambda place: (logits[place], -place))


@kernel
def head_kernel(acc, multiplier, shift, logit):
    """Add to logit[t, o], the logit of the head in front, what acc[t, o] makes.

    acc: (T, O) int32; multiplier, shift: (O,) int64; logit: (T, O) int32.
    """
    for t in range(logit.shape[0]):
        for o in range(logit.shape[1]):
            logit[t, o] += rnd_kernel(np.int64(acc[t, o]) * multiplier[o], shift[o])
