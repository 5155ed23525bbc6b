"""Unit 9, kernel: accumulators to output codes."""

import numpy as np

from ..jit import kernel
from .rounding import rnd

__all__ = ["output_requantizer"]


@kernel
def output_requantizer(acc, layer, o):
    """Write o[d] = clamp(RND(acc[d] * M2 >> n2) + zo, 0, o_max). acc: (D,) int32, o: (D,) uint8."""
    for d in range(acc.size):
        value = rnd(np.int64(acc[d]) * layer.m2, layer.n2) + layer.zo
        o[d] = min(max(value, np.int64(0)), layer.o_max)
