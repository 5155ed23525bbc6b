"""Real parameters as integers: a scale as M / 2**n, a score bias in units of 2**-F octaves."""

import math

import numpy as np
from numpy.typing import NDArray

from .checks import check_int
from .config import AttentionConfig

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
        TypeError: the ratio is no number.
        ValueError: the ratio is not positive and finite, is too large (n would be negative), or
            too small (M would be 0).

    Source: gemmlowp, `doc/quantization.md`, for the decomposition; SPEC.md BL2-PARAM-01.
    """
    check_int("bits", bits, 2, 32)
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float)):
        raise TypeError(f"{name} must be a positive number, got {ratio!r} ({type(ratio).__name__})")
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
        raise ValueError(f"{name} must be below {2**bits - 0.5} (n >= 0), got {ratio!r}")
    if multiplier == 0:
        raise ValueError(
            f"{name} must be at least {2.0 ** -(max_shift + 1):g} (M > 0), got {ratio!r}"
        )
    return multiplier, shift


def score_bias(bias: NDArray[np.float64], config: AttentionConfig) -> NDArray[np.int32]:
    """Return b = RND(bias * log2(e) * 2**F), computed in float64, for the score requantizer.

    Args:
        bias: real score biases (natural units, as added before a softmax), any shape.
        config: gives F and the range of t.

    Raises:
        ValueError: a b is not finite or out of the range of t.

    Source: SPEC.md BL2-PARAM-04.
    """
    real = np.asarray(bias, dtype=np.float64) * math.log2(math.e) * 2.0**config.fraction_bits
    raw = np.floor(real + 0.5)
    legal = (raw >= config.t_min) & (raw <= config.t_max)  # NaN is not legal either
    if not legal.all():
        raise ValueError(
            f"score bias must be from {config.t_min} to {config.t_max} in units of 2**-F, "
            f"got {raw[~legal].flat[0]}"
        )
    return raw.astype(np.int32)


def _rnd(value: int, shift: int) -> int:
    return (value + (1 << (shift - 1))) >> shift
