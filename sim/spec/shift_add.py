"""Unit 8: attention map times v, by shifts and additions."""

from collections.abc import Sequence

from ..scheme import Scheme

__all__ = ["shift_add", "shift_add_lane"]


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
