"""Unit 6 and the codes of SPEC.md as z3 terms, written from the page.

Arguments are numbers (`bits`): E = e * A, the sum s, the quotient p.
"""

from collections.abc import Sequence

import z3

from bitlog2.sim.scheme import Scheme

from .bits import choose, counted, integer, leading_one

__all__ = [
    "LOG2_BITS",
    "code",
    "comparing",
    "counting",
    "dividing",
    "exponent",
    "level_of",
    "quotient",
    "value_of",
]

#: No E and no s has more bits: 2**20 * 2**16, and 62 is the widest register's.
LOG2_BITS = 48


def exponent(E: z3.BitVecRef, s: z3.BitVecRef) -> z3.BitVecRef:
    """Return k of BL2-LOG2-04 for E >= s: the leading ones' distance, less 1 if E < s << k."""
    k = leading_one(E, LOG2_BITS) - leading_one(s, LOG2_BITS)
    return z3.If(z3.ULT(E, s << k), k - 1, k)


def level_of(k: z3.BitVecRef, half_bit: z3.BoolRef, scheme: Scheme) -> z3.BitVecRef:
    """Return the level of BL2-LOG2-02, -03 for k >= 0, not limited to the top level."""
    if not scheme.half:
        return k + 1
    return z3.If(k == 0, integer(1), 2 * k + z3.If(half_bit, integer(1), integer(0)))


def comparing(
    E: z3.BitVecRef, s: z3.BitVecRef, scheme: Scheme, *, limited: bool = True
) -> z3.BitVecRef:
    """Return the level of the comparing form (BL2-LOG2-04, -05), with or without its limit."""
    k = exponent(E, s)
    half_bit = z3.And(k >= 1, z3.UGE(E, (3 * s) << (k - 1)))
    level = level_of(k, half_bit, scheme)
    if limited:
        top = integer(scheme.top_level)
        level = z3.If(z3.UGT(level, top), top, level)
    return z3.If(z3.ULT(E, s), integer(0), level)


def counting(E: z3.BitVecRef, s: z3.BitVecRef, values: Sequence[int], shift: int) -> z3.BitVecRef:
    """Return the level of the counting form (BL2-LOG2-07).

    Args:
        E: odd * e << shift.
        s: the sum.
        values: of the levels 1, 2, ... top.
        shift: a, by which both sides are divided.
    """
    x = z3.LShR(E, shift)
    return counted(z3.UGE(x, z3.LShR(T * s + ((1 << shift) - 1), shift)) for T in values)


def dividing(p: z3.BitVecRef, scheme: Scheme) -> z3.BitVecRef:
    """Return the level of the clamped quotient p (BL2-LOG2-02, -03)."""
    k = leading_one(p, LOG2_BITS)
    half_bit = z3.Extract(0, 0, z3.LShR(p, k - 1)) == 1
    return z3.If(p == 0, integer(0), level_of(k, half_bit, scheme))


def quotient(
    E: z3.BitVecRef, s: z3.BitVecRef, scheme: Scheme
) -> tuple[z3.BitVecRef, list[z3.BoolRef]]:
    """Return a variable for floor(E / s), and what is known of it.

    For every threshold T, floor(E / s) >= T exactly when E >= T * s: the claim `threshold_floor`,
    proved for all integers, here for the levels' values and A.
    """
    p = z3.BitVec("quotient", E.size())
    return p, [
        z3.UGE(p, integer(T)) == z3.UGE(E, T * s) for T in (*scheme.values[1:], scheme.int_max)
    ]


def value_of(level: int, half: bool) -> int:
    """Return the value of a level (BL2-SCHEME-01)."""
    if level == 0:
        return 0
    if not half:
        return 1 << (level - 1)
    k = level >> 1
    if level == 1:
        return 1
    return 3 << (k - 1) if level & 1 else 1 << k


def code(level: z3.BitVecRef, scheme: Scheme) -> tuple[z3.BitVecRef, z3.BitVecRef]:
    """Return nibble and flag of a level (BL2-CODE-01, -02)."""
    if not scheme.zero_flag:
        return level, integer(0)
    return (
        choose([(level == 0, integer(0))], level - 1),
        z3.If(level == 0, integer(1), integer(0)),
    )
