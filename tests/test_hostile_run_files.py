"""Mangled files of a run (request, journal, result, gates): read, or refused in one line."""

import json
import random
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace
from support.evaluations import run_once
from test_golden_fuzz import Mangle
from test_hostile_fuzz import Read, check, mangled, outcome, read_each

from bitlog2.documents import parse, plain, render
from bitlog2.models.report import make_report
from bitlog2.models.report.drawing import Picture
from bitlog2.models.runs.evaluation import versions
from bitlog2.models.runs.folder import RunFolder
from bitlog2.models.runs.latex import latex_table
from bitlog2.models.runs.request import Cell, EvaluationRequest
from bitlog2.models.runs.result import read_result
from bitlog2.models.runs.sweep import read_gates, sweep_rows, write_gates
from bitlog2.models.sealed import digest_of
from bitlog2.scripts.cli import main

REQUEST = EvaluationRequest(
    models=("digits",),
    schemes=("BitLog2_Half_17", "none"),
    arithmetics=("integer", "attention"),
    datapaths=((("fraction_bits", 4), ("table_bits", 12)),),
    seeds=(0, 1),
    limit=4,
    batch_size=2,
    watermarks=True,
    calibration_images=4,
)
#: What gates are bound to of a result.
RESULT = SimpleNamespace(run_digest="0" * 64)
#: The cell whose journal is mangled.
CELL = next(cell for cell in REQUEST.cells() if cell.spec is not None)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the drawing, which takes a second a page."""
    monkeypatch.setattr(Picture, "svg", lambda picture: "")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run_once(tmp_path_factory, "hostile_run", REQUEST)


def mangled_journal(data: bytes, rng: random.Random) -> bytes:
    """Mangle a record and give it its checksum, or mangle the bytes of the file."""
    if rng.random() < 0.2:
        return mangled(data, rng)
    lines = data.splitlines()
    place = rng.randrange(len(lines))
    text = mangled(lines[place].partition(b" ")[2], rng)
    lines[place] = b"%08x %s" % (zlib.crc32(text), text)
    return b"\n".join([*lines, b""])


def mangled_sealed(data: bytes, rng: random.Random) -> bytes:
    """Mangle an object, and give it its digest where it still is one."""
    text = mangled(data, rng)
    try:
        content = plain(text, "file")
    except ValueError:
        return text
    if not isinstance(content, dict):
        return text
    content.pop("sha256", None)
    return json.dumps({**content, "sha256": digest_of(content)}).encode()


def read_request(data: bytes, folder: Path) -> None:
    (folder / "run.json").write_bytes(data)
    found = RunFolder.open(folder)
    assert parse(render(found.request), EvaluationRequest, "request") == found.request


def read_journal(data: bytes, folder: Path) -> None:
    found = RunFolder(folder, REQUEST, versions())
    (found.cell_folder(CELL) / "batches-0-x.jsonl").write_bytes(data)
    found.status()


def read_whole_result(data: bytes, folder: Path) -> None:
    path = folder / "result.json"
    path.write_bytes(data)
    found = read_result(path)
    latex_table([found])
    sweep_rows(found)
    make_report([found]).page()


def read_counts(data: bytes, folder: Path) -> None:
    (folder / "gates.json").write_bytes(data)
    assert all(count > 0 for count in read_gates(folder, RESULT).values())


def small_result(path: Path) -> bytes:
    """Return a result with one layer in each cell: quick to hold to its schema."""
    content = json.loads(path.read_bytes())
    for cell in content["cells"]:
        for name in ("attention_map", "layer_params", "watermarks"):
            if cell[name]:
                cell[name] = dict([next(iter(cell[name].items()))])
    content.pop("sha256")
    return json.dumps({**content, "sha256": digest_of(content)}, indent=1).encode()


def original(name: str, run: RunFolder, folder: Path) -> bytes:
    if name == "request":
        return (run.path / "run.json").read_bytes()
    if name == "result":
        return small_result(run.result_file)
    if name == "gates":
        write_gates(folder, RESULT, {"digits-a": 400, "digits-b": 500}, "Yosys")
        return (folder / "gates.json").read_bytes()
    shutil.copytree(run.path / "cells", folder / "cells", ignore=shutil.ignore_patterns("b*", "m*"))
    (journal,) = run.cell_folder(CELL).glob("batches-*.jsonl")
    return journal.read_bytes()


READERS: dict[str, tuple[Read, Mangle]] = {
    "request": (read_request, mangled_sealed),
    "journal": (read_journal, mangled_journal),
    "result": (read_whole_result, mangled_sealed),
    "gates": (read_counts, mangled_sealed),
}


def fuzz(name: str, seeds: range, run: RunFolder, folder: Path) -> tuple[int, int]:
    """Mangle and read as many files as there are seeds; return how many were read and refused."""
    read, mangle = READERS[name]
    data = original(name, run, folder)
    return read_each(name, seeds, lambda rng: mangle(data, rng), read, folder)


@pytest.mark.parametrize("name", READERS)
def test_hostile_run_files_are_read_or_refused_in_a_line(
    name: str, run: RunFolder, tmp_path: Path
) -> None:
    read, refused = fuzz(name, range(100), run, tmp_path)
    assert min(read, refused) > 2  # both ways are taken


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", range(10_000, 110_000, 10_000))
@pytest.mark.parametrize("name", READERS)
def test_hostile_a_hundred_thousand_run_files_are_read_or_refused_in_a_line(
    name: str, first: int, run: RunFolder, tmp_path: Path
) -> None:
    fuzz(name, range(first, first + 10_000), run, tmp_path)


@pytest.mark.parametrize("name", READERS)
def test_hostile_run_file_itself_is_read(name: str, run: RunFolder, tmp_path: Path) -> None:
    assert outcome(READERS[name][0], original(name, run, tmp_path), tmp_path) == (0, "")


Damage = Callable[[RunFolder], None]


def cut_journal(run: RunFolder) -> None:
    """Change a digit of a journal's first record."""
    (journal, *_) = sorted(run.path.glob("cells/*/batches-*.jsonl"))
    journal.write_bytes(journal.read_bytes().replace(b'"batch":0', b'"batch":7', 1))


def cut_request(run: RunFolder) -> None:
    """Leave half of the request."""
    file = run.path / "run.json"
    file.write_bytes(file.read_bytes()[:100])


def edited_request(run: RunFolder) -> None:
    """Ask for no check."""
    file = run.path / "run.json"
    file.write_bytes(file.read_bytes().replace(b'"all"', b'"none"', 1))


def other_request(run: RunFolder) -> None:
    """Put the request of another run there."""
    RunFolder.create(run.path.with_name("other"), replace(REQUEST, limit=3), versions())
    shutil.copy(run.path.with_name("other") / "run.json", run.path)


def other_journal(run: RunFolder) -> None:
    """Put a journal of another cell there."""
    first, second = (sorted(run.cell_folder(cell).glob("b*")) for cell in quantized(run)[:2])
    shutil.copy(first[0], second[0])


def other_cell(run: RunFolder) -> None:
    """Put there what another cell does to the map."""
    first, second = (run.cell_folder(cell) / "cell.json" for cell in quantized(run)[:2])
    shutil.copy(first, second)


def edited_cell(run: RunFolder) -> None:
    """Change the name of a layer whose map is described."""
    file = run.cell_folder(CELL) / "cell.json"
    file.write_text(file.read_text().replace("blocks.0.attn", "blocks.9.attn"))


def quantized(run: RunFolder) -> list[Cell]:
    return [cell for cell in run.request.cells() if cell.spec is not None]


@pytest.mark.parametrize(
    "damage",
    [
        cut_journal,
        cut_request,
        edited_request,
        other_request,
        other_journal,
        other_cell,
        edited_cell,
    ],
)
@pytest.mark.parametrize("command", ["status", "resume"])
def test_hostile_commands_on_a_damaged_run_leave_it_as_it_is(
    damage: Damage, command: str, tmp_path: Path, run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run.path, copy)
    damage(RunFolder.open(copy))
    before = {file: file.read_bytes() for file in copy.rglob("*") if file.is_file()}
    assert main([command, str(copy)]) == 2
    check(2, capsys.readouterr().err)
    assert {file: file.read_bytes() for file in copy.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("name", ["model.safetensors", "result.json"])
def test_hostile_model_or_result_of_another_is_refused(
    name: str, tmp_path: Path, run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model of another seed under a cell's name; the result of another run in the folder."""
    copy = tmp_path / "run"
    shutil.copytree(run.path, copy)
    if name == "result.json":
        RunFolder.create(tmp_path / "other", replace(REQUEST, batch_size=1), versions())
        shutil.copy(tmp_path / "other" / "run.json", copy)
        command = ["report", str(copy), "--latex", str(tmp_path / "t.tex")]
    else:
        first, second = (cell for cell in quantized(run) if cell.scheme == "none")
        copied = RunFolder.open(copy)
        shutil.copy(copied.model_file(first), copied.model_file(second))
        command = ["resume", str(copy)]
    assert main(command) == 2
    assert name in capsys.readouterr().err


@pytest.mark.parametrize("bits", [None, 4])
def test_hostile_result_with_the_map_bits_of_another_scheme_is_refused(
    bits: int | None, tmp_path: Path, run: RunFolder
) -> None:
    """A sealed result in which one coded map is said to take no bits, or one too few."""
    content = json.loads(run.result_file.read_bytes())
    coded = [cell for cell in content["cells"] if cell["map_bits"] == 5]
    coded[0]["map_bits"] = bits
    content.pop("sha256")
    (tmp_path / "result.json").write_text(json.dumps({**content, "sha256": digest_of(content)}))
    with pytest.raises(ValueError, match=f"map_bits must be 5, .*BitLog2_Half_17, got {bits}"):
        read_result(tmp_path / "result.json")
