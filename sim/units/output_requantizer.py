"""Unit 9: the accumulator as an output code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..declarations import Helper, Port, Stream, Unit, ones
from ..expressions import parameter
from ..jit import borrowing_kernel as kernel
from ..rounding import rnd, rnd_kernel, sat
from .shift_add import ACC

if TYPE_CHECKING:
    from ..config import AttentionConfig

M2 = Port("m2", "layer", ones("m2_bits"), low=1)
N2 = Port("n2", "layer", parameter("max_n2"))
ZO = Port("zo", "layer", ones("o_bits"))
#: |acc| * M2 plus the rounding constant 2**(n2-1).
OUT_PRODUCT = Port(
    "out_product",
    "channel",
    ACC.bound * M2.bound + (1 << N2.bound >> 1),
    signed=True,
    register=True,
)
OUTPUT = Port("o", "channel", ones("o_bits"), register=True, dtype="uint8")

OUTPUT_REQUANTIZER = Unit(
    "output_requantizer",
    number=9,
    declares=(M2, N2, ZO, OUT_PRODUCT, OUTPUT),
    streams=(
        Stream("stimulus", "input", "case", ("acc", "m2", "n2", "zo")),
        Stream("expected", "output", "case", ("o",)),
    ),
    makes=(("output_requantizer", "expected", "o"),),
    assumes=(N2.bounded,),
    clocked=False,
    helpers=(Helper("output_requantizer_pipe", (N2.bounded,)),),
    lane="output_requantizer",
)


def output_requantizer(acc: int, m2: int, n2: int, zo: int, config: AttentionConfig) -> int:
    """Return o = clamp(RND(acc * M2 >> n2) + zo, 0, 2**o_bits - 1) (BL2-OUT-01)."""
    return sat(rnd(acc * m2, n2) + zo, 0, (1 << config.o_bits) - 1)


@kernel
def output_requantizer_kernel(acc, m2, n2, layer, o):
    """Write o[d] = clamp(RND(acc[d] * M2 >> n2) + zo, 0, o_max).

    acc: (D or more,) int16 or int32; m2, n2: int64, of the layer or of the row; o: (D,) uint8.
    Where `layer.narrow_output` proves that the
    largest accumulator's product with M2, the rounding constant and zo stay within int32 (so
    n2 <= 31), lanes are int32; else int64.
    """
    if layer.narrow_output:
        narrow_m2, narrow_n2 = np.int32(m2), np.int32(n2)
        rounding = np.int32((np.int64(1) << n2) >> np.int64(1))
        zo, zero, o_max = np.int32(layer.zo), np.int32(0), np.int32(layer.o_max)
        for d in range(o.size):
            product = np.add(np.multiply(np.int32(acc[d]), narrow_m2), rounding)
            narrow_value = np.add(np.right_shift(product, narrow_n2), zo)
            o[d] = min(max(narrow_value, zero), o_max)
    else:
        for d in range(o.size):
            value = rnd_kernel(np.int64(acc[d]) * m2, n2) + layer.zo
            o[d] = min(max(value, np.int64(0)), layer.o_max)
