"""Whether assertions follow from assumptions: terms of an SMT export, and a solver."""

import itertools
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from bitlog2.extras import require

from ..yosys import marked
from .catalogue import SELECT

#: Inputs of a miter that are state.
_STATE = ("q_", "any_cycle")


@dataclass(frozen=True)
class Proof:
    """What a solver found.

    Attributes:
        verdict: equivalent; different, with a counterexample; or unknown within the time.
        counterexample: inputs (and registers `q_...` of one step) by name.
    """

    verdict: Literal["equivalent", "different", "unknown"]
    counterexample: Mapping[str, int]


#: In an SMT export, an input: its definition as bits of the state, and its name.
_INPUT = re.compile(
    r"^(\(define-fun \|[^|]+\| \(\(state \|[^|]+\|\)\) (?:Bool|\(_ BitVec \d+\)) )"
    r".*\) ; \S+\n; yosys-smt2-input (\S+) ",
    re.MULTILINE,
)


#: A product of two words, and its width.
_PRODUCT = re.compile(r"\(_ BitVec (\d+)\) \(bvmul ")


class Terms(NamedTuple):
    """What is assumed, and what is asserted."""

    known: Sequence[Any]
    claims: Sequence[Any]


@dataclass(frozen=True, repr=False)
class Question:
    """Whether the assertions of a module without registers follow from its assumptions.

    Attributes:
        context: z3's, of all terms.
        exact: the terms.
        abstract: the same, with products as functions of which nothing is known but that equal
            factors have equal products. What follows here, follows there.
        inputs: by name; `mutsel` chooses the mutant, where there are several.
        facts: each of the abstract assumptions, and its inputs.
        held: claims that followed, of whichever mutant, by z3's number of them.
        replaced: a term of each mutant that has the value of the original's whatever its inputs
            are, and that one; None where there is none.
    """

    context: Any
    exact: Terms
    abstract: Terms
    inputs: Mapping[str, Any]
    facts: Sequence[tuple[Any, frozenset[int]]]
    held: dict[int, Any] = field(default_factory=dict)
    replaced: dict[int, tuple[Any, Any] | None] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> "Question":
        """Return the question of a module as Yosys's `write_smt2 -stbv` writes it.

        Raises:
            ModuleNotFoundError: z3 is not installed.
            ValueError: the text has inputs that are written in another way.
        """
        require("an equivalence proof", "z3")
        import z3

        sizes = {port: bits for port, (bits,) in marked(text, "input").items()}
        body, replaced = _INPUT.subn(r"\1|in \2|) ; \2\n; yosys-smt2-input \2 ", text)
        if replaced != len(sizes):
            raise ValueError(f"an export must define its {len(sizes)} inputs, found {replaced}")
        context = z3.Context()
        inputs = {
            port: z3.Bool(f"in {port}", context)
            if bits == 1
            else z3.BitVec(f"in {port}", bits, context)
            for port, bits in sizes.items()
        }
        functions = [
            f"(declare-fun |product {n}| ((_ BitVec {n}) (_ BitVec {n})) (_ BitVec {n}))"
            for n in dict.fromkeys(_PRODUCT.findall(body))
        ]
        abstract = _PRODUCT.sub(r"(_ BitVec \1) (|product \1| ", body)
        exact = _terms(body, sizes, context)
        abstracted = _terms("\n".join([*functions, abstract]), sizes, context)
        facts = tuple((each, constants_of(each)) for each in conjuncts(abstracted.known))
        return cls(context, exact, abstracted, inputs, facts)

    def answer(self, seconds: int, number: int = 0) -> Proof:
        """Return what the solver finds of mutant `number`.

        Most claims are the same of all mutants, and so are their proofs.

        Args:
            seconds: for all claims together.
            number: of the mutant, where the module has several.
        """
        import z3

        end = time.monotonic() + seconds
        solver = z3.SolverFor("QF_UFBV", ctx=self.context)
        solver.add(*self.abstract.known)
        verdict: Literal["equivalent", "unknown"] = "equivalent"
        for place, asserted in enumerate(self.abstract.claims):
            claim = self._chosen(asserted, number)
            if z3.is_true(claim) or claim.get_id() in self.held:
                continue
            if self._as_original(place, number):
                continue
            if self._from_near(claim, min(end - time.monotonic(), seconds / 8)):
                self.held[claim.get_id()] = claim
                continue
            left = min(end - time.monotonic(), seconds / 8)
            solver.set("timeout", max(1, int(1000 * left)))
            solver.push()
            solver.add(z3.Not(claim))
            if left > 0 and solver.check() == z3.unsat:
                self.held[claim.get_id()] = claim
            else:
                proof = self._of_claim(self._chosen(self.exact.claims[place], number), seconds, end)
                if proof.verdict == "different":
                    return proof
                verdict = "unknown" if proof.verdict == "unknown" else verdict
            solver.pop()
        return Proof(verdict, {})

    def _from_near(self, claim: Any, seconds: float) -> bool:
        """Whether a claim follows from what is assumed of its own inputs, and of no others.

        That is enough for nearly all claims, and little of what is assumed.
        """
        import z3

        own = constants_of(claim)
        solver = z3.SolverFor("QF_UFBV", ctx=self.context)
        solver.set("timeout", max(1, int(1000 * seconds)))
        solver.add(*(fact for fact, inputs in self.facts if inputs <= own), z3.Not(claim))
        return seconds > 0 and bool(solver.check() == z3.unsat)

    def _of_claim(self, claim: Any, seconds: int, end: float) -> Proof:
        """Return what is found of one claim, with a solver that it shares with no other.

        Where that does not end, there is one for each case of the control bits: a known one leaves
        one side of a multiplexer.
        """
        import z3

        bits = [
            (each, z3.Not(each))
            for port, each in self.inputs.items()
            if z3.is_bool(each) and port.startswith(_STATE)
        ]
        for cases in ([()], itertools.product(*bits)):
            found = z3.unsat
            for case in cases:
                left = end - time.monotonic()
                solver = z3.SolverFor("QF_BV", ctx=self.context)
                solver.set("timeout", max(1, int(1000 * min(left, seconds / 4))))
                solver.add(*self.exact.known, z3.Not(claim), *case)
                found = solver.check() if left > 0 else z3.unknown
                if found == z3.sat:
                    return Proof("different", self._values(solver.model()))
                if found == z3.unknown:
                    break
            if found == z3.unsat:
                return Proof("equivalent", {})
        return Proof("unknown", {})

    def _chosen(self, claim: Any, number: int) -> Any:
        """Return what is left of a claim once the mutant is chosen."""
        import z3

        if (select := self.inputs.get(SELECT)) is not None:
            claim = z3.substitute(claim, (select, self._number(number)))
        return z3.simplify(claim)

    def _number(self, number: int) -> Any:
        import z3

        select = self.inputs[SELECT]
        if z3.is_bool(select):
            return z3.BoolVal(bool(number), self.context)
        return z3.BitVecVal(number, select.size(), self.context)

    def _as_original(self, place: int, number: int) -> bool:
        """Whether a claim that the original keeps is the mutant's, too: its cell does the same."""
        import z3

        kept = self._chosen(self.abstract.claims[place], 0)
        if number == 0 or not (z3.is_true(kept) or kept.get_id() in self.held):
            return False
        claim = self.exact.claims[place]
        chosen = number_tests(claim, self.inputs[SELECT])
        ours, original = (
            z3.substitute(
                claim,
                *((each, z3.BoolVal(z3.is_true(value), self.context)) for each, value in values),
            )
            for values in (self._tests(chosen, number), self._tests(chosen, 0))
        )
        if ours.eq(original):
            return True
        if number not in self.replaced:
            self.replaced[number] = equal_terms(ours, original)
        pair = self.replaced[number]
        return pair is not None and bool(z3.substitute(ours, pair).eq(original))

    def _tests(self, tests: Sequence[Any], number: int) -> list[tuple[Any, Any]]:
        """Return what each test of the mutant's number gives."""
        import z3

        chosen = (self.inputs[SELECT], self._number(number))
        return [(each, z3.simplify(z3.substitute(each, chosen))) for each in tests]

    def _values(self, model: Any) -> dict[str, int]:
        """Return a model's value of each input, the mutant's number left out."""
        import z3

        found = {}
        for port, each in self.inputs.items():
            if port == SELECT:
                continue
            value = model.eval(each, model_completion=True)
            found[port] = int(z3.is_true(value)) if z3.is_bool(each) else value.as_long()
        return found


def conjuncts(terms: Sequence[Any]) -> list[Any]:
    """Return terms of which each is true where all of these are, and the other way round."""
    import z3

    goal = z3.Goal(ctx=terms[0].ctx)
    goal.add(*(z3.simplify(each) for each in terms))
    return list(goal)


def subterms(term: Any, ends: Callable[[Any], bool] = lambda _: False) -> Iterator[Any]:
    """Yield a term and those in it, each once; what is inside of one that ends is left out."""
    seen, waiting = set(), [term]
    while waiting:
        each = waiting.pop()
        if each.get_id() not in seen:
            seen.add(each.get_id())
            yield each
            if not ends(each):
                waiting += each.children()


def constants_of(term: Any) -> frozenset[int]:
    """Return z3's numbers of the constants in a term, those with a value left out."""
    import z3

    return frozenset(
        each.get_id()
        for each in subterms(term)
        if z3.is_const(each) and each.decl().kind() == z3.Z3_OP_UNINTERPRETED
    )


def number_tests(term: Any, select: Any) -> list[Any]:
    """Return the truth values in a term that are read from the mutant's number."""
    import z3

    def is_test(each: Any) -> bool:
        return z3.is_bool(each) and any(part.eq(select) for part in (each, *each.children()))

    return [each for each in subterms(term, is_test) if is_test(each)]


#: Terms above a difference that may hide it, the lowest first, and milliseconds for each.
_TERMS_ABOVE, _TERM_MILLISECONDS = 16, 1000


def equal_terms(ours: Any, original: Any) -> tuple[Any, Any] | None:
    """Return the lowest terms of two claims of one shape that differ and are always equal.

    Args:
        ours, original: claims that differ in a constant.

    Returns:
        A term of the first and its counterpart; None where none near the constant are equal.
    """
    import z3

    levels: dict[tuple[int, int], int] = {}
    pairs: list[tuple[int, Any, Any]] = []
    waiting = [(ours, original, False)]
    while waiting:
        one, other, done = waiting.pop()
        key = (one.get_id(), other.get_id())
        if one.eq(other) or (key in levels and not done):
            continue
        same = one.decl().eq(other.decl()) and one.num_args() == other.num_args()
        inside = list(zip(one.children(), other.children(), strict=True)) if same else []
        if not done and inside:
            levels[key] = 0
            waiting += [(one, other, True), *((a, b, False) for a, b in inside)]
            continue
        found = [levels[a.get_id(), b.get_id()] for a, b in inside if not a.eq(b)]
        levels[key] = 1 + max(found, default=-1)
        pairs.append((levels[key], one, other))
    for _, one, other in sorted(pairs, key=lambda pair: pair[0])[:_TERMS_ABOVE]:
        solver = z3.SolverFor("QF_BV", ctx=one.ctx)
        solver.set("timeout", _TERM_MILLISECONDS)
        solver.add(one != other)
        if solver.check() == z3.unsat:
            return one, other
    return None


def _terms(text: str, sizes: Mapping[str, int], context: Any) -> Terms:
    """Return the terms of an export whose inputs, of these sizes, are constants `in NAME`."""
    import z3

    (name,) = marked(text, "module")
    sorts = {port: "Bool" if n == 1 else f"(_ BitVec {n})" for port, n in sizes.items()}
    lines = [*(f"(declare-const |in {port}| {sort})" for port, sort in sorts.items()), text]
    claims = re.findall(rf"^\(define-fun \|({name}_a \d+)\| ", text, re.MULTILINE)
    asked = [f"{name}_u", *claims]
    lines += [f"(declare-const state |{name}_s|)", *(f"(assert (|{x}| state))" for x in asked)]
    parsed = list(z3.parse_smt2_string("\n".join(lines), ctx=context))
    split = len(parsed) - len(claims)
    return Terms(parsed[:split], parsed[split:])
