"""A quantized model's layers as an export: descriptions of the layers and their arrays."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from bitlog2.golden import (
    AttentionLayer,
    ConvolutionLayer,
    ExportManifest,
    LinearLayer,
    Params,
    Quantization,
    write_export,
)
from bitlog2.golden.package.export import ExportReport
from bitlog2.golden.package.folder import check_replaceable
from bitlog2.golden.stimulus.unit import Progress
from bitlog2.models.ptq.attention import CalibratedDatapath
from bitlog2.models.ptq.dot_product import DotProductAttention
from bitlog2.models.ptq.layers import IntegerConv2d, IntegerLinear
from bitlog2.models.runs.request import EvaluationRequest
from bitlog2.models.watch.capture import LayerCapture

from .capture import CaptureChoice, Captured, capture, command_of, datapath_of

#: The numbers of a layer by field name; None for an optional field that it has not.
Arrays = dict[str, Any]


def export_model(
    out: str | Path, request: EvaluationRequest, choice: CaptureChoice, progress: Progress
) -> ExportReport:
    """Capture layers of a model and write them, with all of its linear layers, as an export.

    Raises:
        ValueError, OSError: as `capture`, `write_export`.
    """
    check_replaceable(Path(out).resolve(), ExportManifest)
    captured = capture(request, choice, progress)
    chosen = {name: captured.chosen[name] for name in ("images", "layers")}
    command = command_of(captured.request, ["bitlog2", "export"], chosen)
    return write_export(out, *exported(captured, command), progress=progress)


def exported(captured: Captured, command: str) -> tuple[ExportManifest, dict[str, Arrays]]:
    """Return the export of a model by name and its arrays by layer.

    Args:
        captured: a model and some of its attention layers.
        command: the command that makes the export again.
    """
    request = captured.request
    name, spec, seed = datapath_of(request)
    quantization = Quantization(
        scheme=spec.scheme,
        arithmetic="attention",
        w_bits=spec.w_bits,
        a_bits=spec.a_bits,
        calibration=spec.calibration,
        seed=seed,
        calibration_images=None if request.load else request.calibration_images,
    )
    return export_of(captured.model, captured.layers, name, quantization, command)


def export_of(
    model: nn.Module,
    layers: Sequence[LayerCapture],
    name: str,
    quantization: Quantization,
    command: str,
) -> tuple[ExportManifest, dict[str, Arrays]]:
    """Return an export and its arrays by layer.

    Args:
        model: as `quantize` returns it.
        layers: some of its attention layers, captured.
        name: of the model.
        quantization: how it was quantized.
        command: what makes the export again.
    """
    found = {part.layer: attention_layer(part, model) for part in layers}
    found |= {
        name: linear_layer(name, module)
        for name, module in model.named_modules()
        if isinstance(module, IntegerLinear)
    }
    export = ExportManifest.of(
        model=name,
        quantization=quantization,
        config=layers[0].config,
        images=layers[0].images,
        layers=tuple(found[name][0] for name, _ in model.named_modules() if name in found),
        command=command,
    )
    return export, {name: arrays for name, (_, arrays) in found.items()}


def attention_layer(part: LayerCapture, model: nn.Module) -> tuple[AttentionLayer, Arrays]:
    """Return a captured attention layer and its numbers."""
    described = AttentionLayer(
        name=part.layer,
        windows=part.windows,
        heads=part.heads,
        tokens=part.tokens,
        head_dim=part.q.shape[4],
        masked=part.masked is not None,
        biased=part.bias is not None,
        scaled=isinstance(dict(model.named_modules())[part.layer], DotProductAttention),
        params=Params(**part.params.as_dict()),
    )
    codes = {name: getattr(part, name) for name in ("q", "k", "v", "level", "nibble", "flag", "o")}
    params = {name: np.array([value]) for name, value in part.params.as_dict().items()}
    maps = {"mask": part.masked, "score_bias": part.bias}
    return described, {**codes, **params, **maps, **attention_scales(model, part.layer)}


def attention_scales(model: nn.Module, layer: str) -> dict[str, NDArray[Any]]:
    """Return the scales of an attention layer's codes: (1,) each.

    `q_scale`, `k_scale`, `v_scale` float32: the real value of a step of the code; `map_scale`
    int32: the value of a level that stands for the probability 1. The scale of the output codes is
    the input scale of the projection after it, or `o_scale` of a layer that has none.

    Raises:
        ValueError: `layer` is no attention layer with an integer datapath.
    """
    module = dict(model.named_modules()).get(layer)
    if not isinstance(module, CalibratedDatapath):
        raise ValueError(f"layer must be an attention layer with a datapath, got {layer!r}")
    quantizers = {"q": module.q_quantizer, "k": module.k_quantizer, "v": module.v_quantizer}
    if isinstance(module, DotProductAttention):
        quantizers["o"] = module.output_quantizer
    scales = {f"{name}_scale": _reals(q.delta) for name, q in quantizers.items()}
    return {**scales, "map_scale": np.array([int(module.delta)], np.int32)}


def linear_layer(name: str, layer: IntegerLinear) -> tuple[LinearLayer, Arrays]:
    """Return a linear layer or the patch projection: real = (code - zero point) * scale.

    Returns:
        with its arrays by name: `weight` (out, in) uint8 codes, a convolution's inputs in the order
        of `kernel`, the last axis fastest; `weight_zero` (out,) uint8; `weight_scale` (out,)
        float32; `bias` (out,) float32 where there is one; `input_scale` (1,) float32;
        `input_zero` (1,) uint8.

    Raises:
        ValueError: the layer is not calibrated.
    """
    weight, given = layer.weight_quantizer, layer.input_quantizer
    if not (weight.frozen and given.frozen and layer.weight_codes.numel()):
        raise ValueError(f"layer {name} must be calibrated")
    zero = weight.zero_point.reshape(-1, 1).int()
    arrays: Arrays = {
        "weight": _integers(layer.weight_codes.int() + zero),
        "weight_zero": _integers(zero.flatten()),
        "weight_scale": _reals(weight.delta),
        "input_scale": _reals(given.delta),
        "input_zero": _integers(given.zero_point.reshape(1)),
    }
    if layer.bias is not None:
        arrays["bias"] = _reals(layer.bias)
    outputs, inputs = arrays["weight"].shape
    described: dict[str, Any] = {
        "name": name,
        "outputs": outputs,
        "inputs": inputs,
        "biased": "bias" in arrays,
        "weight_bits": weight.bits,
        "input_bits": given.bits,
    }
    if not isinstance(layer, IntegerConv2d):
        return LinearLayer(**described), arrays
    kernel = (layer.weight.shape[1], layer.weight.shape[2], layer.weight.shape[3])
    return ConvolutionLayer(**described, kernel=kernel, stride=layer.stride), arrays


def _integers(codes: Tensor) -> NDArray[np.uint8]:
    return codes.cpu().numpy().astype(np.uint8)


def _reals(values: Tensor) -> NDArray[np.float32]:
    return values.detach().cpu().float().numpy().reshape(-1)
