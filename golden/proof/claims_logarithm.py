"""The claim about the logarithmic form of unit 6."""

from collections.abc import Iterator

import z3

from bitlog2.sim.scheme import Scheme

from .bits import integer, leading_one
from .claim import BITS, Claim
from .claims_log2 import Ratio
from .obligation import Holds
from .page_log2 import LOG2_BITS, counting
from .setting import Setting

__all__ = ["LOGARITHM_CLAIMS"]


def logarithmic(setting: Setting) -> Iterator[Holds]:
    """The level of the logarithmic form is that of the counting form.

    In units of 2^-P. The smallest whole number that is not below g is a variable, known by
    c - 1 < g <= c.
    """
    scheme, ratio = setting.scheme, Ratio(setting)
    P = setting.config.table_bits
    if scheme.int_max > 1 << P:
        raise ValueError(f"table_bits must be at least {scheme.int_max.bit_length() - 1}, got {P}")
    of_e = _g_of_e(ratio.e, P)
    level, known = integer(0), []
    for multiple, count in _families(scheme):
        smallest = z3.BitVec(f"smallest{multiple}", ratio.s.size())
        known += _not_below_g(smallest, multiple * ratio.s, scheme.int_max, P)
        reached = ((of_e - smallest) >> P) + 1
        reached = z3.If(reached < 0, integer(0), reached)
        level = level + z3.If(reached > count, integer(count), reached)
    level = z3.If(ratio.e == 0, integer(0), level)
    yield Holds(
        "logarithmic = counting",
        level == counting(ratio.E, ratio.s, scheme.values[1:], 0),
        [*ratio.reached, *known],
        ratio.shown,
    )


def _g_of_e(e: z3.BitVecRef, P: int) -> z3.BitVecRef:
    """Return g(e) for 0 < e <= 2^P: k + e / 2^k - 1."""
    k = leading_one(e, LOG2_BITS)
    return ((k - 1) << P) + (e << (P - k))


def _not_below_g(
    smallest: z3.BitVecRef, dividend: z3.BitVecRef, A: int, P: int
) -> list[z3.BoolRef]:
    """Return that `smallest` is the smallest whole number not below g(dividend / A).

    With 2^m <= dividend / A < 2^(m+1), g is m + dividend / (A * 2^m) - 1. m is not negative where
    A <= 2^P <= dividend.
    """
    m = z3.BitVec(f"octave of {smallest}", smallest.size())
    above = smallest - ((m - 1) << P)
    scale = integer(A) << m
    return [
        z3.ULE(m, LOG2_BITS),
        z3.ULE(scale, dividend),
        z3.ULT(dividend, scale << 1),
        z3.ULE(above, 2 << P),
        z3.UGE(above, 1),
        z3.ULT((above - 1) * scale, dividend << P),
        z3.ULE(dividend << P, above * scale),
    ]


def _families(scheme: Scheme) -> list[tuple[int, int]]:
    """Return 1 and, for Half, 3, each with the number of values that are it times 2^j."""
    powers = sum(1 for value in scheme.values if value and not value & (value - 1))
    halves = scheme.top_level - powers
    return [(1, powers), (3, halves)] if scheme.half else [(1, powers)]


LOGARITHM_CLAIMS = (
    Claim(
        "logarithmic",
        "BL2-LOG2-08",
        lambda s: f"full width, e {s.config.width('e')} and s {s.config.width('row_sum')} bits",
        BITS,
        logarithmic,
        per_scheme=True,
    ),
)
