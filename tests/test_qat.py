"""Training through the integers: values to the bit, gradients, check, what is trained saved."""

import copy
import json
import runpy
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path

import pytest
import torch
from support.models import digits_task, images, quantized_swin
from timm.models.vision_transformer import VisionTransformer

from bitlog2.models.images.pixels import Pixels
from bitlog2.models.network.lower import lower, lower_named
from bitlog2.models.network.network import ImageNetwork, Norm
from bitlog2.models.ptq.quantize import QuantizationSpec, quantize
from bitlog2.models.qat import TrainableNetwork, checked, frozen, trainable
from bitlog2.models.watch.check import Checker
from bitlog2.models.watch.watching import watch
from bitlog2.models.zoo.checkpoint import load_quantized, model_digest, save_quantized

PIXELS = Pixels(255, (0.5,) * 3, (0.5,) * 3)


def pictures(count=8, seed=1):
    """Normalized images of 16 by 16 pixels."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 16, 16), generator=generator).float() / 127.5 - 1


@lru_cache(maxsize=1)
def vit():
    """A small ViT with register tokens, layer scales and q/k norm, of weights that matter."""
    form = {"embed_dim": 24, "depth": 2, "num_heads": 3, "reg_tokens": 1, "init_values": 0.7}
    form["qk_norm"] = True
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = VisionTransformer(img_size=16, patch_size=4, num_classes=5, **form)
        for module in model.modules():
            if isinstance(module, torch.nn.Linear):
                torch.nn.init.xavier_uniform_(module.weight, gain=1.5)
                torch.nn.init.normal_(module.bias, std=0.1)
    return model.eval()


@cache
def quantized(scheme="BitLog2_Half_17", bits=4):
    """Shared: tests leave it as it is."""
    return quantize(vit(), pictures(), QuantizationSpec(scheme, "attention", bits, bits))


def output(model, x):
    with torch.inference_mode():
        return model(x)


def stepped(model, x, rate=0.02):
    """Train by one step, each parameter by a share of its length; return the loss before it."""
    model.zero_grad()
    loss = torch.nn.functional.cross_entropy(model(x), torch.arange(len(x)) % 5)
    loss.backward()
    with torch.no_grad():
        for each in model.parameters():
            each -= rate * each.norm() * each.grad / each.grad.norm().clamp(min=1e-12)
    return loss.item()


# -- Values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "bits"),
    [("BitLog2_Half_17", 4), ("BitLog2_Single_16", 3), ("RowMax_16", 2), ("uniform_4", 4)],
)
def test_qat_forward_is_the_quantized_model_to_the_bit(scheme, bits):
    x = pictures(5, seed=2)
    model = trainable(quantized(scheme, bits))
    expected = output(quantized(scheme, bits), x)
    assert model(x).requires_grad
    assert torch.equal(model(x).detach(), expected)
    assert torch.equal(output(model, x), expected)
    assert model_digest(frozen(model)) == model_digest(quantized(scheme, bits))


@pytest.mark.parametrize("scheme", ["BitLog2_Half_17", "RowMax_16", "uniform_4"])
def test_qat_frozen_model_gives_what_training_gave_to_the_bit(scheme):
    x = pictures(5, seed=2)
    model = trainable(quantized(scheme))
    for _ in range(2):
        stepped(model, x)
    expected = model(x).detach()
    assert not torch.equal(expected, output(quantized(scheme), x))
    assert torch.equal(output(frozen(model), x), expected)
    assert frozen(model).state_dict().keys() == quantized(scheme).state_dict().keys()


def test_qat_trains_swin_with_its_position_bias():
    x, before = images(2), quantized_swin("BitLog2_Half_17")
    model = trainable(before)
    assert torch.equal(model(x).detach(), output(before, x))
    with checked(model, mode="sample:2") as compared:
        stepped(model, x, rate=0.1)
        after = frozen(model)
    assert compared["t"] > 0
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in after.modules())
    assert torch.equal(output(after, x), model(x).detach())
    biases = [each.layers[0].blocks[1].attn.score_bias for each in (before, after)]
    assert not torch.equal(*biases)


def test_qat_loss_falls():
    model, x = trainable(quantized(bits=3)), pictures(10, seed=3)
    losses = [stepped(model, x) for _ in range(6)]
    assert losses[-1] < 0.8 * losses[0]


# -- Gradients -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["BitLog2_Half_17", "RowMax_16", "uniform_4"])
def test_qat_gradients_are_finite_and_nonzero_for_every_parameter(scheme):
    model = trainable(quantized(scheme))
    model(pictures(4)).square().mean().backward()
    for name, each in model.named_parameters():
        assert each.grad.isfinite().all(), name
        assert each.grad.abs().sum() > 0, name


def inside(x, quantizer):
    """Where the code of x does not saturate."""
    code = x / quantizer.delta + quantizer.zero_point
    return (code >= -0.5) & (code <= quantizer.max_code + 0.5)


def coded(x, quantizer):
    code = (x / quantizer.delta + 0.5).floor() + quantizer.zero_point
    return (code.clamp(0, quantizer.max_code) - quantizer.zero_point) * quantizer.delta


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


def test_qat_gradient_of_a_linear_layer_is_that_of_dequantized_operands():
    layer = trainable(quantized()).blocks[0].mlp.fc2
    generator = torch.Generator().manual_seed(4)
    x, g = (torch.randn(6, n, generator=generator) for n in (96, 24))
    x.mul_(3).requires_grad_()
    layer(x).backward(g)
    x, weight = x.detach(), layer.weight.detach()
    a, w = layer.input_quantizer, layer.weight_quantizer
    assert 0 < inside(x, a).sum() < x.numel()
    assert 0 < inside(weight, w).sum() < weight.numel()
    given = torch.ones_like(x, requires_grad=True)
    layer.zero_grad()
    given.data.copy_(x)
    layer(given).backward(g)
    close(given.grad, g @ coded(weight, w) * inside(x, a))
    close(layer.weight.grad, g.T @ coded(x, a) * inside(weight, w))
    close(layer.bias.grad, g.sum(0))


@pytest.mark.parametrize("scheme", ["BitLog2_Half_17", "RowMax_16"])
def test_qat_gradient_of_attention_is_that_of_a_softmax_of_dequantized_codes(scheme):
    attention = trainable(quantized(scheme)).blocks[1].attn
    generator = torch.Generator().manual_seed(5)
    q, k, v = (
        torch.randn(2, 3, 7, 8, generator=generator).mul_(2).requires_grad_() for _ in range(3)
    )
    registers = []
    attention.datapath.register_forward_hook(lambda _m, _i, found: registers.append(found))
    result = attention._attend(q, k, v, None)
    g = torch.randn(result.shape, generator=generator)
    result.backward(g)

    (regs,), of = registers, attention
    values = of.datapath.values[regs.map.level.long()].double()
    scale = of.delta if regs.map.weight_sum is None else regs.map.weight_sum[..., None]
    level_values = (values / scale).float()
    qs, ks, vs = (of.q_quantizer, of.k_quantizer, of.v_quantizer)
    real_q, real_k, real_v = coded(q, qs).detach(), coded(k, ks).detach(), coded(v, vs).detach()
    p = (real_q @ real_k.mT * of.score_scale).softmax(-1)
    out = (level_values @ real_v).transpose(1, 2).flatten(2)
    weight = coded(of.proj.weight.detach(), of.proj.weight_quantizer)
    d_out = g @ weight * inside(out, of.proj.input_quantizer)
    d_out = d_out.unflatten(2, (3, 8)).transpose(1, 2)
    d_p = d_out @ real_v.mT
    d_s = p * (d_p - (d_p * p).sum(-1, keepdim=True)) * of.score_scale
    close(v.grad, level_values.mT @ d_out * inside(v, vs))
    close(q.grad, d_s @ real_k * inside(q, qs))
    close(k.grad, d_s.mT @ real_q * inside(k, ks))


# -- Check -----------------------------------------------------------------------------------------


def planted(model, scheme):
    """Put one LSB more into an entry of a table of the second attention's datapath."""
    datapath = model.blocks[1].attn.datapath
    table = datapath.level_of if scheme == "RowMax_16" else datapath.exp2_of
    table[0] -= 1


@pytest.mark.parametrize(("scheme", "register"), [("BitLog2_Half_17", "e"), ("RowMax_16", "level")])
def test_qat_check_reports_a_planted_error_in_the_next_compared_pass(scheme, register):
    model, x = trainable(quantized(scheme)), pictures(2)
    with checked(model, every=2, mode="sample:1") as compared:
        model(x)
        planted(model, scheme)
        count = dict(compared)
        model(x)  # the second pass of two
        output(model, x)  # no pass of training
        assert compared == count
        with pytest.raises(RuntimeError, match=rf"register {register}: layer blocks\.1\.attn imag"):
            model(x)
    model(x)  # the check has ended


def test_qat_check_refuses_what_it_cannot_check():
    with (
        pytest.raises(ValueError, match="integer attention map"),
        checked(trainable(quantized("uniform_4"))),
    ):
        pass
    with pytest.raises(ValueError, match="every must be"), checked(trainable(quantized()), 0):
        pass
    with (
        pytest.raises(ValueError, match="check must be all"),
        checked(trainable(quantized()), mode="some"),
    ):
        pass


# -- Refusals --------------------------------------------------------------------------------------


def test_qat_refuses_models_that_are_not_quantized_in_integers():
    published = quantize(vit(), pictures(), QuantizationSpec("none", "float"))
    for model in (vit(), published):
        with pytest.raises(ValueError, match="arithmetic attention or integer"):
            trainable(model)
    with pytest.raises(TypeError, match="model must be a torch"):
        trainable("digits")
    normalized = quantized("RowMax_16_online")
    with pytest.raises(ValueError, match=r"blocks\.0\.attn\.map_quantizer .* has no gradient"):
        trainable(normalized)


def test_qat_refuses_autocast_and_parameters_that_are_not_finite():
    model = trainable(quantized())
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(RuntimeError, match="autocast"):
        model(pictures(1))
    model.blocks[0].mlp.fc1.weight.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"blocks\.0\.mlp\.fc1\.weight must be finite"):
        frozen(model)


# -- Whole network ---------------------------------------------------------------------------------


def test_qat_network_gives_the_logits_of_its_program_and_trains():
    network, x = TrainableNetwork(quantized(), pictures(), PIXELS), pictures(6, seed=6)
    with checked(network, every=2, mode="sample:1") as compared:
        losses = [stepped(network, x) for _ in range(3)]
    assert losses[-1] < losses[0]
    assert compared["logit"] == 2 * 5
    found = network(x).detach()
    program, choices = lower(frozen(network), pictures(), PIXELS)
    logits = output(ImageNetwork(program, PIXELS), x)
    assert torch.equal(found, (logits.double() / 2.0**choices.logit_bits).float())
    assert torch.equal(output(network, x), found)
    for name, each in network.named_parameters():
        assert each.grad.abs().sum() > 0, name


def test_qat_network_check_reports_a_planted_error(monkeypatch):
    network, right = TrainableNetwork(quantized(), pictures(), PIXELS), Norm.forward
    monkeypatch.setattr(Norm, "forward", lambda self, x, part: right(self, x + 1, part) ^ 1)
    with (
        checked(network, mode="sample:1"),
        pytest.raises(RuntimeError, match=r"image 1 .*norm_sums"),
    ):
        network(pictures(2))


# -- What is done with a trained model -------------------------------------------------------------


def test_qat_model_copies_and_continues_from_its_state():
    model, x = trainable(quantized()), pictures(3)
    stepped(model, x)
    copied, again = copy.deepcopy(model), trainable(quantized())
    again.load_state_dict(model.state_dict())
    for each in (copied, again):
        assert torch.equal(each(x), model(x))


@pytest.mark.long
def test_qat_example_makes_a_model_that_loads_checks_lowers_and_trains_on(tmp_path):
    example = runpy.run_path(str(Path(__file__).parent.parent / "examples" / "qat.py"))
    few = ["--bits", "3", "--images", "8", "--batch", "4", "--epochs", "2", "--held-out", "16"]
    example["main"]([*few, "--save", str(tmp_path), "--json", str(tmp_path / "rows.json")])
    ((name, row),) = json.loads((tmp_path / "rows.json").read_text()).items()
    assert row["values_compared"] > 0
    loaded = load_quantized(tmp_path / f"{name}.safetensors")
    x, labels = digits_task().data.test[:16]
    found = output(loaded.model, x)
    assert row["after"]["top1"] == 100 * (found.argmax(1) == labels).double().mean()

    checker = Checker("all")
    with watch(loaded.model, checker) as watched:
        assert torch.equal(watched.run(x), found)
    assert checker.passed
    lowered = lower_named("digits", loaded.model, x, loaded.spec, 0)
    assert lowered.choices.agreeing >= 15

    model = trainable(loaded.model)
    stepped(model, x)
    save_quantized(tmp_path / "on", replace(loaded, model=frozen(model)))
    assert torch.equal(output(load_quantized(tmp_path / "on").model, x), model(x).detach())
