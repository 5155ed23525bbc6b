"""Unit 1, kernel: scores of all queries against all keys."""

import numpy as np

from ..jit import borrowing_kernel as kernel

__all__ = ["score_accumulator"]


@kernel
def score_accumulator(q, k, zq, zk, score):
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
