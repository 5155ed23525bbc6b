"""The claim about `attention_row`: its accumulators and requantizers, for rows of any length.

`softmax_row` is left out: its codes are any stream of rows, as its own claims have them, where a
lane without a key has the code of level 0. Beats stand in a chain on the way to the accumulators,
as in `row_chain`, and move on at every edge; behind it one row is complete, and one in the
requantizers. What refutes this claim is a state within the invariant, and an edge that leaves it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import z3

from .argument import Argument, Position, View, carried, pipeline, replace_wires, variables
from .claim import (
    NETLIST,
    Holds,
    Setting,
    choose,
    claim,
    integer,
    low,
    unsigned,
)
from .claims_log2 import code
from .claims_rtl import output_code
from .claims_softmax_row import distinct, part
from .row_chain import ROW, both, number

#: Lanes, channels and requantizers of the module that is proved.
LANES, CHANNELS, REQUANTIZERS = 2, 4, 2
GROUPS = -(-CHANNELS // REQUANTIZERS)
#: Registers in a requantizer.
STAGES = 4
#: Bits of a beat's number: any that hold the beats of a row.
BEAT = 10
_MULTIPLIER = "g_row_max.multiplier"


@dataclass(frozen=True)
class Ghost:
    """What is kept beside the module.

    Attributes:
        places: positions on the way to the accumulators: -1 is in front of place 0.
        out: number of the row that is taken next.
    """

    places: dict[int, Position]
    out: z3.BitVecRef


class Rows:
    """An `attention_row` before and after a clock edge, and what its registers hold."""

    def __init__(self, setting: Setting) -> None:
        self.setting, self.row_max = setting, setting.scheme.row_max
        parameters = {"LANES": LANES, "HEAD_DIM": CHANNELS, "REQUANTIZERS": REQUANTIZERS}
        (net,) = setting.variants("attention_row", [parameters], ["softmax"])
        self.net = net
        self.now, self.then = View(net, []), View(net, [], after=True)
        self.last = net["adding"].size() - 1
        self.ghost, self.ghost_then = self._ghost(""), self._ghost("'")
        self.fire = both(self.now, "code_valid", "s_axis_v_tvalid", "room")
        self._name_contents()

    def _ghost(self, mark: str) -> Ghost:
        like = Position(z3.BitVec("row", ROW), z3.BitVec("beat", BEAT))
        places = {
            place: Position.free(f"{place}{mark}", like) for place in range(-1, self.last + 1)
        }
        return Ghost(places, z3.BitVec(f"row out{mark}", ROW))

    def _name_contents(self) -> None:
        """Find the pipelines, and name what a beat and a row have."""
        net = self.net
        wires = ["codes", "s_axis_v_tdata"]
        word = z3.Concat(*(net[name] for name in wires))
        of_row = net["row_max"] if self.row_max else z3.Concat(net["row_max"], net["row_sum"])
        sums = net["accumulators"]
        if self.row_max:
            sums = z3.Concat(net["g_row_max.weight_sum"], sums)
        at = z3.BitVecSort(ROW), z3.BitVecSort(BEAT)
        self.word = z3.Function("word", *at, word.sort())
        self.sums = z3.Function("sums", *at, sums.sort())
        self.terms = z3.Function("terms", *at, sums.sort())
        self.of_row = z3.Function("of row", at[0], of_row.sort())
        self.length = z3.Function("length", *at)
        self.symbol = z3.Const("its word", word.sort())
        self.row_symbol = z3.Const("of its row", of_row.sort())
        self.last_symbol = z3.BitVec("last", 1)
        self.inputs = word, of_row
        entered = [(*each, 0) for each in carried(word, self.symbol)]
        beside = z3.Concat(net["code_last"], of_row)
        contents = z3.Concat(self.last_symbol, self.row_symbol)
        entered += [(*each, 0) for each in carried(beside, contents)]
        self.fixed = [net.variable(name) for name in ("zv", "zo", "m2", "n2")]
        self.way = pipeline(net, entered, self.fixed, [], self.last + 2)

    def valid(self, view: View) -> list[z3.BoolRef]:
        """Return which places hold a beat."""
        return view.bits("adding")

    def ends(self, view: View, place: int) -> z3.BoolRef:
        """Return whether a place holds the last beat of a row."""
        return view.top(f"beside_terms.g_line.g_stage[{place}].held")

    def of(self, view: View) -> Ghost:
        """Return what is beside a view."""
        return self.ghost_then if view.after else self.ghost

    def busy(self, view: View) -> z3.BoolRef:
        """Whether a row has left the accumulators and is not taken yet."""
        if self.row_max:
            return z3.Or(view[f"{_MULTIPLIER}.left"] != 0, view.on(f"{_MULTIPLIER}.m_axis_tvalid"))
        return z3.Or(view["left"] != 0, view.on("m_axis_tvalid"))

    def content(self, content: z3.ExprRef, at: Position, *, after: bool) -> z3.ExprRef:
        """Return a content for the beat of a position."""
        pairs = [
            (self.symbol, self.word(at.row, at.beat)),
            (self.row_symbol, self.of_row(at.row)),
            (self.last_symbol, number(at.beat == self.length(at.row), 1)),
        ]
        if after:
            pairs += [(each, self.net.next_input(each)) for each in self.fixed]
        return z3.substitute(content, *pairs)

    def hold(self, view: View, place: int) -> z3.BoolRef:
        """Return that the registers beside a place hold the contents of its beat."""
        at = self.of(view).places[place]
        same = [
            (each.after if view.after else each.now)
            == self.content(each.content, at, after=view.after)
            for each in self.way
            if each.stage == place + 1
        ]
        known = self.ends(view, place) == (at.beat == self.length(at.row))
        return z3.Implies(self.valid(view)[place], z3.And(known, self.within(at), *same))

    def within(self, at: Position) -> z3.BoolRef:
        """Whether a position is one of its row."""
        return z3.ULE(at.beat, self.length(at.row))

    def roots(self) -> z3.BitVecRef:
        """Return what the trees give to weight sum and accumulators."""
        bits, now = self.setting.config.width("acc"), self.now
        roots = [
            z3.Extract(bits - 1, 0, now[f"g_channel[{channel}].sums"])
            for channel in reversed(range(CHANNELS))
        ]
        if self.row_max:
            wide = self.setting.config.width("weight_sum")
            roots.insert(0, z3.Extract(wide - 1, 0, now["g_row_max.weights"]))
        return z3.Concat(*roots)

    def widths(self) -> list[int]:
        """Return the widths of what adds up, the highest first."""
        config = self.setting.config
        wide = [config.width("weight_sum")] if self.row_max else []
        return wide + [config.width("acc")] * CHANNELS

    def summed(self, view: View) -> z3.BitVecRef:
        """Return what adds up."""
        if self.row_max:
            return z3.Concat(view["g_row_max.weight_sum"], view["accumulators"])
        return view["accumulators"]


def added(x: z3.BitVecRef, y: z3.BitVecRef, widths: Sequence[int]) -> z3.BitVecRef:
    """Return the sums of the fields of two words."""
    place, fields = x.size(), []
    for width in widths:
        place -= width
        fields.append(
            z3.Extract(place + width - 1, place, x) + z3.Extract(place + width - 1, place, y)
        )
    return z3.Concat(*fields)


def rows(parts_: Rows, view: View) -> list[z3.BoolRef]:
    """Return what ties the accumulators to their rows."""
    ghost = parts_.of(view)
    at, complete = ghost.places[parts_.last], view.on("complete")
    under_way = number(parts_.busy(view), ROW) + number(complete, ROW)
    sums, before = parts_.summed(view), at.row - 1
    valid, counted = view["adding"], under_way
    for place, there in enumerate(parts_.valid(view)):
        counted += number(z3.And(there, parts_.ends(view, place)), ROW)
    ends = z3.Concat(*(number(parts_.ends(view, i), 1) for i in range(parts_.last, -1, -1)))
    facts = [
        number(view["rows"], ROW) == counted,
        z3.ULE(view["rows"], 2),
        z3.Implies(view["rows"] == 2, valid & -valid & ~ends == 0),
        at.row == ghost.out + under_way,
        view.on("first") == (at.beat == 0),
        z3.Implies(complete, at.beat == 0),
        z3.Implies(at.beat != 0, sums == parts_.sums(at.row, at.beat - 1)),
        z3.Implies(complete, sums == parts_.sums(before, parts_.length(before))),
        z3.Implies(complete, numbers(parts_, view, "acc") == parts_.of_row(before)),
        z3.Or(z3.Not(view.on("m_axis_tvalid")), view["left"] == 0),
        z3.ULE(view["left"], GROUPS + STAGES),
        view.on("idle") == (view["left"] == 0),
        view.on("turning") == z3.UGT(view["left"], STAGES),
        view.on("taking") == z3.And(view["left"] != 0, z3.ULE(view["left"], GROUPS)),
    ]
    if parts_.row_max:
        idle = z3.And(view["left"] == 0, z3.Not(view.on("m_axis_tvalid")))
        result = view.on(f"{_MULTIPLIER}.m_axis_tvalid")
        facts += [z3.Or(idle, result), z3.Or(z3.Not(result), view[f"{_MULTIPLIER}.left"] == 0)]
        facts.append(z3.Or(idle, view["used_m2"] == view["m2_row"]))
    return facts


def numbers(parts_: Rows, view: View, where: str) -> z3.BitVecRef:
    """Return row maximum and sum beside the accumulators (acc) or the requantizers (held)."""
    largest = view[f"{where}_row_max"]
    return largest if parts_.row_max else z3.Concat(largest, view[f"g_quotient.{where}_row_sum"])


def given(parts_: Rows, argument: Argument) -> None:
    """Add definitions, the invariant before the edge, and the inputs."""
    ghost, then, last = parts_.ghost, parts_.ghost_then, parts_.last
    for view, mark in ((parts_.now, ""), (parts_.then, "'")):
        at = parts_.of(view).places
        for place in range(last + 1):
            passed = at[place].then(parts_.valid(view)[place], parts_.ends(view, place))
            argument.let(f"link{mark} {place - 1}", at[place - 1].same(passed))
    tail = ghost.places[last].then(parts_.valid(parts_.now)[last], parts_.ends(parts_.now, last))
    argument.let("added", then.places[last].same(tail))
    argument.let("run", parts_.net["rst_n"] == 1)
    entry, (word, of_row) = ghost.places[-1], parts_.inputs
    is_last = entry.beat == parts_.length(entry.row)
    argument.let("entered", z3.Implies(parts_.fire, z3.And(
        word == parts_.word(entry.row, entry.beat), of_row == parts_.of_row(entry.row),
        parts_.now.on("code_last") == is_last,
    )))  # fmt: skip
    argument.let("entry", parts_.within(entry))
    same = [parts_.net.next_input(each) == each for each in parts_.fixed]
    argument.let("held", *same)
    for place in range(last + 1):
        argument.let(f"place {place}", parts_.hold(parts_.now, place))
    taken = both(parts_.now, "m_axis_tvalid", "m_axis_tready")
    argument.let("taken", then.out == ghost.out + number(taken, ROW))


def accumulate(parts_: Rows, argument: Argument) -> Iterator[Holds]:
    """Beats reach the accumulators once and in order, and add up."""
    given(parts_, argument)
    now, ghost, then, last = parts_.now, parts_.ghost, parts_.ghost_then, parts_.last
    for place in range(last, -1, -1):
        using = ["added", f"link {place - 1}"] if place == last else [
            f"moved {place + 1}", f"link {place}", f"link {place - 1}", f"link' {place}"
        ]  # fmt: skip
        goal = then.places[place].same(ghost.places[place - 1])
        yield argument.show(f"moved {place}", goal, "run", *using)
    entry = ghost.places[-1]
    goal = then.places[-1].same(entry.then(parts_.fire, now.on("code_last")))
    yield argument.show("moved -1", goal, "run", "moved 0", "link -1", "link' -1")
    within = parts_.within(then.places[-1])
    yield argument.show("entry'", within, "moved -1", "entry", "entered")
    for place in range(last + 1):
        before = [f"place {place - 1}"] if place else ["entered", "entry"]
        goal = parts_.hold(parts_.then, place)
        yield argument.show(f"place' {place}", goal, "run", "held", f"moved {place}", *before)


def adds(parts_: Rows, argument: Argument) -> Iterator[Holds]:
    """The accumulators hold the sums of their rows; rows behind them keep their order."""
    now, at, last = parts_.now, parts_.ghost.places[parts_.last], parts_.last
    valid = parts_.valid(now)[last]
    content = parts_.content(replace_wires(parts_.roots(), parts_.way), at, after=False)
    terms = parts_.terms(at.row, at.beat)
    argument.let("terms", z3.Implies(valid, terms == content))
    goal = z3.Implies(valid, parts_.roots() == terms)
    yield argument.show("terms of a beat", goal, f"place {last}", "terms")
    none = z3.BitVecVal(0, terms.size())
    before = z3.If(at.beat == 0, none, parts_.sums(at.row, at.beat - 1))
    known = parts_.sums(at.row, at.beat) == added(terms, before, parts_.widths())
    argument.let("sums", z3.Implies(valid, known))
    argument.let("rows", *rows(parts_, now))
    using = ["run", "rows", "taken", "sums", "terms of a beat",
             f"place {last}", f"moved {last}", f"link {last - 1}"]  # fmt: skip
    for count, goal in enumerate(rows(parts_, parts_.then)):
        yield argument.show(f"rows {count}", goal, *using)


class Requantizers:
    """What stands behind the accumulators.

    Attributes:
        parts: the module.
        way: registers of the requantizers.
        symbol: accumulators of a group.
        fixed: multiplier, shift and zero point.
    """

    def __init__(self, parts_: Rows) -> None:
        self.parts = parts_
        net, self.bits = parts_.net, parts_.setting.config.width("acc")
        self.fixed = [
            each
            for name in ("used_m2", "n2_row", "zo")
            for each in variables(z3.simplify(net[name]))
        ]
        group = z3.Extract(REQUANTIZERS * self.bits - 1, 0, net["finished"])
        self.symbol = z3.Const("accumulators of a group", group.sort())
        entered = [(*each, 0) for each in carried(group, self.symbol)]
        self.way = pipeline(net, entered, self.fixed, [], STAGES)
        self.codes = self._codes()

    def _codes(self) -> z3.BitVecRef:
        """Return the output codes of a group, as `outputs` takes them in at its top."""
        taken, net = self.parts.then["outputs"], self.parts.net
        bits = REQUANTIZERS * self.parts.setting.config.width("o")
        top = z3.Extract(taken.size() - 1, taken.size() - bits, taken)
        taking = z3.simplify(z3.substitute(top, *carried(net["taking"], z3.BitVecVal(1, 1))))
        return replace_wires(taking, self.way)

    def accumulators(self, view: View) -> z3.BitVecRef:
        """Return those of the row that is taken next, filled up to whole groups."""
        row = self.parts.of(view).out
        sums = self.parts.sums(row, self.parts.length(row))
        own = z3.Extract(CHANNELS * self.bits - 1, 0, sums)
        return z3.ZeroExt((GROUPS * REQUANTIZERS - CHANNELS) * self.bits, own)

    def at(self, content: z3.ExprRef, view: View, group: int) -> z3.ExprRef:
        """Return a content for a group of the row that is taken next.

        Multiplier, shift and zero point are those before the edge: where a content counts after
        it, they are held.
        """
        size = REQUANTIZERS * self.bits
        own = z3.Extract((group + 1) * size - 1, group * size, self.accumulators(view))
        return z3.substitute(content, (self.symbol, own))

    def fixed_then(self) -> list[z3.ExprRef]:
        """Return multiplier, shift and zero point after the edge."""
        edges = {now.get_id(): after for now, after in self.parts.net.edges()}
        return [
            edges[each.get_id()] if each.get_id() in edges else self.parts.net.next_input(each)
            for each in self.fixed
        ]

    def outputs(self, view: View, count: int) -> z3.BoolRef:
        """Return that the last outputs are those of the first groups."""
        size = self.codes.size()
        same = []
        for group in range(count):
            place = (GROUPS - count + group) * size
            own = z3.Extract(place + size - 1, place, view["outputs"])
            same.append(own == self.at(self.codes, view, group))
        return z3.And(*same)

    def facts(self, view: View, left: int) -> z3.BoolRef:
        """Return what holds of a row that is under way, for the cycles that it has left."""
        turned = GROUPS + STAGES - left if left > STAGES else 0
        size = REQUANTIZERS * self.bits
        finished = z3.RotateRight(self.accumulators(view), turned * size)
        facts = [view["finished"] == finished]
        facts += [numbers(self.parts, view, "held") == self.parts.of_row(self.parts.of(view).out)]
        for each in self.way:
            group = GROUPS + STAGES - each.stage - left
            if left and 0 <= group < GROUPS:
                held = each.after if view.after else each.now
                facts.append(held == self.at(each.content, view, group))
        if left <= GROUPS:
            done = self.outputs(view, GROUPS - left)
            facts.append(done if left else z3.Implies(view.on("m_axis_tvalid"), done))
        there = z3.And(self.parts.busy(view), view["left"] == left)
        return z3.Implies(there, z3.And(*facts))


def held(own: Requantizers, argument: Argument) -> Iterator[Holds]:
    """Multiplier, shift and zero point stay while codes are made with them."""
    now, then = own.parts.now, own.parts.then
    same = [after == before for before, after in zip(own.fixed, own.fixed_then(), strict=True)]
    waits = z3.And(now.on("m_axis_tvalid"), z3.Not(now.on("m_axis_tready")))
    used = z3.Or(now["left"] != 0, waits)
    yield argument.show(
        "multiplier and shift are held", z3.Implies(used, z3.And(*same)), "run", "rows", "held"
    )
    making = z3.And(then["left"] != 0, then["left"] != GROUPS + STAGES)
    goal = z3.Implies(z3.Or(making, then.on("m_axis_tvalid")), used)
    yield argument.show("codes are made with one multiplier", goal, "run", "rows")


def requantize(parts_: Rows, argument: Argument) -> Iterator[Holds]:
    """A row that is complete leaves with the output code of each of its channels."""
    own = Requantizers(parts_)
    now, then = parts_.now, parts_.then
    for cycles in range(GROUPS + STAGES + 1):
        argument.let(f"left {cycles}", own.facts(now, cycles))
    yield from held(own, argument)
    taken = both(now, "m_axis_tvalid", "m_axis_tready")
    cases = [(0, " when an output is taken", taken), (0, " when none is taken", z3.Not(taken))]
    cases += [(left, "", z3.BoolVal(True)) for left in range(1, GROUPS + STAGES + 1)]
    for cycles in range(GROUPS + STAGES + 1):
        goal = own.facts(then, cycles)
        sources = [cycles + 1, 0] if cycles < GROUPS + STAGES else [0]
        for source, what, case in cases:
            if source in sources:
                yield argument.show(
                    f"{cycles} cycles are left{what}", goal, "run", "rows", "taken",
                    f"left {source}", when=z3.And(now["left"] == source, case),
                )  # fmt: skip
        others = z3.And(*(now["left"] != source for source in sources))
        yield argument.show(f"{cycles} cycles are left", goal, "run", "rows", when=others)
    size = CHANNELS * parts_.setting.config.width("o")
    codes = z3.Concat(*(own.at(own.codes, now, group) for group in reversed(range(GROUPS))))
    goal = now["m_axis_tdata"] == z3.Extract(size - 1, 0, codes)
    yield argument.show("the output", z3.Implies(now.on("m_axis_tvalid"), goal), "rows", "left 0")


def edges(parts_: Rows, argument: Argument) -> Iterator[Holds]:
    """Reset empties it, an output waits, and codes and values are taken together."""
    now, then, net = parts_.now, parts_.then, parts_.net
    valid = [z3.Not(each) for each in parts_.valid(then)]
    empty = [
        *valid,
        then["rows"] == 0,
        then["left"] == 0,
        then.on("idle"),
        z3.Not(then.on("m_axis_tvalid")),
        then.on("first"),
    ]
    goal = z3.And(*empty, z3.Not(then.on("complete")), z3.Not(parts_.busy(then)))
    yield Holds("after reset nothing is under way", goal, [net["rst_n"] == 0])
    waits = z3.And(now.on("m_axis_tvalid"), z3.Not(now.on("m_axis_tready")))
    same = z3.And(then.on("m_axis_tvalid"), then["m_axis_tdata"] == now["m_axis_tdata"])
    yield argument.show("an output waits", z3.Implies(waits, same), "run", "rows")
    values = both(now, "s_axis_v_tvalid", "s_axis_v_tready")
    codes = both(now, "code_valid", "code_ready")
    goal = z3.And(values == parts_.fire, codes == parts_.fire)
    yield argument.show("codes and values are taken together", goal)
    if parts_.row_max:
        word = z3.Concat(now["g_row_max.weight_sum"], now["m2"], now["n2"])
        goal = z3.And(
            now[f"{_MULTIPLIER}.s_axis_tdata"] == word,
            now[f"{_MULTIPLIER}.s_axis_tvalid"] == now["complete"],
            now["ready"] == now[f"{_MULTIPLIER}.s_axis_tready"],
            z3.Concat(now["m2_row"], now["n2_row"]) == now[f"{_MULTIPLIER}.m_axis_tdata"],
        )
        yield argument.show("a complete row is given to the row multiplier", goal)


def pages(parts_: Rows) -> Iterator[Holds]:
    """What a beat adds by SPEC.md: the terms of its lanes (BL2-ACC-01), or their weights
    (BL2-WEIGHT-01), for every code that a level has; and a tree of exact sums.
    """
    config = parts_.setting.config
    acc = config.width("acc")
    trees = [(f"g_channel[{i}].g_lane[{{}}].of_term.q", acc, i * acc) for i in range(CHANNELS)]
    if parts_.row_max:
        place = CHANNELS * acc
        trees.append(("g_row_max.g_lane[{}].of_value.q", config.width("weight_sum"), place))
    roots = replace_wires(parts_.roots(), parts_.way)
    known = {each.now.get_id(): each.content for each in parts_.way}
    for name, bits, place in trees:
        total, root = z3.BitVecVal(0, bits), z3.Extract(place + bits - 1, place, roots)
        fixed: list[z3.BoolRef] = []
        for lane in range(LANES):
            wire = parts_.net[name.format(lane)]
            free = z3.BitVec(f"term {lane}", wire.size())
            parts_of_it = carried(wire, free)
            pairs = [(known[x.get_id()], own) for x, own in parts_of_it if x.get_id() in known]
            fixed += [own == value for value, own in pairs if z3.is_bv_value(value)]
            cuts = [each for each in pairs if not z3.is_bv_value(each[0])]
            root = z3.substitute(root, *cuts)
            total += z3.ZeroExt(bits - wire.size(), free)
            yield term(parts_, name, lane, place // acc)
        what = name.format("i")
        yield Holds(f"{what}: the sum of a beat", root == total, fixed, {"sum": root})


def term(parts_: Rows, name: str, lane: int, channel: int) -> Holds:
    """Return what a lane adds to a channel, or behind the channels to the weight sum."""
    config, scheme, net = parts_.setting.config, parts_.setting.scheme, parts_.net
    code_, level = z3.BitVec("code", 5), z3.BitVec("level", 5)
    v = z3.BitVec("v", config.v_bits)

    def fields(own: z3.BitVecRef, count: int, place: int) -> list[z3.BitVecRef]:
        each = range(count - 1, -1, -1)
        return [own if i == place else z3.FreshConst(own.sort()) for i in each]

    values = fields(v, LANES * CHANNELS, lane * CHANNELS + channel)
    word = z3.Concat(*fields(code_, LANES, lane), *values)
    found = replace_wires(net[name.format(lane)], parts_.way)
    found = z3.simplify(z3.substitute(found, (parts_.symbol, word)))
    nibble, flag = code(unsigned(level), scheme)
    given_ = [z3.ULE(unsigned(level), scheme.top_level), unsigned(code_) == 2 * nibble + flag]
    x = unsigned(v) - unsigned(net["zv"]) if channel < CHANNELS else integer(1)
    weights = ((unsigned(level) == i, value * x) for i, value in enumerate(scheme.values))
    shown = {"level": level, "v": v, "term": found}
    goal = found == low(choose(weights, integer(0)), found.size())
    return Holds(f"lane {lane}, channel {channel}: the term", goal, given_, shown)


def outputs(parts_: Rows) -> Iterator[Holds]:
    """Each o of a group (BL2-OUT-01, -02), cut at the product."""
    own, config = Requantizers(parts_), parts_.setting.config
    m2, n2, zo = (parts_.now[name] for name in ("used_m2", "n2_row", "zo"))
    m2 = number(m2, config.m2_bits)
    for place in range(REQUANTIZERS):
        o = z3.simplify(part(own.codes, place, config.width("o"), 0, config.width("o")))
        acc = part(own.symbol, place, own.bits, 0, own.bits)
        yield from output_code(parts_.setting, o, acc, m2, n2, zo, f"requantizer {place}: ")


@claim(
    "rtl_attention_row",
    "BL2-ROW-01, BL2-ACC-01 to -03, BL2-WEIGHT-01 and BL2-OUT-01, -02",
    lambda s: (
        f"full width, {LANES} lanes, {CHANNELS} channels, {REQUANTIZERS} requantizers, any number "
        f"of rows of 1 to {s.config.max_tokens} keys, any pauses, back-pressure and reset at any "
        "time; softmax_row left out, cut at the products"
    ),
    NETLIST,
    per_scheme=True,
)
def attention_row(setting: Setting) -> Iterator[Holds]:
    """`attention_row`: from the codes of its rows and the values to the output codes."""
    parts_ = Rows(setting)
    shown = parts_.net.shown("left", "complete", "first", "adding", "m_axis_tvalid")
    argument = Argument("attention_row", shown)
    yield from accumulate(parts_, argument)
    yield from adds(parts_, argument)
    yield from requantize(parts_, argument)
    yield from edges(parts_, argument)
    yield from distinct(pages(parts_))
    yield from distinct(outputs(parts_))
