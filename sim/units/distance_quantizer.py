"""Unit 10, of RowMax in place of units 4 to 6: a distance as a level.

d is a logarithm already, and its key's weight relative to the row's maximum is 2**(-d / 2**F). So
a level is read from d alone: no exp2, no row sum, no leading one, no comparison with a sum.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ..declarations import Stream, Unit
from ..jit import borrowing_kernel as kernel
from ..scheme import ROW_MAX, Scheme
from ..table import distance_thresholds
from .log2_quantizer import LEVEL
from .row_max import D

if TYPE_CHECKING:
    from ..config import AttentionConfig

DISTANCE_QUANTIZER = Unit(
    "distance_quantizer",
    number=10,
    declares=(LEVEL,),
    streams=(
        Stream("stimulus", "input", "case", ("mask", "d")),
        Stream("expected", "output", "case", ("level", "nibble", "flag")),
    ),
    makes=(
        ("distance_quantizer", "expected", "level"),
        ("code_register", "expected", "nibble"),
        ("code_register", "expected", "flag"),
    ),
    assumes=(D.bounded,),
    clocked=False,
    lane="distance_quantizer",
    families=(ROW_MAX,),
    after=6,
)


@lru_cache(maxsize=64)
def thresholds_of(scheme: Scheme, fraction_bits: int) -> tuple[int, ...]:
    """Return the thresholds of a scheme of the family row_max (BL2-DIST-01)."""
    return distance_thresholds(scheme.values, fraction_bits)


def distance_quantizer(d: int, masked: bool, config: AttentionConfig) -> int:
    """Return the level of d: the largest one whose threshold d does not pass; 0 for a masked key.

    Args:
        d: 0 to d_max.
        masked: whether the key is left out.
        config: gives the scheme, of the family row_max, and F (BL2-DIST-02, -03).
    """
    if masked:
        return 0
    thresholds = thresholds_of(config.code, config.fraction_bits)
    return sum(d <= threshold for threshold in thresholds)


@kernel
def distance_quantizer_kernel(d, layer, level):
    """Write level[j], how many thresholds d[j] does not pass: unit 10.

    d: (N,) int16, at most d_max, and d_max + 1 for a masked key, which `layer.thresholds` of at
    most d_max count as level 0; level: (N,) uint8.
    """
    level[:] = 0
    for i in range(layer.thresholds.size):
        threshold = layer.thresholds[i]
        for j in range(level.size):
            level[j] = np.add(level[j], np.uint8(d[j] <= threshold))
