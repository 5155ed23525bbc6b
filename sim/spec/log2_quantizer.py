"""Unit 6: e / s as a level: dividing (the specification), comparing, counting thresholds."""

from ..scheme import Scheme
from .rounding import leading_one

__all__ = ["log2_quantizer", "log2_quantizer_comparing", "log2_quantizer_counting"]


def log2_quantizer(e: int, s: int, scheme: Scheme) -> int:
    """Return the level of p = min(floor(e * A / s), A - 1): the dividing form.

    Args:
        e: 0 <= e <= s.
        s: the row sum, positive.

    p is 0: level 0. Otherwise the leading one of p and, for Half, the bit below it
    (BL2-LOG2-01 to -03).
    """
    p = min(e * scheme.int_max // s, scheme.int_max - 1)
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
