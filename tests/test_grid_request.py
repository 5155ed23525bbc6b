"""What a grid may be asked for, and its folder."""

import json

import pytest

from bitlog2.models.grid import GridRequest, RunFolder

USUAL = {"models": ("digits",), "schemes": ("BitLog2_Half_17",)}


def test_request_cells_come_in_the_order_of_the_table():
    request = GridRequest(
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
    request = GridRequest(**USUAL, bits=((4, 4), (6, 8)), checkpoints=(("digits", "x.pth"),))
    assert GridRequest.from_dict(json.loads(json.dumps(request.as_dict()))) == request


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("models", (), "models must hold at least one"),
        ("models", ("resnet",), "models must be one of"),
        ("models", ("digits", "digits"), "'digits' twice"),
        ("schemes", ("Half",), "schemes must be one of"),
        ("schemes", ("Sqrt2_16",), "schemes must have one that integer arithmetic has"),
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
    ],
)
def test_request_out_of_range_names_field_and_range(field, value, told):
    with pytest.raises(ValueError, match=told):
        GridRequest(**USUAL | {field: value})


def test_folder_opens_what_was_created(tmp_path):
    request = GridRequest(**USUAL)
    RunFolder.create(tmp_path / "run", request, {"torch": "2"})
    found = RunFolder.open(tmp_path / "run")
    assert (found.request, found.versions) == (request, {"torch": "2"})


def test_folder_of_another_request_is_left_alone(tmp_path):
    RunFolder.create(tmp_path / "run", GridRequest(**USUAL), {})
    before = (tmp_path / "run" / "run.json").read_bytes()
    with pytest.raises(ValueError, match="was asked for something else"):
        RunFolder.create(tmp_path / "run", GridRequest(**USUAL, seeds=(1,)), {})
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match="new or empty folder"):
        RunFolder.create(tmp_path, GridRequest(**USUAL), {})


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"format": "x"}', b'{"format": "bitlog2-run-1"}', b"\xff", b"[" * 99999],
)
def test_folder_with_a_bad_request_is_one_error(tmp_path, content):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"run\.json"):
        RunFolder.open(tmp_path)


def test_folder_is_held_by_one(tmp_path):
    folder = RunFolder.create(tmp_path / "run", GridRequest(**USUAL), {})
    again = RunFolder.open(tmp_path / "run")
    refused = pytest.raises(ValueError, match="another process is running it")
    with folder.locked(), refused, again.locked():
        pass
    with again.locked():
        pass
