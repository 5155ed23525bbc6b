"""Claims, what they are proved for, and how one is decided."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import z3
from numpy.typing import NDArray

from bitlog2.sim import AttentionConfig
from bitlog2.sim.scheme import Scheme

from .netlist import Netlist, export, parts

__all__ = [
    "BITS",
    "EXHAUSTION",
    "INTEGERS",
    "MOST_BITS",
    "NETLIST",
    "PROVED",
    "REFUTED",
    "RTL",
    "UNDECIDED",
    "WIDTH",
    "Answer",
    "Checked",
    "Claim",
    "Deadline",
    "Holds",
    "Setting",
    "choose",
    "counted",
    "exhausted",
    "integer",
    "leading_one",
    "low",
    "rnd",
    "saturated",
    "signed",
    "unsigned",
]

WIDTH = 64


def integer(value: int) -> z3.BitVecRef:
    """Return a constant."""
    return z3.BitVecVal(value, WIDTH)


def unsigned(x: z3.BitVecRef) -> z3.BitVecRef:
    """Return an unsigned register as a number."""
    return z3.ZeroExt(WIDTH - x.size(), x)


def signed(x: z3.BitVecRef) -> z3.BitVecRef:
    """Return a two's complement register as a number."""
    return z3.SignExt(WIDTH - x.size(), x)


def low(x: z3.BitVecRef, bits: int) -> z3.BitVecRef:
    """Return the low bits of a number, WRAP (BL2-NUM-04)."""
    return z3.Extract(bits - 1, 0, x)


def choose(cases: Iterable[tuple[z3.BoolRef, z3.BitVecRef]], last: z3.BitVecRef) -> z3.BitVecRef:
    """Return the value of the first case that applies, or the last value."""
    chosen = last
    for condition, value in reversed(list(cases)):
        chosen = z3.If(condition, value, chosen)
    return chosen


def counted(conditions: Iterable[z3.BoolRef]) -> z3.BitVecRef:
    """Return how many of the conditions hold."""
    total = integer(0)
    for condition in conditions:
        total = total + z3.If(condition, integer(1), integer(0))
    return total


def leading_one(x: z3.BitVecRef, bits: int) -> z3.BitVecRef:
    """Return lod(x) of a number below 2**bits (BL2-NUM-06), 0 for x = 0: the k of 2^k <= x."""
    return choose(
        ((z3.UGE(x, integer(1 << k)), integer(k)) for k in range(bits - 1, 0, -1)), integer(0)
    )


def rnd(x: z3.BitVecRef, n: z3.BitVecRef) -> z3.BitVecRef:
    """Return RND(x, n) (BL2-NUM-02) of a signed number, n a number from 0 to 62."""
    return z3.If(n == 0, x, (x + (integer(1) << (n - 1))) >> n)


def saturated(x: z3.BitVecRef, lowest: int, highest: int) -> z3.BitVecRef:
    """Return SAT(x, lowest, highest) (BL2-NUM-05) of a signed number."""
    return choose([(x < lowest, integer(lowest)), (x > highest, integer(highest))], x)


PROVED = "proved"
REFUTED = "refuted"
UNDECIDED = "undecided"


@dataclass(frozen=True)
class Answer:
    """What became of an obligation.

    Attributes:
        status: PROVED, REFUTED or UNDECIDED.
        detail: the counterexample, or why nothing is known; empty where it is proved.
    """

    status: str
    detail: str = ""


class Deadline:
    """A moment that a claim's obligations share."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def milliseconds(self) -> int:
        """What is left, at least 0."""
        return max(0, int(1000 * (self._end - time.monotonic())))


@dataclass(frozen=True)
class Holds:
    """A statement over free variables, decided by z3.

    It is proved when no values satisfy what is given and not the goal. What is given must have
    values that satisfy it: nothing follows from a contradiction.

    Attributes:
        what: the statement in words, with the values of what it is made for.
        goal: what must hold.
        given: what may be assumed.
        shown: what a counterexample gives values of, by name.
    """

    what: str
    goal: z3.BoolRef
    given: Sequence[z3.BoolRef] = ()
    shown: Mapping[str, z3.ExprRef] = field(default_factory=dict)

    def decide(self, deadline: Deadline) -> Answer:
        """Prove or refute the statement, or give up at the deadline."""
        possible, _ = _check(self.given, deadline) if self.given else (z3.sat, None)
        if possible == z3.unsat:
            return Answer(UNDECIDED, f"{self.what}: what is assumed contradicts itself")
        if possible == z3.unknown:
            return Answer(UNDECIDED, f"{self.what}: out of time")
        found, model = _check([*self.given, z3.Not(self.goal)], deadline)
        if found == z3.unsat:
            return Answer(PROVED)
        if found == z3.unknown or model is None:
            return Answer(UNDECIDED, f"{self.what}: out of time")
        return Answer(REFUTED, f"{self.what}: {counterexample(model, self.shown)}")


@dataclass(frozen=True)
class Checked:
    """A statement over finitely many inputs, decided by trying each.

    Attributes:
        what: the statement in words.
        check: returns the first input that breaks it, in words, or an empty text.
    """

    what: str
    check: Callable[[], str]

    def decide(self, deadline: Deadline) -> Answer:
        """Prove or refute the statement; the checks are short, so it always ends."""
        if deadline.milliseconds == 0:
            return Answer(UNDECIDED, f"{self.what}: out of time")
        broken = self.check()
        return Answer(REFUTED, f"{self.what}: {broken}") if broken else Answer(PROVED)


def counterexample(model: z3.ModelRef, shown: Mapping[str, z3.ExprRef]) -> str:
    """Return the values of a model in words, decimal and for bit-vectors hexadecimal too."""
    values = {name: model.eval(term, model_completion=True) for name, term in shown.items()}
    return ", ".join(f"{name} = {_number(value)}" for name, value in values.items()) or "no inputs"


def _number(value: z3.ExprRef) -> str:
    if isinstance(value, z3.BitVecNumRef):
        number = value.as_long()
        return f"{number} (0x{number:0{-(-value.size() // 4)}x})"
    return str(value)


def _check(
    terms: Sequence[z3.BoolRef], deadline: Deadline
) -> tuple[z3.CheckSatResult, z3.ModelRef | None]:
    """Return whether the terms can be satisfied together, and by what."""
    if deadline.milliseconds == 0:
        return z3.unknown, None
    solver = z3.SolverFor("QF_BV") if _only_bits(terms) else z3.Solver()
    solver.set("timeout", deadline.milliseconds)
    solver.add(*terms)
    found = solver.check()
    return found, solver.model() if found == z3.sat else None


def _only_bits(terms: Sequence[z3.BoolRef]) -> bool:
    """Whether the terms hold nothing but booleans and bit-vectors: then they are bits for SAT."""
    goal = z3.Goal()
    goal.add(*terms)
    return bool(z3.Probe("is-qfbv")(goal))


#: Bits of all free variables together that are still tried.
MOST_BITS = 22
_BLOCK = 1 << 18

#: Values of a term, uint64 for bits and bool for conditions: one of each, or one for all.
Values = NDArray[Any]


def exhausted(obligation: Holds) -> Answer:
    """Decide a statement over bit-vectors by every value of its free variables."""
    terms = z3.And(*obligation.given, obligation.goal)
    free = [term for term in parts(terms) if _is_free(term)]
    bits = sum(_width(term) for term in free)
    if bits > MOST_BITS:
        return Answer(UNDECIDED, f"{obligation.what}: {bits} free bits are too many to try")
    met = False
    for start in range(0, 1 << bits, _BLOCK):
        number = np.arange(start, min(start + _BLOCK, 1 << bits), dtype=np.uint64)
        table = _assigned(free, number)
        legal = np.ones(number.shape, np.bool_)
        for term in obligation.given:
            legal &= _value(term, table)
        met = met or bool(legal.any())
        broken = legal & ~_value(obligation.goal, table)
        if broken.any():
            row = int(np.flatnonzero(broken)[0])
            shown = {name: _value(term, table) for name, term in obligation.shown.items()}
            text = ", ".join(f"{name} = {int(_at(value, row))}" for name, value in shown.items())
            return Answer(REFUTED, f"{obligation.what}: {text}")
    if not met:
        return Answer(UNDECIDED, f"{obligation.what}: what is assumed contradicts itself")
    return Answer(PROVED)


def _is_free(term: z3.ExprRef) -> bool:
    return term.num_args() == 0 and term.decl().kind() == z3.Z3_OP_UNINTERPRETED


def _width(term: z3.ExprRef) -> int:
    return 1 if z3.is_bool(term) else term.size()


def _assigned(free: list[z3.ExprRef], number: NDArray[np.uint64]) -> dict[int, Values]:
    """Return the values of the free variables: slices of the bits of a counter."""
    table: dict[int, Values] = {}
    place = 0
    for term in free:
        width = _width(term)
        values = (number >> np.uint64(place)) & _mask(width)
        table[term.get_id()] = values.astype(np.bool_) if z3.is_bool(term) else values
        place += width
    return table


def _value(root: z3.ExprRef, table: dict[int, Values]) -> Values:
    """Return the values of a term; `table` holds those known, and takes the new ones."""
    stack = [root]
    while stack:
        term = stack[-1]
        if term.get_id() in table:
            stack.pop()
            continue
        missing = [part for part in term.children() if part.get_id() not in table]
        if missing:
            stack += missing
            continue
        table[term.get_id()] = _apply(term, [table[part.get_id()] for part in term.children()])
        stack.pop()
    return table[root.get_id()]


def _apply(term: z3.ExprRef, args: list[Values]) -> Values:
    """Return the values of a term from those of its arguments."""
    kind = term.decl().kind()
    if kind == z3.Z3_OP_BNUM:
        return np.array([term.as_long()], np.uint64)
    if kind in (z3.Z3_OP_TRUE, z3.Z3_OP_FALSE):
        return np.array([kind == z3.Z3_OP_TRUE])
    if kind == z3.Z3_OP_EXTRACT:
        high, low = term.params()
        return (args[0] >> np.uint64(low)) & _mask(high - low + 1)
    if kind == z3.Z3_OP_CONCAT:
        joined = args[0]
        for part, value in zip(term.children()[1:], args[1:], strict=True):
            joined = (joined << np.uint64(part.size())) | value
        return joined
    width = _width(term.arg(0))
    if kind == z3.Z3_OP_SIGN_EXT:
        return _signed(args[0], width).astype(np.uint64) & _mask(term.size())
    if kind in _SIGNED:
        return _SIGNED[kind](_signed(args[0], width), _signed(args[1], width))
    if kind in _SHIFTS:
        return _SHIFTS[kind](args[0], args[1], width) & _mask(width)
    if kind in _FOLDED:
        value = args[0]
        for other in args[1:]:
            value = _FOLDED[kind](value, other)
        return value & _mask(term.size()) if z3.is_bv(term) else value
    if kind not in _PLAIN:
        raise ValueError(f"terms must be of bits and comparisons, got {term.decl().name()}")
    value = _PLAIN[kind](*args)
    return value & _mask(term.size()) if z3.is_bv(term) else value


def _mask(bits: int) -> np.uint64:
    return np.uint64((1 << bits) - 1)


def _at(values: Values, row: int) -> int:
    return int(values[row if values.size > 1 else 0])


def _signed(x: Values, width: int) -> NDArray[np.int64]:
    unused = np.uint64(64 - width)
    return (x << unused).astype(np.int64) >> unused.astype(np.int64)


def _shift_left(x: Values, n: Values, width: int) -> Values:
    return np.where(n < width, x << np.minimum(n, np.uint64(63)), np.uint64(0))


def _shift_right(x: Values, n: Values, width: int) -> Values:
    return np.where(n < width, x >> np.minimum(n, np.uint64(63)), np.uint64(0))


def _shift_arithmetic(x: Values, n: Values, width: int) -> Values:
    return (_signed(x, width) >> np.minimum(n, np.uint64(63)).astype(np.int64)).astype(np.uint64)


_PLAIN: dict[int, Callable[..., Values]] = {
    z3.Z3_OP_EQ: np.equal,
    z3.Z3_OP_DISTINCT: np.not_equal,
    z3.Z3_OP_ITE: np.where,
    z3.Z3_OP_NOT: np.logical_not,
    z3.Z3_OP_IMPLIES: lambda a, b: ~a | b,
    z3.Z3_OP_BNEG: lambda a: np.uint64(0) - a,
    z3.Z3_OP_BNOT: np.invert,
    z3.Z3_OP_ZERO_EXT: lambda a: a,
    z3.Z3_OP_ULEQ: np.less_equal,
    z3.Z3_OP_ULT: np.less,
    z3.Z3_OP_UGEQ: np.greater_equal,
    z3.Z3_OP_UGT: np.greater,
    z3.Z3_OP_BSUB: np.subtract,
}
_FOLDED: dict[int, Callable[[Values, Values], Values]] = {
    z3.Z3_OP_AND: np.logical_and,
    z3.Z3_OP_OR: np.logical_or,
    z3.Z3_OP_XOR: np.logical_xor,
    z3.Z3_OP_BADD: np.add,
    z3.Z3_OP_BMUL: np.multiply,
    z3.Z3_OP_BAND: np.bitwise_and,
    z3.Z3_OP_BOR: np.bitwise_or,
    z3.Z3_OP_BXOR: np.bitwise_xor,
}
_SIGNED: dict[int, Callable[..., Values]] = {
    z3.Z3_OP_SLEQ: np.less_equal,
    z3.Z3_OP_SLT: np.less,
    z3.Z3_OP_SGEQ: np.greater_equal,
    z3.Z3_OP_SGT: np.greater,
}
_SHIFTS: dict[int, Callable[[Values, Values, int], Values]] = {
    z3.Z3_OP_BSHL: _shift_left,
    z3.Z3_OP_BLSHR: _shift_right,
    z3.Z3_OP_BASHR: _shift_arithmetic,
}


#: The reference RTL.
RTL = Path(__file__).resolve().parents[2] / "rtl"


@dataclass(frozen=True)
class Setting:
    """A configuration, and where the RTL lies.

    Attributes:
        config: the hardware; its scheme, widths and table.
        rtl: folder of the modules.
    """

    config: AttentionConfig
    rtl: Path = RTL
    _netlists: dict[str, Netlist] = field(default_factory=dict, compare=False, repr=False)

    @property
    def scheme(self) -> Scheme:
        """The scheme of the configuration."""
        return self.config.code

    def netlist(self, module: str) -> Netlist:
        """Return a module as Yosys exports it, with the parameters of the package."""
        if module not in self._netlists:
            self._netlists[module] = self.netlists(module, [{}])[0]
        return self._netlists[module]

    def netlists(self, module: str, variants: Sequence[Mapping[str, int]]) -> list[Netlist]:
        """Return a module with each of several sets of parameters."""
        return export(self.config, self.rtl, module, variants)


#: By what a claim is decided.
INTEGERS = "z3 integers"
BITS = "z3 bit-vectors"
NETLIST = "Yosys SMT export, z3"
EXHAUSTION = "exhaustion"


@dataclass(frozen=True)
class Claim:
    """A statement about a setting.

    Attributes:
        name: what `--claim` takes.
        requirements: ids of SPEC.md.
        over: over what it holds, in words, of a setting.
        by: by what it is decided.
        obligations: what is to be decided, of a setting; the claim holds when all of it does.
        per_scheme: whether schemes differ; if not, it is decided once.
        reducible: whether all of it is over bit-vectors few enough, at reduced widths, to try every
            value where the solver does not come to an end.
    """

    name: str
    requirements: str
    over: Callable[[Setting], str]
    by: str
    obligations: Callable[[Setting], Iterable[Holds | Checked]]
    per_scheme: bool = False
    reducible: bool = False
