"""Unit 2: the score in units of 2**-F octaves, with its bias."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..declarations import Helper, Port, Stream, Unit, ones
from ..expressions import parameter
from ..jit import borrowing_kernel as kernel
from ..rounding import rnd, rnd_kernel, sat
from .score_accumulator import SCORE

if TYPE_CHECKING:
    from ..config import AttentionConfig

M = Port("m", "layer", ones("m_bits"), low=1)
N = Port("n", "layer", parameter("max_n"))
#: |score| * M plus the rounding constant 2**(n-1).
PRODUCT = Port(
    "product",
    "key",
    SCORE.bound * M.bound + (1 << N.bound >> 1),
    signed=True,
    register=True,
)
_T_MAX = (1 << (parameter("t_bits") - 1)) - 1
BIAS = Port("bias", "key", _T_MAX, signed=True, saturates=True)
T = Port("t", "key", _T_MAX, signed=True, saturates=True, register=True, dtype="int32")

SCORE_REQUANTIZER = Unit(
    "score_requantizer",
    number=2,
    declares=(M, N, PRODUCT, BIAS, T),
    streams=(
        Stream("stimulus", "input", "case", ("score", "m", "n", "bias")),
        Stream("expected", "output", "case", ("t",)),
    ),
    makes=(("score_requantizer", "expected", "t"),),
    assumes=(N.bounded,),
    clocked=False,
    helpers=(Helper("score_requantizer_pipe", (N.bounded,)),),
    lane="score_requantizer",
)


def score_requantizer(score: int, m: int, n: int, bias: int, config: AttentionConfig) -> int:
    """Return t = SAT(RND(S * M >> n) + b), signed, `t_bits` wide, F fraction bits.

    One rounding, RND, before the bias; one saturation, after it (BL2-REQ-01, -02).

    Args:
        score: S.
        m, n: multiplier and shift of the layer.
        bias: b, signed, in the range of t; 0 where there is none.
    """
    return sat(rnd(score * m, n) + bias, config.t_min, config.t_max)


@kernel
def score_requantizer_kernel(score, bias, layer, t):
    """Write t[j] = SAT(RND(score[j] * M >> n) + bias[j]).

    score: (N or more,) int16 or int32; bias, t: (N,) int32. Where `layer.narrow` proves that
    product, rounding constant and bias stay within int32 (so n <= 31), lanes are int32: numpy's
    functions keep the width of their operands, which operators would widen. Else int64, which
    holds every register of at most 62 bits.
    """
    if layer.narrow:
        m, n = np.int32(layer.m), np.int32(layer.n)
        rounding = np.int32((np.int64(1) << layer.n) >> np.int64(1))
        t_min, t_max = np.int32(layer.t_min), np.int32(layer.t_max)
        for j in range(t.size):
            product = np.add(np.multiply(np.int32(score[j]), m), rounding)
            narrow_value = np.add(np.right_shift(product, n), bias[j])
            t[j] = min(max(narrow_value, t_min), t_max)
    else:
        for j in range(t.size):
            value = rnd_kernel(np.int64(score[j]) * layer.m, layer.n) + bias[j]
            t[j] = min(max(value, layer.t_min), layer.t_max)
