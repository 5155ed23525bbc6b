"""Codes and scales of a quantized model's layers, as arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from .ptq.attention import IntegerAttention
from .ptq.layers import IntegerConv2d, IntegerLinear

__all__ = ["LinearCodes", "attention_scales", "linear_codes"]


@dataclass(frozen=True, eq=False)
class LinearCodes:
    """A linear layer or the patch projection: real = (code - zero point) * scale.

    Attributes:
        name: module name.
        kernel: (channels, height, width) of a convolution, None for a linear layer.
        stride: (down, across) of a convolution, None for a linear layer.
        weight_bits, input_bits: widths of the codes.
        arrays: by name: `weight` (out, in) uint8 codes, a convolution's inputs in the order of
            `kernel`, the last axis fastest; `weight_zero` (out,) uint8; `weight_scale` (out,)
            float32; `bias` (out,) float32 where there is one; `input_scale` (1,) float32;
            `input_zero` (1,) uint8.
    """

    name: str
    kernel: tuple[int, int, int] | None
    stride: tuple[int, int] | None
    weight_bits: int
    input_bits: int
    arrays: dict[str, NDArray[Any]]


def linear_codes(model: nn.Module) -> list[LinearCodes]:
    """Return every linear layer and the patch projection of an integer model, in its order.

    Raises:
        ValueError: a layer is not calibrated.
    """
    return [
        _codes(name, module)
        for name, module in model.named_modules()
        if isinstance(module, IntegerLinear)
    ]


def attention_scales(model: nn.Module, layer: str) -> dict[str, NDArray[Any]]:
    """Return the scales of an attention layer's codes: (1,) each.

    `q_scale`, `k_scale`, `v_scale` float32: the real value of a step of the code; `map_scale`
    int32: the value of a level that stands for the probability 1. The scale of the output codes is
    the input scale of the projection after it.

    Raises:
        ValueError: `layer` is no attention layer with an integer datapath.
    """
    module = dict(model.named_modules()).get(layer)
    if not isinstance(module, IntegerAttention):
        raise ValueError(f"layer must be an attention layer with a datapath, got {layer!r}")
    quantizers = {"q": module.q_quantizer, "k": module.k_quantizer, "v": module.v_quantizer}
    scales = {f"{name}_scale": _reals(q.delta) for name, q in quantizers.items()}
    return {**scales, "map_scale": np.array([int(module.delta)], np.int32)}


def _codes(name: str, layer: IntegerLinear) -> LinearCodes:
    weight, given = layer.weight_quantizer, layer.input_quantizer
    if not (weight.frozen and given.frozen and layer.weight_codes.numel()):
        raise ValueError(f"layer {name} must be calibrated")
    zero = weight.zero_point.reshape(-1, 1).int()
    arrays: dict[str, NDArray[Any]] = {
        "weight": _integers(layer.weight_codes.int() + zero),
        "weight_zero": _integers(zero.flatten()),
        "weight_scale": _reals(weight.delta),
        "input_scale": _reals(given.delta),
        "input_zero": _integers(given.zero_point.reshape(1)),
    }
    if layer.bias is not None:
        arrays["bias"] = _reals(layer.bias)
    kernel = stride = None
    if isinstance(layer, IntegerConv2d):
        kernel = (layer.weight.shape[1], layer.weight.shape[2], layer.weight.shape[3])
        stride = layer.stride
    return LinearCodes(name, kernel, stride, weight.bits, given.bits, arrays)


def _integers(codes: Tensor) -> NDArray[np.uint8]:
    return codes.cpu().numpy().astype(np.uint8)


def _reals(values: Tensor) -> NDArray[np.float32]:
    return values.detach().cpu().float().numpy().reshape(-1)
