"""Unit 5: the sum of a row."""

from collections.abc import Iterable

__all__ = ["row_sum"]


def row_sum(e: Iterable[int]) -> int:
    """Return s = sum_j e[j], exact.

    Cannot overflow: N keys of at most 2**P. At least 2**P, for the largest key has d = 0
    (BL2-SUM-01, -02).
    """
    return sum(e)
