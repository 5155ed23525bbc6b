"""The beats that are under way in a `softmax_row`, and that they keep their order.

They stand in a chain: from the way out over the two banks of the buffer to the way in. Each place
of the chain has a position (row, beat), which follows from the position at its end that is taken
next. That a clock edge moves every position by what entered and what was taken says that each beat
comes out once and in order.

Row numbers are modulo 32: fewer rows are under way, so what a number stands for is free again when
its row has left.
"""

from collections.abc import Iterator

import z3

from .argument import Argument, Position, View
from .claim import Holds
from .rtl_terms import RtlTerms

#: Bits of a row's number.
ROW = 5
IDLE, SUM, GAP, CODE = range(4)


class Chain:
    """A `softmax_row` before and after a clock edge, with the positions of its places.

    Attributes:
        net: the module.
        now, then: its wires before and after the edge.
        out, into: last places of the way out and of the way in.
        tree: levels of its trees.
        places: positions before and after the edge, by way and place: -1 is in front of place 0.
        length: last beat of each row.
    """

    def __init__(self, net: RtlTerms) -> None:
        self.net = net
        self.moving = z3.Bool("the way out moves")
        advance = net.variable("advance")
        self.advance = self.moving == advance
        self.cuts = [(advance, self.moving)]
        self.runs = [(net.variable("m_axis_tready"), z3.BoolVal(True))]
        self.now, self.then = View(net, self.cuts), View(net, self.cuts, after=True)
        self.out, self.into = (net[name].size() - 1 for name in ("coding", "loading"))
        self.tree = self.into - 5
        self.adding = net["g_quotient.summing"].size() - 1 if "g_quotient.summing" in net else -2
        beat = net["write_index"].sort()
        like = Position(z3.BitVec("row", ROW), z3.Const("beat", beat))
        ways = {"out": self.out, "in": self.into, "sum": self.adding}
        self.places = {
            view: {
                (way, place): Position.free(f"{way} {place}{mark}", like)
                for way, last in ways.items()
                for place in range(-1, last + 1)
            }
            for view, mark in ((self.now, ""), (self.then, "'"))
        }
        self.length = z3.Function("length", z3.BitVecSort(ROW), beat)
        self.accepted = both(self.now, "s_axis_score_tvalid", "s_axis_score_tready")
        self.taken = both(self.now, "m_axis_tvalid", "m_axis_tready")
        self.ends = self.now.on("s_axis_score_tlast")

    def valid(self, view: View, way: str) -> list[z3.BoolRef]:
        """Return which places of a way hold a beat."""
        return view.bits({"out": "coding", "in": "loading", "sum": "g_quotient.summing"}[way])

    def lasts(self, view: View, way: str) -> list[z3.BoolRef]:
        """Return which places of a way hold the last beat of a row, where they hold one."""
        if way == "in":
            return view.bits("lasts")
        words = [f"row_beside_word.g_line.g_stage[{i}].held" for i in range(2)]
        words += [f"row_beside_code.g_line.g_stage[{i}].held" for i in range(self.out - 1)]
        return [view.top(name) for name in words]

    def is_last(self, at: Position) -> z3.BoolRef:
        """Whether the beat of a position is the last of its row."""
        return at.beat == self.length(at.row)


def both(view: View, *names: str) -> z3.BoolRef:
    """Whether all of these wires are 1."""
    return z3.And(*(view.on(name) for name in names))


def number(x: z3.BitVecRef | z3.BoolRef, bits: int) -> z3.BitVecRef:
    """Return a truth value or a narrow register as a number of some bits."""
    if z3.is_bool(x):
        return z3.If(x, z3.BitVecVal(1, bits), z3.BitVecVal(0, bits))
    return z3.ZeroExt(bits - x.size(), x)


def registers(chain: Chain, view: View) -> list[z3.BoolRef]:
    """Return the invariant of the control registers that needs no positions."""
    state, waiting = view["state"], view.on("waiting")
    busy, loading, count = state != IDLE, view["loading"], number(view["count"], 16)
    rows = number(view["rows"], 4)
    counted = sum(
        (number(each, 4) for each in [*view.bits("lasts"), waiting, busy]), z3.BitVecVal(0, 4)
    )
    youngest = loading & -loading
    facts = [
        view["lasts"] & ~loading == 0,
        z3.And(z3.ULE(rows, 2), rows == counted),
        view.on("write_bank") == z3.Xor(z3.Xor(view.on("read_bank"), waiting), busy),
        z3.Implies(
            rows == 2,
            z3.And(youngest & ~view["lasts"] == 0, z3.Or(loading != 0, view["write_index"] == 0)),
        ),
        z3.Implies(
            z3.Or(state == SUM, state == CODE), z3.ULE(count, number(view["read_last"], 16))
        ),
        z3.Implies(state == GAP, z3.ULE(count, chain.tree + 1)),
        z3.Implies(state == IDLE, count == 0),
    ]
    if chain.adding < 0:
        facts.append(z3.Or(state == IDLE, state == CODE))
    return facts


def link(chain: Chain, view: View, way: str, place: int) -> z3.BoolRef:
    """Return how a position follows from that of the next place."""
    at = chain.places[view]
    if (way, place) == ("in", chain.into):
        reading = number(view.on("waiting"), ROW) + number(view["state"] != IDLE, ROW)
        return at[way, place].same(Position(at["out", -1].row + reading, view["write_index"]))
    passed = chain.valid(view, way)[place + 1], chain.lasts(view, way)[place + 1]
    return at[way, place].same(at[way, place + 1].then(*passed))


def placed(chain: Chain, view: View, way: str, place: int) -> z3.BoolRef:
    """Return that a place knows whether its beat is the last of a row."""
    at = chain.places[view][way, place]
    known = chain.lasts(view, way)[place] == chain.is_last(at)
    within = z3.BoolVal(True) if way == "in" else z3.ULE(at.beat, chain.length(at.row))
    return z3.Implies(chain.valid(view, way)[place], z3.And(known, within))


def passes(chain: Chain, view: View) -> dict[str, z3.BoolRef]:
    """Return where the passes over the buffer are, and how long their rows."""
    at, state, beat = chain.places[view], view["state"], chain.length.range()
    done, count = at["out", -1], z3.Extract(beat.size() - 1, 0, view["count"])
    facts = {
        "head": done.beat == z3.If(state == CODE, count, z3.BitVecVal(0, beat)),
        "waiting": z3.Implies(
            view.on("waiting"),
            view["last_index"] == chain.length(at["in", chain.into].row - 1),
        ),
        "reading": z3.Implies(state != IDLE, view["read_last"] == chain.length(done.row)),
    }
    if chain.adding >= 0:
        row = done.row + number(z3.UGE(state, GAP), ROW)
        first = z3.If(state == SUM, count, z3.BitVecVal(0, beat))
        facts["sum head"] = at["sum", -1].same(Position(row, first))
    return facts


def given(chain: Chain, argument: Argument) -> None:
    """Add the definitions of the positions, the invariant before the edge, and the inputs."""
    now = chain.places[chain.now]
    for view, mark in ((chain.now, ""), (chain.then, "'")):
        for way, place in now:
            if (way, place) not in (("out", chain.out), ("sum", chain.adding)):
                argument.let(f"link{mark} {way} {place}", link(chain, view, way, place))
    for way, place in now:
        if place >= 0:
            argument.let(f"last {way} {place}", placed(chain, chain.now, way, place))
    for name, fact in passes(chain, chain.now).items():
        argument.let(name, fact)
    argument.let("registers", *registers(chain, chain.now))
    argument.let("run", chain.net["rst_n"] == 1)
    end = now["in", -1]
    argument.let("rows", z3.Implies(chain.accepted, chain.ends == chain.is_last(end)))
    out, ends = chain.places[chain.then]["out", chain.out], chain.now.on("m_axis_tlast")
    behind = now["out", chain.out].then(chain.taken, ends)
    argument.let("taken", chain.advance, out.same(behind))
    if chain.adding >= 0:
        tail = chain.places[chain.then]["sum", chain.adding]
        added = z3.And(chain.moving, chain.valid(chain.now, "sum")[-1])
        last = chain.lasts(chain.now, "sum")[chain.adding]
        argument.let("added", tail.same(now["sum", chain.adding].then(added, last)))


def moves_out(chain: Chain, argument: Argument, way: str, end: str) -> Iterator[Holds]:
    """Every position of the way out moves to the next place when the way out moves."""
    now, then = chain.places[chain.now], chain.places[chain.then]
    last = max(place for each, place in now if each == way)
    for place in range(last, -1, -1):
        behind = now[way, place - 1].where(chain.moving, now[way, place])
        using = [f"link {way} {place - 1}"]
        using += (
            [end]
            if place == last
            else [f"moved {way} {place + 1}", f"link {way} {place}", f"link' {way} {place}"]
        )
        goal = then[way, place].same(behind)
        yield argument.show(f"moved {way} {place}", goal, "run", *using)
    issue = z3.And(chain.moving, chain.now["state"] == (CODE if way == "out" else SUM))
    goal = then[way, -1].same(now[way, -1].then(issue, chain.now.on("at_end")))
    yield argument.show(
        f"moved {way} -1", goal, "run", f"moved {way} 0", f"link {way} -1", f"link' {way} -1"
    )


def moves_in(chain: Chain, argument: Argument) -> Iterator[Holds]:
    """Every position of the way in moves to the next place, and what is accepted enters."""
    now, then, last = chain.places[chain.now], chain.places[chain.then], chain.into
    for place in range(last, -1, -1):
        using = [f"link in {place}", f"link in {place - 1}", f"link' in {place}"]
        using += ["registers", "moved out -1"] if place == last else [f"moved in {place + 1}"]
        goal = then["in", place].same(now["in", place - 1])
        yield argument.show(f"moved in {place}", goal, "run", *using)
    goal = then["in", -1].same(now["in", -1].then(chain.accepted, chain.ends))
    yield argument.show("moved in -1", goal, "run", "moved in 0", "link in -1", "link' in -1")


def known_lasts(
    chain: Chain, argument: Argument, way: str, last: int, first: list[str]
) -> Iterator[Holds]:
    """Every place of a way knows whether its beat is the last; the first one from `first`."""
    for place in range(last + 1):
        before = [f"last {way} {place - 1}"] if place else first
        goal = placed(chain, chain.then, way, place)
        using = ["run", f"moved {way} {place}", f"last {way} {place}", *before]
        yield argument.show(f"last' {way} {place}", goal, *using)


def control(chain: Chain, argument: Argument) -> Iterator[Holds]:
    """Beats come out once and in order, each with its own tlast."""
    given(chain, argument)
    view, into = chain.then, chain.into
    yield argument.show("registers'", z3.And(*registers(chain, view)), "run", "registers")
    yield from moves_out(chain, argument, "out", "taken")
    yield from moves_in(chain, argument)
    known = ["run", "registers", "reading"]
    for way, last, first in (("in", into, ["rows"]), ("out", chain.out, ["head", *known])):
        yield from known_lasts(chain, argument, way, last, first)
    facts = passes(chain, view)
    at = [f"link in {into}", "head", "moved out -1", "waiting", f"last in {into}"]
    at += [f"link in {into - 1}", f"moved in {into}"]
    if chain.adding >= 0:
        yield from moves_out(chain, argument, "sum", "added")
        at += ["moved sum -1", "sum head"]
        yield from known_lasts(chain, argument, "sum", chain.adding, ["sum head", *known])
    for name, fact in facts.items():
        yield argument.show(f"{name}'", fact, *known, *at)


def reset(chain: Chain, argument: Argument) -> Iterator[Holds]:
    """A cycle of reset, whatever was before, leaves an empty chain within the invariant."""
    view, at = chain.then, chain.places[chain.then]
    begin = z3.BitVecVal(0, chain.length.range())
    ways = [("out", chain.out)] + ([("sum", chain.adding)] if chain.adding >= 0 else [])
    row = at["out", chain.out].row
    argument.let("reset", chain.net["rst_n"] == 0)
    argument.let("reset", *(at[end].same(Position(row, begin)) for end in ways))
    links = [f"link' {way} {place}" for way, place in at if (way, place) not in ways]
    empty = [z3.Not(each) for way, _ in [*ways, ("in", 0)] for each in chain.valid(view, way)]
    first = at["in", -1].same(Position(row, begin))
    kept = [*registers(chain, view), *passes(chain, view).values()]
    goal = z3.And(*empty, first, *kept, view["state"] == IDLE, view["write_index"] == 0)
    yield argument.show("after reset", goal, "reset", *links)


def waits(chain: Chain, argument: Argument) -> Iterator[Holds]:
    """An output waits until it is taken; without back-pressure every cycle is one less."""
    view, now = chain.then, chain.now
    names = ["m_axis_tdata", "m_axis_tkeep", "m_axis_tlast", "row_max", "row_sum"]
    same = [view[name] == now[name] for name in ("m_axis_tvalid", *names)]
    waiting = z3.And(now.on("m_axis_tvalid"), z3.Not(now.on("m_axis_tready")))
    argument.let("advance", chain.advance)
    yield argument.show("an output waits", z3.Implies(waiting, z3.And(*same)), "run", "advance")
    goal = z3.Implies(now.on("m_axis_tready"), chain.moving)
    yield argument.show("the way out moves when it is taken", goal, "advance")
    ends = z3.Implies(now["state"] == IDLE, z3.Implies(now.on("waiting"), view["state"] != IDLE))
    yield argument.show("a row that waits is taken", ends, "run")
    fewer = left(chain, view) == left(chain, now) - 1
    goal = z3.Implies(z3.And(chain.moving, now["state"] != IDLE), fewer)
    yield argument.show("a cycle of the passes", goal, "run", "registers")
    room = now.on("s_axis_score_tready") == z3.ULT(now["rows"], 2)
    yield argument.show("rows are let in while there is room", room, "registers")


def left(chain: Chain, view: View) -> z3.BitVecRef:
    """Return how many cycles the passes of the row that is read still take: 2 B + T + 2 at most."""
    state, count, end = view["state"], number(view["count"], 16), number(view["read_last"], 16)
    gap = chain.tree + 2
    behind = z3.If(state == GAP, end + 1, end + 1 + gap)
    own = z3.If(state == GAP, gap - count, end + 1 - count)
    rest = z3.If(state == CODE, z3.BitVecVal(0, 16), behind)
    return z3.If(state == IDLE, z3.BitVecVal(0, 16), own + rest)
