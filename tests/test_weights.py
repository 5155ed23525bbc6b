"""The pretrained models: names, preprocessing, and weights that are read tensor by tensor."""

import argparse
import datetime
import json
import logging
import re
import shutil
import sys
import types
import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from huggingface_hub import constants
from PIL import Image
from support.quick import one_in
from support.weights import MODELS, assert_loads, weights, write
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torchvision import transforms

from bitlog2.models.zoo.architectures import (
    build_zoo_model,
    load_zoo_model,
    published,
    transform,
)
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
        assert timm.get_pretrained_cfg(model.timm_name).hf_hub_id == f"timm/{model.timm_name}"


def test_zoo_an_unknown_model_names_the_legal_ones():
    with pytest.raises(ValueError, match=r"model must be one of vit_small, .*, got 'resnet50'"):
        load_zoo_model("resnet50")


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


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
    ("name", "depths"), one_in(2, [("swin_tiny", (2, 2, 6, 2)), ("swin_small", (2, 2, 18, 2))])
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
