"""A proof that cannot fail is a defect: each prover refutes a planted error.

Claims of SPEC.md about arithmetic; those about the RTL are in test_proof_rtl.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial

import pytest
import z3
from support.schemes import QUOTIENTS

from bitlog2.golden.assurance.proof import Setting, decide
from bitlog2.golden.assurance.proof.claim import (
    REFUTED,
    Claim,
    Deadline,
    Holds,
    integer,
    leading_one,
    rnd,
    saturated,
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
from bitlog2.sim.spec import log2_quantizer


def decided(obligations: Callable[[Setting], Iterable], scheme: str = "BitLog2_Half_17") -> str:
    claim = Claim("planted", "BL2-X-01", lambda _: "full width", "z3", obligations)
    line = decide(claim, Setting(AttentionConfig(scheme=scheme)), 60)
    return f"{line.result} {line.detail}"


@pytest.mark.parametrize("scheme", QUOTIENTS)
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
