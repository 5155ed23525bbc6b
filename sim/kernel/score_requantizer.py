"""Unit 2, kernel: a row of scores to t."""

import numpy as np

from ..jit import kernel
from .rounding import rnd

__all__ = ["score_requantizer"]


@kernel
def score_requantizer(score, bias, layer, t):
    """Write t[j] = SAT(RND(score[j] * M >> n) + bias[j]).

    score, bias, t: (N,) int32. The product fits int64: every register is at most 62 bits.
    """
    for j in range(score.size):
        product = np.int64(score[j]) * layer.m
        value = rnd(product, layer.n) + bias[j]
        t[j] = min(max(value, layer.t_min), layer.t_max)
