"""The claim about `row_max`: an invariant over a row, kept by every clock edge.

Beside the module stand numbers that say what the row was so far, made from its inputs alone: how
many keys, their largest t, and the t of any one of them. What refutes such a claim is a state
within the invariant, and an edge that leaves it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import z3

from .claim import NETLIST, WIDTH, Holds, Setting, claim, integer, signed, unsigned
from .rtl_terms import RtlTerms


@dataclass(frozen=True)
class Row:
    """What was given of a row.

    Attributes:
        keys: how many keys.
        largest: the largest t of those that are not masked, or the lowest t.
        t: the t of the key of a free number, once it was given.
        mask: whether that key is masked.
    """

    keys: z3.BitVecRef
    largest: z3.BitVecRef
    t: z3.BitVecRef
    mask: z3.BoolRef


@dataclass(frozen=True)
class State:
    """The module before or after an edge, and the row beside it.

    Attributes:
        index, end: number of the next key, and of the last one.
        row_max: what the output of the maximum shows.
        buffer: the memory's entry of the key of a free number.
        found, giving: the maximum, or distances, are offered.
        row: what was given.
    """

    index: z3.BitVecRef
    end: z3.BitVecRef
    row_max: z3.BitVecRef
    buffer: z3.BitVecRef
    found: z3.BoolRef
    giving: z3.BoolRef
    row: Row

    @property
    def loading(self) -> z3.BoolRef:
        """Whether keys are taken."""
        return z3.Not(z3.Or(self.found, self.giving))


#: The number of any one key.
_ONE = z3.BitVec("number", WIDTH)


def _state(net: RtlTerms, row: Row, *, after: bool = False) -> State:
    wire = net.after if after else net.__getitem__
    memory = net.memory_after("buffer") if after else net.memory("buffer")
    address = z3.Extract(memory.domain().size() - 1, 0, _ONE)
    return State(
        unsigned(wire("index")),
        unsigned(wire("last_index")),
        signed(wire("m_axis_tdata")),
        signed(z3.Select(memory, address)),
        wire("m_axis_tvalid") == 1,
        wire("m_axis_keys_tvalid") == 1,
        row,
    )


def _invariant(state: State, setting: Setting) -> z3.BoolRef:
    """Return what ties the module to the row."""
    row, most = state.row, setting.longest("row_max")
    known = z3.ULT(_ONE, row.keys)
    return z3.And(
        z3.Implies(state.loading, z3.And(state.index == row.keys, z3.ULT(row.keys, most))),
        z3.Implies(z3.Not(state.loading), z3.And(row.keys != 0, state.end + 1 == row.keys)),
        z3.Implies(state.giving, z3.ULE(state.index, state.end)),
        z3.Implies(z3.And(state.found, z3.Not(state.giving)), state.index == 0),
        z3.Implies(row.keys != 0, state.row_max == row.largest),
        z3.Implies(known, state.buffer == row.t),
        z3.Implies(z3.And(known, z3.Not(row.mask)), row.t <= row.largest),
        row.largest >= setting.config.t_min,
        row.largest <= setting.config.t_max,
    )


def _with_key(row: Row, net: RtlTerms, setting: Setting) -> Row:
    """Return the row with the key that the input shows, BL2-MAX-01."""
    t_bits = setting.config.t_bits
    word = net["s_axis_tdata"]
    t, mask = signed(z3.Extract(t_bits - 1, 0, word)), z3.Extract(t_bits, t_bits, word) == 1
    before = z3.If(row.keys == 0, integer(setting.config.t_min), row.largest)
    this = row.keys == _ONE
    return Row(
        row.keys + 1,
        z3.If(z3.And(z3.Not(mask), t > before), t, before),
        z3.If(this, t, row.t),
        z3.If(this, mask, row.mask),
    )


@claim(
    "rtl_row_max",
    "BL2-MAX-01, -03",
    lambda s: f"full width, any number of rows of 1 to {s.config.max_tokens} keys",
    NETLIST,
)
def row_max(setting: Setting) -> Iterator[Holds]:
    """`row_max`: the maximum, and every distance in its place, of rows of up to max_tokens keys."""
    net, most = setting.terms("row_max"), setting.longest("row_max")
    row = Row(z3.BitVec("keys", WIDTH), z3.BitVec("largest", WIDTH), z3.BitVec("its t", WIDTH),
              z3.Bool("it is masked"))  # fmt: skip
    none = Row(integer(0), integer(setting.config.t_min), row.t, row.mask)
    now = _state(net, row)
    running, last = net["rst_n"] == 1, net["s_axis_tlast"] == 1
    taken = z3.And(net["s_axis_tvalid"] == 1, net["s_axis_tready"] == 1)
    shown = {"keys": row.keys, "largest": row.largest, "number": _ONE, "its t": row.t}
    shown |= net.shown("s_axis_tdata", "s_axis_tlast", "index", "last_index", "m_axis_tdata")

    def edge(what: str, goal: z3.BoolRef, *given: z3.BoolRef) -> Holds:
        return Holds(what, goal, [*net.edge(goal), *given], shown)

    begun = _state(net, none, after=True)
    yield edge("after reset", z3.And(begun.loading, _invariant(begun, setting)),
               z3.Not(running))  # fmt: skip
    run = [running, _invariant(now, setting)]
    yield edge("keys are taken exactly while no row is offered",
               (net["s_axis_tready"] == 1) == now.loading, *run)  # fmt: skip
    more = _state(net, _with_key(row, net, setting), after=True)
    offered = z3.If(last, z3.And(more.found, more.giving, more.index == 0), more.loading)
    fits = z3.ULT(row.keys, z3.If(last, integer(most), integer(most - 1)))
    yield edge("a key", z3.And(offered, _invariant(more, setting)), *run, taken, fits)
    yield edge("d of each key", _distances(net, now, setting), *run, now.giving, now.index == _ONE)
    same = _state(net, row, after=True)
    waits = z3.And(_outputs(net, now, same), _invariant(same, setting))
    idle = z3.And(_outputs(net, now, begun), _invariant(begun, setting))
    goal = z3.If(same.loading, z3.If(now.loading, waits, idle), waits)
    yield edge("without a key", goal, *run, z3.Not(taken))


def _distances(net: RtlTerms, now: State, setting: Setting) -> z3.BoolRef:
    """Return that the distance of the key that is offered is BL2-MAX-03's, and its `last`."""
    difference, most = now.row.largest - now.row.t, setting.config.d_max
    d = z3.If(difference > most, integer(most), difference)
    shown = unsigned(net["m_axis_keys_tdata"])
    is_last = net["m_axis_keys_tlast"] == 1
    return z3.And(z3.Or(now.row.mask, shown == d), is_last == (now.row.keys == _ONE + 1))


def _outputs(net: RtlTerms, now: State, then: State) -> z3.BoolRef:
    """Return that both outputs stay until they are taken, and distances come in order."""
    key_taken = z3.And(now.giving, net["m_axis_keys_tready"] == 1)
    ends = z3.And(key_taken, now.index == now.end)
    goes_on = z3.And(key_taken, now.index != now.end)
    return z3.And(
        then.found == z3.And(now.found, net["m_axis_tready"] == 0),
        then.giving == z3.And(now.giving, z3.Not(ends)),
        z3.Implies(then.giving, then.index == now.index + z3.If(goes_on, integer(1), integer(0))),
    )
