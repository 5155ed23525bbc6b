"""Levels and their values from p, by exponent and mantissa of a float32, which holds p exactly."""

from functools import lru_cache
from math import gcd

import numpy as np
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
        p: float32 integers, 0 to A - 1; where the thresholds are searched, to A.
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


@lru_cache(maxsize=256)
def quotient_kind(scheme: Scheme, table_bits: int, tokens: int) -> torch.dtype:
    """Return the type in which e * A / s has its exact level though it is rounded.

    The level is that of the largest value v with v <= e * A / s. A quotient from v on is not
    rounded to below v, which the type holds. One below v misses v by at least gcd(v, A) / s, since
    e * A and v * s are multiples of that divisor: it is not rounded up to v where this is more than
    half the distance from v to the float32 below. Operands are exact there: s, and e * A, which is
    e times 1 or 3 and a power of two. float64 is exact for any configuration: e * A + s is below
    2**53, and a quotient below an integer misses it by at least 1 part in that.

    Args:
        scheme: of the levels; of what is no ladder p itself has to be exact.
        table_bits: e is at most 2**table_bits.
        tokens: keys of a row, so that s is at most tokens * 2**table_bits.
    """
    if not scheme.is_ladder:
        return torch.float64
    largest = tokens << table_bits
    below = [(v, v - float(np.nextafter(np.float32(v), np.float32(0)))) for v in scheme.values[1:]]
    apart = all(2 * gcd(v, scheme.int_max) > largest * gap for v, gap in below)
    exact = max(largest, scheme.odd_factor << table_bits) <= 1 << 24
    return torch.float32 if apart and exact else torch.float64
