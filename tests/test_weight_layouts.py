"""Weights as other libraries and training scripts store them: read tensor by tensor."""

import argparse
import datetime
import enum
import json
import re
import sys
import types
import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer

from bitlog2.models.zoo.weights import read_weights
from bitlog2.scripts.cli import main


def filled(model):
    """Give a model numbers that are all different, so that no tensor passes for another."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


@lru_cache(maxsize=1)
def vit():
    size = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
    return filled(VisionTransformer(**size, mlp_ratio=2, num_classes=5))


@lru_cache(maxsize=1)
def swin():
    size = {"img_size": 32, "patch_size": 4, "embed_dim": 24, "depths": (2, 2), "window_size": 4}
    return filled(SwinTransformer(**size, num_heads=(2, 3), num_classes=5))


def assert_read(path: Path, expected, **options):
    found = read_weights(path, **options)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def saved(path: Path, content) -> Path:
    if path.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in content.items()}, path)
    else:
        torch.save(content, path)
    return path


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
    assert_read(saved(tmp_path / "model.safetensors", names), vit().state_dict())


def test_weights_of_transformers_swin_are_read(tmp_path):
    names = transformers_swin()
    assert "swin.encoder.layers.0.blocks.1.attention.self.key.bias" in names
    names["swin.encoder.layers.0.blocks.0.attention.self.relative_position_index"] = torch.zeros(1)
    assert_read(saved(tmp_path / "pytorch_model.bin", names), swin().state_dict())


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
    found = read_weights(saved(tmp_path / "w.pth", names))
    assert [name for name in found if name.endswith(unexpected)] != []
    assert len(found) >= len(vit().state_dict())


def test_weights_of_torchvision_vit_give_its_logits(tmp_path):
    theirs = filled(torchvision.models.VisionTransformer(32, 8, 2, 2, 32, 64, num_classes=5))
    path = saved(tmp_path / "vit_b_16.pth", theirs.state_dict())
    ours = VisionTransformer(
        img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2, mlp_ratio=2, num_classes=5
    ).eval()
    ours.load_state_dict(read_weights(path))
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(ours(images), theirs(images), atol=1e-5)


def test_weights_of_torchvision_vit_under_its_older_names_are_read(tmp_path):
    theirs = filled(torchvision.models.VisionTransformer(32, 8, 2, 2, 32, 64, num_classes=5))
    older = renamed(theirs.state_dict(), (r"mlp\.0", "mlp.linear_1"), (r"mlp\.3", "mlp.linear_2"))
    expected = read_weights(saved(tmp_path / "new.pth", theirs.state_dict()))
    assert_read(saved(tmp_path / "old.pth", older), expected)


def test_weights_of_torchvision_swin_give_its_logits(tmp_path):
    theirs = torchvision.models.SwinTransformer([4, 4], 24, [2, 2], [2, 3], [4, 4], num_classes=5)
    path = saved(tmp_path / "swin_t.pth", filled(theirs).state_dict())
    ours = SwinTransformer(
        img_size=32,
        patch_size=4,
        embed_dim=24,
        depths=(2, 2),
        num_heads=(2, 3),
        window_size=4,
        num_classes=5,
    ).eval()
    ours.load_state_dict(read_weights(path))
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(ours(images), theirs(images), atol=1e-5)


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
    model = VisionTransformer(
        img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2, mlp_ratio=2, num_classes=5
    )
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
        saved(folder / part, content)
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
    assert_read(saved(tmp_path / "w.pth", content), state())


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module.model."])
def test_weights_lose_the_prefix_of_a_wrapper(prefix, tmp_path):
    content = {"state_dict": {f"{prefix}{name}": tensor for name, tensor in state().items()}}
    assert_read(saved(tmp_path / "w.ckpt", content), state())


AVERAGED = {name: tensor + 1 for name, tensor in state().items()}


@pytest.mark.parametrize("key", ["model_ema", "state_dict_ema"])
def test_averaged_weights_beside_others_are_taken_when_asked(key, tmp_path):
    path = saved(tmp_path / "w.pth", {"state_dict": state(), key: AVERAGED})
    with pytest.warns(UserWarning, match=f"state_dict was taken, beside {key}: --ema takes that"):
        assert_read(path, state())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_read(path, AVERAGED, ema=True)


@pytest.mark.parametrize("key", ["model_ema", "state_dict_ema"])
def test_averaged_weights_alone_are_taken_and_named(key, tmp_path):
    averaged = {"n_averaged": torch.tensor(7), **{f"module.{n}": t for n, t in AVERAGED.items()}}
    path = saved(tmp_path / "w.pth", {key: averaged, "epoch": 3})
    with pytest.warns(UserWarning, match=f"{key} was taken: averaged weights"):
        assert_read(path, AVERAGED)


def test_averaged_weights_that_are_not_there_are_refused(tmp_path):
    path = saved(tmp_path / "w.pth", {"model": state()})
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


class Calls:
    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (Calls(eval, "1/0"), "eval"),
        (Calls(getattr, "a", "upper"), "getattr"),
        (Calls(__import__, "antigravity"), "__import__"),
        (Level.LOW, "Level"),
    ],
    ids=["eval", "getattr", "import", "enum"],
)
def test_weights_beside_a_call_are_refused_and_nothing_is_run(call, told, tmp_path):
    path = saved(tmp_path / "w.pth", {"model": state(), "x": call})
    with pytest.raises(ValueError, match=f"which asks for .*{told}: nothing of it was run"):
        read_weights(path)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: {"model": model}])
def test_a_whole_model_is_refused_by_name(wrap, tmp_path):
    path = saved(tmp_path / "w.pth", wrap(torch.nn.Sequential(torch.nn.Linear(2, 2))))
    told = r"with the whole torch\.nn\.modules\.container\.Sequential: save its state_dict\(\)"
    with pytest.raises(ValueError, match=told):
        read_weights(path)


@pytest.mark.parametrize("command", [["evaluate"], ["export", "--out", "x"], ["golden", "emit"]])
def test_averaged_weights_are_an_option_of_each_command(command, capsys):
    """Without a checkpoint there are none to take."""
    model = ["deit_tiny"] if command[0] == "export" else ["--model", "deit_tiny"]
    more = ["--source", "model", "--out", "x"] if command[-1] == "emit" else []
    argv = [*command, *model, *more, "--data", ".", "--ema"]
    assert main(argv) == 2
    assert capsys.readouterr().err == "bitlog2: error: ema must go with a checkpoint\n"


def test_averaged_weights_of_a_grid_are_refused(capsys):
    assert main(["evaluate", "--run", "x", "--model", "deit_tiny", "--ema"]) == 2
    assert "--ema must be left out with --run" in capsys.readouterr().err
