"""Scale reparameterization leaves the unquantized output as it was."""

import copy

import pytest
import torch
from digits_models import digits_task

from bitlog2.models.ptq.quantize import QuantizationSpec, calibrate, float_path
from bitlog2.models.ptq.reparameterize import reparameterize


def reparameterized(round_zero_point):
    task = digits_task()
    model = float_path(task.model, QuantizationSpec("BitLog2_Half_17", "float"))
    calibrate(model, task.calibration_images(0))
    reparameterize(model, round_zero_point=round_zero_point)
    plain = copy.deepcopy(task.model)
    for ours, theirs in zip(model.blocks, plain.blocks, strict=True):
        for source, target in (
            (ours.norm1, theirs.norm1),
            (ours.norm2, theirs.norm2),
            (ours.attn.qkv, theirs.attn.qkv),
            (ours.mlp.fc1, theirs.mlp.fc1),
        ):
            target.weight, target.bias = source.weight, source.bias
    return task, model, plain


@pytest.mark.parametrize("round_zero_point", [False, True])
def test_reparameterize_leaves_the_float_output_unchanged(round_zero_point):
    task, _, plain = reparameterized(round_zero_point)
    images = task.data.test[:100][0]
    with torch.inference_mode():
        torch.testing.assert_close(plain(images), task.model(images), rtol=1e-4, atol=1e-4)


def test_reparameterize_changes_the_weights():
    task, _, plain = reparameterized(False)
    change = (plain.blocks[0].norm1.weight - task.model.blocks[0].norm1.weight).abs().max()
    assert change > 0.01


def test_reparameterize_makes_the_input_quantizer_per_tensor():
    _, model, _ = reparameterized(False)
    assert {b.attn.qkv.input_quantizer.delta.numel() for b in model.blocks} == {1}


def test_reparameterize_keeps_the_fraction_of_the_published_zero_point():
    _, model, _ = reparameterized(False)
    zero_points = [b.attn.qkv.input_quantizer.zero_point.item() for b in model.blocks]
    assert any(zero != round(zero) for zero in zero_points)


def test_reparameterize_rounds_the_integer_zero_point_to_a_code():
    _, model, _ = reparameterized(True)
    zero_points = {b.attn.qkv.input_quantizer.zero_point.item() for b in model.blocks}
    assert zero_points <= set(map(float, range(16)))


def test_reparameterize_thaws_the_weight_quantizer_only():
    _, model, _ = reparameterized(False)
    qkv = model.blocks[0].attn.qkv
    assert (qkv.weight_quantizer.frozen, qkv.input_quantizer.frozen) == (False, True)
