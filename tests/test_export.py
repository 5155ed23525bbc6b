"""`bitlog2 export`: a model's layers as files, which fed back give the outputs in them."""

import json
from functools import lru_cache

import numpy as np
import pytest
import torch
from support.command import call
from support.models import quantized_digits, quantized_swin
from test_capture import SCHEME, SWIN_LAYERS, digits_layers, request, swin_layers
from test_golden_helpers import contents

from bitlog2.flow.capture import Captured, command_of
from bitlog2.flow.export import attention_scales, exported, linear_layer
from bitlog2.golden import ConvolutionLayer, run_device, verify, write_export
from bitlog2.models.ptq.layers import IntegerConv2d, IntegerLinear
from bitlog2.models.ptq.quantize import QuantizationSpec
from bitlog2.models.ptq.quantizers import CodeUniform
from bitlog2.models.zoo.checkpoint import QuantizedModel, save_quantized
from bitlog2.scripts.cli import main


def export_made(model, request, layers):
    """Return an export with the command that makes it."""
    chosen = {"images": layers[0].images, "layers": tuple(range(len(layers)))}
    command = command_of(request, ["bitlog2", "export"], chosen)
    return exported(Captured(request, model, layers, chosen), command)


def linear_layers(model):
    """The description and the arrays of every linear layer."""
    return [
        linear_layer(name, part)
        for name, part in model.named_modules()
        if isinstance(part, IntegerLinear)
    ]


@lru_cache(maxsize=1)
def digits_export():
    """Two attention layers of digits for two images, and every linear layer."""
    model = quantized_digits(SCHEME)
    return export_made(model, request(), digits_layers((0, 7)))


@lru_cache(maxsize=1)
def swin_export():
    """Every layer of the small Swin for two images: masks, biases, two sizes of heads."""
    model = quantized_swin(SCHEME)
    return export_made(model, request(), swin_layers())


def command(*words):
    return call("export", *words)


@pytest.fixture(scope="module")
def digits_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits") / "export"
    write_export(folder, *digits_export())
    return folder


@pytest.fixture(scope="module")
def swin_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("swin") / "export"
    write_export(folder, *swin_export())
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("quantized") / "q.safetensors"
    model = QuantizedModel(
        quantized_digits(SCHEME), "digits", 10, QuantizationSpec(SCHEME, "attention"), 3
    )
    save_quantized(path, model)
    return path


@pytest.mark.parametrize("folder", ["digits_folder", "swin_folder"])
def test_export_fed_back_gives_the_exported_files(folder, tmp_path, request):
    root = request.getfixturevalue(folder)
    for layer, path in run_device(root, tmp_path / "out").items():
        assert path.read_bytes() == (root / layer / "o.mem").read_bytes(), layer


def test_export_feeds_back_every_attention_layer(swin_folder, tmp_path):
    assert tuple(run_device(swin_folder, tmp_path / "out")) == SWIN_LAYERS


@pytest.mark.parametrize("folder", ["digits_folder", "swin_folder"])
def test_export_verifies(folder, request):
    assert verify(request.getfixturevalue(folder)).ok


def test_export_counts_what_it_compares(digits_folder):
    values = 2 * 2 * 3 * 65  # layers, images, heads, rows
    found = verify(digits_folder).fed_back.compared
    assert found == dict.fromkeys(("level", "nibble", "flag"), 65 * values) | {"o": 32 * values}


def test_export_of_sixteen_levels_has_no_flags(tmp_path):
    model = quantized_swin("BitLog2_Single_16")
    captured = swin_layers((0,), "BitLog2_Single_16")
    write_export(
        tmp_path / "e", *export_made(model, request(schemes=("BitLog2_Single_16",)), captured)
    )
    assert verify(tmp_path / "e").ok
    assert not any(path.endswith("flag.mem") for path in contents(tmp_path / "e"))


def test_export_has_a_folder_a_layer(digits_folder):
    wanted = {"patch_embed.proj", "head", "blocks.0.attn", "blocks.3.attn"}
    wanted |= {
        f"blocks.{block}.{part}"
        for block in range(4)
        for part in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    }
    assert {path.name for path in digits_folder.iterdir() if path.is_dir()} == wanted


def test_export_writes_a_code_a_lane_from_the_right(digits_folder):
    """The first word of q.mem: image 0, head 0, token 0; channel 0 in the last digit."""
    word = (digits_folder / "blocks.0.attn" / "q.mem").read_text().split("\n")[0]
    assert [int(digit, 16) for digit in reversed(word)] == digits_layers((0, 7))[0].q[
        0, 0, 0, 0
    ].tolist()


def test_export_writes_a_scale_as_its_bits(digits_folder):
    word = (digits_folder / "blocks.0.attn" / "q_scale.mem").read_text()
    scale = quantized_digits(SCHEME).get_submodule("blocks.0.attn").q_quantizer.delta
    assert np.uint32(int(word, 16)).view(np.float32) == scale.numpy()


def test_export_has_the_same_numbers_for_python(swin_folder):
    shifted = swin_layers()[1]
    with np.load(swin_folder / shifted.layer / "arrays.npz") as arrays:
        for name in ("q", "k", "v", "level", "nibble", "flag", "o"):
            assert np.array_equal(arrays[name], getattr(shifted, name)), name
        assert np.array_equal(arrays["mask"], shifted.masked)
        assert np.array_equal(arrays["score_bias"], shifted.bias)


def test_export_writes_what_a_layer_loads(digits_folder):
    manifest = json.loads((digits_folder / "manifest.json").read_bytes())
    found = {layer["name"]: layer["params"] for layer in manifest["layers"] if "params" in layer}
    model = quantized_digits(SCHEME)
    names = ("blocks.0.attn", "blocks.3.attn")
    assert found == {name: model.get_submodule(name).params().as_dict() for name in names}


@pytest.mark.parametrize("model", [quantized_digits, quantized_swin])
def test_export_weight_codes_are_those_of_the_quantizer(model):
    quantized = model(SCHEME)
    for described, arrays in linear_layers(quantized):
        layer = quantized.get_submodule(described.name)
        wanted = layer.weight_quantizer(layer.weight).flatten(1).numpy()
        assert np.array_equal(arrays["weight"], wanted), described.name


def test_export_lists_every_linear_layer_and_the_patch_projection():
    model = quantized_swin(SCHEME)
    wanted = [name for name, part in model.named_modules() if isinstance(part, IntegerLinear)]
    export, _ = swin_export()
    found = [layer for layer in export.layers if layer.name not in SWIN_LAYERS]
    assert [layer.name for layer in found] == wanted
    convolutions = [layer.name for layer in found if isinstance(layer, ConvolutionLayer)]
    assert convolutions == ["patch_embed.proj"]


def test_export_of_a_linear_layer_is_enough_to_compute_it():
    """Codes, zero points and scales alone give what the layer gives."""
    layer = quantized_digits(SCHEME).get_submodule("blocks.1.mlp.fc1")
    codes, of = linear_layer("blocks.1.mlp.fc1", layer)
    x = torch.randn(5, 96, generator=torch.Generator().manual_seed(3))
    given = np.floor(x.numpy() / of["input_scale"] + np.float32(0.5)) + of["input_zero"]
    given = given.clip(0, 2**codes.input_bits - 1).astype(np.int64) - of["input_zero"]
    acc = given @ (of["weight"].astype(np.int64) - of["weight_zero"][:, None]).T
    out = acc.astype(np.float32) * (of["input_scale"] * of["weight_scale"]) + of["bias"]
    assert np.array_equal(out, layer(x).numpy())


def test_export_of_a_convolution_says_its_kernel():
    codes, _ = linear_layers(quantized_digits(SCHEME))[0]
    assert (codes.kernel, codes.stride, codes.input_bits) == ((1, 4, 4), (4, 4), 8)


def test_export_of_a_layer_without_bias_has_none():
    layer = IntegerLinear(torch.ones(2, 3), None, 4, 4)
    layer.calibrate(torch.tensor([[0.0, 1.0, 2.0]]))
    assert "bias" not in linear_layer("0", layer)[1]


def test_export_refuses_a_layer_that_is_not_calibrated():
    layer = IntegerConv2d(torch.ones(2, 1, 2, 2), None, (2, 2), 4, 8)
    with pytest.raises(ValueError, match="layer 0 must be calibrated"):
        linear_layer("0", layer)


def test_export_scales_are_those_of_the_quantizers():
    model = quantized_digits(SCHEME)
    layer = model.get_submodule("blocks.2.attn")
    found = attention_scales(model, "blocks.2.attn")
    wanted = {f"{name}_scale": getattr(layer, f"{name}_quantizer").delta.item() for name in "qkv"}
    assert {name: value.item() for name, value in found.items()} == wanted | {
        "map_scale": int(layer.delta)
    }


def test_export_scales_of_another_layer_are_refused():
    with pytest.raises(ValueError, match="layer must be an attention layer"):
        attention_scales(quantized_digits(SCHEME), "head")


def test_export_quantizers_hold_integers_where_codes_are_exported():
    """Zero points are float32 in the model: each must be a code."""
    zeros = [
        part.zero_point
        for part in quantized_swin(SCHEME).modules()
        if isinstance(part, CodeUniform)
    ]
    assert all(torch.equal(zero, zero.round()) and zero.min() >= 0 for zero in zeros)


def test_export_command_writes_the_same_bytes_again(saved, tmp_path):
    for name in ("first", "second"):
        command("digits", "--load", saved, "--out", tmp_path / name, "--images", "1-2")
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_export_command_verifies_by_the_golden_command(saved, tmp_path, capsys):
    command("digits", "--load", saved, "--out", tmp_path / "e", "--layers", "blocks.2.attn")
    assert main(["golden", "verify", str(tmp_path / "e")]) == 0
    assert "o: 6240 values compared, 0 differ" in capsys.readouterr().out


def test_export_command_runs_by_the_golden_command(saved, tmp_path):
    command("digits", "--load", saved, "--out", tmp_path / "e", "--layers", "1")
    assert main(["golden", "run", str(tmp_path / "e"), "--out", str(tmp_path / "r")]) == 0
    name = "blocks.1.attn/o.mem"
    assert (tmp_path / "r" / name).read_bytes() == (tmp_path / "e" / name).read_bytes()


def test_export_command_is_in_the_manifest(saved, tmp_path):
    command("digits", "--load", saved, "--out", tmp_path / "e", "--images", "2,0", "--layers", "3")
    manifest = json.loads((tmp_path / "e" / "manifest.json").read_bytes())
    assert manifest["command"] == "bitlog2 export digits --images 0,2 --layers 3 --load FILE"
    assert (manifest["images"], manifest["quantization"]["seed"]) == ([0, 2], 3)


def test_export_command_says_how_to_feed_it_back(saved, tmp_path, capsys):
    command("digits", "--load", saved, "--out", tmp_path / "e", "--layers", "3")
    out = capsys.readouterr().out
    assert "digits: 1 attention and 18 linear layers, 1 image" in out
    assert f"feed it back: bitlog2 golden run {tmp_path / 'e'} --out results" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--images", "544"], "--images must be from 0 to 543, got 544"),
        (["--layers", "4"], "--layers must be from 0 to 3, got 4"),
        (["--scheme", "BitLog2_Half_16"], "--scheme must be left out with --load"),
        (["--data", "somewhere"], "data must be left out for digits"),
    ],
)
def test_export_command_refuses(saved, tmp_path, words, message):
    with pytest.raises(ValueError, match=message):
        command("digits", "--load", saved, "--out", tmp_path / "e", *words)
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize("scheme", ["none", "uniform_4", "Sqrt2_16"])
def test_export_command_refuses_a_scheme_without_a_datapath(scheme, tmp_path):
    assert main(["export", "digits", "--out", str(tmp_path / "e"), "--scheme", scheme]) == 2


def test_export_command_refuses_a_folder_that_is_no_export(saved, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="output must be a new folder or an export"):
        command("digits", "--load", saved, "--out", tmp_path)


@pytest.mark.parametrize(
    "words", [["run", "--out", "r", "--unit", "attention_row"], ["verify", "--actual", "a=b"]]
)
def test_export_takes_no_options_of_a_vector_set(swin_folder, words):
    assert main(["golden", words[0], str(swin_folder), *words[1:]]) == 2
