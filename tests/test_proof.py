"""Claims: what is proved, how a line reads, and what counts as not proved."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import z3
from support.command import call
from support.schemes import QUOTIENTS
from test_house import SPECIFIED

from bitlog2.golden.assurance.proof import CLAIMS, Claim, Setting, decide, selected
from bitlog2.golden.assurance.proof.claim import UNDECIDED, Checked, Deadline, Holds
from bitlog2.golden.assurance.requirements import ids_of
from bitlog2.sim import AttentionConfig
from bitlog2.sim.scheme import SCHEMES

BY_NAME = {claim.name: claim for claim in CLAIMS}
ALL = selected(CLAIMS, None, tuple(SCHEMES))
#: Claims that take a second or less.
QUICK = (
    "threshold_floor",
    "level_values",
    "comparing_divides",
    "clamp",
    "narrow_compare",
    "exp2_table",
    "exp2_shifter",
    "exp2_error",
    "leading_one",
    "rounding",
    "bias_is_whole",
    "score_bound",
    "sum_bound",
    "term_is_value",
    "product_bound",
    "out_product_bound",
    "rtl_distance",
    "rtl_exp2",
    "distance_thresholds",
    "row_max_values",
    "octave_form",
    "weight_bound",
    "acc_bound_row_max",
    "rtl_distance_quantizer",
)


def command(*words: object) -> int:
    return call("golden", "proof", *words)


def hard() -> Holds:
    """A true statement that takes a solver hours."""
    a, b = (z3.ZeroExt(31, x) for x in z3.BitVecs("a b", 31))
    return Holds("2^61 - 1 is prime", a * b != (1 << 61) - 1)


def claim_of(*obligations: Holds | Checked) -> Claim:
    return Claim("planted", "BL2-X-01", lambda _: "full width", "z3", lambda _: obligations)


@pytest.mark.parametrize("name", QUICK)
def test_proof_claim_is_proved(name: str) -> None:
    ((claim, setting), *_) = selected(CLAIMS, [name], tuple(SCHEMES))
    line = decide(claim, setting, 120)
    assert (line.result, line.detail) == ("proved", "")


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("claim", "setting"), ALL, ids=[f"{c.name}-{s.scheme.name}" for c, s in ALL]
)
def test_proof_every_claim_is_proved(claim: Claim, setting: Setting) -> None:
    line = decide(claim, setting, 900)
    assert (line.result, line.detail) == ("proved", "")


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_proof_claim_names_requirements_of_the_page(claim: Claim) -> None:
    ids = ids_of(claim.requirements)
    assert ids
    assert ids <= SPECIFIED


def test_proof_claims_have_names_of_their_own() -> None:
    assert len(BY_NAME) == len(CLAIMS)


def test_proof_claims_cover_the_arithmetic() -> None:
    """Every requirement of a unit but d of a masked key, refusals and the row as a whole."""
    units = ("SCORE", "REQ", "MAX", "EXP2", "SUM", "LOG2", "CODE", "ACC", "OUT")
    units += ("DIST", "WEIGHT", "ROWMUL")
    wanted = {one for one in SPECIFIED if one.split("-")[1] in units}
    covered = {one for claim in CLAIMS for one in ids_of(claim.requirements)}
    assert wanted - covered == {"BL2-MAX-02", "BL2-MAX-04"}


def test_proof_out_of_time_is_not_proved() -> None:
    line = decide(claim_of(hard()), Setting(AttentionConfig()), 0.5)
    assert line.result == "NOT PROVED"
    assert "out of time" in line.detail
    assert not line.holds
    assert line.seconds < 30


def test_proof_without_obligations_is_not_proved() -> None:
    assert decide(claim_of(), Setting(AttentionConfig()), 5).result == "NOT PROVED"


def test_proof_from_a_contradiction_is_not_proved() -> None:
    x = z3.Int("x")
    answer = Holds("anything", x == 1, [x > 1, x < 1]).decide(Deadline(5))
    assert answer.status == UNDECIDED
    assert "contradicts" in answer.detail


def test_proof_one_undecided_obligation_is_not_proved() -> None:
    x = z3.Int("x")
    easy = Holds("x = x", x == x)
    line = decide(claim_of(easy, hard(), easy), Setting(AttentionConfig()), 0.5)
    assert line.result == "NOT PROVED"


def test_proof_selected_once_where_schemes_do_not_differ() -> None:
    chosen = selected(CLAIMS, ["exp2_table", "clamp"], tuple(SCHEMES))
    assert [claim.name for claim, _ in chosen] == ["exp2_table"] + ["clamp"] * 4
    assert [setting.scheme.name for _, setting in chosen[1:]] == list(QUOTIENTS)


def test_proof_selected_of_the_family_that_a_claim_is_about() -> None:
    chosen = selected(CLAIMS, ["clamp", "weight_bound", "term_is_value"], ("RowMax_16",))
    assert {(claim.name, setting.scheme.name) for claim, setting in chosen} == {
        ("weight_bound", "RowMax_16"),
        ("term_is_value", "RowMax_16"),
    }


def test_proof_unknown_claim_is_refused() -> None:
    with pytest.raises(ValueError, match=r"claim must be one of .*exp2_table, .*'nothing'"):
        selected(CLAIMS, ["nothing"], tuple(SCHEMES))


def test_proof_command_prints_a_line_a_claim(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    out = tmp_path / "proof.json"
    names = ("--claim", "threshold_floor", "--claim", "level_values")
    assert command(*names, "--scheme", "BitLog2_Single_16", "--json", out) == 0
    head, first, second, last = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["claim", "scheme", "requirements"]
    assert "BL2-LOG2-01, -04, -07  unbounded integers E, s, T" in first
    assert second.split()[:3] == ["level_values", "BitLog2_Single_16", "BL2-SCHEME-01"]
    assert last.startswith("2 of 2 claims hold, ")
    assert [line["result"] for line in json.loads(out.read_text())["claims"]] == ["proved"] * 2


def test_proof_command_status_is_1_where_a_claim_is_not_proved(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = replace(claim_of(hard()), name="planted")
    monkeypatch.setattr("bitlog2.golden.assurance.proof.CLAIMS", (*CLAIMS, planted))
    assert command("--claim", "planted", "--claim", "exp2_table", "--timeout", 1) == 1
    text = capsys.readouterr().out
    assert "NOT PROVED" in text
    assert "  2^61 - 1 is prime: out of time" in text
    assert "1 of 2 claims hold" in text
