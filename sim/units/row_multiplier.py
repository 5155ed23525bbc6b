"""Unit 12, of RowMax: the output multiplier of a row, that of the layer divided by the weight sum.

One division a row; the result of unit 9 is then rounded once, as in every layer.
"""

import numpy as np

from ..declarations import Helper, Port, Stream, Unit
from ..expressions import parameter, port
from ..jit import borrowing_kernel as kernel
from ..rounding import leading_one, leading_one_kernel
from ..scheme import ROW_MAX
from .output_requantizer import M2, N2
from .weight_sum import WEIGHT_SUM_PORT

M2_ROW = Port("m2_row", "row", M2.bound, low=1, register=True, dtype="int32")
N2_ROW = Port("n2_row", "row", N2.bound, register=True, dtype="uint8")

ROW_MULTIPLIER = Unit(
    "row_multiplier",
    number=12,
    declares=(M2_ROW, N2_ROW),
    streams=(
        Stream("stimulus", "input", "case", ("weight_sum", "m2", "n2")),
        Stream("expected", "output", "case", ("m2_row", "n2_row")),
    ),
    makes=(
        ("row_multiplier", "expected", "m2_row"),
        ("row_multiplier", "expected", "n2_row"),
    ),
    assumes=(
        port("weight_sum") >= parameter("code.int_max"),
        WEIGHT_SUM_PORT.bounded,
        port("n2") <= parameter("max_layer_n2"),
    ),
    helpers=(Helper("leading_one", None),),
    families=(ROW_MAX,),
    after=7,
)


def row_multiplier(weight_sum: int, m2: int, n2: int) -> tuple[int, int]:
    """Return (m2, n2) of a row: m2 / (weight_sum * 2**n2) as a multiplier and a shift.

    With k = lod(w): RND(m2 * 2**k / w), of the exact quotient, and n2 + k (BL2-ROWMUL-01). As w
    is from 2**k to below 2**(k + 1), it is at most m2 and at least half of it: it fits the register
    of m2 and is not 0 (BL2-ROWMUL-02).

    Args:
        weight_sum: w, at least 1.
        m2: multiplier of the layer, at least 1.
        n2: its shift.
    """
    k = leading_one(weight_sum)
    return ((m2 << (k + 1)) + weight_sum) // (2 * weight_sum), n2 + k


@kernel
def row_multiplier_kernel(weight_sum, layer, m2, n2):
    """Write m2 and n2 of each row, all (B,) int64. weight_sum at most 2**26: 51 bits are divided.

    Two loops: the leading ones are found in vectors.
    """
    for i in range(weight_sum.size):
        n2[i] = layer.n2 + leading_one_kernel(weight_sum[i])
    for i in range(weight_sum.size):
        numerator = (layer.m2 << (n2[i] - layer.n2 + np.int64(1))) + weight_sum[i]
        m2[i] = numerator // (weight_sum[i] << np.int64(1))
