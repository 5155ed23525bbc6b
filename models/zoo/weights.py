"""Weights of the pretrained models: found, read and fitted, every tensor accounted for."""

import json
import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from bitlog2.names import MOST_CLASSES

from ..naming import listed, shown


class Wanted(NamedTuple):
    """Shape and type that a tensor must have.

    Attributes:
        shape: its shape.
        dtype: its type; None for any that converts to the model's.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype | None = None


def differences(wanted: Mapping[str, Wanted], found: Mapping[str, Tensor]) -> str:
    """Return how tensors differ from the wanted ones, "" where they don't.

    Numbers are looked at only where name, shape and type are right, and as float32: so a file with
    wrong sizes costs no more than the model.
    """
    known = {key: tensor for key, tensor in found.items() if key in wanted}
    shaped = {key: tensor for key, tensor in known.items() if tensor.shape == wanted[key].shape}
    typed = {k: t for k, t in shaped.items() if wanted[k].dtype in (None, t.dtype)}
    kinds: dict[str, Iterable[str]] = {
        "missing": (shown(key) for key in wanted if key not in found),
        "unexpected": (shown(key) for key in found if key not in wanted),
        "wrong shape": (
            f"{key} {tuple(tensor.shape)} for {wanted[key].shape}"
            for key, tensor in known.items()
            if key not in shaped
        ),
        "wrong type": (
            f"{key} {kind(tensor)} for {str(wanted[key].dtype).removeprefix('torch.')}"
            for key, tensor in shaped.items()
            if key not in typed
        ),
        "not finite": (
            f"{key} ({count} of {tensor.numel()} values)"
            for key, tensor in typed.items()
            if (count := _not_finite(tensor))
        ),
    }
    found_kinds = ((name, list(faults)) for name, faults in kinds.items())
    return "; ".join(f"{name}: {listed(faults)}" for name, faults in found_kinds if faults)


def kind(tensor: Tensor) -> str:
    """Return a tensor's type in a word, or its layout or device where that is unusual."""
    if tensor.layout is not torch.strided:
        return str(tensor.layout).removeprefix("torch.")
    if tensor.device.type != "cpu":
        return tensor.device.type
    return str(tensor.dtype).removeprefix("torch.")


def _not_finite(tensor: Tensor) -> int:
    if not tensor.is_floating_point():
        return 0
    return tensor.numel() - int(tensor.float().isfinite().sum())


_Renames = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]


def _next_stage(match: re.Match[str]) -> str:
    """Return the place of a stage's last downsampling in timm, where it begins the next one."""
    return f"layers.{int(match[1]) + 1}.downsample."


_BLOCKS_OF_TRANSFORMERS: _Renames = (
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.attention\.(?:attention|self)\.", ".attn."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
)

#: Layouts by a name that only one of them has: patterns and their replacements, in order.
_LAYOUTS: dict[str, _Renames] = {
    # Hugging Face transformers: ViT and DeiT
    r"(?:(?:vit|deit)\.)?encoder\.layer\.0\.layernorm_before\.weight": (
        (r"^(?:vit|deit)\.", ""),
        (r"^embeddings\.position_embeddings$", "pos_embed"),
        (r"^embeddings\.distillation_token$", "dist_token"),
        (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
        (r"^embeddings\.", ""),
        (r"^encoder\.layer\.", "blocks."),
        *_BLOCKS_OF_TRANSFORMERS,
        (r"^layernorm\.", "norm."),
        (r"^(?:cls_)?classifier\.", "head."),
        (r"^distillation_classifier\.", "head_dist."),
    ),
    # Hugging Face transformers: Swin
    r"(?:swin\.)?encoder\.layers\.0\.blocks\.0\.layernorm_before\.weight": (
        (r"^swin\.", ""),
        (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
        (r"^embeddings\.norm\.", "patch_embed.norm."),
        (r"^encoder\.", ""),
        (r"^layers\.(\d+)\.downsample\.", _next_stage),
        *_BLOCKS_OF_TRANSFORMERS,
        (r"^layernorm\.", "norm."),
        (r"^classifier\.", "head.fc."),
    ),
    # torchvision: VisionTransformer
    r"encoder\.layers\.encoder_layer_0\.ln_1\.weight": (
        (r"^class_token$", "cls_token"),
        (r"^encoder\.pos_embedding$", "pos_embed"),
        (r"^conv_proj\.", "patch_embed.proj."),
        (r"^encoder\.layers\.encoder_layer_", "blocks."),
        (r"\.ln_([12])\.", r".norm\1."),
        (r"\.self_attention\.in_proj_", ".attn.qkv."),
        (r"\.self_attention\.out_proj\.", ".attn.proj."),
        (r"\.mlp\.(?:0|linear_1)\.", ".mlp.fc1."),
        (r"\.mlp\.(?:3|linear_2)\.", ".mlp.fc2."),
        (r"^encoder\.ln\.", "norm."),
        (r"^heads\.head\.", "head."),
    ),
    # torchvision: SwinTransformer
    r"features\.1\.0\.attn\.relative_position_bias_table": (
        (r"^features\.0\.0\.", "patch_embed.proj."),
        (r"^features\.0\.2\.", "patch_embed.norm."),
        (r"^features\.(\d*[13579])\.", lambda match: f"layers.{int(match[1]) // 2}.blocks."),
        (r"^features\.(\d+)\.", lambda match: f"layers.{int(match[1]) // 2}.downsample."),
        (r"\.mlp\.0\.", ".mlp.fc1."),
        (r"\.mlp\.3\.", ".mlp.fc2."),
        (r"^head\.", "head.fc."),
    ),
    # Swin's own repository
    r"layers\.0\.downsample\.reduction\.weight": (
        (r"^layers\.(\d+)\.downsample\.", _next_stage),
        (r"^head\.(?!fc\.)", "head.fc."),
    ),
}


def with_timm_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights under timm's names, q, k and v joined; as they are where no layout is known.

    Nothing is dropped: a name that a layout lacks stays, and so does one whose place is taken.
    """
    for mark, renames in _LAYOUTS.items():
        if any(re.fullmatch(mark, name) for name in weights):
            renamed: dict[str, Tensor] = {}
            for name, tensor in weights.items():
                new = _renamed(name, renames)
                renamed[name if new in renamed else new] = tensor
            return _joined(renamed)
    return dict(weights)


def _renamed(name: str, renames: _Renames) -> str:
    for pattern, replacement in renames:
        name = re.sub(pattern, replacement, name)
    return name


def _joined(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Make one tensor of query, key and value where all three are there and alike."""
    joined = dict(weights)
    for name in weights:
        if match := re.fullmatch(r"(.*\.attn\.)query(\.weight|\.bias)", name):
            names = [f"{match[1]}{part}{match[2]}" for part in ("query", "key", "value")]
            parts = [weights[each] for each in names if each in weights]
            if len({(part.shape, part.dtype) for part in parts}) == 1 and len(parts) == 3:
                joined[f"{match[1]}qkv{match[2]}"] = torch.cat(parts)
                for each in names:
                    del joined[each]
    return joined


#: Names of the ViT of Google's repository, in Flax; `from_flax` distinguishes `kernel` and `scale`.
_FLAX: _Renames = (
    (r"^(?:opt/target/|params/)", ""),
    (r"^cls$", "cls_token"),
    (r"^Transformer/posembed_input/pos_embedding$", "pos_embed"),
    (r"^embedding/", "patch_embed/proj/"),
    (r"^Transformer/encoder_norm/", "norm/"),
    (r"^Transformer/encoderblock_(\d+)/", r"blocks/\1/"),
    (r"/LayerNorm_0/", "/norm1/"),
    (r"/LayerNorm_2/", "/norm2/"),
    (r"/MultiHeadDotProductAttention_1/out/", "/attn/proj/"),
    (r"/MultiHeadDotProductAttention_1/", "/attn/"),
    (r"/MlpBlock_3/Dense_0/", "/mlp/fc1/"),
    (r"/MlpBlock_3/Dense_1/", "/mlp/fc2/"),
    (r"/(?:kernel|scale)$", "/weight"),
    (r"/", "."),
)


def from_flax(arrays: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the arrays of a ViT in Flax under timm's names, in torch's order of axes.

    Raises:
        TypeError: an array is of a type that torch lacks.
    """
    weights = {}
    for name, array in arrays.items():
        tensor = torch.from_numpy(np.asarray(array))
        new = _renamed(name, _FLAX)
        weights[name if new in weights else new] = _in_torchs_order(name, tensor)
    return _joined(weights)


def _in_torchs_order(name: str, tensor: Tensor) -> Tensor:
    if name.endswith("/kernel") and tensor.ndim == 4:  # (height, width, in, out)
        return tensor.permute(3, 2, 0, 1).contiguous()
    if name.endswith("/kernel") and tensor.ndim in (2, 3):  # heads are an axis of their own
        heads_first = name.endswith("/out/kernel")
        matrix = tensor.flatten(0, -2) if heads_first else tensor.flatten(1)
        return matrix.t().contiguous()
    if re.search(r"/(?:query|key|value)/bias$", name):
        return tensor.flatten()
    return tensor


#: Files of weights that the hub and timm's folders have.
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
_HUB_SECONDS = 10
_PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".pth.tar")
_SUFFIXES = (".safetensors", *_PICKLES, ".npz", ".index.json")
_WRAPPERS = ("model", "state_dict", "model_state", "model_state_dict")
_AVERAGES = ("model_ema", "state_dict_ema", "model_state_dict_ema", "ema_state_dict", "ema")
#: Packages whose objects training scripts store beside the weights, by a call: skipped, not run.
_HARMLESS = ("numpy", "datetime", "pathlib", "collections", "decimal", "uuid")
_HARMLESS_BUILTINS = ("set", "frozenset", "bytearray", "complex", "range", "slice")
_HEAD_BIASES = ("head.fc.bias", "head.bias")
_CLASSES = 1000
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def hub_file(name: str, repository: str, files: Sequence[str] = WEIGHT_FILES) -> Path:
    """Return a file of a model in the hub's cache, downloaded if it is not there.

    A cached file needs no network. Otherwise the hub is asked once, for ten seconds at most,
    before the download begins: its client would retry for minutes.

    Args:
        name: of the model, for the message.
        repository: OWNER/NAME, or OWNER/NAME@REVISION.
        files: the first of these that is there is taken.

    Raises:
        OSError: the hub can't be reached or serves none of them.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError

    place, _, revision = repository.partition("@")
    for file in files:
        cached = try_to_load_from_cache(place, file, revision=revision or None)
        if isinstance(cached, str):
            return Path(cached)
    instead = f"--checkpoint FILE, the {files[0]} of https://huggingface.co/{place}"
    if files[0] not in WEIGHT_FILES:
        instead = f"local-dir:FOLDER, a copy of https://huggingface.co/{place}"
    try:
        for file in files[:-1]:
            with suppress(EntryNotFoundError):
                return _downloaded(place, file, revision or None)
        return _downloaded(place, files[-1], revision or None)
    except Exception as error:  # of an HTTP library that differs from version to version
        raise OSError(
            f"weights of {name} can't be had from the Hugging Face hub ({first_line(error)}): "
            f"give {instead}, or set HF_HUB_CACHE to a cache that has it"
        ) from error


def _downloaded(repository: str, file: str, revision: str | None) -> Path:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    url = hf_hub_url(repository, file, revision=revision)
    get_hf_file_metadata(url, timeout=_HUB_SECONDS)
    return Path(hf_hub_download(repository, file, revision=revision))


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, or its kind where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def read_weights(path: Path, *, ema: bool = False) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by timm's names, on the CPU; no code of a file is run.

    A state dict, bare or under the first of `model`, `state_dict`, `model_state` and
    `model_state_dict` that holds a dictionary, one level deep; with `ema`, or where there is none
    of these, under `model_ema`, `state_dict_ema` and the like, and a warning names it. All else in
    the file is skipped: objects of foreign classes are never made. The prefixes `module.`,
    `_orig_mod.` and `model.`, which parallel training, compilation and Lightning add, are taken
    off. Names of Hugging Face's transformers, of torchvision and of Swin's own repository, and
    Google's `.npz` files, are brought to timm's. A `.index.json` stands for its parts, which lie
    beside it. Tensors are float32, float16, bfloat16 or float64; `fit_weights` looks
    whether they are finite.

    Args:
        path: the file.
        ema: take the averaged weights.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a file, no averaged weights, or tensors of another type: names them.
    """
    weights = with_timm_names(_state_dict(_read(path), path, ema))
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


def _read(path: Path) -> Any:
    """Return the content of a file of any format."""
    if not path.exists():
        raise FileNotFoundError(f"checkpoint must be a file that exists, got {path}")
    if not path.is_file():
        what = "folder" if path.is_dir() else "device"
        raise ValueError(f"checkpoint must be a regular file, got the {what} {path}")
    if path.stat().st_size == 0:
        raise ValueError(f"checkpoint must hold weights, got the empty file {path}")
    name = path.name.lower()
    if name.endswith(".safetensors"):
        return _read_safetensors(path)
    if name.endswith(_PICKLES):
        return _read_pickle(path)
    if name.endswith(".npz"):
        return _read_npz(path)
    if name.endswith(".index.json"):
        return _read_parts(path)
    raise ValueError(
        f"checkpoint must end in {', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]}, got {path}"
    )


def _read_parts(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file in parts, each out of the part that the index names."""
    try:
        places = json.loads(path.read_bytes())["weight_map"]
        parts = sorted(set(places.values()))
        plain = all(Path(part).name == part and not part.endswith(".json") for part in parts)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        plain = False
    if not plain:
        raise ValueError(
            f"checkpoint index must hold a weight_map of files that lie beside it, got {path}"
        )
    tensors: dict[str, Tensor] = {}
    for part in parts:
        found = _read(path.parent / part)
        wanted = {name for name, place in places.items() if place == part}
        if not isinstance(found, dict) or set(found) != wanted:
            raise ValueError(
                f"checkpoint part {path.parent / part} must hold the tensors that {path} names"
            )
        tensors |= found
    return tensors


def _read_npz(path: Path) -> dict[str, Tensor]:
    _require_plain(path, "numpy.savez")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return from_flax(arrays)
    except Exception as error:  # a damaged file leads anywhere
        raise ValueError(
            f"checkpoint must be a file that numpy.savez wrote, got {path}: {first_line(error)}"
        ) from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, AttributeError) as error:  # a type that this torch does not know
        raise ValueError(
            f"checkpoint must be a safetensors file, got {path}: {first_line(error)}"
        ) from error
    return tensors


def _read_pickle(path: Path) -> Any:
    """Return the content of a file of torch.save, foreign objects as plain dictionaries."""
    _require_plain(path, "torch.save")
    skipped: dict[str, type] = {}
    while True:
        try:
            with path.open("rb") as file, torch.serialization.safe_globals([*skipped.values()]):
                return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file leads anywhere
            asked = re.search(r"GLOBAL (\S+)", str(error))
            if not isinstance(error, pickle.UnpicklingError) or asked is None:
                raise ValueError(
                    f"checkpoint must be a file that torch.save wrote, got {path}: "
                    f"damaged or foreign"
                ) from error
            if asked[1] in skipped:
                raise ValueError(
                    f"checkpoint must hold tensors only, got {path}, which asks for "
                    f"{shown(asked[1])}: nothing of it was run"
                ) from error
            skipped[asked[1]] = _stand_in(asked[1])


class _Skipped(type):
    """Metaclass of the classes that stand for foreign ones: a call, as of code, is refused."""

    def __call__(cls, *_args: Any) -> Any:
        name = f"{cls.__module__}.{cls.__qualname__}"
        builtin = cls.__module__ == "builtins" and cls.__qualname__ in _HARMLESS_BUILTINS
        if not builtin and name.partition(".")[0] not in _HARMLESS:
            raise pickle.UnpicklingError(f"GLOBAL {name.removeprefix('builtins.')} is called")
        return object.__new__(cls)  # type: ignore[arg-type]


def _stand_in(name: str) -> type:
    """Return a class under a foreign name, of which torch's reader makes plain dictionaries."""

    def empty(_cls: type, *_args: Any) -> OrderedDict[Any, Any]:
        made: OrderedDict[Any, Any] = OrderedDict()
        made.foreign = name  # type: ignore[attr-defined]
        return made

    module, _, own = name.rpartition(".")
    body = {
        "__module__": module or "builtins",
        "__qualname__": own,
        "__new__": empty,
        "__setstate__": lambda self, state: None,
    }
    return _Skipped(own, (), body)


def _require_plain(path: Path, writer: str) -> None:
    if not _is_stored_plainly(path):
        raise ValueError(
            f"checkpoint must be a file that {writer} wrote, got {path}: compressed, or parts of "
            "it overlap"
        )


def _is_stored_plainly(path: Path) -> bool:
    """Whether a zip holds no more than its size; torch.save compresses nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return True  # the format before torch 1.6, or damaged
    return sum(part.file_size for part in parts) <= path.stat().st_size


def _state_dict(stored: Any, path: Path, ema: bool) -> dict[str, Tensor]:
    from timm.models import clean_state_dict

    where = ""
    if isinstance(stored, dict):
        where = _wrapper(stored, path, ema)
        stored = stored[where] if where else stored
    foreign = getattr(stored, "foreign", None)
    if not isinstance(stored, dict) or not stored:
        found = "none" if foreign is None else f"the whole {shown(foreign)}: save its state_dict()"
        raise ValueError(f"checkpoint must hold tensors by name, got {path} with {found}")
    for name, value in stored.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(
                "checkpoint must hold tensors by name, alone or under "
                f"{', '.join((*_WRAPPERS, *_AVERAGES))}, "
                f"got {path} with {type(value).__name__} at {shown(repr(name))}"
            )
    weights: dict[str, Tensor] = clean_state_dict(stored)
    if len(weights) != len(stored):
        raise ValueError(f"checkpoint must hold each tensor once, got {path}")
    weights.pop("n_averaged", None)  # torch.optim.swa_utils
    if all(name.startswith("model.") for name in weights):
        weights = {name.removeprefix("model."): tensor for name, tensor in weights.items()}
    return {name: tensor for name, tensor in weights.items() if not _is_swin_buffer(name)}


def _wrapper(stored: dict[Any, Any], path: Path, ema: bool) -> str:
    """Return the key that the weights are under, "" for none; warn where there was a choice."""
    trained = [key for key in _WRAPPERS if isinstance(stored.get(key), dict)]
    averaged = [key for key in _AVERAGES if isinstance(stored.get(key), dict)]
    if ema and not averaged:
        raise ValueError(
            f"ema must be left out for {path}, which has none of {', '.join(_AVERAGES)}"
        )
    if not averaged:
        return trained[0] if trained else ""
    taken, other = (averaged[0], trained[:1]) if ema or not trained else (trained[0], averaged[:1])
    if not ema:
        beside = f", beside {other[0]}: --ema takes that" if other else ": averaged weights"
        warnings.warn(f"of checkpoint {path}, {taken} was taken{beside}", stacklevel=2)
    return taken


def _is_swin_buffer(name: str) -> bool:
    """Whether this is a table that the architecture fixes, which old Swin files store."""
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
        if bias is not None and bias.ndim == 1 and 1 <= bias.numel() <= MOST_CLASSES:
            return bias.numel()
    return _CLASSES


def fit_weights(model: nn.Module, weights: dict[str, Tensor], name: str, path: Path) -> None:
    """Load weights into a model: all of its names, no others, its shapes, finite as float32.

    Nothing is resized and nothing is dropped. Half precision becomes float32 without loss, float64
    is rounded.

    Args:
        model: architecture, float32.
        weights: as `read_weights` returns them.
        name, path: name of the model and the file, for the message.

    Raises:
        ValueError: names the tensors that are missing, unexpected, of a wrong shape or not finite,
            the first ten of each and how many.
    """
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


def _size(weights: dict[str, Tensor]) -> str | None:
    """Return width and depth in words; None where this is no transformer of these families."""
    patches = weights.get("patch_embed.proj.weight")
    blocks = {key.split(".attn.")[0] for key in weights if ".attn." in key}
    if patches is None or patches.ndim == 0 or not blocks:
        return None
    return f"width {patches.shape[0]}, {len(blocks)} blocks"
