"""Files written whole or not at all."""

import os

import pytest

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


def test_files_are_readable_by_all_that_the_mask_allows(tmp_path):
    mask = os.umask(0o022)
    try:
        write_whole(tmp_path / "x", b"new")
    finally:
        os.umask(mask)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o644
