"""Levels and their values from p, by exponent and mantissa of a float32, which holds p exactly."""

import torch
from torch import Tensor

from bitlog2.sim import Scheme

_EXPONENT_BIAS = 127
_MANTISSA_BITS = 23


def level_of(p: Tensor, scheme: Scheme) -> Tensor:
    """Return the level of each p, int32: that of the largest value not above it.

    The exponent is the position of the leading one, the first bit of the mantissa the bit below
    it. Single: level k + 1 from 2**k on. Half: level 2 k + half bit, and at least 1 from p = 1 on.

    Args:
        p: float32 integers, 0 to A - 1.
        scheme: the levels' scheme; of one that is no ladder the thresholds are searched.
    """
    if not scheme.is_ladder:
        edges = torch.tensor(scheme.thresholds(), dtype=p.dtype, device=p.device)
        return torch.bucketize(p, edges, right=True, out_int32=True)
    bits = p.view(torch.int32)
    if not scheme.half:
        return ((bits >> _MANTISSA_BITS) - _EXPONENT_BIAS + 1).clamp_(min=0)
    key = (bits >> (_MANTISSA_BITS - 1)).sub_(2 * _EXPONENT_BIAS)
    return torch.maximum(key, bits.clamp(max=1), out=key)


def value_of(p: Tensor, scheme: Scheme) -> Tensor:
    """Return the value of the level of each p, float32: p with its lower bits cut off."""
    if not scheme.is_ladder:
        values = torch.tensor(scheme.values, dtype=torch.float32, device=p.device)
        return values[level_of(p, scheme)]
    kept = _MANTISSA_BITS - 1 if scheme.half else _MANTISSA_BITS
    return (p.view(torch.int32) & -(1 << kept)).view(torch.float32)
