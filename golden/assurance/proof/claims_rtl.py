"""Claims that combinational modules of the RTL do what SPEC.md says, written from the page."""

from collections.abc import Callable, Iterator

import z3

from bitlog2.sim import AttentionConfig
from bitlog2.sim.scheme import QUOTIENT

from ...stimulus.unit import Target, port
from .claim import NETLIST, Holds, Setting, choose, claim, integer, rnd, saturated, signed, unsigned
from .claims_log2 import code, dividing, quotient
from .rtl_terms import parts, replaced

#: Widths at which the leading-one detector is tried.
_WIDTHS = range(1, 65)

#: Bits of the widest accumulator that is multiplied whole, and of the lower part of a wider one.
_WHOLE, _LOW = 18, 17


def inputs(*registers: str, cut: str = "") -> Callable[[Setting], str]:
    """Return over what a module's claim holds: its inputs' widths, and where it is cut."""

    def over(setting: Setting) -> str:
        target = Target.of(setting.config)
        widths = [f"{name} {port(name, target).width}" for name in registers]
        return f"full width, {', '.join(widths)} bits{cut}"

    return over


@claim(
    "rtl_leading_one",
    "BL2-NUM-06",
    f"full width, each width from {_WIDTHS[0]} to {_WIDTHS[-1]}",
    NETLIST,
)
def detector(setting: Setting) -> Iterator[Holds]:
    """`leading_one`, each width."""
    nets = setting.variants("leading_one", [{"WIDTH": width} for width in _WIDTHS])
    for width, net in zip(_WIDTHS, nets, strict=True):
        x, position = z3.ZeroExt(66 - width, net["x"]), net["position"]
        position = z3.ZeroExt(66 - position.size(), position)
        least = z3.BitVecVal(1, 66) << position
        found = z3.And(z3.ULE(least, x), z3.ULT(x, least << 1))
        any_set = net["any"] == 1
        goal = z3.If(x == 0, z3.And(z3.Not(any_set), position == 0), z3.And(any_set, found))
        yield Holds(f"leading_one of {width} bits", goal, shown=net.shown())


@claim("rtl_exp2", "BL2-EXP2-01 to -04", inputs("mask", "d"), NETLIST)
def exp2(setting: Setting) -> Iterator[Holds]:
    """`exp2`, each distance that unit 3 gives and both values of the mask."""
    config, net = setting.config, setting.terms("exp2")
    d, fraction = unsigned(net["d"]), (1 << config.fraction_bits) - 1
    entry = choose(
        ((d & fraction == f, integer(T)) for f, T in enumerate(config.table)), integer(0)
    )
    e = rnd(entry, z3.LShR(d, config.fraction_bits))
    goal = unsigned(net["e"]) == z3.If(net["mask"] == 1, integer(0), e)
    yield Holds("e", goal, setting.assumed("exp2"), net.shown("mask", "d", "e"))


@claim(
    "rtl_score_requantizer",
    "BL2-REQ-01 to -03 and BL2-NUM-02, -05",
    inputs("score", "m", "n", "bias", cut="; cut at the product, with its lemma"),
    NETLIST,
)
def score_requantizer(setting: Setting) -> Iterator[Holds]:
    """`score_requantizer`, cut at the product."""
    config, net = setting.config, setting.terms("score_requantizer")
    most = config.registers["score"].bound * ((1 << config.m_bits) - 1)
    (wire,) = products_in(net["t"], 1)
    yield from _product(wire, net["score"], net["m"])
    yield from _product_lemma(config.registers["score"].bound, config.m_bits, wire.size())
    t, product = replaced(net["t"], wire, "product")
    rounded = rnd(signed(product), unsigned(net["n"]))
    page = saturated(rounded + signed(net["bias"]), config.t_min, config.t_max)
    yield Holds(
        "t for every product",
        signed(t) == page,
        [*_within(product, most), *setting.assumed("score_requantizer")],
        {"product": product, **net.shown("n", "bias"), "t": t},
    )


@claim(
    "rtl_output_requantizer",
    "BL2-OUT-01, -02 and BL2-NUM-02, -05",
    inputs("acc", "m2", "n2", "zo", cut="; cut at the product or its parts, with their lemma"),
    NETLIST,
    per_scheme=True,
)
def output_requantizer(setting: Setting) -> Iterator[Holds]:
    """`output_requantizer`, cut at the product."""
    net, size = setting.terms("output_requantizer"), setting.config.width("out_product")
    yield from output_parts(size, setting.config)
    ports = (net[name] for name in ("o", "acc", "m2", "n2", "zo"))
    yield from output_code(setting, *ports)


def output_parts(size: int, config: AttentionConfig) -> Iterator[Holds]:
    """The exact product is its parts', each in the range of its register."""
    bound = config.registers["acc"].bound
    if config.width("acc") <= _WHOLE:
        yield from _product_lemma(bound, config.m2_bits, size)
        return
    high, low, m = z3.Ints("high low m")
    acc = high * (1 << _LOW) + low
    given = [
        acc >= -bound,
        acc <= bound,
        low >= 0,
        low < 1 << _LOW,
        m >= 0,
        m < 1 << config.m2_bits,
    ]
    shown = {"high": high, "low": low, "m": m}
    exact = (high * m) * (1 << _LOW) + low * m == acc * m
    yield Holds("the parts' products make the product", exact, given, shown)
    most = 1 << (size - _LOW - 1)
    fits = z3.And(high * m >= -most, high * m < most, low * m < 1 << (_LOW + config.m2_bits))
    yield Holds("the parts' products fit their registers", fits, given, shown)


def output_code(
    setting: Setting,
    o: z3.BitVecRef,
    acc: z3.BitVecRef,
    m2: z3.BitVecRef,
    n2: z3.BitVecRef,
    zo: z3.BitVecRef,
    place: str = "",
) -> Iterator[Holds]:
    """An output code (BL2-OUT-01, -02), cut at the product, or at the products of two parts."""
    config = setting.config
    split = config.width("acc") > _WHOLE
    operands = {"product": acc}
    if split:
        operands = {
            "low product": z3.ZeroExt(1, z3.Extract(_LOW - 1, 0, acc)),
            "product": z3.Extract(acc.size() - 1, _LOW, acc),
        }
    found = products_in(o, len(operands))
    found.sort(key=lambda each: each.size() != _LOW + m2.size())  # the low one first
    free: dict[str, z3.BitVecRef] = {}
    for product, (name, x) in zip(found, operands.items(), strict=True):
        bits, shown = product.size(), {"acc": acc, "m2": m2}
        exact = z3.SignExt(bits - x.size(), x) * z3.ZeroExt(bits - m2.size(), m2)
        yield Holds(f"{place}the {name} modulo its width", product == exact, shown=shown)
        o, free[name] = replaced(o, product, name)
    value = signed(free["product"])
    if split:
        value = value * (1 << _LOW) + unsigned(free["low product"])
    most = config.registers["acc"].bound * ((1 << config.m2_bits) - 1)
    page = saturated(rnd(value, unsigned(n2)) + unsigned(zo), 0, (1 << config.o_bits) - 1)
    given = [value <= most, value >= -most, z3.ULE(unsigned(n2), config.max_n2)]
    shown = {**free, "n2": n2, "zo": zo, "o": o}
    yield Holds(f"{place}o of every product", unsigned(o) == page, given, shown)


def products_in(term: z3.ExprRef, count: int) -> list[z3.ExprRef]:
    """Return the products in a term.

    Raises:
        ValueError: there is another number of them.
    """
    found = [each for each in parts(term) if each.decl().kind() == z3.Z3_OP_BMUL]
    if len(found) != count:
        raise ValueError(f"a requantizer must hold {count} products, got {len(found)}")
    return found


def _product(product: z3.BitVecRef, x: z3.BitVecRef, m: z3.BitVecRef) -> Iterator[Holds]:
    bits = product.size()
    exact = z3.SignExt(bits - x.size(), x) * z3.ZeroExt(bits - m.size(), m)
    yield Holds("the product modulo its width", product == exact, shown={"x": x, "m": m})


def _product_lemma(x_most: int, m_bits: int, bits: int) -> Iterator[Holds]:
    """The exact product is in the register's range, so that it is itself modulo the width."""
    x, m = z3.Ints("x m")
    given = [x >= -x_most, x <= x_most, m >= 0, m < 1 << m_bits]
    fits = z3.And(x * m >= -(1 << (bits - 1)), x * m < 1 << (bits - 1))
    yield Holds("the product fits its register", fits, given, {"x": x, "m": m})


def _within(product: z3.BitVecRef, most: int) -> list[z3.BoolRef]:
    return [signed(product) <= most, signed(product) >= -most]


@claim(
    "rtl_log2_quantizer",
    "BL2-LOG2-01 to -06 and BL2-CODE-01, -02",
    inputs("s", "e", cut=", e <= 2^P <= s <= N * 2^P"),
    NETLIST,
    per_scheme=True,
    families=(QUOTIENT,),
)
def log2_quantizer(setting: Setting) -> Iterator[Holds]:
    """`log2_quantizer` against the dividing form, whose quotient is known by its thresholds."""
    scheme, net = setting.scheme, setting.terms("log2_quantizer")
    e, s = unsigned(net["e"]), unsigned(net["s"])
    p, known = quotient(e * scheme.int_max, s, scheme)
    reached = setting.assumed("log2_quantizer")
    level = dividing(z3.If(z3.UGT(p, scheme.int_max - 1), integer(scheme.int_max - 1), p), scheme)
    shown = net.shown("e", "s", "level", "nibble", "flag")
    yield Holds("level", unsigned(net["level"]) == level, [*reached, *known], shown)
    yield from code_goals(setting, net["level"], net["nibble"], net["flag"], reached, shown)


@claim(
    "rtl_log2_quantizer_divide",
    "BL2-LOG2-01 to -03 and BL2-CODE-01, -02",
    inputs("s", "e", cut=", s > 0; cut at the quotient"),
    NETLIST,
    per_scheme=True,
    families=(QUOTIENT,),
)
def log2_quantizer_divide(setting: Setting) -> Iterator[Holds]:
    """`log2_quantizer_divide`, cut at the quotient of its divider."""
    scheme, net = setting.scheme, setting.terms("log2_quantizer_divide")
    divider = _divider(net["quotient"])
    shown = net.shown("e", "s", "level", "nibble", "flag")
    operands = z3.And(
        unsigned(divider.arg(0)) == unsigned(net["e"]) * scheme.int_max,
        unsigned(divider.arg(1)) == unsigned(net["s"]),
    )
    given = [net["s"] != 0]
    yield Holds("the divider is given e * A and s", operands, given, shown)
    undivided = unsigned(net["quotient"]) == unsigned(divider)
    yield Holds("the quotient is the divider's", undivided, given, shown)
    terms = [replaced(net[name], divider, "quotient") for name in ("level", "nibble", "flag")]
    free = terms[0][1]
    level, nibble, flag = (z3.substitute(term, (own, free)) for term, own in terms)
    number = unsigned(free)
    clamped = z3.If(z3.UGE(number, scheme.int_max), integer(scheme.int_max - 1), number)
    cut = {"quotient": free, "level": level, "nibble": nibble, "flag": flag}
    goal = unsigned(level) == dividing(clamped, scheme)
    yield Holds("level of every quotient", goal, shown=cut)
    yield from code_goals(setting, level, nibble, flag, [], cut)


def _divider(term: z3.ExprRef) -> z3.BitVecRef:
    """Return the one division in a term."""
    stack, found = [term], {}
    while stack:
        part = stack.pop()
        if part.decl().kind() == z3.Z3_OP_BUDIV:
            found[part.get_id()] = part
        else:
            stack += part.children()
    if len(found) != 1:
        raise ValueError(f"log2_quantizer_divide must hold one division, got {len(found)}")
    return next(iter(found.values()))


@claim(
    "rtl_code_register",
    "BL2-CODE-01, -02",
    inputs("level", cut=", legal levels"),
    NETLIST,
    per_scheme=True,
)
def code_register(setting: Setting) -> Iterator[Holds]:
    """`code_register`, each level."""
    net = setting.terms("code_register")
    legal = setting.assumed("code_register")
    shown = net.shown("level", "nibble", "flag")
    yield from code_goals(setting, net["level"], net["nibble"], net["flag"], legal, shown)


def code_goals(
    setting: Setting,
    level: z3.BitVecRef,
    nibble: z3.BitVecRef,
    flag: z3.BitVecRef,
    given: list[z3.BoolRef],
    shown: dict[str, z3.ExprRef],
) -> Iterator[Holds]:
    """Return that nibble and flag are those of the level."""
    of_level, flag_of_level = code(unsigned(level), setting.scheme)
    goal = z3.And(unsigned(nibble) == of_level, unsigned(flag) == flag_of_level)
    yield Holds("nibble and flag of the level", goal, given, shown)


@claim("rtl_distance", "BL2-MAX-03", inputs("row_max", "t", cut=", t <= row max"), NETLIST)
def distance(setting: Setting) -> Iterator[Holds]:
    """`distance` of a key that is not above the maximum."""
    net, most = setting.terms("distance"), setting.config.d_max
    difference = signed(net["row_max"]) - signed(net["t"])
    page = z3.If(difference > most, integer(most), difference)
    shown = net.shown("row_max", "t", "d")
    yield Holds("d", unsigned(net["d"]) == page, setting.assumed("distance"), shown)


@claim(
    "rtl_shift_add_lane",
    "BL2-ACC-01",
    inputs("nibble", "flag", "v", "zv", cut=", legal codes"),
    NETLIST,
    per_scheme=True,
)
def shift_add_lane(setting: Setting) -> Iterator[Holds]:
    """`shift_add_lane` for every code that a level has."""
    scheme, net = setting.scheme, setting.terms("shift_add_lane")
    level = z3.BitVec("level", 5)
    L = unsigned(level)
    nibble, flag = code(L, scheme)
    given = [z3.ULE(L, scheme.top_level)]
    given += [unsigned(net["nibble"]) == nibble, unsigned(net["flag"]) == flag]
    x = unsigned(net["v"]) - unsigned(net["zv"])
    term = choose(((i == L, value * x) for i, value in enumerate(scheme.values)), integer(0))
    shown = {"level": level, **net.shown("v", "zv", "term")}
    yield Holds("term", signed(net["term"]) == term, given, shown)
