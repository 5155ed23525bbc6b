"""A quantized model in one safetensors file: parameters, scales, and how it was quantized."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from bitlog2.sim.files import write_whole

from .digits import NUM_CLASSES
from .naming import shown
from .quantize import QuantizationSpec, float_path, integer_path
from .stored_model import check_ranges, check_tensors
from .task import MODELS, build_model
from .uniform import UniformQuantizer

__all__ = [
    "QuantizedModel",
    "load_quantized",
    "quantized_about",
    "quantized_classes",
    "save_quantized",
]

_FORMAT = "bitlog2-quantized-2"
#: More than any classifier has: a file can't ask for a head that fills the memory.
_MOST_CLASSES = 100_000


@dataclass(frozen=True)
class QuantizedModel:
    """A quantized model and what it is.

    Attributes:
        model: as `quantize` returns it.
        name: one of `MODELS`.
        classes: number of classes.
        spec: how it was quantized.
        seed: of the calibration.
    """

    model: nn.Module
    name: str
    classes: int
    spec: QuantizationSpec
    seed: int


def save_quantized(path: Path, quantized: QuantizedModel) -> None:
    """Write a quantized model to one file, whole or not at all."""
    metadata = {
        "format": _FORMAT,
        "model": quantized.name,
        "classes": str(quantized.classes),
        "seed": str(quantized.seed),
        "quantization": json.dumps(asdict(quantized.spec)),
    }
    tensors = {key: value.contiguous() for key, value in quantized.model.state_dict().items()}
    write_whole(path, save(tensors, metadata))


def load_quantized(path: Path) -> QuantizedModel:
    """Return a quantized model from its file, on the CPU; no data and no weights are needed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not one that `save_quantized` wrote: metadata that says something
            else, tensors that are missing, unexpected, misshapen, mistyped, not finite or out of
            range (the first ten of each, and how many).
    """
    metadata, tensors = _read(path)
    name, classes, spec, seed = _about(path, metadata)
    model = float_path(build_model(name, classes), spec)
    for module in model.modules():  # every input is per tensor after the flow
        quantizer = getattr(module, "input_quantizer", None)
        if isinstance(quantizer, UniformQuantizer):
            quantizer.axis = None
    _take_late_biases(model, tensors)
    if spec.arithmetic == "integer":
        model = integer_path(model, spec)
    try:
        check_tensors(model, tensors)
        model.load_state_dict(tensors)
        check_ranges(model)
    except ValueError as error:
        raise ValueError(
            f"quantized model {path} must hold the tensors of {name}: {error}"
        ) from error
    return QuantizedModel(model.eval(), name, classes, spec, seed)


def quantized_about(path: Path, name: str | None = None) -> dict[str, Any]:
    """Return what a quantized model's file says of itself, as fields of a run's request.

    Args:
        path: the file.
        name: the model that it must be of; None for any.

    Raises:
        FileNotFoundError, ValueError: as `load_quantized`, or it is of another model.
    """
    found, _, spec, seed = _about(path, _read(path, names=())[0])
    if name not in (None, found):
        raise ValueError(f"load must be a quantized {name}, got one of {found} in {path}")
    return {"model": found, "schemes": (spec.scheme,), "seeds": (seed,), **_fields(spec)}


def quantized_classes(path: Path) -> int:
    """Return how many classes a quantized model's file says that it tells apart.

    Raises:
        FileNotFoundError, ValueError: as `load_quantized`.
    """
    _, classes, _, _ = _about(path, _read(path, names=())[0])
    return classes


def _fields(spec: QuantizationSpec) -> dict[str, Any]:
    kept = ("arithmetic", "w_bits", "a_bits")
    return {name: getattr(spec, name) for name in kept}


def _about(path: Path, metadata: dict[str, str]) -> tuple[str, int, QuantizationSpec, int]:
    """Return name, classes, specification and seed."""
    if metadata.get("format") != _FORMAT or metadata.get("model") not in MODELS:
        raise ValueError(
            f"quantized model must be a {_FORMAT} file of one of {', '.join(MODELS)}, got {path} "
            f"with format {_said(metadata, 'format')}, model {_said(metadata, 'model')}"
        )
    try:
        spec = QuantizationSpec(**json.loads(metadata["quantization"]))
        classes = _integer(metadata, "classes", 1, _MOST_CLASSES)
        seed = _integer(metadata, "seed", -(1 << 63), (1 << 64) - 1)
        if metadata["model"] == "digits" and classes != NUM_CLASSES:
            raise ValueError(f"classes must be {NUM_CLASSES} for digits, got {classes}")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"quantized model {path} must say how it was made: {shown(str(error), 300)}"
        ) from error
    return metadata["model"], classes, spec, seed


def _said(metadata: dict[str, str], name: str) -> str:
    return shown(repr(metadata.get(name)))


def _integer(metadata: dict[str, str], name: str, low: int, high: int) -> int:
    """Return a number that is written as `str` writes it."""
    text = metadata[name]
    if not re.fullmatch(r"-?[0-9]{1,20}", text) or not low <= int(text) <= high:
        raise ValueError(f"{name} must be from {low} to {high}, got {_said(metadata, name)}")
    return int(text)


def _read(
    path: Path, names: tuple[str, ...] | None = None
) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return metadata, and the tensors of these names; all of them for None."""
    if not path.is_file():
        raise FileNotFoundError(f"quantized model must be a file that exists, got {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            keys = list(file.keys()) if names is None else names
            tensors = {key: file.get_tensor(key) for key in keys}
    except (SafetensorError, AttributeError) as error:  # a type that this torch does not know
        raise ValueError(
            f"quantized model must be a safetensors file, got {path}: {shown(str(error), 300)}"
        ) from error
    return metadata, tensors


def _take_late_biases(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Give a bias to the layers that got theirs from reparameterization (Swin's reduction)."""
    for name, module in model.named_modules():
        stored = tensors.get(f"{name}.bias")
        if stored is not None and getattr(module, "bias", stored) is None:
            module.bias = nn.Parameter(stored, requires_grad=False)
