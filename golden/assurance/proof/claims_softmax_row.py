"""The claims about `softmax_row`: rows of any length, with any pauses and any back-pressure.

What refutes such a claim is a state within the invariant, and an edge that leaves it.
"""

from collections.abc import Callable, Iterable, Iterator

import z3

from bitlog2.sim.scheme import QUOTIENT, ROW_MAX

from .argument import Argument
from .claim import (
    NETLIST,
    Holds,
    Setting,
    choose,
    claim,
    integer,
    rnd,
    saturated,
    signed,
    unsigned,
)
from .claims_log2 import code, dividing, quotient
from .claims_rtl import products_in
from .claims_weights import page_level
from .row_chain import Chain, control, number, reset, waits
from .row_contents import Contents, data_in, data_out, data_reset

#: Lanes of the modules that are proved.
CONTROL_LANES, DATA_LANES = (1, 2, 4), (1, 4)
_CONTROL = ("state", "count", "coding", "loading", "lasts", "rows", "waiting")


def over(lanes: Iterable[int], cut: str) -> Callable[[Setting], str]:
    """Return over what a claim about rows holds."""
    words = " and ".join(map(str, lanes))

    def text(setting: Setting) -> str:
        most = setting.config.max_tokens
        return (
            f"full width, {words} lanes, any number of rows of 1 to {most} keys, any pauses, "
            f"back-pressure and reset at any time{cut}"
        )

    return text


def _chain(setting: Setting, lanes: int) -> tuple[Chain, Argument]:
    (net,) = setting.variants("softmax_row", [{"LANES": lanes}])
    return Chain(net), Argument(f"{lanes} lanes", net.shown(*_CONTROL))


def _control(setting: Setting) -> Iterator[Holds]:
    for lanes in CONTROL_LANES:
        chain, argument = _chain(setting, lanes)
        yield from control(chain, argument)
        yield from waits(chain, argument)
        yield from reset(chain, argument)


_ORDER = "; data left free"


@claim("rtl_softmax_row_order", "BL2-ROW-01", over(CONTROL_LANES, _ORDER), NETLIST,
       families=(QUOTIENT,))  # fmt: skip
def order(setting: Setting) -> Iterator[Holds]:
    """`softmax_row`: each beat comes out once, in order, with its tlast."""
    yield from _control(setting)


@claim("rtl_softmax_row_order_row_max", "BL2-ROW-01", over(CONTROL_LANES, _ORDER), NETLIST,
       families=(ROW_MAX,))  # fmt: skip
def order_row_max(setting: Setting) -> Iterator[Holds]:
    """`softmax_row` of RowMax: each beat comes out once, in order, with its tlast."""
    yield from _control(setting)


@claim(
    "rtl_softmax_row",
    "BL2-ROW-01, BL2-REQ-01 to -03, BL2-MAX-01, -03, BL2-EXP2-01 to -04, BL2-SUM-01, "
    "BL2-LOG2-01 to -06, BL2-DIST-01 to -03 and BL2-CODE-01, -02",
    over(DATA_LANES, "; cut at the product, at d and at e, with their bounds"),
    NETLIST,
    per_scheme=True,
)
def data(setting: Setting) -> Iterator[Holds]:
    """`softmax_row`: the code of each key, in the order of `rtl_softmax_row_order`."""
    for lanes in DATA_LANES:
        chain, argument = _chain(setting, lanes)
        for _ in (*control(chain, argument), *reset(chain, argument)):
            pass  # proved by the claim about the order
        contents = Contents(chain)
        yield from data_in(contents, argument)
        yield from data_out(contents, argument)
        yield from data_reset(contents, argument)
        yield from distinct(pages(setting, contents, lanes))


def distinct(statements: Iterable[Holds]) -> Iterator[Holds]:
    """Give statements but those that are the same as an earlier one: lanes are alike."""
    earlier: list[z3.ExprRef] = []
    for each in statements:
        whole = z3.Implies(z3.And(*each.given), each.goal)
        if not any(whole.eq(other) for other in earlier):
            earlier.append(whole)
            yield each


def pages(setting: Setting, contents: Contents, lanes: int) -> Iterator[Holds]:
    """What the contents are by SPEC.md."""
    yield beat_max(setting, contents)
    for lane in range(lanes):
        yield from key_in(setting, contents, lane)
        yield from beside_code(setting, contents, lane)
        data = contents.of(contents.net["m_axis_tdata"], contents.all_out())
        of_lane = part(data, lane, 5, 0, 5)
        if setting.scheme.row_max:
            yield from code_of_distance(setting, contents, lane, of_lane)
        else:
            yield from code_of_quotient(setting, contents, lane, of_lane)
    if not setting.scheme.row_max:
        yield beat_sum(setting, contents, lanes)


def part(word: z3.BitVecRef, lane: int, bits: int, low: int, width: int) -> z3.BitVecRef:
    """Return bits from `low` up of a lane of a word with `bits` bits a lane."""
    place = lane * bits + low
    return z3.Extract(place + width - 1, place, word)


def key_in(setting: Setting, contents: Contents, lane: int) -> Iterator[Holds]:
    """What a lane's key becomes: kept, masked, and t (BL2-REQ-01 to -03), cut at the product."""
    config, net = setting.config, contents.net
    t_bits, score_bits = config.t_bits, config.width("score")
    key, keep = z3.BitVec("key", 1 + score_bits + t_bits), z3.BitVec("keep", 1)
    word = _word_with(contents, lane, key, keep)
    loaded = z3.substitute(
        contents.of(net["loaded"], contents.way_in), (contents.symbols["word"], word)
    )
    kept, masked, t = (
        z3.simplify(part(loaded, lane, 2 + t_bits, low, width))
        for low, width in ((t_bits + 1, 1), (t_bits, 1), (0, t_bits))
    )
    bias = z3.Extract(t_bits - 1, 0, key)
    score = z3.Extract(t_bits + score_bits - 1, t_bits, key)
    mask = z3.Extract(t_bits + score_bits, t_bits + score_bits, key)
    shown = {"key": key, "keep": keep, **net.shown("m", "n")}
    goal = z3.And(kept == keep, masked == mask | ~keep)
    yield Holds(f"lane {lane}: kept and masked", goal, shown=shown)
    (product,) = products_in(t, 1)
    exact = z3.SignExt(product.size() - score_bits, score) * number(net["m"], product.size())
    yield Holds(f"lane {lane}: the product", product == exact, shown=shown)
    free = z3.BitVec("product", product.size())
    t = z3.substitute(t, (product, free))
    most = config.registers["score"].bound * ((1 << config.m_bits) - 1)
    rounded = rnd(signed(free), unsigned(net["n"]))
    page = saturated(rounded + signed(bias), config.t_min, config.t_max)
    given = [signed(free) <= most, signed(free) >= -most, z3.ULE(unsigned(net["n"]), config.max_n)]
    shown = {"product": free, "bias": bias, "t": t, **net.shown("n")}
    yield Holds(f"lane {lane}: t of every product", signed(t) == page, given, shown)


def _word_with(
    contents: Contents, lane: int, key: z3.BitVecRef, keep: z3.BitVecRef
) -> z3.BitVecRef:
    """Return a beat's word with these in one lane, and anything in the others."""
    lanes = contents.net["s_axis_score_tkeep"].size()
    parts_ = []
    for size, own in ((1, keep), (key.size(), key)):
        for each in reversed(range(lanes)):
            parts_.append(own if each == lane else z3.FreshConst(z3.BitVecSort(size)))
    return z3.Concat(*parts_)


def beat_max(setting: Setting, contents: Contents) -> Holds:
    """The largest t of a beat's keys that are there and not masked (BL2-MAX-01), or the lowest."""
    keys, t_bits = contents.symbols["keys"], setting.config.t_bits
    most = integer(setting.config.t_min)
    for lane in range(keys.size() // (2 + t_bits)):
        masked = part(keys, lane, 2 + t_bits, t_bits, 1) == 1
        t = signed(part(keys, lane, 2 + t_bits, 0, t_bits))
        most = z3.If(z3.And(z3.Not(masked), t > most), t, most)
    return Holds("largest t of a beat", signed(contents.beat_max()) == most, shown={"keys": keys})


def beside_code(setting: Setting, contents: Contents, lane: int) -> Iterator[Holds]:
    """What leaves beside a lane's code: tkeep, tlast, row max and sum; and its d (BL2-MAX-03)."""
    config, net, symbols = setting.config, contents.net, contents.symbols
    family = "g_row_max" if setting.scheme.row_max else "g_quotient"
    registers = contents.all_out()
    keys, largest, t_bits = symbols["keys"], symbols["largest"], config.t_bits
    kept, masked = (part(keys, lane, 2 + t_bits, t_bits + i, 1) for i in (1, 0))
    t = part(keys, lane, 2 + t_bits, 0, t_bits)
    same = {
        "m_axis_tlast": symbols["last"],
        "row_max": largest,
        "row_sum": symbols.get("total", z3.BitVecVal(0, net["row_sum"].size())),
    }
    tkeep = part(contents.of(net["m_axis_tkeep"], registers), lane, 1, 0, 1)
    goals = [contents.of(net[name], registers) == value for name, value in same.items()]
    shown = {name: each for name, each in symbols.items() if name != "word"}
    yield Holds(f"lane {lane}: tkeep, tlast, row max and sum", z3.And(tkeep == kept, *goals),
                shown=shown)  # fmt: skip
    mask, d = (contents.of(net[f"{family}.g_key[{lane}].{x}"], registers) for x in ("mask", "d"))
    difference = signed(largest) - signed(t)
    page = z3.If(difference > config.d_max, integer(config.d_max), difference)
    yield Holds(f"lane {lane}: d of a key that is not above the maximum",
                z3.And(mask == masked, unsigned(d) == page), [difference >= 0], shown)  # fmt: skip


def code_of_distance(
    setting: Setting, contents: Contents, lane: int, of_lane: z3.BitVecRef
) -> Iterator[Holds]:
    """The code of every d (BL2-DIST-01 to -03)."""
    of_lane, key = contents.cut(of_lane, f"g_row_max.g_key[{lane}].of_d.q", "mask, d")
    mask, d = _mask_and_d(key)
    level = z3.If(mask == 1, integer(0), page_level(unsigned(d), setting))
    nibble, flag = code(level, setting.scheme)
    given = setting.assumed("distance_quantizer", d=unsigned(d))
    shown = {"mask": mask, "d": d, "code": of_lane}
    yield Holds(f"lane {lane}: code", unsigned(of_lane) == 2 * nibble + flag, given, shown)


def _mask_and_d(key: z3.BitVecRef) -> tuple[z3.BitVecRef, z3.BitVecRef]:
    top = key.size() - 1
    return z3.Extract(top, top, key), z3.Extract(top - 1, 0, key)


def code_of_quotient(
    setting: Setting, contents: Contents, lane: int, of_lane: z3.BitVecRef
) -> Iterator[Holds]:
    """e of every d (BL2-EXP2-01 to -04), and the code of every e and sum (BL2-LOG2-01 to -03)."""
    scheme, name = setting.scheme, f"g_quotient.g_key[{lane}]"
    e = contents.of(contents.net[f"{name}.e"], contents.all_out())
    e, key = contents.cut(e, f"{name}.of_d.q", "mask, d")
    mask, d = _mask_and_d(key)
    page = z3.If(mask == 1, integer(0), page_e(setting, unsigned(d)))
    given = setting.assumed("exp2", d=unsigned(d))
    yield Holds(f"lane {lane}: e", unsigned(e) == page, given, {"mask": mask, "d": d, "e": e})
    of_lane, e = contents.cut(of_lane, f"{name}.e", "e")
    s = contents.symbols["total"]
    given = setting.assumed("log2_quantizer", e=unsigned(e), s=unsigned(s))
    p, known = quotient(unsigned(e) * scheme.int_max, unsigned(s), scheme)
    top = integer(scheme.int_max - 1)
    nibble, flag = code(dividing(z3.If(z3.UGT(p, top), top, p), scheme), scheme)
    goal = unsigned(of_lane) == 2 * nibble + flag
    yield Holds(f"lane {lane}: code", goal, [*given, *known], {"e": e, "s": s, "code": of_lane})


def page_e(setting: Setting, d: z3.BitVecRef) -> z3.BitVecRef:
    """Return e of a key that is not masked."""
    config, fraction = setting.config, (1 << setting.config.fraction_bits) - 1
    entries = ((d & fraction == f, integer(T)) for f, T in enumerate(config.table))
    return rnd(choose(entries, integer(0)), z3.LShR(d, config.fraction_bits))


def beat_sum(setting: Setting, contents: Contents, lanes: int) -> Holds:
    """What a beat adds to the sum: the e of its lanes (BL2-SUM-01)."""
    added, total = contents.beat_sum(), integer(0)
    shown = {}
    for lane in range(lanes):
        added, e = contents.cut(added, f"g_quotient.g_key[{lane}].e", f"e {lane}")
        total = total + unsigned(e)
        shown[f"e {lane}"] = e
    return Holds("the sum of a beat", unsigned(added) == total, shown=shown)
