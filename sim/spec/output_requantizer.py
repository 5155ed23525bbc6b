"""Unit 9: the accumulator as an output code."""

from ..config import AttentionConfig
from .rounding import rnd, sat

__all__ = ["output_requantizer"]


def output_requantizer(acc: int, m2: int, n2: int, zo: int, config: AttentionConfig) -> int:
    """Return o = clamp(RND(acc * M2 >> n2) + zo, 0, 2**o_bits - 1) (BL2-OUT-01)."""
    return sat(rnd(acc * m2, n2) + zo, 0, (1 << config.o_bits) - 1)
