"""A quantized model in one file: parameters, scales and how it was quantized; its scales alone."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from bitlog2.documents import parse, plain
from bitlog2.names import MODELS, MOST_CLASSES, canonical_model, is_function
from bitlog2.sim.files import write_whole
from bitlog2.sim.network.program import Program
from bitlog2.sim.network.program_file import program_bytes, program_of

from ..naming import listed, shown
from ..network.network import ImageNetwork
from ..ptq.attention import IntegerAttention
from ..ptq.layers import IntegerLinear, QuantizedLayer
from ..ptq.quantize import QuantizationSpec, float_path, integer_path
from ..ptq.quantizers import CodeUniform, UniformQuantizer
from ..ptq.specification import NETWORK_FIELDS
from ..sealed import digest_of
from .embedded import EMBEDDED
from .task import build_model, pixels_of
from .weights import Wanted, differences


def check_tensors(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Refuse tensors that are not those of a calibrated model of this form.

    Args:
        model: as `float_path` or `integer_path` returns it, not calibrated.
        tensors: tensors of the file by name.

    Raises:
        ValueError: names the tensors that are missing, unexpected, of a wrong shape or type, or not
            finite.
    """
    wanted = {
        name: Wanted(tuple(tensor.shape), tensor.dtype)
        for name, tensor in model.state_dict().items()
    }
    for name, module in model.named_modules():
        if isinstance(module, UniformQuantizer):
            wanted |= _quantizer(name, Wanted(_per_channel(model, name, module), torch.float32))
        elif isinstance(module, QuantizedLayer):
            wanted |= _layer(name, module, tensors)
    if faults := differences(wanted, tensors):
        raise ValueError(faults)


def _quantizer(name: str, parameter: Wanted) -> dict[str, Wanted]:
    return {f"{name}.delta": parameter, f"{name}.zero_point": parameter}


def _per_channel(model: nn.Module, name: str, module: UniformQuantizer) -> tuple[int, ...]:
    """Return the shape of a quantizer's parameters: of the weight's channels, or of one number."""
    if module.axis is None:
        return ()
    layer = model.get_submodule(name.rpartition(".")[0])
    assert isinstance(layer, QuantizedLayer)
    return (len(layer.weight), *[1] * (layer.weight.ndim - 1))


def _layer(name: str, module: QuantizedLayer, tensors: dict[str, Tensor]) -> dict[str, Wanted]:
    outputs, inputs = module.weight.flatten(1).shape
    wanted = {}
    for each in ("reparam_r", "reparam_b"):
        stored = tensors.get(f"{name}.{each}")
        none = stored is None or stored.numel() == 0
        wanted[f"{name}.{each}"] = Wanted((0,) if none else (inputs,), torch.float32)
    if module.bias is not None:
        wanted[f"{name}.bias"] = Wanted((outputs,), torch.float32)
    if isinstance(module, IntegerLinear):
        wanted[f"{name}.weight_codes"] = Wanted((outputs, inputs), torch.int16)
    return wanted


def check_ranges(model: nn.Module) -> None:
    """Refuse numbers that no calibration gives, which the arithmetic takes for granted.

    Args:
        model: its tensors loaded, all finite.

    Raises:
        ValueError: names scales that are not positive, codes and zero points out of range, and
            scales that do not fit a multiplier and a shift.
    """
    faults = [
        f"{name} not positive"
        for name, tensor in model.named_buffers()
        if name.rpartition(".")[2] == "delta" and not bool((tensor > 0).all())
    ]
    for name, module in model.named_modules():
        if isinstance(module, CodeUniform):
            zero = module.zero_point
            if not bool(((zero == zero.floor()) & (zero >= 0) & (zero <= module.max_code)).all()):
                faults.append(f"{name}.zero_point not from 0 to {module.max_code}")
        elif isinstance(module, IntegerLinear):
            most = module.weight_quantizer.max_code
            if int(module.weight_codes.int().abs().max()) > most:
                faults.append(f"{name}.weight_codes not from -{most} to {most}")
    if not faults:
        faults = _datapath_faults(model)
    if faults:
        raise ValueError(listed(faults))


def _datapath_faults(model: nn.Module) -> list[str]:
    faults = []
    for name, module in model.named_modules():
        if isinstance(module, IntegerAttention):
            config, bias = module.datapath.config, module.score_bias
            try:
                config.check_params(module.params())
            except ValueError as error:
                faults.append(f"{name}: {error}")
            if bias is not None and not config.t_min <= bias.min() <= bias.max() <= config.t_max:
                faults.append(f"{name}.score_bias not from {config.t_min} to {config.t_max}")
    return faults


_FORMAT = "bitlog2-quantized-4"
#: Formats whose `integer` is what `attention` is now.
_OLDER = ("bitlog2-quantized-1", "bitlog2-quantized-2", "bitlog2-quantized-3")
_METADATA, _SHA256 = "__metadata__", "sha256"
#: Bytes of the program's file, in a model of the arithmetic `integer`.
_PROGRAM = "program"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class QuantizedModel:
    """A quantized model with its name and quantization.

    Attributes:
        model: the network as `quantize` returns it.
        name: as `canonical_model` returns it, or any text for a model that no name leads to.
        classes: number of classes.
        spec: its quantization.
        seed: seed of the calibration.
        program: what it was lowered to, in the arithmetic `integer`; None in the others.
    """

    model: nn.Module
    name: str
    classes: int
    spec: QuantizationSpec
    seed: int
    program: Program | None = None

    def __post_init__(self) -> None:
        if (self.spec.arithmetic == "integer") != (self.program is not None):
            raise ValueError(
                f"program must be there for integer arithmetic alone, got {self.spec.arithmetic}"
            )

    @property
    def digest(self) -> str:
        """SHA-256 of what computes: the program, or the model's tensors."""
        return model_digest(self.model) if self.program is None else program_bytes(self.program)[1]

    def executed(self) -> nn.Module:
        """Return what runs on images: the program as a network, or the model."""
        if self.program is None:
            return self.model
        return ImageNetwork(self.program, pixels_of(self.name))


def save_quantized(path: Path, quantized: QuantizedModel) -> None:
    """Write a quantized model to one file, whole or not at all.

    Its metadata holds a SHA-256 of everything else in it: metadata, tensors and their names.
    """
    metadata = {
        "format": _FORMAT,
        "model": quantized.name,
        "classes": str(quantized.classes),
        "seed": str(quantized.seed),
        "quantization": json.dumps(msgspec.to_builtins(quantized.spec)),
    }
    tensors = {key: value.contiguous() for key, value in quantized.model.state_dict().items()}
    if quantized.program is not None:
        program = bytearray(program_bytes(quantized.program)[0])
        tensors[_PROGRAM] = torch.frombuffer(program, dtype=torch.uint8)
    content = memoryview(save(tensors, metadata))
    size = int.from_bytes(content[:8], "little")
    header, data = plain(bytes(content[8 : 8 + size]), "header"), content[8 + size :]
    header[_METADATA][_SHA256] = _digest(header, [data])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    write_whole(path, b"".join([len(text).to_bytes(8, "little"), text, data]))


def _digest(header: dict[str, Any], data: Iterable[bytes | memoryview]) -> str:
    """Return the SHA-256 of a safetensors file, but for the metadata's own `sha256`."""
    metadata = {name: value for name, value in header[_METADATA].items() if name != _SHA256}
    total = hashlib.sha256(digest_of({**header, _METADATA: metadata}).encode())
    for part in data:
        total.update(part)
    return total.hexdigest()


def load_quantized(path: Path, model: str | nn.Module | None = None) -> QuantizedModel:
    """Return a quantized model from its file, on the CPU; no data and no weights are needed.

    Args:
        path: the file.
        model: of a model that no name leads to, the network with any weights, left as it is; of one
            that a function makes, the function's name, which a file alone does not have run; None
            for others.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not as `save_quantized` wrote it: other metadata,
            a SHA-256 that is not of this content, tensors that are missing, unexpected,
            misshapen, mistyped, not finite or out of range (the first ten of each, and how many).
    """
    header, tensors = _read(path)
    given = model if isinstance(model, nn.Module) else None
    name, classes, spec, seed = _about(path, header[_METADATA], named=given is None)
    if header[_METADATA].get(_SHA256) != _digest(header, _data(path)):
        raise ValueError(
            f"quantized model {path} must be as it was written: its metadata and tensors do not "
            "have the sha256 that it names"
        )
    if not isinstance(model, nn.Module):  # else no code or size follows from the file
        refuse_unnamed_function(path, name, model)
        if name not in MODELS and not is_function(name):
            _refuse_larger(path, name, classes, tensors)
    built = float_path(build_model(name, classes) if given is None else given, spec).cpu()
    for module in built.modules():  # every input is per tensor after the flow
        quantizer = getattr(module, "input_quantizer", None)
        if isinstance(quantizer, UniformQuantizer):
            quantizer.axis = None
    _take_late_biases(built, tensors)
    if spec.arithmetic != "float":
        built = integer_path(built, spec)
    try:
        program = _program_of(spec, classes, tensors) if spec.arithmetic == "integer" else None
        check_tensors(built, tensors)
        built.load_state_dict(tensors)
        check_ranges(built)
    except ValueError as error:
        raise ValueError(
            f"quantized model {path} must hold the tensors of {name}: {error}"
        ) from error
    return QuantizedModel(built.eval(), name, classes, spec, seed, program)


def refuse_unnamed_function(path: Path, name: str, asked: str | None) -> None:
    """Refuse a file that would have code run, of the function that makes its model.

    Raises:
        ValueError: a function makes the model, and it is not the one that was asked for.
    """
    if is_function(name) and name != asked:
        raise ValueError(
            f"quantized model {path} is made by a function, which is run if it is named: "
            f"--model {name}"
        )


def _refuse_larger(path: Path, name: str, classes: int, tensors: dict[str, Tensor]) -> None:
    """Refuse a file of fewer values than its model: none can ask for one that fills the memory."""
    try:
        with torch.device("meta"):
            wanted = sum(each.numel() for each in build_model(name, classes).parameters())
    except ValueError:  # refused when it is made; an older timm makes none without numbers
        return
    if wanted > (held := sum(each.numel() for each in tensors.values())):
        raise ValueError(
            f"quantized model {path} must hold the {wanted:,} parameters of {name}, got {held:,} "
            "values"
        )


def _program_of(spec: QuantizationSpec, classes: int, tensors: dict[str, Tensor]) -> Program:
    """Take the program from the tensors of a file; it must be of that quantization."""
    content = tensors.pop(_PROGRAM, None)
    if content is None or content.dtype != torch.uint8 or content.ndim != 1:
        raise ValueError(f"{_PROGRAM} must be the bytes of a program's file")
    try:
        program, _ = program_of(content.numpy().tobytes())
    except (TypeError, ValueError) as error:
        raise ValueError(f"{_PROGRAM}: {error}") from error
    network = program.network
    found = (program.attention.scheme, network.w_bits, network.a_bits, program.classes)
    wanted = (spec.scheme, spec.w_bits, spec.a_bits, classes)
    if found != wanted:
        raise ValueError(
            f"{_PROGRAM} must be of scheme, bits and classes {wanted}, got one of {found}"
        )
    for name in NETWORK_FIELDS:
        width, expected = (getattr(each, name) for each in (network, spec.network_config()))
        if width != expected:
            raise ValueError(f"{_PROGRAM} must be of {name} = {expected}, got one of {width}")
    return program


def quantized_about(path: Path, name: str | None = None) -> tuple[str, QuantizationSpec, int]:
    """Return the name, the quantization and the seed that a quantized model's file holds.

    Args:
        path: the file.
        name: the model that it must be of; None for any.

    Raises:
        FileNotFoundError, ValueError: as `load_quantized`, or it is of another model.
    """
    found, _, spec, seed = _about(path, _read(path, names=())[0][_METADATA])
    if name not in (None, found):
        raise ValueError(f"load must be a quantized {name}, got one of {found} in {path}")
    return found, spec, seed


def _about(
    path: Path, metadata: dict[str, str], *, named: bool = True
) -> tuple[str, int, QuantizationSpec, int]:
    """Return name, classes, specification and seed; the name is that of a model if `named`."""
    if metadata.get("format") in _OLDER:
        raise ValueError(
            f"quantized model must be a {_FORMAT} file, got {path} with format "
            f"{_written(metadata, 'format')}, whose arithmetic integer is what attention is now: "
            "evaluate it anew with --save"
        )
    if metadata.get("format") != _FORMAT:
        raise ValueError(
            f"quantized model must be a {_FORMAT} file, got {path} with format "
            f"{_written(metadata, 'format')}"
        )
    try:
        name = canonical_model(metadata["model"]) if named else metadata["model"]
        spec = parse(metadata["quantization"].encode(), QuantizationSpec, "quantization")
        classes = _integer(metadata, "classes", 1, MOST_CLASSES)
        seed = _integer(metadata, "seed", -(1 << 63), (1 << 64) - 1)
        embedded = EMBEDDED.get(name)
        if embedded is not None and classes != embedded.classes:
            raise ValueError(
                f"classes must be {embedded.classes} for {embedded.name}, got {classes}"
            )
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"quantized model {path} must say how it was made: {shown(str(error), 300)}"
        ) from error
    return name, classes, spec, seed


def _written(metadata: dict[str, str], name: str) -> str:
    return shown(repr(metadata.get(name)))


def _integer(metadata: dict[str, str], name: str, low: int, high: int) -> int:
    """Return a number that is written as `str` writes it."""
    text = metadata[name]
    if not re.fullmatch(r"-?[0-9]{1,20}", text) or not low <= int(text) <= high:
        raise ValueError(f"{name} must be from {low} to {high}, got {_written(metadata, name)}")
    return int(text)


def _read(
    path: Path, names: tuple[str, ...] | None = None
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the header with its metadata, and the tensors of these names; all for None."""
    if not path.is_file():
        raise FileNotFoundError(f"quantized model must be a file that exists, got {path}")
    try:
        with safe_open(path, framework="pt") as file:
            keys = list(file.keys()) if names is None else names
            tensors = {key: file.get_tensor(key) for key in keys}
        with path.open("rb") as raw:
            header = plain(raw.read(int.from_bytes(raw.read(8), "little")), "header")
    except (SafetensorError, AttributeError, ValueError) as error:  # a type that torch lacks
        raise ValueError(
            f"quantized model must be a safetensors file, got {path}: {shown(str(error), 300)}"
        ) from error
    return {**header, _METADATA: header.get(_METADATA) or {}}, tensors


def _data(path: Path) -> Iterator[bytes]:
    """Yield the bytes after a safetensors file's header."""
    with path.open("rb") as file:
        file.seek(int.from_bytes(file.read(8), "little"), os.SEEK_CUR)
        while part := file.read(_CHUNK):
            yield part


def _take_late_biases(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Give a bias to the layers that got theirs from reparameterization (Swin's reduction)."""
    for name, module in model.named_modules():
        stored = tensors.get(f"{name}.bias")
        if stored is not None and getattr(module, "bias", stored) is None:
            module.bias = nn.Parameter(stored, requires_grad=False)


def model_digest(model: nn.Module) -> str:
    """Return the SHA-256 of a model's tensors: names, types, shapes and bytes, sorted by name."""
    total = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        values = np.ascontiguousarray(tensor.detach().cpu().numpy())
        total.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        total.update(values.tobytes())
    return total.hexdigest()


#: Buffers of a model's quantizers, by the last part of their names.
_DUMPED = ("delta", "zero_point", "reparam_r", "reparam_b")


def quantizer_values(model: nn.Module) -> dict[str, NDArray[np.generic]]:
    """Return the quantizers of a model by module name.

    `LAYER.input_quantizer.delta`, `.zero_point`, and the same of `weight_quantizer`, for each
    linear layer and the patch projection; `ATTENTION.q_quantizer`, `k_quantizer`, `v_quantizer`;
    the attention map's scale as `ATTENTION.map.delta` (float arithmetic), `ATTENTION.delta` (a
    BitLog2 code in integers) or `ATTENTION.map_quantizer.delta` (`uniform_4` in integers);
    `LAYER.reparam_r` and `LAYER.reparam_b`, by which the LayerNorm before the layer was divided and
    lowered. Scalars have shape (), values by channel (C,); float32, delta of a BitLog2 code in
    integers float64.
    """
    values = {}
    for name, buffer in model.named_buffers():
        if name.rpartition(".")[2] in _DUMPED and buffer.numel():
            array = buffer.detach().cpu().numpy()
            values[name] = array.reshape(()) if array.size == 1 else array.reshape(-1)
    return values


def dump_quantizers(path: Path, quantized: QuantizedModel) -> None:
    """Write `quantizer_values` as a numpy .npz, whole or not at all.

    Its entry `about` is JSON text: model, quantization, seed, and `model_sha256`, the digest that
    the result of a run gives too.
    """
    about = {
        "model": quantized.name,
        "quantization": msgspec.to_builtins(quantized.spec),
        "seed": quantized.seed,
        "model_sha256": quantized.digest,
    }
    values: dict[str, Any] = quantizer_values(quantized.model)
    buffer = BytesIO()
    np.savez(buffer, about=np.array(json.dumps(about)), **values)
    write_whole(path, buffer.getvalue())
