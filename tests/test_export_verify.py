"""Every planted error in an export is found, and said in one clear line."""

import shutil

import numpy as np
import pytest
from msgspec import structs
from test_capture import SWIN_LAYERS
from test_export import swin_export
from test_golden_helpers import IRREGULAR, contents, make_irregular, renew_sums

from bitlog2.golden import run_device, verify, write_export
from bitlog2.golden.package.folder import sha256
from bitlog2.scripts.cli import main

LAYER = SWIN_LAYERS[1]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("swin") / "export"
    write_export(folder, *swin_export())
    return folder


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / "e")


def replace_sum(folder, old, new):
    """Put the checksum of `new` into the manifest where that of `old` stands; renew the sums."""
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(sha256(old).encode(), sha256(new).encode()))
    renew_sums(folder)


def change_digit(path, place=0):
    """Change one hexadecimal digit so that its lowest bit is another."""
    data = bytearray(path.read_bytes())
    data[place] = ord(f"{int(chr(data[place]), 16) ^ 1:x}")
    path.write_bytes(data)


def verified(folder):
    """Return exit status and report."""
    found = verify(folder)
    return found.status, "\n".join(found.lines())


def rewritten(folder, layer, **changes):
    """Write the export with other numbers in a layer: consistent in itself, checksums too.

    `changes` are (place, value) by field.
    """
    export, arrays = swin_export()
    numbers = dict(arrays[layer])
    for name, change in changes.items():
        numbers[name] = numbers[name].copy()
        place, value = change
        numbers[name][place] = value
    write_export(folder, export, {**arrays, layer: numbers})


def code_of(layer, name, place):
    return int(swin_export()[1][layer][name][place])


def test_export_verify_finds_a_missing_layer(folder):
    shutil.rmtree(folder / f"{LAYER}.proj")
    status, text = verified(folder)
    assert (status, f"{LAYER}.proj/weight.mem is missing" in text) == (1, True)


def test_export_verify_finds_memories_that_are_not_the_numbers_for_python(folder):
    """Every checksum is renewed, in the manifest too."""
    old = contents(folder)[f"{LAYER}/v.mem"]
    change_digit(folder / LAYER / "v.mem")
    replace_sum(folder, old, (folder / LAYER / "v.mem").read_bytes())
    line = f"{folder}: {LAYER}/arrays.npz is not what the memories of its layer give"
    assert verified(folder) == (1, f"{line}\nDIFFERS")


def test_export_verify_finds_numbers_for_python_that_are_not_the_memories(folder):
    path = folder / LAYER / "arrays.npz"
    old = path.read_bytes()
    data = bytearray(old)
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    replace_sum(folder, old, bytes(data))
    status, text = verified(folder)
    assert (status, f"{LAYER}/arrays.npz is not what the memories" in text) == (1, True)


@pytest.mark.parametrize(
    ("name", "place"), [("q", (0, 2, 1, 5, 3)), ("k", (1, 0, 0, 7, 0)), ("v", (0, 3, 1, 9, 2))]
)
def test_export_verify_feeds_a_changed_code_back(tmp_path, name, place):
    """A consistent export of codes that the model did not have."""
    away = 0 if code_of(LAYER, name, place) > 7 else 15
    rewritten(tmp_path / "e", LAYER, **{name: (place, away)})
    status, text = verified(tmp_path / "e")
    image, window, head = place[:3]
    assert status == 1
    assert f"{LAYER} o: image {image} window {window} head {head} row " in text


def test_export_verify_names_a_changed_output(tmp_path):
    place = (1, 2, 1, 6, 4)
    was = code_of(LAYER, "o", place)
    rewritten(tmp_path / "e", LAYER, o=(place, was ^ 1))
    status, text = verified(tmp_path / "e")
    assert status == 1
    assert (
        f"  {LAYER} o: image 1 window 2 head 1 row 6 channel 4: expected 0x{was:x} ({was}), "
        f"actual 0x{was ^ 1:x} ({was ^ 1}); 1 differ in this memory"
    ) in text.split("\n")


def test_export_verify_counts_what_differs(tmp_path):
    place = (0, 0, 0, 0, 0)
    rewritten(tmp_path / "e", LAYER, o=(place, code_of(LAYER, "o", place) ^ 1))
    assert "fed back: o: 9216 values compared, 1 differ" in verified(tmp_path / "e")[1]


@pytest.mark.parametrize(("name", "place"), [("level", (0, 1, 1, 3, 8)), ("nibble", (1,) * 5)])
def test_export_verify_names_a_changed_level(tmp_path, name, place):
    rewritten(tmp_path / "e", LAYER, **{name: (place, code_of(LAYER, name, place) ^ 1)})
    image, window, head, row, key = place
    line = f"{LAYER} {name}: image {image} window {window} head {head} row {row} key {key}: "
    assert line in verified(tmp_path / "e")[1]


def test_export_verify_feeds_a_cleared_mask_back(tmp_path):
    rewritten(tmp_path / "e", LAYER, mask=(..., 0))
    assert f"{LAYER} level: image 0" in verified(tmp_path / "e")[1]


def test_export_verify_refuses_a_row_that_is_fully_masked(tmp_path):
    rewritten(tmp_path / "e", LAYER, mask=((2, 5), 1))
    status, text = verified(tmp_path / "e")
    assert (status, f"layer {LAYER}: masked must leave at least one key" in text) == (1, True)


def test_export_verify_feeds_a_changed_bias_back(tmp_path):
    rewritten(tmp_path / "e", LAYER, score_bias=((0, 3), 1000 * np.arange(16)))
    assert f"{LAYER} level: image 0 window 0 head 0 row 3 " in verified(tmp_path / "e")[1]


def test_export_verify_finds_parameters_that_are_not_the_manifest_s(tmp_path):
    was = code_of(LAYER, "m", 0)
    rewritten(tmp_path / "e", LAYER, m=(0, was - 1))
    status, text = verified(tmp_path / "e")
    line = f"{LAYER}/params.mem must give m = {was}, as manifest.json does, got {was - 1}"
    assert (status, line in text) == (1, True)


@pytest.mark.parametrize("field", ["m", "m2", "zq", "zv", "zo"])
def test_export_verify_feeds_changed_parameters_back(tmp_path, field):
    export, arrays = swin_export()
    value = (code_of(LAYER, field, 0) ^ 8) if field[0] == "z" else 1
    layers = tuple(
        structs.replace(layer, params=structs.replace(layer.params, **{field: value}))
        if layer.name == LAYER
        else layer
        for layer in export.layers
    )
    numbers = {**arrays, LAYER: {**arrays[LAYER], field: np.array([value])}}
    write_export(tmp_path / "e", structs.replace(export, layers=layers), numbers)
    status, text = verified(tmp_path / "e")
    assert (status, f"  {LAYER} o: image 0" in text) == (1, True)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            b'"schema_version": 2',
            b'"schema_version": 3',
            "schema_version must be one of 1, 2, got 3",
        ),
        (b'"specification_version": 1', b'"specification_version": 9', "must be 1, that of this"),
        (b'"heads": 2', b'"heads": 3', "outputs of layers.0.blocks.0.attn.qkv must be "),
        (b'"images": [', b'"pictures": [', "must have the field images: it is missing"),
    ],
)
def test_export_verify_refuses_a_manifest(folder, old, new, message, capsys):
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(old, new))
    assert main(["golden", "verify", str(folder)]) == 2
    assert message in capsys.readouterr().err


def test_export_verify_is_status_one_on_the_command_line(folder, capsys):
    change_digit(folder / LAYER / "q.mem")
    assert main(["golden", "verify", str(folder)]) == 1
    assert capsys.readouterr().out.endswith("DIFFERS\n")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("q.mem", None, f"must hold {LAYER}/q.mem: it is missing"),
        ("v.mem", b"12\n", f"{LAYER}/v.mem must hold 256 words of 12 digits"),
        ("k.mem", b"x", f"{LAYER}/k.mem must hold no x or z digits, got some in word 0"),
        ("k.mem", b"g", f"{LAYER}/k.mem line 1: must be a hexadecimal word"),
    ],
)
def test_export_run_refuses_a_file_that_cannot_be_fed_back(folder, name, data, message, tmp_path):
    path = folder / LAYER / name
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data + path.read_bytes()[1:] if len(data) == 1 else data)
    with pytest.raises(ValueError, match=message):
        run_device(folder, tmp_path / "r")


@pytest.mark.parametrize("path", ["nowhere", "file"])
def test_export_verify_refuses_what_is_no_export(tmp_path, path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="export must be a folder"):
        verify(tmp_path / path)


def test_export_run_refuses_what_is_no_file(folder, tmp_path):
    make_irregular(folder / LAYER / "q.mem", "pipe")
    with pytest.raises(ValueError, match=IRREGULAR["pipe"]):
        run_device(folder, tmp_path / "r")
