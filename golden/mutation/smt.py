"""A question of Yosys's SMT export, answered by z3."""

import itertools
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bitlog2.extras import require

__all__ = ["Proof", "solve"]

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


def solve(question: str, seconds: int) -> Proof:
    """Return whether the assertions of a module without registers follow from its assumptions.

    Args:
        question: the module as Yosys's `write_smt2 -stbv` writes it.
        seconds: for the solver.

    Raises:
        ModuleNotFoundError: z3 is not installed.
    """
    require("an equivalence proof", "z3")
    (name,) = re.findall(r"^; yosys-smt2-module (\S+)$", question, re.MULTILINE)
    inputs = re.findall(r"^; yosys-smt2-input (\S+) (\d+)$", question, re.MULTILINE)
    lines = [f"(declare-const state |{name}_s|)"]
    for port, bits in inputs:
        sort = "Bool" if bits == "1" else f"(_ BitVec {bits})"
        lines.append(f"(declare-const |in {port}| {sort})")
        lines.append(f"(assert (= |in {port}| (|{name}_n {port}| state)))")
    lines.append(f"(assert (|{name}_u| state))")
    claims = re.findall(rf"^\(define-fun \|({name}_a \d+)\| ", question, re.MULTILINE)
    for number, claim in enumerate(claims):
        lines += [f"(declare-const |broken {number}| Bool)"]
        lines += [f"(assert (=> |broken {number}| (not (|{claim}| state))))"]
    bits = [port for port, width in inputs if width == "1" and port.startswith(_STATE)]
    return _checked("\n".join([question, *lines]), len(claims), bits, seconds)


def _checked(text: str, claims: int, bits: Sequence[str], seconds: int) -> Proof:
    """Return whether none of the claims can be broken: all at once, or each in each case of `bits`.

    A claim is small beside all of them, and a known control bit leaves one side of a multiplexer.
    """
    import z3

    context, end = z3.Context(), time.monotonic() + seconds
    solver = z3.SolverFor("QF_BV", ctx=context)
    solver.from_string(text)
    broken = [z3.Bool(f"broken {number}", context) for number in range(claims)]
    literals = [z3.Bool(f"in {port}", context) for port in bits]
    signs = list(itertools.product((False, True), repeat=len(bits)))
    cases = [
        [
            literal if value else z3.Not(literal)
            for literal, value in zip(literals, values, strict=True)
        ]
        for values in signs
    ]
    whole = [[z3.Or(broken)]] if broken else []
    for questions in (whole, [[claim, *case] for claim in broken for case in cases]):
        verdicts = set()
        for question in questions:
            left = end - time.monotonic()
            solver.set("timeout", max(1, int(1000 * min(left, seconds / 4))))
            found = solver.check(*question) if left > 0 else z3.unknown
            if found == z3.sat:
                return _difference(solver.model())
            verdicts.add(found == z3.unsat)
            if found == z3.unknown:
                break
        if verdicts <= {True}:
            return Proof("equivalent", {})
    return Proof("unknown", {})


def _difference(model: Any) -> Proof:
    values = {each.name(): str(model[each]) for each in model.decls()}
    return Proof(
        "different",
        {
            name.removeprefix("in "): int(text) if text.isdigit() else int(text == "True")
            for name, text in values.items()
            if name.startswith("in ")
        },
    )
