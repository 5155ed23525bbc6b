"""Weights of the pretrained models: read tensor by tensor, or refused in one line."""

import argparse
import datetime
import enum
import io
import json
import logging
import os
import pickle
import random
import re
import shutil
import struct
import sys
import types
import warnings
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import save
from support.imagenet_folder import make_imagenet
from support.models import quantized_digits
from support.weights import MODELS, assert_loads, weights, write
from test_hostile_fuzz import BYTES
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torchvision import transforms

from bitlog2.models.ptq.quantize import QuantizationSpec
from bitlog2.models.zoo.architectures import (
    build_zoo_model,
    load_zoo_model,
    published,
    transform,
)
from bitlog2.models.zoo.checkpoint import QuantizedModel, load_quantized, save_quantized
from bitlog2.models.zoo.weights import read_weights
from bitlog2.names import ZOO
from bitlog2.scripts.cli import main


@pytest.fixture
def folder(tmp_path):
    """A folder for large files, removed at once."""
    yield tmp_path
    shutil.rmtree(tmp_path)


# Names and published figures


def test_zoo_names_and_weights_are_pinned_and_known_to_timm():
    assert [(m.name, m.timm_name, m.published_top1) for m in ZOO.values()] == [
        ("vit_small", "vit_small_patch16_224.augreg_in21k_ft_in1k", 81.39),
        ("vit_base", "vit_base_patch16_224.augreg_in21k_ft_in1k", 84.54),
        ("deit_tiny", "deit_tiny_patch16_224.fb_in1k", 72.21),
        ("deit_small", "deit_small_patch16_224.fb_in1k", 79.85),
        ("deit_base", "deit_base_patch16_224.fb_in1k", 81.80),
        ("swin_tiny", "swin_tiny_patch4_window7_224.ms_in1k", 81.35),
        ("swin_small", "swin_small_patch4_window7_224.ms_in1k", 83.23),
    ]
    for name, model in ZOO.items():
        assert model.name == name
        assert model.family == name.split("_")[0]
        assert timm.get_pretrained_cfg(model.timm_name).hf_hub_id == f"timm/{model.timm_name}"


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


# Names and published figures


@pytest.mark.parametrize(
    ("scheme", "model", "accuracies"),
    [
        ("BitLog2_Half_17", "deit_small", (69.554, 89.132)),
        ("Sqrt2_16", "vit_base", (67.726, 88.228)),
        ("BitLog2_Single_16", "swin_tiny", None),
        ("none", "deit_small", None),
    ],
)
def test_zoo_quantized_accuracies_are_the_published_ones(scheme, model, accuracies):
    assert published(scheme, model) == accuracies


# Preprocessing


@pytest.mark.parametrize(
    ("name", "size", "mean", "std"),
    [
        ("vit_small", 248, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ("deit_tiny", 256, MEAN, STD),
        ("swin_tiny", 248, MEAN, STD),
    ],
)
@pytest.mark.parametrize("shape", [(500, 375), (20, 30), (224, 224), (300, 901)])
def test_zoo_preprocessing_is_the_published_recipe(name, size, mean, std, shape):
    pixels = np.random.default_rng(3).integers(0, 256, (*shape, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    recipe = transforms.Compose(
        [
            transforms.Resize(size, interpolation=3),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
    assert torch.equal(transform(ZOO[name])(image), recipe(image))


@pytest.mark.parametrize(("name", "size"), [("deit_base", 256), ("vit_base", 248)])
def test_zoo_preprocessing_keeps_the_pixels_of_an_image_of_the_resized_size(name, size):
    """No resize: output pixel (0, 0) is input pixel (margin, margin), worked by hand."""
    pixels = np.random.default_rng(4).integers(0, 256, (size, size, 3), dtype=np.uint8)
    found = transform(ZOO[name])(Image.fromarray(pixels))
    margin = (size - 224) // 2
    mean = np.array(ZOO[name].mean, np.float32)
    std = np.array(ZOO[name].std, np.float32)
    expected = (pixels[margin, margin].astype(np.float32) / np.float32(255) - mean) / std
    assert found.shape == (3, 224, 224)
    assert found[:, 0, 0].tolist() == expected.tolist()


# Weights from a file


@pytest.mark.parametrize("name", MODELS)
def test_zoo_weights_come_back_bit_for_bit_from_safetensors_and_pth(name, folder):
    for file in ("model.safetensors", "model.pth"):
        assert_loads(name, write(folder / file, weights(name)), weights(name))


def test_zoo_a_loaded_model_is_ready_for_inference(folder):
    path = write(folder / "a.pt", weights("deit_tiny"))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    model = load_zoo_model("deit_tiny", path)
    assert torch.equal(torch.get_rng_state(), before)
    assert not model.training
    parameters = list(model.parameters())
    assert not any(parameter.requires_grad for parameter in parameters)
    assert {parameter.dtype for parameter in parameters} == {torch.float32}


@pytest.mark.parametrize("name", ["deit_tiny", "swin_tiny"])
def test_zoo_a_fine_tuned_model_keeps_its_number_of_classes(name, folder):
    path = write(folder / "fine.safetensors", weights(name, 10))
    assert_loads(name, path, weights(name, 10))


def test_zoo_an_architecture_has_the_classes_that_are_asked_for():
    assert build_zoo_model("swin_tiny", 7)(torch.zeros(1, 3, 224, 224)).shape == (1, 7)


def test_zoo_half_precision_becomes_the_same_numbers_in_float32(folder):
    half = {key: tensor.half() for key, tensor in weights("deit_tiny").items()}
    expected = {key: tensor.float() for key, tensor in half.items()}
    assert_loads("deit_tiny", write(folder / "h.safetensors", half), expected)


def original_swin(state: dict[str, torch.Tensor], depths: tuple[int, ...]):
    """The names of the first Swin files: downsampling ends a stage, buffers are stored."""
    old = {}
    for key, tensor in state.items():
        parts = key.split(".")
        if parts[2:3] == ["downsample"]:
            parts[1] = str(int(parts[1]) - 1)
        old[".".join(parts).replace("head.fc.", "head.")] = tensor
    for stage, depth in enumerate(depths):
        for block in range(depth):
            prefix = f"layers.{stage}.blocks.{block}"
            old[f"{prefix}.attn.relative_position_index"] = torch.zeros(49, 49, dtype=torch.int64)
            if block % 2 and stage < 3:
                old[f"{prefix}.attn_mask"] = torch.zeros(64 >> 2 * stage, 49, 49)
    return {"model": old}


@pytest.mark.parametrize(
    ("name", "depths"), [("swin_tiny", (2, 2, 6, 2)), ("swin_small", (2, 2, 18, 2))]
)
def test_zoo_the_original_swin_file_loads(name, depths, folder):
    path = write(folder / f"{name}.pth", original_swin(weights(name), depths))
    assert_loads(name, path, weights(name))


VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
VIT |= {"mlp_ratio": 2, "num_classes": 5}
SWIN = {"img_size": 32, "patch_size": 4, "embed_dim": 24, "depths": (2, 2), "window_size": 4}
SWIN |= {"num_heads": (2, 3), "num_classes": 5}


def filled(model):
    """Give a model numbers that are all different, so that no tensor passes for another."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


@lru_cache(maxsize=1)
def vit():
    return filled(VisionTransformer(**VIT))


@lru_cache(maxsize=1)
def swin():
    return filled(SwinTransformer(**SWIN))


def assert_read(path: Path, expected, **options):
    found = read_weights(path, **options)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


# Other libraries


def renamed(state, *pairs):
    """Rename as conversion scripts do: each text replaced by the next, in order."""
    found = {}
    for name, tensor in state.items():
        for old, new in pairs:
            name = re.sub(old, new, name)
        found[name] = tensor
    return found


def split(state, before: str):
    """Make q, k and v tensors of their own; `before` replaces `attn.qkv`'s last part."""
    found = {}
    for name, tensor in state.items():
        if ".qkv." in name:
            for part, third in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                found[name.replace(".qkv.", f".{before}{part}.")] = third
        else:
            found[name] = tensor
    return found


BLOCK = (
    (r"norm1", "layernorm_before"),
    (r"norm2", "layernorm_after"),
    (r"attn\.proj", "attention.output.dense"),
    (r"mlp\.fc1", "intermediate.dense"),
    (r"mlp\.fc2", "output.dense"),
)


def transformers_vit(prefix: str):
    return split(
        renamed(
            vit().state_dict(),
            (r"^cls_token", f"{prefix}embeddings.cls_token"),
            (r"^pos_embed", f"{prefix}embeddings.position_embeddings"),
            (r"^patch_embed\.proj", f"{prefix}embeddings.patch_embeddings.projection"),
            (r"^blocks", f"{prefix}encoder.layer"),
            *BLOCK,
            (r"\.attn\.", ".attention.attention."),
            (r"^norm\.", f"{prefix}layernorm."),
            (r"^head", "classifier"),
        ),
        "",
    )


def transformers_swin():
    return split(
        renamed(
            swin().state_dict(),
            (r"^patch_embed\.proj", "embeddings.patch_embeddings.projection"),
            (r"^patch_embed\.norm", "embeddings.norm"),
            (r"layers\.1\.downsample", "layers.0.downsample"),
            (r"^layers", "encoder.layers"),
            *BLOCK,
            (r"\.attn\.", ".attention.self."),
            (r"^norm\.", "layernorm."),
            (r"^(?!head)", "swin."),
            (r"^head\.fc", "classifier"),
        ),
        "",
    )


@pytest.mark.parametrize("prefix", ["vit.", "deit.", ""])
def test_weights_of_transformers_vit_are_read(prefix, tmp_path):
    names = transformers_vit(prefix)
    assert f"{prefix}encoder.layer.1.attention.attention.query.weight" in names
    assert_read(write(tmp_path / "model.safetensors", names), vit().state_dict())


def test_weights_of_transformers_swin_are_read(tmp_path):
    names = transformers_swin()
    assert "swin.encoder.layers.0.blocks.1.attention.self.key.bias" in names
    names["swin.encoder.layers.0.blocks.0.attention.self.relative_position_index"] = torch.zeros(1)
    assert_read(write(tmp_path / "pytorch_model.bin", names), swin().state_dict())


@pytest.mark.parametrize(
    ("change", "unexpected"),
    [
        (lambda names: names.pop("vit.encoder.layer.1.attention.attention.key.bias"), "query.bias"),
        (
            lambda names: names.update({"vit.pooler.dense.bias": torch.zeros(1)}),
            "pooler.dense.bias",
        ),
        (lambda names: names.update(cls_token=torch.ones(1)), "vit.embeddings.cls_token"),
    ],
    ids=["incomplete", "more", "twice"],
)
def test_weights_that_a_layout_lacks_are_kept_to_be_refused(change, unexpected, tmp_path):
    names = {"cls_token": None, **transformers_vit("vit.")}
    del names["cls_token"]
    change(names)
    if unexpected.startswith("vit"):
        names = {"cls_token": names.pop("cls_token"), **names}
    found = read_weights(write(tmp_path / "w.pth", names))
    assert [name for name in found if name.endswith(unexpected)] != []
    assert len(found) >= len(vit().state_dict())


def torchvision_vit():
    return filled(torchvision.models.VisionTransformer(32, 8, 2, 2, 32, 64, num_classes=5))


def torchvision_swin():
    theirs = torchvision.models.SwinTransformer([4, 4], 24, [2, 2], [2, 3], [4, 4], num_classes=5)
    return filled(theirs)


@pytest.mark.parametrize(
    ("make", "kind", "size"),
    [(torchvision_vit, VisionTransformer, VIT), (torchvision_swin, SwinTransformer, SWIN)],
    ids=["vit", "swin"],
)
def test_weights_of_torchvision_give_its_logits(make, kind, size, tmp_path):
    theirs, ours = make(), kind(**size).eval()
    ours.load_state_dict(read_weights(write(tmp_path / "w.pth", theirs.state_dict())))
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(ours(images), theirs(images), atol=1e-5)


def test_weights_of_torchvision_vit_under_its_older_names_are_read(tmp_path):
    theirs = torchvision_vit()
    older = renamed(theirs.state_dict(), (r"mlp\.0", "mlp.linear_1"), (r"mlp\.3", "mlp.linear_2"))
    expected = read_weights(write(tmp_path / "new.pth", theirs.state_dict()))
    assert_read(write(tmp_path / "old.pth", older), expected)


def flax(prefix: str = ""):
    """The ViT as Google's repository stores it: heads on an axis of their own, (in, out)."""
    state = {name: tensor.numpy() for name, tensor in vit().state_dict().items()}
    found = {
        "cls": state["cls_token"],
        "Transformer/posembed_input/pos_embedding": state["pos_embed"],
        "embedding/kernel": state["patch_embed.proj.weight"].transpose(2, 3, 1, 0),
        "embedding/bias": state["patch_embed.proj.bias"],
        "Transformer/encoder_norm/scale": state["norm.weight"],
        "Transformer/encoder_norm/bias": state["norm.bias"],
        "head/kernel": state["head.weight"].T,
        "head/bias": state["head.bias"],
    }
    for block in range(2):
        old, new = f"blocks.{block}.", f"Transformer/encoderblock_{block}/"
        for norm, name in (("norm1", "LayerNorm_0"), ("norm2", "LayerNorm_2")):
            found[f"{new}{name}/scale"] = state[f"{old}{norm}.weight"]
            found[f"{new}{name}/bias"] = state[f"{old}{norm}.bias"]
        for layer, name in (("fc1", "Dense_0"), ("fc2", "Dense_1")):
            found[f"{new}MlpBlock_3/{name}/kernel"] = state[f"{old}mlp.{layer}.weight"].T
            found[f"{new}MlpBlock_3/{name}/bias"] = state[f"{old}mlp.{layer}.bias"]
        attention = f"{new}MultiHeadDotProductAttention_1/"
        weights = state[f"{old}attn.qkv.weight"].reshape(3, 2, 16, 32)
        biases = state[f"{old}attn.qkv.bias"].reshape(3, 2, 16)
        for part, weight, bias in zip(("query", "key", "value"), weights, biases, strict=True):
            found[f"{attention}{part}/kernel"] = weight.transpose(2, 0, 1)
            found[f"{attention}{part}/bias"] = bias
        out = state[f"{old}attn.proj.weight"].T.reshape(2, 16, 32)
        found[f"{attention}out/kernel"], found[f"{attention}out/bias"] = (
            out,
            state[f"{old}attn.proj.bias"],
        )
    return {f"{prefix}{name}": array for name, array in found.items()}


@pytest.mark.parametrize("prefix", ["", "opt/target/", "params/"])
def test_weights_of_an_npz_are_read(prefix, tmp_path):
    np.savez(tmp_path / "w.npz", **flax(prefix))
    assert_read(tmp_path / "w.npz", vit().state_dict())


def test_weights_of_an_npz_are_those_that_timm_reads(tmp_path):
    np.savez(tmp_path / "w.npz", **flax())
    model = VisionTransformer(**VIT)
    model.load_pretrained(str(tmp_path / "w.npz"))
    assert_read(tmp_path / "w.npz", model.state_dict())


@pytest.mark.parametrize(
    "write",
    [
        lambda path: np.savez_compressed(path, **flax()),
        lambda path: np.savez(path, cls=np.array([{}], dtype=object)),
        lambda path: np.savez(path, cls=np.array(["a"])),
        lambda path: path.write_bytes(b"PK\x03\x04 no archive"),
    ],
    ids=["compressed", "object", "text", "damaged"],
)
def test_weights_of_another_npz_are_refused(write, tmp_path):
    write(tmp_path / "w.npz")
    with pytest.raises(ValueError, match=r"must be a file that numpy\.savez wrote, got .*w\.npz: "):
        read_weights(tmp_path / "w.npz")


# Parts


def in_parts(folder: Path, suffix: str, **changes) -> Path:
    names = sorted(vit().state_dict())
    places = {name: f"model-0000{1 + (k > 20)}-of-00002{suffix}" for k, name in enumerate(names)}
    for part in sorted(set(places.values())):
        content = {n: t for n, t in vit().state_dict().items() if places[n] == part}
        write(folder / part, content)
    index = folder / f"model{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": {**places, **changes}}))
    return index


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_weights_in_parts_are_read_by_their_index(suffix, tmp_path):
    assert_read(in_parts(tmp_path, suffix), vit().state_dict())


@pytest.mark.parametrize(
    "place",
    ["../model-00001-of-00002.bin", "model-00001-of-00002.bin", "model.bin.index.json", 3],
)
def test_weights_in_parts_that_are_not_as_the_index_says_are_refused(place, tmp_path):
    index = in_parts(tmp_path, ".bin", cls_token=place)
    with pytest.raises(ValueError, match=r"checkpoint (index|part) .*must hold"):
        read_weights(index)


def test_weights_of_which_a_part_is_missing_are_refused(tmp_path):
    index = in_parts(tmp_path, ".safetensors")
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model-00002-of-00002\.safetensors"):
        read_weights(index)


# Training scripts


def state():
    return {"cls_token": torch.ones(1, 1, 2), "head.bias": torch.arange(3.0)}


@pytest.mark.parametrize("key", ["model", "state_dict", "model_state", "model_state_dict"])
def test_weights_of_a_training_are_read_beside_its_state(key, tmp_path):
    optimizer = {"state": {0: {"step": torch.tensor(3)}}, "param_groups": [{"lr": 0.1}]}
    content = {"epoch": 3, key: state(), "optimizer_state_dict": optimizer, "loss": 0.3}
    assert_read(write(tmp_path / "w.pth", content), state())


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module.model."])
def test_weights_lose_the_prefix_of_a_wrapper(prefix, tmp_path):
    content = {"state_dict": {f"{prefix}{name}": tensor for name, tensor in state().items()}}
    assert_read(write(tmp_path / "w.ckpt", content), state())


AVERAGED = {name: tensor + 1 for name, tensor in state().items()}


@pytest.mark.parametrize("key", ["model_ema", "state_dict_ema"])
def test_averaged_weights_beside_others_are_taken_when_asked(key, tmp_path):
    path = write(tmp_path / "w.pth", {"state_dict": state(), key: AVERAGED})
    with pytest.warns(UserWarning, match=f"state_dict was taken, beside {key}: --ema takes that"):
        assert_read(path, state())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_read(path, AVERAGED, ema=True)


@pytest.mark.parametrize("key", ["model_ema", "state_dict_ema"])
def test_averaged_weights_alone_are_taken_and_named(key, tmp_path):
    averaged = {"n_averaged": torch.tensor(7), **{f"module.{n}": t for n, t in AVERAGED.items()}}
    path = write(tmp_path / "w.pth", {key: averaged, "epoch": 3})
    with pytest.warns(UserWarning, match=f"{key} was taken: averaged weights"):
        assert_read(path, AVERAGED)


def test_averaged_weights_that_are_not_there_are_refused(tmp_path):
    path = write(tmp_path / "w.pth", {"model": state()})
    with pytest.raises(ValueError, match=r"ema must be left out for .*w\.pth, which has none of"):
        read_weights(path, ema=True)


class Level(enum.Enum):
    LOW = 1


def foreign_config():
    """A configuration of a class that is not there when the file is read, as yacs stores it."""
    module = types.ModuleType("yacs_of_another.config")

    class CfgNode(dict):
        def __init__(self, values):
            super().__init__(values)
            self.__dict__["frozen"] = True

    CfgNode.__module__, CfgNode.__qualname__ = module.__name__, "CfgNode"
    module.CfgNode = CfgNode
    return module, CfgNode({"MODEL": CfgNode({"TYPE": "swin", "DROP": 0.1})})


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_are_read_beside_objects_of_foreign_classes(zipped, tmp_path, monkeypatch):
    module, config = foreign_config()
    beside = {
        "config": config,
        "args": argparse.Namespace(lr=0.1, out=Path("out")),
        "max_accuracy": np.float64(81.2),
        "best": np.int64(3),
        "history": np.arange(3),
        "when": datetime.datetime(2024, 1, 1),
        "seen": {1, 2},
    }
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "yacs_of_another", types.ModuleType("yacs_of_another"))
        patch.setitem(sys.modules, module.__name__, module)
        content = {**beside, "model": state(), "epoch": 3}
        torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    assert module.__name__ not in sys.modules
    assert_read(tmp_path / "w.pth", state())
    assert module.__name__ not in sys.modules


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: {"model": model}])
def test_a_whole_model_is_refused_by_name(wrap, tmp_path):
    path = write(tmp_path / "w.pth", wrap(torch.nn.Sequential(torch.nn.Linear(2, 2))))
    told = r"with the whole torch\.nn\.modules\.container\.Sequential: save its state_dict\(\)"
    with pytest.raises(ValueError, match=told):
        read_weights(path)


@pytest.mark.parametrize(
    "command",
    [["evaluate"], ["evaluate", "--run", "x"], ["export", "--out", "x"], ["golden", "emit"]],
)
def test_averaged_weights_are_an_option_of_each_command(command, capsys):
    """Without a checkpoint there are none to take."""
    model = ["deit_tiny"] if command[0] == "export" else ["--model", "deit_tiny"]
    more = ["--source", "model", "--out", "x"] if command[-1] == "emit" else []
    argv = [*command, *model, *more, "--data", ".", "--ema"]
    assert main(argv) == 2
    assert capsys.readouterr().err == "bitlog2: error: ema must go with a checkpoint\n"


# Refused in one line that names the file, and what is wrong with it


def refusal(path: Path, name: str = "deit_tiny") -> str:
    """Return what is said of a checkpoint, which must be refused in one line."""
    with pytest.raises(ValueError, match=r"^checkpoint must [^\n]+$") as caught:
        load_zoo_model(name, path)
    message = str(caught.value)
    assert str(path) in message
    assert len(message) < 3000
    return message


def test_hostile_checkpoint_is_refused_by_the_command_in_the_same_line(tmp_path, capsys):
    path, images = write(tmp_path / "w.pth", changed(**BLOCKS)), tmp_path / "data"
    make_imagenet(images, 3, 1, 1, seed=0)
    argv = ["evaluate", "--model", "deit_tiny", "--checkpoint", str(path)]
    assert main([*argv, "--data", str(images), "--workers", "0"]) == 2
    assert capsys.readouterr().err == f"bitlog2: error: {refusal(path)}\n"


def test_zoo_an_unknown_model_names_the_legal_ones():
    with pytest.raises(ValueError, match=r"model must be one of vit_small, .*, got 'resnet50'"):
        load_zoo_model("resnet50")


@pytest.mark.parametrize(
    ("name", "other", "size", "found"),
    [
        ("deit_small", "deit_tiny", "width 384, 12 blocks", "width 192, 12 blocks"),
        ("swin_small", "swin_tiny", "width 96, 24 blocks", "width 96, 12 blocks"),
    ],
)
def test_zoo_weights_of_another_width_or_depth_are_refused(name, other, size, found, folder):
    message = refusal(write(folder / "m.pth", weights(other)), name)
    assert f"{name} ({size}), got" in message
    assert f"({found})" in message


@pytest.mark.parametrize(
    ("name", "key", "shape"),
    [
        ("deit_tiny", "pos_embed", (1, 577, 192)),
        ("deit_tiny", "patch_embed.proj.weight", (192, 3, 32, 32)),
        ("swin_tiny", "layers.0.blocks.0.attn.relative_position_bias_table", (529, 3)),
        ("deit_tiny", "head.weight", (1000, 191)),
    ],
)
def test_zoo_weights_of_another_shape_are_refused_not_resized(name, key, shape, folder):
    wanted = tuple(weights(name)[key].shape)
    state = {**weights(name), key: torch.zeros(shape)}
    message = refusal(write(folder / "s.safetensors", state), name)
    assert f"wrong shape: {key} {shape} for {wanted}" in message


def test_zoo_a_model_without_a_head_is_refused(folder):
    state = {key: value for key, value in weights("swin_tiny").items() if "head" not in key}
    message = refusal(write(folder / "m.pth", state), "swin_tiny")
    assert "missing: head.fc.weight, head.fc.bias" in message


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (torch.zeros(3), "tensors by name"),
        ([torch.zeros(1)], "tensors by name"),
        ({}, "tensors by name"),
        ({"model": {}}, "tensors by name"),
        ({"epoch": 3}, "int at 'epoch'"),
        ({"a": 1.5}, "float at 'a'"),
        ({"model": {"a": None}}, "NoneType at 'a'"),
        ({"a" * 10**5: None}, "NoneType at 'aaaa"),
        ({5: torch.zeros(1)}, "Tensor at 5"),
        ({"teacher": {"a": torch.zeros(1)}}, "dict at 'teacher'"),
        ({"model": {"state_dict": {"a": torch.zeros(1)}}}, "dict at 'state_dict'"),
        ({"module.a": torch.zeros(1), "a": torch.zeros(1)}, "each tensor once"),
    ],
    ids=range(12),
)
def test_hostile_files_without_named_tensors_are_refused(content, told, tmp_path):
    assert told in refusal(write(tmp_path / "w.pth", content))


class Calls:
    """Is a call of a function to whoever unpickles it."""

    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


CALLS = {
    "eval": lambda mark: Calls(eval, "1/0"),
    "getattr": lambda mark: Calls(getattr, "a", "upper"),
    "__import__": lambda mark: Calls(__import__, "antigravity"),
    "Level": lambda mark: Level.LOW,
    "system": lambda mark: Calls(os.system, f"touch {mark}"),
}


@pytest.mark.parametrize("form", ["beside", "alone", "before torch 1.6", "pickle"])
@pytest.mark.parametrize("call", CALLS)
def test_hostile_code_in_a_pickle_is_refused_and_not_run(call, form, tmp_path):
    path, mark = tmp_path / "w.pth", tmp_path / "mark"
    content = {"model": CALLS[call](mark)}
    if form == "beside":
        content = {"model": state(), "x": CALLS[call](mark)}
    if form == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form != "before torch 1.6")
    message = refusal(path)
    assert re.search(f"which asks for .*{call}: nothing of it was run", message)
    assert not mark.exists()
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".bin"])
@pytest.mark.parametrize("content", [b"<html>404</html>", bytes(range(256)) * 4])
def test_zoo_a_file_of_another_format_is_refused(suffix, content, tmp_path):
    path = tmp_path / f"page{suffix}"
    path.write_bytes(content)
    refusal(path)


def test_zoo_what_is_no_file_of_weights_is_refused(tmp_path):
    (tmp_path / "empty.pth").touch()
    assert "got the empty file" in refusal(tmp_path / "empty.pth")
    assert "got the folder" in refusal(tmp_path)
    (tmp_path / "weights.h5").write_bytes(b"1")
    suffixes = ".safetensors, .pth, .pt, .bin, .ckpt, .pth.tar, .npz or .index.json"
    assert f"must end in {suffixes}" in refusal(tmp_path / "weights.h5")
    with pytest.raises(FileNotFoundError, match=r"checkpoint must be a file that exists.*no\.pth"):
        load_zoo_model("deit_tiny", tmp_path / "no.pth")


NAN, INF = float("nan"), float("inf")


def changed(**tensors):
    """deit_tiny's weights with some others in their place, by name; None: gone."""
    state = dict(weights("deit_tiny", 3))
    for name, tensor in tensors.items():
        if tensor is None:
            del state[name]
        else:
            state[name] = tensor
    return state


def poked(value: float) -> torch.Tensor:
    tensor = torch.zeros(1, 1, 192, dtype=torch.float64)
    tensor[0, 0, 5:8] = value
    return tensor


#: 12 tensors, all gone.
BLOCKS = {f"blocks.{n}.norm1.bias": None for n in range(12)}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (BLOCKS, "missing: blocks.0.norm1.bias, "),
        (BLOCKS, "blocks.9.norm1.bias and 2 more, 12 in all"),
        ({f"extra.{n}": torch.zeros(1) for n in range(30)}, "extra.9 and 20 more, 30 in all"),
        ({"cls_token": torch.zeros(1, 192)}, "wrong shape: cls_token (1, 192) for (1, 1, 192)"),
        ({"cls_token": poked(NAN)}, "not finite: cls_token (3 of 192 values)"),
        ({"cls_token": poked(-INF)}, "not finite: cls_token (3 of 192 values)"),
        ({"cls_token": poked(1e300)}, "not finite: cls_token (3 of 192 values)"),
        ({"cls_token": torch.zeros(1, 1, 192, dtype=torch.int64)}, "tensors, got"),
        ({"cls_token": torch.zeros(1, 1, 192, dtype=torch.bool)}, "cls_token bool"),
        ({"cls_token": torch.zeros(1, 1, 192).to(torch.float8_e5m2)}, "cls_token float8_e5m2"),
        ({"cls_token": torch.zeros(1, 1, 192, dtype=torch.complex64)}, "cls_token complex64"),
        ({"cls_token": torch.zeros(1, 1, 192, device="meta")}, "cls_token meta"),
        ({"cls_token": torch.eye(192).to_sparse()}, "cls_token sparse_coo"),
        ({"pos_embed": torch.zeros(1).expand(10**12)}, "pos_embed (1000000000000,) for"),
        ({"head.bias": torch.zeros(100_001)}, "head.bias (100001,) for (1000,)"),
        ({"x\n\x1b[31m\udcff": torch.zeros(1)}, r"unexpected: x\n\x1b[31m\udcff"),
        ({"x" * 10**5: torch.zeros(1)}, "unexpected: " + "x" * 100 + "..."),
    ],
    ids=range(17),
)
@pytest.mark.filterwarnings("ignore::UserWarning:torch")
def test_hostile_state_dicts_are_refused_with_the_list(change, told, tmp_path):
    assert told in refusal(write(tmp_path / "w.pth", changed(**change)))


def test_hostile_state_dicts_with_several_faults_name_them_all(tmp_path):
    change = {"norm.bias": None, "x": torch.zeros(2), "cls_token": poked(NAN)}
    state = changed(**change, pos_embed=torch.zeros(3))
    path = tmp_path / "w.safetensors"
    path.write_bytes(save(state))
    said = refusal(path)
    found = re.findall(r"(missing|unexpected|wrong shape|not finite): ", said)
    assert found == ["missing", "unexpected", "wrong shape", "not finite"]


def test_hostile_a_compressed_pickle_is_refused(tmp_path):
    """A few kilobytes would unfold to gigabytes."""
    plain = io.BytesIO()
    torch.save({"cls_token": torch.zeros(10**6)}, plain)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(tmp_path / "w.pth", "w") as new:
        for part in old.infolist():
            new.writestr(part.filename, old.read(part), zipfile.ZIP_DEFLATED)
    assert "compressed" in refusal(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("entry", "size"),
    [
        ({"dtype": "F32", "shape": [1, 1, 192], "data_offsets": [0, 10**9]}, None),
        ({"dtype": "F32", "shape": [10**9], "data_offsets": [0, 768]}, None),
        ({"dtype": "F32", "shape": [1 << 62, 8], "data_offsets": [0, 768]}, None),
        ({"dtype": "F32", "shape": [-1], "data_offsets": [0, 768]}, None),
        ({"dtype": "F32", "shape": [192], "data_offsets": [768, 0]}, None),
        ({"dtype": "F33", "shape": [192], "data_offsets": [0, 768]}, None),
        ({"dtype": "F4", "shape": [1536], "data_offsets": [0, 768]}, None),
        ({"dtype": "F32", "shape": [192], "data_offsets": [0, 768]}, 0),
        ({"dtype": "F32", "shape": [192], "data_offsets": [0, 768]}, 20),
        ({"dtype": "F32", "shape": [192], "data_offsets": [0, 768]}, (1 << 64) - 1),
        ([], None),
    ],
    ids=range(11),
)
def test_hostile_safetensors_whose_header_lies_is_refused(entry, size, tmp_path):
    header = json.dumps({"cls_token": entry}).encode()
    start = struct.pack("<Q", len(header) if size is None else size)
    (tmp_path / "w.safetensors").write_bytes(start + header + bytes(768))
    refusal(tmp_path / "w.safetensors")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_hostile_mangled_checkpoints_are_refused(suffix, tmp_path):
    """Of a small file, so that every mangling leaves something wrong."""
    state = {"cls_token": torch.arange(192.0).reshape(1, 1, 192)}
    path, buffer = tmp_path / f"w{suffix}", io.BytesIO()
    torch.save(state, buffer)
    whole = save(state) if suffix == ".safetensors" else buffer.getvalue()
    for seed in range(40):
        rng = random.Random(seed)
        path.write_bytes(rng.choice(BYTES)(whole, rng))
        refusal(path)


# Quantized models


@pytest.fixture
def load_changed(tmp_path):
    """Load digits, quantized, with some tensors replaced; None: gone."""

    def load(**tensors):
        model = quantized_digits("BitLog2_Half_17")
        spec, path = QuantizationSpec(), tmp_path / "q.safetensors"
        kept = {**model.state_dict(), **tensors}
        kept = {name: tensor for name, tensor in kept.items() if tensor is not None}
        save_quantized(path, QuantizedModel(Tensors(kept), "digits", 10, spec, 0))
        return load_quantized(path)

    return load


class Tensors:
    """What `save_quantized` takes for a model."""

    def __init__(self, tensors) -> None:
        self.state_dict = lambda: tensors


A, F = "blocks.0.attn.", "blocks.0.mlp.fc1."
SCALAR = torch.tensor


@pytest.mark.parametrize(
    ("name", "tensor", "told"),
    [
        (f"{A}delta", None, f"missing: {A}delta"),
        ("more", torch.zeros(1), "unexpected: more"),
        (f"{A}delta", torch.zeros(2).double(), f"wrong shape: {A}delta (2,) for ()"),
        (f"{A}delta", SCALAR(327.0), f"wrong type: {A}delta float32 for float64"),
        (f"{A}delta", SCALAR(0.0).double(), f"{A}delta not positive"),
        (f"{A}q_quantizer.delta", SCALAR(NAN), f"not finite: {A}q_quantizer.delta (1 of 1"),
        (f"{A}q_quantizer.delta", SCALAR(-0.5), f"{A}q_quantizer.delta not positive"),
        (f"{A}q_quantizer.delta", SCALAR(1e30), "score scale must be below"),
        (f"{A}q_quantizer.delta", torch.zeros(0), "wrong shape"),
        (f"{A}q_quantizer.zero_point", SCALAR(16.0), f"{A}q_quantizer.zero_point not from 0 to 15"),
        (f"{A}q_quantizer.zero_point", SCALAR(7.5), "zero_point not from 0 to 15"),
        (f"{F}weight_codes", torch.zeros(384, 95, dtype=torch.int16), "wrong shape"),
        (f"{F}weight_codes", torch.zeros(384, 96), f"{F}weight_codes float32 for int16"),
        (f"{F}weight_codes", torch.full((384, 96), -(1 << 15), dtype=torch.int16), "-15 to 15"),
        (f"{F}weight_quantizer.delta", torch.ones(384), "(384,) for (384, 1)"),
        (f"{F}reparam_r", torch.ones(95), f"{F}reparam_r (95,) for (96,)"),
    ],
    ids=range(16),
)
def test_hostile_quantized_models_are_refused_with_the_list(name, tensor, told, load_changed):
    with pytest.raises(ValueError, match=r"quantized model /.* must hold the tensors of") as caught:
        load_changed(**{name: tensor})
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_hostile_quantized_model_itself_loads(load_changed):
    assert load_changed().name == "digits"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("classes", "11"),
        ("classes", "1_0"),
        ("classes", " 10"),
        ("classes", "-1"),
        ("classes", "9" * 5000),
        ("classes", "ten"),
        ("seed", ""),
        ("seed", "1e3"),
        ("seed", "99999999999999999999"),
        ("quantization", "[" * 100_000),
        ("quantization", "{"),
        ("quantization", "[]"),
        ("quantization", '{"colour": 3}'),
        ("quantization", '{"scheme": "Half"}'),
        ("quantization", '{"scheme": {}}'),
        ("quantization", json.dumps({"scheme": "x" * 10**5})),
        ("model", "x" * 10**5),
    ],
    ids=range(17),
)
def test_hostile_quantized_model_with_other_metadata_is_refused(name, value, tmp_path):
    good = {"format": "bitlog2-quantized-3", "model": "digits", "classes": "10", "seed": "0"}
    content = save({"x": torch.zeros(1)}, {**good, "quantization": "{}", name: value})
    (tmp_path / "q.safetensors").write_bytes(content)
    told = "must be" if name == "model" else "[^ ]* must say how it was made"
    with pytest.raises(ValueError, match=rf"^quantized model {told}[^\n]{{1,900}}$"):
        load_quantized(tmp_path / "q.safetensors")


# Weights from the hub


def cache(folder: Path, name: str, file: str, content) -> None:
    """Put a file where the hub's client keeps it."""
    repository = folder / f"models--timm--{ZOO[name].timm_name}"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    write(snapshot / file, content)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Its cache, empty, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_zoo_cached_weights_of_the_hub_need_no_network(file, hub):
    cache(hub, "deit_tiny", file, weights("deit_tiny"))
    assert_loads("deit_tiny", None, weights("deit_tiny"))


def test_zoo_without_a_cache_offline_says_what_to_do(hub):
    page = "https://huggingface.co/timm/swin_small_patch4_window7_224.ms_in1k"
    with pytest.raises(OSError, match="weights of swin_small can't be had") as caught:
        load_zoo_model("swin_small")
    for text in ("give --checkpoint FILE", page, "or set HF_HUB_CACHE to a cache that has it"):
        assert text in str(caught.value)


def test_zoo_a_hub_that_refuses_is_asked_once(hub, monkeypatch, caplog):
    """Its client would try six times for each of two files, 46 seconds in all."""
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, CLOSED)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", CLOSED)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(logging.getLogger("huggingface_hub"), "propagate", True)
    with pytest.raises(OSError, match="weights of vit_small can't be had"):
        load_zoo_model("vit_small")
    assert "Retrying" not in caplog.text


#: Nothing listens there.
CLOSED = "http://127.0.0.1:9"
