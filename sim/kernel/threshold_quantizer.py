"""Unit 6 for whole rows: the logarithm of e against two thresholds of the row.

With the leading one of e as the integer and the bits below it as the fraction, e becomes a number
that rises with e and by exactly one octave when e doubles. Level k of Single is reached from
e * A = 2**(k-1) * s on; Half adds 3 * 2**(k-1) * s. So the thresholds of a row stand one octave
apart: how many of them e reaches follows from its distance to the first, for the powers of two and
for their 1.5-fold (SPEC.md BL2-LOG2-08). Equal to `log2_quantizer` bit for bit.
"""

import numpy as np

from ..jit import borrowing_kernel as kernel
from .rounding import leading_one

__all__ = ["row_thresholds", "threshold_quantizer"]


@kernel
def _logarithm(s, odd, fraction_bits):
    """Return the logarithm of s / odd, upward, with that many fraction bits.

    s: int64, 3 to 2**38; odd: 1 or 3. With s / odd = 2**k * (1 + rest), 0 <= rest < 1, it is
    k + rest; 38 + 20 bits fit int64.
    """
    k = leading_one(s) - (odd >> np.int64(1))
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
    level is in the numbers of thresholds. Differences stay within 70 octaves of 2**20: int32.
    """
    octave, zero = np.int32(layer.fraction_bits), np.int32(0)
    powers, raised_powers = np.int32(scheme.powers), np.int32(scheme.raised_powers)
    for j in range(level.size):
        above_power = np.right_shift(np.subtract(logarithm[j], power), octave)
        above_raised = np.right_shift(np.subtract(logarithm[j], raised), octave)
        reached = min(max(above_power, zero), powers)
        level[j] = np.add(reached, min(max(above_raised, zero), raised_powers))
