"""Unit 9: the accumulator as an output code."""

import numpy as np

from ..config import AttentionConfig
from ..declarations import Stream, Unit
from ..jit import borrowing_kernel as kernel
from ..ports import bounded
from ..rounding import rnd, rnd_kernel, sat

OUTPUT_REQUANTIZER = Unit(
    "output_requantizer",
    streams=(
        Stream("stimulus", "input", "case", ("acc", "m2", "n2", "zo")),
        Stream("expected", "output", "case", ("o",)),
    ),
    makes=(("output_requantizer", "expected", "o"),),
    assumes=(bounded("n2"),),
    clocked=False,
    lane="output_requantizer",
)


def output_requantizer(acc: int, m2: int, n2: int, zo: int, config: AttentionConfig) -> int:
    """Return o = clamp(RND(acc * M2 >> n2) + zo, 0, 2**o_bits - 1) (BL2-OUT-01)."""
    return sat(rnd(acc * m2, n2) + zo, 0, (1 << config.o_bits) - 1)


@kernel
def output_requantizer_kernel(acc, layer, o):
    """Write o[d] = clamp(RND(acc[d] * M2 >> n2) + zo, 0, o_max).

    acc: (D or more,) int16 or int32; o: (D,) uint8. Where `layer.narrow_output` proves that the
    largest accumulator's product with M2, the rounding constant and zo stay within int32 (so
    n2 <= 31), lanes are int32; else int64.
    """
    if layer.narrow_output:
        m2, n2 = np.int32(layer.m2), np.int32(layer.n2)
        rounding = np.int32((np.int64(1) << layer.n2) >> np.int64(1))
        zo, zero, o_max = np.int32(layer.zo), np.int32(0), np.int32(layer.o_max)
        for d in range(o.size):
            product = np.add(np.multiply(np.int32(acc[d]), m2), rounding)
            narrow_value = np.add(np.right_shift(product, n2), zo)
            o[d] = min(max(narrow_value, zero), o_max)
    else:
        for d in range(o.size):
            value = rnd_kernel(np.int64(acc[d]) * layer.m2, layer.n2) + layer.zo
            o[d] = min(max(value, np.int64(0)), layer.o_max)
