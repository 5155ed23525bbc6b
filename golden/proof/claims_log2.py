"""Claims about unit 6: three forms of one function, and the widths of its comparisons."""

from collections.abc import Iterator

import z3

from .bits import integer, leading_one, unsigned
from .claim import BITS, EXHAUSTION, INTEGERS, Claim
from .obligation import Checked, Holds
from .page_log2 import (
    LOG2_BITS,
    comparing,
    counting,
    dividing,
    quotient,
    value_of,
)
from .setting import Setting

__all__ = ["LOG2_CLAIMS", "Ratio"]


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
        one, most = 1 << config.table_bits, config.registers["row_sum"].bound
        self.legal = [self.s > 0, z3.ULE(self.e, self.s)]
        self.reached = [z3.ULE(self.e, one), z3.UGE(self.s, one), z3.ULE(self.s, most)]


def threshold_floor(setting: Setting) -> Iterator[Holds]:
    """floor(E/s) >= T exactly when E >= T*s, for integers of any size."""
    e_a, s, p, threshold = z3.Ints("E s p T")
    floor = [s > 0, p * s <= e_a, e_a < (p + 1) * s]
    shown = {"E": e_a, "s": s, "p": p, "T": threshold}
    goal = (p >= threshold) == (e_a >= threshold * s)
    yield Holds("floor(E/s) >= T exactly when E >= T*s", goal, floor, shown)


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


def values(setting: Setting) -> Iterator[Checked]:
    """The values of the levels are those of the formula, and the one above the top would be A."""
    scheme = setting.scheme

    def check() -> str:
        for level, value in enumerate((*scheme.values, scheme.int_max)):
            if value != value_of(level, scheme.half):
                return f"level {level}: {value}, by the formula {value_of(level, scheme.half)}"
        return ""

    yield Checked("the value of every level, and A", check)


def _registers(setting: Setting) -> str:
    config = setting.config
    return f"full width, e {config.width('e')} and s {config.width('row_sum')} bits"


LOG2_CLAIMS = (
    Claim(
        "threshold_floor",
        "BL2-LOG2-01, -04, -07",
        lambda _: "unbounded integers E, s, T",
        INTEGERS,
        threshold_floor,
    ),
    Claim(
        "level_values",
        "BL2-SCHEME-01",
        lambda setting: f"all {setting.scheme.levels} levels",
        EXHAUSTION,
        values,
        per_scheme=True,
    ),
    Claim(
        "comparing_counts",
        "BL2-LOG2-04, -05, -07",
        _registers,
        BITS,
        comparing_counts,
        per_scheme=True,
        reducible=True,
    ),
    Claim(
        "comparing_divides",
        "BL2-LOG2-01 to -05",
        _registers,
        BITS,
        comparing_divides,
        per_scheme=True,
    ),
    Claim(
        "clamp",
        "BL2-LOG2-01, -05",
        lambda setting: f"unbounded integers; {_registers(setting)}",
        f"{INTEGERS}; bit-vectors",
        clamp,
        per_scheme=True,
    ),
    Claim(
        "narrow_compare",
        "BL2-LOG2-06",
        lambda s: f"{_registers(s)}; comparisons {s.config.width('compare')} bits",
        BITS,
        narrow,
        per_scheme=True,
        reducible=True,
    ),
)
