"""Unit 2: the score in units of 2**-F octaves, with its bias."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..declarations import Helper, Port, Stream, Unit, ones
from ..expressions import parameter
from ..jit import borrowing_kernel as kernel
from ..parts import bounds_of, parts_of
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
def narrow_t(score, layer):
    """Return RND(score * M >> n) in int32, where `layer.narrow` allows it, unsaturated."""
    m, n = np.int32(layer.m), np.int32(layer.n)
    rounding = np.int32((np.int64(1) << layer.n) >> np.int64(1))
    return np.right_shift(np.add(np.multiply(np.int32(score), m), rounding), n)


@kernel
def score_requantizer_kernel(score, bias, layer, t):
    """Write t[j] = SAT(RND(score[j] * M >> n) + bias[j]), and return the largest one.

    score: (N or more,) int16 or int32; bias: (N,) int32, or (0,) for none; t: (N,) int32, or int16
    where `layer.short` proves that it fits. Where `layer.narrow` proves that product, rounding
    constant and bias stay within int32 (so n <= 31), lanes are int32: numpy's functions keep the
    width of their operands, which operators would widen. Else int64, which holds every register of
    at most 62 bits.
    """
    t_min, t_max = np.int32(layer.t_min), np.int32(layer.t_max)
    largest = t_min
    for part in range(parts_of(t.size)):
        begin, end = bounds_of(part, t.size)
        if layer.narrow and bias.size == 0:
            for j in range(begin, end):
                value = min(max(narrow_t(score[j], layer), t_min), t_max)
                t[j], largest = value, max(largest, value)
        elif layer.narrow:
            for j in range(begin, end):
                value = min(max(np.add(narrow_t(score[j], layer), bias[j]), t_min), t_max)
                t[j], largest = value, max(largest, value)
        else:
            for j in range(begin, end):
                added = np.int64(bias[j] if bias.size > 0 else 0)
                wide = rnd_kernel(np.int64(score[j]) * layer.m, layer.n) + added
                value = np.int32(min(max(wide, layer.t_min), layer.t_max))
                t[j], largest = value, max(largest, value)
    return largest
