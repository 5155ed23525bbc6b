"""Unit 3: the row maximum, and the distance of a key from it."""

from collections.abc import Sequence

from ..config import AttentionConfig

__all__ = ["distance", "row_max"]


def row_max(t: Sequence[int], masked: Sequence[bool]) -> int:
    """Return the largest t of the keys that are not masked.

    Raises:
        ValueError: every key is masked (BL2-MAX-02).
    """
    unmasked = [value for value, hidden in zip(t, masked, strict=True) if not hidden]
    if not unmasked:
        raise ValueError("mask must leave at least one key in every row, got a row fully masked")
    return max(unmasked)


def distance(t: int, largest: int, masked: bool, config: AttentionConfig) -> int:
    """Return d = min(largest - t, d_max), unsigned; a masked key shows d_max (BL2-MAX-03, -04)."""
    if masked:
        return config.d_max
    return min(largest - t, config.d_max)
