"""Scale reparameterization: a per-channel input quantizer made per tensor, exactly."""

import torch
from torch import Tensor, nn

from .float_layers import FloatLinear

__all__ = ["reparameterize", "reparameterize_pair"]


def reparameterize(model: nn.Module, *, round_zero_point: bool) -> None:
    """Move the per-channel scales of the inputs of qkv and fc1 into the LayerNorm before them.

    Args:
        model: a timm ViT with calibrated float-path layers; changed in place.
        round_zero_point: make the zero point a code (integer arithmetic); the published
            arithmetic keeps the fraction of the mean.
    """
    for block in model.blocks:  # type: ignore[union-attr]
        for norm, linear in ((block.norm1, block.attn.qkv), (block.norm2, block.mlp.fc1)):
            reparameterize_pair(norm, linear, round_zero_point=round_zero_point)


def reparameterize_pair(
    norm: nn.LayerNorm, linear: FloatLinear, *, round_zero_point: bool
) -> tuple[Tensor, Tensor]:
    """Rewrite one LayerNorm and the layer after it; return r and b, (C,) each.

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
    return r, b
