"""The table of an activation, made with integers alone: the same on every machine.

A function value is irrational wherever it is not trivial, so it is bracketed on a grid of 2**-256:
`floor` tells its code, since every threshold between two codes of a scale lies on that grid.
"""

from collections.abc import Callable
from functools import lru_cache
from math import isqrt

from ..checks import check_choice, check_int
from ..rounding import sat

#: Fraction bits of the grid, and of what is computed on the way.
_GRID, _WORK = 256, 720
_ONE = 1 << _WORK
#: More than what is computed on the way may be off: 2**-340.
_DOUBT = 1 << (_WORK - 340)


def activation_table(
    name: str,
    fraction_bits: int,
    scale: tuple[int, int],
    zero: int,
    *,
    u_bits: int,
    bits: int,
) -> tuple[int, ...]:
    """Return T[u] = SAT(RND(f(u / 2**F_u) / s) + z, 0, 2**bits - 1) from the smallest u on.

    Args:
        name: of f: one of `ACTIVATIONS`.
        fraction_bits: F_u, of u.
        scale: s of the codes, as (numerator, denominator); the latter a power of two, at most
            2**255 (`float.as_integer_ratio`).
        zero: z, their zero point.
        u_bits: width of u, signed.
        bits: of the codes.

    Raises:
        ValueError: the name is none of them, or an argument is out of range.

    Source: SPEC.md BL2-ACT-03.
    """
    check_choice("activation", name, tuple(ACTIVATIONS))
    check_int("fraction_bits of u", fraction_bits, 0, u_bits + 4)
    numerator, denominator = scale
    check_int("numerator of the scale", numerator, 1, 1 << 256)
    places = denominator.bit_length() - 1
    if denominator != 1 << places or places >= _GRID:
        raise ValueError(f"denominator of the scale must be a power of two, got {denominator}")
    step = numerator << (_GRID - places)  # s on the grid
    half = 1 << (u_bits - 1)
    floors = _floors(name, fraction_bits, half)
    return tuple(sat(_rounded(x, step) + zero, 0, (1 << bits) - 1) for x in floors)


def gate_table(name: str, fraction_bits: int, *, u_bits: int) -> tuple[int, ...]:
    """Return T[u] = RND(f(u / 2**F_u) * 2**(F_u + 2)), signed, from the smallest u on.

    Two bits more than those of u hold every entry: no function is further from 0 than its input.

    Args:
        name, fraction_bits, u_bits: as of `activation_table`, F_u below u_bits.

    Raises:
        ValueError: as `activation_table`.

    Source: SPEC.md BL2-GATE-01.
    """
    check_int("fraction_bits of u", fraction_bits, 0, u_bits - 1)
    half, step = 1 << (u_bits + 1), (1, 1 << (fraction_bits + 2))
    codes = activation_table(name, fraction_bits, step, half, u_bits=u_bits, bits=u_bits + 2)
    return tuple(code - half for code in codes)


def _rounded(floor: int, step: int) -> int:
    """Return RND(f / s) of the f whose floor on the grid is given; s is `step` there.

    f / s reaches k + 1/2 when 2 * f reaches (2 * k + 1) * s, an integer on the grid of halves, so
    when the floor of 2 * f does; that of f tells the same, as s there is even.
    """
    return (2 * floor + step) // (2 * step)


@lru_cache(maxsize=16)
def _floors(name: str, fraction_bits: int, half: int) -> tuple[int, ...]:
    """Return floor(f(u / 2**F_u) * 2**256) for u from -half to half - 1."""
    return tuple(ACTIVATIONS[name](u, fraction_bits) for u in range(-half, half))


def relu(u: int, fraction_bits: int) -> int:
    """Return max(x, 0) on the grid, x = u / 2**F_u; exact."""
    return max(u, 0) << (_GRID - fraction_bits)


def gelu(u: int, fraction_bits: int) -> int:
    """Return floor of x * (1 + erf(x / sqrt(2))) / 2 on the grid."""
    return _less_share(u, fraction_bits, _normal_tail(abs(u), fraction_bits))


def quick_gelu(u: int, fraction_bits: int) -> int:
    """Return floor of x / (1 + exp(-1.702 * x)) on the grid."""
    return _logistic(u, fraction_bits, _exponential(851 * abs(u), 500 << fraction_bits))


def silu(u: int, fraction_bits: int) -> int:
    """Return floor of x / (1 + exp(-x)) on the grid."""
    return _logistic(u, fraction_bits, _exponential(abs(u), 1 << fraction_bits))


def _logistic(u: int, fraction_bits: int, fall: int) -> int:
    """Return floor of x / (1 + e) for x > 0 and of x * e / (1 + e) for x < 0; e is `fall`."""
    return _less_share(u, fraction_bits, fall * _ONE // (_ONE + fall))


def _less_share(u: int, fraction_bits: int, share: int) -> int:
    """Return the floor on the grid of x - x * h for x > 0, and of x * h for x < 0.

    h, the share of |x|, is positive, and within `_DOUBT` of `share`: so the value lies strictly
    between two ends, which have one floor.
    """
    if u == 0:
        return 0
    above = max(u, 0) << _WORK
    ends = [above - abs(u) * h for h in (share + _DOUBT, max(share - _DOUBT, 0))]
    down = _WORK - _GRID + fraction_bits
    low, high = ends[0] >> down, -(-ends[1] >> down) - 1
    if low != high:
        raise ArithmeticError(f"the activation of u = {u} must have one floor, got {low}, {high}")
    return low


def _exponential(numerator: int, denominator: int) -> int:
    """Return exp(-numerator / denominator) with `_WORK` fraction bits, for an exponent >= 0.

    The exponent is halved until it is below 1/256, its series summed, and the result squared again.
    """
    halvings = max(0, (numerator * 256 // denominator).bit_length())
    x = (numerator << _WORK) // (denominator << halvings)
    total, term, place = 0, _ONE, 0
    while term:
        total += term if place % 2 == 0 else -term
        place += 1
        term = (term * x >> _WORK) // place
    for _ in range(halvings):
        total = total * total >> _WORK
    return total


@lru_cache(maxsize=1)
def _root_of_two_pi() -> int:
    """Return sqrt(2 * pi) with `_WORK` fraction bits: pi = 16 atan(1/5) - 4 atan(1/239)."""

    def arctangent(inverse: int) -> int:
        total, power, odd = 0, (_ONE << 32) // inverse, 1
        while power:
            total += power // odd if odd % 4 == 1 else -(power // odd)
            power, odd = power // (inverse * inverse), odd + 2
        return total

    pi = 16 * arctangent(5) - 4 * arctangent(239)
    return isqrt(2 * pi << (_WORK - 32))


def _normal_tail(u: int, fraction_bits: int) -> int:
    """Return (1 - erf(x / sqrt(2))) / 2 of x = u / 2**F_u >= 0 with `_WORK` fraction bits.

    1/2 less the density times x + x**3 / 3 + x**5 / 15 + ..., whose terms are all positive: their
    sum is at most exp(x**2 / 2), and multiplies the error of the density, a few units in the last
    place. So it is off by less than 2**-360 below x = 22; from there on it is less than 2**-350.
    """
    if u >= 22 << fraction_bits:
        return 0
    square = u * u
    total, term, odd = 0, u << (_WORK - fraction_bits), 1
    while term:
        total += term
        odd += 2
        term = (term * square >> (2 * fraction_bits)) // odd
    density = _exponential(square, 2 << (2 * fraction_bits)) * _ONE // _root_of_two_pi()
    return max((_ONE >> 1) - (density * total >> _WORK), 0)


#: Functions by name: of u and F_u, their floor on the grid.
ACTIVATIONS: dict[str, Callable[[int, int], int]] = {
    "gelu": gelu,
    "quick_gelu": quick_gelu,
    "relu": relu,
    "silu": silu,
}
