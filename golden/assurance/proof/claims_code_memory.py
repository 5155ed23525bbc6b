"""The claim about `code_memory`: an invariant over a row, kept by every clock edge.

What refutes such a claim is a state within the invariant, and an edge that leaves it.
"""

from collections.abc import Iterator

import z3

from .claim import NETLIST, WIDTH, Holds, Setting, claim, integer, unsigned
from .rtl_terms import RtlTerms


@claim(
    "rtl_code_memory",
    "BL2-CODE-03, -04",
    "full width, any number of rows of any number of keys",
    NETLIST,
    per_scheme=True,
)
def code_memory(setting: Setting) -> Iterator[Holds]:
    """`code_memory`: each byte of both planes, for rows of any length."""
    net = setting.terms("code_memory")
    keys, low_nibble = z3.BitVec("keys", WIDTH), z3.BitVec("nibble before", WIDTH)
    flags = z3.BitVec("flags of the byte", WIDTH)
    nibble = unsigned(z3.Extract(4, 1, net["s_axis_tdata"]))
    flag = unsigned(z3.Extract(0, 0, net["s_axis_tdata"]))
    running, last = net["rst_n"] == 1, net["s_axis_tlast"] == 1
    taken = z3.And(net["s_axis_tvalid"] == 1, net["s_axis_tready"] == 1)
    shown = {"keys": keys, **net.shown("s_axis_tdata", "s_axis_tlast", "place")}

    def edge(what: str, goal: z3.BoolRef, *given: z3.BoolRef) -> Holds:
        return Holds(what, goal, [*net.edge(goal), *given], shown)

    zero = integer(0)
    fresh = _invariant(net, zero, zero, zero, after=True)
    empty = net.after("m_axis_memory_tvalid") == 0
    yield edge("after reset", z3.And(empty, fresh), z3.Not(running))
    run = [running, _invariant(net, keys, low_nibble, flags, after=False)]
    with_flag = flags | (flag << (keys & 7))
    ended = (keys & 7) == 7
    begun = z3.If(z3.Or(last, ended), zero, with_flag)
    kept = _invariant(net, z3.If(last, zero, keys + 1), nibble, begun, after=True)
    word = _word(setting, keys, low_nibble, nibble, with_flag, last)
    beat = z3.And(
        net.after("m_axis_memory_tvalid") == 1,
        unsigned(net.after("m_axis_memory_tdata")) == word,
        net.after("m_axis_memory_tlast") == net["s_axis_tlast"],
    )
    yield edge("a key", z3.And(beat, kept), *run, taken)
    waiting = z3.And(net["m_axis_memory_tvalid"] == 1, net["m_axis_memory_tready"] == 0)
    stays = z3.And(
        (net.after("m_axis_memory_tvalid") == 1) == waiting,
        z3.Implies(waiting, _same(net, "m_axis_memory_tdata", "m_axis_memory_tlast")),
        _invariant(net, keys, low_nibble, flags, after=True),
    )
    yield edge("without a key", stays, *run, z3.Not(taken))
    ready = z3.Implies(net["m_axis_memory_tvalid"] == 0, net["s_axis_tready"] == 1)
    held = z3.Implies(waiting, net["s_axis_tready"] == 0)
    yield edge("a beat waits until it is taken, and no longer", z3.And(ready, held), *run)


def _invariant(
    net: RtlTerms,
    keys: z3.BitVecRef,
    nibble: z3.BitVecRef,
    flags: z3.BitVecRef,
    *,
    after: bool,
) -> z3.BoolRef:
    """Return that the module holds the last nibble and the flags of the byte that is begun."""
    wire = net.after if after else net.__getitem__
    odd = keys & 1 == 1
    return z3.And(
        unsigned(wire("place")) == keys & 7,
        z3.Implies(odd, unsigned(wire("low_nibble")) == nibble),
        unsigned(wire("low_flags")) == flags if "low_flags" in net else True,
        z3.LShR(flags, keys & 7) == 0,
    )


def _word(
    setting: Setting,
    keys: z3.BitVecRef,
    before: z3.BitVecRef,
    nibble: z3.BitVecRef,
    flags: z3.BitVecRef,
    last: z3.BoolRef,
) -> z3.BitVecRef:
    """Return the beat of key number `keys` by BL2-CODE-03, -04, as FORMAT.md packs it."""
    odd = keys & 1 == 1
    whole = z3.Or(last, odd)
    byte = z3.If(odd, (nibble << 4) | before, nibble)
    nibbles = z3.If(whole, (integer(1) << 8) | byte, integer(0))
    flagged = z3.And(setting.scheme.zero_flag, z3.Or(last, keys & 7 == 7))
    return (nibbles << 9) | z3.If(flagged, (integer(1) << 8) | flags, integer(0))


def _same(net: RtlTerms, *names: str) -> z3.BoolRef:
    return z3.And(*(net.after(name) == net[name] for name in names))
