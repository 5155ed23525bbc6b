"""The arithmetic of SPEC.md section 1 over bit-vectors of 64 bits.

Every quantity of the datapath stays below 2**62 (`sim.widths` refuses more), and so does every
comparison made here: 64 bits then are as good as integers.
"""

from collections.abc import Iterable

import z3

__all__ = [
    "WIDTH",
    "choose",
    "counted",
    "integer",
    "leading_one",
    "low",
    "rnd",
    "saturated",
    "signed",
    "unsigned",
]

WIDTH = 64


def integer(value: int) -> z3.BitVecRef:
    """Return a constant."""
    return z3.BitVecVal(value, WIDTH)


def unsigned(x: z3.BitVecRef) -> z3.BitVecRef:
    """Return an unsigned register as a number."""
    return z3.ZeroExt(WIDTH - x.size(), x)


def signed(x: z3.BitVecRef) -> z3.BitVecRef:
    """Return a two's complement register as a number."""
    return z3.SignExt(WIDTH - x.size(), x)


def low(x: z3.BitVecRef, bits: int) -> z3.BitVecRef:
    """Return the low bits of a number, WRAP (BL2-NUM-04)."""
    return z3.Extract(bits - 1, 0, x)


def choose(cases: Iterable[tuple[z3.BoolRef, z3.BitVecRef]], last: z3.BitVecRef) -> z3.BitVecRef:
    """Return the value of the first case that applies, or the last value."""
    chosen = last
    for condition, value in reversed(list(cases)):
        chosen = z3.If(condition, value, chosen)
    return chosen


def counted(conditions: Iterable[z3.BoolRef]) -> z3.BitVecRef:
    """Return how many of the conditions hold."""
    total = integer(0)
    for condition in conditions:
        total = total + z3.If(condition, integer(1), integer(0))
    return total


def leading_one(x: z3.BitVecRef, bits: int) -> z3.BitVecRef:
    """Return lod(x) of a number below 2**bits (BL2-NUM-06), 0 for x = 0: the k of 2^k <= x."""
    return choose(
        ((z3.UGE(x, integer(1 << k)), integer(k)) for k in range(bits - 1, 0, -1)), integer(0)
    )


def rnd(x: z3.BitVecRef, n: z3.BitVecRef) -> z3.BitVecRef:
    """Return RND(x, n) (BL2-NUM-02) of a signed number, n a number from 0 to 62."""
    return z3.If(n == 0, x, (x + (integer(1) << (n - 1))) >> n)


def saturated(x: z3.BitVecRef, lowest: int, highest: int) -> z3.BitVecRef:
    """Return SAT(x, lowest, highest) (BL2-NUM-05) of a signed number."""
    return choose([(x < lowest, integer(lowest)), (x > highest, integer(highest))], x)
