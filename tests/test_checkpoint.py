"""A quantized model saved and loaded gives the same bits."""

import copy

import pytest
import torch
from digits_models import digits_task, quantized_digits
from safetensors.torch import save_file

from bitlog2.models.checkpoint import load_quantized, save_quantized
from bitlog2.models.digits import build_digits
from bitlog2.models.quantize import MODEL_SCHEMES, QuantizationSpec


@pytest.mark.parametrize("arithmetic", ["float", "integer"])
@pytest.mark.parametrize("scheme", MODEL_SCHEMES)
def test_checkpoint_loaded_model_gives_the_same_bits(tmp_path, scheme, arithmetic):
    spec = QuantizationSpec(scheme, arithmetic)
    model = quantized_digits(scheme, arithmetic)
    save_quantized(tmp_path / "m.safetensors", model, "digits", spec)
    loaded, read = load_quantized(tmp_path / "m.safetensors", build_digits(), "digits")
    images = digits_task().test[:64][0]
    with torch.inference_mode():
        assert torch.equal(loaded(images), model(images))
    assert read == spec


def test_checkpoint_of_another_model_is_refused(tmp_path):
    spec = QuantizationSpec()
    path = tmp_path / "m.safetensors"
    save_quantized(path, quantized_digits("BitLog2_Half_17"), "digits", spec)
    with pytest.raises(ValueError, match="must be a quantized deit_tiny"):
        load_quantized(path, build_digits(), "deit_tiny")


def test_checkpoint_that_is_no_safetensors_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="must be a safetensors file"):
        load_quantized(path, build_digits(), "digits")


def test_checkpoint_with_a_missing_tensor_is_refused(tmp_path):
    spec = QuantizationSpec()
    path = tmp_path / "m.safetensors"
    model = copy.deepcopy(quantized_digits("BitLog2_Half_17"))
    del model.blocks[1].attn._buffers["delta"]
    save_quantized(path, model, "digits", spec)
    with pytest.raises(ValueError, match=r"missing \['blocks\.1\.attn\.delta'\]"):
        load_quantized(path, build_digits(), "digits")


def test_checkpoint_without_the_format_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="format None"):
        load_quantized(path, build_digits(), "digits")
