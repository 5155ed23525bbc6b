"""Unit 1: the score of a query and a key."""

from collections.abc import Sequence

__all__ = ["score_accumulator"]


def score_accumulator(q: Sequence[int], k: Sequence[int], zq: int, zk: int) -> int:
    """Return S = sum_d (q[d] - zq) * (k[d] - zk), exact.

    Args:
        q, k: D unsigned codes each.
        zq, zk: zero points, codes too.

    Cannot overflow: |S| <= (2**q_bits - 1) * (2**k_bits - 1) * D (BL2-SCORE-02).
    """
    return sum((a - zq) * (b - zk) for a, b in zip(q, k, strict=True))
