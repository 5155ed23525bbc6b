"""Files written whole or not at all."""

import os
import pwd
from pathlib import Path

import pytest

from bitlog2.sim import files
from bitlog2.sim.files import user_cache, write_synced, write_whole


def test_files_are_written(tmp_path):
    write_whole(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"new"


def test_files_that_fail_leave_the_old_one_alone(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"old")

    def full(path, data):
        path.write_bytes(data[:1])
        raise OSError("no space left")

    monkeypatch.setattr(files, "write_synced", full)
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


def test_files_on_a_full_disk_are_named():
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        write_synced(Path("/dev/full"), b"new")


def test_files_of_a_user_without_a_home_have_no_cache(monkeypatch):
    def unknown(number):
        raise KeyError(number)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert user_cache() == ()
