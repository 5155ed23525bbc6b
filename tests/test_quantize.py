"""The flow from a trained model to a quantized one."""

import copy

import pytest
import timm
import torch
from support.models import FORMS_RUN, digits_task, quantized_digits, swin
from support.models import images as swin_images
from support.quick import USUAL, quick_where
from timm.layers import set_fused_attn
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.nn.functional import cosine_similarity

from bitlog2.models.ptq.attention import FloatAttention, IntegerAttention
from bitlog2.models.ptq.quantize import (
    QuantizationSpec,
    calibrate,
    float_path,
    quantize,
)
from bitlog2.models.ptq.quantizers import UniformQuantizer
from bitlog2.models.ptq.reparameterize import norm_and_linear, reparameterize
from bitlog2.names import FLOAT_ONLY
from bitlog2.sim import SCHEMES


@pytest.mark.parametrize(("scheme", "arithmetic"), FORMS_RUN)
def test_quantize_every_quantizer_is_frozen_and_no_plain_layer_left(scheme, arithmetic):
    modules = list(quantized_digits(scheme, arithmetic).modules())
    quantizers = [module for module in modules if isinstance(module, UniformQuantizer)]
    assert len(quantizers) > 30
    assert all(quantizer.frozen for quantizer in quantizers)
    assert not [module for module in modules if type(module) in (nn.Linear, nn.Conv2d)]


def test_quantize_leaves_the_trained_model_as_it_was():
    task = digits_task()
    before = copy.deepcopy(task.model.state_dict())
    quantize(task.model, task.calibration_images(0), QuantizationSpec())
    assert all(torch.equal(before[key], value) for key, value in task.model.state_dict().items())


@pytest.mark.requirement("BL2-LOG2-01")
@pytest.mark.parametrize("scheme", quick_where(lambda scheme: scheme == USUAL[0], SCHEMES))
def test_quantize_all_levels_occur_in_the_attention_maps(scheme):
    """Every level of every scheme, on 128 held-out images."""
    task, model = digits_task(), quantized_digits(scheme)
    seen: set[int] = set()
    for module in model.modules():
        if isinstance(module, IntegerAttention):
            module.datapath.register_forward_hook(
                lambda _m, _i, out: seen.update(out.map.level.unique().tolist())
            )
    with torch.inference_mode():
        model(task.data.test[:128][0])
    for module in model.modules():
        if isinstance(module, IntegerAttention):
            module.datapath._forward_hooks.clear()
    assert seen == set(range(SCHEMES[scheme].levels))


def test_quantize_calibration_is_sequential():
    """A layer observes the quantized output of the layers before it, not the float one."""
    task = digits_task()
    images = task.calibration_images(0)
    model = float_path(task.model, QuantizationSpec("BitLog2_Half_17", "float"))
    seen = {}
    late = model.blocks[3].mlp.fc2

    def look(_module, inputs):
        seen["x"] = inputs[0]

    calibrate(model, images)
    with torch.no_grad():
        handle = late.register_forward_pre_hook(look)
        model(images)
        handle.remove()
    again = type(late.input_quantizer)(4)
    again.observe(seen["x"])
    assert torch.equal(again.delta, late.input_quantizer.delta)


def test_quantize_forward_learns_nothing():
    model = quantized_digits("BitLog2_Half_17")
    before = copy.deepcopy(model.state_dict())
    with torch.inference_mode():
        model(5 * digits_task().data.test[:64][0])
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_quantize_uncalibrated_model_is_refused():
    model = float_path(digits_task().model, QuantizationSpec("BitLog2_Half_17", "float"))
    with pytest.raises(RuntimeError, match="not calibrated"):
        model(digits_task().data.test[:2][0])


def test_quantize_error_names_the_layer():
    task = digits_task()
    model = copy.deepcopy(task.model)
    model.blocks[2].mlp.fc1.weight.data[7] = 1.0
    with pytest.raises(ValueError, match=r"layer blocks\.2\.mlp\.fc1: .*constant in channel 7"):
        quantize(model, task.calibration_images(0), QuantizationSpec())


@pytest.mark.parametrize("fused", [True, False])
def test_quantize_fused_attention_does_not_bypass_the_quantizers(fused):
    set_fused_attn(fused)
    try:
        task = digits_task()
        model = quantize(task.model, task.calibration_images(0), QuantizationSpec())
    finally:
        set_fused_attn(True)
    kinds = [type(block.attn) for block in model.blocks]
    assert kinds == [IntegerAttention] * 4
    with torch.inference_mode():
        expected = quantized_digits("BitLog2_Half_17")(task.data.test[:8][0])
        assert torch.equal(model(task.data.test[:8][0]), expected)


@pytest.mark.parametrize("arithmetic", ["float", "attention"])
def test_quantize_normalizes_q_and_k_as_timm_does(arithmetic):
    """With eight bits the logits are almost the unquantized ones; without a norm they are not."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        form = {"embed_dim": 32, "depth": 1, "num_heads": 2, "qk_norm": True}
        model = VisionTransformer(img_size=16, patch_size=4, num_classes=9, **form).eval()
        for norm in (model.blocks[0].attn.q_norm, model.blocks[0].attn.k_norm):
            torch.nn.init.normal_(norm.weight, std=3.0)
            torch.nn.init.normal_(norm.bias)
        torch.nn.init.normal_(model.blocks[0].attn.qkv.weight)
        images = torch.randn(16, 3, 16, 16)
    made = quantize(model, images, QuantizationSpec("none", arithmetic, 8, 8))

    def cosine():
        with torch.inference_mode():
            return cosine_similarity(made(images).flatten(), model(images).flatten(), dim=0)

    assert cosine() > 0.995
    made.blocks[0].attn.k_norm = nn.Identity()
    assert cosine() < 0.9


def test_quantize_float_scores_are_scaled_after_quantizing():
    """ViT and DeiT apply 1/sqrt(D) after the quantizers of q and k."""
    attention = quantized_digits("BitLog2_Half_17", "float").blocks[0].attn
    assert isinstance(attention, FloatAttention)
    assert (attention.query_scale, attention.score_scale) == (1.0, 32**-0.5)
    q = torch.randn(1, 3, 5, 32, generator=torch.Generator().manual_seed(0))
    scores = attention.q_quantizer(q) @ attention.k_quantizer(q).transpose(-2, -1)
    expected = (scores * 32**-0.5).softmax(-1)
    assert torch.equal(attention.attention_map(q, q, None), expected)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scheme": "Half"}, "scheme"),
        ({"arithmetic": "int"}, "arithmetic"),
        ({"w_bits": 1}, "w_bits"),
        ({"a_bits": 9}, "a_bits"),
        ({"w_bits": "4"}, "w_bits"),
        *(
            ({"scheme": scheme}, f"arithmetic must be float for {scheme}, got 'integer'")
            for scheme in FLOAT_ONLY
        ),
    ],
)
def test_quantize_wrong_field_is_refused_by_name(fields, message):
    with pytest.raises((TypeError, ValueError), match=message):
        QuantizationSpec(**fields)


def test_quantize_uniform_map_is_a_code_of_four_bits():
    """At any activation width; its zero point is 0, so that 0 stays 0."""
    for bits in (4, 6):
        attention = quantized_digits("uniform_4", bits=bits).blocks[0].attn
        quantizer = attention.map_quantizer
        assert (quantizer.max_code, int(quantizer.zero_point)) == (15, 0)


def test_quantize_half_warns_of_rows_longer_than_its_limit():
    model = timm.models.vision_transformer.VisionTransformer(
        img_size=68, patch_size=4, embed_dim=32, depth=1, num_heads=2, num_classes=3
    )
    torch.nn.init.normal_(model.blocks[0].attn.qkv.weight)
    images = torch.randn(2, 3, 68, 68, generator=torch.Generator().manual_seed(0))
    with pytest.warns(UserWarning, match=r"layer blocks\.0\.attn: .*row of 290 tokens as all zero"):
        quantize(model.eval(), images, QuantizationSpec("BitLog2_Half_16"))


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize(("name", "rtol"), [("digits", 1e-4), ("swin", 1e-3)])
def test_reparameterize_leaves_the_unquantized_output_as_it_was(name, rtol, rounded):
    """Other norms and weights, input quantizers per tensor, weight quantizers thawed."""
    trained = digits_task().model if name == "digits" else swin()
    batch = digits_task().calibration_images(0) if name == "digits" else swin_images()
    model, plain = float_path(trained, QuantizationSpec("none", "float")), copy.deepcopy(trained)
    calibrate(model, batch)
    reparameterize(model, round_zero_point=rounded)
    zero_points = set()
    for ours, theirs in zip(norm_and_linear(model), norm_and_linear(plain), strict=True):
        (layer, norm, linear), (_, to_norm, to_linear) = ours, theirs
        assert not torch.equal(norm.weight, to_norm.weight), layer
        assert linear.input_quantizer.delta.numel() == 1
        assert not linear.weight_quantizer.frozen
        assert (to_linear.bias is None) == layer.endswith("reduction")
        zero_points.add(linear.input_quantizer.zero_point.item())
        to_norm.weight, to_norm.bias = norm.weight, norm.bias
        to_linear.weight, to_linear.bias = linear.weight, linear.bias
    assert (zero_points <= set(map(float, range(16)))) == rounded
    with torch.inference_mode():
        torch.testing.assert_close(plain(batch), trained(batch), rtol=rtol, atol=1e-4)
