"""Unit 3: the row maximum, and the distance of a key from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..declarations import Helper, Port, Stream, Unit
from ..expressions import number, parameter, port
from ..jit import borrowing_kernel as kernel
from ..parts import bounds_of, parts_of
from .score_requantizer import T

if TYPE_CHECKING:
    from ..config import AttentionConfig

MASK = Port("mask", "key", number(1))
MAXIMUM = Port("row_max", "row", T.bound, signed=True, saturates=True, register=True, dtype="int32")
#: The distance saturates at 2**(I + F) - 1.
D = Port(
    "d",
    "key",
    (1 << (parameter("distance_int_bits") + parameter("fraction_bits"))) - 1,
    register=True,
    dtype="int32",
    hidden=("mask", 1),
)

ROW_MAX = Unit(
    "row_max",
    number=3,
    declares=(MASK, MAXIMUM, D),
    streams=(
        Stream("stimulus", "input", "beat", ("last", "mask", "t")),
        Stream("expected", "output", "case", ("row_max",)),
        Stream("keys", "output", "beat", ("d",)),
    ),
    makes=(("row_max", "expected", "row_max"), ("distance", "keys", "d")),
    longest=parameter("max_tokens"),
    helpers=(Helper("distance", (port("t") <= port("row_max"),)),),
    lane="distance",
)


def row_max(t: Sequence[int], masked: Sequence[bool]) -> int:
    """Return the largest t of the keys that are not masked.

    Raises:
        ValueError: every key is masked (BL2-MAX-02).
    """
    unmasked = [value for value, hidden in zip(t, masked, strict=True) if not hidden]
    if not unmasked:
        raise ValueError("mask must leave at least one key in every row, got a row fully masked")
    return max(unmasked)


def distance(t: int, largest: int, masked: bool, config: AttentionConfig) -> int:
    """Return d = min(largest - t, d_max), unsigned; a masked key shows d_max (BL2-MAX-03, -04)."""
    if masked:
        return config.d_max
    return min(largest - t, config.d_max)


@kernel
def row_max_kernel(t, masked, layer):
    """Return the largest t[j] with masked[j] == 0. t: (N,) int32 or int16; masked: (N,) uint8.

    (0,) for none: its loop has lanes of one width only. The caller has refused rows in which every
    key is masked.
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
def distance_kernel(t, largest, masked, layer, d):
    """Write d[j] = min(largest - t[j], d_max), and d_max + 1 for a masked key. d: (N,) int16.

    `masked` as for `row_max`. largest - t fits int32: t has at most 24 bits; and int16 where t is
    int16 (`layer.short`). d_max has at most 14 bits, so d_max + 1, which tells unit 4 that the key
    is masked, fits int16. A masked key's t may pass the maximum by more than int16 holds, and wraps
    here.
    """
    lane = t.dtype.type
    top, d_max, of_masked = lane(largest), lane(layer.d_max), np.int16(layer.d_max + 1)
    for part in range(parts_of(d.size)):
        begin, end = bounds_of(part, d.size)
        for j in range(begin, end):
            d[j] = np.int16(min(np.subtract(top, t[j]), d_max))
    for j in range(masked.size):
        d[j] = d[j] if masked[j] == 0 else of_masked


@kernel
def keep_distance(d, layer, kept):
    """Write the distances of the register: d_max for a masked key. d: (N,) int16; kept: int32."""
    d_max = np.int32(layer.d_max)
    for j in range(d.size):
        kept[j] = min(np.int32(d[j]), d_max)
