"""Layers whose roundings let gradients pass, and the quantized models that are made of them.

Forwards they are the layers of a quantized model, bit for bit. Backwards each of them stands for
its real function (`models/qat.py`).
"""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from .attention import IntegerAttention, masked_keys, raw_bias
from .layers import IntegerConv2d, IntegerLinear
from .quantizers import CodeUniform, NormalizedMap
from .supported import refusal


class _Valued(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, exact: Tensor, surrogate: Tensor) -> Tensor:
        return exact.view_as(exact)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:  # type: ignore[override]
        return None, gradient


class _Product(torch.autograd.Function):
    """An exact product with the gradient of x @ weight^T + bias, which is not computed."""

    @staticmethod
    def forward(ctx: Any, exact: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return exact.view_as(exact)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        rows, (_, *needed) = gradient.flatten(0, -2), ctx.needs_input_grad
        return (
            None,
            gradient @ weight if needed[0] else None,
            rows.T @ x.flatten(0, -2) if needed[1] else None,
            rows.sum(dim=0) if needed[2] else None,
        )


def valued(exact: Tensor, surrogate: Tensor) -> Tensor:
    """Return the first with the gradient of the second; both of one shape and type."""
    result: Tensor = _Valued.apply(exact, surrogate)  # type: ignore[no-untyped-call]
    return result


class TrainableUniform(CodeUniform):
    """Codes whose gradient is that of x / scale where they do not saturate, else 0."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the codes of x, as `CodeUniform`."""
        return self.centred(x) + self.zero_point

    def centred(self, x: Tensor) -> Tensor:
        """Return codes less the zero point, as `CodeUniform`."""
        with torch.no_grad():
            centred = super().centred(x)
        if not torch.is_grad_enabled():
            return centred
        real = x / self.delta
        inside = (real.detach() - centred).abs_() <= 0.5
        return valued(centred, real * inside)

    def dequantized(self, codes: Tensor) -> Tensor:
        """Return the real values of codes."""
        return (codes - self.zero_point) * self.delta


class TrainableLinear(IntegerLinear):
    """A linear layer of exact integers, with the gradient of that of dequantized operands."""

    input_quantizer: TrainableUniform
    weight_quantizer: TrainableUniform

    def from_centred(self, centred: Tensor) -> Tensor:
        """Return the layer's output of centred input codes (..., in), its weight coded anew.

        Raises:
            RuntimeError: this is within torch.autocast, whose sums are others.
        """
        if torch.is_autocast_enabled(centred.device.type):
            raise RuntimeError("a trainable model must be run outside of torch.autocast")
        weight = self.weight_quantizer.centred(self.weight)
        with torch.no_grad():
            self.weight_codes = weight.flatten(1).to(torch.int16)
            exact = super().from_centred(centred)
        if not torch.is_grad_enabled():
            return exact
        x, scale = centred * self.input_quantizer.delta, self.weight_quantizer.delta
        product: Tensor = _Product.apply(exact, x, (weight * scale).flatten(1), self.bias)  # type: ignore[no-untyped-call]
        return product


class TrainableConv2d(TrainableLinear, IntegerConv2d):
    """The patch projection: patches unfolded, then `TrainableLinear`."""


class TrainableAttention(IntegerAttention):
    """Attention through the integer datapath, with the gradient of a softmax of real scores.

    Attributes:
        position_bias: (1, H, N, N) float32, of which each pass makes the score bias, or None; at
            first what the score bias of the quantized model stands for.
    """

    proj: TrainableLinear
    q_quantizer: TrainableUniform
    k_quantizer: TrainableUniform
    v_quantizer: TrainableUniform
    position_bias: nn.Parameter | None

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = self.q_quantizer(q), self.k_quantizer(k), self.v_quantizer(v)
        masked = masked_keys(mask, len(q))
        with torch.no_grad():
            self.score_bias = raw_bias(self.position_bias, self.datapath.config)
            regs = self.datapath(q, k, v, self.params(), masked, self.score_bias)
        o = regs.output.o.transpose(1, 2).flatten(2).to(q.dtype)  # (B, N, C)
        if torch.is_grad_enabled():
            values = self.datapath.values[regs.map.level.int()]
            sums = regs.map.weight_sum
            scale = self.delta if sums is None else sums.unsqueeze(-1)
            coded = valued((values / scale).to(q.dtype), self._softmax(q, k, masked))
            out = (coded @ self.v_quantizer.dequantized(v)).transpose(1, 2).flatten(2)
            o = valued(o, self.proj.input_quantizer(out))
        return self.proj.from_codes(o)

    def _softmax(self, q: Tensor, k: Tensor, masked: Tensor | None) -> Tensor:
        """Return the map (B, H, N, N) of codes q and k (B, H, N, D), in real numbers."""
        q, k = self.q_quantizer.dequantized(q), self.k_quantizer.dequantized(k)
        scores = (q @ k.transpose(-2, -1)) * self.score_scale
        if self.position_bias is not None:
            scores = scores + self.position_bias
        if masked is not None:
            scores = scores.masked_fill(masked, float("-inf"))
        return scores.softmax(dim=-1)


#: A trainable class adds what a module does, and but for the position bias no state: so a module
#: changes over by its class, and keeps its names in the state of the model.
_TRAINABLE: dict[type[nn.Module], type[nn.Module]] = {
    CodeUniform: TrainableUniform,
    IntegerLinear: TrainableLinear,
    IntegerConv2d: TrainableConv2d,
    IntegerAttention: TrainableAttention,
}
_QUANTIZED = {new: old for old, new in _TRAINABLE.items()}


def trainable(quantized: nn.Module, *, scales: bool = False) -> nn.Module:
    """Return a trainable copy of a quantized model; every parameter of it takes gradients.

    Dropout and stochastic depth act in train mode as they do in the unquantized model.

    Args:
        quantized: as `quantize` returns it or `load_quantized` has it, not in float arithmetic:
            for `integer` see `TrainableNetwork`. Left as it is.
        scales: let the scales of activations be parameters too (LSQ; Esser et al., 2020).

    Raises:
        TypeError, ValueError: the model is not quantized in integers, or its map is a normalized
            code, which has no gradient.
    """
    if not isinstance(quantized, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(quantized).__name__}")
    if not any(isinstance(each, IntegerLinear) for each in quantized.modules()):
        raise refusal("", quantized, "must be quantized, in the arithmetic attention or integer")
    model = copy.deepcopy(quantized).requires_grad_(True)
    for name, module in model.named_modules():
        if isinstance(module, NormalizedMap):
            raise refusal(name, module, "has no gradient: only maps of the datapath are trained")
        module.__class__ = _TRAINABLE.get(type(module), type(module))
        if scales and isinstance(module, TrainableUniform) and module.axis is None:
            delta = module.delta
            del module.delta
            module.delta = nn.Parameter(delta)
        if isinstance(module, TrainableAttention):
            raw = module.score_bias
            unit = math.log(2.0) / 2.0**module.datapath.config.fraction_bits
            real = None if raw is None else nn.Parameter(raw * unit)
            module.register_parameter("position_bias", real)
    return model


def frozen(model: nn.Module) -> nn.Module:
    """Return the quantized model of a trainable one, as `quantize` returns it, without hooks.

    Args:
        model: as `trainable` returns it, trained or not; left as it is.

    Raises:
        ValueError: names a parameter that is not finite.
    """
    for name, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            raise ValueError(f"parameter {name} must be finite, got NaN or infinity")
    result = copy.deepcopy(model).eval().requires_grad_(False)
    for module in result.modules():
        if isinstance(module, TrainableLinear):
            codes = module.weight_quantizer.centred(module.weight)
            module.weight_codes = codes.flatten(1).to(torch.int16)
        elif isinstance(module, TrainableAttention):
            module.score_bias = raw_bias(module.position_bias, module.datapath.config)
            del module.position_bias
        elif isinstance(module, TrainableUniform) and isinstance(module.delta, nn.Parameter):
            delta = module.delta.data
            del module.delta
            module.register_buffer("delta", delta)
    for module in result.modules():
        module.__class__ = _QUANTIZED.get(type(module), type(module))
        module._forward_pre_hooks.clear()
        module._forward_hooks.clear()  # of `checked`, inside of which this may be
    return result
