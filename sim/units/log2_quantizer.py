"""Unit 6: e / s as a level.

With the leading one of e as the integer and the bits below it as the fraction, e becomes a number
that rises with e and by exactly one octave when e doubles. Level k of Single is reached from
e * A = 2**(k-1) * s on; Half adds 3 * 2**(k-1) * s. So the thresholds of a row stand one octave
apart: how many of them e reaches follows from its distance to the first, for the powers of two and
for their 1.5-fold (SPEC.md BL2-LOG2-08). Equal to `log2_quantizer` bit for bit.
"""

import numpy as np

from ..declarations import Helper, Port, Stream, Unit
from ..expressions import parameter, port
from ..jit import borrowing_kernel as kernel
from ..parts import bounds_of, parts_of
from ..rounding import leading_one, leading_one_kernel
from ..scheme import QUOTIENT, Scheme
from .exp2 import E, exp2_logarithm
from .row_sum import S

#: 4 s less 2: x = odd * e, shifted next to s, stays below 4 s, the leading ones aligned. Its
#: partner is 3 s (SPEC.md BL2-LOG2-06).
COMPARE = Port("compare", "key", 4 * S.bound - 2, register=True)
LEVEL = Port("level", "key", parameter("code.top_level"), bits=5, dtype="uint8")

LOG2_QUANTIZER = Unit(
    "log2_quantizer",
    number=6,
    declares=(COMPARE, LEVEL),
    streams=(
        Stream("stimulus", "input", "case", ("s", "e")),
        Stream("expected", "output", "case", ("level", "nibble", "flag")),
    ),
    makes=(
        ("log2_quantizer", "expected", "level"),
        ("code_register", "expected", "nibble"),
        ("code_register", "expected", "flag"),
    ),
    assumes=(E.bounded, port("s") >= E.bound, S.bounded),
    clocked=False,
    helpers=(Helper("log2_quantizer_pipe", None), Helper("leading_one", None)),
    stand_ins=("log2_quantizer_divide",),
    lane="log2_quantizer",
    families=(QUOTIENT,),
)


def log2_quantizer(e: int, s: int, scheme: Scheme) -> int:
    """Return the level of p = min(floor(e * A / s), A - 1): the dividing form.

    Args:
        e: 0 <= e <= s.
        s: the row sum, positive.

    p is 0: level 0. Otherwise the leading one of p and, for Half, the bit below it
    (BL2-LOG2-01 to -03). Of a code of one's own that is no ladder: how many thresholds p reaches.
    """
    p = min(e * scheme.int_max // s, scheme.int_max - 1)
    if not scheme.is_ladder:
        return sum(p >= threshold for threshold in scheme.thresholds())
    if p == 0:
        return 0
    k = leading_one(p)
    if not scheme.half:
        return k + 1
    if k == 0:
        return 1
    half_bit = (p >> (k - 1)) & 1
    return 2 * k + half_bit


def log2_quantizer_comparing(e: int, s: int, scheme: Scheme) -> int:
    """Return the same level without a divider: shifts and comparisons (BL2-LOG2-04, -05).

    With E = e * A: zero exactly when E < s; else k = lod(E) - lod(s), less one if E < s << k;
    the half bit is set exactly when k >= 1 and E >= 3s << (k - 1). The clamp of p to A - 1 is the
    clamp of the level, and acts exactly when e = s.
    """
    scaled = e * scheme.int_max
    if scaled < s:
        return 0
    k = leading_one(scaled) - leading_one(s)
    if scaled < s << k:
        k -= 1
    if not scheme.half:
        return min(k + 1, scheme.top_level)
    if k == 0:
        return 1
    half_bit = int(scaled >= (3 * s) << (k - 1))
    return min(2 * k + half_bit, scheme.top_level)


def log2_quantizer_counting(e: int, s: int, scheme: Scheme) -> int:
    """Return the same level as the number of thresholds that e reaches (BL2-LOG2-07).

    Level k or more is e * A >= T * s, with T the value of level k. s is one number a row, so
    each threshold is one number that odd * e is compared with: ceil(T * s / 2**a).
    """
    x, rounding = scheme.odd_factor * e, (1 << scheme.base_shift) - 1
    edges = [(value * s + rounding) >> scheme.base_shift for value in scheme.values[1:]]
    return sum(x >= edge for edge in edges)


@kernel
def _logarithm(s, odd, fraction_bits):
    """Return the logarithm of s / odd, upward, with that many fraction bits.

    s: int64, 3 to 2**38; odd: 1 or 3. With s / odd = 2**k * (1 + rest), 0 <= rest < 1, it is
    k + rest; 38 + 20 bits fit int64.
    """
    k = leading_one_kernel(s) - (odd >> np.int64(1))
    k -= np.int64(s < (odd << k))
    rest = ((s - (odd << k)) << fraction_bits) + ((np.int64(1) << k) - np.int64(1))
    upward = rest >> k
    upward = (upward + np.int64(2)) // np.int64(3) if odd == 3 else upward
    return (k << fraction_bits) + upward


@kernel
def row_thresholds(s, layer, scheme, power, raised):
    """Write the logarithms of each row's first power of two and of its 1.5-fold, less an octave.

    s: (B,) int64, at least 2**P; power, raised: (B,) int32. Level 1 is reached from e = s / A on,
    and 3 * 2**0 from 3 * s / A. Both results fit int32: they lie above -20 and below 38 octaves of
    at most 2**20.
    """
    bits, odd = np.int64(layer.fraction_bits), np.int64(scheme.odd)
    below = np.int64(scheme.base_shift + 1) << bits
    for i in range(s.size):
        power[i] = _logarithm(s[i], odd, bits) - below
    for i in range(s.size):
        three_s = s[i] if odd == 3 else np.int64(3) * s[i]
        raised[i] = _logarithm(three_s, np.int64(1), bits) - below


@kernel
def threshold_quantizer(logarithm, power, raised, layer, scheme, level):
    """Write level[j], how many thresholds e reaches: powers of two, and their 1.5-fold.

    logarithm: (N or more,) int32; power, raised: int32; level: (N,) uint8. The clamp to the top
    level is in the numbers of thresholds. Differences stay within 170 octaves of 2**20: int32.
    """
    octave, zero = np.int32(layer.fraction_bits), np.int32(0)
    powers, raised_powers = np.int32(scheme.powers), np.int32(scheme.raised_powers)
    for part in range(parts_of(level.size)):
        begin, end = bounds_of(part, level.size)
        for j in range(begin, end):
            above_power = np.right_shift(np.subtract(logarithm[j], power), octave)
            above_raised = np.right_shift(np.subtract(logarithm[j], raised), octave)
            reached = min(max(above_power, zero), powers)
            level[j] = np.add(reached, min(max(above_raised, zero), raised_powers))


@kernel
def quotient_quantizer(e, s, scheme, level):
    """Write level[j] of e[j] / s, of a code that is no ladder: looked up by p, by division.

    e: (N,) int32, at most s; s: int64; level: (N,) uint8.
    """
    a = np.int64(scheme.int_max)
    for j in range(level.size):
        level[j] = scheme.levels[min(np.int64(e[j]) * a // s, a - np.int64(1))]


@kernel
def log2_quantizer_kernel(e, s, layer, scheme, scratch, level):
    """Write level[j] of e[j] / s[j]: unit 6 alone, each key with a row sum of its own.

    e: (N,) int32, at most 2**P; s: (N,) int64, at least 2**P; scratch: (3, N) int32; level: (N,)
    uint8.
    """
    if scheme.octave_levels == 0:
        for j in range(e.size):
            key = slice(j, j + 1)
            quotient_quantizer(e[key], s[j], scheme, level[key])
        return
    logarithm, power, raised = scratch[0], scratch[1], scratch[2]
    bits = np.int64(layer.fraction_bits)
    for j in range(e.size):
        logarithm[j] = exp2_logarithm(np.int64(e[j]), bits)
    row_thresholds(s, layer, scheme, power, raised)
    for j in range(e.size):
        key = slice(j, j + 1)
        threshold_quantizer(logarithm[key], power[j], raised[j], layer, scheme, level[key])
