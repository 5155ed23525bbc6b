"""Folders of schema version 1, made by package version 0.1.0, verify and are made again."""

import json
import shutil
from pathlib import Path

import pytest

from bitlog2.documents import render
from bitlog2.golden import emit_from, run_device, verify
from bitlog2.golden.package.folder import (
    SUMS_NAME,
    open_folder,
    read_manifest,
    render_checksums,
    sha256,
)
from bitlog2.scripts.cli import main

DATA = Path(__file__).parent / "data" / "version_1"
SETS = ("set", "rows")


@pytest.fixture
def copied(tmp_path):
    """Return a function that gives a copy of a set to change."""
    return lambda name: Path(shutil.copytree(DATA / name, tmp_path / name))


def renew(folder, path):
    """Give a changed file its new checksum, in the manifest and in the sums."""
    manifest = folder / "manifest.json"
    values = json.loads(manifest.read_bytes())
    for entry in (*values["files"], *values["attachments"]):
        if entry.get("name") == path:
            entry["sha256"] = sha256((folder / path).read_bytes())
    manifest.write_text(json.dumps(values, indent=2) + "\n")
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
    sums = {each: sha256((folder / each).read_bytes()) for each in names if each != SUMS_NAME}
    (folder / SUMS_NAME).write_bytes(render_checksums(sums))


def change_digit(path):
    data = bytearray(path.read_bytes())
    data[-2] = ord("0") if data[-2] != ord("0") else ord("1")
    path.write_bytes(data)


@pytest.mark.parametrize("name", SETS)
def test_version_1_set_verifies(name):
    found = verify(DATA / name)
    assert (found.failures, found.ok) == ((), True)


@pytest.mark.parametrize("name", SETS)
def test_version_1_set_is_played(name, tmp_path):
    for path in run_device(DATA / name, tmp_path / "out").values():
        assert path.read_bytes() == (DATA / name / path.name).read_bytes()


@pytest.mark.parametrize("name", SETS)
def test_version_1_set_is_made_again_with_the_same_words(name, tmp_path):
    emit_from(DATA / name / "manifest.json", tmp_path / "again")
    for path in (*(DATA / name).glob("*.mem"), DATA / name / "vectors.npz"):
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()
    assert verify(tmp_path / "again").ok


@pytest.mark.parametrize("name", SETS)
def test_version_1_set_that_is_upgraded_keeps_its_manifest(name, copied):
    folder = copied(name)
    found = open_folder(folder)
    (folder / "manifest.json").write_bytes(render(found.manifest))
    assert open_folder(folder).manifest == found.manifest


@pytest.mark.parametrize(
    "path", ["exp2.expected.mem", "vectors.npz", "Makefile", "rtl/exp2.sv", "manifest.json"]
)
def test_version_1_set_with_a_changed_file_does_not_verify(path, copied):
    folder = copied("set")
    with (folder / path).open("ab") as file:
        file.write(b" ")
    assert verify(folder).status == 1


def test_version_1_set_with_an_edited_word_and_renewed_sums_does_not_verify(copied):
    folder = copied("set")
    change_digit(folder / "exp2.expected.mem")
    renew(folder, "exp2.expected.mem")
    assert [each.total for each in verify(folder).inside] == [1]


def test_version_1_set_with_edited_coverage_and_renewed_sums_does_not_verify(copied):
    folder = copied("set")
    text = (folder / "manifest.json").read_text()
    bins = json.loads(text)["coverage"][0]["bins"]
    name, hits = next(iter(bins.items()))
    (folder / "manifest.json").write_text(
        text.replace(f'"{name}": {hits}', f'"{name}": {hits + 1}')
    )
    renew(folder, "")
    assert "manifest.json is not what the stimulus gives" in verify(folder).failures


def test_version_1_set_with_a_bin_that_is_not_known_does_not_verify(copied):
    """Of another version's bins each is made again, though this one has more."""
    folder = copied("rows")
    values = json.loads((folder / "manifest.json").read_text())
    (coverage,) = values["coverage"]
    coverage["bins"]["o_shows_nothing_known"] = 1
    coverage["declared"] += 1
    coverage["reached"] += 1
    (folder / "manifest.json").write_text(json.dumps(values, indent=2) + "\n")
    renew(folder, "")
    assert "manifest.json is not what the stimulus gives" in verify(folder).failures


def test_version_1_export_that_is_upgraded_keeps_its_manifest():
    found = read_manifest((DATA / "export" / "manifest.json").read_bytes(), lambda path: 1)
    assert read_manifest(render(found)) == found


def test_version_1_export_verifies(tmp_path):
    """Its memories and arrays are those of today: what was written by 0.1.0 is its manifest.

    Calibration in float32 differs between processors: checksums and parameters are this one's.
    """
    folder = tmp_path / "export"
    assert main(["export", "digits", "--layers", "0", "--images", "0", "--out", str(folder)]) == 0
    params = {
        layer["name"]: layer.get("params")
        for layer in json.loads((folder / "manifest.json").read_bytes())["layers"]
    }
    values = json.loads((DATA / "export" / "manifest.json").read_bytes())
    for layer in values["layers"]:
        if "params" in layer:
            layer["params"] = params[layer["name"]]
    for entry in (*values["files"], *values["attachments"]):
        entry["sha256"] = sha256((folder / entry["path"]).read_bytes())
    (folder / "manifest.json").write_text(json.dumps(values, indent=2) + "\n")
    renew(folder, "")
    assert values["schema_version"] == 1
    assert verify(folder).ok
    change_digit(folder / "blocks.0.attn" / "q.mem")
    assert verify(folder).status == 1
