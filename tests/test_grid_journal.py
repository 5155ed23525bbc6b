"""Journals of finished batches."""

import json
import zlib

import pytest

from bitlog2.models.grid.folder import RunFolder
from bitlog2.models.grid.journal import Journal, read_journal
from bitlog2.models.grid.record import BatchRecord
from bitlog2.models.grid.request import GridRequest

RECORD = BatchRecord(
    batch=3,
    numbers=(6, 7),
    labels=(1, 0),
    top1=(1, 2),
    hits5=(1, 0),
    skipped=("val/n/broken.png",),
    pixels=("00ff", "01ff"),
    registers=("aa", "bb"),
    compared={"score": 4},
    mismatched={"score": 0},
    watermarks={"blocks.0": {"t": (-3, 5, 8, None)}},
)


def written(tmp_path, count=3):
    path = tmp_path / "batches-0-x.jsonl"
    with Journal(path) as journal:
        for number in range(count):
            journal.add({"batch": number})
    return path


def test_journal_gives_back_what_was_added(tmp_path):
    assert read_journal(written(tmp_path)) == [{"batch": 0}, {"batch": 1}, {"batch": 2}]


def test_journal_cut_anywhere_loses_the_torn_line_alone(tmp_path):
    path = written(tmp_path)
    whole = path.read_bytes()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        assert len(read_journal(path)) == whole[:size].count(b"\n")


def test_journal_every_flipped_bit_of_a_whole_line_is_refused(tmp_path):
    path = written(tmp_path)
    whole = path.read_bytes()
    for place in range(len(whole) - 1):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match=r"line \d is damaged"):
                read_journal(path)


def test_journal_is_never_written_over(tmp_path):
    path = written(tmp_path)
    with pytest.raises(FileExistsError):
        Journal(path)


def test_record_comes_back_from_json(tmp_path):
    values = json.loads(json.dumps(RECORD.as_dict()))
    assert BatchRecord.from_dict(values, tmp_path) == RECORD


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("batch", -1),
        ("batch", True),
        ("numbers", [6]),
        ("numbers", [6, "7"]),
        ("labels", 3),
        ("top1", [1, 2.5]),
        ("skipped", [1]),
        ("pixels", None),
        ("pixels", ["aa"]),
        ("registers", ["aa", 1]),
        ("compared", {"unknown": 1}),
        ("compared", {"score": -1}),
        ("mismatched", []),
        ("watermarks", {"blocks.0": {"t": [1, 2]}}),
        ("watermarks", {"blocks.0": {"t": [1, 2, None, None]}}),
    ],
)
def test_record_malformed_is_refused_with_its_file(tmp_path, field, value):
    values = json.loads(json.dumps(RECORD.as_dict())) | {field: value}
    with pytest.raises(ValueError, match=str(tmp_path)):
        BatchRecord.from_dict(values, tmp_path)


def folder_with(tmp_path, *records):
    request = GridRequest(models=("digits",), schemes=("BitLog2_Half_17",))
    folder = RunFolder.create(tmp_path / "run", request, {})
    cell = request.cells()[0]
    folder.cell_folder(cell).mkdir(parents=True)
    for record in records:
        with Journal(folder.new_journal(cell, 0)) as journal:
            journal.add(record.as_dict())
    return folder, cell


def test_folder_joins_journals_by_batch(tmp_path):
    other = BatchRecord(0, (0,), (1,), (1,), (1,))
    folder, cell = folder_with(tmp_path, RECORD, other, RECORD)
    assert folder.records(cell) == {0: other, 3: RECORD}


def test_folder_two_results_of_a_batch_are_refused(tmp_path):
    other = BatchRecord(3, (6, 7), (1, 0), (0, 0), (1, 0))
    folder, cell = folder_with(tmp_path, RECORD, other)
    with pytest.raises(ValueError, match="two different results of batch 3"):
        folder.records(cell)


def test_journal_line_is_readable_by_others(tmp_path):
    line = written(tmp_path, 1).read_bytes()
    checksum, text = line.rstrip(b"\n").split(b" ", 1)
    assert int(checksum, 16) == zlib.crc32(text)
