"""A quantized model in one safetensors file: parameters, scales, and how it was quantized."""

import json
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from timm.models.vision_transformer import VisionTransformer

from bitlog2.sim.files import write_whole

from .quantize import QuantizationSpec, float_path, integer_path

__all__ = ["load_quantized", "save_quantized"]

_FORMAT = "bitlog2-quantized-1"


def save_quantized(path: Path, model: VisionTransformer, name: str, spec: QuantizationSpec) -> None:
    """Write a quantized model to one file, whole or not at all.

    Args:
        path: file to write.
        model: as `quantize` returns it.
        name: the name of the model, as `--model` takes it.
        spec: how it was quantized.
    """
    metadata = {"format": _FORMAT, "model": name, "quantization": json.dumps(asdict(spec))}
    tensors = {key: value.contiguous() for key, value in model.state_dict().items()}
    write_whole(path, save(tensors, metadata))


def load_quantized(
    path: Path, architecture: VisionTransformer, name: str
) -> tuple[VisionTransformer, QuantizationSpec]:
    """Return a quantized model and its specification from a file; no data is needed.

    Args:
        path: file that `save_quantized` wrote.
        architecture: a model of the same shape; its weights are not used.
        name: the name that the file must hold.

    Raises:
        ValueError: the file is not such a file, or is of another model.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"checkpoint must be a safetensors file, got {path}: {error}") from error
    if metadata.get("format") != _FORMAT or metadata.get("model") != name:
        raise ValueError(
            f"checkpoint must be a quantized {name} ({_FORMAT}), got {path} with "
            f"model {metadata.get('model')!r}, format {metadata.get('format')!r}"
        )
    spec = QuantizationSpec(**json.loads(metadata["quantization"]))
    model = float_path(architecture, spec)
    for module in model.modules():  # inputs of qkv and fc1 are per tensor after the flow
        quantizer = getattr(module, "input_quantizer", None)
        if quantizer is not None:
            quantizer.axis = None
    if spec.arithmetic == "integer":
        model = integer_path(model, spec)
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    if missing or unexpected:
        raise ValueError(
            f"checkpoint {path} must hold the tensors of {name}: "
            f"missing {missing[:3]}, unexpected {unexpected[:3]}"
        )
    return model.eval(), spec
