"""Unit 4, kernel: a row of distances to e."""

import numpy as np

from ..jit import kernel
from .rounding import rnd

__all__ = ["exp2"]


@kernel
def exp2(d, masked, layer, e):
    """Write e[j] = RND(T[d mod 2**F] >> (d div 2**F)), 0 for a masked key.

    d, e: (N,) int32; masked: (N,) uint8. The shift is limited to P + 2, where the result is 0,
    as the barrel shifter does it.
    """
    fraction_mask = (np.int64(1) << layer.fraction_bits) - np.int64(1)
    for j in range(d.size):
        distance = np.int64(d[j])
        entry = np.int64(layer.table[distance & fraction_mask])
        shift = min(distance >> layer.fraction_bits, layer.shift_max)
        visible = np.int64(masked[j] == 0)
        e[j] = rnd(entry, shift) * visible
