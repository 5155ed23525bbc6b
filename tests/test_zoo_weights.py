"""Weights that do not fit, files that are none, and the hub out of reach."""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from zoo_files import assert_loads, weights, write

from bitlog2.models.zoo.architectures import ZOO, load_zoo_model


@pytest.fixture
def folder(tmp_path):
    """A folder for large files, removed at once."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def refuse(name: str, path: Path, *told: str):
    """Loading must fail with one line that names the file and all of `told`."""
    with pytest.raises(ValueError, match="checkpoint must") as caught:
        load_zoo_model(name, path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    for text in told:
        assert text in message


def test_zoo_an_unknown_model_names_the_legal_ones():
    with pytest.raises(ValueError, match=r"model must be one of vit_small, .*, got 'resnet50'"):
        load_zoo_model("resnet50")


def test_zoo_weights_of_another_width_are_refused(folder):
    path = write(folder / "deit_tiny.pth", weights("deit_tiny"))
    refuse("deit_small", path, "deit_small (width 384, 12 blocks)", "(width 192, 12 blocks)")


def test_zoo_weights_of_another_depth_are_refused(folder):
    path = write(folder / "swin_tiny.safetensors", weights("swin_tiny"))
    refuse("swin_small", path, "swin_small (width 96, 24 blocks)", "(width 96, 12 blocks)")


def test_zoo_missing_weights_are_named(folder):
    state = dict(weights("deit_tiny"))
    for block in range(5):
        del state[f"blocks.{block}.norm1.bias"]
    told = "missing: " + ", ".join(f"blocks.{block}.norm1.bias" for block in range(5))
    refuse("deit_tiny", write(folder / "m.pth", state), told)


def test_zoo_a_model_without_a_head_is_refused(folder):
    state = {key: value for key, value in weights("swin_tiny").items() if "head" not in key}
    refuse("swin_tiny", write(folder / "m.pth", state), "missing: head.fc.weight, head.fc.bias")


def test_zoo_unexpected_weights_are_named(folder):
    state = {**weights("deit_tiny"), "dist_token": torch.zeros(1, 1, 192)}
    refuse("deit_tiny", write(folder / "u.safetensors", state), "unexpected: dist_token")


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
    told = f"wrong shape: {key} {shape} for {wanted}"
    refuse(name, write(folder / "s.safetensors", state), told)


@pytest.mark.parametrize(
    "value", [torch.tensor([float("nan")]), torch.tensor([1]), torch.zeros(())]
)
def test_zoo_weights_that_are_no_finite_numbers_or_no_weights_are_refused(value, folder):
    refuse("deit_tiny", write(folder / "n.pth", {"cls_token": value}))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (torch.zeros(3), "tensors by name"),
        ({}, "tensors by name"),
        ({"epoch": 3}, "int at 'epoch'"),
        ({"model": {"a": None}}, "NoneType at 'a'"),
        ({5: torch.zeros(1)}, "Tensor at 5"),
    ],
)
def test_zoo_a_file_without_named_tensors_is_refused(content, told, tmp_path):
    refuse("deit_tiny", write(tmp_path / "c.pth", content), told)


class Code:
    """Leaves a file behind if a reader runs it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("kind", ["torch", "pickle"])
def test_zoo_code_in_a_pickle_is_refused_and_not_run(kind, tmp_path):
    path, mark = tmp_path / "code.pth", tmp_path / "mark"
    if kind == "torch":
        write(path, {"model": {"cls_token": torch.zeros(1)}, "x": Code(mark)})
    else:
        path.write_bytes(pickle.dumps(Code(mark), protocol=2))
    refuse("deit_tiny", path, "system", "nothing of it was run")
    assert not mark.exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".bin"])
@pytest.mark.parametrize("content", [b"<html>404</html>", bytes(range(256)) * 4])
def test_zoo_a_file_of_another_format_is_refused(suffix, content, tmp_path):
    path = tmp_path / f"page{suffix}"
    path.write_bytes(content)
    refuse("deit_tiny", path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_zoo_a_truncated_file_is_refused(suffix, tmp_path):
    path = write(tmp_path / f"cut{suffix}", {"cls_token": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:-300])
    refuse("deit_tiny", path)


def test_zoo_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "empty.pth"
    path.touch()
    refuse("deit_tiny", path, "got the empty file")


def test_zoo_a_folder_is_refused(tmp_path):
    refuse("deit_tiny", tmp_path, "got the folder")


def test_zoo_another_suffix_is_refused(tmp_path):
    path = tmp_path / "weights.h5"
    path.write_bytes(b"1")
    refuse(
        "deit_tiny",
        path,
        "must end in .safetensors, .pth, .pt, .bin, .ckpt, .pth.tar, .npz or .index.json",
    )


def test_zoo_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"checkpoint must be a file that exists.*no\.pth"):
        load_zoo_model("deit_tiny", tmp_path / "no.pth")


# Weights from the hub


def cache(folder: Path, name: str, file: str, content) -> None:
    """Put a file where the hub's client keeps it."""
    repository = folder / f"models--timm--{ZOO[name].timm_name}"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    write(snapshot / file, content)


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_zoo_cached_weights_of_the_hub_need_no_network(file, folder, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    cache(folder, "deit_tiny", file, weights("deit_tiny"))
    assert_loads("deit_tiny", None, weights("deit_tiny"))


def test_zoo_without_a_cache_offline_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    page = "https://huggingface.co/timm/swin_small_patch4_window7_224.ms_in1k"
    with pytest.raises(OSError, match="weights of swin_small can't be had") as caught:
        load_zoo_model("swin_small")
    for text in ("give --checkpoint FILE", page, "or set HF_HUB_CACHE to a cache that has it"):
        assert text in str(caught.value)


def test_zoo_a_hub_that_refuses_is_asked_once(tmp_path):
    """Its client would try six times for each of two files, 46 seconds in all."""
    program = (
        "from bitlog2.models.zoo.architectures import load_zoo_model\n"
        "try:\n    load_zoo_model('vit_small')\n"
        "except OSError as error:\n    print(error)\n"
    )
    closed = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **closed, "HF_HUB_OFFLINE": "0"},
        capture_output=True,
        text=True,
        check=True,
        timeout=200,
    )
    assert "weights of vit_small can't be had" in done.stdout
    assert "Retrying" not in done.stderr
