"""What a claim comes down to: statements that a solver decides, or a check of every input."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import z3

__all__ = ["PROVED", "REFUTED", "UNDECIDED", "Answer", "Checked", "Deadline", "Holds"]

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
