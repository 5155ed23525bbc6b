"""Swin: windows, excluded keys, position bias, the scale in its place, reduction."""

import copy
from dataclasses import replace
from itertools import product

import pytest
import torch
from support.models import FORMS_RUN, images, quantized_swin, run_watched, swin
from support.quick import USUAL, quick_where
from timm.models.swin_transformer import SwinTransformer

from bitlog2.models.ptq.attention import FloatAttention, IntegerAttention
from bitlog2.models.ptq.quantize import QuantizationSpec, calibrate, float_path, quantize
from bitlog2.models.watch.check import Checker
from bitlog2.sim import SCHEMES, score_bias

SHIFTED, PLAIN = "layers.0.blocks.1.attn", "layers.0.blocks.0.attn"


def cosine(a, b):
    return torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0).item()


def seen_by(model, name, x):
    """(inputs, output) of a datapath while the model runs on x."""
    seen = []
    datapath = model.get_submodule(name).datapath
    handle = datapath.register_forward_hook(lambda _m, i, o: seen.append((i, o)))
    with torch.inference_mode():
        model(x)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize(("scheme", "arithmetic"), FORMS_RUN)
def test_swin_every_scheme_runs(scheme, arithmetic):
    with torch.inference_mode():
        out = quantized_swin(scheme, arithmetic)(images(4, 2))
    assert (out.shape, bool(out.isfinite().all())) == ((4, 10), True)


@pytest.mark.parametrize(("scheme", "least"), [("none", 0.999), ("BitLog2_Single_17", 0.95)])
@pytest.mark.parametrize("arithmetic", ["float", "attention"])
def test_swin_at_eight_bits_is_close_to_the_trained_model(scheme, least, arithmetic):
    """Window order, bias, mask and scale in their places: a wrong one of them is far off."""
    with torch.inference_mode():
        expected = swin()(images(8, 3))
        got = quantized_swin(scheme, arithmetic, 8)(images(8, 3))
    assert cosine(got, expected) > least


@pytest.mark.parametrize(
    ("scheme", "bits"),
    quick_where(lambda scheme, bits: scheme in USUAL or bits == 4, product(SCHEMES, (4, 6, 8))),
)
def test_swin_every_register_agrees_with_the_simulator(scheme, bits):
    model, checker = copy.deepcopy(quantized_swin(scheme, bits=bits)), Checker("all")
    run_watched(model, images(4, 4), checker)
    assert (checker.total_mismatched, checker.passed) == (0, True)


def test_swin_planted_bias_error_is_reported():
    model, checker = copy.deepcopy(quantized_swin("BitLog2_Half_17")), Checker("all")
    model.get_submodule(SHIFTED).datapath.register_forward_pre_hook(
        lambda _m, inputs: (*inputs[:5], inputs[5] + (torch.arange(16) == 3).int())
    )
    # the datapath is given one bias, the simulator is shown another: hooks see the first
    original = checker.take

    def unbiased(seen):
        if seen.layer == SHIFTED:
            seen = replace(seen, bias=seen.bias - (torch.arange(16) == 3).int())
        original(seen)

    checker.take = unbiased
    run_watched(model, images(2, 4), checker)
    assert checker.mismatched["t"] > 0
    assert checker.mismatches[0].layer == SHIFTED


def test_swin_shifted_windows_exclude_keys():
    inputs, output = seen_by(quantized_swin("BitLog2_Half_17"), SHIFTED, images(2, 5))
    masked = inputs[4]
    mask = swin().layers[0].blocks[1].attn_mask
    assert masked.shape == (2 * 4, 1, 16, 16)
    assert torch.equal(masked[:, 0], (mask < 0).repeat(2, 1, 1))
    assert int(output.map.level[masked.expand_as(output.map.level)].max()) == 0


def test_swin_plain_windows_exclude_none():
    inputs, _ = seen_by(quantized_swin("BitLog2_Half_17"), PLAIN, images(2, 5))
    assert inputs[4] is None


@pytest.mark.requirement("BL2-PARAM-04")
def test_swin_score_bias_is_the_position_bias_in_units_of_t():
    attention = quantized_swin("BitLog2_Half_17").get_submodule(PLAIN)
    real = swin().get_submodule(PLAIN)._get_rel_pos_bias()
    expected = score_bias(real.double().numpy(), attention.datapath.config)
    assert attention.score_bias.shape == (1, 2, 16, 16)
    assert torch.equal(attention.score_bias, torch.from_numpy(expected))


def test_swin_scale_comes_before_the_quantizer_of_q():
    attention = quantized_swin("BitLog2_Half_17").get_submodule(PLAIN)
    assert isinstance(attention, IntegerAttention)
    assert (attention.query_scale, attention.score_scale) == (12**-0.5, 1.0)
    x = torch.randn(4, 16, 24, generator=torch.Generator().manual_seed(0))
    raw = attention.qkv(x).reshape(4, 16, 3, 2, 12).permute(2, 0, 3, 1, 4)[0]
    assert torch.equal(attention.split(x)[0], raw * 12**-0.5)


def test_swin_float_map_adds_bias_and_mask_as_published():
    attention = quantized_swin("none", "float").get_submodule(SHIFTED)
    assert isinstance(attention, FloatAttention)
    q = torch.randn(8, 2, 16, 12, generator=torch.Generator().manual_seed(0))
    mask = swin().layers[0].blocks[1].attn_mask
    scores = attention.q_quantizer(q) @ attention.k_quantizer(q).transpose(-2, -1)
    scores = scores + swin().get_submodule(SHIFTED)._get_rel_pos_bias()
    scores = scores.view(2, 4, 2, 16, 16) + mask.unsqueeze(1).unsqueeze(0)
    expected = scores.view(-1, 2, 16, 16).softmax(dim=-1)
    assert torch.equal(attention.attention_map(q, q, mask), expected)


def test_swin_reduction_is_quantized_per_channel_on_the_last_axis():
    model = float_path(swin(), QuantizationSpec("none", "float"))
    calibrate(model, images())
    delta = model.layers[1].downsample.reduction.input_quantizer.delta
    assert delta.shape == (1, 1, 1, 96)


def test_swin_padded_windows_are_refused():
    """Padding follows norm1: its zeros would be no zeros after reparameterization."""
    model = SwinTransformer(
        img_size=40, patch_size=4, embed_dim=24, depths=(1,), num_heads=(2,), window_size=4
    )
    with pytest.raises(ValueError, match=r"layer layers\.0\.blocks\.0: .*multiple of the window"):
        quantize(model.eval(), torch.randn(2, 3, 40, 40), QuantizationSpec())


def test_swin_bias_beyond_the_range_of_t_is_refused():
    model = copy.deepcopy(swin())
    model.layers[0].blocks[0].attn.relative_position_bias_table.data[0] = 1e6
    with pytest.raises(ValueError, match="score bias must be from"):
        quantize(model, images(), QuantizationSpec())
