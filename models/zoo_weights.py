"""Weights of the pretrained models: found, read and fitted, every tensor accounted for."""

import argparse
import pickle
import re
import zipfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import (
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import clean_state_dict
from timm.models.swin_transformer import SwinTransformer
from timm.models.swin_transformer import checkpoint_filter_fn as swin_names
from torch import Tensor, nn

from .naming import listed, shown
from .state_dicts import Wanted, differences, kind

__all__ = ["fit_weights", "head_classes", "hub_file", "read_weights"]

_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_HUB_SECONDS = 10
_PICKLES = (".pth", ".pt", ".bin", ".pth.tar")
_WRAPPERS = ("model", "state_dict", "model_state")
_HEAD_BIASES = ("head.fc.bias", "head.bias")
_CLASSES = 1000
#: More than any classifier has: a file can't ask for a head that fills the memory.
_MOST_CLASSES = 100_000
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_OLD_SWIN = re.compile(
    r"layers\.\d\.downsample\.(norm|reduction)\.(weight|bias)|head\.(weight|bias)"
)


def hub_file(name: str, timm_name: str) -> Path:
    """Return the file of a model's weights in the hub's cache, downloaded if it is not there.

    A cached file needs no network. Otherwise the hub is asked once, for ten seconds at most,
    before the download begins: its client would retry for minutes.

    Raises:
        OSError: the hub can't be reached or doesn't serve the file.
    """
    repository = f"timm/{timm_name}"
    for file in _HUB_FILES:
        cached = try_to_load_from_cache(repository, file)
        if isinstance(cached, str):
            return Path(cached)
    try:
        get_hf_file_metadata(hf_hub_url(repository, _HUB_FILES[0]), timeout=_HUB_SECONDS)
        return Path(hf_hub_download(repository, _HUB_FILES[0]))
    except Exception as error:  # of an HTTP library that differs from version to version
        raise OSError(
            f"weights of {name} can't be had from the Hugging Face hub ({_first_line(error)}): "
            f"give --checkpoint FILE, the {_HUB_FILES[0]} of https://huggingface.co/{repository}, "
            "or set HF_HUB_CACHE to a cache that has it"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name, on the CPU, no code of the file being run.

    A state dict, bare or under the first of `model`, `state_dict` and `model_state` that holds a
    dictionary, one level deep; whatever lies beside it is not looked at. The prefixes `module.`
    and `_orig_mod.`, which parallel training and compilation add, are taken off. Tensors are
    float32, float16, bfloat16 or float64; whether they are finite is `fit_weights`' to say.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a file, or tensors of another type: names them.
    """
    if not path.exists():
        raise FileNotFoundError(f"checkpoint must be a file that exists, got {path}")
    if not path.is_file():
        what = "folder" if path.is_dir() else "device"
        raise ValueError(f"checkpoint must be a regular file, got the {what} {path}")
    if path.stat().st_size == 0:
        raise ValueError(f"checkpoint must hold weights, got the empty file {path}")
    if path.name.lower().endswith(".safetensors"):
        stored: Any = _read_safetensors(path)
    elif path.name.lower().endswith(_PICKLES):
        stored = _read_pickle(path)
    else:
        raise ValueError(
            f"checkpoint must end in .safetensors, {', '.join(_PICKLES[:-1])} or {_PICKLES[-1]}, "
            f"got {path}"
        )
    weights = _state_dict(stored, path)
    others = [
        f"{shown(name)} {kind(tensor)}"
        for name, tensor in weights.items()
        if not _is_dense_float(tensor)
    ]
    if others:
        raise ValueError(
            "checkpoint must hold float32, float16, bfloat16 or float64 tensors, "
            f"got {path} with {listed(others)}"
        )
    return weights


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, AttributeError) as error:  # a type that this torch does not know
        raise ValueError(
            f"checkpoint must be a safetensors file, got {path}: {_first_line(error)}"
        ) from error
    return tensors


def _read_pickle(path: Path) -> Any:
    if not _is_stored_plainly(path):
        raise ValueError(
            f"checkpoint must be a file that torch.save wrote, got {path}: compressed, or parts of "
            "it overlap"
        )
    with path.open("rb") as file, _namespaces_allowed():
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file leads anywhere
            asked = re.search(r"GLOBAL (\S+)", str(error))
            if isinstance(error, pickle.UnpicklingError) and asked is not None:
                raise ValueError(
                    f"checkpoint must hold tensors only, got {path}, which asks for "
                    f"{shown(asked[1])}: "
                    "nothing of it was run"
                ) from error
            raise ValueError(
                f"checkpoint must be a file that torch.save wrote, got {path}: damaged or foreign"
            ) from error


def _is_stored_plainly(path: Path) -> bool:
    """Whether a zip holds no more than its size; torch.save compresses nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return True  # the format before torch 1.6, or damaged
    return sum(part.file_size for part in parts) <= path.stat().st_size


def _namespaces_allowed() -> AbstractContextManager[None]:
    """Let the options pass that training scripts store beside the weights; torch 2.5 on."""
    allow = getattr(torch.serialization, "safe_globals", None)
    return nullcontext() if allow is None else allow([argparse.Namespace])


def _state_dict(stored: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(stored, dict):
        wrappers = (key for key in _WRAPPERS if isinstance(stored.get(key), dict))
        stored = stored.get(next(wrappers, None), stored)
    if not isinstance(stored, dict) or not stored:
        raise ValueError(f"checkpoint must hold tensors by name, got {path} with none")
    for name, value in stored.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(
                f"checkpoint must hold tensors by name, alone or under {', '.join(_WRAPPERS)}, "
                f"got {path} with {type(value).__name__} at {shown(repr(name))}"
            )
    weights: dict[str, Tensor] = clean_state_dict(stored)
    if len(weights) != len(stored):
        raise ValueError(f"checkpoint must hold each tensor once, got {path}")
    return {name: tensor for name, tensor in weights.items() if not _is_swin_buffer(name)}


def _is_swin_buffer(name: str) -> bool:
    """Tables that the architecture fixes; old Swin files store them, as integers."""
    return name.endswith((".relative_position_index", ".attn_mask"))


def _is_dense_float(tensor: Tensor) -> bool:
    dense = tensor.layout is torch.strided and tensor.device.type == "cpu"
    return dense and tensor.dtype in _FLOATS


def head_classes(weights: dict[str, Tensor]) -> int:
    """Return the number of classes: the length of the head's bias, 1000 where there is none.

    Of more than 100,000 it is 1000 too, so that `fit_weights` refuses the head.
    """
    for name in _HEAD_BIASES:
        bias = weights.get(name)
        if bias is not None and bias.ndim == 1 and 1 <= bias.numel() <= _MOST_CLASSES:
            return bias.numel()
    return _CLASSES


def fit_weights(model: nn.Module, weights: dict[str, Tensor], name: str, path: Path) -> None:
    """Load weights into a model: all of its names, no others, its shapes, finite as float32.

    Files of the original Swin repository are brought to timm's names. Nothing is resized and
    nothing is dropped. Half precision becomes float32 without loss, float64 is rounded.

    Args:
        model: architecture, float32.
        weights: as `read_weights` returns them.
        name, path: of the model and the file, for the message.

    Raises:
        ValueError: names what is missing, unexpected, of a wrong shape or not finite, the first
            ten of each and how many.
    """
    if isinstance(model, SwinTransformer):
        weights = _with_timm_names(model, weights)
    wanted = model.state_dict()
    found, expected = _size(weights), _size(wanted)
    if found is not None and found != expected:
        raise ValueError(
            f"checkpoint must hold the weights of {name} ({expected}), got {path} ({found})"
        )
    shapes = {key: Wanted(tuple(tensor.shape)) for key, tensor in wanted.items()}
    if faults := differences(shapes, weights):
        raise ValueError(f"checkpoint must hold the weights of {name}, got {path} with {faults}")
    model.load_state_dict(weights)


def _with_timm_names(model: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename old Swin tensors. timm's conversion sees these alone: it would resize others."""
    named = {key for key in weights if _OLD_SWIN.fullmatch(key)}
    kept = {key: tensor for key, tensor in weights.items() if key not in named}
    return {**kept, **swin_names({key: weights[key] for key in weights if key in named}, model)}


def _size(weights: dict[str, Tensor]) -> str | None:
    """Tell width and depth, None where this is not a transformer of these families."""
    patches = weights.get("patch_embed.proj.weight")
    blocks = {key.split(".attn.")[0] for key in weights if ".attn." in key}
    if patches is None or patches.ndim == 0 or not blocks:
        return None
    return f"width {patches.shape[0]}, {len(blocks)} blocks"
