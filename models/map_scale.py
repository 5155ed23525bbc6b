"""delta, the scale of an attention map's levels: an integer by least squares, in closed form."""

from fractions import Fraction

import torch
from torch import Tensor

from bitlog2.sim import Scheme

__all__ = ["best_delta"]


def best_delta(level: Tensor, x: Tensor, scheme: Scheme, *, largest: int) -> int:
    """Return the integer delta with the least sum of (x - value(level) / delta)**2.

    The optimum over the reals is sum(value**2) / sum(x * value); the squared error falls before it
    and rises after it, so the best integer is one of its two neighbours, clamped to
    [largest value seen, `largest`]; ties go to the smaller. Sums are float64, from a histogram
    over the levels.

    Args:
        level: integer levels, any shape.
        x: the attention map that the levels stand for, 0 to 1, same shape, float.
        scheme: the levels' scheme.
        largest: upper limit, A - 1 in the published arithmetic and A in the integer one.

    Raises:
        ValueError: every level is zero: the map has vanished.

    Source: the least-squares search of the published quantizer; the closed form is ours.
    """
    flat = level.reshape(-1).to(torch.int64)
    weight = x.reshape(-1).to(torch.float64)
    count = torch.bincount(flat, minlength=scheme.levels).tolist()
    mass = torch.bincount(flat, weights=weight, minlength=scheme.levels).tolist()
    squares = sum(n * value**2 for n, value in zip(count, scheme.values, strict=True))
    cross = sum(Fraction(m) * value for m, value in zip(mass, scheme.values, strict=True))
    if squares == 0 or cross == 0:
        raise ValueError(
            f"attention map must hold a level above zero, got none: rows flatter than "
            f"1/{scheme.int_max} a key vanish under {scheme.name}"
        )
    seen = max(value for n, value in zip(count, scheme.values, strict=True) if n)
    floor = int(squares / cross)

    def error(delta: int) -> Fraction:
        return Fraction(squares, delta**2) - 2 * cross / delta

    candidates = sorted({min(max(delta, seen), largest) for delta in (floor, floor + 1)})
    return min(candidates, key=error)
