"""Reconstructed calibration: trained towards the unquantized network, of the same hardware."""

from functools import cache

import msgspec
import numpy as np
import pytest
import torch
from support.models import digits_task, images, swin
from test_network_lower import PIXELS, pictures, vit

from bitlog2.models.network.check import NetworkChecker
from bitlog2.models.network.lower import lower
from bitlog2.models.ptq import reconstruction
from bitlog2.models.ptq import trainable as layers
from bitlog2.models.ptq.quantize import QuantizationSpec, quantize
from bitlog2.models.ptq.reconstruction import error, outputs
from bitlog2.models.ptq.trainable import TrainableUniform, frozen, trainable
from bitlog2.models.runs.request import EvaluationRequest
from bitlog2.models.watch.check import Checker
from bitlog2.models.watch.watching import watch
from bitlog2.models.zoo.checkpoint import (
    QuantizedModel,
    load_quantized,
    model_digest,
    save_quantized,
)
from bitlog2.sim.network.simulator import infer

RECONSTRUCTED = QuantizationSpec("RowMax_16", "attention", calibration="reconstructed")
COMPENSATED = msgspec.structs.replace(RECONSTRUCTED, calibration="compensated")


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(reconstruction, "STEPS", 2)
    monkeypatch.setattr(reconstruction, "BATCH", 8)


@cache
def made(spec=RECONSTRUCTED):
    """Shared: tests leave it as it is."""
    return quantize(vit(), pictures(40, 1), spec)


@torch.no_grad()
def far(model):
    """Error of the blocks and logits on the calibration images."""
    wanted_of, shown = vit().eval(), pictures(40, 1)
    names = ["blocks.0", "blocks.1"]
    with outputs(model, names) as found, outputs(wanted_of, names) as wanted:
        found[""], wanted[""] = model(shown), wanted_of(shown)
    return float(error(found, wanted))


def test_reconstructed_blocks_and_logits_are_nearer_to_the_unquantized_ones(monkeypatch):
    monkeypatch.setattr(reconstruction, "STEPS", 60)
    assert far(quantize(vit(), pictures(40, 1), RECONSTRUCTED)) < 0.95 * far(made(COMPENSATED))


def test_reconstructed_is_farther_where_a_gradient_has_the_wrong_sign(monkeypatch):
    backward = layers._Product.backward

    def negated(ctx, gradient):
        _, x, weight, bias = backward(ctx, gradient)
        return None, x, -weight, bias

    monkeypatch.setattr(layers._Product, "backward", staticmethod(negated))
    monkeypatch.setattr(reconstruction, "STEPS", 30)
    assert far(quantize(vit(), pictures(40, 1), RECONSTRUCTED)) > far(made(COMPENSATED))


def test_reconstructed_again_is_the_same_to_the_bit():
    before = vit().eval()
    digests = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(digests))
        digests.append(model_digest(quantize(before, pictures(12, seed), RECONSTRUCTED)))
    assert digests[0] == digests[1] != digests[2]
    assert all(map(torch.equal, before.parameters(), vit().parameters()))
    assert not any(module._forward_hooks for module in before.modules())


def test_reconstructed_model_is_of_the_same_form():
    """Names, shapes and types are those of the other calibrations."""
    found, usual = made().state_dict(), made(COMPENSATED).state_dict()
    form = {name: (x.shape, x.dtype) for name, x in usual.items()}
    assert {name: (x.shape, x.dtype) for name, x in found.items()} == form
    assert not any(each.requires_grad for each in made().parameters())
    assert not torch.equal(
        *(each["blocks.0.mlp.fc2.input_quantizer.delta"] for each in (found, usual))
    )


@pytest.mark.long
def test_reconstructed_model_is_loaded_as_it_was_saved(tmp_path):
    task = digits_task()
    model = quantize(task.model, task.calibration_images(0, 8), RECONSTRUCTED)
    saved = QuantizedModel(model, "digits", 10, RECONSTRUCTED, 0)
    save_quantized(tmp_path / "m.safetensors", saved)
    loaded = load_quantized(tmp_path / "m.safetensors")
    assert (loaded.spec, loaded.digest) == (RECONSTRUCTED, saved.digest)


def test_reconstructed_program_has_the_same_registers_in_torch_and_simulator():
    program, _ = lower(made(), pictures(24, 1), PIXELS)
    pixels, checker = PIXELS.of(pictures(4, 2)), NetworkChecker(program)
    logits = checker(pixels)
    assert checker.mismatched == 0 < checker.compared
    assert np.array_equal(logits.numpy(), infer(program, pixels.numpy().astype(np.uint16)).logits)


@pytest.mark.long
def test_reconstructed_swin_has_the_same_registers_in_torch_and_simulator():
    model, checker = quantize(swin(), images(), RECONSTRUCTED), Checker("all")
    with watch(model, checker) as watched, torch.inference_mode():
        watched.begin(range(2))
        model(images(2))
    assert checker.total_mismatched == 0 < sum(checker.compared.values())


def test_reconstructed_takes_one_image():
    with torch.inference_mode():
        model = quantize(vit(), pictures(1, 1), RECONSTRUCTED)
    assert all(each.isfinite().all() for each in model.parameters())


def test_reconstructed_shows_each_step():
    seen = []

    def progress(items, label, total):
        for each in items:
            seen.append((label, total, len(each)))
            yield each

    quantize(vit(), pictures(5, 1), RECONSTRUCTED, progress=progress)
    assert seen == [("reconstruction", 2, 8)] * 2


def test_reconstructed_gradient_of_a_scale_is_that_of_what_codes_stand_for():
    layer = trainable(made(COMPENSATED), scales=True).blocks[0].mlp.fc2
    quantizer = layer.input_quantizer
    generator = torch.Generator().manual_seed(4)
    x, g = (torch.randn(6, n, generator=generator) for n in layer.weight.shape[::-1])
    x.mul_(3)
    layer(x).backward(g)
    code, real = quantizer.centred(x).detach(), x / quantizer.delta.detach()
    inside = (real - code).abs() <= 0.5
    assert 0 < inside.sum() < x.numel()
    weight = (layer.weight_quantizer.centred(layer.weight) * layer.weight_quantizer.delta).detach()
    expected = ((g @ weight) * (code - real * inside)).sum()
    torch.testing.assert_close(quantizer.delta.grad, expected, rtol=1e-4, atol=1e-4)


def test_reconstructed_scales_stay_positive():
    """Adam's steps are at most the rate, by its betas: their sum is less than a scale."""
    first, second = reconstruction._BETAS
    assert (1 - first) / (1 - second) ** 0.5 <= 1
    for steps in (reconstruction.STEPS, 400):
        shares = sum(reconstruction._share(step) for step in range(steps))
        assert reconstruction._SCALE_RATE * shares < 1


def test_reconstructed_scales_load_into_a_trainable_model():
    model, other = (trainable(made(spec), scales=True) for spec in (COMPENSATED, RECONSTRUCTED))
    model.load_state_dict(other.state_dict())
    assert model_digest(frozen(model)) == model_digest(made())
    scales = [each for each in model.modules() if isinstance(each, TrainableUniform)]
    assert any(isinstance(each.delta, torch.nn.Parameter) for each in scales)


@pytest.mark.parametrize(
    ("scheme", "arithmetic"), [("RowMax_16", "float"), ("RowMax_16_online", "attention")]
)
def test_reconstructed_is_refused_where_there_is_no_gradient(scheme, arithmetic):
    why = f"calibration must be repq or compensated for {scheme} in {arithmetic} arithmetic"
    with pytest.raises(ValueError, match=why):
        QuantizationSpec(scheme, arithmetic, calibration="reconstructed")
    lists = {"models": ("digits",), "schemes": (scheme,), "arithmetics": (arithmetic,)}
    with pytest.raises(ValueError, match=why):
        EvaluationRequest(**lists, calibrations=("repq", "reconstructed"), check="none")


def test_reconstructed_is_left_out_beside_what_has_it():
    request = EvaluationRequest(
        models=("digits",),
        schemes=("RowMax_16", "RowMax_16_online"),
        arithmetics=("float", "attention"),
        calibrations=("repq", "reconstructed"),
    )
    having = [each for each in request.specs() if each.calibration == "reconstructed"]
    assert [(each.scheme, each.arithmetic) for each in having] == [("RowMax_16", "attention")]
    assert len(request.specs()) == 5
