"""`golden emit --source model`: rows of a model as a vector set that verifies."""

import json
from dataclasses import replace

import numpy as np
import pytest
from support.command import call
from support.models import quantized_digits
from test_capture import SCHEME, digits_layers, swin_layers

from bitlog2.flow.capture import row_cases
from bitlog2.golden import emit_rows, run_device, verify
from bitlog2.models.ptq.quantize import QuantizationSpec
from bitlog2.models.zoo.checkpoint import QuantizedModel, save_quantized

FEW = {"heads": (1,), "rows": (0, 64)}
TAPS = ("expected", "keys", "rows")


def command(*words):
    return call("golden", *words)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("quantized") / "q.safetensors"
    spec = QuantizationSpec(SCHEME, "attention")
    save_quantized(path, QuantizedModel(quantized_digits(SCHEME), "digits", 10, spec, 0))
    return path


def emit_digits(folder):
    captured = digits_layers((4,))
    emit_rows(folder, captured[0].config, list(row_cases("digits", captured, FEW, "captured")))
    return folder


def emit_swin(folder):
    captured = swin_layers((1,))[:2]
    chosen = {"windows": (0, 3), "rows": (5, 15)}
    emit_rows(folder, captured[0].config, list(row_cases("swin", captured, chosen, "captured")))
    return folder


def origins(folder):
    manifest = json.loads((folder / "manifest.json").read_bytes())
    return [tuple(group["origin"].values()) for group in manifest["groups"]]


def test_captured_rows_of_digits_verify(tmp_path):
    assert verify(emit_digits(tmp_path / "rows")).ok


def test_captured_rows_of_swin_verify(tmp_path):
    assert verify(emit_swin(tmp_path / "rows")).ok


def test_captured_rows_keep_where_they_come_from(tmp_path):
    assert origins(emit_digits(tmp_path / "rows")) == [
        ("digits", "blocks.0.attn", 1, 4, 0),
        ("digits", "blocks.0.attn", 1, 4, 64),
        ("digits", "blocks.3.attn", 1, 4, 0),
        ("digits", "blocks.3.attn", 1, 4, 64),
    ]


def test_captured_rows_of_swin_name_their_window(tmp_path):
    found = {origin[1] for origin in origins(emit_swin(tmp_path / "rows"))}
    assert found == {
        f"layers.0.blocks.{block}.attn window {window}" for block in (0, 1) for window in (0, 3)
    }


def test_captured_rows_of_swin_keep_mask_and_bias(tmp_path):
    shifted = swin_layers((1,))[1]
    cases = list(row_cases("swin", [shifted], {"windows": (3,), "heads": (1,)}, "captured"))
    emit_rows(tmp_path / "rows", shifted.config, cases)
    with np.load(tmp_path / "rows" / "vectors.npz") as arrays:
        mask, bias = (arrays[f"attention_row.stimulus.{name}"] for name in ("mask", "bias"))
    assert np.array_equal(mask.reshape(16, 16), shifted.masked[3])
    assert np.array_equal(bias.reshape(16, 16), shifted.bias[1])


def test_captured_rows_expect_the_model_s_own_output(tmp_path):
    with np.load(emit_digits(tmp_path / "rows") / "vectors.npz") as arrays:
        found = arrays["attention_row.expected.o"]
    captured = digits_layers((4,))
    wanted = [part.o[0, 0, 1, row] for part in captured for row in (0, 64)]
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize(
    ("stream", "digit", "unit"), [("keys", -2, "log2_quantizer"), ("rows", -1, "shift_add")]
)
def test_captured_rows_name_the_unit_in_which_a_device_parts(tmp_path, stream, digit, unit):
    folder = emit_digits(tmp_path / "rows")
    results = run_device(folder, tmp_path / "out")
    path = results[f"attention_row.{stream}"]
    lines = path.read_bytes().split(b"\n")
    word = bytearray(lines[2])
    word[digit] = ord("0") if word[digit] != ord("0") else ord("8")
    lines[2] = bytes(word)
    path.write_bytes(b"\n".join(lines))
    actual = {name: results[name] for name in (f"attention_row.{tap}" for tap in TAPS)}
    report = verify(folder, actual)
    assert report.status == 1
    assert f"first unit that parts: {unit}" in "\n".join(report.lines())


def test_captured_rows_of_other_channels_are_refused():
    captured = swin_layers((0,))
    with pytest.raises(ValueError, match=r"same channels: layers\.0\.blocks\.0\.attn has 12, "):
        list(row_cases("swin", [captured[0], captured[2]], {}, "captured"))


def test_captured_rows_command_emits_the_rows_that_were_chosen(tmp_path, saved):
    words = ("--layers", "blocks.3.attn,0", "--heads", "0,2", "--images", "1", "--rows", "7")
    command("emit", "--out", tmp_path / "s", "--source", "model", "--load", saved, *words)
    assert origins(tmp_path / "s") == [
        ("digits", layer, head, 1, 7)
        for layer in ("blocks.0.attn", "blocks.3.attn")
        for head in (0, 2)
    ]


def test_captured_rows_command_takes_little_by_default(tmp_path, saved):
    command("emit", "--out", tmp_path / "s", "--source", "model", "--load", saved)
    wanted = [("digits", "blocks.0.attn", 0, 0, row) for row in range(65)]
    assert origins(tmp_path / "s") == wanted


def test_captured_rows_command_is_in_the_manifest(tmp_path, saved):
    words = ("--source", "model", "--load", saved, "--rows", "2")
    command("emit", "--out", tmp_path / "s", *words)
    reason = json.loads((tmp_path / "s" / "manifest.json").read_bytes())["groups"][0]["reason"]
    assert reason == (
        "captured by: bitlog2 golden emit --source model --model digits --layers 0 --heads 0 "
        "--images 0 --rows 2 --load FILE"
    )


def test_captured_rows_command_from_the_manifest_writes_the_same_bytes(tmp_path):
    first = emit_swin(tmp_path / "first")
    command("emit", "--from", first / "manifest.json", "--out", tmp_path / "second")
    for path in first.iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--layers", "4"], "--layers must be from 0 to 3, got 4"),
        (["--heads", "3"], "--heads must be from 0 to 2, got 3"),
        (["--images", "544"], "--images must be from 0 to 543, got 544"),
        (["--rows", "65"], "--rows must be from 0 to 64, got 65"),
        (["--windows", "1"], "--windows must be from 0 to 0, got 1"),
        (["--layers", "blocks.9.attn"], "or one of blocks.0.attn"),
        (["--scheme", "BitLog2_Half_16"], "--scheme must be left out with --load"),
        (["--seed", "3"], "--seed must be left out with --load"),
        (["--model", "deit_tiny"], "load must be a quantized deit_tiny, got one of digits"),
        (["--config", "BitLog2_Half_16"], "--config must be left out"),
        (["--count", "3"], "--count must be left out"),
        (["--head-dim", "3"], "--head-dim must be left out"),
        (["--unit", "log2_quantizer"], "--unit must be attention_row with --source model"),
        (["--data", "somewhere"], "data must be left out for digits"),
    ],
)
def test_captured_rows_command_refuses(tmp_path, saved, words, message):
    with pytest.raises(ValueError, match=message):
        command("emit", "--out", tmp_path / "s", "--source", "model", "--load", saved, *words)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--layers", "0"], "--layers must be left out without --source model"),
        (
            ["--source", "random", "--model", "digits"],
            "--model must be left out without --source model",
        ),
        (["--source", "model", "--scheme", "none"], "have an integer datapath, got 'none'"),
        (["--source", "model", "--seed", "2147483648"], "--seed must be from 0 to 2147483647"),
        (["--source", "model", "--model", "vit_small"], "data must be given for vit_small"),
    ],
)
def test_captured_rows_command_refuses_options_that_do_not_go_together(tmp_path, words, message):
    with pytest.raises(ValueError, match=message):
        command("emit", "--out", tmp_path / "s", *words)


def test_captured_rows_command_refuses_a_folder_that_is_no_set_before_the_work(tmp_path, saved):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="output must be a new folder"):
        command("emit", "--out", tmp_path / "s", "--source", "model", "--load", saved)


def test_captured_rows_of_a_planted_score_do_not_agree_with_the_model(tmp_path):
    """A row whose score was changed has another output than the model gave."""
    captured = digits_layers((4,))[:1]
    case = next(iter(row_cases("digits", captured, FEW, "captured")))
    scores = case.scores.copy()
    scores[np.argmin(scores)] += 4000
    emit_rows(tmp_path / "rows", captured[0].config, [replace(case, scores=scores)])
    with np.load(tmp_path / "rows" / "vectors.npz") as arrays:
        assert not np.array_equal(arrays["attention_row.expected.o"][0], captured[0].o[0, 0, 1, 0])
