"""Claims about unit 6: three forms of one function, and the widths of its comparisons."""

from collections.abc import Iterator, Sequence

import z3

from bitlog2.sim.scheme import QUOTIENT, Scheme

from .claim import (
    BITS,
    EXHAUSTION,
    INTEGERS,
    Checked,
    Holds,
    Setting,
    choose,
    claim,
    counted,
    integer,
    leading_one,
    unsigned,
)

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
        values: values of the levels 1, 2, ... top.
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


class Ratio:
    """Free registers e and s of a setting, as numbers.

    Attributes:
        e, s: the registers as numbers, and E = e * A.
        shown: the registers, for a counterexample.
        legal: 0 <= e <= s and s > 0, where the forms are equal.
        reached: e <= 2^P <= s <= N * 2^P too, what a row brings.
    """

    def __init__(self, setting: Setting) -> None:
        config = setting.config
        e = z3.BitVec("e", config.width("e"))
        s = z3.BitVec("s", config.width("row_sum"))
        self.shown: dict[str, z3.ExprRef] = {"e": e, "s": s}
        self.e, self.s = unsigned(e), unsigned(s)
        self.E = self.e * setting.scheme.int_max
        self.legal = [self.s > 0, z3.ULE(self.e, self.s)]
        self.reached = setting.assumed("log2_quantizer", e=self.e, s=self.s)


def _registers(setting: Setting) -> str:
    config = setting.config
    return f"full width, e {config.width('e')} and s {config.width('row_sum')} bits"


@claim("threshold_floor", "BL2-LOG2-01, -04, -07", "unbounded integers E, s, T", INTEGERS)
def threshold_floor(setting: Setting) -> Iterator[Holds]:
    """floor(E/s) >= T exactly when E >= T*s, for integers of any size."""
    e_a, s, p, threshold = z3.Ints("E s p T")
    floor = [s > 0, p * s <= e_a, e_a < (p + 1) * s]
    shown = {"E": e_a, "s": s, "p": p, "T": threshold}
    goal = (p >= threshold) == (e_a >= threshold * s)
    yield Holds("floor(E/s) >= T exactly when E >= T*s", goal, floor, shown)


@claim(
    "clamp",
    "BL2-LOG2-01, -05",
    lambda s: f"unbounded integers; {_registers(s)}",
    f"{INTEGERS}; bit-vectors",
    per_scheme=True,
    families=(QUOTIENT,),
)
def clamp(setting: Setting) -> Iterator[Holds]:
    """The clamp of p, and that of the level, act exactly at e = s."""
    e, s, p = z3.Ints("e s p")
    A = setting.scheme.int_max
    floor = [s > 0, e >= 0, e <= s, p * s <= e * A, e * A < (p + 1) * s]
    shown = {"e": e, "s": s, "p": p}
    yield Holds("p is clamped exactly at e = s", (p > A - 1) == (e == s), floor, shown)
    ratio = Ratio(setting)
    level = comparing(ratio.E, ratio.s, setting.scheme, limited=False)
    passes = z3.UGT(level, integer(setting.scheme.top_level))
    yield Holds(
        "the level passes the top exactly at e = s",
        passes == (ratio.e == ratio.s),
        ratio.legal,
        ratio.shown,
    )


@claim(
    "comparing_counts",
    "BL2-LOG2-04, -05, -07",
    _registers,
    BITS,
    per_scheme=True,
    families=(QUOTIENT,),
)
def comparing_counts(setting: Setting, values: tuple[int, ...] | None = None) -> Iterator[Holds]:
    """The comparing form counts thresholds: the levels' values, unless a test plants others."""
    scheme, ratio = setting.scheme, Ratio(setting)
    thresholds = scheme.values[1:] if values is None else values
    level = comparing(ratio.E, ratio.s, scheme)
    for a in (0, scheme.base_shift):
        yield Holds(
            f"comparing = number of thresholds, both sides divided by 2^{a}",
            level == counting(ratio.E, ratio.s, thresholds, a),
            ratio.legal,
            ratio.shown,
        )


@claim(
    "comparing_divides",
    "BL2-LOG2-01 to -05",
    _registers,
    BITS,
    per_scheme=True,
    families=(QUOTIENT,),
)
def comparing_divides(setting: Setting) -> Iterator[Holds]:
    """The comparing form is the dividing form, whose quotient is known by its thresholds."""
    scheme, ratio = setting.scheme, Ratio(setting)
    p, known = quotient(ratio.E, ratio.s, scheme)
    clamped = z3.If(z3.UGT(p, scheme.int_max - 1), integer(scheme.int_max - 1), p)
    yield Holds(
        "comparing = dividing",
        comparing(ratio.E, ratio.s, scheme) == dividing(clamped, scheme),
        [*ratio.legal, *known],
        ratio.shown,
    )


@claim(
    "narrow_compare",
    "BL2-LOG2-06",
    lambda s: f"{_registers(s)}; comparisons {s.config.width('compare')} bits",
    BITS,
    per_scheme=True,
    families=(QUOTIENT,),
)
def narrow(setting: Setting) -> Iterator[Holds]:
    """The comparisons of BL2-LOG2-06 give the level, and none is wider than its register."""
    scheme, ratio = setting.scheme, Ratio(setting)
    s, x = ratio.s, ratio.e * scheme.odd_factor
    a = integer(scheme.base_shift)
    first = leading_one(x, LOG2_BITS) + a - leading_one(s, LOG2_BITS)
    made = z3.And(x != 0, first >= 0)
    left = z3.If(first <= a, x << (a - first), x)
    right = z3.If(first <= a, s, s << (first - a))
    k = z3.If(z3.ULT(left, right), first - 1, first)
    half_left, half_right = x << (a - k + 1), 3 * s
    halved = z3.And(made, k >= 1, setting.scheme.half)
    half_bit = z3.And(halved, z3.UGE(half_left, half_right))
    level = 2 * k + z3.If(half_bit, integer(1), integer(0)) if scheme.half else k + 1
    level = z3.If(k == 0, integer(1), level)
    level = z3.If(level > scheme.top_level, integer(scheme.top_level), level)
    level = z3.If(z3.And(made, k >= 0), level, integer(0))
    bound = setting.config.registers["compare"].bound
    for name, used, term in (
        ("left of the first", made, left),
        ("right of the first", made, right),
        ("left of the half bit's", halved, half_left),
        ("right of the half bit's", halved, half_right),
    ):
        fits = z3.Implies(used, z3.ULE(term, bound))
        yield Holds(f"{name} comparison is at most {bound}", fits, ratio.reached, ratio.shown)
    yield Holds(
        "narrow comparisons give the level",
        level == comparing(ratio.E, s, scheme),
        ratio.reached,
        ratio.shown,
    )


@claim(
    "level_values",
    "BL2-SCHEME-01",
    lambda s: f"all {s.scheme.levels} levels",
    EXHAUSTION,
    per_scheme=True,
    families=(QUOTIENT,),
)
def values(setting: Setting) -> Iterator[Checked]:
    """The values of the levels are those of the formula, and the one above the top would be A."""
    scheme = setting.scheme

    def check() -> str:
        for level, value in enumerate((*scheme.values, scheme.int_max)):
            if value != value_of(level, scheme.half):
                return f"level {level}: {value}, by the formula {value_of(level, scheme.half)}"
        return ""

    yield Checked("the value of every level, and A", check)


@claim("logarithmic", "BL2-LOG2-08", _registers, BITS, per_scheme=True, families=(QUOTIENT,))
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
