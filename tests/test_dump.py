"""Quantizers by module name, so that another implementation can be compared."""

import json

import numpy as np
import pytest
import torch
from support.models import images, quantized_digits, quantized_swin, swin

from bitlog2.models.ptq.quantize import QuantizationSpec, calibrate, float_path
from bitlog2.models.zoo.checkpoint import (
    QuantizedModel,
    dump_quantizers,
    model_digest,
    quantizer_values,
)

SPEC = QuantizationSpec("BitLog2_Half_17", "float")


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


@pytest.mark.parametrize("arithmetic", ["float", "integer"])
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
    model = quantized_digits("BitLog2_Half_17", "float")
    dump_quantizers(tmp_path / "q.npz", QuantizedModel(model, "digits", 10, SPEC, 3))
    with np.load(tmp_path / "q.npz") as file:
        about = json.loads(str(file["about"]))
        stored = {name: file[name] for name in file.files if name != "about"}
    assert (about["model"], about["seed"]) == ("digits", 3)
    assert about["model_sha256"] == model_digest(model)
    assert about["quantization"]["scheme"] == "BitLog2_Half_17"
    values = quantizer_values(model)
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
