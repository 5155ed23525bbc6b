"""Loops over keys in whole vectors: the last one begins early, and makes again what it overlaps.

For loops that write the same however often they run, and for maxima; not for sums.
"""

import numpy as np

from .jit import borrowing_kernel as kernel

#: Keys of the vectors that a loop takes at once: four of int16 in 512 bits, or eight of int32.
LANES = 128


@kernel
def parts_of(size):
    """Return how many parts a loop over so many keys has: whole vectors, and the last keys."""
    return np.int64(1) if size < LANES or size % LANES == 0 else np.int64(2)


@kernel
def bounds_of(part, size):
    """Return where part 0 or 1 begins and ends, unsigned: indices are not tested for negatives."""
    if part == 0:
        return np.uint64(0), np.uint64(size if size < LANES else size - size % LANES)
    return np.uint64(size - LANES), np.uint64(size)


def filled_up(keys: int) -> int:
    """Return the keys of a scratch whose rows are whole vectors."""
    return -(-keys // LANES) * LANES
