"""The manifest: its schema, and every mangling of it refused in one line."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.quick import one_in
from test_export import swin_export
from test_golden_helpers import SMALL, contents, emit_hand_row, emit_small, renew_sums

from bitlog2 import golden
from bitlog2.golden import emit, verify, write_export
from bitlog2.golden.package.folder import read_manifest

MANIFEST = "manifest.json"
WRONG = (None, "x", -1, 1 << 70, [], {}, 1.5, True)
MISSING = object()
NULLABLE = {"seed", "random_cases", "origin", "calibration_images", "lane_axis"}
#: Without `format` a manifest is one of version 1.
OPTIONAL = {"format", "calibration", "calibration_images"}
FREE_TEXT = {"reason", "model", "layer"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return emit_small(tmp_path_factory.mktemp("golden") / "set")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return emit_hand_row(tmp_path_factory.mktemp("golden") / "rows")


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Yield the path of everything inside `value`; of a list its first and last entries."""
    keys: list = list(value) if isinstance(value, dict) else []
    if isinstance(value, list) and value:
        keys = sorted({0, len(value) - 1})
    for key in keys:
        yield (*path, key)
        yield from places(value[key], (*path, key))


def manglings(manifest: dict[str, Any], seed: int, count: int) -> Iterator[dict[str, Any]]:
    """Yield the manifest with an entry missing or of a wrong kind, as often as `count` says."""
    every = [(place, wrong) for place in places(manifest) for wrong in ("missing", *WRONG)]
    random.Random(seed).shuffle(every)
    for (*path, key), wrong in every:
        each = copy.deepcopy(manifest)
        holder = each
        for step in path:
            holder = holder[step]
        if wrong == "missing":
            del holder[key]
        elif holder[key] == wrong or (key in FREE_TEXT and isinstance(wrong, str)):
            continue
        else:
            holder[key] = wrong
        yield each
        count -= 1
        if not count:
            return


def wrong_values(key: str | int, value: Any) -> list[Any]:
    """Return what an entry of a manifest must not be: missing, of another kind, out of range."""
    wrong: list[Any] = [5 if isinstance(value, (str, dict, list)) else {}]
    if isinstance(value, int) and not isinstance(value, bool):
        wrong += ["x", -1, 1 << 70]
    if isinstance(value, str) and key not in FREE_TEXT:
        wrong.append("")
    if value is not None and key not in NULLABLE:
        wrong.append(None)
    if isinstance(key, str) and key not in OPTIONAL:
        wrong.append(MISSING)
    return wrong


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_export(tmp_path_factory.mktemp("golden") / "e", *swin_export()).folder


@pytest.mark.parametrize("name", [pytest.param("rows", marks=pytest.mark.long), "export"])
def test_golden_manifest_with_any_field_missing_or_wrong_is_refused_in_one_line(
    name: str, request: pytest.FixtureRequest
) -> None:
    manifest = json.loads((request.getfixturevalue(name) / MANIFEST).read_bytes())
    read_manifest(json.dumps(manifest).encode())
    for *path, key in places(manifest):
        holder = manifest
        for step in path:
            holder = holder[step]
        right = holder[key]
        for wrong in wrong_values(key, right):
            holder[key] = wrong
            if wrong is MISSING:
                del holder[key]
            named = "declared" if wrong is MISSING and "bins" in path else key
            with pytest.raises(ValueError, match=rf"^manifest\.json[^\n]*{named}[^\n]*$"):
                read_manifest(json.dumps(manifest).encode())
            holder[key] = right


def is_refused(folder: Path, data: bytes) -> bool:
    """Return whether verification fails on that manifest, in single lines."""
    original = (folder / MANIFEST).read_bytes()
    (folder / MANIFEST).write_bytes(data)
    renew_sums(folder)
    try:
        result = verify(folder)
        lines = list(result.failures)
    except ValueError as error:
        lines = [str(error)]
    finally:
        (folder / MANIFEST).write_bytes(original)
        renew_sums(folder)
    return bool(lines) and all(line and "\n" not in line for line in lines)


def test_golden_manifest_counts_the_lines_of_every_file(folder: Path) -> None:
    manifest, files = json.loads((folder / MANIFEST).read_bytes()), contents(folder)
    for entry in manifest["files"]:
        assert entry["kind"] == "file" or files[entry["path"]].count(b"\n") == entry["words"]


def test_golden_manifest_gives_a_reason_for_every_case(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    for unit, stream in (("log2_quantizer", "expected"), ("attention_row", "expected")):
        groups = [group for group in manifest["groups"] if group["unit"] == unit]
        ends = [group["first"] + group["count"] for group in groups]
        assert [group["first"] for group in groups] == [0, *ends[:-1]]
        memories = [f for f in manifest["files"] if f["kind"] == "memory"]
        words = {(f["owner"], f["name"]): f["words"] for f in memories}
        assert ends[-1] == words[unit, stream]


@pytest.mark.parametrize(
    ("preset", "words"),
    [("BitLog2_Single_16", "--config BitLog2_Single_16"), (None, "--config manifest.json")],
)
def test_golden_manifest_names_the_command(preset: str | None, words: str, tmp_path: Path) -> None:
    config = golden.PRESETS[preset] if preset else SMALL
    emit(tmp_path / "set", config, head_dim=2, units=["log2_quantizer"], sources=["random"], seed=9)
    assert json.loads((tmp_path / "set" / MANIFEST).read_bytes())["command"] == (
        f"bitlog2 golden emit {words} --unit log2_quantizer --source random --seed 9 --head-dim 2"
    )


def test_golden_manifest_reads_the_configuration_back(folder: Path) -> None:
    assert read_manifest((folder / MANIFEST).read_bytes()).target.config == SMALL


def test_golden_manifest_of_another_specification_is_refused(rows: Path) -> None:
    data = (rows / MANIFEST).read_bytes()
    data = data.replace(b'"specification_version": 1', b'"specification_version": 2')
    with pytest.raises(ValueError, match=r"specification_version must be 1, .* got 2"):
        read_manifest(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff",
        b"\xff\xfe",
        b"[]",
        b"[1]",
        b"null",
        b"NaN",
        b"[" * 100000,
        b'{"schema_version": 1}',
    ],
    ids=range(10),
)
def test_golden_manifest_that_is_none_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^manifest\.json[^\n]+$"):
        read_manifest(data)


@pytest.mark.parametrize("seed", one_in(2, range(100, 104)))
def test_golden_manifest_of_rows_mangled_is_refused(rows: Path, seed: int) -> None:
    for mangled in manglings(json.loads((rows / MANIFEST).read_bytes()), seed, 20):
        data = (json.dumps(mangled, indent=2) + "\n").encode()
        assert is_refused(rows, data), data.decode()


@pytest.mark.parametrize("seed", one_in(8, range(200, 208)))
def test_golden_manifest_of_a_seed_mangled_is_refused(folder: Path, seed: int) -> None:
    for mangled in manglings(json.loads((folder / MANIFEST).read_bytes()), seed, 10):
        data = (json.dumps(mangled, indent=2) + "\n").encode()
        assert is_refused(folder, data), data.decode()


@pytest.mark.parametrize("index", range(5))
def test_golden_manifest_that_counts_too_many_words_is_refused(rows: Path, index: int) -> None:
    manifest = json.loads((rows / MANIFEST).read_bytes())
    manifest["files"][index]["words"] = 1 << 62
    assert is_refused(rows, (json.dumps(manifest, indent=2) + "\n").encode())


def test_golden_manifest_mangling_leaves_a_whole_manifest_valid(rows: Path) -> None:
    assert not is_refused(rows, (rows / MANIFEST).read_bytes())
