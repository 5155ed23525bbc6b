"""Unit 3, kernel: row maximum and distances."""

import numpy as np

from ..jit import kernel

__all__ = ["distance", "row_max"]


@kernel
def row_max(t, masked, layer):
    """Return the largest t[j] with masked[j] == 0. t: (N,) int32, masked: (N,) uint8.

    The caller has refused rows in which every key is masked.
    """
    largest = np.int64(layer.t_min)
    for j in range(t.size):
        visible = np.int64(t[j]) if masked[j] == 0 else np.int64(layer.t_min)
        largest = max(largest, visible)
    return largest


@kernel
def distance(t, largest, masked, layer, d):
    """Write d[j] = min(largest - t[j], d_max); d_max for a masked key. d: (N,) int32.

    largest - t fits int32: t has at most 24 bits. A masked key's t may pass the maximum.
    """
    for j in range(t.size):
        gap = min(largest - np.int64(t[j]), layer.d_max)
        d[j] = gap if masked[j] == 0 else layer.d_max
