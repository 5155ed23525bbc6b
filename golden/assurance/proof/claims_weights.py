"""Claims about RowMax: thresholds on the distance, the weight sum, the multiplier of a row."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from math import floor

import z3

from bitlog2.sim.scheme import ROW_MAX
from bitlog2.sim.units.distance_quantizer import thresholds_of

from .claim import (
    BITS,
    EXHAUSTION,
    INTEGERS,
    NETLIST,
    Checked,
    Holds,
    Setting,
    choose,
    claim,
    integer,
    leading_one,
    unsigned,
)
from .claims_accumulators import Accumulator
from .claims_bounds import partial_sums, within
from .claims_rtl import code_goals, inputs

_FAMILY = (ROW_MAX,)
_FRACTIONS = range(1, 9)
#: Terms of a series of logarithms, of which each gives a digit or more.
_TERMS = 24

Interval = tuple[Fraction, Fraction]


def _logarithm(x: Fraction) -> Interval:
    """Return limits of ln x, 1 < x <= 2: twice the series of atanh y, y = (x - 1) / (x + 1).

    What is left out is below its first term over 1 - y * y.
    """
    y = (x - 1) / (x + 1)
    total = sum((y ** (2 * i + 1) / (2 * i + 1) for i in range(_TERMS)), Fraction(0))
    rest = y ** (2 * _TERMS + 1) / (2 * _TERMS + 1) / (1 - y * y)
    return 2 * total, 2 * (total + rest)


def _octaves(x: Interval) -> Interval:
    """Return limits of log2 x, x >= 1: whole octaves, and the logarithm of what is left."""
    ends = []
    for end, outward in zip(x, (0, 1), strict=True):
        whole = 0
        while end >= 2:
            end, whole = end / 2, whole + 1
        of_end, of_two = _logarithm(end) if end > 1 else (Fraction(0),) * 2, _logarithm(Fraction(2))
        ends.append(whole + of_end[outward] / of_two[1 - outward])
    return ends[0], ends[1]


def threshold_limits(a: int, b: int, one: int) -> Interval:
    """Return limits of log2(one / M), M the logarithmic mean of a > b > 0."""
    low, high = _logarithm(Fraction(a, b))
    return _octaves((low * one / (a - b), high * one / (a - b)))


@claim(
    "distance_thresholds",
    "BL2-DIST-01",
    lambda s: f"every level and F from {_FRACTIONS[0]} to {_FRACTIONS[-1]}, rational intervals",
    EXHAUSTION,
    families=_FAMILY,
)
def thresholds(setting: Setting) -> Iterator[Checked]:
    """Each threshold is the rounded real number, which is no tie."""
    scheme = setting.scheme
    values = scheme.values[:0:-1]

    limits = [threshold_limits(a, b, scheme.int_max) for a, b in pairwise(values)]

    def check() -> str:
        for fraction in _FRACTIONS:
            found = thresholds_of(scheme, fraction)
            for level, ends, threshold in zip(
                range(scheme.top_level, 1, -1), limits, found[:-1], strict=True
            ):
                low, high = (floor(end * (1 << fraction) + Fraction(1, 2)) for end in ends)
                if not low == high == threshold:
                    return f"F = {fraction}, level {level}: {low} to {high}, got {threshold}"
            if found[-1] != (last := scheme.int_max.bit_length() << fraction):
                return f"F = {fraction}, level 1: {last}, got {found[-1]}"
        return ""

    yield Checked("the threshold of every level", check)


@claim(
    "row_max_values",
    "BL2-SCHEME-01",
    lambda s: f"all {s.scheme.levels} levels",
    EXHAUSTION,
    families=_FAMILY,
)
def values(setting: Setting) -> Iterator[Checked]:
    """The values of the levels are those of the formula, and the top level's is A."""
    scheme = setting.scheme

    def check() -> str:
        for level, value in enumerate(scheme.values):
            above = max(level - 7, 0)
            k = 6 + (above >> 1) if above else level - 1
            wanted = ((1 << k) + (above & 1) * (1 << k >> 1)) if level else 0
            if value != wanted:
                return f"level {level}: {value}, by the formula {wanted}"
        return "" if scheme.values[-1] == scheme.int_max else f"A = {scheme.int_max}"

    yield Checked("the value of every level", check)


def page_level(d: z3.BitVecRef, setting: Setting) -> z3.BitVecRef:
    """Return the level of a distance by octave and fraction, as SPEC.md section 5 has it."""
    bits = setting.config.fraction_bits
    found = thresholds_of(setting.scheme, bits)
    half, quarter, whole = found[0], found[1], found[8] - (4 << bits)
    o, f = z3.LShR(d, bits), d & ((1 << bits) - 1)
    near = 15 - 2 * o - z3.If(z3.UGT(f, half), integer(1), integer(0))
    near = near - z3.If(z3.UGT(f, quarter), integer(1), integer(0))
    far = 11 - o - z3.If(z3.UGT(f, whole), integer(1), integer(0))
    return choose(
        [(z3.ULT(o, 4), near), (z3.UGT(d, 11 << bits), integer(0)), (far < 1, integer(1))], far
    )


@claim(
    "octave_form",
    "BL2-DIST-01, -02",
    lambda s: f"full width, d {s.config.width('d')} bits",
    BITS,
    families=_FAMILY,
)
def octave_form(setting: Setting) -> Iterator[Holds]:
    """The level by octave and fraction is the number of thresholds that d does not pass."""
    d = z3.BitVec("d", 64)
    found = thresholds_of(setting.scheme, setting.config.fraction_bits)
    count = sum((z3.If(z3.ULE(d, each), integer(1), integer(0)) for each in found), integer(0))
    given = [z3.ULE(d, setting.config.d_max)]
    yield Holds("both levels", page_level(d, setting) == count, given, {"d": d})


@claim(
    "weight_bound",
    "BL2-WEIGHT-01, -02",
    lambda s: f"unbounded integers, by induction, N up to {s.config.max_tokens}",
    INTEGERS,
    families=_FAMILY,
)
def weight(setting: Setting) -> Iterator[Holds]:
    """Every partial sum of N values of at most A is within the bound; a row's is at least A."""
    config, scheme = setting.config, setting.scheme
    bound = config.registers["weight_sum"].bound
    yield from partial_sums(scheme.int_max, setting.longest("weight_sum"), bound)
    of_nothing = thresholds_of(scheme, config.fraction_bits)[0] >= 0
    top = z3.BoolVal(of_nothing and max(scheme.values) == scheme.values[-1] == scheme.int_max)
    yield Holds("distance 0 has the top level, whose value is A, the largest", top)
    before, value = z3.Ints("before value")
    given = [before >= 0, value == scheme.int_max]
    shown = {"before": before, "value": value}
    yield Holds("with the key at the maximum it is at least A", before + value >= scheme.int_max,
                given, shown)  # fmt: skip


@claim(
    "acc_bound_row_max",
    "BL2-ACC-03",
    lambda s: f"unbounded integers, by induction, N up to {s.config.max_tokens}",
    INTEGERS,
    families=_FAMILY,
)
def acc(setting: Setting) -> Iterator[Holds]:
    """|acc| is at most (2^v_bits - 1) * A * N, for every partial sum."""
    config = setting.config
    most = (1 << config.v_bits) - 1
    value, x = z3.Ints("value x")
    given = [value >= 0, value <= setting.scheme.int_max, within(x, most)]
    goal = within(value * x, most * setting.scheme.int_max)
    yield Holds("a term", goal, given, {"value": value, "x": x})
    yield from partial_sums(
        most * setting.scheme.int_max, setting.longest("shift_add"), config.registers["acc"].bound
    )


@claim(
    "row_multiplier",
    "BL2-ROWMUL-01, -02",
    lambda s: f"unbounded integers, each k of w up to {s.config.largest_weight}",
    f"{INTEGERS}; bit-vectors",
    families=_FAMILY,
)
def multiplier(setting: Setting) -> Iterator[Holds]:
    """M2 of the row is at most M2 and at least its half, n2 at most max_n2, and no tie occurs."""
    config, scheme = setting.config, setting.scheme
    w, M, q, rest = z3.Ints("w M2 M2_row rest")
    shown = {"w": w, "M2": M, "M2_row": q}
    largest = config.largest_weight.bit_length() - 1
    for k in range(scheme.base_shift, largest + 1):
        given = [w >= 1 << k, w < 2 << k, M >= 1, (1 << config.m2_bits) > M]
        given += [M * (2 << k) + w == 2 * w * q + rest, rest >= 0, rest < 2 * w]
        yield Holds(
            f"k = {k}: M2 / 2 <= M2_row <= M2", z3.And(q <= M, 2 * q >= M, q >= 1), given, shown
        )
    wide = z3.BitVec("w", 64)
    position = leading_one(wide, config.width("weight_sum"))
    small = [wide != 0, z3.ULE(wide, config.largest_weight)]
    yield Holds(
        "w has at most k factors of two, so that 2 * M2 * 2^k / w is no odd number",
        z3.ULE(wide & -wide, integer(1) << position),
        small,
        {"w": wide},
    )
    fits = z3.BoolVal(config.max_layer_n2 + largest <= config.max_n2)
    yield Holds("n2 + k is at most max_n2", fits)


@claim(
    "rtl_distance_quantizer",
    "BL2-DIST-01 to -03 and BL2-CODE-01",
    inputs("mask", "d"),
    NETLIST,
    families=_FAMILY,
)
def distance_quantizer(setting: Setting) -> Iterator[Holds]:
    """`distance_quantizer`, each distance that unit 3 gives and both values of the mask."""
    net = setting.terms("distance_quantizer")
    level = z3.If(net["mask"] == 1, integer(0), page_level(unsigned(net["d"]), setting))
    given = setting.assumed("distance_quantizer")
    shown = net.shown("mask", "d", "level", "nibble", "flag")
    yield Holds("level", unsigned(net["level"]) == level, given, shown)
    yield from code_goals(setting, net["level"], net["nibble"], net["flag"], given, shown)


@claim(
    "rtl_weight_sum",
    "BL2-WEIGHT-01",
    lambda s: f"full width, any number of rows of 1 to {s.config.max_tokens} keys",
    NETLIST,
    families=_FAMILY,
)
def weight_sum(setting: Setting) -> Iterator[Holds]:
    """`weight_sum`: the exact sum of the values of rows of up to max_tokens keys."""
    config, scheme, net = setting.config, setting.scheme, setting.terms("weight_sum")
    level = unsigned(net["s_axis_tdata"])
    value = choose(((level == i, integer(v)) for i, v in enumerate(scheme.values)), integer(0))
    yield from Accumulator(
        net,
        unsigned,
        value,
        net["m_axis_tdata"],
        net.after("m_axis_tdata"),
        scheme.int_max,
        setting.longest("weight_sum"),
        config.registers["weight_sum"].bound,
        setting.assumed("weight_sum", level=level),
    ).obligations("w")


@claim(
    "rtl_row_multiplier",
    "BL2-ROWMUL-01, -02",
    lambda s: f"full width, {s.config.width('weight_sum')} and {s.config.m2_bits} bits, any words",
    NETLIST,
    families=_FAMILY,
)
def row_multiplier(setting: Setting) -> Iterator[Holds]:
    """`row_multiplier`: its division by induction over the steps, then its rounding.

    Beside the module: D, the divisor; X, the dividend after the steps so far; Q, the quotient's
    bits that are found, the lowest ones of its register; P = D * Q, which a step makes 2 * P, plus
    D with a quotient bit. The invariant is X = 2 * P + remainder, remainder < 2 * D.
    """
    config, net = setting.config, setting.terms("row_multiplier")
    bits, n2_bits = config.m2_bits, config.width("n2_row")
    w_bits = config.width("weight_sum")
    data, wide = net["s_axis_tdata"], max(w_bits, bits)
    n2, m2, w = _fields(data, (n2_bits, bits, w_bits))
    steps = bits + 3
    left, after = unsigned(net["left"]), unsigned(net.after("left"))
    taken = [net["rst_n"] == 1, net["s_axis_tvalid"] == 1, net["s_axis_tready"] == 1]
    k = leading_one(w, w_bits)
    shown = {"w": w, "m2": m2, "n2": n2, "left": left}

    def edge(what: str, goal: z3.BoolRef, given: list[z3.BoolRef]) -> Holds:
        return Holds(what, goal, [*net.edge(goal), *given], shown)

    begun = z3.And(
        after == steps,
        unsigned(net.after("divisor")) == w,
        unsigned(net.after("k")) == k,
        unsigned(net.after("remainder")) == m2 << (wide - bits),
        unsigned(net.after("layer_n2")) == n2,
    )
    legal = setting.assumed("row_multiplier", weight_sum=w, m2=m2, n2=n2)
    yield edge("a word is taken, X = M2 * 2^(W-B)", begun, [*taken, *legal, m2 >= 1])
    D, quotient, remainder = (unsigned(net[n]) for n in ("divisor", "quotient", "remainder"))
    held_k, held_n2 = unsigned(net["k"]), unsigned(net["layer_n2"])
    normalized = z3.And(
        after == left - 1,
        unsigned(net.after("divisor")) == D << (wide - 1 - held_k),
        z3.ULT(remainder, 2 * unsigned(net.after("divisor"))),
        net.after("remainder") == net["remainder"],
        unsigned(net.after("n2_row")) == held_n2 + held_k,
    )
    given = [net["rst_n"] == 1, left == steps, z3.LShR(D, held_k) == 1]
    given += [z3.ULT(remainder, 1 << wide), z3.ULE(held_n2 + held_k, config.max_n2)]
    yield edge("the leading one goes to the top: D = w * 2^(W-1-k)", normalized, given)
    X, P, Q = (z3.BitVec(name, 64) for name in ("X", "P", "Q"))
    found = steps - 1 - left
    bit = z3.If(z3.UGE(remainder, D), integer(1), integer(0))
    most = integer(1) << (wide + bits + 2)
    state = [net["rst_n"] == 1, z3.ULT(remainder, 2 * D), z3.ULE(P, most), 2 * P + remainder == X]
    state.append(quotient & ((integer(1) << found) - 1) == Q)
    grown = 2 * P + z3.If(bit == 1, D, integer(0))
    divided = z3.And(
        after == left - 1,
        2 * grown + unsigned(net.after("remainder")) == 2 * X,
        z3.ULT(unsigned(net.after("remainder")), 2 * D),
        unsigned(net.after("divisor")) == D,
        unsigned(net.after("quotient")) & ((integer(2) << found) - 1) == 2 * Q + bit,
        net.after("n2_row") == net["n2_row"],
    )
    yield edge("a step divides", divided, [*state, left >= 2, left < steps])
    rounded = z3.And(
        after == 0,
        net.after("m_axis_tvalid") == 1,
        unsigned(net.after("quotient")) == z3.LShR(Q + 1, 1),
        net.after("n2_row") == net["n2_row"],
    )
    yield edge(
        "the last step rounds",
        rounded,
        [net["rst_n"] == 1, left == 1, quotient & ((integer(1) << found) - 1) == Q],
    )
    held = [net["rst_n"] == 1, left == 0, net["m_axis_tvalid"] == 1, net["m_axis_tready"] == 0]
    same = z3.And(
        after == 0,
        net.after("m_axis_tdata") == net["m_axis_tdata"],
        net.after("m_axis_tvalid") == 1,
    )
    yield edge("a result waits until it is taken", same, held)
    yield edge("after reset nothing waits", z3.And(after == 0, net.after("m_axis_tvalid") == 0),
               [net["rst_n"] == 0])  # fmt: skip
    yield from _division_lemmas(setting)


def _division_lemmas(setting: Setting) -> Iterator[Holds]:
    """What the invariant gives after B + 1 steps, in integers: RND(M2 * 2^k / w)."""
    config = setting.config
    D, q, b, rest, w, M, result = z3.Ints("D q b rest w M2 result")
    yield Holds(
        "P = D * q after a step", D * (2 * q + b) == 2 * (D * q) + D * b, shown={"D": D, "q": q}
    )
    for k in range(setting.scheme.base_shift, config.largest_weight.bit_length()):
        # X = M2 * 2^(W-B) * 2^(B+1) and D = w * 2^(W-1-k), both divided by 2^(W-k).
        given = [w >= 1, M >= 1, M * (2 << k) == w * q + rest, rest >= 0, rest < w]
        given += [z3.Or(2 * result == q, 2 * result == q + 1)]
        twice = M * (2 << k) + w
        goal = z3.And(2 * w * result <= twice, twice < 2 * w * (result + 1))
        yield Holds(f"k = {k}: the rounded quotient is RND", goal, given, {"w": w, "M2": M})


def _fields(word: z3.BitVecRef, widths: tuple[int, ...]) -> list[z3.BitVecRef]:
    """Return the fields of a word as numbers, from the least significant bits up."""
    low, found = 0, []
    for bits in widths:
        found.append(unsigned(z3.Extract(low + bits - 1, low, word)))
        low += bits
    return found
