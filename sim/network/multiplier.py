"""Real parameters of a network as integers; each is rounded once, from the exact float64."""

import math
from collections.abc import Iterable
from fractions import Fraction

from ..multiplier import multiplier_and_shift


def multipliers(
    ratios: Iterable[float], bits: int, max_shift: int, name: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return (M of each channel, n of each channel) by BL2-PARAM-01.

    Args:
        ratios: of the channels, positive and finite.
        bits, max_shift: width of M and largest n.
        name: what the ratios are, for the error.
    """
    made = [
        multiplier_and_shift(ratio, bits, max_shift, f"{name} of channel {place}")
        for place, ratio in enumerate(ratios)
    ]
    return tuple(m for m, _ in made), tuple(n for _, n in made)


def gain_and_shift(gain: float, bits: int, max_shift: int, name: str) -> tuple[int, int]:
    """Return (G, n) with G / 2**n next to a gain of either sign, or 0.

    |gain| as M and n of BL2-PARAM-01, with the gain's sign; below 2**-(max_shift + 1), 0 among
    them, G = 0 and n = 0.

    Args:
        gain: finite.
        bits: of |G|, one less than the signed width.
        max_shift: largest n.
        name: what it is, for the error.

    Source: SPEC.md BL2-NETPARAM-01.
    """
    if abs(gain) < 2.0 ** -(max_shift + 1):
        return 0, 0
    magnitude, shift = multiplier_and_shift(abs(gain), bits, max_shift, f"|{name}|")
    return (-magnitude if gain < 0 else magnitude), shift


def scaled(value: float | Fraction, shift: int, bits: int, name: str) -> int:
    """Return RND(value * 2**shift), of the exact number, as a signed integer of so many bits.

    Args:
        value: finite; a Fraction where it is a quotient of float64.
        shift: n of the channel; negative where 2**-n is coarser than 1.
        bits: width of the result, of either sign the same range.
        name: what it is, for the error.

    Raises:
        ValueError: it is not finite, or does not fit.

    Source: SPEC.md BL2-NETPARAM-02.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value!r}")
    numerator, denominator = value.as_integer_ratio()
    return _rounded(numerator, denominator, shift, bits, name)


def _rounded(numerator: int, denominator: int, shift: int, bits: int, name: str) -> int:
    """Return RND(numerator / denominator * 2**shift); the denominator is positive."""
    twice, whole = numerator << max(shift, 0) + 1, denominator << max(-shift, 0)
    rounded = (twice + whole) // (2 * whole)
    high = (1 << (bits - 1)) - 1
    if abs(rounded) > high:
        raise ValueError(f"{name} must be from {-high} to {high} at n = {shift}, got {rounded}")
    return rounded


def linear_bias(bias: float, input_scale: float, weight_scale: float, bits: int) -> int:
    """Return B = RND(bias / (s_x * s_w)) of an output channel, of the exact quotient."""
    if not math.isfinite(bias):
        raise ValueError(f"linear bias must be finite, got {bias!r}")
    (b, under_b), (x, under_x), (w, under_w) = (
        each.as_integer_ratio() for each in (bias, input_scale, weight_scale)
    )
    return _rounded(b * under_x * under_w, under_b * x * w, 0, bits, "linear bias")


def norm_eps(eps: float, channels: int, fraction_bits: int, bits: int) -> int:
    """Return EPS = max(1, RND(eps * C**2 * 2**(2R))): BL2-NETPARAM-03.

    Args:
        eps: of the real layer norm, not negative.
        channels: C.
        fraction_bits: R, of the stream.
        bits: width of EPS, unsigned.
    """
    if not eps >= 0:
        raise ValueError(f"eps of a layer norm must not be negative, got {eps!r}")
    exact = Fraction(eps) * channels * channels
    return max(1, scaled(exact, 2 * fraction_bits, bits + 1, "EPS"))


def stream_fraction_bits(largest: float, stream_bits: int) -> int:
    """Return R, with 2**-R the smallest LSB at which 1.5 * largest fits the stream.

    Args:
        largest: magnitude that calibration saw, positive and finite.
        stream_bits: W_r.

    Source: SPEC.md BL2-NETPARAM-04.
    """
    if not (math.isfinite(largest) and largest > 0):
        raise ValueError(f"largest magnitude of the stream must be positive, got {largest!r}")
    reach, high = Fraction(largest) * Fraction(3, 2), (1 << (stream_bits - 1)) - 1
    places = stream_bits - 1 - math.frexp(largest)[1]
    return places if reach * Fraction(2) ** places <= high else places - 1
