"""What a `softmax_row` holds of the beats that are under way.

What a place of the chain holds is a function of the beat of its position: of its word, and of its
row's length, maximum and sum, which are uninterpreted functions here. What passes through registers
is found from the module: each has its content over the symbols of what entered.
"""

from collections.abc import Iterator, Sequence

import z3

from .argument import Argument, Position, Staged, View, carried, pipeline, variables
from .claim import Holds
from .row_chain import CODE, GAP, IDLE, ROW, SUM, Chain, number


class Contents:
    """What the places of a chain hold, as functions of the beats of their positions.

    Attributes:
        chain: the chain.
        word, keys: a beat as it came, with its tkeep; and {kept, masked, t} of each of its lanes.
        largest, total: maximum and sum of a row up to a beat.
        symbols: those of any one beat, the maximum and sum of its row, and whether it is the last.
        way_in, tree, way_out: registers of the pipelines.
    """

    def __init__(self, chain: Chain) -> None:
        net = self.net = chain.net
        self.chain = chain
        at = z3.BitVecSort(ROW), chain.length.range()
        word = z3.Concat(net["s_axis_score_tkeep"], net["s_axis_score_tdata"])
        wires = {"word": word, "keys": net["loaded"], "largest": net["largest"]}
        if chain.adding >= 0:
            wires["total"] = net["g_quotient.sum"]
            self.total = z3.Function("total", *at, wires["total"].sort())
        self.word = z3.Function("word", *at, word.sort())
        self.keys = z3.Function("keys", *at, wires["keys"].sort())
        self.largest = z3.Function("largest", *at, wires["largest"].sort())
        wires["last"] = z3.BitVec("last", 1)
        self.symbols = {name: z3.Const(f"its {name}", each.sort()) for name, each in wires.items()}
        self.parameters = [net.variable(name) for name in ("m", "n")]
        self.way_in = pipeline(
            net,
            [(*each, 0) for each in carried(word, self.symbols["word"])],
            self.parameters,
            [],
            6,
        )
        loaded = [(*each, 0) for each in carried(net["loaded"], self.symbols["keys"])]
        self.tree = pipeline(net, loaded, [], [], chain.tree)
        self.entered = self._entered()
        self.way_out = pipeline(net, self.entered, [], chain.runs, chain.out)

    def _entered(self) -> list[tuple[z3.ExprRef, z3.ExprRef, int]]:
        """Return what enters the way out: a word of the buffer, and its row's numbers."""
        net, symbols = self.net, self.symbols
        of_row = z3.Concat(symbols["last"], symbols["largest"])
        found = [(*each, 0) for each in carried(net["read"], symbols["keys"])]
        first = net["row_beside_word.g_line.g_stage[0].held"]
        found += [(*each, 0) for each in carried(first, of_row)]
        if self.chain.adding >= 0:
            found += [(*each, 3) for each in carried(net["g_quotient.sum"], symbols["total"])]
            found += [(*each, 3) for each in carried(net["g_quotient.lod_s"], self.lod()[1])]
        return found

    def lod(self) -> tuple[z3.BitVecRef, z3.BitVecRef]:
        """Return what the two registers of the sum's leading-one detector hold of a sum."""
        net, total = self.net, carried(self.net["g_quotient.sum"], self.symbols["total"])
        found = pipeline(net, [(*each, 0) for each in total], [], self.chain.runs, 2)
        return self.of(net["g_quotient.of_sum.in_the_middle.q"], found), self.of(
            net["g_quotient.lod_s"], found
        )

    def of(self, wire: z3.BitVecRef, registers: Sequence[Staged]) -> z3.BitVecRef:
        """Return the content of a wire, over the symbols."""
        return z3.substitute(wire, *((each.now, each.content) for each in registers))

    def all_out(self) -> list[Staged]:
        """Return the registers of the way out with those that the sum and its words enter."""
        return [
            Staged(now, now, stage, content) for now, content, stage in self.entered
        ] + self.way_out

    def cut(self, content: z3.BitVecRef, wire: str, name: str) -> tuple[z3.BitVecRef, z3.BitVecRef]:
        """Return a content with a free variable in the place of a wire's, and the variable."""
        free = z3.BitVec(name, self.net[wire].size())
        own = {each.now.get_id(): each.content for each in self.all_out()}
        known = [
            (own[each.get_id()], value)
            for each, value in carried(self.net[wire], free)
            if each.get_id() in own and not z3.is_bv_value(own[each.get_id()])
        ]
        return z3.substitute(content, *known), free

    def beat_max(self) -> z3.BitVecRef:
        """Return the content of the root of the tree of maxima, over the keys."""
        loaded = carried(self.net["loaded"], self.symbols["keys"])
        return z3.substitute(self.of(self.net["beat_max"], self.tree), *loaded)

    def beat_sum(self) -> z3.BitVecRef:
        """Return the content of the root of the tree of sums, over keys and row maximum."""
        root = self.of(self.net["g_quotient.sums"], self.way_out)
        return z3.Extract(self.net["g_quotient.sum"].size() - 1, 0, root)

    def at(self, content: z3.ExprRef, position: Position, *, after: bool = False) -> z3.ExprRef:
        """Return a content for the beat of a position."""
        row, beat = position.row, position.beat
        end, symbols = self.chain.length(row), self.symbols
        pairs = [
            (symbols["word"], self.word(row, beat)),
            (symbols["keys"], self.keys(row, beat)),
            (symbols["largest"], self.largest(row, end)),
            (symbols["last"], number(beat == end, 1)),
        ]
        if "total" in symbols:
            pairs.append((symbols["total"], self.total(row, end)))
        if after:
            pairs += [(each, self.net.next_input(each)) for each in self.parameters]
        return z3.substitute(content, *pairs)

    def hold(self, view: View, way: str, place: int, registers: Sequence[Staged]) -> z3.BoolRef:
        """Return that registers hold the contents of a place of the way, if a beat is there."""
        position = self.chain.places[view][way, place]
        cut = self.chain.cuts
        same = [
            (z3.substitute(each.after, *cut) if view.after else each.now)
            == self.at(each.content, position, after=view.after)
            for each in registers
        ]
        return z3.Implies(self.chain.valid(view, way)[place], z3.And(*same))

    def beside(self, way: str, place: int) -> list[Staged]:
        """Return the registers beside a place of a way."""
        if way == "in":
            return [each for each in self.way_in if each.stage == place + 1] + [
                each for each in self.tree if each.stage == place - 5 > 0
            ]
        own = [each for each in self.way_out if each.stage == place]
        if place == 0:
            edges = {now.get_id(): after for now, after in self.net.edges()}
            own = [
                Staged(now, edges[now.get_id()], 0, content)
                for now, content, stage in self.entered
                if stage == 0
            ]
        if way == "sum":
            total = self.symbols["total"].get_id()
            own = [e for e in own if total not in {v.get_id() for v in variables(e.content)}]
        return own


def stored(contents: Contents, view: View, bank: z3.BoolRef, beat: z3.BitVecRef) -> z3.BoolRef:
    """Return that an entry of the buffer holds its beat, if it belongs to a row that is in."""
    chain, at = contents.chain, contents.chain.places[view]
    loading, done = at["in", chain.into], at["out", -1]
    entry = z3.Select(view.memory("buffer"), z3.Concat(number(bank, 1), beat))
    writing = bank == view.on("write_bank")
    return z3.And(
        z3.Implies(
            z3.And(writing, z3.ULT(beat, view["write_index"])),
            entry == contents.keys(loading.row, beat),
        ),
        z3.Implies(
            z3.And(view.on("waiting"), z3.Not(writing), z3.ULE(beat, view["last_index"])),
            entry == contents.keys(loading.row - 1, beat),
        ),
        z3.Implies(
            z3.And(
                view["state"] != IDLE,
                bank == view.on("read_bank"),
                z3.ULE(beat, view["read_last"]),
            ),
            entry == contents.keys(done.row, beat),
        ),
    )


def maxima(contents: Contents, view: View) -> z3.BoolRef:
    """Return that the registers of maxima are those of their rows."""
    chain, at = contents.chain, contents.chain.places[view]
    loading, done = at["in", chain.into], at["out", -1]

    def of_row(row: z3.BitVecRef) -> z3.BitVecRef:
        return contents.largest(row, chain.length(row))

    before = contents.largest(loading.row, loading.beat - 1)
    return z3.And(
        z3.Implies(loading.beat != 0, view["largest"] == before),
        z3.Implies(view.on("waiting"), view["largest"] == of_row(loading.row - 1)),
        z3.Implies(view["state"] != IDLE, view["read_max"] == of_row(done.row)),
    )


def data_in(contents: Contents, argument: Argument) -> Iterator[Holds]:
    """What is on the way in, in the buffer, and the maximum."""
    chain, net = contents.chain, contents.net
    now, last = chain.places[chain.now], chain.into
    held = [net.next_input(each) == each for each in contents.parameters]
    argument.let("held", z3.Implies(chain.now["loading"] != 0, z3.And(*held)))
    word = z3.Concat(net["s_axis_score_tkeep"], net["s_axis_score_tdata"])
    entry = now["in", -1]
    argument.let(
        "entered", z3.Implies(chain.accepted, word == contents.word(entry.row, entry.beat))
    )
    at = now["in", 5]
    loaded = contents.at(contents.of(net["loaded"], contents.way_in), at)
    keys = loaded == contents.keys(at.row, at.beat)
    argument.let("keys", z3.Implies(chain.valid(chain.now, "in")[5], keys))
    for place in range(last + 1):
        argument.let(
            f"in {place}", contents.hold(chain.now, "in", place, contents.beside("in", place))
        )
    for place in range(last + 1):
        before = [f"in {place - 1}"] if place else ["entered"]
        before += ["keys"] if place == 6 else []
        goal = contents.hold(chain.then, "in", place, contents.beside("in", place))
        yield argument.show(f"in' {place}", goal, "run", f"moved in {place}", "held", *before)
    yield from buffered(contents, argument)


def buffered(contents: Contents, argument: Argument) -> Iterator[Holds]:
    """The buffer and the maxima."""
    chain, last = contents.chain, contents.chain.into
    at = chain.places[chain.now]["in", last]
    keys = contents.keys(at.row, at.beat)
    most = z3.substitute(contents.beat_max(), (contents.symbols["keys"], keys))
    known = contents.largest(at.row, at.beat) == z3.If(
        z3.And(at.beat != 0, contents.largest(at.row, at.beat - 1) > most),
        contents.largest(at.row, at.beat - 1), most,
    )  # fmt: skip
    written = z3.And(chain.now["written"] == keys, chain.now["beat_max"] == most)
    valid = chain.valid(chain.now, "in")[last]
    yield argument.show(
        "written", z3.Implies(valid, written), f"in {last}", *(["keys"] if last == 5 else [])
    )
    argument.let("largest", z3.Implies(valid, known))
    bank, beat = z3.Bool("bank"), z3.Const("an entry", chain.length.range())
    argument.let("stored", stored(contents, chain.now, bank, beat))
    argument.let("maxima", maxima(contents, chain.now))
    known_ = ["run", "registers", f"link in {last}", f"moved in {last}", f"link in {last - 1}",
              "moved out -1", f"last in {last}", "waiting", "reading", "head", "written",
              f"link' in {last}"]  # fmt: skip
    yield argument.show("stored'", stored(contents, chain.then, bank, beat), *known_, "stored")
    yield argument.show("maxima'", maxima(contents, chain.then), *known_, "maxima", "largest")
    argument.let(
        "read", stored(contents, chain.now, chain.now.on("read_bank"),
                       z3.Extract(beat.size() - 1, 0, chain.now["count"])),
    )  # fmt: skip


def data_out(contents: Contents, argument: Argument) -> Iterator[Holds]:
    """What is on the way out, and the sum."""
    chain = contents.chain
    ways = [("out", chain.out)] + ([("sum", chain.adding)] if chain.adding >= 0 else [])
    for way, last in ways:
        for place in range(last + 1):
            goal = contents.hold(chain.now, way, place, contents.beside(way, place))
            argument.let(f"{way} {place}", goal)
    if chain.adding >= 0:
        yield from data_sum(contents, argument)
    for way, last in ways:
        for place in range(last + 1):
            first = ["read", "registers", "maxima", "reading", "head"]
            first += ["sum head"] if way == "sum" else []
            before = [f"{way} {place - 1}"] if place else first
            before += ["summed"] if place == 4 and way == "out" else []
            goal = contents.hold(chain.then, way, place, contents.beside(way, place))
            using = ["run", f"moved {way} {place}"]
            yield argument.show(f"{way}' {place} moves", goal, *using, *before, when=chain.moving)
            yield argument.show(f"{way}' {place} stands", goal, *using, f"{way} {place}",
                                when=z3.Not(chain.moving))  # fmt: skip


def apart(chain: Chain, view: View) -> list[z3.BoolRef]:
    """Return that what is added up has left the way to the sum before codes are made of it."""
    summing, coding = chain.valid(view, "sum"), chain.valid(view, "out")
    state, count, last = view["state"], view["count"], chain.adding

    def none(until: int, since: int = 0) -> z3.BoolRef:
        return z3.And(*(z3.Not(each) for each in summing[since:until]))

    begun = z3.And(state == SUM, count != 0)
    facts = [
        z3.Implies(z3.Or(state == IDLE, z3.And(state == SUM, count == 0)), none(last)),
        z3.Implies(state == CODE, none(last - 1)),
        z3.Implies(z3.And(state == CODE, count != 0), none(last)),
        z3.Implies(z3.And(state == CODE, z3.UGE(count, 2)), none(last + 1)),
        z3.Implies(
            z3.Or(begun, state == GAP, z3.And(state == CODE, count == 0)), z3.Not(coding[0])
        ),
        z3.Implies(coding[0], none(last)),
    ]
    facts += [
        z3.Implies(z3.And(state == GAP, z3.UGT(count, place)), z3.Not(summing[place]))
        for place in range(chain.tree + 1)
    ]
    return facts + [z3.Implies(coding[place], none(last + 1, place)) for place in (1, 2, 3)]


def summed(chain: Chain, view: View, place: int) -> z3.BoolRef:
    """Return that the whole row of a place was added up, and nothing of the next."""
    at = chain.places[view]
    first = z3.BitVecVal(0, chain.length.range())
    behind = Position(at["out", place].row + 1, first)
    return z3.Implies(chain.valid(view, "out")[place], at["sum", chain.adding].same(behind))


def total(contents: Contents, view: View) -> z3.BoolRef:
    """Return that the sum is that of the row so far, or of the whole row before."""
    chain, at = contents.chain, contents.chain.places[view]["sum", contents.chain.adding]
    before = contents.total(at.row - 1, chain.length(at.row - 1))
    so_far = z3.If(at.beat == 0, before, contents.total(at.row, at.beat - 1))
    return view["g_quotient.sum"] == so_far


def firsts(chain: Chain, view: View, place: int) -> z3.BoolRef:
    """Return that a place on the way to the sum knows whether its beat is the first of a row."""
    first = view.bits("g_quotient.firsts")[place]
    at = chain.places[view]["sum", place]
    return z3.Implies(chain.valid(view, "sum")[place], first == (at.beat == 0))


def leading(contents: Contents, view: View, place: int) -> z3.BoolRef:
    """Return that the leading-one detector's registers are those of the sum of a place's row."""
    chain, at = contents.chain, contents.chain.places[view]["out", place]
    middle, lod = (contents.at(each, at) for each in contents.lod())
    same = [view["g_quotient.of_sum.in_the_middle.q"] == middle]
    same += [view["g_quotient.lod_s"] == lod] if place == 3 else []
    return z3.Implies(chain.valid(view, "out")[place], z3.And(*same))


def data_sum(contents: Contents, argument: Argument) -> Iterator[Holds]:
    """The sum is that of a whole row while codes are made of it."""
    chain = contents.chain
    last, now, then = chain.adding, chain.now, chain.then
    argument.let("apart", *apart(chain, now))
    yield argument.show("apart'", z3.And(*apart(chain, then)), "run", "registers", "apart")
    links = [f"link sum {place}" for place in range(-1, last)]
    for place in (1, 2, 3):
        argument.let(f"summed {place}", summed(chain, now, place))
    for place in (1, 2, 3):
        before = [f"summed {place - 1}"] if place > 1 else [
            *links, "sum head", "head", "link out -1", "last out 0", "registers"]  # fmt: skip
        before += ["run", "apart", f"moved sum {last}", f"link sum {last - 1}",
                   f"moved out {place}", f"summed {place}"]  # fmt: skip
        yield argument.show(f"summed' {place}", summed(chain, then, place), *before)
    for place in range(last + 1):
        argument.let(f"first {place}", firsts(chain, now, place))
    for place in range(last + 1):
        before = [f"first {place - 1}"] if place else ["sum head", "registers"]
        yield argument.show(f"first' {place}", firsts(chain, then, place), "run", *before,
                            f"first {place}", f"moved sum {place}")  # fmt: skip
    yield from adds_up(contents, argument)


def adds_up(contents: Contents, argument: Argument) -> Iterator[Holds]:
    """The sum and its leading one."""
    chain = contents.chain
    last, now, then = chain.adding, chain.now, chain.then
    at, valid = chain.places[now]["sum", last], chain.valid(now, "sum")[last]
    added = contents.at(contents.beat_sum(), at)
    before = z3.If(at.beat == 0, z3.BitVecVal(0, added.size()), contents.total(at.row, at.beat - 1))
    argument.let("total of", z3.Implies(valid, contents.total(at.row, at.beat) == before + added))
    root = z3.Extract(added.size() - 1, 0, now["g_quotient.sums"])
    yield argument.show("added up", z3.Implies(valid, root == added), f"sum {last}")
    argument.let("total", total(contents, now))
    yield argument.show("total'", total(contents, then), "run", "total", "total of", "added up",
                        f"first {last}", f"last sum {last}", f"moved sum {last}",
                        f"link sum {last - 1}")  # fmt: skip
    for place in (2, 3):
        argument.let(f"leading {place}", leading(contents, now, place))
    for place in (2, 3):
        yield argument.show(f"leading' {place}", leading(contents, then, place), "run", "total",
                            f"summed {place - 1}", f"moved out {place}", f"leading {place}",
                            *([f"leading {place - 1}"] if place > 2 else []))  # fmt: skip
    here = chain.places[now]["out", 3]
    whole = contents.total(here.row, chain.length(here.row))
    same = z3.And(
        now["g_quotient.sum"] == whole,
        now["g_quotient.lod_s"] == contents.at(contents.lod()[1], here),
    )
    yield argument.show("summed", z3.Implies(chain.valid(now, "out")[3], same),
                        "summed 3", "total", "leading 3")  # fmt: skip


def data_reset(contents: Contents, argument: Argument) -> Iterator[Holds]:
    """After reset nothing is held: what is in the registers does not matter.

    The sum then stands for that of a row before the first, which never comes: it is 0.
    """
    chain, view = contents.chain, contents.chain.then
    at = chain.places[view]
    bank, beat = z3.Bool("bank"), z3.Const("an entry", chain.length.range())
    facts = [stored(contents, view, bank, beat), maxima(contents, view)]
    if chain.adding >= 0:
        before = at["sum", chain.adding].row - 1
        argument.let("reset", contents.total(before, chain.length(before)) == 0)
        facts += [*apart(chain, view), total(contents, view)]
    links = [f"link' in {chain.into}", f"link' out {chain.out - 1}"]
    links += [f"link' {way} {place}" for way, place in at if way == "out" and place < chain.out - 1]
    yield argument.show("data after reset", z3.And(*facts), "reset", *links)
