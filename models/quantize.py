"""Post-training quantization of a timm ViT: from a trained model to the float or integer path."""

import copy
from dataclasses import dataclass
from typing import Any

from timm.layers.attention import Attention
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from bitlog2.sim import SCHEMES, AttentionConfig

from .calibration import calibrate
from .float_attention import FloatAttention
from .float_layers import FloatConv2d, FloatLinear
from .float_map import FloatMap, Log2Map
from .integer_attention import FloatMapIntegerAttention, IntegerAttention
from .integer_layers import IntegerConv2d, IntegerLinear
from .reparameterize import reparameterize

__all__ = [
    "ARITHMETICS",
    "MODEL_SCHEMES",
    "QuantizationSpec",
    "float_path",
    "integer_path",
    "quantize",
]

#: What a model's attention map can be coded with; `none` leaves it as it is.
MODEL_SCHEMES = (*SCHEMES, "none")
ARITHMETICS = ("float", "integer")
#: Bits of the patch projection's input, as published.
_IMAGE_BITS = 8


@dataclass(frozen=True)
class QuantizationSpec:
    """How a model is quantized.

    Attributes:
        scheme: the attention map's code, one of `MODEL_SCHEMES`.
        arithmetic: `float` (published fake quantization) or `integer`.
        w_bits, a_bits: widths of weight and activation codes, 2 to 8.

    Raises:
        ValueError: a field is out of range.
    """

    scheme: str = "BitLog2_Half_17"
    arithmetic: str = "integer"
    w_bits: int = 4
    a_bits: int = 4

    def __post_init__(self) -> None:
        if self.scheme not in MODEL_SCHEMES:
            raise ValueError(
                f"scheme must be one of {', '.join(MODEL_SCHEMES)}, got {self.scheme!r}"
            )
        if self.arithmetic not in ARITHMETICS:
            raise ValueError(
                f"arithmetic must be one of {', '.join(ARITHMETICS)}, got {self.arithmetic!r}"
            )
        for name in ("w_bits", "a_bits"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 2 <= value <= 8:
                raise ValueError(f"{name} must be an integer from 2 to 8, got {value!r}")

    def attention_config(self) -> AttentionConfig:
        """Return the configuration of the datapath; ValueError for scheme `none`."""
        bits = self.a_bits
        return AttentionConfig(self.scheme, q_bits=bits, k_bits=bits, v_bits=bits, o_bits=bits)


def quantize(model: VisionTransformer, images: Tensor, spec: QuantizationSpec) -> VisionTransformer:
    """Return a quantized copy of a trained model.

    The published flow: calibrate, reparameterize the inputs of qkv and fc1, calibrate again. The
    integer path takes the reparameterized weights, rounds the reparameterized zero points, and is
    then calibrated in its own arithmetic.

    Args:
        model: timm ViT or DeiT, in eval mode; left as it is.
        images: (B, C, H, W) float32 calibration batch.
        spec: how.

    Raises:
        ValueError: a layer is not supported, or its values cannot be quantized (named).
    """
    integer = spec.arithmetic == "integer"
    quantized = float_path(model, spec)
    calibrate(quantized, images)
    reparameterize(quantized, round_zero_point=integer)
    if integer:
        quantized = integer_path(quantized, spec)
    calibrate(quantized, images)
    return quantized


def float_path(model: VisionTransformer, spec: QuantizationSpec) -> VisionTransformer:
    """Return a copy of the model with the published fake-quantized layers, not calibrated."""
    result = copy.deepcopy(model).eval().requires_grad_(False)
    w_bits, a_bits = spec.w_bits, spec.a_bits
    for name, module in list(result.named_modules()):
        if isinstance(module, nn.Conv2d):
            _refuse_odd_conv(name, module)
            _replace(result, name, FloatConv2d(module, w_bits, _IMAGE_BITS))
        elif isinstance(module, nn.Linear):
            per_channel = name.endswith((".qkv", ".fc1"))
            _replace(result, name, FloatLinear(module, w_bits, a_bits, per_channel=per_channel))
    for name, module in list(result.named_modules()):
        if isinstance(module, Attention):
            _refuse_odd_attention(name, module)
            attention_map = _float_map(spec.scheme)
            qkv: Any = module.qkv  # replaced above
            proj: Any = module.proj
            heads, scale = module.num_heads, module.scale
            _replace(result, name, FloatAttention(qkv, proj, attention_map, heads, scale, a_bits))
    return result


def integer_path(model: VisionTransformer, spec: QuantizationSpec) -> VisionTransformer:
    """Return the integer form of a calibrated and reparameterized float path, not calibrated.

    Of the float path's parameters it keeps those of the reparameterized inputs.
    """
    result = copy.deepcopy(model)
    w_bits, a_bits = spec.w_bits, spec.a_bits
    for name, module in list(result.named_modules()):
        if isinstance(module, FloatConv2d):
            stride = (module.stride[0], module.stride[1])
            new = IntegerConv2d(module.weight, module.bias, stride, w_bits, _IMAGE_BITS)
            _replace(result, name, new)
        elif isinstance(module, FloatLinear):
            linear = IntegerLinear(module.weight, module.bias, w_bits, a_bits)
            source = module.input_quantizer
            if name.endswith((".qkv", ".fc1")) and source.frozen:
                linear.input_quantizer.freeze(source.delta, source.zero_point)
            _replace(result, name, linear)
    for name, module in list(result.named_modules()):
        if isinstance(module, FloatAttention):
            _replace(result, name, _integer_attention(module, spec))
    return result


def _float_map(scheme: str) -> FloatMap | Log2Map:
    return FloatMap() if scheme == "none" else Log2Map(SCHEMES[scheme])


def _integer_attention(module: FloatAttention, spec: QuantizationSpec) -> nn.Module:
    qkv: Any = module.qkv  # replaced by its integer form
    proj: Any = module.proj
    if spec.scheme == "none":
        return FloatMapIntegerAttention(qkv, proj, module.num_heads, module.scale, spec.a_bits)
    config = spec.attention_config()
    return IntegerAttention(qkv, proj, module.num_heads, module.scale, config)


def _replace(model: nn.Module, name: str, new: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, new)


def _refuse_odd_conv(name: str, conv: nn.Conv2d) -> None:
    plain = conv.groups == 1 and conv.padding == (0, 0) and conv.dilation == (1, 1)
    if not plain:
        raise ValueError(f"layer {name}: convolution must have no padding, dilation or groups")


def _refuse_odd_attention(name: str, attention: Attention) -> None:
    parts = (attention.q_norm, attention.k_norm, getattr(attention, "norm", nn.Identity()))
    if getattr(attention, "gate", None) is not None or not all(
        isinstance(part, nn.Identity) for part in parts
    ):
        raise ValueError(f"layer {name}: attention must have no q/k norm, output norm or gate")
