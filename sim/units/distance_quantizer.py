"""Unit 10, of RowMax in place of units 4 to 6: a distance as a level.

d is a logarithm already, and its key's weight relative to the row's maximum is 2**(-d / 2**F). So
a level is read from d alone: no exp2, no row sum, no leading one, no comparison with a sum.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..declarations import Stream, Unit
from ..jit import borrowing_kernel as kernel
from ..parts import bounds_of, parts_of
from ..scheme import ROW_MAX, Scheme
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

    fraction_bits: F. half, full, whole: what is added to d so that its octave is the number of
    thresholds passed: of the top level's and those an octave apart from it, of the next level's,
    and of those of whole octaves with all before. farthest: the threshold of level 1, or d_max.
    levels: (d_max + 2,) uint8, the level of every d and last of a masked key, of what is no ladder;
    of a ladder (0,).
    """

    fraction_bits: int
    half: int
    full: int
    whole: int
    farthest: int
    levels: NDArray[np.uint8]


@lru_cache(maxsize=64)
def steps_of(config: AttentionConfig) -> Steps:
    """Return the steps of a configuration; those of 0 where its scheme reads no distance."""
    scheme, bits, nothing = config.code, config.fraction_bits, np.empty(0, np.uint8)
    if not scheme.row_max:
        return Steps(0, 0, 0, 0, 0, nothing)
    if not scheme.is_ladder:
        falling = np.array(thresholds_of(scheme, bits))
        levels = scheme.top_level - np.searchsorted(falling, np.arange(config.d_max + 1))
        return Steps(bits, 0, 0, 0, config.d_max, np.append(levels, 0).astype(np.uint8))
    thresholds, halves = thresholds_of(scheme, bits), scheme.top_level - scheme.octave_levels
    octave, before = 1 << bits, (halves >> 1) << bits
    whole = thresholds[halves] - before
    half, full = thresholds[:2] if halves else (whole, whole)
    added = (octave - 1 - half, octave - 1 - full, octave - 1 - whole + before)
    return Steps(bits, *added, min(thresholds[-1], config.d_max), nothing)


@lru_cache(maxsize=64)
def thresholds_of(scheme: Scheme, fraction_bits: int) -> tuple[int, ...]:
    """Return the thresholds of a scheme of row_max, the top level's first (BL2-DIST-01)."""
    return scheme.thresholds(fraction_bits)[::-1]


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
def level_on_ladder(d, steps, scheme):
    """Return the top level less the thresholds that d passes, int16, of a scheme that is a ladder.

    An octave has two thresholds above whole octaves, and one in them. Counted on beyond their
    octaves, the two pass the one there and not before, for of the octave of d = 0 the one lies
    between the two: so the smaller number is the right one. The last level reaches to the farthest
    d. Lanes are int16.

    d: int16, at most d_max + 1; steps: `Steps`.
    """
    bits, farthest = np.int16(steps.fraction_bits), np.int16(steps.farthest)
    half, full, whole = np.int16(steps.half), np.int16(steps.full), np.int16(steps.whole)
    top, most, zero = np.int16(scheme.top_level), np.int16(scheme.top_level - 1), np.int16(0)
    of_half = np.right_shift(np.add(d, half), bits)
    of_full = np.right_shift(np.add(d, full), bits)
    of_whole = np.right_shift(np.add(d, whole), bits)
    passed = min(min(np.add(of_half, of_full), of_whole), most)
    return zero if d > farthest else np.subtract(top, passed)


@kernel
def distance_quantizer_kernel(d, steps, scheme, level):
    """Write level[j] of d[j]: unit 10.

    d: (N,) int16, at most d_max, and d_max + 1 for a masked key, which is too far; steps: `Steps`;
    level: (N,) uint8.
    """
    if steps.levels.size > 0:
        for j in range(level.size):
            level[j] = steps.levels[np.uint16(d[j])]
        return
    for part in range(parts_of(level.size)):
        begin, end = bounds_of(part, level.size)
        for j in range(begin, end):
            level[j] = np.uint8(level_on_ladder(d[j], steps, scheme))
