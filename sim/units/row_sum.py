"""Unit 5: the sum of a row."""

from collections.abc import Iterable

import numpy as np

from ..declarations import Port, Stream, Unit
from ..expressions import parameter
from ..jit import kernel
from ..scheme import QUOTIENT
from .exp2 import E

#: N times 2**P.
SUM = Port(
    "row_sum",
    "row",
    parameter("max_tokens") << parameter("table_bits"),
    register=True,
    dtype="int64",
)
S = Port("s", "row", SUM.bound, same_as="row_sum")

ROW_SUM = Unit(
    "row_sum",
    number=5,
    declares=(SUM, S),
    streams=(
        Stream("stimulus", "input", "beat", ("last", "e")),
        Stream("expected", "output", "case", ("s",)),
    ),
    makes=(("row_sum", "expected", "s"),),
    assumes=(E.bounded,),
    longest=parameter("max_tokens"),
    families=(QUOTIENT,),
)


def row_sum(e: Iterable[int]) -> int:
    """Return s = sum_j e[j], exact.

    Cannot overflow: N keys of at most 2**P. At least 2**P, for the largest key has d = 0
    (BL2-SUM-01, -02).
    """
    return sum(e)


@kernel
def row_sum_kernel(e):
    """Return the sum of e, (N,) int32, as int64: at most 36 bits for every configuration."""
    total = np.int64(0)
    for j in range(e.size):
        total += np.int64(e[j])
    return total
