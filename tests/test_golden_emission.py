"""Emission: the same bytes every time, full coverage or nothing, never over other folders."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.quick import USUAL, quick_where
from test_golden_helpers import SMALL, contents, emit_hand_row

from bitlog2.golden import UNITS, emit, emit_from, emit_stimulus, verify
from bitlog2.golden.stimulus.unit import Point, Target
from bitlog2.golden.stimulus.units import units_within
from bitlog2.sim import SCHEMES, AttentionConfig
from bitlog2.sim.spec import exp2


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden") / "whole"
    emit(folder, SMALL, head_dim=2, seed=5)
    return folder


def test_golden_emission_writes_the_same_bytes_twice(whole: Path, tmp_path: Path) -> None:
    emit(tmp_path / "again", SMALL, head_dim=2, seed=5)
    assert contents(tmp_path / "again") == contents(whole)


def test_golden_emission_from_a_manifest_writes_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    emit_from(whole / "manifest.json", tmp_path / "again")
    assert contents(tmp_path / "again") == contents(whole)


def test_golden_emission_from_a_manifest_of_captured_rows_writes_the_same_bytes(
    tmp_path: Path,
) -> None:
    folder = emit_hand_row(tmp_path / "rows")
    emit_from(folder / "manifest.json", tmp_path / "again")
    assert contents(tmp_path / "again") == contents(folder)


def test_golden_emission_from_a_manifest_in_place_changes_nothing(tmp_path: Path) -> None:
    folder = emit_hand_row(tmp_path / "rows")
    before = contents(folder)
    emit_from(folder / "manifest.json", folder)
    assert contents(folder) == before


def test_golden_emission_from_a_manifest_refuses_another_stimulus(tmp_path: Path) -> None:
    folder = emit_hand_row(tmp_path / "rows")
    stimulus = folder / "attention_row.stimulus.mem"
    stimulus.write_bytes(stimulus.read_bytes().replace(b"21\n", b"22\n"))
    with pytest.raises(ValueError, match="checksum"):
        emit_from(folder / "manifest.json", tmp_path / "again")


def test_golden_emission_follows_the_seed(whole: Path, tmp_path: Path) -> None:
    emit(tmp_path / "other", SMALL, head_dim=2, seed=6)
    name = "attention_row.stimulus.mem"
    assert contents(tmp_path / "other")[name] != contents(whole)[name]


def test_golden_emission_of_one_unit_has_the_cases_of_the_whole_set(
    whole: Path, tmp_path: Path
) -> None:
    emit(tmp_path / "one", SMALL, head_dim=2, seed=5, units=["attention_row"])
    name = "attention_row.stimulus.mem"
    assert contents(tmp_path / "one")[name] == contents(whole)[name]


HAND_WORDS = {
    # m 1 | n 0 | m2 1 | n2 8 | zv 0 | zo 0, in 16 + 5 + 16 + 6 + 4 + 4 bits.
    "attention_row.params.mem": b"0000800004800\n",
    # last | mask | score 10 | bias 0 | v lane 1, lane 0, in 1 + 1 + 16 + 18 + 2 * 4 bits.
    "attention_row.stimulus.mem": b"00028000021\n80028000043\n",
    # acc * 1 >> 8: 768 gives 3; 1152 is 4.5 and RND sends it to 5.
    "attention_row.expected.mem": b"53\n",
    # last | t 10 | d 0 | e 65536 | level 15 | nibble 14 | flag 0.
    "attention_row.keys.mem": b"000140040001fc\n800140040001fc\n",
    # row_max 10 | row_sum 131072 | acc 192 * (2 + 4), 192 * (1 + 3).
    "attention_row.rows.mem": b"0000500200001200300\n",
}


@pytest.mark.parametrize("name", HAND_WORDS)
def test_golden_emission_packs_a_row_worked_by_hand(name: str, tmp_path: Path) -> None:
    assert contents(emit_hand_row(tmp_path / "rows"))[name] == HAND_WORDS[name]


@pytest.mark.parametrize(
    ("word", "result"),
    [
        # s in 27 bits, e in 17; level in 5 bits, nibble in 4, flag in 1.
        (b"00200010000", b"21e"),  # e = s: the top level 16, nibble 15
        (b"00200000000", b"001"),  # e = 0: level 0, the zero flag
        (b"00400010000", b"1fc"),  # e = s / 2: p = 192, level 15, nibble 14
    ],
)
def test_golden_emission_packs_log2_cases_worked_by_hand(
    word: bytes, result: bytes, tmp_path: Path
) -> None:
    emit(tmp_path / "set", units=["log2_quantizer"], sources=["corners"])
    files = contents(tmp_path / "set")
    stimulus = files["log2_quantizer.stimulus.mem"].split()
    assert files["log2_quantizer.expected.mem"].split()[stimulus.index(word)] == result


@pytest.mark.parametrize("scheme", quick_where(lambda scheme: scheme in USUAL, SCHEMES))
def test_golden_emission_declares_every_level_of_the_scheme(scheme: str, tmp_path: Path) -> None:
    written = emit(tmp_path / "set", AttentionConfig(scheme=scheme), head_dim=1)
    for part in written.vectors.units:
        if part.unit.name in ("log2_quantizer", "code_register", "attention_row"):
            name = re.compile(r"level_\d+_nibble_\d+_flag_\d")
            assert sum(bool(name.fullmatch(bin)) for bin in part.bins) == SCHEMES[scheme].levels


def test_golden_emission_with_an_empty_bin_fails_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = UNITS["attention_row"]
    widened = replace(
        unit,
        points=lambda target: [*unit.points(target), Point("never", "BL2-ROW-01")],
        signals=lambda target, tables: {**unit.signals(target, tables), "never": 0},
    )
    monkeypatch.setitem(UNITS, "attention_row", widened)
    with pytest.raises(ValueError, match=r"coverage bins .* empty: attention_row\.never$"):
        emit(tmp_path / "set", SMALL, head_dim=2)
    assert list(tmp_path.iterdir()) == []


def test_golden_emission_of_one_source_reports_its_empty_bins(tmp_path: Path) -> None:
    written = emit(tmp_path / "set", SMALL, head_dim=2, sources=["random"])
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_bytes())
    assert [entry["empty"] for entry in manifest["coverage"]] == [
        part.empty for part in written.vectors.units
    ]
    assert any(part.empty for part in written.vectors.units)


def test_golden_emission_is_exhaustive_where_the_input_is_small(tmp_path: Path) -> None:
    written = emit(tmp_path / "set", SMALL, units=["log2_quantizer"], sources=["corners"])
    assert written.vectors.units[0].cases == (6 * 64 - 64 + 1) * (64 + 1)


def test_golden_emission_refuses_kernel_and_specification_that_disagree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = UNITS["log2_quantizer"]

    def wrong(target: object, inputs: object, progress: object) -> dict:
        tables = unit.specify(target, inputs, progress)  # type: ignore[arg-type]
        tables["expected"]["level"][-1] ^= 1
        return tables

    monkeypatch.setitem(UNITS, "log2_quantizer", replace(unit, specify=wrong))
    with pytest.raises(RuntimeError, match=r"disagree on level of log2_quantizer\.expected"):
        emit(tmp_path / "set", SMALL, head_dim=2)


def test_golden_emission_gives_the_same_numbers_to_python(whole: Path) -> None:
    expected = contents(whole)["attention_row.expected.mem"].split()
    with np.load(whole / "vectors.npz") as arrays:
        o = arrays["attention_row.expected.o"]
    assert [f"{high:x}{low:x}".encode() for low, high in o] == expected


def test_golden_emission_gives_row_offsets_to_python(whole: Path) -> None:
    with np.load(whole / "vectors.npz") as arrays:
        ends = np.flatnonzero(arrays["attention_row.stimulus.last"]) + 1
        assert arrays["attention_row.row_offsets"].tolist() == [0, *ends.tolist()]


@pytest.mark.parametrize("unit", SMALL.units)
def test_golden_emission_package_says_where_each_field_lies_in_its_word(
    whole: Path, unit: str
) -> None:
    """Words cut by the constants of the package are the numbers that Python gets."""
    files = contents(whole)
    package = files["bitlog2_pkg.sv"].decode()
    constants = {name: int(value) for name, value in re.findall(r"integer (\w+) = (\d+);", package)}
    with np.load(whole / "vectors.npz") as arrays:
        made = units_within(SMALL)[unit]
        for stream in made.streams:
            words = [int(word, 16) for word in files[made.file_name(stream)].split()]
            for field in Target(SMALL, 2).fields(stream):
                values = arrays[f"{unit}.{stream.name}.{field.name}"].reshape(len(words), -1)
                lowest = constants[f"{unit}_{stream.name}_{field.name}_LSB".upper()]
                mask = (1 << constants[f"{field.name.upper()}_WIDTH"]) - 1
                cut = [word >> lowest & mask for word in words]
                assert cut == [value & mask for value in values[:, 0].tolist()]


def test_golden_emission_packs_the_table_into_one_vector(whole: Path) -> None:
    text = contents(whole)["bitlog2_pkg.sv"].decode()
    vector = int(text.split("'h")[1].split(";")[0], 16)
    width = SMALL.width("e")
    entries = [(vector >> (width * f)) & ((1 << width) - 1) for f in range(32)]
    assert tuple(entries) == SMALL.table


def test_golden_emission_package_has_every_register_width(whole: Path) -> None:
    text = contents(whole)["bitlog2_pkg.sv"].decode()
    for name, register in SMALL.registers.items():
        assert f"localparam integer {name.upper()}_WIDTH = {register.bits};" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed must be from 0"),
        ({"seed": 1 << 63}, "seed must be from 0"),
        ({"seed": 1.0}, "seed must be an integer"),
        ({"head_dim": 0}, "head_dim must be from 1 to 4"),
        ({"head_dim": 5}, "head_dim must be from 1 to 4"),
        ({"units": ["adder"]}, "units must be among"),
        ({"units": []}, "units must be a list"),
        ({"sources": ["model"]}, "sources must be among"),
        ({"sources": "corners"}, "sources must be a list"),
    ],
    ids=range(9),
)
def test_golden_emission_refuses_a_bad_argument(
    arguments: dict, message: str, tmp_path: Path
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        emit(tmp_path / "set", SMALL, **arguments)


def test_golden_emission_writes_no_path_of_this_machine(whole: Path) -> None:
    assert not [
        name for name, data in contents(whole).items() if str(whole.parent).encode() in data
    ]


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    """Return a set whose row has another first score and one key more, its outputs being old."""
    folder = emit_hand_row(tmp_path / "edited")
    name = folder / "attention_row.stimulus.mem"
    name.write_text("// mine\n0002c000021\n00028000043\n80028000043\n")
    return folder


def test_golden_emission_of_edited_stimulus_is_a_set_that_verifies(
    edited: Path, tmp_path: Path
) -> None:
    emit_stimulus(edited, tmp_path / "mine")
    assert verify(tmp_path / "mine").ok
    manifest = json.loads((tmp_path / "mine" / "manifest.json").read_bytes())
    assert (manifest["sources"], manifest["seed"]) == (["user"], None)
    assert [(group["source"], group["count"]) for group in manifest["groups"]] == [("user", 1)]


def test_golden_emission_of_edited_stimulus_may_replace_it(edited: Path, tmp_path: Path) -> None:
    emit_stimulus(edited, tmp_path / "mine")
    emit_stimulus(edited, edited)
    assert contents(edited) == contents(tmp_path / "mine")


def test_golden_emission_of_edited_stimulus_is_made_again_from_its_manifest(
    edited: Path, tmp_path: Path
) -> None:
    emit_stimulus(edited, edited)
    emit_from(edited / "manifest.json", tmp_path / "again")
    assert contents(tmp_path / "again") == contents(edited)


def test_golden_emission_of_stimulus_alone_takes_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "exp2.stimulus.mem").write_text("07\n41\n")
    emit_stimulus(tmp_path / "mine", tmp_path / "set", SMALL)
    assert verify(tmp_path / "set").ok
    with np.load(tmp_path / "set" / "vectors.npz") as arrays:
        assert arrays["exp2.expected.e"].tolist() == [
            exp2(7, False, SMALL),
            exp2(0x41, False, SMALL),
        ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("attention_row.stimulus.mem", "", "must hold words at the addresses from 0 on"),
        ("attention_row.stimulus.mem", "@1 80028000043", "without a gap"),
        ("attention_row.stimulus.mem", "8002800004x", "must hold no x or z digits"),
        ("attention_row.stimulus.mem", "00028000021", "last beat must have its last bit"),
        ("attention_row.stimulus.mem", "c0028000043", "case 0: masked must leave at least one"),
        ("attention_row.stimulus.mem", "80028000043 80028000043", "must have the same cases"),
        ("attention_row.params.mem", "0000000004800", "case 0: m must be from 1"),
        ("attention_row.params.mem", None, "No such file"),
        ("manifest.json", "{}", r"manifest\.json: schema_version must be one of 1, 2, got None"),
    ],
    ids=range(9),
)
def test_golden_emission_of_edited_stimulus_refuses_what_is_no_stimulus(
    name: str, text: str | None, message: str, edited: Path, tmp_path: Path
) -> None:
    (edited / name).unlink()
    if text is not None:
        (edited / name).write_text(text)
    with pytest.raises((ValueError, OSError), match=message):
        emit_stimulus(edited, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_golden_emission_of_edited_stimulus_refuses_another_configuration(
    edited: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="config and head_dim must be those of"):
        emit_stimulus(edited, tmp_path / "set", SMALL)
