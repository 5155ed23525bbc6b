"""Mangled result files and sets against `bitlog2 golden verify`: refused in a line, or harmless.

Never a traceback, never a false agreement: a mangled result file that agrees must mean the same
words, a mangled set must be the same bytes; the reasons of its cases alone are words for a reader.
"""

from __future__ import annotations

import io
import json
import random
import re
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_golden_helpers import SMALL, contents, renew_sums

from bitlog2.golden import UNITS, emit
from bitlog2.scripts.cli import main

MANIFEST = "manifest.json"
SMALL_ROW_MAX = replace(SMALL, scheme="RowMax_16", max_n2=16)
Mangle = Callable[[bytes, random.Random], bytes]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a set of three cases for each unit."""
    root = tmp_path_factory.mktemp("fuzz")
    for unit in UNITS:
        sources = ["random"]
        config = SMALL if unit in SMALL.units else SMALL_ROW_MAX
        emit(root / unit, config, head_dim=2, units=[unit], sources=sources, random_cases=3)
    return {unit: root / unit for unit in UNITS}


def verify_status(*words: object) -> tuple[int, str, str]:
    """Return exit status, standard output and standard error of `bitlog2 golden verify`."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main(["golden", "verify", *map(str, words)])
    return status, out.getvalue(), err.getvalue()


def meaning(data: bytes) -> dict[int, int] | None:
    """Return the words of a memory file by address, read plainly; None where it is malformed."""
    text = re.sub(rb"//[^\n]*|/\*.*?\*/", b" ", data, flags=re.DOTALL)
    words: dict[int, int] = {}
    address = 0
    for token in text.split():
        digits = token.replace(b"_", b"")
        try:
            if token.startswith(b"@"):
                address = int(digits[1:], 16)
            else:
                words[address] = int(digits, 16)
                address += 1
        except ValueError:
            return None
    return words


def place(data: bytes, rng: random.Random) -> int:
    return rng.randrange(len(data) + 1)


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    flipped = bytearray(data)
    for _ in range(rng.choice([1, 1, 3, 20])):
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: place(data, rng)]


def edit_lines(data: bytes, rng: random.Random) -> bytes:
    """Duplicate, remove, swap or repeat lines."""
    lines = data.splitlines(keepends=True)
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(4)
    if kind == 0:
        lines.insert(b, lines[a])
    elif kind == 1:
        del lines[a]
    elif kind == 2:
        lines[a], lines[b] = lines[b], lines[a]
    else:
        lines *= rng.choice([2, 50])
    return b"".join(lines)


TOKENS = [
    b"\0",
    b"\0" * 100,
    b"f" * 5000,
    b"9" * 5000,
    b"-1",
    b"1e999999",
    b"0x10",
    b"1.5",
    b"@",
    b"@0 ",
    b"@-1 ",
    b"@ffffffffffffffffffff ",
    b"@7fffffffffffffff ",
    b"x",
    b"Z",
    b"_",
    b"/*",
    b"*/",
    b"// x\n",
    b"\r",
    b"\x85\xa0",
    b"\xff\xfe",
    "\N{ARABIC-INDIC DIGIT THREE}".encode(),
    b"NaN",
    b"true",
    b"[" * 3000,
    b'{"',
    b"\n\n",
    b" ",
]


def insert_token(data: bytes, rng: random.Random) -> bytes:
    at = place(data, rng)
    return data[:at] + rng.choice(TOKENS) + data[at:]


def garbage(data: bytes, rng: random.Random) -> bytes:
    at, size = place(data, rng), rng.choice([0, 1, 50, len(data)])
    noise = bytes(rng.randrange(256) for _ in range(rng.choice([1, 10, 200])))
    return data[:at] + noise + data[at + size :]


def other_file(data: bytes, rng: random.Random) -> bytes:
    return rng.choice([b"", b"\n", b"// nothing\n", b"[]", b"null", b"PK\3\4" + data, data[::-1]])


def dialect(data: bytes, rng: random.Random) -> bytes:
    """Write the same words as another simulator would."""
    words = data.split()
    styles: list[Callable[[int, bytes], bytes]] = [
        lambda i, w: w.upper(),
        lambda i, w: b"@%x %s" % (i, w),
        lambda i, w: b"_".join([w[:1], w[1:]]) if len(w) > 1 else w,
        lambda i, w: w + b" // word %d\n" % i,
        lambda i, w: b"/* " + w + b" */ " + w,
        lambda i, w: w.lstrip(b"0") or b"0",
        lambda i, w: b"000" + w,
    ]
    style = rng.choice(styles)
    return rng.choice([b"\n", b"\r\n", b" ", b"\n\n"]).join(map(style, range(len(words)), words))


MANGLES: list[Mangle] = [
    flip_bits,
    truncate,
    edit_lines,
    insert_token,
    garbage,
    other_file,
    dialect,
]
WRONG = [None, "x", "", -1, 0, 1, 1 << 70, 10**400, [], {}, [[]], 1.5, 1e300, True, "\0", "\n"]


def mangled_json(data: bytes, rng: random.Random) -> bytes:
    """Return a manifest with an entry of another kind, one missing, or one too many."""
    manifest = holder = json.loads(data)
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = rng.choice(keys)
        inner = holder[key]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.3:
            break
        holder = inner
    kind = rng.randrange(4)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder["surplus"] = rng.choice(WRONG)
    elif kind == 2 and isinstance(holder, list):
        holder.append(inner)
    else:
        holder[key] = rng.choice(WRONG)
    return (json.dumps(manifest, indent=2) + "\n").encode()


def check_refusal(status: int, out: str, err: str) -> None:
    """Hold a refusal to its form: a reason, no traceback, one line where the set is unusable."""
    assert status in (0, 1, 2), (status, out, err)
    assert "Traceback" not in out + err
    if status == 1:
        assert out.endswith("DIFFERS\n")
        assert len(out.splitlines()) > 1
    if status == 2:
        assert re.fullmatch(r"bitlog2: error: [^\n]+\n", err), err


def fuzz_result(folder: Path, unit: str, seed: int, tmp_path: Path) -> None:
    """Verify a mangled result file of a device."""
    rng = random.Random(seed)
    data = (folder / f"{unit}.expected.mem").read_bytes()
    mangle = rng.choice(MANGLES)
    mangled = mangle(data, rng)
    (tmp_path / "dut.mem").write_bytes(mangled)
    status, out, err = verify_status(folder, "--actual", f"{unit}={tmp_path / 'dut.mem'}")
    check_refusal(status, out, err)
    same = meaning(mangled) == meaning(data)
    assert status != 0 or same, (seed, mangled)
    assert mangle is not dialect or status == 0, (seed, mangled, err)


def fuzz_set(folder: Path, seed: int) -> None:
    """Verify a set with a mangled file, its checksums renewed or not."""
    rng = random.Random(seed)
    files = contents(folder)
    name = MANIFEST if rng.random() < 0.6 else rng.choice(sorted(files))
    mangles = [mangled_json] * 6 + MANGLES if name == MANIFEST else MANGLES
    mangled = rng.choice(mangles)(files[name], rng)
    (folder / name).write_bytes(mangled)
    if rng.random() < 0.7:
        renew_sums(folder)
    try:
        changed = contents(folder) != files
        status, out, err = verify_status(folder)
    finally:
        for each, data in files.items():
            (folder / each).write_bytes(data)
    check_refusal(status, out, err)
    if changed and status == 0 and name == MANIFEST:
        changed = without_reasons(mangled) != without_reasons(files[name])
    assert (status != 0) == changed, (seed, name, mangled)


def without_reasons(manifest: bytes) -> dict[str, Any]:
    """Return a manifest but for why its cases are there: words for a reader, checked by nothing."""
    values: dict[str, Any] = json.loads(manifest)
    for group in values["groups"]:
        del group["reason"]
    return values


def fuzz(sets: dict[str, Path], seeds: range, tmp_path: Path) -> None:
    for seed in seeds:
        unit = list(UNITS)[seed % len(UNITS)]
        if seed % 3:
            fuzz_result(sets[unit], unit, seed, tmp_path)
        else:
            fuzz_set(sets[unit], seed)


@pytest.mark.parametrize("first", range(0, 200, 100))
def test_golden_fuzz_mangled_files_are_refused_in_a_line_or_harmless(
    sets: dict[str, Path], first: int, tmp_path: Path
) -> None:
    fuzz(sets, range(first, first + 100), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("first", range(1000, 11000, 1000))
def test_golden_fuzz_ten_thousand_mangled_files_are_refused_in_a_line_or_harmless(
    sets: dict[str, Path], first: int, tmp_path: Path
) -> None:
    fuzz(sets, range(first, first + 1000), tmp_path)


def test_golden_fuzz_the_sets_themselves_verify(sets: dict[str, Path]) -> None:
    assert [verify_status(folder)[0] for folder in sets.values()] == [0] * len(UNITS)


def test_golden_fuzz_meaning_sees_another_word() -> None:
    assert meaning(b"12\n@3 f_f // x\n") == {0: 0x12, 3: 0xFF}
    assert meaning(b"12\n13\n") != meaning(b"12\n14\n")


@pytest.mark.parametrize(
    ("status", "out", "err"),
    [
        (2, "", "Traceback (most recent call last):\n"),
        (2, "", "bitlog2: error: one\nbitlog2: error: two\n"),
        (1, "DIFFERS\n", ""),
        (3, "", ""),
    ],
)
def test_golden_fuzz_check_catches_a_planted_fault(status: int, out: str, err: str) -> None:
    with pytest.raises(AssertionError):
        check_refusal(status, out, err)
