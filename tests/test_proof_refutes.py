"""A proof that cannot fail is a defect: each prover refutes a planted error.

Claims of SPEC.md about arithmetic; those about the RTL are in test_proof_rtl.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import pytest
import z3

from bitlog2.golden.assurance.proof import Setting, decide
from bitlog2.golden.assurance.proof.claim import (
    PROVED,
    REFUTED,
    UNDECIDED,
    Claim,
    Deadline,
    Holds,
    exhausted,
    integer,
    leading_one,
    rnd,
    saturated,
    unsigned,
)
from bitlog2.golden.assurance.proof.claims_bounds import level_value
from bitlog2.golden.assurance.proof.claims_exp2 import error, table
from bitlog2.golden.assurance.proof.claims_log2 import (
    Ratio,
    comparing_counts,
    dividing,
    threshold_floor,
    value_of,
)
from bitlog2.golden.assurance.proof.claims_rounding import nearest
from bitlog2.sim import AttentionConfig
from bitlog2.sim.scheme import SCHEMES
from bitlog2.sim.spec.log2_quantizer import log2_quantizer


def decided(obligations: Callable[[Setting], Iterable], scheme: str = "BitLog2_Half_17") -> str:
    claim = Claim("planted", "BL2-X-01", lambda _: "full width", "z3", obligations)
    line = decide(claim, Setting(AttentionConfig(scheme=scheme)), 60)
    return f"{line.result} {line.detail}"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("level", [1, 9, 15])
def test_proof_bit_vectors_refute_a_wrong_threshold(scheme: str, level: int) -> None:
    values = list(SCHEMES[scheme].values[1:])
    values[level - 1] += 1
    found = decided(partial(comparing_counts, values=tuple(values)), scheme)
    assert found.startswith("REFUTED comparing = number of thresholds")
    e, s = (int(x) for x in re.findall(r"= (\d+) ", found))
    code = SCHEMES[scheme]
    right = sum(e * code.int_max >= value * s for value in code.values[1:])
    wrong = sum(e * code.int_max >= value * s for value in values)
    assert right != wrong


def test_proof_bit_vectors_refute_a_missing_threshold() -> None:
    values = SCHEMES["BitLog2_Half_17"].values[1:-1]
    assert decided(partial(comparing_counts, values=values)).startswith("REFUTED")


def test_proof_bit_vectors_refute_a_value_that_its_level_does_not_reach() -> None:
    values = list(SCHEMES["BitLog2_Half_17"].values)
    values[7] += 1
    found = decided(partial(level_value, values=tuple(values)))
    assert found.startswith("REFUTED value(level) * s <= e * A: e = ")


def test_proof_integers_refute_truncation_for_rounding() -> None:
    def truncated(x: z3.ArithRef, n: int) -> z3.ArithRef:
        return x / (1 << n)

    assert decided(partial(nearest, rounding=truncated)).startswith("REFUTED r - 1/2 <= x / 2^1")


def test_proof_integers_refute_ties_downward() -> None:
    def downward(x: z3.ArithRef, n: int) -> z3.ArithRef:
        return (x + (1 << (n - 1)) - 1) / (1 << n)

    assert decided(partial(nearest, rounding=downward)).startswith("REFUTED r - 1/2 <= x / 2^1")


def test_proof_integers_refute_a_threshold_of_the_ceiling() -> None:
    """ceil(E/s) >= T is not E >= T*s."""
    one = next(iter(threshold_floor(Setting(AttentionConfig()))))
    e_a, s, p = (one.shown[name] for name in ("E", "s", "p"))
    ceiling = [s > 0, (p - 1) * s < e_a, e_a <= p * s]
    wrong = Holds(one.what, one.goal, ceiling, one.shown)
    assert wrong.decide(Deadline(60)).status == REFUTED


def test_proof_exhaustion_refutes_a_wrong_table_entry() -> None:
    entries = list(AttentionConfig().table)
    entries[7] += 1
    found = decided(partial(table, entries=entries))
    assert found == f"REFUTED T[f] = RND(2^P * 2^(-f/2^F)): f = 7, T[f] = {entries[7]}"


def test_proof_exhaustion_refutes_a_smaller_error() -> None:
    assert decided(partial(error, quarters=2)).startswith("REFUTED e is within")


def test_proof_refutes_the_quotient_without_its_thresholds() -> None:
    """What is known of the quotient is needed: a free one does not have the level."""
    setting = Setting(AttentionConfig())
    ratio, p = Ratio(setting), z3.BitVec("quotient", 64)
    goal = dividing(p, setting.scheme) == integer(0)
    assert Holds("free", goal, ratio.legal, {"p": p}).decide(Deadline(60)).status == REFUTED


@pytest.mark.parametrize("scheme", SCHEMES)
def test_proof_page_dividing_is_the_specification(scheme: str) -> None:
    """The z3 form agrees with the model's page on every quotient of a sum of A."""
    code = SCHEMES[scheme]
    for p in {*range(40), code.int_max // 2, code.int_max - 1}:
        level = z3.simplify(dividing(integer(p), code)).as_long()
        assert level == log2_quantizer(p, code.int_max, code)
        assert value_of(level, code.half) <= p


@pytest.mark.requirement("BL2-NUM-02")
def test_proof_page_rounding_numbers() -> None:
    """-5/2, -3/2, 3/2, 5/2 become -2, -1, 2, 3."""
    rounded = [rnd(integer(x), integer(1)) for x in (-5, -3, 3, 5)]
    assert [z3.simplify(x).as_signed_long() for x in rounded] == [-2, -1, 2, 3]


def test_proof_page_leading_one_and_saturation_numbers() -> None:
    assert [z3.simplify(leading_one(integer(x), 8)).as_long() for x in (1, 2, 3, 255)] == [
        0, 1, 1, 7,
    ]  # fmt: skip
    limited = [saturated(integer(x), -4, 3) for x in (-5, -4, 3, 4)]
    assert [z3.simplify(x).as_signed_long() for x in limited] == [-4, -4, 3, 3]


A, B = z3.BitVecs("a b", 4)
OPERATIONS = {
    "add": A + B,
    "sub": A - B,
    "mul": A * B,
    "neg": -A,
    "not": ~A,
    "and": A & B,
    "or": A | B,
    "xor": A ^ B,
    "shl": A << B,
    "lshr": z3.LShR(A, B),
    "ashr": A >> B,
    "concat": z3.Concat(A, B, A),
    "extract": z3.Extract(2, 1, A + B),
    "sign": z3.SignExt(3, A),
    "zero": z3.ZeroExt(3, A),
    "wide": z3.SignExt(60, A) * z3.SignExt(60, B) >> unsigned(B),
    "if": z3.If(z3.And(z3.ULT(A, B), z3.Or(A > 1, z3.Xor(A == B, B >= 3))), A, B),
    "signed": z3.If(z3.Or(A < B, A <= 2, z3.Not(A == 5)), A, B),
    "unsigned": z3.If(z3.Implies(z3.ULE(A, B), z3.UGE(B, 7)), A, z3.If(z3.UGT(A, 1), B, A)),
    "distinct": z3.If(A != B, A, z3.BitVecVal(3, 4)),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_proof_exhaustion_computes_as_the_solver(name: str) -> None:
    """A table of results by z3, as one term, is what every try gives."""
    term = OPERATIONS[name]
    results = term
    for a in range(16):
        for b in (0, 1, 3, 4, 7, 8, 15):
            pairs = ((A, z3.BitVecVal(a, 4)), (B, z3.BitVecVal(b, 4)))
            here = z3.And(pairs[0][1] == A, pairs[1][1] == B)
            value = z3.simplify(z3.substitute(term, *pairs))
            results = z3.If(here, value, results)
    assert exhausted(Holds(name, term == results)).status == PROVED
    assert exhausted(Holds(name, term + 1 == results, shown={"a": A})).status == REFUTED


def test_proof_exhaustion_gives_up_on_too_many_bits() -> None:
    x = z3.BitVec("x", 23)
    assert exhausted(Holds("x = x", x == x)).status == UNDECIDED


def test_proof_exhaustion_from_a_contradiction_is_undecided() -> None:
    x = z3.BitVec("x", 4)
    answer = exhausted(Holds("anything", x == 1, [z3.ULT(x, 1), z3.UGT(x, 1)]))
    assert answer.status == UNDECIDED


def test_proof_exhaustion_refuses_a_division() -> None:
    x = z3.BitVec("x", 4)
    with pytest.raises(ValueError, match="bits and comparisons"):
        exhausted(Holds("x / x = 1", z3.UDiv(x, x) == 1))


def test_proof_exhaustion_tries_more_than_one_block() -> None:
    x = z3.BitVec("x", 20)
    last = (1 << 20) - 1
    answer = exhausted(Holds("below", z3.ULT(x, last), shown={"x": x}))
    assert answer.detail == f"below: x = {np.iinfo(np.int32).max >> 11}"
