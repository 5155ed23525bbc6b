"""A quantized model saved and loaded gives the same bits; its quantizers are dumped by name."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save, save_file
from support.models import FORMS_RUN, digits_task, images, quantized_digits, quantized_swin, swin

from bitlog2.models.ptq.quantize import QuantizationSpec, calibrate, float_path, quantize
from bitlog2.models.zoo.checkpoint import (
    QuantizedModel,
    dump_quantizers,
    load_quantized,
    model_digest,
    quantized_about,
    quantizer_values,
    save_quantized,
)
from bitlog2.names import ZOO


def digits(scheme="BitLog2_Half_17", arithmetic="attention", seed=0):
    model = quantized_digits(scheme, arithmetic)
    return QuantizedModel(model, "digits", 10, QuantizationSpec(scheme, arithmetic), seed)


@pytest.mark.parametrize(("scheme", "arithmetic"), FORMS_RUN)
def test_checkpoint_loaded_model_gives_the_same_bits(tmp_path, scheme, arithmetic):
    saved = digits(scheme, arithmetic, seed=3)
    save_quantized(tmp_path / "m.safetensors", saved)
    loaded = load_quantized(tmp_path / "m.safetensors")
    images = digits_task().data.test[:64][0]
    with torch.inference_mode():
        assert torch.equal(loaded.model(images), saved.model(images))
    about = (loaded.name, loaded.classes, loaded.spec, loaded.seed)
    assert about == ("digits", 10, saved.spec, 3)


@pytest.mark.long
@pytest.mark.parametrize("arithmetic", ["float", "attention"])
def test_checkpoint_of_swin_gives_the_same_bits(tmp_path, arithmetic):
    """Score bias, window masks, and the bias that reduction gets from reparameterization."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = timm.create_model(ZOO["swin_tiny"].timm_name, num_classes=5).eval()
        images = torch.randn(1, 3, 224, 224)
    spec = QuantizationSpec("BitLog2_Single_17", arithmetic)
    saved = QuantizedModel(quantize(model, images, spec), "swin_tiny", 5, spec, 0)
    assert saved.model.layers[1].downsample.reduction.bias is not None
    save_quantized(tmp_path / "m.safetensors", saved)
    loaded = load_quantized(tmp_path / "m.safetensors")
    with torch.inference_mode():
        assert torch.equal(loaded.model(images), saved.model(images))


def test_checkpoint_about_reads_how_it_was_quantized(tmp_path):
    save_quantized(tmp_path / "m.safetensors", digits("none", "float", seed=7))
    spec = QuantizationSpec("none", "float", 4, 4)
    assert quantized_about(tmp_path / "m.safetensors") == ("digits", spec, 7)


def test_checkpoint_that_is_no_quantized_model_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    with pytest.raises(FileNotFoundError, match=r"must be a file that exists, got .*m\."):
        load_quantized(path)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="must be a safetensors file"):
        load_quantized(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="format None"):
        load_quantized(path)


SHA = "do not have the sha256"
TWICE = "stands twice|duplicate"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("BitLog2_Half_17", "BitLog2_Single_17", SHA),
        (r"\"w_bits\": 4", r"\"w_bits\": 8", SHA),
        (r"\"datapath\": []", r"\"datapath\": [[\"fraction_bits\", 3]]", SHA),
        ('"seed": "0"', '"seed": "1"', SHA),
        ("blocks.1.norm1.bias", "blocks.1.norm1.bios", SHA),
        ("[96, 96]", "[48, 192]", SHA),
        ('"seed": "0"', '"seed": "0", "note": "mine"', SHA),
        ('"seed": "0"', '"seed": "5", "seed": "0"', TWICE),
        (r"\"w_bits\": 4", r"\"w_bits\": 8, \"w_bits\": 4", TWICE),
        ('"__metadata__": {', '"__metadata__": {"format": "x"}, "__metadata__": {', TWICE),
        ("quantized-4", "quantized-3", "whose arithmetic integer is what attention is now"),
        (None, None, SHA),
    ],
    ids=range(12),
)
def test_checkpoint_that_was_edited_is_refused(tmp_path, old, new, message):
    """Its header as a text, or the last bit of its tensors."""
    path = tmp_path / "m.safetensors"
    save_quantized(path, digits())
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header, data = content[8:end].decode(), content[end:]
    if old is None:
        data = data[:-1] + bytes([data[-1] ^ 1])
    else:
        assert old in header
        header = header.replace(old, new)
    path.write_bytes(len(header.encode()).to_bytes(8, "little") + header.encode() + data)
    with pytest.raises(ValueError, match=message):
        load_quantized(path)


# Files whose metadata or tensors are wrong under a right digest


def load_changed(path, change):
    """Load digits, quantized, with some tensors replaced; None: gone."""
    saved = digits()
    kept = {**saved.model.state_dict(), **change}
    kept = {name: tensor for name, tensor in kept.items() if tensor is not None}
    model = SimpleNamespace(state_dict=lambda: kept)
    save_quantized(path, replace(saved, model=model))
    return load_quantized(path)


A, F = "blocks.0.attn.", "blocks.0.mlp.fc1."
SCALAR, NAN = torch.tensor, torch.tensor(float("nan"))


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        (f"{A}delta", None, f"missing: {A}delta"),
        ("more", torch.zeros(1), "unexpected: more"),
        (f"{A}delta", torch.zeros(2).double(), f"wrong shape: {A}delta (2,) for ()"),
        (f"{A}delta", SCALAR(327.0), f"wrong type: {A}delta float32 for float64"),
        (f"{A}delta", SCALAR(0.0).double(), f"{A}delta not positive"),
        (
            f"{A}q_quantizer.delta",
            SCALAR(float("nan")),
            f"not finite: {A}q_quantizer.delta (1 of 1",
        ),
        (f"{A}q_quantizer.delta", SCALAR(-0.5), f"{A}q_quantizer.delta not positive"),
        (f"{A}q_quantizer.delta", SCALAR(1e30), "score scale must be below"),
        (f"{A}q_quantizer.delta", torch.zeros(0), "wrong shape"),
        (f"{A}q_quantizer.zero_point", SCALAR(16.0), f"{A}q_quantizer.zero_point not from 0 to 15"),
        (f"{A}q_quantizer.zero_point", SCALAR(7.5), "zero_point not from 0 to 15"),
        (f"{F}weight_codes", torch.zeros(384, 95, dtype=torch.int16), "wrong shape"),
        (f"{F}weight_codes", torch.zeros(384, 96), f"{F}weight_codes float32 for int16"),
        (f"{F}weight_codes", torch.full((384, 96), -(1 << 15), dtype=torch.int16), "-15 to 15"),
        (f"{F}weight_quantizer.delta", torch.ones(384), "(384,) for (384, 1)"),
        (f"{F}reparam_r", torch.ones(95), f"{F}reparam_r (95,) for (96,)"),
    ],
    ids=range(16),
)
def test_hostile_quantized_models_are_refused_with_the_list(name, tensor, message, tmp_path):
    with pytest.raises(ValueError, match=r"quantized model /.* must hold the tensors of") as caught:
        load_changed(tmp_path / "q.safetensors", {name: tensor})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_hostile_quantized_model_itself_loads(tmp_path):
    assert load_changed(tmp_path / "q.safetensors", {}).name == "digits"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("classes", "11"),
        ("classes", "1_0"),
        ("classes", " 10"),
        ("classes", "-1"),
        ("classes", "9" * 5000),
        ("classes", "ten"),
        ("seed", ""),
        ("seed", "1e3"),
        ("seed", "99999999999999999999"),
        ("quantization", "[" * 100_000),
        ("quantization", "{"),
        ("quantization", "[]"),
        ("quantization", '{"colour": 3}'),
        ("quantization", '{"scheme": "Half"}'),
        ("quantization", '{"scheme": {}}'),
        ("quantization", json.dumps({"scheme": "x" * 10**5})),
        ("model", "x" * 10**5),
    ],
    ids=range(17),
)
def test_hostile_quantized_model_with_other_metadata_is_refused(name, value, tmp_path):
    good = {"format": "bitlog2-quantized-4", "model": "digits", "classes": "10", "seed": "0"}
    content = save({"x": torch.zeros(1)}, {**good, "quantization": "{}", name: value})
    (tmp_path / "q.safetensors").write_bytes(content)
    message = r"^quantized model [^ ]* must say how it was made[^\n]{1,900}$"
    with pytest.raises(ValueError, match=message):
        load_quantized(tmp_path / "q.safetensors")


# Quantizers by module name, so that another implementation can be compared

LAYERS = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")


def test_dump_has_every_quantizer_of_a_block():
    values = quantizer_values(quantized_digits("BitLog2_Half_17", "float"))
    of_block = {name.removeprefix("blocks.1.") for name in values if name.startswith("blocks.1.")}
    linear = [f"{layer}.{kind}_quantizer" for layer in LAYERS for kind in ("input", "weight")]
    maps = ["attn.q_quantizer", "attn.k_quantizer", "attn.v_quantizer"]
    expected = {f"{name}.{part}" for name in linear + maps for part in ("delta", "zero_point")}
    expected |= {f"{name}.reparam_{part}" for name in ("attn.qkv", "mlp.fc1") for part in "rb"}
    assert of_block == expected | {"attn.map.delta"}
    assert values["blocks.0.attn.q_quantizer.delta"].shape == ()
    assert values["blocks.0.attn.qkv.weight_quantizer.zero_point"].shape == (3 * 96,)


@pytest.mark.parametrize("arithmetic", ["float", "attention"])
def test_dump_of_swin_has_reductions_r_and_b(arithmetic):
    values = quantizer_values(quantized_swin("BitLog2_Half_17", arithmetic))
    assert values["layers.1.downsample.reduction.reparam_r"].shape == (96,)
    assert values["layers.1.downsample.reduction.reparam_b"].shape == (96,)


def test_dump_r_and_b_are_those_of_the_first_calibration():
    """r = s / mean(s); b = minimum / r - the mean's minimum (RepQ-ViT, section 3.2)."""
    values = quantizer_values(quantized_swin("none", "float"))
    first = float_path(swin(), QuantizationSpec("none", "float"))
    calibrate(first, images())
    quantizer = first.layers[0].blocks[1].mlp.fc1.input_quantizer
    scale, zero = quantizer.delta.flatten(), quantizer.zero_point.flatten()
    r = scale / scale.mean()
    b = -zero * scale / r + zero.mean() * scale.mean()
    name = "layers.0.blocks.1.mlp.fc1"
    np.testing.assert_array_equal(values[f"{name}.reparam_r"], r.numpy())
    np.testing.assert_allclose(values[f"{name}.reparam_b"], b.numpy(), rtol=1e-5, atol=1e-6)
    assert values[f"{name}.input_quantizer.delta"] == scale.mean().numpy()


def test_dump_scale_of_the_integer_map_is_an_integer():
    delta = quantizer_values(quantized_digits("BitLog2_Half_17"))["blocks.0.attn.delta"]
    assert delta == int(delta)
    assert delta > 0


def test_dump_file_has_the_values_and_what_they_are_of(tmp_path):
    saved = digits("BitLog2_Half_17", "float", seed=3)
    dump_quantizers(tmp_path / "q.npz", saved)
    with np.load(tmp_path / "q.npz") as file:
        about = json.loads(str(file["about"]))
        stored = {name: file[name] for name in file.files if name != "about"}
    assert (about["model"], about["seed"]) == ("digits", 3)
    assert about["model_sha256"] == model_digest(saved.model)
    assert about["quantization"]["scheme"] == "BitLog2_Half_17"
    values = quantizer_values(saved.model)
    assert stored.keys() == values.keys()
    assert all(np.array_equal(stored[name], values[name]) for name in values)


def test_dump_reproduces_a_layers_quantized_input():
    """Another implementation needs no more than the dump to quantize as this one does."""
    model = quantized_digits("BitLog2_Half_17", "float")
    values = quantizer_values(model)
    name = "blocks.2.mlp.fc2.input_quantizer"
    delta, zero = (torch.from_numpy(values[f"{name}.{part}"]) for part in ("delta", "zero_point"))
    x = torch.randn(50, 384, generator=torch.Generator().manual_seed(0))
    code = ((x / delta).round() + zero).clamp(0, 15)
    assert torch.equal((code - zero) * delta, model.get_submodule(name)(x))
