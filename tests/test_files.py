"""Files written whole or not at all."""

import errno
import os

import pytest

from bitlog2.scripts.cli import main
from bitlog2.scripts.terminal import guarded
from bitlog2.sim import files
from bitlog2.sim.files import write_whole


def test_files_are_written(tmp_path):
    write_whole(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"new"


def test_files_that_fail_leave_the_old_one_alone(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"old")

    def full(path, data, sync):
        path.write_bytes(data[:1])
        raise OSError("no space left")

    monkeypatch.setattr(files, "write", full)
    with pytest.raises(OSError, match="no space"):
        write_whole(tmp_path / "x", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"x": b"old"}


@pytest.fixture
def full_disk(monkeypatch):
    def fsync(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)


def test_files_on_a_full_disk_are_named(tmp_path, full_disk):
    with pytest.raises(OSError, match="No space left") as raised:
        write_whole(tmp_path / "x", b"new")
    assert raised.value.filename == str(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "file"),
    [
        (("emit", "--unit", "exp2", "--source", "random", "--count", "3", "--out"), "/exp2."),
        (("plan", "--unit", "exp2", "--json"), ""),
    ],
    ids=["emit", "plan"],
)
def test_files_on_a_full_disk_are_named_by_the_command(tmp_path, full_disk, capsys, words, file):
    assert main(["golden", *words, str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"bitlog2: error: {tmp_path / 'out'}{file}")
    assert said.endswith(": No space left on device\n")
    assert said.count("\n") == 1


def test_files_on_a_full_disk_may_be_standard_output(capsys):
    def command():
        raise OSError(errno.ENOSPC, "No space left on device")

    assert guarded(command) == 2
    assert "No space left on device: standard output or a temporary file" in capsys.readouterr().err


def test_files_are_readable_by_all_that_the_mask_allows(tmp_path):
    mask = os.umask(0o022)
    try:
        write_whole(tmp_path / "x", b"new")
    finally:
        os.umask(mask)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o644
