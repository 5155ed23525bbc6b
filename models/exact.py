"""Exact integer products in torch, on any device."""

import torch
from torch import Tensor

__all__ = ["exact_matmul"]


def exact_matmul(a: Tensor, b: Tensor, bound: int) -> Tensor:
    """Return a @ b of integers held in float32, exact, as float32 (float64 from 2**24 on).

    Every partial sum, in any order, is an integer of magnitude at most `bound`, which float32
    holds up to 2**24. Reduced-precision multipliers (TF32, bfloat16) do no harm: operands are
    codes less zero points or level values, at most 8 significant bits, which these formats hold,
    and sums stay float32.

    Args:
        a, b: (..., I, J) and (..., J, K) integers in float32.
        bound: the largest sum of |a| * |b| over J, proved by the caller from its widths.

    Raises:
        ValueError: the bound is 2**53 or more.
    """
    if bound >= 1 << 53:
        raise ValueError(f"bound must be below 2**53 for an exact product, got {bound}")
    dtype = torch.float32 if bound < 1 << 24 else torch.float64
    with torch.autocast(a.device.type, enabled=False):
        return torch.matmul(a.to(dtype), b.to(dtype))
