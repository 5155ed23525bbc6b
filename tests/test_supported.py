"""What has no quantized form is refused by name: module path and class."""

import pytest
import timm
import torch
from support.models import images as swin_images
from support.models import swin
from timm.models.crossvit import CrossVit
from timm.models.vision_transformer import Attention, VisionTransformer
from torch import nn

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


def test_supported_a_crossvit_is_refused():
    size = {"img_size": 32, "img_scale": (1.0, 1.0), "patch_size": (8, 16), "embed_dim": (16, 32)}
    depth = {"depth": ((1, 1, 0),), "num_heads": (2, 2), "mlp_ratio": (2.0, 2.0, 1.0)}
    model = CrossVit(**size, **depth, num_classes=3).eval()
    refuse(model, r"layer blocks\.0\.fusion\.0\.attn \(CrossAttention\): has no quantized form")


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
    model = vit()
    model.blocks[0].drop_path1 = Written(how)
    pattern = r"layer blocks\.0\.drop_path1 \(Written\): has no quantized form: it computes.*"
    refuse(model, pattern + operator)


def test_supported_torchs_own_attention_is_refused():
    model = vit()
    model.blocks.append(nn.TransformerEncoderLayer(32, 2, 64, batch_first=True).eval())
    refuse(model, r"layer blocks\.1.*\(TransformerEncoderLayer|MultiheadAttention\): has no quan")


class Scaled(Attention):
    def forward(self, x, **masks):
        return 2 * Attention.forward(self, x, **masks)


class Standardized(nn.Linear):
    def forward(self, x):
        return nn.functional.linear(x, self.weight / self.weight.std(), self.bias)


@pytest.mark.parametrize(
    ("place", "kind", "pattern"),
    [
        ("blocks.0.attn", Scaled, r"blocks\.0\.attn \(Scaled\): has no quantized form"),
        ("blocks.0.mlp.fc1", Standardized, r"blocks\.0\.mlp\.fc1 \(Standardized\): has no quanti"),
        ("blocks.0.attn.qkv", Standardized, r"blocks\.0\.attn \(Attention\): its qkv must be"),
    ],
)
def test_supported_a_subclass_that_computes_otherwise_is_refused(place, kind, pattern):
    model = vit()
    model.get_submodule(place).__class__ = kind
    refuse(model, f"layer {pattern}")


@pytest.mark.parametrize("place", ["blocks.0.attn", "blocks.0.mlp.fc2", "patch_embed.proj"])
def test_supported_hooks_that_would_be_lost_are_refused(place):
    model = vit()
    model.get_submodule(place).register_forward_hook(lambda _m, _i, out: 2 * out)
    refuse(model, rf"layer {place} \(\w+\): must have no hooks")


@pytest.mark.parametrize("how", [nn.utils.parametrizations.weight_norm, nn.utils.weight_norm])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_supported_computed_weights_are_refused(how):
    model = vit()
    how(model.blocks[0].mlp.fc1)
    refuse(model, r"layer blocks\.0\.mlp\.fc1 \(\w+\): must have no hooks and no parametrization")


def twice(model):
    model.blocks[1].mlp.fc1 = model.blocks[0].mlp.fc1


def second_convolution(model):
    model.norm_pre = nn.Sequential(nn.Unflatten(2, (32, 1)), nn.Conv2d(17, 17, 1), nn.Flatten(2))


def spare_attention(model):
    model.blocks[0].spare = Attention(32, 2)


def norm_of_two_layers(model):
    """Reparameterization would rewrite it twice."""
    model.blocks[0].norm2 = model.blocks[0].norm1


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (twice, r"blocks\.1\.mlp\.fc1 \(Linear\): must be in one place, it is blocks\.0\.ml"),
        (second_convolution, r"norm_pre\.1 \(Conv2d\): must be the patch projection"),
        (spare_attention, r"blocks\.0\.spare \(Attention\): must take part"),
        (norm_of_two_layers, r"blocks\.0\.norm2 \(LayerNorm\): .* that of blocks\.0\.attn\.qkv"),
    ],
)
def test_supported_parts_in_other_places_are_refused(change, pattern):
    model = vit(depth=2)
    change(model)
    refuse(model, f"^layer {pattern}")


@pytest.mark.parametrize(
    "norm",
    [
        timm.layers.RmsNorm(32),
        nn.LayerNorm(32, elementwise_affine=False),
        nn.LayerNorm(32, bias=False),
        nn.Identity(),
    ],
)
def test_supported_other_norms_before_qkv_are_refused(norm):
    model = vit()
    model.blocks[0].norm1 = norm
    name = type(norm).__name__
    refuse(model, rf"layer blocks\.0\.norm1 \({name}\): must be a LayerNorm of weight and bias")


def test_supported_a_lone_layer_is_refused():
    refuse(nn.Linear(32, 32), r"layer model \(Linear\): must be a part of a model")


def test_supported_a_quantized_model_is_refused():
    model = quantize(vit(), images(), QuantizationSpec())
    refuse(model, r"layer patch_embed\.proj \(IntegerConv2d\): has no quantized form")


def test_supported_calibration_under_autocast_is_refused():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        refuse(vit(), "must be run outside of torch.autocast")


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        ({"mlp_layer": timm.layers.SwiGLU}, r"blocks\.0 \(Block\): must have mlp\.fc1"),
        (
            {"qk_norm": True},
            r"blocks\.0\.attn: attention must have no q/k norm, output norm or gate",
        ),
        (
            {"embed_dim": 2050, "num_heads": 2, "mlp_ratio": 0.1},
            r"blocks\.0\.attn: max_head_dim must be from 1 to 1024, got 1025",
        ),
    ],
    ids=["no fc1", "qk norm", "wide heads"],
)
def test_supported_other_forms_of_vit_are_refused(changes, pattern):
    refuse(vit(**changes), f"^layer {pattern}")


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
        (torch.compile, r"layer model \(OptimizedModule\): must be as it was before torch\.comp"),
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
