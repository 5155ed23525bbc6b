"""Requests of evaluations, the folder of a run, and its journals of finished batches."""

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import msgspec
import pytest

from bitlog2.documents import parse, render
from bitlog2.models.runs.folder import BatchRecord, Inputs, Journal, RunFolder, read_journal
from bitlog2.models.runs.request import EvaluationRequest
from bitlog2.models.watch.registers import NETWORK, LayerShape

USUAL = {"models": ("digits",), "schemes": ("BitLog2_Half_17",)}


def test_request_cells_come_in_the_order_of_the_table():
    request = EvaluationRequest(
        models=("digits",),
        schemes=("Sqrt2_16", "BitLog2_Half_17"),
        arithmetics=("integer", "float"),
        bits=((4, 4), (6, 6)),
        seeds=(0, 7),
    )
    names = [cell.name for cell in request.cells()]
    assert names[:4] == [
        "digits-unquantized",
        "digits-BitLog2_Half_17-integer-w4a4-seed0",
        "digits-BitLog2_Half_17-integer-w6a6-seed0",
        "digits-Sqrt2_16-float-w4a4-seed0",
    ]
    assert len(names) == len(set(names)) == 1 + 2 * (2 + 4)


def test_request_comes_back_from_json():
    request = EvaluationRequest(**USUAL, bits=((4, 4), (6, 8)), checkpoints=(("digits", "x.pth"),))
    assert parse(render(request), EvaluationRequest, "request") == request


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("models", (), "models must hold at least one"),
        ("models", ("resnet",), "model must be one of digits"),
        ("models", ("digits", "digits"), "'digits' twice"),
        ("schemes", ("Half",), "scheme must be one of"),
        ("schemes", ("Sqrt2_16",), "arithmetic must be float for Sqrt2_16"),
        ("arithmetics", ("double",), "arithmetics must be one of"),
        ("bits", ((4, 9),), "a_bits must be"),
        ("seeds", (-1,), "seeds must be from 0"),
        ("check", "sample:0", "check must be all, sample or sample:K"),
        ("check", "some", "check must be all"),
        ("check", "all:3", "check must be all"),
        ("digest", "md5", "digest must be one of"),
        ("limit", 0, "limit must be from 1"),
        ("batch_size", 0, "batch_size must be from 1"),
        ("threads", 0, "threads must be from 1"),
        ("checkpoints", (("deit_tiny", "x"),), "checkpoints must be one of digits"),
        ("ema", True, "ema must go with a checkpoint"),
        ("schemes", ("none",), "arithmetic must be float or attention for none, got 'integer'"),
        ("arithmetics", ("float",), "check must be none for float arithmetic, got 'all'"),
    ],
)
def test_request_out_of_range_names_field_and_range(field, value, message):
    with pytest.raises(ValueError, match=message):
        EvaluationRequest(**USUAL | {field: value})


def test_request_of_a_loaded_model_has_its_cell_alone():
    request = EvaluationRequest(**USUAL, load="q.safetensors", seeds=(2**60,))
    assert [cell.name for cell in request.cells()] == [
        f"digits-BitLog2_Half_17-integer-w4a4-seed{2**60}"
    ]
    with pytest.raises(ValueError, match="load must go with one cell, got 2"):
        EvaluationRequest(**USUAL, load="q.safetensors", seeds=(0, 1))


def test_folder_opens_what_was_created(tmp_path):
    request = EvaluationRequest(**USUAL)
    RunFolder.create(tmp_path / "run", request, {"torch": "2"})
    found = RunFolder.open(tmp_path / "run")
    assert (found.request, found.versions) == (request, {"torch": "2"})


def test_folder_of_another_request_is_left_alone(tmp_path):
    RunFolder.create(tmp_path / "run", EvaluationRequest(**USUAL), {})
    before = (tmp_path / "run" / "run.json").read_bytes()
    with pytest.raises(ValueError, match="was asked for something else"):
        RunFolder.create(tmp_path / "run", EvaluationRequest(**USUAL, seeds=(1,)), {})
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match="new or empty folder"):
        RunFolder.create(tmp_path, EvaluationRequest(**USUAL), {})


def test_folder_of_a_run_killed_in_its_first_steps_is_begun_again(tmp_path):
    (tmp_path / "lock").touch()
    (tmp_path / ".run.json.00ff.partial").write_text("{")
    RunFolder.create(tmp_path, EvaluationRequest(**USUAL), {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "run.json"]


def test_folder_of_a_run_not_begun_takes_the_versions_of_now(tmp_path):
    RunFolder.create(tmp_path, EvaluationRequest(**USUAL), {"torch": "1"})
    RunFolder.create(tmp_path, EvaluationRequest(**USUAL), {"torch": "2"})
    assert RunFolder.open(tmp_path).versions == {"torch": "2"}


def test_folder_partial_models_of_a_killed_run_are_removed(tmp_path):
    folder = RunFolder.create(tmp_path, EvaluationRequest(**USUAL), {})
    partial = folder.cell_folder(folder.request.cells()[1]) / ".model.safetensors.00ff.partial"
    partial.parent.mkdir(parents=True)
    partial.touch()
    with folder.locked():
        assert not partial.exists()


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("none/x")])
def test_folder_lock_that_is_no_file_is_one_error(tmp_path, make):
    folder = RunFolder.create(tmp_path, EvaluationRequest(**USUAL), {})
    make(tmp_path / "lock")
    with (
        pytest.raises(ValueError, match=r"lock of a run must be a file, got .*lock"),
        folder.locked(),
    ):
        pass


@pytest.mark.parametrize(("old", "new"), [('"check": "all"', '"check": "none"'), ('"2"', '"3"')])
def test_folder_with_an_edited_request_or_version_is_refused(tmp_path, old, new):
    RunFolder.create(tmp_path, EvaluationRequest(**USUAL), {"torch": "2"})
    file = tmp_path / "run.json"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(ValueError, match=r"run\.json must be as it was written"):
        RunFolder.open(tmp_path)


def test_folder_of_an_earlier_format_is_refused_by_name(tmp_path):
    (tmp_path / "run.json").write_text('{"format": "bitlog2-run-1"}')
    with pytest.raises(ValueError, match="must have the format bitlog2-run-4, got 'bitlog2-run-1'"):
        RunFolder.open(tmp_path)


def test_request_paths_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    request = EvaluationRequest(**USUAL, data="images", checkpoints=(("digits", "../x.pth"),))
    assert request.data == str(tmp_path / "images")
    assert request.checkpoints == (("digits", str(tmp_path.parent / "x.pth")),)


@pytest.mark.parametrize("value", [{"data": 5}, {"checkpoints": (("digits", None),)}])
def test_request_path_that_is_no_text_is_refused(value):
    with pytest.raises(TypeError, match="must be text, got"):
        EvaluationRequest(**USUAL | value)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"format": "x"}', b'{"format": "bitlog2-run-1"}', b"\xff", b"[" * 99999],
)
def test_folder_with_a_bad_request_is_one_error(tmp_path, content):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"run\.json"):
        RunFolder.open(tmp_path)


def test_folder_is_held_by_one(tmp_path):
    folder = RunFolder.create(tmp_path / "run", EvaluationRequest(**USUAL), {})
    again = RunFolder.open(tmp_path / "run")
    refused = pytest.raises(ValueError, match="another process is running it")
    with folder.locked(), refused, again.locked():
        pass
    with again.locked():
        pass


# Journals

A, B = "0" * 63 + "a", "0" * 63 + "b"


def batch(number, **changes):
    """A batch of two images of which everything is there."""
    record = BatchRecord(
        run=A,
        cell="digits-x",
        model=B,
        batch=number,
        numbers=(2 * number, 2 * number + 1),
        labels=(1, 0),
        top1=(1, 2),
        hits5=(1, 0),
        pixels=(A, B),
        registers=(B, A),
        compared={"score": 16, "o": 12},
        mismatched={"score": 0, "o": 1},
        watermarks={"blocks.0": {"t": (-3, 5, 8, None)}},
    )
    return msgspec.structs.replace(record, **changes)


RECORD = batch(3, skipped=("val/n/broken.png",))


def line(number):
    return BatchRecord(run=A, cell="c", model=A, batch=number)


def written(tmp_path, count=3):
    path = tmp_path / "batches-0-x.jsonl"
    with Journal(path) as journal:
        for number in range(count):
            journal.add(line(number))
    return path


def test_journal_gives_back_what_was_added(tmp_path):
    assert read_journal(written(tmp_path)) == [line(0), line(1), line(2)]


def test_journal_cut_anywhere_loses_the_torn_line_alone(tmp_path):
    path = written(tmp_path)
    whole = path.read_bytes()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        assert len(read_journal(path)) == whole[:size].count(b"\n")


def test_journal_every_flipped_bit_of_a_whole_line_is_refused(tmp_path):
    path = written(tmp_path, 1)
    whole = path.read_bytes()
    for place in range(len(whole) - 1):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match=r"line \d is damaged"):
                read_journal(path)


def test_journal_line_with_a_key_twice_is_refused(tmp_path):
    path, text = tmp_path / "batches-0-x.jsonl", b'{"batch":0,"batch":1}'
    path.write_bytes(b"%08x %s\n" % (zlib.crc32(text), text))
    with pytest.raises(ValueError, match="name 'batch' stands twice"):
        read_journal(path)


def test_journal_is_never_written_over(tmp_path):
    path = written(tmp_path)
    with pytest.raises(FileExistsError):
        Journal(path)


def test_journal_on_a_full_disk_names_its_file(tmp_path):
    path = tmp_path / "batches-0-x.jsonl"
    with Journal(path) as journal, Path("/dev/full").open("wb", buffering=0) as full:
        journal._file.close()
        journal._file = full
        with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
            journal.add(RECORD)


def test_record_comes_back_from_json():
    assert parse(render(RECORD), BatchRecord, "record") == RECORD


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("batch", -1),
        ("batch", True),
        ("numbers", [6, "7"]),
        ("labels", 3),
        ("top1", [1, 2.5]),
        ("skipped", [1]),
        ("pixels", None),
        ("pixels", [A]),
        ("pixels", ["aa"]),
        ("labels", [1]),
        ("registers", [A, 1]),
        ("compared", {"unknown": 1}),
        ("compared", {"score": -1}),
        ("mismatched", []),
        ("watermarks", {"blocks.0": {"t": [1, 2]}}),
        ("watermarks", {"blocks.0": {"t": [1, 2, None, None]}}),
    ],
)
def test_record_malformed_is_refused_with_its_file(tmp_path, field, value):
    values = json.loads(render(RECORD)) | {field: value}
    path, text = tmp_path / "batches-0-x.jsonl", json.dumps(values).encode()
    path.write_bytes(b"%08x %s\n" % (zlib.crc32(text), text))
    with pytest.raises(ValueError, match=rf"batches-0-x\.jsonl, line 1: {field}"):
        read_journal(path)


SHAPES = {"blocks.0": LayerShape(heads=2, sizes={"score": 4, "o": 3})}


def folder_with(tmp_path, *records, arithmetic="attention", **bound):
    """A run of one cell that has begun; some of what its lines are bound to may be changed."""
    request = EvaluationRequest(**USUAL, arithmetics=(arithmetic,), batch_size=2, watermarks=True)
    folder = RunFolder.create(tmp_path / "run", request, {})
    _, cell = request.cells()
    folder.write_inputs(
        Inputs(
            run=folder.digest,
            model="digits",
            weights=A,
            classes=3,
            images=8,
            names=A,
            notes=(),
            complete=True,
            calibration={},
        )
    )
    folder.write_cell(cell, B, shapes=SHAPES, layer_params={"blocks.0": {"m": 1}})
    for record in records:
        with Journal(folder.new_journal(cell, 0)) as journal:
            journal.add(msgspec.structs.replace(record, **folder.bound(cell, B) | bound))
    return folder, cell


def records(folder, cell):
    """The records, bound to nothing."""
    unbound = {"run": A, "cell": "digits-x", "model": B}
    return {
        number: msgspec.structs.replace(record, **unbound)
        for number, record in folder.records(cell).items()
    }


def test_folder_joins_journals_by_batch(tmp_path):
    folder, cell = folder_with(tmp_path, batch(3), batch(0), batch(3))
    assert records(folder, cell) == {0: batch(0), 3: batch(3)}
    assert not folder.is_finished(cell)


def test_folder_is_finished_when_every_batch_is_there(tmp_path):
    folder, cell = folder_with(tmp_path, *map(batch, range(4)))
    assert folder.is_finished(cell)


def test_folder_two_results_of_a_batch_are_refused(tmp_path):
    folder, cell = folder_with(tmp_path, batch(3), batch(3, top1=(1, 1)))
    with pytest.raises(ValueError, match="two different results of batch 3"):
        folder.records(cell)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 4}, "batch 4 is none of 4"),
        ({"numbers": (2, 4)}, "is not of its images"),
        ({"numbers": (3, 2)}, "is not of its images"),
        ({"skipped": ("val/x.png",)}, "is not of its images"),
        ({"labels": (1, 3)}, "names a class above 2"),
        ({"top1": (1, 3)}, "names a class above 2"),
        ({"hits5": (2, 0)}, "counts hits that are none"),
        ({"hits5": (0, 0)}, "counts hits that are none"),
        ({"pixels": ()}, "must have 2 digests of pixels and 2 of registers"),
        ({"registers": ()}, "must have 2 digests of pixels and 2 of registers"),
        ({"logits": (A, B)}, "must have 0 digests of logits, got 2"),
        ({"watermarks": {}}, "must have watermarks of 1 layers, got 0"),
        ({"compared": {}, "mismatched": {}}, "compared 16 values of score, got 0"),
        ({"compared": {"score": 16}}, "compared 12 values of o, got 0"),
        ({"compared": {"score": 16, "o": 13}}, "compared 12 values of o, got 13"),
        ({"compared": {"score": 16, "o": 12, "e": 1}}, "compared 0 values of e, got 1"),
        ({"mismatched": {"o": 13}}, "compared 12 values of o"),
    ],
)
def test_folder_batch_that_is_not_what_was_asked_for_is_refused(tmp_path, changes, message):
    folder, cell = folder_with(tmp_path, batch(1, **changes))
    with pytest.raises(ValueError, match=f"batches-0-.*{message}"):
        folder.records(cell)


def test_folder_batch_of_a_whole_network_has_logits_of_each_image(tmp_path):
    """Beside the marks of its attention it has those of the network around it."""
    marks = {**RECORD.watermarks, NETWORK: {"residual": (-9, 8, 64, 0), "u": (-4, 3, 64, 5)}}
    with_logits = batch(2, logits=(A, B), watermarks=marks)
    without = batch(1, watermarks=marks)
    folder, cell = folder_with(tmp_path, with_logits, without, arithmetic="integer")
    with pytest.raises(ValueError, match="batch 1 must have 2 digests of logits, got 0"):
        folder.records(cell)
    folder, cell = folder_with(tmp_path / "other", with_logits, arithmetic="integer")
    assert records(folder, cell) == {2: with_logits}
    of_attention = batch(2, logits=(A, B))
    other, cell = folder_with(tmp_path / "marks", of_attention, arithmetic="integer")
    with pytest.raises(ValueError, match="must have watermarks of 2 layers, got 1"):
        other.records(cell)
    with pytest.raises(ValueError, match=r"logits/2 must be the logits of its batch, got others"):
        folder.logits_digest(cell)


@pytest.mark.parametrize("name", ["run", "cell", "model"])
def test_folder_line_of_another_run_cell_or_model_is_refused(tmp_path, name):
    folder, cell = folder_with(tmp_path, batch(1), **{name: "0" * 64})
    with pytest.raises(ValueError, match=f"must be of the {name} .* got one of '0000"):
        folder.records(cell)


def test_folder_journal_without_what_the_cell_began_with_is_refused(tmp_path):
    folder, cell = folder_with(tmp_path, batch(1))
    (folder.cell_folder(cell) / "cell.json").unlink()
    with pytest.raises(ValueError, match=r"must hold cell\.json"):
        folder.records(cell)


def test_folder_status_tells_nothing_compared_from_no_mismatch(tmp_path):
    folder, _ = folder_with(tmp_path, batch(1))
    waiting, begun, _ = folder.status_lines(folder.status())
    assert waiting.endswith(" nothing compared")
    assert begun.endswith(" 1 mismatch")


#: Prints the heavy modules that the status of a run imported.
STATUS = """
import sys
from bitlog2.scripts.cli import main
assert main(["status", sys.argv[1]]) == 0
print("imported:", *({"torch", "timm", "scipy", "numba"} & sys.modules.keys()))
"""


def test_folder_status_is_shown_without_torch(tmp_path):
    folder, _ = folder_with(tmp_path, batch(1))
    command = [sys.executable, "-c", STATUS, str(folder.path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "imported:"


def test_journal_line_is_readable_by_others(tmp_path):
    line = written(tmp_path, 1).read_bytes()
    checksum, text = line.rstrip(b"\n").split(b" ", 1)
    assert int(checksum, 16) == zlib.crc32(text)
