"""Unit 7, kernel: levels to nibbles and zero flags; rows packed in memory."""

import numpy as np

from ..jit import borrowing_kernel as kernel

__all__ = ["code_register", "pack_row"]


@kernel
def code_register(level, scheme, nibble, flag):
    """Write nibble[j] and flag[j] of level[j]. All (N,) uint8."""
    for j in range(level.size):
        value = np.int64(level[j])
        zero = np.int64(value == 0) * scheme.zero_flag
        flag[j] = zero
        nibble[j] = value - scheme.zero_flag + zero


@kernel
def pack_row(nibble, flag, nibbles, flags):
    """Write a row in memory order: low nibble first; flag j at bit j mod 8 of byte j div 8.

    nibble, flag: (N,) uint8. nibbles: (ceil(N / 2),) uint8; flags: (ceil(N / 8),) uint8, or
    (0,) where no flag is stored. Padding is 0.
    """
    nibbles[:] = 0
    flags[:] = 0
    for j in range(nibble.size):
        nibbles[j // 2] |= np.uint8(nibble[j] << (4 * (j % 2)))
    if flags.size > 0:
        for j in range(flag.size):
            flags[j // 8] |= np.uint8(flag[j] << (j % 8))
