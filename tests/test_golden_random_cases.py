"""`random_cases`: how many random cases each unit has, where a number is asked for."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from test_golden_cli import command
from test_golden_helpers import SMALL, contents, renew_sums

from bitlog2.golden import emit, emit_from, verify

MANIFEST = "manifest.json"
#: The memory files of `bitlog2 golden emit`: other bytes need a new specification version.
DEFAULT_SET = {
    "attention_row.expected": "97dc4217acdcfc3a0551b7667d240ebdeec0c409f89fbe4ea5d42739d96f3d63",
    "attention_row.keys": "2fe763a80b0c469907cddb261e9c56d0fb6fcffd390e964cb15f0993d31aacb2",
    "attention_row.params": "69c482e097032c70a1a1feac8bd054c71db9502b6fbde4ecbfbb4a70236ffac0",
    "attention_row.rows": "85e868c873b066874d64df0fae88a351c29a66b18a1182d39d8d8ff20ee25004",
    "attention_row.stimulus": "4b2f1fcef994c0ec7c7ea007e759c7966bf73fa6e2db433653864248019c45fb",
    "log2_quantizer.expected": "63ee9258dae16e72a4548672937b39a23895b11a54994ec5a306a67b80901403",
    "log2_quantizer.stimulus": "b768544f21641923dd6cf57a5b83fd9140494454d23524d618f6277fbd662d5a",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("golden") / "set"
    emit(out, SMALL, head_dim=2, sources=["random"], seed=8, random_cases=7)
    return out


def test_golden_random_cases_are_none_in_the_default_set(tmp_path: Path) -> None:
    emit(tmp_path / "set")
    files = contents(tmp_path / "set")
    found = {name: hashlib.sha256(files[f"{name}.mem"]).hexdigest() for name in DEFAULT_SET}
    assert found == DEFAULT_SET
    assert {f"{name}.mem" for name in found} == {name for name in files if name.endswith(".mem")}
    assert "random_cases" not in json.loads(files[MANIFEST])


def test_golden_random_cases_are_those_of_each_unit(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    for unit in manifest["units"]:
        counts = [group["count"] for group in manifest["groups"] if group["unit"] == unit]
        assert sum(counts) == 7


def test_golden_random_cases_verify(folder: Path) -> None:
    assert verify(folder).ok


def test_golden_random_cases_stand_beside_the_corners(tmp_path: Path) -> None:
    emit(tmp_path / "set", SMALL, head_dim=2, random_cases=3)
    manifest = json.loads((tmp_path / "set" / MANIFEST).read_bytes())
    assert sum(g["count"] for g in manifest["groups"] if g["source"] == "random") == 6
    assert verify(tmp_path / "set").ok


def test_golden_random_cases_are_made_again_from_the_manifest(folder: Path, tmp_path: Path) -> None:
    emit_from(folder / MANIFEST, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(folder)


def test_golden_random_cases_are_made_again_by_the_command_of_the_manifest(
    folder: Path, tmp_path: Path
) -> None:
    text = json.loads((folder / MANIFEST).read_bytes())["command"]
    words = [str(folder / word) if word == MANIFEST else word for word in text.split()]
    command(*words[2:], "--out", tmp_path / "again")
    assert contents(tmp_path / "again") == contents(folder)


@pytest.mark.parametrize("key", ["random_cases", "count", "command"])
@pytest.mark.parametrize("change", ["other", "missing"])
def test_golden_random_cases_of_a_mangled_manifest_are_refused(
    folder: Path, tmp_path: Path, key: str, change: str
) -> None:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    holder = manifest["groups"][0] if key == "count" else manifest
    if change == "missing":
        del holder[key]
    else:
        holder[key] = holder[key].replace("7", "8") if key == "command" else 8
    copy = tmp_path / "set"
    copy.mkdir()
    for name, data in contents(folder).items():
        (copy / name).write_bytes(data)
    (copy / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    renew_sums(copy)
    try:
        refused = not verify(copy).ok
    except ValueError as error:
        refused = "\n" not in str(error)
    assert refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"random_cases": 0}, "random_cases must be from 1 to 100000000, got 0"),
        ({"random_cases": 100_000_001}, "random_cases must be from 1"),
        ({"random_cases": 1.0}, "random_cases must be an integer"),
        ({"random_cases": True}, "random_cases must be an integer"),
        ({"random_cases": 5, "sources": ["corners"]}, "None without the source random"),
    ],
    ids=range(5),
)
def test_golden_random_cases_refuse_a_bad_number(
    arguments: dict, message: str, tmp_path: Path
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        emit(tmp_path / "set", SMALL, **arguments)
    assert list(tmp_path.iterdir()) == []


def test_golden_random_cases_beside_a_manifest_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got --count too"):
        command("emit", "--from", folder / MANIFEST, "--out", tmp_path / "set", "--count", 7)


@pytest.mark.parametrize("text", ["0", "100000001", "many"])
def test_golden_random_cases_out_of_range_are_a_usage_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        command("emit", "--out", tmp_path / "set", "--count", text)
