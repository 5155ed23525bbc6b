"""Tables of activations: every entry against decimal numbers, ties, refusals."""

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest

from bitlog2.sim.network.activation_table import ACTIVATIONS, activation_table, gate_table

requirement = pytest.mark.requirement
GRID = 1 << 256


def erf(x: Decimal) -> Decimal:
    """By its Taylor series, whose terms alternate: right to 60 digits for |x| up to 8."""
    power, total, place = x, x, 0
    while abs(power) > Decimal(10) ** -100:
        place += 1
        power *= -x * x / place
        total += power / (2 * place + 1)
    return 2 * total / PI.sqrt()


PI = Decimal(
    "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803"
)


def real(name: str, u: int, fraction_bits: int) -> Decimal:
    x = Decimal(u) / (1 << fraction_bits)
    if name == "relu":
        return max(x, Decimal(0))
    if name in ("quick_gelu", "silu"):
        return x / (1 + (Decimal("-1.702" if name == "quick_gelu" else -1) * x).exp())
    return x * (1 + erf(x / Decimal(2).sqrt())) / 2


@pytest.mark.parametrize("name", ACTIVATIONS)
@requirement("BL2-ACT-03")
def test_activation_table_every_entry_is_rounded_from_the_real_number(name):
    """10 bits with 6 fraction bits, of scales of 4 and 8 bits."""
    with localcontext() as context:
        context.prec = 120
        found = [real(name, u, 6) for u in range(-512, 512)]
        for scale, zero, bits in ((0.05, 3, 8), (0.37, 1, 4), (1 / 3, 0, 4)):
            steps = [math.floor(y / Decimal(scale) + Decimal("0.5")) + zero for y in found]
            expected = tuple(min(max(step, 0), (1 << bits) - 1) for step in steps)
            exact = scale.as_integer_ratio()
            assert activation_table(name, 6, exact, zero, u_bits=10, bits=bits) == expected


@pytest.mark.parametrize("name", ["gelu", "quick_gelu", "silu"])
@pytest.mark.parametrize("fraction_bits", [3, 6, 12])
@requirement("BL2-ACT-03")
def test_activation_floor_is_that_of_the_real_number(name, fraction_bits):
    """To 60 digits where |x| is at most 8, u in steps."""
    with localcontext() as context:
        context.prec = 140
        limit = min(512, 8 << fraction_bits)
        for u in range(-limit, limit + 1, 7):
            floor = ACTIVATIONS[name](u, fraction_bits)
            difference = real(name, u, fraction_bits) - Decimal(floor) / GRID
            assert -(Decimal(10) ** -60) < difference < Decimal(10) ** -60


@pytest.mark.parametrize("name", ACTIVATIONS)
@requirement("BL2-GATE-01")
def test_gate_table_every_entry_is_rounded_from_the_real_number(name):
    """Within two bits more than those of u, for the coarsest and the finest u."""
    with localcontext() as context:
        context.prec = 120
        for u_bits, fraction_bits in ((4, 0), (4, 3), (8, 4), (8, 7)):
            half, unit = 1 << (u_bits - 1), 4 << fraction_bits
            steps = [real(name, u, fraction_bits) * unit for u in range(-half, half)]
            expected = tuple(math.floor(step + Decimal("0.5")) for step in steps)
            assert gate_table(name, fraction_bits, u_bits=u_bits) == expected
            assert max(map(abs, expected)) < 4 * half
    with pytest.raises(ValueError, match=r"^fraction_bits of u must be from 0 to 9, got 10"):
        gate_table(name, 10, u_bits=10)


@requirement("BL2-GATE-01")
def test_gate_table_of_the_specification():
    """silu(0.125) = 0.0664 with eight fraction bits."""
    assert gate_table("silu", 6, u_bits=10)[512 + 8] == 17


@pytest.mark.parametrize("name", ["gelu", "quick_gelu", "silu"])
@requirement("BL2-ACT-03")
def test_activation_far_from_zero_lies_just_below_its_limit(name):
    """x less a little, 0 less a little: a tie at the limit does not go up."""
    for u in (255, 300, 511):
        assert ACTIVATIONS[name](u, 0) == u * GRID - 1
        assert ACTIVATIONS[name](-u, 0) == -1
    table = activation_table(name, 0, (2, 1), 0, u_bits=10, bits=8)
    assert [table[512 + u] for u in (299, 300, 301)] == [149, 150, 150]
    relu = activation_table("relu", 0, (2, 1), 0, u_bits=10, bits=8)
    assert [relu[512 + u] for u in (299, 300, 301)] == [150, 150, 151]


@requirement("BL2-ACT-03")
def test_activation_table_has_the_minimum_of_gelu_below_zero():
    """-0.17 at x = -0.75: with s = 0.05 three codes below the zero point."""
    table = activation_table("gelu", 6, (0.05).as_integer_ratio(), 3, u_bits=10, bits=8)
    assert table[512] == 3
    assert min(table) == table[512 - 48] == 0
    assert table[512 + 8] == 4
    assert table[:64] == (3,) * 64


def test_activation_bracket_that_holds_a_threshold_is_no_answer(monkeypatch):
    """A doubt as wide as the grid itself is reported."""
    monkeypatch.setattr("bitlog2.sim.network.activation_table._DOUBT", 1 << 500)
    with pytest.raises(ArithmeticError, match="the activation of u = 37 must have one floor"):
        ACTIVATIONS["gelu"](37, 6)


@pytest.mark.parametrize(
    ("name", "fraction_bits", "scale", "message"),
    [
        ("tanh", 6, (1, 8), "activation must be one of gelu, quick_gelu, relu, silu, got 'tanh'"),
        ("gelu", 15, (1, 8), "fraction_bits of u must be from 0 to 14, got 15"),
        ("gelu", 6, (0, 8), "numerator of the scale must be from 1 to "),
        ("gelu", 6, (1, 3), "denominator of the scale must be a power of two, got 3"),
        ("gelu", 6, (1, 1 << 256), "denominator of the scale must be a power of two, "),
    ],
)
def test_activation_table_is_refused(name, fraction_bits, scale, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        activation_table(name, fraction_bits, scale, 0, u_bits=10, bits=4)


def test_activation_table_is_exact_at_a_tie_of_relu():
    half = Fraction(1, 2)
    table = activation_table("relu", 2, (1, 2), 0, u_bits=4, bits=4)
    assert table[8:] == tuple(math.floor(Fraction(u, 4) / half + half) for u in range(8))
