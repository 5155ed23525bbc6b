"""What has no quantized form is refused by name: module path and class."""

import re
from functools import partial

import pytest
import timm
import torch
from support.models import images as swin_images
from support.models import swin
from timm.models.crossvit import CrossVit
from timm.models.vision_transformer import Attention, VisionTransformer
from torch import nn
from torch.nn.utils import parametrizations

from bitlog2.models.ptq.attention import IntegerAttention
from bitlog2.models.ptq.quantize import QuantizationSpec, quantize


def vit(**changes):
    """One block of two heads over 17 tokens."""
    size = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = VisionTransformer(**{**size, "num_classes": 3, **changes})
        nn.init.normal_(model.head.weight, std=0.1)
    return model.eval()


def images(count=2, size=32):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def refuse(model, pattern, batch=None, spec=None):
    with pytest.raises((ValueError, TypeError), match=pattern) as caught:
        quantize(model, images() if batch is None else batch, spec or QuantizationSpec())
    assert "\n" not in str(caught.value)


FOREIGN = [
    ("swinv2_tiny_window8_256", {"window_size": 2}, r"layers\.0\.blocks\.0\.attn \(WindowAttenti"),
    ("swinv2_cr_tiny_224", {"window_size": 2}, r"stages\.0\.blocks\.0\.attn \(WindowMultiHead"),
    ("beit_base_patch16_224", {"depth": 1}, r"blocks\.0\.attn \(Attention\): has no quantized"),
    ("eva02_tiny_patch14_224", {"depth": 1, "img_size": 56}, r"blocks\.0\.attn \(EvaAttention\)"),
    ("cait_xxs24_224", {"depth": 1}, r"blocks\.0\.attn \(TalkingHeadAttn\)"),
    ("vit_relpos_small_patch16_224", {"depth": 1}, r"blocks\.0\.attn \(RelPosAttention\)"),
    ("vit_base_patch16_xp_224", {"depth": 1}, r"blocks\.0 \(ParallelScalingBlock\)"),
    ("vit_base_patch16_siglip_224", {"depth": 1}, r"attn_pool \(AttentionPoolLatent\)"),
    ("xcit_nano_12_p16_224", {"depth": 1}, r"blocks\.0\.attn \(XCA\)"),
]


@pytest.mark.parametrize(("name", "changes", "pattern"), FOREIGN)
def test_supported_other_attention_is_refused(name, changes, pattern):
    size = {"embed_dim": 48, "num_heads": 3} if "depth" in changes else {"embed_dim": 24}
    changes = {"img_size": 64, "num_classes": 3, **size, **changes}
    model = timm.create_model(name, pretrained=False, **changes).eval()
    refuse(model, f"^layer {pattern}", images(size=changes["img_size"]))


class Written(nn.Module):
    """Attention by functions alone."""

    def __init__(self, how):
        super().__init__()
        self.how, self.weight = how, nn.Parameter(torch.eye(32))

    def forward(self, x):
        return x + self.how(x, self.weight)


def by_elements(x, _weight):
    return ((x.unsqueeze(1) * x.unsqueeze(2)).sum(-1, keepdim=True) * x.unsqueeze(1)).mean(2)


@pytest.mark.parametrize(
    ("how", "operator"),
    [
        (lambda x, _w: nn.functional.scaled_dot_product_attention(x, x, x), "_scaled_dot_product"),
        (lambda x, _w: torch.einsum("bnc,bmc,bmd->bnd", x, x, x), "bmm"),
        (lambda x, _w: x * x.mean(-1, keepdim=True).softmax(1), "_softmax"),
        (lambda x, w: x @ w, "mm"),
        (lambda x, w: nn.functional.conv1d(x.mT, w.unsqueeze(-1)).mT, "convolution"),
        (by_elements, "mul"),
    ],
    ids=["fused", "einsum", "softmax", "weight", "conv1d", "elements"],
)
def test_supported_products_by_functions_are_refused(how, operator):
    pattern = r"layer blocks\.0\.drop_path1 \(Written\): has no quantized form: it computes.*"
    refuse(put("blocks.0.drop_path1", Written(how)), pattern + operator)


class Scaled(Attention):
    def forward(self, x, **masks):
        return 2 * Attention.forward(self, x, **masks)


class Standardized(nn.Linear):
    def forward(self, x):
        return nn.functional.linear(x, self.weight / self.weight.std(), self.bias)


def put(place, module, **changes):
    """A ViT with another module at a place."""
    model = vit(**changes)
    parent, _, name = place.rpartition(".")
    setattr(model.get_submodule(parent), name, module)
    return model


def of_class(place, kind):
    model = vit()
    model.get_submodule(place).__class__ = kind
    return model


def hooked(place):
    model = vit()
    model.get_submodule(place).register_forward_hook(lambda _m, _i, out: 2 * out)
    return model


def parametrized(how):
    model = vit()
    how(model.blocks[0].mlp.fc1)
    return model


def twice(source, target):
    """Two blocks of which one has a part of the other, or of itself, in a second place."""
    model = vit(depth=2)
    parent, _, name = target.rpartition(".")
    setattr(model.get_submodule(parent), name, model.get_submodule(source))
    return model


def crossvit():
    size = {"img_size": 32, "img_scale": (1.0, 1.0), "patch_size": (8, 16), "embed_dim": (16, 32)}
    depth = {"depth": ((1, 1, 0),), "num_heads": (2, 2), "mlp_ratio": (2.0, 2.0, 1.0)}
    return CrossVit(**size, **depth, num_classes=3).eval()


PLAIN = nn.LayerNorm(32, elementwise_affine=False)


def quantized():
    return quantize(vit(), images(), QuantizationSpec())


def of_torch():
    model = vit()
    model.blocks.append(nn.TransformerEncoderLayer(32, 2, 64, batch_first=True).eval())
    return model


SECOND = nn.Sequential(nn.Unflatten(2, (32, 1)), nn.Conv2d(17, 17, 1), nn.Flatten(2))
ATTN, QKV, FC1 = "blocks.0.attn", "blocks.0.attn.qkv", "blocks.0.mlp.fc1"
NORM = "must be a LayerNorm of weight and bias"
#: Model, and the parts of the error.
REFUSED = [
    (crossvit, "blocks.0.fusion.0.attn (CrossAttention)", "has no quantized form"),
    (of_torch, "blocks.1", "has no quantized form"),
    (lambda: of_class("blocks.0.attn", Scaled), "blocks.0.attn (Scaled)", "has no quantized form"),
    (lambda: of_class(FC1, Standardized), f"{FC1} (Standardized)", "has no quantized form"),
    (lambda: of_class(QKV, Standardized), "blocks.0.attn (Attention)", "its qkv must be a Linear"),
    (lambda: hooked("blocks.0.attn"), "blocks.0.attn (Attention)", "must have no hooks"),
    (lambda: hooked(FC1), f"{FC1} (Linear)", "must have no hooks"),
    (lambda: hooked("patch_embed.proj"), "patch_embed.proj (Conv2d)", "must have no hooks"),
    (lambda: parametrized(nn.utils.weight_norm), FC1, "and no parametrization"),
    (lambda: parametrized(parametrizations.weight_norm), FC1, "and no parametrization"),
    (lambda: twice(FC1, "blocks.1.mlp.fc1"), "blocks.1.mlp.fc1 (Linear)", f"place, it is {FC1}"),
    # Reparameterization would rewrite the norm twice.
    (lambda: twice("blocks.0.norm1", "blocks.0.norm2"), "blocks.0.norm2", f"that of {QKV}"),
    (lambda: put("norm_pre", SECOND), "norm_pre.1 (Conv2d)", "must be the patch projection"),
    (lambda: put("blocks.0.spare", Attention(32, 2)), "blocks.0.spare (Atten", "must take part"),
    (lambda: put("blocks.0.norm1", timm.layers.RmsNorm(32)), "blocks.0.norm1 (RmsNorm)", NORM),
    (lambda: put("blocks.0.norm1", nn.LayerNorm(32, bias=False)), "blocks.0.norm1 (Layer", NORM),
    (lambda: put("blocks.0.norm1", PLAIN), "blocks.0.norm1 (LayerNorm)", NORM),
    (lambda: put("blocks.0.norm1", nn.Identity()), "blocks.0.norm1 (Identity)", NORM),
    (lambda: nn.Linear(32, 32), "model (Linear)", "must be a part of a model"),
    (quantized, "patch_embed.proj (IntegerConv2d)", "has no quantized form"),
    (lambda: vit(mlp_layer=timm.layers.SwiGLU), "blocks.0 (Block)", "must have mlp.fc1"),
    (lambda: put(f"{ATTN}.norm", nn.LayerNorm(32)), ATTN, "must have no output norm or gate"),
    (lambda: put(f"{ATTN}.k_norm", nn.LayerNorm(16, bias=False)), f"{ATTN}.k_norm (Lay", NORM),
    (lambda: put(f"{ATTN}.q_norm", timm.layers.RmsNorm(16)), f"{ATTN}.q_norm (RmsNorm)", NORM),
    (lambda: vit(embed_dim=2050, mlp_ratio=0.1), "blocks.0.attn", "from 1 to 1024, got 1025"),
]


@pytest.mark.parametrize(
    ("make", "layer", "must"), REFUSED, ids=[f"{row[1]} {row[2]}" for row in REFUSED]
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_supported_what_has_no_quantized_form_is_refused(make, layer, must):
    refuse(make(), f"^layer {re.escape(layer)}.*{re.escape(must)}")


def test_supported_calibration_under_autocast_is_refused():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        refuse(vit(), "must be run outside of torch.autocast")


@pytest.mark.parametrize(
    "changes",
    [
        {"mlp_layer": timm.layers.GluMlp},
        {"init_values": 1e-1, "class_token": False, "global_pool": "avg"},
        {"reg_tokens": 2, "pre_norm": True, "attn_drop_rate": 0.5, "drop_path_rate": 0.5},
        {"block_fn": timm.models.vision_transformer.ResPostBlock},
        {"block_fn": timm.models.vision_transformer.ParallelThingsBlock},
    ],
    ids=["gated", "pooled", "registers", "post-norm", "parallel"],
)
def test_supported_variants_of_vit_are_quantized_whole(changes):
    model = quantize(vit(**changes), images(), QuantizationSpec())
    plain = [m for m in model.modules() if isinstance(m, Attention | nn.Linear | nn.Conv2d)]
    assert plain == []
    assert any(isinstance(module, IntegerAttention) for module in model.modules())
    assert bool(model(images()).isfinite().all())


def test_supported_model_is_left_as_it_is():
    model = vit().train()
    quantize(model, images(), QuantizationSpec())
    assert model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert isinstance(model.blocks[0].attn, Attention)


def test_supported_a_model_in_training_mode_is_quantized_as_in_eval_mode():
    changes = {"proj_drop_rate": 0.5, "drop_path_rate": 0.5}
    found = [
        quantize(m, images(), QuantizationSpec())(images())
        for m in (vit(**changes), vit(**changes).train())
    ]
    assert torch.equal(*found)


# Images and numbers


@pytest.mark.parametrize(
    ("batch", "pattern"),
    [
        (torch.zeros(0, 3, 32, 32), r"at least one, got the empty batch \(0, 3, 32, 32\)"),
        (images()[0], r"\(B, C, H, W\) float32, got \(3, 32, 32\) float32"),
        (images().double(), ".*, got .* float64"),
        ((images() * 99).to(torch.uint8), ".*, got .* uint8"),
        (images().to("meta"), ".*, got .* meta"),
        (images().numpy(), "a torch tensor, got ndarray"),
        (images() / 0, "finite, got"),
    ],
    ids=["empty", "one", "double", "bytes", "meta", "numpy", "infinite"],
)
def test_supported_other_calibration_images_are_refused(batch, pattern):
    refuse(vit(), f"calibration images must be {pattern}", batch)


@pytest.mark.parametrize(
    ("shape", "layer"),
    [((2, 3, 64, 64), r"patch_embed \(PatchEmbed\)"), ((2, 1, 32, 32), r"patch_embed\.proj \(C")],
)
def test_supported_images_of_another_shape_name_the_layer(shape, layer):
    refuse(vit(), rf"layer {layer}.*calibration images .* must fit: ", torch.ones(shape))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            partial(torch.compile, backend="eager"),
            r"layer model \(OptimizedModule\): must be as it was before torch\.comp",
        ),
        (torch.jit.script, r"layer model \(RecursiveScriptModule\): must be as it was before"),
        (lambda m: m.half(), r"layer model: cls_token must be float32, got float16"),
        (lambda m: m.bfloat16(), r"layer model: cls_token must be float32, got bfloat16"),
        (lambda m: m.double(), "got float64"),
        (lambda m: m.to("meta"), "got meta"),
        (lambda m: (m.blocks[0].mlp.fc1.half(), m)[1], r"layer blocks\.0\.mlp\.fc1: weight must"),
        (lambda m: m.state_dict(), "model must be a torch.nn.Module, got"),
    ],
    ids=["compiled", "scripted", "half", "bfloat16", "double", "meta", "layer", "state"],
)
def test_supported_other_numbers_are_refused(change, found):
    refuse(change(vit()), found)


# Rows and heads that the datapath is built for


def datapaths(model):
    return [m.datapath.config for m in model.modules() if isinstance(m, IntegerAttention)]


def wide():
    """Two heads of 192 channels, all codes far from their zero points."""
    return vit(embed_dim=384)


def test_supported_head_dim_of_the_datapath_follows_from_the_model():
    config = datapaths(quantize(wide(), images(), QuantizationSpec()))[0]
    assert (config.max_head_dim, config.max_tokens) == (192, 1024)


def test_supported_tokens_of_the_datapath_follow_from_the_model():
    model = vit(img_size=66, patch_size=2)  # 33 * 33 + 1
    config = datapaths(quantize(model, images(1, 66), QuantizationSpec("BitLog2_Single_17")))[0]
    assert (config.max_head_dim, config.max_tokens) == (128, 1090)


def test_supported_models_that_fit_keep_the_default_datapath():
    spec = QuantizationSpec()
    assert datapaths(quantize(vit(), images(), spec)) == [spec.attention_config()]
    found = datapaths(quantize(swin(), swin_images(), spec))
    assert set(found) == {spec.attention_config()}


@pytest.mark.parametrize(
    ("field", "given", "wanted"), [("max_head_dim", 191, 192), ("max_tokens", 16, 17)]
)
def test_supported_a_datapath_that_is_given_too_small_is_refused(field, given, wanted):
    spec = QuantizationSpec(datapath=((field, given),))
    pattern = rf"layer blocks\.0\.attn: {field} must be at least {wanted}, got {given}"
    refuse(wide(), pattern, spec=spec)


def test_supported_a_datapath_that_is_given_is_taken():
    spec = QuantizationSpec(datapath=(("max_head_dim", 192), ("max_tokens", 17)))
    config = datapaths(quantize(wide(), images(), spec))[0]
    assert (config.max_head_dim, config.max_tokens) == (192, 17)


def test_supported_longer_rows_than_calibrated_are_refused_when_they_run():
    model = vit(dynamic_img_size=True)
    spec = QuantizationSpec(datapath=(("max_tokens", 17),))
    quantized = quantize(model, images(), spec)
    with pytest.raises(ValueError, match=r"datapath max_tokens must be at least 65 for k"):
        quantized(images(size=64))
