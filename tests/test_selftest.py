"""The known answers that ship with the package."""

import copy
import json
from importlib.resources import files
from typing import Any

import pytest

import bitlog2
from bitlog2.sim import KEY_REGISTERS, REGISTERS, SCHEMES
from bitlog2.sim.known_answers import known_answers
from bitlog2.sim.registers import registers_of
from bitlog2.sim.selftest import load_known_answers, selftest

POINTS = {
    "score_requantizer": "t",
    "exp2": "e",
    "log2_quantizer": "level",
    "distance_quantizer": "level",
    "row_multiplier": "m2_row",
    "output_requantizer": "o",
}


def row_case(answers: dict[str, Any], name: str) -> dict[str, Any]:
    return next(case for case in answers["rows"] if case["name"] == name)


def test_selftest_passes_and_counts_every_register():
    report = selftest()
    assert report.passed, str(report)
    assert set(report.compared) == set(REGISTERS)
    assert min(report.compared.values()) >= 18
    assert report.total == sum(report.compared.values()) > 10_000


def test_selftest_compares_each_value_of_a_row_by_three_implementations():
    keys = sum(len(case["masked"]) for case in load_known_answers()["rows"])
    assert selftest().compared["score"] == 3 * keys


def test_selftest_answers_are_small_and_of_this_version():
    size = len(files("bitlog2.sim").joinpath("known_answers.json").read_bytes())
    assert size < 100_000
    assert load_known_answers()["spec_version"] == bitlog2.SPEC_VERSION


def test_selftest_answers_are_those_of_the_generator():
    assert load_known_answers() == json.loads(json.dumps(known_answers()))


def test_selftest_answers_cover_the_schemes_with_masks_and_biases():
    rows = load_known_answers()["rows"]
    for scheme in SCHEMES:
        mine = [case for case in rows if case["config"]["scheme"] == scheme]
        assert any(any(case["masked"]) and any(case["bias"]) for case in mine)
        levels = {level for case in mine for level in case["registers"]["level"]}
        assert len(levels) >= 10
        assert {0, SCHEMES[scheme].top_level} <= levels


def test_selftest_points_spot_checked_by_hand():
    """1 >> 1: -7/2 is -3, 7/2 is 4. 2**-0.5 is 46341. One key is the top level; half, one less."""
    answers = load_known_answers()
    scores = answers["score_requantizer"][0]
    t = {(s, b): t for s, b, t in zip(scores["score"], scores["bias"], scores["t"], strict=True)}
    assert (t[-7, 0], t[7, 0], t[-1, 1], t[28800, 131071]) == (-3, 4, 1, 131071)
    exp2 = answers["exp2"][0]
    e = dict(zip(exp2["d"][:70], exp2["e"], strict=False))
    assert (e[0], e[16], e[32], e[48]) == (65536, 46341, 32768, 23171)
    tops = {}
    for case in answers["log2_quantizer"]:
        level = dict(zip(zip(case["e"], case["s"], strict=True), case["level"], strict=True))
        tops[case["name"]] = (level[65536, 65536], level[0, 65536])
    quotients = {name: scheme for name, scheme in SCHEMES.items() if not scheme.row_max}
    assert tops == {name: (scheme.top_level, 0) for name, scheme in quotients.items()}
    outputs = answers["output_requantizer"][0]
    o = dict(zip(outputs["acc"], outputs["o"], strict=True))
    assert (o[-3], o[3], o[-17], o[17]) == (6, 9, 0, 15)


def test_selftest_one_key_row_spot_checked_by_hand():
    """One key: d = 0, e = s = 2**16, the top level 16 of value 256, whatever the score is."""
    case = row_case(load_known_answers(), "BitLog2_Half_17/1 keys")
    registers = case["registers"]
    assert [registers[name] for name in ("d", "e", "level", "nibble")] == [[0], [65536], [16], [15]]
    assert registers["row_sum"] == 65536
    assert registers["acc"] == [256 * (v - case["params"]["zv"]) for v in case["v"][0]]


def test_selftest_names_an_altered_answer():
    """One integer of one row: each implementation is named, with case, key and both values."""
    answers = load_known_answers()
    case = row_case(answers, "BitLog2_Single_16/9 keys")
    right = case["registers"]["e"][4]
    case["registers"]["e"][4] = right ^ 0x40
    report = selftest(answers)
    assert not report.passed
    assert {(m.unit, m.case, m.key) for m in report.mismatches} == {("e", case["name"], 4)}
    assert [m.implementation for m in report.mismatches] == ["spec", "kernel", "kernel from scores"]
    assert str(report.mismatches[0]) == (
        f"e: case BitLog2_Single_16/9 keys, spec, key 4: "
        f"expected 0x{right ^ 0x40:05x} ({right ^ 0x40}), got 0x{right:05x} ({right})"
    )


def test_selftest_prints_negative_numbers_in_twos_complement():
    answers = load_known_answers()
    answers["score_requantizer"][0]["t"][0] -= 1
    first = selftest(answers).mismatches[0]
    expected, actual = first.expected, first.actual
    assert expected < 0
    assert f"expected 0x{expected + (1 << 18):05x} ({expected})" in str(first)
    assert f"got 0x{actual + (1 << 18):05x} ({actual})" in str(first)


@pytest.mark.parametrize("register", REGISTERS)
def test_selftest_detects_an_altered_bit_in_every_register_of_a_row(register: str):
    answers = load_known_answers()
    name = "BitLog2_Half_17" if register in registers_of("quotient") else "RowMax_16"
    registers = row_case(answers, f"{name}/23 keys")["registers"]
    if isinstance(registers[register], int):
        registers[register] ^= 1
    else:
        registers[register][-1] ^= 1
    report = selftest(answers)
    assert not report.passed
    assert register in {mismatch.unit for mismatch in report.mismatches}


@pytest.mark.parametrize("unit", POINTS)
def test_selftest_detects_an_altered_point(unit: str):
    answers = load_known_answers()
    answers[unit][-1][POINTS[unit]][3] ^= 1
    mismatches = selftest(answers).mismatches
    assert {(m.unit, m.key) for m in mismatches} == {(POINTS[unit], 3)}
    assert len(mismatches) == (4 if unit == "log2_quantizer" else 2)


@pytest.mark.parametrize("register", KEY_REGISTERS)
def test_selftest_detects_a_missing_answer(register: str):
    answers = load_known_answers()
    row_case(answers, "BitLog2_Half_16/23 keys")["registers"][register].pop()
    if register == "score":
        with pytest.raises(ValueError, match="keys"):
            selftest(answers)
    else:
        assert "expected nothing" in str(selftest(answers))


def test_selftest_of_no_answers_does_not_pass():
    empty: dict[str, Any] = {"rows": []} | {unit: [] for unit in POINTS}
    report = selftest(empty)
    assert not report.passed
    assert "never compared: score, t," in str(report)


def test_selftest_report_shows_the_first_mismatches_then_the_count():
    answers = load_known_answers()
    case = row_case(answers, "BitLog2_Half_16/40 keys")
    case["registers"]["t"] = [value + 1 for value in case["registers"]["t"]]
    text = str(selftest(answers))
    assert text.count("\nt: case") == 10
    assert "... and 110 more" in text
    assert text.endswith("FAILED: 120 mismatches")


def test_selftest_hands_out_fresh_answers():
    answers = load_known_answers()
    untouched = copy.deepcopy(answers)
    answers["rows"].clear()
    assert load_known_answers() == untouched
