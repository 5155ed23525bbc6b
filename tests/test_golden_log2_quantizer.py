"""Cases of the log2 quantizer: any number of them, their levels and their coverage."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.schemes import QUOTIENTS
from test_golden_helpers import SMALL, contents

from bitlog2.golden import emit, emit_from, verify
from bitlog2.golden.stimulus import log2_quantizer
from bitlog2.golden.stimulus.cases import level_name
from bitlog2.golden.stimulus.log2_quantizer import LOG2_QUANTIZER, threshold
from bitlog2.golden.stimulus.unit import Tables, Target, no_progress
from bitlog2.sim import AttentionConfig, spec

UNIT = "log2_quantizer"


def pairs_of(config: AttentionConfig, cases: int) -> Tables:
    """Return the corner cases of a configuration and so many random ones."""
    target = Target(config, 1)
    groups = [
        group
        for source in ("corners", "random")
        for group in LOG2_QUANTIZER.stimulus(target, source, 3, cases)
    ]
    columns = [group.inputs["stimulus"] for group in groups]
    return {
        "stimulus": {name: np.concatenate([each[name] for each in columns]) for name in ("s", "e")}
    }


def specified(inputs: Tables, config: AttentionConfig) -> list[int]:
    stimulus = inputs["stimulus"]
    return [
        spec.log2_quantizer(e, s, config.code)
        for e, s in zip(stimulus["e"].tolist(), stimulus["s"].tolist(), strict=True)
    ]


CONFIGS = [AttentionConfig(scheme=scheme) for scheme in QUOTIENTS]
CONFIGS += [replace(SMALL, scheme=scheme) for scheme in QUOTIENTS]
CONFIGS += [AttentionConfig(table_bits=20, max_tokens=65536, sum_bits=40)]


@pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))
def test_golden_log2_quantizer_gives_the_levels_of_the_specification(
    config: AttentionConfig,
) -> None:
    """By its kernel, and by the division of whole arrays."""
    inputs = pairs_of(config, 2000)
    e, s = inputs["stimulus"]["e"], inputs["stimulus"]["s"]
    expected = specified(inputs, config)
    simulated = LOG2_QUANTIZER.simulate(Target(config, 1), inputs, no_progress)["expected"]
    assert simulated["level"].tolist() == expected
    assert log2_quantizer.dividing_levels(e, s, config.code).tolist() == expected


@pytest.mark.parametrize("cases", [16, 100, 2000])
def test_golden_log2_quantizer_specifies_a_large_set_as_a_small_one(
    cases: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CONFIGS[-1]
    target, inputs = Target(config, 1), pairs_of(config, cases)
    small = LOG2_QUANTIZER.specify(target, inputs, no_progress)["expected"]
    monkeypatch.setattr(log2_quantizer, "_CALLED_FOR_EACH", 15)
    monkeypatch.setattr(log2_quantizer, "_CALLED_AT_LEAST", 7)
    large = LOG2_QUANTIZER.specify(target, inputs, no_progress)["expected"]
    assert all(np.array_equal(small[name], large[name]) for name in small)


@pytest.mark.parametrize("wrong", [0, 1, 500, 998, 999])
def test_golden_log2_quantizer_refuses_a_wrong_level_anywhere_in_a_large_set(
    wrong: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = log2_quantizer.log2_quantizer_kernel

    def planted(*arguments: np.ndarray) -> None:
        kernel(*arguments)
        arguments[-1][wrong] ^= 1

    monkeypatch.setattr(log2_quantizer, "log2_quantizer_kernel", planted)
    monkeypatch.setattr(log2_quantizer, "_CALLED_FOR_EACH", 15)
    monkeypatch.setattr(log2_quantizer, "_CALLED_AT_LEAST", 7)
    with pytest.raises(RuntimeError, match=r"disagree on level of log2_quantizer\.expected"):
        emit(tmp_path / "set", units=[UNIT], sources=["random"], random_cases=1000)
    assert list(tmp_path.iterdir()) == []


def counted_plainly(config: AttentionConfig, inputs: Tables, level: np.ndarray) -> dict[str, int]:
    """Count every bin by its definition, over all cases at once."""
    e, s, scheme = inputs["stimulus"]["e"], inputs["stimulus"]["s"], config.code
    hits = {level_name(k, config): level == k for k in range(scheme.levels)}
    for k, p in enumerate(scheme.values[1:], start=1):
        edge = threshold(p, s, config)
        for octave in range(config.table_bits, 37):
            there = (s >> octave) == 1
            for name, step in (("below", -1), ("at", 0), ("above", 1)):
                bin = f"level_{k}_edge_{name}_leading_one_{octave}"
                hits[bin] = (e == edge + step) & there
            bin = f"level_{k}_edge_equal_leading_one_{octave}"
            hits[bin] = (e * scheme.int_max == p * s) & there
        hits[f"half_bit_{'set' if k % 2 else 'clear'}_k_{k // 2}"] = level == k
    for k in range(config.table_bits, 63):
        hits[f"leading_one_of_s_{k}"] = (s >> k) == 1
    hits["zero_e"] = e == 0
    hits["zero_guard"] = (e > 0) & (e * scheme.int_max < s)
    hits["top_clamp"] = e == s
    return {name: int(np.count_nonzero(cases)) for name, cases in hits.items()}


@pytest.mark.parametrize("block", [7, 1 << 16])
@pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))
def test_golden_log2_quantizer_counts_every_bin(
    config: AttentionConfig, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, inputs = Target(config, 1), pairs_of(config, 3000)
    if block == 7:
        inputs["stimulus"] = {name: x[-700:] for name, x in inputs["stimulus"].items()}
    monkeypatch.setattr(log2_quantizer, "_BLOCK", block)
    level = np.array(specified(inputs, config))
    signals = LOG2_QUANTIZER.signals(target, inputs | {"expected": {"level": level}})
    found = LOG2_QUANTIZER.hits(target, signals)
    plain = counted_plainly(config, inputs, level)
    declared = LOG2_QUANTIZER.reachable(target)
    assert {name: found[name] for name in declared} == {name: plain[name] for name in declared}


@pytest.mark.requirement("BL2-LOG2-01", "BL2-LOG2-02", "BL2-LOG2-03", "BL2-LOG2-04", "BL2-LOG2-05")
@pytest.mark.parametrize("tokens", [1, 2, 5, 8])
@pytest.mark.parametrize("bits", [4, 5, 6, 7])
@pytest.mark.parametrize("scheme", QUOTIENTS)
def test_golden_log2_quantizer_formulas_declare_what_every_legal_pair_reaches(
    scheme: str, bits: int, tokens: int
) -> None:
    """Each threshold at -1, 0, +1 for every leading one of s, and no more."""
    config = AttentionConfig(scheme=scheme, table_bits=bits, max_tokens=tokens)
    s, e = (grid.ravel() for grid in np.mgrid[1 << bits : (tokens << bits) + 1, 0 : 2**bits + 1])
    inputs = {"stimulus": {"s": s, "e": e}}
    level = log2_quantizer.dividing_levels(e, s, config.code)
    reached = {name for name, hits in counted_plainly(config, inputs, level).items() if hits}
    if not config.code.half:
        reached = {name for name in reached if not name.startswith("half_bit")}
    assert set(LOG2_QUANTIZER.reachable(Target(config, 1))) == reached - {"half_bit_set_k_0"}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden") / "many"
    emit(folder, units=[UNIT], sources=["random"], seed=4, random_cases=20001)
    return folder


def test_golden_log2_quantizer_emits_as_many_cases_as_are_asked_for(many: Path) -> None:
    assert contents(many)[f"{UNIT}.stimulus.mem"].count(b"\n") == 20001


def test_golden_log2_quantizer_set_of_many_cases_verifies(many: Path) -> None:
    assert verify(many).ok


def test_golden_log2_quantizer_manifest_records_the_number_of_cases(many: Path) -> None:
    manifest = json.loads((many / "manifest.json").read_bytes())
    assert manifest["random_cases"] == 20001
    assert manifest["command"].endswith(" --count 20001")


def test_golden_log2_quantizer_makes_many_cases_again_from_the_manifest(
    many: Path, tmp_path: Path
) -> None:
    emit_from(many / "manifest.json", tmp_path / "again")
    assert contents(tmp_path / "again") == contents(many)


@pytest.mark.parametrize("place", ["first", "middle", "last", "first of the last block"])
@pytest.mark.parametrize("digit", [b"flip", b"x"])
def test_golden_log2_quantizer_difference_is_found_wherever_it_is(
    many: Path, tmp_path: Path, place: str, digit: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bitlog2.golden.words.fields._BLOCK_DIGITS", 3 * 1000)
    word = {"first": 0, "middle": 10000, "last": 20000, "first of the last block": 20000 - 999}
    data = bytearray(contents(many)[f"{UNIT}.expected.mem"])
    at = 4 * word[place] + 1
    data[at : at + 1] = b"%x" % (int(data[at : at + 1], 16) ^ 1) if digit == b"flip" else b"x"
    (tmp_path / "dut.mem").write_bytes(data)
    result = verify(many, {UNIT: tmp_path / "dut.mem"})
    comparison = result.devices[0]
    count = comparison.counts[0]
    assert (result.status, list(comparison.parted)) == (1, [word[place]])
    assert (count.compared, count.wrong) == (20001, 1)


def test_golden_log2_quantizer_differences_in_every_block_are_counted(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bitlog2.golden.words.fields._BLOCK_DIGITS", 3 * 1000)
    lines = contents(many)[f"{UNIT}.expected.mem"].splitlines()
    wrong = list(range(0, 20001, 500))
    for word in wrong:
        lines[word] = b"%03x" % (int(lines[word], 16) ^ 0x20)
    (tmp_path / "dut.mem").write_bytes(b"\n".join(lines))
    comparison = verify(many, {UNIT: tmp_path / "dut.mem"}).devices[0]
    assert sorted(comparison.parted) == wrong
    assert (comparison.total, comparison.counts[0].wrong) == (len(wrong), len(wrong))
    assert [mismatch.case for mismatch in comparison.mismatches] == wrong[:10]


def test_golden_log2_quantizer_of_capitals_agrees(many: Path, tmp_path: Path) -> None:
    data = contents(many)[f"{UNIT}.expected.mem"]
    (tmp_path / "dut.mem").write_bytes(data.upper())
    result = verify(many, {UNIT: tmp_path / "dut.mem"})
    assert (result.status, result.devices[0].counts[0].compared) == (0, 20001)


@pytest.mark.parametrize("line_end", [b"\r\n", b" // key\n", b"\n\n"])
def test_golden_log2_quantizer_of_other_line_ends_agrees(
    many: Path, tmp_path: Path, line_end: bytes
) -> None:
    data = contents(many)[f"{UNIT}.expected.mem"].replace(b"\n", line_end)
    (tmp_path / "dut.mem").write_bytes(data)
    result = verify(many, {UNIT: tmp_path / "dut.mem"})
    assert (result.status, result.devices[0].counts[0].compared) == (0, 20001)
