"""The folder of an export: whole or not at all, and nobody's files lost."""

import pytest
from test_export import contents, swin_export
from test_golden_helpers import emit_hand_row

from bitlog2.golden import write_export
from bitlog2.golden.package.folder import open_folder, paths_below, replace_folder

OLD = (("a/x.mem", b"old"), ("manifest.json", b"{}"))


def broken():
    yield "a/x.mem", b"new"
    raise KeyboardInterrupt


def test_export_files_lie_in_their_folders(tmp_path):
    sizes = replace_folder(tmp_path / "e", OLD)
    assert contents(tmp_path / "e") == dict(OLD)
    assert sizes == {"a/x.mem": 3, "manifest.json": 2}


def test_export_files_of_an_interrupted_run_leave_the_old_folder(tmp_path):
    replace_folder(tmp_path / "e", OLD)
    with pytest.raises(KeyboardInterrupt):
        replace_folder(tmp_path / "e", broken())
    assert contents(tmp_path / "e") == dict(OLD)


def test_export_files_of_an_interrupted_run_leave_nothing_else(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        replace_folder(tmp_path / "e", broken())
    assert list(tmp_path.iterdir()) == []


def test_export_files_of_the_old_folder_are_gone(tmp_path):
    replace_folder(tmp_path / "e", OLD)
    replace_folder(tmp_path / "e", [("b/y.mem", b"new")])
    assert contents(tmp_path / "e") == {"b/y.mem": b"new"}


def test_export_files_of_a_run_killed_between_its_renames_are_put_back(tmp_path):
    replace_folder(tmp_path / "e", OLD)
    (tmp_path / "e").rename(tmp_path / ".e.bitlog2-old-0")
    with pytest.raises(KeyboardInterrupt):
        replace_folder(tmp_path / "e", broken())
    assert contents(tmp_path / "e") == dict(OLD)


def test_export_files_of_a_failed_export_leave_the_old_one(tmp_path):
    export, arrays = swin_export()
    write_export(tmp_path / "e", export, arrays)
    before = contents(tmp_path / "e")
    head = {**arrays["head.fc"], "weight": arrays["head.fc"]["weight"] + 16}
    with pytest.raises(ValueError, match=r"^head.fc/weight\.mem: weight must be from 0 to 15, got"):
        write_export(tmp_path / "e", export, {**arrays, "head.fc": head})
    assert contents(tmp_path / "e") == before


def test_export_files_replace_an_export(tmp_path):
    write_export(tmp_path / "e", *swin_export())
    first = contents(tmp_path / "e")
    write_export(tmp_path / "e", *swin_export())
    assert contents(tmp_path / "e") == first


def test_export_files_are_not_written_over_a_stranger_s(tmp_path):
    write_export(tmp_path / "e", *swin_export())
    (tmp_path / "e" / "head.fc" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"but head\.fc/notes\.txt is no part of the export in it"):
        write_export(tmp_path / "e", *swin_export())


def test_export_files_are_not_written_over_a_vector_set(tmp_path):
    emit_hand_row(tmp_path / "set")
    with pytest.raises(ValueError, match="output must be a new folder or an export"):
        write_export(tmp_path / "set", *swin_export())


def test_export_files_are_not_written_over_a_file(tmp_path):
    (tmp_path / "e").write_text("mine")
    with pytest.raises(ValueError, match="output must be a folder, got the file"):
        write_export(tmp_path / "e", *swin_export())


def test_export_files_may_go_into_an_empty_folder(tmp_path):
    write_export(tmp_path, *swin_export())
    assert open_folder(tmp_path).manifest.title == "export"


def test_export_files_count_empty_folders(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").write_text("")
    assert paths_below(tmp_path) == {"a", "b/x"}
