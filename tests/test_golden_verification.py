"""Verification: every planted error is caught, and the first unit that parts is named."""

from __future__ import annotations

import random
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.command import call
from support.quick import one_in
from test_golden_helpers import (
    IRREGULAR,
    SMALL,
    contents,
    emit_small,
    make_irregular,
    renew_sums,
)

from bitlog2.golden import Verification, emit, run_device, verify, verify_case
from bitlog2.golden.stimulus.unit import Target
from bitlog2.golden.stimulus.units import units_within
from bitlog2.golden.words.fields import pack, unpack, word_width
from bitlog2.golden.words.memfile import parse_mem, render_mem

TARGET = Target(SMALL, 2)
FILES = 31

#: The units of the sets' datapath.
HELD = units_within(TARGET.config)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return emit_small(tmp_path_factory.mktemp("golden") / "set")


@pytest.fixture(scope="module")
def device(folder: Path) -> dict[str, Path]:
    return run_device(folder, folder.parent / "results")


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    """Return a copy of the set to spoil."""
    return Path(shutil.copytree(folder, tmp_path / "own"))


def spoiled(path: Path, unit: str, stream: str, field: str, word: int, change: int) -> bytes:
    """Return a result file in which one value of one word is another."""
    fields = TARGET.fields(next(s for s in HELD[unit].outputs if s.name == stream))
    data = path.read_bytes()
    image = parse_mem(data, path.name, word_width(fields), data.count(b"\n"))
    columns = unpack(fields, image.digits)
    columns[field].reshape(len(columns[field]), -1)[word, 0] ^= change
    return render_mem(pack(fields, columns))


def verified(folder: Path, name: str, data: bytes, tmp_path: Path) -> Verification:
    (tmp_path / "dut.mem").write_bytes(data)
    return verify(folder, {name: tmp_path / "dut.mem"})


def test_golden_verification_accepts_the_simulator(folder: Path, device: dict[str, Path]) -> None:
    """The simulator as the device writes the very bytes of the set."""
    assert verify(folder, device).status == 0
    assert all(path.read_bytes() == (folder / path.name).read_bytes() for path in device.values())


def test_golden_verification_counts_every_word(folder: Path, device: dict[str, Path]) -> None:
    for comparison in verify(folder, device).devices:
        for count in comparison.counts:
            assert count.compared == count.words == device[count.name].read_bytes().count(b"\n")


def test_golden_verification_compares_every_output_field() -> None:
    for unit in HELD.values():
        fields = {(s.name, field.name) for s in unit.outputs for field in TARGET.fields(s)}
        assert {(stream, field) for _, stream, field in unit.datapath} == fields


def test_golden_verification_sees_as_many_files_as_the_flips_cover(folder: Path) -> None:
    assert len(contents(folder)) == FILES


@pytest.mark.parametrize("index", one_in(20, range(FILES)))
def test_golden_verification_catches_any_flipped_bit(own: Path, index: int) -> None:
    path = sorted(own.iterdir())[index]
    data = path.read_bytes()
    rng = random.Random(1000 + index)
    for position in (0, len(data) - 1, *(rng.randrange(len(data)) for _ in range(3))):
        flipped = bytearray(data)
        flipped[position] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        try:
            status = verify(own).status
        except ValueError:
            status = 2
        assert status != 0, (path.name, position)


EDITS = [(unit.name, stream, field) for unit in HELD.values() for _, stream, field in unit.datapath]
#: A word of each stream that means something: bytes of a plane are written now and then.
WORDS = {("code_register", "memory"): 16, ("row_max", "keys"): 30}


@pytest.mark.parametrize(("unit", "stream", "field"), one_in(4, EDITS))
def test_golden_verification_catches_an_edit_with_renewed_sums(
    own: Path, unit: str, stream: str, field: str
) -> None:
    path = own / f"{unit}.{stream}.mem"
    path.write_bytes(spoiled(path, unit, stream, field, WORDS.get((unit, stream), 4), 1))
    renew_sums(own)
    inside = {each.unit: each for each in verify(own).inside}
    assert [str(m.field) for m in inside[unit].mismatches] == [field]


@pytest.mark.parametrize(("unit", "stream", "field"), one_in(2, EDITS, first=1))
def test_golden_verification_names_the_wrong_word_of_a_device(
    folder: Path, device: dict[str, Path], tmp_path: Path, unit: str, stream: str, field: str
) -> None:
    word = WORDS.get((unit, stream), 4)
    name = f"{unit}.{stream}"
    data = spoiled(device[name], unit, stream, field, word, 1)
    mismatches = verified(folder, name, data, tmp_path).devices[0].mismatches
    lanes = {f.name: f.lanes for s in HELD[unit].outputs for f in TARGET.fields(s)}[field]
    assert [(m.unit, m.stream, m.field, m.lane) for m in mismatches] == [
        (unit, stream, field, 0 if lanes > 1 else None)
    ]
    with np.load(folder / "vectors.npz") as arrays:
        offsets = arrays.get(f"{unit}.row_offsets")
        expected = arrays[f"{name}.{field}"].reshape(-1, lanes)[word, 0]
    framed = next(s for s in HELD[unit].outputs if s.name == stream).per == "beat"
    case = int(np.searchsorted(offsets, word, side="right")) - 1 if framed else word
    beat = word - int(offsets[case]) if framed else None
    assert (mismatches[0].case, mismatches[0].beat) == (case, beat)
    assert (mismatches[0].expected, mismatches[0].actual) == (int(expected), int(expected) ^ 1)


@pytest.mark.parametrize("name", ["vectors.npz", "bitlog2_pkg.sv"])
def test_golden_verification_catches_an_edited_attachment_with_renewed_sums(
    own: Path, name: str
) -> None:
    path = own / name
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    renew_sums(own)
    assert f"{name} is not what the stimulus gives" in verify(own).failures


def test_golden_verification_catches_an_edited_stimulus_with_renewed_sums(own: Path) -> None:
    path = own / "log2_quantizer.stimulus.mem"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3], lines[2000] = lines[2000], lines[3]
    path.write_bytes(b"".join(lines))
    renew_sums(own)
    assert verify(own).status == 1


@pytest.mark.parametrize("text", [b"x", b"Z"])
def test_golden_verification_refuses_unknown_digits_in_a_stimulus(own: Path, text: bytes) -> None:
    path = own / "log2_quantizer.stimulus.mem"
    path.write_bytes(text + path.read_bytes()[1:])
    renew_sums(own)
    assert "must hold no x or z digits" in "".join(verify(own).failures)


def test_golden_verification_refuses_a_stimulus_out_of_range(own: Path) -> None:
    path = own / "attention_row.params.mem"
    first, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([b"0" * (len(first) - 1) + b"\n", *rest]))
    renew_sums(own)
    assert any("attention_row case 0: m must be from 1" in f for f in verify(own).failures)


def test_golden_verification_catches_one_wrong_level(
    folder: Path, device: dict[str, Path], tmp_path: Path
) -> None:
    path = device["log2_quantizer.expected"]
    data = spoiled(path, "log2_quantizer", "expected", "level", 100, 1)
    result = verified(folder, "log2_quantizer", data, tmp_path)
    assert (result.status, result.devices[0].total, list(result.devices[0].parted)) == (1, 1, [100])


def test_golden_verification_catches_swapped_words(
    folder: Path, device: dict[str, Path], tmp_path: Path
) -> None:
    lines = device["log2_quantizer.expected"].read_bytes().splitlines(keepends=True)
    other = next(i for i, line in enumerate(lines) if line != lines[0])
    lines[0], lines[other] = lines[other], lines[0]
    result = verified(folder, "log2_quantizer", b"".join(lines), tmp_path)
    assert sorted(result.devices[0].parted) == [0, other]


def test_golden_verification_catches_swapped_nibbles(
    folder: Path, device: dict[str, Path], tmp_path: Path
) -> None:
    """The nibbles of two neighbouring keys, one given for the other."""
    with np.load(folder / "vectors.npz") as arrays:
        nibble = arrays["attention_row.keys.nibble"].tolist()
    first = next(i for i in range(len(nibble)) if nibble[i] != nibble[i + 1])
    change = nibble[first] ^ nibble[first + 1]
    path = tmp_path / "keys.mem"
    path.write_bytes(device["attention_row.keys"].read_bytes())
    for word in (first, first + 1):
        path.write_bytes(spoiled(path, "attention_row", "keys", "nibble", word, change))
    comparison = verify(folder, {"attention_row.keys": path}).devices[0]
    assert (comparison.total, set(comparison.parted.values())) == (2, {"code_register"})


def test_golden_verification_ends_with_the_command_that_shows_the_case_alone(
    folder: Path, device: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(folder / "vectors.npz") as arrays:
        seen = int(np.flatnonzero(arrays["row_max.stimulus.mask"] == 0)[-1])
    path = tmp_path / "my keys.mem"
    path.write_bytes(spoiled(device["row_max.keys"], "row_max", "keys", "d", seen, 1))
    assert call("golden", "verify", folder, "--actual", f"row_max.keys={path}") == 1
    printed = capsys.readouterr().out.splitlines()
    (alone,) = [line for line in printed if " alone: " in line]
    assert printed[-2:] == [alone, "DIFFERS"]
    words = shlex.split(alone.partition(" alone: bitlog2 ")[2])
    (wrong,) = verify(folder, {"row_max.keys": path}).devices[0].mismatches
    assert words[-2:] == ["--case", f"row_max={wrong.case}"]
    assert call(*words) == 1
    whole = capsys.readouterr().out.splitlines()
    assert not any("alone" in line for line in whole)
    assert sum(": expected 0x" in line for line in whole) == 1
    beats = sum("stimulus beat" in line for line in whole)
    assert beats == sum("keys beat" in line and "must be d" in line for line in whole) > 0


def test_golden_verification_of_a_case_looks_at_no_other(
    folder: Path, device: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "e.mem"
    path.write_bytes(spoiled(device["exp2.expected"], "exp2", "expected", "e", 7, 1))
    actual = {"exp2": path}
    assert verify_case(folder, "exp2", 8, actual).ok
    found = verify_case(folder, "exp2", 7, actual)
    assert (found.status, found.devices[0].total) == (1, 1)
    assert verify_case(folder, "exp2", 7).ok
    with pytest.raises(ValueError, match="actual must be of row_max, as the case is, got exp2"):
        verify_case(folder, "row_max", 7, actual)
    with pytest.raises(ValueError, match="case of exp2 must be from 0 to"):
        verify_case(folder, "exp2", 10**6)
    with pytest.raises(ValueError, match="unit must be one of score_accumulator"):
        verify_case(folder, "exp3", 0)
    with pytest.raises(ValueError, match="--case must be UNIT=N, got '7'"):
        call("golden", "verify", folder, "--case", "7")


def test_golden_verification_catches_a_short_file(
    folder: Path, device: dict[str, Path], tmp_path: Path
) -> None:
    data = device["attention_row.expected"].read_bytes()
    result = verified(folder, "attention_row", data[: data.rindex(b"\n", 0, -1) + 1], tmp_path)
    count = result.devices[0].counts[0]
    assert (result.status, count.words - count.compared, count.wrong) == (1, 1, 0)


@pytest.mark.parametrize("data", [b"", b"// no words\n"])
def test_golden_verification_catches_an_empty_file(
    folder: Path, tmp_path: Path, data: bytes
) -> None:
    result = verified(folder, "attention_row", data, tmp_path)
    assert (result.status, result.devices[0].counts[0].compared) == (1, 0)


def test_golden_verification_catches_surplus_words(
    folder: Path, device: dict[str, Path], tmp_path: Path
) -> None:
    data = device["attention_row.expected"].read_bytes()
    result = verified(folder, "attention_row", data + data[-3:], tmp_path)
    assert (result.status, result.devices[0].counts[0].surplus) == (1, 1)


@pytest.mark.parametrize("digit", [b"x", b"X", b"z"])
def test_golden_verification_catches_an_unknown_digit_in_place_of_zero(
    folder: Path, device: dict[str, Path], tmp_path: Path, digit: bytes
) -> None:
    data = device["log2_quantizer.expected"].read_bytes()
    place = data.index(b"0")
    result = verified(folder, "log2_quantizer", data[:place] + digit + data[place + 1 :], tmp_path)
    assert result.devices[0].mismatches[0].actual is None


def test_golden_verification_refuses_a_malformed_file(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"dut\.mem line 1: must be a hexadecimal word"):
        verified(folder, "attention_row", b"hello\n", tmp_path)


def test_golden_verification_reads_another_dialect(
    folder: Path, device: dict[str, Path], tmp_path: Path
) -> None:
    words = device["attention_row.keys"].read_bytes().upper().split()
    lines = [b"/* dut */", *[b"@%x %s // key" % each for each in enumerate(words)][::-1]]
    assert verified(folder, "attention_row.keys", b"\n".join(lines), tmp_path).ok


PARTS = [
    ("framing", "keys", "last"),
    ("score_requantizer", "keys", "t"),
    ("row_max", "rows", "row_max"),
    ("distance", "keys", "d"),
    ("exp2", "keys", "e"),
    ("row_sum", "rows", "row_sum"),
    ("log2_quantizer", "keys", "level"),
    ("code_register", "keys", "nibble"),
    ("code_register", "keys", "flag"),
    ("shift_add", "rows", "acc"),
    ("output_requantizer", "expected", "o"),
]


@pytest.mark.parametrize(("unit", "stream", "field"), PARTS)
def test_golden_verification_names_the_first_unit_that_parts(
    folder: Path, device: dict[str, Path], tmp_path: Path, unit: str, stream: str, field: str
) -> None:
    """Spoil a field and, in the same case, everything that comes after it."""
    actual: dict[str, Path] = {}
    spoil = PARTS[PARTS.index((unit, stream, field)) :]
    for name in ("keys", "rows", "expected"):
        path = tmp_path / f"{name}.mem"
        path.write_bytes(device[f"attention_row.{name}"].read_bytes())
        for _, _, each in [part for part in spoil if part[1] == name]:
            path.write_bytes(spoiled(path, "attention_row", name, each, 2, 1))
        actual[f"attention_row.{name}"] = path
    assert verify(folder, actual).devices[0].parted == {2: unit}


def test_golden_verification_says_which_taps_it_was_not_given(
    folder: Path, device: dict[str, Path], tmp_path: Path
) -> None:
    path = device["attention_row.expected"]
    data = spoiled(path, "attention_row", "expected", "o", 7, 1)
    report = "\n".join(verified(folder, "attention_row", data, tmp_path).lines())
    assert "not given: attention_row.keys, attention_row.rows" in report


def test_golden_verification_leaves_the_distance_of_masked_keys_out(
    folder: Path, device: dict[str, Path], tmp_path: Path
) -> None:
    with np.load(folder / "vectors.npz") as arrays:
        masked = int(np.flatnonzero(arrays["attention_row.stimulus.mask"])[0])
    data = spoiled(device["attention_row.keys"], "attention_row", "keys", "d", masked, 1)
    assert verified(folder, "attention_row.keys", data, tmp_path).ok


def test_golden_verification_prints_a_mismatch_in_hexadecimal_and_decimal(
    folder: Path, device: dict[str, Path], tmp_path: Path
) -> None:
    path = device["attention_row.keys"]
    with np.load(folder / "vectors.npz") as arrays:
        first = int(arrays["attention_row.row_offsets"][5])
        expected = int(arrays["attention_row.keys.e"][first + 1])
    data = spoiled(path, "attention_row", "keys", "e", first + 1, 1)
    mismatch = verified(folder, "attention_row.keys", data, tmp_path).devices[0].mismatches[0]
    assert str(mismatch) == (
        f"attention_row.keys case 5 beat 1 e (exp2): expected 0x{expected:02x} ({expected}), "
        f"actual 0x{expected ^ 1:02x} ({expected ^ 1})"
    )


def test_golden_verification_prints_ten_mismatches_and_the_count(
    folder: Path, device: dict[str, Path], tmp_path: Path
) -> None:
    words = device["log2_quantizer.expected"].read_bytes().split()
    data = b"\n".join(b"%03x" % (int(word, 16) ^ 0x20) for word in words)
    comparison = verified(folder, "log2_quantizer", data, tmp_path).devices[0]
    assert (len(comparison.mismatches), comparison.total) == (10, len(words))


@pytest.mark.parametrize(
    ("change", "how"),
    [
        (lambda s: s - 1, "each 1 too low"),
        (lambda s: s + 3, "each 3 too high"),
        (lambda s: s ^ 0x41, "each with the bits 0x41 turned over"),
        (lambda s: 0 * s, "each is 0"),
        (lambda s: s + 1 + np.arange(len(s)) % 2, "{n} too high, by 1 to 2"),
    ],
    ids=range(5),
)
def test_golden_verification_tells_how_values_differ(
    folder: Path, tmp_path: Path, change: Callable[[NDArray[np.int64]], NDArray[np.int64]], how: str
) -> None:
    with np.load(folder / "vectors.npz") as arrays:
        wrong = change(arrays["row_sum.expected.s"].astype(np.int64))
    data = "".join(f"{value:03x}\n" for value in wrong).encode()
    report = verified(folder, "row_sum", data, tmp_path).devices[0].lines()
    n = len(wrong)
    told = f"{n} of {n} values differ, in {n} cases: {how.format(n=n)}"
    assert f"  expected s (row_sum): {told}" in report
    assert "    requirements of row_sum: BL2-ROW-01, BL2-SUM-01, BL2-SUM-02" in report


def test_golden_verification_tells_unknown_bits_apart(
    folder: Path, device: dict[str, Path], tmp_path: Path
) -> None:
    words = device["row_sum.expected"].read_bytes().split()
    data = b"\n".join([b"xxx" for word in words])
    comparison = verified(folder, "row_sum", data, tmp_path).devices[0]
    assert comparison.differences[0].how == "each has unknown bits"


def test_golden_verification_shows_two_lanes_of_a_value(tmp_path: Path) -> None:
    emit(tmp_path / "set", SMALL, head_dim=4, units=["shift_add"], sources=("corners",))
    words = (tmp_path / "set" / "shift_add.expected.mem").read_bytes().split()
    data = b"\n".join(b"f" * len(word) for word in words)
    found = verified(tmp_path / "set", "shift_add", data, tmp_path).devices[0].mismatches
    assert [(each.case, each.lane) for each in found[:4]] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_golden_verification_shows_why_a_case_is_there_and_the_keys_around(
    folder: Path, device: dict[str, Path], tmp_path: Path
) -> None:
    with np.load(folder / "vectors.npz") as arrays:
        offsets = arrays["attention_row.row_offsets"]
        case = int(np.flatnonzero(np.diff(offsets) == SMALL.max_tokens)[0])
    data = spoiled(
        device["attention_row.keys"], "attention_row", "keys", "e", int(offsets[case]) + 3, 1
    )
    comparison = verified(folder, "attention_row.keys", data, tmp_path).devices[0]
    reason, params, *beats = comparison.first
    assert reason.startswith(f"case {case}, corners: ")
    assert list(comparison.reasons) == [reason.split(", ", 1)[1]]
    assert params.startswith("  params: m ")
    assert [line.split(":")[0] for line in beats] == [f"  beat {at}" for at in range(1, 6)] + [
        "  (6 beats in all)"
    ]


@pytest.mark.parametrize("name", ["attention_row.stimulus", "adder", "log2_quantizer.keys"])
def test_golden_verification_refuses_a_stream_that_is_no_output(folder: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"actual must be one of .* log2_quantizer\.expected,"):
        verify(folder, {name: folder / "manifest.json"})


def test_golden_verification_refuses_a_stream_given_twice(
    folder: Path, device: dict[str, Path]
) -> None:
    path = device["attention_row.expected"]
    with pytest.raises(ValueError, match="once"):
        verify(folder, {"attention_row": path, "attention_row.expected": path})


def test_golden_verification_refuses_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be a folder"):
        verify(tmp_path / "nowhere")


def test_golden_verification_refuses_a_folder_that_is_no_set(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must hold manifest\.json"):
        verify(tmp_path)


@pytest.mark.parametrize(
    ("format", "base"), [("d", "decimal"), ("012d", "decimal"), ("017b", "binary"), ("b", "binary")]
)
def test_golden_verification_names_words_in_another_base(
    format: str, base: str, tmp_path: Path
) -> None:
    emit(tmp_path / "set", SMALL, head_dim=2, units=["exp2"])
    words = (tmp_path / "set" / "exp2.expected.mem").read_text().split()
    (tmp_path / "o.mem").write_text("\n".join(f"{int(word, 16):{format}}" for word in words))
    message = rf"o\.mem must hold hexadecimal words of 2 digits, got {base} ones$"
    with pytest.raises(ValueError, match=message):
        verify(tmp_path / "set", {"exp2": tmp_path / "o.mem"})


@pytest.mark.parametrize("kind", IRREGULAR)
def test_golden_verification_refuses_what_is_no_file_as_outputs(
    kind: str, folder: Path, tmp_path: Path
) -> None:
    make_irregular(tmp_path / "o.mem", kind)
    with pytest.raises((ValueError, OSError), match=IRREGULAR[kind]):
        verify(folder, {"log2_quantizer": tmp_path / "o.mem"})


# The simulator as the device.


def test_golden_device_writes_the_units_that_it_is_asked_for(folder: Path, tmp_path: Path) -> None:
    run_device(folder, tmp_path / "out", ["log2_quantizer"])
    assert list(contents(tmp_path / "out")) == ["log2_quantizer.expected.mem"]


def test_golden_device_refuses_a_unit_that_is_not_in_the_set(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unit must be one of"):
        run_device(folder, tmp_path / "out", ["adder"])
