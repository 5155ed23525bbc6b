"""transformers' encoders with the datapath as their attention: checked, exported, captured.

Small and with random weights. transformers takes seconds to import, and so no test is quick.
"""

import copy
import struct

import pytest
import timm
import torch

from bitlog2.golden import verify
from bitlog2.models import DotProductAttention, attention, check, evaluate, export, vectors
from bitlog2.models.watch.check import Checker
from bitlog2.models.watch.watching import datapaths_of, watch
from bitlog2.sim import SCHEMES, AttentionConfig

pytestmark = pytest.mark.long

SIZES = {"image_size": 32, "patch_size": 8, "hidden_size": 32, "intermediate_size": 48}
SIZES |= {"num_hidden_layers": 2, "num_attention_heads": 2}
#: Classes of models and of their configurations; fields that are not those of all.
ENCODERS = {
    "ViTForImageClassification": ("ViTConfig", {"num_labels": 5}),
    "ViTModel": ("ViTConfig", {}),
    "DeiTModel": ("DeiTConfig", {}),
    "CLIPVisionModel": ("CLIPVisionConfig", {}),
    "SiglipVisionModel": ("SiglipVisionConfig", {"vision_use_head": False}),
    "Dinov2Model": ("Dinov2Config", {}),
}
IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def made(name, **fields):
    import transformers

    config, own = ENCODERS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = getattr(transformers, config)(**{**SIZES, **own, **fields})
        model = getattr(transformers, name)(config).eval()
        for module in model.modules():  # as wide as trained ones
            if isinstance(module, torch.nn.Linear):
                torch.nn.init.xavier_uniform_(module.weight, gain=2)
    return model


def quantized(model, *given, **more):
    from bitlog2.models.huggingface import quantize

    return quantize(model, IMAGES, *given, **more)


def wide(scheme, bits):
    return AttentionConfig(scheme, **{f"{name}_bits": bits for name in "qkvo"})


@pytest.fixture(scope="module")
def vit():
    return quantized(made("ViTModel"))


@pytest.mark.parametrize("name", ENCODERS)
def test_huggingface_encoder_is_checked(name):
    model = made(name)
    with torch.no_grad():
        before = model(IMAGES)[0]
    found = quantized(model)
    assert found.config._attn_implementation == "bitlog2" != model.config._attn_implementation
    assert {each.dtype for each in found.parameters()} == {torch.float32}
    report = check(found, IMAGES)
    assert report.passed
    layers = datapaths_of(found)
    assert len(layers) == 2
    tokens = report.compared["row_max"] // (2 * 4 * 2)
    assert report.compared["o"] == 2 * 4 * 2 * tokens * 16
    with torch.no_grad():
        assert torch.equal(model(IMAGES)[0], before)
        after = quantized(model, wide("RowMax_16", 8))(IMAGES)[0]
    assert 0 < (after - before).norm() < 0.12 * before.norm()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_huggingface_layer_is_the_function(scheme):
    """What `AttentionInterface` gets is `attention` of the same tensors, by ==."""
    found = quantized(made("ViTModel"), wide(scheme, 6))
    calls = []
    for module in found.modules():
        if isinstance(module, DotProductAttention):
            module.register_forward_hook(lambda *call: calls.append(call))
    with torch.no_grad():
        found(IMAGES)
    assert len(calls) == 2  # the function calls the layers again
    for layer, (q, k, v, mask), output in list(calls):
        assert mask is None
        assert torch.equal(output, attention(q, k, v, state=layer))


def test_huggingface_planted_error_is_found(vit):
    wrong = copy.deepcopy(vit)
    datapaths_of(wrong)["layers.1.attention.bitlog2"].level_of[0] -= 1
    report = check(wrong, IMAGES)
    assert not report.passed
    assert report.first_mismatches[0].startswith("register level: layer layers.1.attention.bitlog2")


def test_huggingface_masks_exclude_tokens(vit):
    mask = torch.ones(4, 17, dtype=torch.int64)
    mask[:, 5:9] = 0
    mask[2, 9:] = 0
    levels = []
    handle = next(iter(datapaths_of(vit).values())).register_forward_hook(
        lambda *call: levels.append(call[2].map.level)
    )
    checker = Checker("all", threads=0)
    with watch(vit, checker) as watched, torch.no_grad():
        watched.begin(range(4))
        vit(IMAGES, attention_mask=mask)
    handle.remove()
    assert checker.passed
    assert int(levels[0][..., 5:9].max()) == 0 < int(levels[0][0, ..., 9:].max())
    assert int(levels[0][2, ..., 9:].max()) == 0


def test_huggingface_layers_are_exported_and_rows_captured(vit, tmp_path):
    export(tmp_path / "e", vit, IMAGES[:2], name="ViT")
    assert verify(tmp_path / "e").ok
    layer = vit.layers[0].attention.bitlog2
    word = (tmp_path / "e" / "layers.0.attention.bitlog2" / "o_scale.mem").read_text().split()[-1]
    assert struct.unpack(">f", bytes.fromhex(word))[0] == layer.o_quantizer.delta.item()
    vectors(tmp_path / "v", vit, IMAGES[:1], rows=(0, 16))
    assert verify(tmp_path / "v").ok


def test_huggingface_classifier_is_evaluated():
    model = made("ViTForImageClassification")
    labels = model(IMAGES).logits.argmax(dim=1)
    assert evaluate(model, IMAGES, labels).top1.percent == 100
    found = evaluate(quantized(model), IMAGES, labels)
    assert found.top1.total == 4
    assert found.logits_sha256 == ""


def test_huggingface_model_that_asks_for_it_by_name_must_be_calibrated():
    import transformers

    import bitlog2.models.huggingface

    model = transformers.ViTModel._from_config(
        transformers.ViTConfig(**SIZES), attn_implementation=bitlog2.models.huggingface.NAME
    ).eval()
    with pytest.raises(
        RuntimeError, match=r"ViTAttention must be calibrated by bitlog2\.models\.hu"
    ):
        model(IMAGES)
    assert check(quantized(model), IMAGES).passed


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (
            lambda: made("SiglipVisionModel", vision_use_head=True),
            r"layer head \(SiglipMultiheadAttentionPoolingHead\): must go through Attention",
        ),
        (lambda: made("ViTModel").half(), "must be float32, got float16"),
        (
            lambda: timm.create_model("vit_tiny_patch16_224"),
            "must be a transformers.PreTrainedModel",
        ),
        (lambda: made("ViTModel", image_size=24), "doesn't match model"),
    ],
)
def test_huggingface_refuses_by_name(make, wrong):
    with pytest.raises((ValueError, TypeError), match=wrong):
        quantized(make())


def test_huggingface_names_the_layer_that_cannot_be_quantized():
    model = made("ViTModel")
    torch.nn.init.zeros_(model.layers[1].attention.v_proj.weight)
    torch.nn.init.zeros_(model.layers[1].attention.v_proj.bias)
    with pytest.raises(
        ValueError, match=r"layer layers\.1\.attention\.bitlog2: v: values must span"
    ):
        quantized(model)
    with pytest.raises(ValueError, match=r"layer .*: datapath max_tokens must be at least 17"):
        quantized(made("ViTModel"), AttentionConfig("RowMax_16", max_tokens=16))


def test_huggingface_refuses_what_the_datapath_has_not():
    found = quantized(made("ViTModel", attention_probs_dropout_prob=0.1))
    with pytest.raises(
        ValueError, match=r"dropout must be left out: the datapath has none, got 0\.1"
    ):
        found.train()(IMAGES)
    with pytest.raises(ValueError, match="softcap must be left out"):
        found.eval()(IMAGES, softcap=30.0)
    with pytest.raises(ValueError, match="output_attentions must be left out"):
        found(IMAGES, output_attentions=True)
    assert len(found(IMAGES, output_hidden_states=True).hidden_states) == 3


def test_huggingface_rows_of_unlike_masks_are_not_exported(vit, tmp_path):
    class Masked(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.runs = vit, 0

        def forward(self, images):
            self.runs += 1
            mask = torch.ones(1, 17, dtype=torch.int64)
            mask[0, self.runs] = 0
            return self.inner(images, attention_mask=mask)

    with pytest.raises(ValueError, match="masked keys must be the same for all images"):
        export(tmp_path / "e", Masked().eval(), IMAGES[:2])
    export(tmp_path / "e", Masked().eval(), IMAGES[:1])
    assert verify(tmp_path / "e").ok
