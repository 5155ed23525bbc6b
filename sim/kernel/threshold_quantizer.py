"""Unit 6 for whole rows: a level is the number of thresholds that e reaches.

With E = e * A, level k or more is E >= T_k * s (SPEC.md BL2-LOG2-07). s is one number a row, so
each threshold becomes one integer that odd * e is compared with: sixteen comparisons a key, which
vector lanes do faster than leading ones. Equal to `log2_quantizer` bit for bit.
"""

import numpy as np

from ..jit import kernel

__all__ = ["LARGEST_LANE", "count_thresholds", "row_thresholds"]

#: What no lane reaches: odd * e has at most 22 bits.
LARGEST_LANE = 2**31 - 1


@kernel
def row_thresholds(s, scheme, edge):
    """Write edge[k] = ceil(T[k] * s / 2**a), limited to what int32 lanes never reach.

    s: int64 > 0; edge: (16,) int32. T[k] is the value of level k + 1; of 15 the last is missing,
    and its edge is never reached. T[k] * s fits int64: 16 and 36 bits.
    """
    rounding = (np.int64(1) << scheme.base_shift) - np.int64(1)
    for k in range(edge.size):
        reached = (scheme.thresholds[k] * s + rounding) >> scheme.base_shift
        edge[k] = min(reached, np.int64(LARGEST_LANE)) if k < scheme.top_level else LARGEST_LANE


@kernel
def count_thresholds(e, scheme, edge, count, level):
    """Write level[j], the number of edges that odd * e[j] reaches; count is scratch.

    e, count: (N,) int32; edge: (16,) int32; level: (N,) uint8. The clamp to the top level is in
    the number of edges. The sixteen terms stand one by one so that the loop over keys vectorises;
    they are summed in int32 and narrowed afterwards, which keeps all lanes of one width.
    """
    odd = np.int32(scheme.odd)
    t0, t1, t2, t3 = edge[0], edge[1], edge[2], edge[3]
    t4, t5, t6, t7 = edge[4], edge[5], edge[6], edge[7]
    t8, t9, t10, t11 = edge[8], edge[9], edge[10], edge[11]
    t12, t13, t14, t15 = edge[12], edge[13], edge[14], edge[15]
    for j in range(e.size):
        x = np.int32(e[j] * odd)
        low = np.int32(x >= t0) + np.int32(x >= t1) + np.int32(x >= t2) + np.int32(x >= t3)
        low += np.int32(x >= t4) + np.int32(x >= t5) + np.int32(x >= t6) + np.int32(x >= t7)
        high = np.int32(x >= t8) + np.int32(x >= t9) + np.int32(x >= t10) + np.int32(x >= t11)
        high += np.int32(x >= t12) + np.int32(x >= t13) + np.int32(x >= t14) + np.int32(x >= t15)
        count[j] = low + high
    for j in range(e.size):
        level[j] = count[j]
