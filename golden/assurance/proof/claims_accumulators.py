"""Claims that the accumulating streams of the RTL give the exact sum of each row, by induction.

A row's sum and its number of beats are kept beside the module as numbers that cannot overflow. The
invariant ties the module to them; it holds after reset, and every clock edge keeps it. What refutes
such a claim is a state within the invariant, and an edge that leaves it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import z3

from .claim import NETLIST, WIDTH, Holds, Setting, choose, claim, integer, signed, unsigned
from .claims_bounds import term_bound
from .claims_log2 import code
from .rtl_terms import RtlTerms


@dataclass(frozen=True)
class Accumulator:
    """What is proved of a stream that adds up.

    Attributes:
        net: the module.
        number: how its register is read, signed or unsigned.
        term: what a beat adds, as a number.
        sum_before, sum_after: the accumulator's output before and after the edge.
        term_most: largest magnitude of a term, or None where the row's sum is bounded instead.
        beats_most: largest number of beats in a row.
        sum_most: largest magnitude of a sum.
        given: what else is known of the input.
    """

    net: RtlTerms
    number: Callable[[z3.BitVecRef], z3.BitVecRef]
    term: z3.BitVecRef
    sum_before: z3.BitVecRef
    sum_after: z3.BitVecRef
    term_most: int | None
    beats_most: int
    sum_most: int
    given: Sequence[z3.BoolRef] = ()

    def obligations(self, name: str) -> Iterator[Holds]:
        """Return that the invariant holds after reset, and that each kind of edge keeps it."""
        net, total, beats = self.net, z3.BitVec("total", WIDTH), z3.BitVec("beats", WIDTH)
        begun, zero = z3.Bool("a row is begun"), integer(0)
        running, last = net["rst_n"] == 1, net["s_axis_tlast"] == 1
        taken = z3.And(net["s_axis_tvalid"] == 1, net["s_axis_tready"] == 1)
        shown = {"beats": beats, "total": total, "a row is begun": begun, "term": self.term}
        shown |= net.shown("s_axis_tvalid", "s_axis_tlast", "m_axis_tvalid", "m_axis_tready")

        def edge(what: str, goal: z3.BoolRef, *given: z3.BoolRef) -> Holds:
            return Holds(f"{name}, {what}", goal, [*net.edge(goal), *given], shown)

        empty = net.after("m_axis_tvalid") == 0
        fresh = self._invariant(zero, zero, z3.BoolVal(False), after=True)
        yield edge("after reset", z3.And(empty, fresh), z3.Not(running))
        run = [running, self._invariant(total, beats, begun, after=False), *self.given]
        more = z3.If(begun, total, zero) + self.term
        count = z3.If(begun, beats, zero) + 1
        beat = [*run, taken, count <= self.beats_most]
        if self.term_most is None:
            beat += _within(more, self.sum_most)
        ended = (net.after("m_axis_tvalid") == 1) == last
        added = self._invariant(more, count, z3.Not(last), after=True)
        yield edge("a beat is added", z3.And(ended, added), *beat)
        waits = z3.And(net["m_axis_tvalid"] == 1, net["m_axis_tready"] == 0)
        stays = (net.after("m_axis_tvalid") == 1) == waits
        same = self._invariant(total, beats, begun, after=True)
        yield edge("without a beat nothing changes", z3.And(stays, same), *run, z3.Not(taken))
        held = z3.Implies(waits, net["s_axis_tready"] == 0)
        free = z3.Implies(net["m_axis_tvalid"] == 0, net["s_axis_tready"] == 1)
        yield edge("a sum waits until it is taken, and no longer", z3.And(held, free), *run)

    def _invariant(
        self, total: z3.BitVecRef, beats: z3.BitVecRef, begun: z3.BoolRef, *, after: bool
    ) -> z3.BoolRef:
        """Return that the register is the exact total, within its bound, and rows do not mix."""
        wire = self.net.after if after else self.net.__getitem__
        register = self.sum_after if after else self.sum_before
        terms = [
            z3.Implies(wire("m_axis_tvalid") == 1, z3.Not(begun)),
            self.number(register) == total,
            beats >= 0,
            beats <= self.beats_most,
            *_within(total, self.sum_most),
        ]
        if "first" in self.net:
            terms.append((wire("first") == 1) == z3.Not(begun))
        if self.term_most is not None:
            terms += _within(total, self.term_most * beats)
        return z3.And(*terms)


def _within(x: z3.BitVecRef, most: z3.BitVecRef | int) -> list[z3.BoolRef]:
    return [x <= most, x >= -most]


@claim(
    "rtl_score_accumulator",
    "BL2-SCORE-01, -02",
    lambda s: f"full width, any number of rows of 1 to {s.config.max_head_dim} channels",
    NETLIST,
)
def score_accumulator(setting: Setting) -> Iterator[Holds]:
    """`score_accumulator`: the exact score of rows of up to max_head_dim channels.

    The term, a product at the accumulator's width, is exact since that width holds its bound.
    """
    config, net = setting.config, setting.terms("score_accumulator")
    word, bits, term = net["s_axis_tdata"], config.q_bits + config.k_bits, net["term"]
    query = _difference(z3.Extract(bits - 1, config.k_bits, word), net["zq"], term.size())
    key = _difference(z3.Extract(config.k_bits - 1, 0, word), net["zk"], term.size())
    shown = net.shown("s_axis_tdata", "zq", "zk", "term")
    yield Holds("the term modulo its width", term == query * key, shown=shown)
    most = ((1 << config.q_bits) - 1) * ((1 << config.k_bits) - 1)
    yield from term_bound(setting)
    fits = most < 1 << (term.size() - 1)
    yield Holds(f"{term.size()} bits hold the term", z3.BoolVal(fits))
    yield from Accumulator(
        net,
        signed,
        signed(term),
        net["m_axis_tdata"],
        net.after("m_axis_tdata"),
        most,
        setting.longest("score_accumulator"),
        config.registers["score"].bound,
        _within(signed(term), most),
    ).obligations("score")


@claim(
    "rtl_row_sum",
    "BL2-SUM-01",
    lambda s: f"full width, any number of rows of 1 to {s.config.max_tokens} keys",
    NETLIST,
)
def row_sum(setting: Setting) -> Iterator[Holds]:
    """`row_sum`: the exact sum of rows of up to max_tokens keys."""
    config, net = setting.config, setting.terms("row_sum")
    e, one = unsigned(net["s_axis_tdata"]), 1 << config.table_bits
    yield from Accumulator(
        net,
        unsigned,
        e,
        net["m_axis_tdata"],
        net.after("m_axis_tdata"),
        one,
        setting.longest("row_sum"),
        config.registers["row_sum"].bound,
        setting.assumed("row_sum", e=e),
    ).obligations("s")


@claim(
    "rtl_shift_add",
    "BL2-ACC-01 to -03",
    lambda s: f"full width, any number of rows of 1 to {s.config.max_tokens} keys",
    NETLIST,
    per_scheme=True,
)
def shift_add(setting: Setting) -> Iterator[Holds]:
    """`shift_add`: the exact accumulators. The sums of quotients are within the bound of
    `acc_bound`; those of RowMax follow from the largest term.
    """
    config, scheme, net = setting.config, setting.scheme, setting.terms("shift_add")
    acc_bits, v_bits = config.width("acc"), config.v_bits
    channels = net["m_axis_tdata"].size() // acc_bits
    data, level = net["s_axis_tdata"], z3.BitVec("level", 5)
    nibble, flag = code(unsigned(level), scheme)
    top = v_bits * channels
    term_most = ((1 << v_bits) - 1) * scheme.int_max if scheme.row_max else None
    given = [
        z3.ULE(unsigned(level), scheme.top_level),
        unsigned(z3.Extract(top + 4, top + 1, data)) == nibble,
        unsigned(z3.Extract(top, top, data)) == flag,
    ]
    for channel in range(channels):
        v = unsigned(_lane(data, channel, v_bits))
        x = v - unsigned(net["zv"])
        values = enumerate(scheme.values)
        yield from Accumulator(
            net,
            signed,
            choose(((unsigned(level) == i, value * x) for i, value in values), integer(0)),
            _lane(net["m_axis_tdata"], channel, acc_bits),
            _lane(net.after("m_axis_tdata"), channel, acc_bits),
            term_most,
            setting.longest("shift_add"),
            config.registers["acc"].bound,
            given,
        ).obligations(f"channel {channel}")


def _difference(code: z3.BitVecRef, zero: z3.BitVecRef, bits: int) -> z3.BitVecRef:
    """Return code - zero, which one bit more than a code holds, in `bits` bits."""
    difference = z3.ZeroExt(1, code) - z3.ZeroExt(1, zero)
    return z3.SignExt(bits - difference.size(), difference)


def _lane(word: z3.BitVecRef, lane: int, bits: int) -> z3.BitVecRef:
    return z3.simplify(z3.Extract(lane * bits + bits - 1, lane * bits, word))
