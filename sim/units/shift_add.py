"""Unit 8: attention map times v, by shifts and additions."""

from collections.abc import Sequence

import numpy as np

from ..declarations import Helper, Port, Stream, Unit, ones
from ..expressions import parameter
from ..jit import borrowing_kernel as kernel
from ..scheme import Scheme
from .code_register import FLAG_ALONE

ZV = Port("zv", "layer", ones("v_bits"))
V = Port("v", "key element", ones("v_bits"))
#: Quotients: the p of a row sum to at most A, and a level's value is at most its p. RowMax: N keys
#: of at most A.
ACC = Port(
    "acc",
    "channel",
    ones("v_bits") * parameter("largest_weight"),
    signed=True,
    register=True,
    dtype="int32",
)

SHIFT_ADD = Unit(
    "shift_add",
    number=8,
    declares=(ZV, V, ACC),
    streams=(
        Stream("params", "input", "case", ("zv",)),
        Stream("stimulus", "input", "beat", ("last", "nibble", "flag", "v"), lanes=("v",)),
        Stream("expected", "output", "case", ("acc",), lanes=("acc",)),
    ),
    makes=(("shift_add", "expected", "acc"),),
    assumes=(FLAG_ALONE,),
    longest=parameter("max_tokens"),
    helpers=(Helper("shift_add_lane", (FLAG_ALONE,)),),
    lane="shift_add_lane",
)


def shift_add_lane(level: int, v: int, zv: int, scheme: Scheme) -> int:
    """Return the term of one key: (v - zv) << k, plus (v - zv) << (k - 1) with the half bit.

    Level 0 gives 0. Levels up to `octave_levels` are a shift each, above it two levels share one:
    the second has the half bit (BL2-ACC-01). A code of one's own that is no ladder multiplies.
    """
    x = v - zv
    if not scheme.is_ladder:
        return x * scheme.values[level]
    if level == 0:
        return 0
    if level <= scheme.octave_levels:
        return x << (level - 1)
    above = level - scheme.octave_levels
    k, half_bit = scheme.octave_levels - 1 + (above >> 1), above & 1
    return (x << k) + ((x << (k - 1)) if half_bit else 0)


def shift_add(levels: Sequence[int], v: Sequence[int], zv: int, scheme: Scheme) -> int:
    """Return acc = the sum of the terms of a row, for one output channel.

    Cannot overflow. Quotients: the p of a row sum to at most A and a level's value is at most its
    p, so |acc| <= (2**v_bits - 1) * A whatever N is (BL2-ACC-02). RowMax: each of N values is at
    most A (BL2-ACC-03).
    """
    return sum(shift_add_lane(a, b, zv, scheme) for a, b in zip(levels, v, strict=True))


@kernel
def value_of_level(level, scheme):
    """Return what a level stands for in units of 1/A, int32.

    Two, or three with the half bit, shifted by k + 1 and quartered: level 0 gives 0. What is no
    ladder is looked up.
    """
    if scheme.octave_levels == 0:
        return np.subtract(np.int32(0), np.int32(scheme.weights[level]))
    one, two, code = np.int32(1), np.int32(2), np.int32(level)
    octaves = np.int32(scheme.octave_levels)
    above = max(np.subtract(code, octaves), np.int32(0))
    lead = np.add(two, np.bitwise_and(above, one))
    shift = np.add(min(code, octaves), np.right_shift(above, one))
    return np.right_shift(np.left_shift(lead, shift), two)


@kernel
def shift_add_kernel(level, v, zv, scheme, acc):
    """Write acc[d] = sum_j of v[j, d] - zv times what level[j] stands for: unit 8 alone.

    level: (N,) uint8; v: (N, D) int32; acc: (D,) int32, which cannot overflow (BL2-ACC-02, -03).
    """
    acc[:] = 0
    for j in range(level.size):
        for d in range(acc.size):
            acc[d] += (np.int64(v[j, d]) - zv) * value_of_level(level[j], scheme)
