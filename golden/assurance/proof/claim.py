"""Claims, what they are proved for, and how one is decided."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import z3

from bitlog2.sim import AttentionConfig
from bitlog2.sim.scheme import FAMILIES, Scheme

from ...testbench.files import RTL
from ..modules import MODULES
from .rtl_terms import RtlTerms, export

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


@dataclass(frozen=True)
class Setting:
    """A configuration, and where the RTL lies.

    Attributes:
        config: the hardware; its scheme, widths and table.
        rtl: folder of the modules.
        own: terms that stand in the place of a module's.
    """

    config: AttentionConfig
    rtl: Path = RTL
    own: Mapping[str, RtlTerms] = field(default_factory=dict, compare=False, repr=False)
    _terms: dict[str, RtlTerms] = field(default_factory=dict, compare=False, repr=False)

    @property
    def scheme(self) -> Scheme:
        """The scheme of the configuration."""
        return self.config.code

    def terms(self, module: str) -> RtlTerms:
        """Return a module as Yosys exports it, with the parameters of the package."""
        if module in self.own:
            return self.own[module]
        if module not in self._terms:
            self._terms[module] = self.variants(module, [{}])[0]
        return self._terms[module]

    def longest(self, unit: str) -> int:
        """Return the most beats of a row of a unit, as declared."""
        longest = MODULES[unit].unit.longest
        if longest is None:
            raise ValueError(f"unit must have rows, got {unit}")
        return longest(self.config)

    def assumed(self, module: str, **numbers: z3.BitVecRef) -> list[z3.BoolRef]:
        """Return what is declared of the inputs of a module.

        Args:
            module: its name.
            numbers: port -> its value as a number; without them the ports of `terms`.
        """
        conditions = MODULES[module].assumes or ()
        for name in {name for each in conditions for name in each.ports} - numbers.keys():
            number = signed if self.config.ports[name].signed else unsigned
            numbers[name] = number(self.terms(module)[name])
        return [each.value(self.config, numbers) for each in conditions]

    def variants(
        self, module: str, variants: Sequence[Mapping[str, int]], without: Sequence[str] = ()
    ) -> list[RtlTerms]:
        """Return a module with each of several sets of parameters, some instances left out."""
        return export(self.config, self.rtl, module, variants, without)


#: Methods of decision.
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
        over: values that it covers, in words, for a setting.
        by: method of the decision.
        obligations: what is to be decided, of a setting; the claim holds when all of it does.
        per_scheme: whether schemes differ; if not, it is decided once.
        families: of the schemes that it is about.
    """

    name: str
    requirements: str
    over: Callable[[Setting], str]
    by: str
    obligations: Callable[[Setting], Iterable[Holds | Checked]]
    per_scheme: bool = False
    families: tuple[str, ...] = FAMILIES


_Obligations = TypeVar("_Obligations", bound=Callable[..., Iterable[Holds | Checked]])


def claim(
    name: str,
    requirements: str,
    over: str | Callable[[Setting], str],
    by: str,
    *,
    per_scheme: bool = False,
    families: tuple[str, ...] = FAMILIES,
) -> Callable[[_Obligations], _Obligations]:
    """Declare the claim that all of what a function gives holds. Arguments as of `Claim`."""

    def declare(obligations: _Obligations) -> _Obligations:
        words = over if callable(over) else lambda _: over
        declared = Claim(name, requirements, words, by, obligations, per_scheme, families)
        setattr(obligations, _DECLARED, declared)
        return obligations

    return declare


#: Attribute of a function that has a claim.
_DECLARED = "declared_claim"


def claims_of(module: ModuleType) -> list[Claim]:
    """Return the claims that a module declares, in their order."""
    own = [each for each in vars(module).values() if hasattr(each, _DECLARED)]
    return [getattr(each, _DECLARED) for each in own if each.__module__ == module.__name__]
