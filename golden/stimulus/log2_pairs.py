"""The kernel of the log2 quantizer over pairs of e and s: it takes a row of e with one s."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim.units.log2_quantizer import log2_quantizer_kernel as log2_quantizer

from ..threads import kernel


@kernel
def levels_of_pairs(
    e: NDArray[np.int32], s: NDArray[np.int64], scheme: Any, level: NDArray[np.uint8]
) -> None:
    """Write level[j] of e[j] / s[j] by the kernel, each pair as a row of one key.

    e: (N,) int32 with 0 <= e <= s; s: (N,) int64 > 0; level: (N,) uint8. The row is scratch: a
    slice for each pair takes half as long again.
    """
    key, coded = np.empty(1, np.int32), np.empty(1, np.uint8)
    for j in range(e.size):
        key[0] = e[j]
        log2_quantizer(key, s[j], scheme, coded)
        level[j] = coded[0]
