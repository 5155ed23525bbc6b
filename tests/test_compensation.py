"""Compensated calibration: it rounds better than to the nearest, and stays what hardware loads."""

import inspect

import numpy as np
import pytest
import torch
from support.models import digits_task, quantized_digits, run_watched, swin
from support.models import images as swin_images
from test_network_lower import PIXELS, pictures, vit
from timm.models.vision_transformer import Attention
from torch import nn

from bitlog2.models.network.check import NetworkChecker
from bitlog2.models.network.lower import lower
from bitlog2.models.ptq import compensation
from bitlog2.models.ptq.compensation import balance
from bitlog2.models.ptq.layers import IntegerLinear, QuantizedLayer
from bitlog2.models.ptq.quantize import QuantizationSpec, quantize
from bitlog2.models.ptq.quantizers import CodeUniform, PublishedUniform
from bitlog2.models.watch.check import Checker
from bitlog2.models.zoo.checkpoint import QuantizedModel, load_quantized, save_quantized
from bitlog2.sim.network.simulator import infer

COMPENSATED = QuantizationSpec("RowMax_16", "attention", calibration="compensated")


def correlated(rows=400, inputs=80, seed=0):
    """Inputs (rows, inputs) whose channels share causes, with means and scales of their own."""
    generator = torch.Generator().manual_seed(seed)
    causes = torch.randn(rows, 8, generator=generator)
    mixed = causes @ torch.randn(8, inputs, generator=generator)
    own = torch.randn(rows, inputs, generator=generator)
    scale = torch.rand(inputs, generator=generator) + 0.1
    return ((mixed + own) * scale + 3 * scale).double()


def errors(function, kind):
    """Squared error of a layer's outputs, their mean aside: compensated, and to the nearest."""
    inputs = correlated()
    weight = torch.randn(30, 80, generator=torch.Generator().manual_seed(1)).double()
    quantizer = kind(4, 0)
    quantizer.observe(weight)
    found, nearest = function(weight, inputs, quantizer), quantizer.quantized(weight)
    centred = inputs - inputs.mean(dim=0)
    return tuple(float((centred @ (each - weight).T).square().sum()) for each in (found, nearest))


@pytest.mark.parametrize("kind", [CodeUniform, PublishedUniform])
def test_compensated_outputs_are_nearer_than_of_nearest_codes(kind):
    found, nearest = errors(compensation.compensated, kind)
    assert found < 0.2 * nearest


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("] -= torch.outer(", "] += torch.outer("),
        ("rest[:, end:] -= ", "rest[:, end:] += "),
        ("rest[:, end:] -= errors", "rest[:, end:] -= 0 * errors"),
        ("order.argsort()", "order"),
    ],
)
def test_compensated_planted_error_is_not_nearer(right, wrong):
    source = inspect.getsource(compensation.compensated)
    assert source.count(right) == 1
    names = dict(vars(compensation))
    exec(source.replace(right, wrong), names)
    found, nearest = errors(names["compensated"], CodeUniform)
    assert found > 0.2 * nearest


def test_compensated_weights_are_codes_that_they_stand_for():
    weight = torch.randn(30, 80, generator=torch.Generator().manual_seed(1)).double()
    quantizer = CodeUniform(4, 0)
    quantizer.observe(weight)
    found = compensation.compensated(weight, correlated(), quantizer)
    codes = quantizer(found)
    assert torch.equal(quantizer.quantized(found), found)
    assert (codes.min(), codes.max()) == (0, 15)


def test_compensated_weight_that_is_refitted_leaves_less_error_on_other_rows():
    """Inputs of two bits: what one loses is known in part from the others."""
    inputs = correlated(1200)
    weight = torch.randn(30, 80, generator=torch.Generator().manual_seed(1)).double()
    quantizer = CodeUniform(2)
    quantizer.observe(inputs)
    coded = quantizer.quantized(inputs)
    found = compensation.refitted(weight, inputs[:800], coded[:800])

    def error(fitted):
        left = coded[800:] @ fitted.T - inputs[800:] @ weight.T
        return float((left - left.mean(dim=0)).square().sum())

    assert error(found) < 0.8 * error(weight)
    assert error(2 * weight - found) > error(weight)  # the sign of the change is wrong


def test_compensated_weight_stays_where_a_refit_helps_no_other_rows():
    generator = torch.Generator().manual_seed(0)
    inputs, weight = (torch.randn(*x, generator=generator).double() for x in ((40, 80), (5, 80)))
    coded = inputs + 0.1 * torch.randn(40, 80, generator=generator).double()
    assert torch.equal(compensation.refitted(weight, inputs, coded), weight)


def test_compensated_one_row_is_enough():
    weight = torch.tensor([[1.0, 2.0, -1.0, 0.5], [0.1, 0.2, 0.3, -0.4]]).double()
    layer = IntegerLinear(weight, None, 4, 4)
    layer.compensates = True
    layer.calibrate(torch.tensor([[-1.0, 0.5, 0.0, 2.0]]).double())
    assert layer.weight_codes.shape == (2, 4)


def test_compensated_layer_keeps_the_mean_of_its_outputs():
    """With what the rounding of the inputs adds to it."""
    x, weight = correlated(), torch.randn(5, 80, generator=torch.Generator().manual_seed(1))
    layer = IntegerLinear(weight.double(), None, 4, 4)
    layer.compensates = True
    layer.calibrate(x)
    expected = x.mean(dim=0) @ weight.double().T
    assert torch.allclose(layer(x).mean(dim=0), expected, rtol=0, atol=1e-9)
    layer.bias = None
    assert not torch.allclose(layer(x).mean(dim=0), expected, rtol=0, atol=1e-2)


@pytest.mark.parametrize("arithmetic", [pytest.param("float", marks=pytest.mark.long), "attention"])
def test_compensated_model_is_of_the_same_form(arithmetic, tmp_path):
    """Layers, quantizers and codes as of the published calibration; its file loads."""
    spec = QuantizationSpec("BitLog2_Half_17", arithmetic, calibration="compensated")
    task = digits_task()
    model = quantize(task.model, task.calibration_images(0), spec)
    usual = quantized_digits("BitLog2_Half_17", arithmetic).state_dict()
    found = model.state_dict()
    assert {name: (x.shape, x.dtype) for name, x in found.items()} == {
        name: (x.shape, x.dtype) for name, x in usual.items()
    }
    for layer in model.modules():
        if isinstance(layer, QuantizedLayer):
            stands_for = layer.weight_quantizer.quantized(layer.weight)
            assert torch.allclose(stands_for, layer.weight, rtol=1e-6, atol=0)
    saved = QuantizedModel(model, "digits", 10, spec, 0)
    save_quantized(tmp_path / "m.safetensors", saved)
    loaded = load_quantized(tmp_path / "m.safetensors")
    assert (loaded.spec, loaded.digest) == (spec, saved.digest)


@pytest.mark.parametrize("normed", [False, True])
def test_compensated_attention_is_balanced_but_for_rounding_the_same(normed):
    """Keys around zero, channels of v equally wide: the codes of qkv and the output stay.

    A norm of k has one bias for both heads, which moves the mean of their centres to zero.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        form = {"qk_norm": normed, "norm_layer": nn.LayerNorm}
        attention = Attention(32, num_heads=2, qkv_bias=True, **form).double().requires_grad_(False)
        attention.qkv.bias.normal_(std=2.0)
        if normed:
            attention.k_norm.bias.normal_(std=2.0)
        x = torch.randn(4, 20, 32).double()
    before = attention(x)
    qkv = IntegerLinear(attention.qkv.weight, attention.qkv.bias, 4, 4)
    qkv.calibrate(x)
    codes = qkv.weight_codes

    def keys_and_values():
        _, k, v = attention.qkv(x).split(32, dim=-1)
        return attention.k_norm(k.unflatten(-1, (2, 16))).flatten(-2), v

    balance(qkv, attention.proj, *keys_and_values(), attention.k_norm)
    attention.qkv.weight, attention.qkv.bias = qkv.weight, qkv.bias
    assert torch.allclose(attention(x), before, rtol=0, atol=1e-9)
    ends = [part.flatten(0, 1).aminmax(dim=0) for part in keys_and_values()]
    centre = (ends[0].max + ends[0].min).view(2, 16)
    assert ((centre.mean(dim=0) if normed else centre).abs() < 0.2).all()
    width = ends[1].max - ends[1].min
    assert width.max() < 1.1 * width.min()
    assert torch.equal(qkv.weight_quantizer.centred(qkv.weight).to(torch.int16), codes)


@pytest.mark.parametrize("form", [{"qk_norm": True}, {"qkv_bias": False, "global_pool": "avg"}])
def test_compensated_program_has_the_same_registers_in_torch_and_simulator(form):
    images = pictures(24, 1)
    program, _ = lower(quantize(vit(**form), images, COMPENSATED), images, PIXELS)
    pixels, checker = PIXELS.of(images[:4]), NetworkChecker(program)
    logits = checker(pixels)
    assert checker.mismatched == 0 < checker.compared
    assert np.array_equal(logits.numpy(), infer(program, pixels.numpy().astype(np.uint16)).logits)


def test_compensated_swin_has_the_same_registers_in_torch_and_simulator():
    checker = Checker("all")
    run_watched(quantize(swin(), swin_images(), COMPENSATED), swin_images(2), checker)
    assert checker.total_mismatched == 0 < sum(checker.compared.values())


@pytest.mark.long
def test_compensated_logits_of_digits_are_nearer_to_the_unquantized_ones():
    task = digits_task()
    images = task.data.test.tensors[0]
    errors = []
    with torch.inference_mode():
        wanted = task.model(images)
        for calibration in ("repq", "compensated"):
            spec = QuantizationSpec("BitLog2_Half_17", "attention", calibration=calibration)
            found = quantize(task.model, task.calibration_images(0), spec)(images)
            errors.append(float(((found - wanted).norm(dim=1) / wanted.norm(dim=1)).mean()))
    assert errors[1] < 0.85 * errors[0]
