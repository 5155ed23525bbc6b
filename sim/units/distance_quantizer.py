"""Unit 10, of RowMax in place of units 4 to 6: a distance as a level.

d is a logarithm already, and its key's weight relative to the row's maximum is 2**(-d / 2**F). So
a level is read from d alone: no exp2, no row sum, no leading one, no comparison with a sum.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

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


class Steps(NamedTuple):
    """The thresholds of a scheme, for the kernel.

    fraction_bits: F. half, full: those of the top level and the next, in the octave of d = 0.
    whole: that of the largest level of whole octaves, less the octaves before. farthest: the
    threshold of level 1, or d_max.
    """

    fraction_bits: int
    half: int
    full: int
    whole: int
    farthest: int


@lru_cache(maxsize=64)
def steps_of(config: AttentionConfig) -> Steps:
    """Return the steps of a configuration; those of 0 where its scheme reads no distance."""
    scheme, bits = config.code, config.fraction_bits
    if not scheme.row_max:
        return Steps(0, 0, 0, 0, 0)
    thresholds, above = thresholds_of(scheme, bits), scheme.top_level - scheme.octave_levels
    whole = thresholds[above] - ((above >> 1) << bits)
    farthest = min(thresholds[-1], config.d_max)
    return Steps(bits, thresholds[0], thresholds[1], whole, farthest)


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
def distance_quantizer_kernel(d, steps, scheme, level):
    """Write level[j], how many thresholds d[j] does not pass: unit 10.

    The thresholds of an octave are those of the one before, 2**F further, so that the octave of d
    and two comparisons of its fraction are a level, above whole octaves, and one in them. The last
    level reaches to the farthest d. Lanes are int16.

    d: (N,) int16, at most d_max, and d_max + 1 for a masked key, which is too far; steps: `Steps`;
    level: (N,) uint8.
    """
    half, full, whole = np.int16(steps.half), np.int16(steps.full), np.int16(steps.whole)
    bits, ones = np.int16(steps.fraction_bits), np.int16((1 << steps.fraction_bits) - 1)
    halves = np.int16((scheme.top_level - scheme.octave_levels) >> 1)
    top, below = np.int16(scheme.top_level), np.add(halves, np.int16(scheme.octave_levels))
    farthest, zero, one = np.int16(steps.farthest), np.int16(0), np.int16(1)
    for j in range(level.size):
        octave, fraction = np.right_shift(d[j], bits), np.bitwise_and(d[j], ones)
        passed = np.add(np.int16(fraction > half), np.int16(fraction > full))
        of_half = np.subtract(np.subtract(top, np.add(octave, octave)), passed)
        of_whole = np.subtract(np.subtract(below, octave), np.int16(fraction > whole))
        found = max(of_half if octave < halves else of_whole, one)
        level[j] = np.uint8(zero if d[j] > farthest else found)
