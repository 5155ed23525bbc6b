"""Claims about what registers reach: sums by induction over their terms, and products."""

from collections.abc import Iterator

import z3

from bitlog2.sim.scheme import QUOTIENT

from .claim import BITS, INTEGERS, Holds, Setting, choose, claim, integer
from .claims_log2 import Ratio, comparing


def within(x: z3.ArithRef, most: z3.ArithRef | int) -> z3.BoolRef:
    """Return that |x| is at most a number."""
    return z3.And(-most <= x, x <= most)


def term_bound(setting: Setting) -> Iterator[Holds]:
    """The product of two differences of codes is within the product of the largest codes."""
    config = setting.config
    q_most, k_most = (1 << config.q_bits) - 1, (1 << config.k_bits) - 1
    q, zq, k, zk = codes = z3.Ints("q zq k zk")
    given = [x >= 0 for x in codes] + [q <= q_most, zq <= q_most, k <= k_most, zk <= k_most]
    goal = within((q - zq) * (k - zk), q_most * k_most)
    shown = {"q": q, "zq": zq, "k": k, "zk": zk}
    yield Holds(f"|term| <= {q_most * k_most}", goal, given, shown)


@claim(
    "score_bound",
    "BL2-SCORE-02",
    lambda s: f"unbounded integers, by induction, D up to {s.config.max_head_dim}",
    INTEGERS,
)
def score(setting: Setting) -> Iterator[Holds]:
    """Every partial sum of D products of differences of codes is within the bound."""
    config = setting.config
    yield from term_bound(setting)
    term = ((1 << config.q_bits) - 1) * ((1 << config.k_bits) - 1)
    yield from partial_sums(
        term, setting.longest("score_accumulator"), config.registers["score"].bound
    )


@claim(
    "sum_bound",
    "BL2-SUM-01, -02",
    lambda s: f"unbounded integers, by induction, N up to {s.config.max_tokens}",
    INTEGERS,
)
def row_sum(setting: Setting) -> Iterator[Holds]:
    """Every partial sum of N terms of at most 2^P is within the bound; a row's is at least 2^P."""
    config = setting.config
    one = 1 << config.table_bits
    yield from partial_sums(one, setting.longest("row_sum"), config.registers["row_sum"].bound)
    first = z3.BoolVal(config.table[0] == one)
    yield Holds("e of distance 0 is 2^P", first)
    before, e = z3.Ints("before e")
    shown = {"before": before, "e": e}
    given = [before >= 0, e >= 0]
    yield Holds("a sum only grows", before + e >= before, given, shown)
    yield Holds("with the key at the maximum it is at least 2^P", before + e >= one,
                [*given, e == one], shown)  # fmt: skip


def partial_sums(term_most: int, terms: int, bound: int) -> Iterator[Holds]:
    """|term| <= B and |sum of n| <= n*B give |sum of n+1| <= (n+1)*B; and terms*B is the bound."""
    total, term, n = z3.Ints("total term n")
    shown = {"total": total, "term": term, "n": n}
    given = [n >= 0, within(total, n * term_most), within(term, term_most)]
    yield Holds(
        "partial sums, by induction", within(total + term, (n + 1) * term_most), given, shown
    )
    yield Holds(
        f"{terms} terms are at most {bound}",
        within(total, bound),
        [n >= 0, n <= terms, within(total, n * term_most)],
        shown,
    )


def level_value(setting: Setting, values: tuple[int, ...] | None = None) -> Iterator[Holds]:
    """A level's value is at most e * A / s; a test plants other values."""
    scheme, ratio = setting.scheme, Ratio(setting)
    level = comparing(ratio.E, ratio.s, scheme)
    value = choose(
        ((level == i, integer(v)) for i, v in enumerate(values or scheme.values)), integer(0)
    )
    goal = z3.And(z3.ULE(value * ratio.s, ratio.E), z3.ULE(level, scheme.top_level))
    yield Holds("value(level) * s <= e * A", goal, ratio.legal, ratio.shown)


@claim(
    "acc_bound",
    "BL2-ACC-02",
    lambda s: (
        f"full width, e {s.config.width('e')} and s {s.config.width('row_sum')} bits; "
        "unbounded integers, by induction"
    ),
    f"{BITS}; integers",
    per_scheme=True,
    families=(QUOTIENT,),
)
def acc(setting: Setting) -> Iterator[Holds]:
    """|acc| is at most (2^v_bits - 1) * A, for every partial sum of a row of any length."""
    yield from level_value(setting)
    A, most = setting.scheme.int_max, (1 << setting.config.v_bits) - 1
    W, v, S, s, e, a, x = z3.Ints("W v S s e a x")
    sums = {"W": W, "v": v, "S": S, "s": s, "e": e}
    yield Holds(
        "values W of keys with sum S: W * s <= A * S, by induction",
        (W + v) * s <= A * (S + e),
        [W * s <= A * S, v * s <= e * A],
        sums,
    )
    whole = [W * s <= A * S, s >= S, s > 0]
    yield Holds("W <= A, since S <= s", W <= A, whole, sums)
    yield Holds(
        "|acc| <= (2^v_bits - 1) * W, by induction",
        within(a + v * x, most * (W + v)),
        [within(a, most * W), within(x, most), v >= 0],
        {"acc": a, "x": x, "v": v, "W": W},
    )
    bound = setting.config.registers["acc"].bound
    given = [within(a, most * W), W <= A]
    yield Holds(f"|acc| <= {bound}", within(a, bound), given, {"acc": a, "W": W})


@claim(
    "product_bound",
    "BL2-REQ-02",
    lambda s: f"unbounded integers within score and M, {s.config.width('product')} bits",
    INTEGERS,
)
def product(setting: Setting) -> Iterator[Holds]:
    """score * M with its rounding constant is within the product register."""
    config = setting.config
    yield from _product(setting, "score", config.m_bits, config.max_n, "product")


@claim(
    "out_product_bound",
    "BL2-OUT-02",
    lambda s: f"unbounded integers within acc and M2, {s.config.width('out_product')} bits",
    INTEGERS,
    per_scheme=True,
)
def out_product(setting: Setting) -> Iterator[Holds]:
    """acc * M2 with its rounding constant is within the product register."""
    config = setting.config
    yield from _product(setting, "acc", config.m2_bits, config.max_n2, "out_product")


def _product(setting: Setting, name: str, bits: int, max_n: int, out: str) -> Iterator[Holds]:
    registers = setting.config.registers
    x, M, half = z3.Ints(f"{name} M half")
    given = [within(x, registers[name].bound), M >= 0, (1 << bits) > M]
    given += [half >= 0, half <= (1 << max_n) >> 1]
    goal = z3.And(within(x * M + half, registers[out].bound), within(x * M, registers[out].bound))
    yield Holds(f"|{name} * M| + 2^(n-1) <= {registers[out].bound}", goal, given, {name: x, "M": M})
    fits = registers[out].bound < 1 << (registers[out].bits - 1)
    yield Holds(f"{registers[out].bits} bits hold the bound", z3.BoolVal(fits))


@claim(
    "term_is_value",
    "BL2-ACC-01",
    lambda s: f"full width, x {s.config.v_bits + 1} bits, every level",
    BITS,
    per_scheme=True,
)
def lane(setting: Setting) -> Iterator[Holds]:
    """The shifts and additions of BL2-ACC-01 are the value of the level times x."""
    scheme = setting.scheme
    x = z3.BitVec("x", setting.config.v_bits + 1)
    level = z3.BitVec("level", 5)
    wide, L = z3.SignExt(64 - x.size(), x), z3.ZeroExt(59, level)
    if scheme.row_max:
        above = L - 7
        k, odd = 6 + z3.LShR(above, 1), above & 1 == 1
        upper = (wide << k) + z3.If(odd, wide << (k - 1), integer(0))
        upper = z3.If(z3.ULE(L, 7), wide << (L - 1), upper)
    elif scheme.half:
        k = z3.LShR(L, 1)
        odd = z3.Extract(0, 0, L) == 1
        upper = (wide << k) + z3.If(odd, wide << (k - 1), integer(0))
    else:
        upper = wide << (L - 1)
    term = choose([(L == 0, integer(0)), (L == 1, wide)], upper)
    product = choose(((i == L, v * wide) for i, v in enumerate(scheme.values)), integer(0))
    given = [z3.ULE(L, scheme.top_level)]
    yield Holds("term = value(level) * x", term == product, given, {"level": level, "x": x})
