"""A quantized model in one safetensors file: parameters, scales, and how it was quantized."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from bitlog2.sim.files import write_whole

from .quantize import QuantizationSpec, float_path, integer_path
from .task import MODELS, build_model
from .uniform import UniformQuantizer

__all__ = ["QuantizedModel", "load_quantized", "quantized_about", "save_quantized"]

_FORMAT = "bitlog2-quantized-2"


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
        ValueError: the file is not one that `save_quantized` wrote.
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
        model.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"quantized model {path} must hold the tensors of {name}: {reason}"
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


def _fields(spec: QuantizationSpec) -> dict[str, Any]:
    return {name: value for name, value in asdict(spec).items() if name != "scheme"}


def _about(path: Path, metadata: dict[str, str]) -> tuple[str, int, QuantizationSpec, int]:
    """Return name, classes, specification and seed."""
    if metadata.get("format") != _FORMAT or metadata.get("model") not in MODELS:
        raise ValueError(
            f"quantized model must be a {_FORMAT} file of one of {', '.join(MODELS)}, got {path} "
            f"with format {metadata.get('format')!r}, model {metadata.get('model')!r}"
        )
    try:
        spec = QuantizationSpec(**json.loads(metadata["quantization"]))
        return metadata["model"], int(metadata["classes"]), spec, int(metadata["seed"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"quantized model {path} must say how it was made: {error}") from error


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
    except SafetensorError as error:
        raise ValueError(
            f"quantized model must be a safetensors file, got {path}: {error}"
        ) from error
    return metadata, tensors


def _take_late_biases(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Give a bias to the layers that got theirs from reparameterization (Swin's reduction)."""
    for name, module in model.named_modules():
        stored = tensors.get(f"{name}.bias")
        if stored is not None and getattr(module, "bias", stored) is None:
            module.bias = nn.Parameter(stored, requires_grad=False)
