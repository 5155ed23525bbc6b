"""Journals of finished batches."""

import json
import zlib
from pathlib import Path

import msgspec
import pytest

from bitlog2.documents import parse, render
from bitlog2.models.runs.folder import (
    BatchRecord,
    Inputs,
    Journal,
    RunFolder,
    read_journal,
)
from bitlog2.models.runs.request import EvaluationRequest
from bitlog2.models.watch.check import LayerShape

A, B = "0" * 63 + "a", "0" * 63 + "b"
RECORD = BatchRecord(
    run=A,
    cell="digits-x",
    model=B,
    batch=3,
    numbers=(6, 7),
    labels=(1, 0),
    top1=(1, 2),
    hits5=(1, 0),
    skipped=("val/n/broken.png",),
    pixels=(A, B),
    registers=(B, A),
    compared={"score": 4},
    mismatched={"score": 0},
    watermarks={"blocks.0": {"t": (-3, 5, 8, None)}},
)


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


def folder_with(tmp_path, *records, **bound):
    """A run of one cell that has begun; some of what its lines are bound to may be changed."""
    request = EvaluationRequest(
        models=("digits",), schemes=("BitLog2_Half_17",), batch_size=2, watermarks=True
    )
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
    folder.write_cell(cell, B, shapes=SHAPES)
    for record in records:
        with Journal(folder.new_journal(cell, 0)) as journal:
            journal.add(msgspec.structs.replace(record, **folder.bound(cell, B) | bound))
    return folder, cell


def batches(folder, cell):
    """The records, bound to nothing."""
    unbound = {"run": A, "cell": "digits-x", "model": B}
    return {
        number: msgspec.structs.replace(record, **unbound)
        for number, record in folder.records(cell).items()
    }


def test_folder_joins_journals_by_batch(tmp_path):
    folder, cell = folder_with(tmp_path, batch(3), batch(0), batch(3))
    assert batches(folder, cell) == {0: batch(0), 3: batch(3)}
    assert not folder.is_finished(cell)


def test_folder_is_finished_when_every_batch_is_there(tmp_path):
    folder, cell = folder_with(tmp_path, *map(batch, range(4)))
    assert folder.is_finished(cell)


def test_folder_two_results_of_a_batch_are_refused(tmp_path):
    folder, cell = folder_with(tmp_path, batch(3), batch(3, top1=(1, 1)))
    with pytest.raises(ValueError, match="two different results of batch 3"):
        folder.records(cell)


@pytest.mark.parametrize(
    ("changes", "told"),
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
        ({"watermarks": {}}, "must have watermarks of 1 layers, got 0"),
        ({"compared": {}, "mismatched": {}}, "compared 16 values of score, got 0"),
        ({"compared": {"score": 16}}, "compared 12 values of o, got 0"),
        ({"compared": {"score": 16, "o": 13}}, "compared 12 values of o, got 13"),
        ({"compared": {"score": 16, "o": 12, "e": 1}}, "compared 0 values of e, got 1"),
        ({"mismatched": {"o": 13}}, "compared 12 values of o"),
    ],
)
def test_folder_batch_that_is_not_what_was_asked_for_is_refused(tmp_path, changes, told):
    folder, cell = folder_with(tmp_path, batch(1, **changes))
    with pytest.raises(ValueError, match=f"batches-0-.*{told}"):
        folder.records(cell)


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


def test_journal_line_is_readable_by_others(tmp_path):
    line = written(tmp_path, 1).read_bytes()
    checksum, text = line.rstrip(b"\n").split(b" ", 1)
    assert int(checksum, 16) == zlib.crc32(text)
