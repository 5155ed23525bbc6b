"""Unit 4, kernel: a row of distances to e, by one table that the shifter fills once."""

import numpy as np

from ..jit import kernel
from .rounding import rnd

__all__ = ["exp2", "exp2_of_every_distance"]


@kernel
def exp2_of_every_distance(table, fraction_bits, shift_max, e):
    """Write e[d] = RND(T[d mod 2**F] >> (d div 2**F)) for every d from 0 to d_max.

    table: (2**F,) int32; e: (d_max + 1,) int32. The shift is limited to shift_max = P + 2, where
    the result is 0, as the barrel shifter does it.
    """
    fraction_mask = (np.int64(1) << fraction_bits) - np.int64(1)
    for d in range(e.size):
        distance = np.int64(d)
        entry = np.int64(table[distance & fraction_mask])
        e[d] = rnd(entry, min(distance >> fraction_bits, shift_max))


@kernel
def exp2(d, masked, layer, e):
    """Write e[j] = e of d[j], 0 for a masked key.

    d, e: (N,) int32; masked: (N,) uint8, or (0,) where no key is masked. The caller's d is at most
    d_max; as an unsigned index it is not tested for a negative one.
    """
    for j in range(d.size):
        e[j] = layer.exp2_of[np.uint32(d[j])]
    for j in range(masked.size):
        e[j] = e[j] if masked[j] == 0 else np.int32(0)
