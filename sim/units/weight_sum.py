"""Unit 11, of RowMax: the sum of the values of a row's levels."""

from collections.abc import Iterable

import numpy as np

from ..declarations import Helper, Port, Stream, Unit
from ..expressions import parameter
from ..jit import borrowing_kernel as kernel
from ..scheme import ROW_MAX, Scheme
from .log2_quantizer import LEVEL
from .shift_add import value_of_level

#: N times A.
WEIGHT_SUM_PORT = Port(
    "weight_sum", "row", parameter("largest_weight"), register=True, dtype="int32"
)

WEIGHT_SUM = Unit(
    "weight_sum",
    number=11,
    declares=(WEIGHT_SUM_PORT,),
    streams=(
        Stream("stimulus", "input", "beat", ("last", "level")),
        Stream("expected", "output", "case", ("weight_sum",)),
    ),
    makes=(("weight_sum", "expected", "weight_sum"),),
    assumes=(LEVEL.bounded,),
    longest=parameter("max_tokens"),
    helpers=(Helper("level_value", (LEVEL.bounded,)),),
    families=(ROW_MAX,),
    after=7,
)


def weight_sum(levels: Iterable[int], scheme: Scheme) -> int:
    """Return w, the sum of the levels' values, exact (BL2-WEIGHT-01).

    Cannot overflow: N keys of at most A. At least A, for the largest key has d = 0 and the top
    level (BL2-WEIGHT-02).
    """
    return sum(scheme.values[level] for level in levels)


@kernel
def weight_sum_kernel(level, scheme):
    """Return the sum of the values of level, (N,) uint8, as int64: at most 2**26."""
    total = np.int32(0)
    for j in range(level.size):
        total = np.add(total, value_of_level(level[j], scheme))
    return np.int64(total)
