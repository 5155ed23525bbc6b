"""A real scale as an integer multiplier and a right shift: M / 2**n."""

import math

from .checks import check_int

__all__ = ["multiplier_and_shift"]

_MANTISSA_BITS = 53


def multiplier_and_shift(ratio: float, bits: int, max_shift: int, name: str) -> tuple[int, int]:
    """Return (M, n) with M / 2**n next to `ratio`, M of `bits` bits and 0 <= n <= max_shift.

    The mantissa is rounded once, RND, from the exact value of the float64: M is in
    [2**(bits-1), 2**bits - 1], except where n would pass `max_shift`: then n = max_shift and M is
    rounded at that position (its leading bits are zero).

    Args:
        ratio: float64, positive and finite.
        bits: width of M, 2 to 32.
        max_shift: largest n.
        name: what the ratio is, for the error.

    Raises:
        ValueError: the ratio is not positive and finite, is too large (n would be negative), or
            too small (M would be 0).

    Source: gemmlowp, `doc/quantization.md`, for the decomposition; SPEC.md BL2-PARAM-01.
    """
    check_int("bits", bits, 2, 32)
    if not (math.isfinite(ratio) and ratio > 0):
        raise ValueError(f"{name} must be positive and finite, got {ratio!r}")
    fraction, exponent = math.frexp(ratio)
    mantissa = int(math.ldexp(fraction, _MANTISSA_BITS))
    shift = bits - exponent
    multiplier = _rnd(mantissa, _MANTISSA_BITS - bits)
    if multiplier == 1 << bits:
        multiplier, shift = multiplier >> 1, shift - 1
    if shift > max_shift:
        multiplier = _rnd(mantissa, _MANTISSA_BITS - bits + (bits - exponent) - max_shift)
        shift = max_shift
    if shift < 0:
        raise ValueError(f"{name} must be below {2.0**bits:g} (n >= 0), got {ratio!r}")
    if multiplier == 0:
        raise ValueError(
            f"{name} must be at least {2.0 ** -(max_shift + 1):g} (M > 0), got {ratio!r}"
        )
    return multiplier, shift


def _rnd(value: int, shift: int) -> int:
    return (value + (1 << (shift - 1))) >> shift
