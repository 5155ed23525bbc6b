"""Unit 1: the score of a query and a key."""

from collections.abc import Sequence

import numpy as np

from ..declarations import LAST, Port, Stream, Unit, ones
from ..expressions import parameter
from ..jit import borrowing_kernel as kernel

ZQ = Port("zq", "layer", ones("q_bits"))
ZK = Port("zk", "layer", ones("k_bits"))
Q = Port("q", "query element", ones("q_bits"))
K = Port("k", "key element", ones("k_bits"))
#: D products of two codes less zero points, each factor at most 2**bits - 1.
SCORE = Port(
    "score",
    "key",
    ones("q_bits") * ones("k_bits") * parameter("max_head_dim"),
    signed=True,
    register=True,
    dtype="int32",
)

SCORE_ACCUMULATOR = Unit(
    "score_accumulator",
    number=1,
    declares=(LAST, ZQ, ZK, Q, K, SCORE),
    streams=(
        Stream("params", "input", "case", ("zq", "zk")),
        Stream("stimulus", "input", "beat", ("last", "q", "k")),
        Stream("expected", "output", "case", ("score",)),
    ),
    makes=(("score_accumulator", "expected", "score"),),
    longest=parameter("max_head_dim"),
)


def score_accumulator(q: Sequence[int], k: Sequence[int], zq: int, zk: int) -> int:
    """Return S = sum_d (q[d] - zq) * (k[d] - zk), exact.

    Args:
        q, k: D unsigned codes each.
        zq, zk: zero points, codes too.

    Cannot overflow: |S| <= (2**q_bits - 1) * (2**k_bits - 1) * D (BL2-SCORE-02).
    """
    return sum((a - zq) * (b - zk) for a, b in zip(q, k, strict=True))


@kernel
def score_accumulator_kernel(q, k, zq, zk, score):
    """Write score[i, j] = sum_d (q[i, d] - zq) * (k[j, d] - zk).

    q: (R, D), k: (N, D) integer codes; score: (R, N) int32. The bound of BL2-SCORE-02 is below
    2**31 for every configuration (255 * 255 * 1024), so int32 cannot overflow.
    """
    for i in range(q.shape[0]):
        for j in range(k.shape[0]):
            total = np.int64(0)
            for d in range(q.shape[1]):
                total += (np.int64(q[i, d]) - zq) * (np.int64(k[j, d]) - zk)
            score[i, j] = total
