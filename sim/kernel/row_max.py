"""Unit 3, kernel: row maximum and distances."""

import numpy as np

from ..jit import kernel

__all__ = ["distance", "row_max"]


@kernel
def row_max(t, masked, layer):
    """Return the largest t[j] with masked[j] == 0. t: (N,) int32; masked: (N,) uint8, or (0,).

    An empty `masked` is a row without masked keys: its loop has lanes of one width only. The
    caller has refused rows in which every key is masked.
    """
    t_min = np.int32(layer.t_min)
    largest = t_min
    if masked.size == 0:
        for j in range(t.size):
            largest = max(largest, t[j])
    else:
        for j in range(t.size):
            largest = max(largest, t[j] if masked[j] == 0 else t_min)
    return largest


@kernel
def distance(t, largest, masked, layer, d):
    """Write d[j] = min(largest - t[j], d_max); d_max for a masked key. d: (N,) int32.

    `masked` as for `row_max`. largest - t fits int32: t has at most 24 bits. A masked key's t may
    pass the maximum.
    """
    top, d_max = np.int32(largest), np.int32(layer.d_max)
    for j in range(t.size):
        d[j] = min(np.int32(top - t[j]), d_max)
    for j in range(masked.size):
        d[j] = d[j] if masked[j] == 0 else d_max
