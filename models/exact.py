"""Exact integer products in torch, on any device."""

from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["exact_linear", "exact_matmul", "int8_product_is_safe"]

_INT8_MAX, _INT16_MAX = 127, 32767


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


def exact_linear(x: Tensor, weight: Tensor, x_max: int, weight_max: int) -> Tensor:
    """Return x @ weight^T of integers, exact in the accumulator, then float32.

    On the CPU the product is taken in int8 with int32 accumulators where the widths prove it safe
    (several times as fast as float32), else as `exact_matmul`. An accumulator of 2**24 or more is
    rounded once, to the nearest float32, by both.

    Args:
        x: (..., K) integers in float32, at most `x_max` in magnitude.
        weight: (N, K) int16 integers, at most `weight_max` in magnitude.
        x_max, weight_max: proved by the caller from its widths.
    """
    narrow = x.device.type == "cpu" and int8_product_is_safe(x_max, weight_max)
    if narrow and _int8_product_works():
        rows = x.reshape(-1, x.shape[-1]).to(torch.int8)
        product = torch._int_mm(rows, weight.to(torch.int8).t())
        return product.float().view(*x.shape[:-1], len(weight))
    bound = x_max * weight_max * weight.shape[1]
    return exact_matmul(x, weight.t().float(), bound).float()


def int8_product_is_safe(x_max: int, weight_max: int) -> bool:
    """Whether no int8 product of such operands can saturate on any processor.

    Processors without VNNI multiply unsigned by signed bytes and add pairs in int16, which
    saturates. A library makes x unsigned by adding 128: so 2 * (128 + x_max) * weight_max must fit
    int16. True up to 6 by 6 bits.
    """
    fits = max(x_max, weight_max) <= _INT8_MAX
    return fits and 2 * (128 + x_max) * weight_max <= _INT16_MAX


@lru_cache(maxsize=1)
def _int8_product_works() -> bool:
    """Whether this torch has the int8 product, and gives the exact sums of extreme operands."""
    signs = torch.tensor([1, 1, 1, -1, -1]).repeat(13)
    x = torch.stack([signs * 63, -signs * 63, signs.roll(1) * 63])
    weight = torch.stack([signs * 63, signs.roll(2) * 63])
    try:
        product = torch._int_mm(x.to(torch.int8), weight.to(torch.int8).t())
    except (AttributeError, RuntimeError):
        return False
    return torch.equal(product.long(), x @ weight.t())
