"""Files of weights that are refused in one line, with the file and what is wrong with it."""

import enum
import io
import json
import os
import pickle
import random
import re
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save
from support.imagenet_folder import make_imagenet
from support.weights import weights, write
from test_hostile_fuzz import BYTES
from test_weights import flax, in_parts, state

from bitlog2.models.zoo.architectures import load_zoo_model
from bitlog2.models.zoo.weights import read_weights
from bitlog2.scripts.cli import main


def refusal(path: Path, name: str = "deit_tiny") -> str:
    """Return the error of a checkpoint, which must be one line."""
    with pytest.raises(ValueError, match=r"^checkpoint must [^\n]+$") as caught:
        load_zoo_model(name, path)
    message = str(caught.value)
    assert str(path) in message
    assert len(message) < 3000
    return message


def changed(change, name: str = "deit_tiny"):
    """Weights of a model with some others in their place, by name; None: gone."""
    found = {**weights(name, 3), **change}
    return {key: tensor for key, tensor in found.items() if tensor is not None}


def poked(value: float) -> torch.Tensor:
    tensor = torch.zeros(1, 1, 192, dtype=torch.float64)
    tensor[0, 0, 5:8] = value
    return tensor


#: 12 tensors, all gone.
BLOCKS = {f"blocks.{n}.norm1.bias": None for n in range(12)}
NAN, INF = float("nan"), float("inf")
HEADS = {"head.fc.weight": None, "head.fc.bias": None}
TABLE = "layers.0.blocks.0.attn.relative_position_bias_table"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (BLOCKS, "missing: blocks.0.norm1.bias, "),
        (BLOCKS, "blocks.9.norm1.bias and 2 more, 12 in all"),
        ({f"extra.{n}": torch.zeros(1) for n in range(30)}, "extra.9 and 20 more, 30 in all"),
        ({"cls_token": torch.zeros(1, 192)}, "wrong shape: cls_token (1, 192) for (1, 1, 192)"),
        ({"pos_embed": torch.zeros(1, 577, 192)}, "pos_embed (1, 577, 192) for (1, 197, 192)"),
        (
            {"patch_embed.proj.weight": torch.zeros(192, 3, 32, 32)},
            "wrong shape: patch_embed.proj.weight (192, 3, 32, 32) for (192, 3, 16, 16)",
        ),
        ({"head.weight": torch.zeros(3, 191)}, "wrong shape: head.weight (3, 191) for (3, 192)"),
        ({"head.bias": torch.zeros(100_001)}, "head.bias (100001,) for (1000,)"),
        ({"pos_embed": torch.zeros(1).expand(10**12)}, "pos_embed (1000000000000,) for"),
        ({"cls_token": poked(NAN)}, "not finite: cls_token (3 of 192 values)"),
        ({"cls_token": poked(-INF)}, "not finite: cls_token (3 of 192 values)"),
        ({"cls_token": poked(1e300)}, "not finite: cls_token (3 of 192 values)"),
        ({"cls_token": torch.zeros(1, 1, 192, dtype=torch.int64)}, "cls_token int64"),
        ({"cls_token": torch.zeros(1, 1, 192, dtype=torch.bool)}, "cls_token bool"),
        ({"cls_token": torch.zeros(1, 1, 192).to(torch.float8_e5m2)}, "cls_token float8_e5m2"),
        ({"cls_token": torch.zeros(1, 1, 192, dtype=torch.complex64)}, "cls_token complex64"),
        ({"cls_token": torch.zeros(1, 1, 192, device="meta")}, "cls_token meta"),
        ({"cls_token": torch.eye(192).to_sparse()}, "cls_token sparse_coo"),
        ({"x\n\x1b[31m\udcff": torch.zeros(1)}, r"unexpected: x\n\x1b[31m\udcff"),
        ({"x" * 10**5: torch.zeros(1)}, "unexpected: " + "x" * 100 + "..."),
    ],
    ids=range(20),
)
@pytest.mark.filterwarnings("ignore::UserWarning:torch")
def test_weights_with_other_tensors_are_refused_with_the_list(change, message, tmp_path):
    assert message in refusal(write(tmp_path / "w.pth", changed(change)))


@pytest.mark.parametrize(
    ("name", "other", "change", "message"),
    [
        ("swin_tiny", "swin_tiny", HEADS, "missing: head.fc.weight, head.fc.bias"),
        ("swin_tiny", "swin_tiny", {TABLE: torch.zeros(529, 3)}, f"{TABLE} (529, 3) for (169, 3)"),
        ("deit_small", "deit_tiny", {}, "deit_small (width 384, 12 blocks), got"),
        ("deit_small", "deit_tiny", {}, "(width 192, 12 blocks)"),
        ("swin_small", "swin_tiny", {}, "swin_small (width 96, 24 blocks), got"),
        ("swin_small", "swin_tiny", {}, "(width 96, 12 blocks)"),
    ],
    ids=range(6),
)
def test_weights_of_another_model_are_refused(name, other, change, message, tmp_path):
    assert message in refusal(write(tmp_path / "w.pth", changed(change, other)), name)


def test_weights_with_several_faults_name_them_all(tmp_path):
    change = {"norm.bias": None, "x": torch.zeros(2), "cls_token": poked(NAN)}
    path = tmp_path / "w.safetensors"
    path.write_bytes(save(changed({**change, "pos_embed": torch.zeros(3)})))
    found = re.findall(r"(missing|unexpected|wrong shape|not finite): ", refusal(path))
    assert found == ["missing", "unexpected", "wrong shape", "not finite"]


def test_weights_are_refused_by_the_command_in_the_same_line(tmp_path, capsys):
    path, images = write(tmp_path / "w.pth", changed(BLOCKS)), tmp_path / "data"
    make_imagenet(images, 3, 1, 1, seed=0)
    argv = ["evaluate", "--model", "deit_tiny", "--checkpoint", str(path)]
    assert main([*argv, "--data", str(images), "--workers", "0"]) == 2
    assert capsys.readouterr().err == f"bitlog2: error: {refusal(path)}\n"


LAYER = torch.nn.Sequential(torch.nn.Linear(2, 2))
WHOLE = "with the whole torch.nn.modules.container.Sequential: save its state_dict()"


@pytest.mark.parametrize(
    ("content", "message"),
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
        (LAYER, WHOLE),
        ({"model": LAYER}, WHOLE),
    ],
    ids=range(14),
)
def test_weights_without_named_tensors_are_refused(content, message, tmp_path):
    assert message in refusal(write(tmp_path / "w.pth", content))


# Files that are something else


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".bin"])
@pytest.mark.parametrize("content", [b"<html>404</html>", bytes(range(256)) * 4])
def test_weights_of_another_format_are_refused(suffix, content, tmp_path):
    path = tmp_path / f"page{suffix}"
    path.write_bytes(content)
    refusal(path)


def test_weights_that_are_no_file_are_refused(tmp_path):
    (tmp_path / "empty.pth").touch()
    assert "got the empty file" in refusal(tmp_path / "empty.pth")
    assert "got the folder" in refusal(tmp_path)
    (tmp_path / "weights.h5").write_bytes(b"1")
    suffixes = ".safetensors, .pth, .pt, .bin, .ckpt, .pth.tar, .npz or .index.json"
    assert f"must end in {suffixes}" in refusal(tmp_path / "weights.h5")
    with pytest.raises(FileNotFoundError, match=r"checkpoint must be a file that exists.*no\.pth"):
        load_zoo_model("deit_tiny", tmp_path / "no.pth")


@pytest.mark.parametrize(
    "write_npz",
    [
        lambda path: np.savez_compressed(path, **flax()),
        lambda path: np.savez(path, cls=np.array([{}], dtype=object)),
        lambda path: np.savez(path, cls=np.array(["a"])),
        lambda path: path.write_bytes(b"PK\x03\x04 no archive"),
    ],
    ids=["compressed", "object", "text", "damaged"],
)
def test_weights_of_another_npz_are_refused(write_npz, tmp_path):
    write_npz(tmp_path / "w.npz")
    assert "must be a file that numpy.savez wrote" in refusal(tmp_path / "w.npz")


@pytest.mark.parametrize(
    "place",
    ["../model-00001-of-00002.bin", "model-00001-of-00002.bin", "model.bin.index.json", 3],
)
def test_weights_in_parts_that_are_not_as_the_index_has_them_are_refused(place, tmp_path):
    index = in_parts(tmp_path, ".bin", cls_token=place)
    with pytest.raises(ValueError, match=r"checkpoint (index|part) .*must hold"):
        read_weights(index)


def test_weights_of_which_a_part_is_missing_are_refused(tmp_path):
    index = in_parts(tmp_path, ".safetensors")
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model-00002-of-00002\.safetensors"):
        read_weights(index)


def test_weights_that_are_not_averaged_are_refused_as_such(tmp_path):
    path = write(tmp_path / "w.pth", {"model": state()})
    with pytest.raises(ValueError, match=r"ema must be left out for .*w\.pth, which has none of"):
        read_weights(path, ema=True)


# Files that attack their reader


class Level(enum.Enum):
    LOW = 1


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
