"""Scale reparameterization: a per-channel input quantizer made per tensor, exactly."""

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import nn

from .layers import QuantizedLayer
from .supported import refusal


@lru_cache(maxsize=1)
def _pairs() -> dict[type[nn.Module], tuple[tuple[str, str], ...]]:
    """Return of each block that is known the norms, and the layers whose input is their output."""
    from timm.models.swin_transformer import PatchMerging, SwinTransformerBlock
    from timm.models.vision_transformer import Block

    block = (("norm1", "attn.qkv"), ("norm2", "mlp.fc1"))
    return {Block: block, SwinTransformerBlock: block, PatchMerging: (("norm", "reduction"),)}


def norm_and_linear(model: nn.Module) -> Iterator[tuple[str, nn.LayerNorm, nn.Module]]:
    """Yield (name of the layer, LayerNorm, layer) for each qkv, fc1 and Swin reduction.

    These are the layers whose input is a LayerNorm's output, channel by channel.

    Raises:
        ValueError: names a norm or a layer that is of another kind.
    """
    seen: dict[nn.Module, str] = {}
    for name, module in model.named_modules():
        kind = next((kind for kind in _pairs() if isinstance(module, kind)), None)
        if kind is None or type(module).forward is not kind.forward:
            continue
        for norm_name, layer_name in _pairs()[kind]:
            norm, linear = _part(name, module, norm_name), _part(name, module, layer_name)
            if not isinstance(norm, nn.LayerNorm) or norm.weight is None or norm.bias is None:
                raise refusal(f"{name}.{norm_name}", norm, "must be a LayerNorm of weight and bias")
            if not isinstance(linear, nn.Linear | QuantizedLayer):
                raise refusal(f"{name}.{layer_name}", linear, "must be a Linear")
            if norm in seen:
                raise refusal(f"{name}.{norm_name}", norm, f"must not be that of {seen[norm]} too")
            seen[norm] = f"{name}.{layer_name}"
            yield seen[norm], norm, linear


def _part(name: str, module: nn.Module, path: str) -> nn.Module:
    try:
        return module.get_submodule(path)
    except AttributeError:
        raise refusal(name, module, f"must have {path}") from None


def reparameterize(model: nn.Module, *, round_zero_point: bool) -> None:
    """Move the per-channel scales of the inputs of these layers into the LayerNorm before them.

    Args:
        model: a timm ViT or Swin with calibrated float-path layers; changed in place.
        round_zero_point: make the zero point a code (integer arithmetic); the published
            arithmetic keeps the fraction of the mean.
    """
    for _, norm, linear in norm_and_linear(model):
        assert isinstance(linear, QuantizedLayer)
        reparameterize_pair(norm, linear, round_zero_point=round_zero_point)


def reparameterize_pair(
    norm: nn.LayerNorm, linear: QuantizedLayer, *, round_zero_point: bool
) -> None:
    """Rewrite one LayerNorm and the layer after it; the layer keeps r and b, (C,) each.

    With per-channel scale s and zero point z: r = s / mean(s), and b shifts each channel's minimum
    -z s / r onto that of the mean. norm' = norm / r - b, weight' = weight * r, and
    bias' = bias + weight' b leave the unquantized output as it was. The weight's quantizer is
    thawed; the input's is frozen at the means.

    Source: RepQ-ViT (Li et al., 2023), section 3.2.
    """
    quantizer = linear.input_quantizer
    delta, zero_point = quantizer.delta.flatten(), quantizer.zero_point.flatten()
    target_delta, target_zero = delta.mean(), zero_point.mean()
    if round_zero_point:
        target_zero = (target_zero + 0.5).floor().clamp(0, quantizer.max_code)
    r = delta / target_delta
    b = -zero_point * delta / r + target_zero * target_delta
    with torch.no_grad():
        norm.weight.div_(r)
        norm.bias.div_(r).sub_(b)
        linear.weight.mul_(r)
        shift = linear.weight @ b
        if linear.bias is None:
            linear.bias = nn.Parameter(shift, requires_grad=False)
        else:
            linear.bias.add_(shift)
    quantizer.axis = None
    quantizer.freeze(target_delta, target_zero)
    linear.weight_quantizer.thaw()
    linear.reparam_r, linear.reparam_b = r, b
