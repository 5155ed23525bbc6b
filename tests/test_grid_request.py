"""What a grid may be asked for, and its folder."""

import os
from pathlib import Path

import pytest

from bitlog2.documents import parse, render
from bitlog2.models.runs.folder import RunFolder
from bitlog2.models.runs.request import EvaluationRequest

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
    ("field", "value", "told"),
    [
        ("models", (), "models must hold at least one"),
        ("models", ("resnet",), "models must be one of"),
        ("models", ("digits", "digits"), "'digits' twice"),
        ("schemes", ("Half",), "schemes must be one of"),
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
        ("schemes", ("none",), "check must be none for none, which has no registers, got 'all'"),
        ("arithmetics", ("float",), "check must be none for float arithmetic, got 'all'"),
    ],
)
def test_request_out_of_range_names_field_and_range(field, value, told):
    with pytest.raises(ValueError, match=told):
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
    with pytest.raises(ValueError, match="must have the format bitlog2-run-3, got 'bitlog2-run-1'"):
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
