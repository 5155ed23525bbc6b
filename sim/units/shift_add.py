"""Unit 8: attention map times v, by shifts and additions."""

from collections.abc import Sequence

import numpy as np

from ..declarations import Helper, Stream, Unit
from ..expressions import parameter
from ..jit import borrowing_kernel as kernel
from ..scheme import Scheme
from .code_register import FLAG_ALONE

SHIFT_ADD = Unit(
    "shift_add",
    streams=(
        Stream("params", "input", "case", ("zv",)),
        Stream("stimulus", "input", "beat", ("last", "nibble", "flag", "v"), lanes=("v",)),
        Stream("expected", "output", "case", ("acc",), lanes=("acc",)),
    ),
    makes=(("shift_add", "expected", "acc"),),
    assumes=(FLAG_ALONE,),
    longest=parameter("max_tokens"),
    helpers=(Helper("shift_add_lane", (FLAG_ALONE,)),),
)


def shift_add_lane(level: int, v: int, zv: int, scheme: Scheme) -> int:
    """Return the term of one key: (v - zv) << k, plus (v - zv) << (k - 1) with the half bit.

    Level 0 gives 0 (BL2-ACC-01).
    """
    if level == 0:
        return 0
    x = v - zv
    if not scheme.half:
        return x << (level - 1)
    if level == 1:
        return x
    k, half_bit = level >> 1, level & 1
    return (x << k) + ((x << (k - 1)) if half_bit else 0)


def shift_add(levels: Sequence[int], v: Sequence[int], zv: int, scheme: Scheme) -> int:
    """Return acc = the sum of the terms of a row, for one output channel.

    Cannot overflow: the p of a row sum to at most A and a level's value is at most its p, so
    |acc| <= (2**v_bits - 1) * A whatever N is (BL2-ACC-02).
    """
    return sum(shift_add_lane(a, b, zv, scheme) for a, b in zip(levels, v, strict=True))


@kernel
def _shifted(x, level, scheme):
    """x << k, plus x << (k - 1) with the half bit; 0 for level 0."""
    if scheme.half:
        k = np.int64(level) >> 1
        half_bit = np.int64(level) & 1 if k >= 1 else np.int64(0)
    else:
        k = max(np.int64(level) - 1, np.int64(0))
        half_bit = np.int64(0)
    term = (x << k) + half_bit * (x << max(k - 1, np.int64(0)))
    return term if level > 0 else np.int64(0)


@kernel
def level_value(level, scheme, value):
    """Write value[j], what level[j] stands for in units of 1/A. level: (N,) uint8, value: (N,).

    Half: two, or three with the half bit, shifted by k and halved: level 1 keeps the half of its
    three, level 0 is taken away. Single: one shifted by the level, halved. All within int32.
    """
    one, two = np.int32(1), np.int32(2)
    for j in range(level.size):
        code = np.int32(level[j])
        if scheme.half:
            lead = np.add(two, np.bitwise_and(code, one))
            raised = np.left_shift(lead, np.right_shift(code, one))
            value[j] = np.subtract(np.right_shift(raised, one), np.int32(code == 0))
        else:
            value[j] = np.right_shift(np.left_shift(one, code), one)


@kernel
def shift_add_kernel(level, v, zv, scheme, acc):
    """Write acc[d] = sum_j of (v[j, d] - zv) shifted by level[j].

    level: (N,) uint8; v: (N, D) int32; acc: (D,) int32, which cannot overflow: |acc| <= 255 * A
    (BL2-ACC-02).
    """
    acc[:] = 0
    for j in range(level.size):
        for d in range(acc.size):
            acc[d] += _shifted(np.int64(v[j, d]) - zv, level[j], scheme)
