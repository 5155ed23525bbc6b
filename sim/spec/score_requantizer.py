"""Unit 2: the score in units of 2**-F octaves, with its bias."""

from ..config import AttentionConfig
from .rounding import rnd, sat

__all__ = ["score_requantizer"]


def score_requantizer(score: int, m: int, n: int, bias: int, config: AttentionConfig) -> int:
    """Return t = SAT(RND(S * M >> n) + b), signed, `t_bits` wide, F fraction bits.

    One rounding, RND, before the bias; one saturation, after it (BL2-REQ-01, -02).

    Args:
        score: S.
        m, n: multiplier and shift of the layer.
        bias: b, signed, in the range of t; 0 where there is none.
    """
    return sat(rnd(score * m, n) + bias, config.t_min, config.t_max)
