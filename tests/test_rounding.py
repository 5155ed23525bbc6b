"""Roundings, overflows and the leading-one detector: BL2-NUM-01 to -06."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlog2.sim.kernel.rounding import leading_one as leading_one_kernel
from bitlog2.sim.kernel.rounding import rnd as rnd_kernel
from bitlog2.sim.spec.rounding import leading_one, rnd, rnd_conv, sat, trn, wrap

HALVES = (-5, -3, 3, 5)
WIDE = st.integers(-(1 << 70), 1 << 70)
SHIFT = st.integers(0, 70)


def corners(bits: int) -> list[int]:
    """Powers of two below 2**bits and their neighbours at distance 0, 1, 2, both signs."""
    near = {(1 << b) + step for b in range(bits) for step in (-2, -1, 0, 1, 2)}
    return sorted(near | {-x for x in near} | {0})


@pytest.mark.requirement("BL2-NUM-01")
def test_trn_of_halves_goes_toward_minus_infinity():
    assert [trn(x, 1) for x in HALVES] == [-3, -2, 1, 2]


@pytest.mark.requirement("BL2-NUM-02")
def test_rnd_of_halves_goes_toward_plus_infinity():
    assert [rnd(x, 1) for x in HALVES] == [-2, -1, 2, 3]


@pytest.mark.requirement("BL2-NUM-03")
def test_rnd_conv_of_halves_goes_to_even():
    assert [rnd_conv(x, 1) for x in HALVES] == [-2, -2, 2, 2]


@pytest.mark.requirement("BL2-NUM-04")
def test_wrap_is_twos_complement():
    assert [wrap(x, 4) for x in (7, 8, 15, 16, -8, -9, 300)] == [7, -8, -1, 0, -8, 7, -4]


@pytest.mark.requirement("BL2-NUM-05")
def test_sat_limits_both_ends():
    assert [sat(x, -8, 7) for x in (-100, -9, -8, 0, 7, 8)] == [-8, -8, -8, 0, 7, 7]


@pytest.mark.requirement("BL2-NUM-06")
def test_leading_one_of_small_numbers():
    assert [leading_one(x) for x in (1, 2, 3, 4, 7, 8, 255, 256)] == [0, 1, 1, 2, 2, 3, 7, 8]


@pytest.mark.parametrize("rounding", [trn, rnd, rnd_conv])
def test_roundings_by_no_shift_change_nothing(rounding):
    assert [rounding(x, 0) for x in (-3, 0, 5)] == [-3, 0, 5]


@given(WIDE, SHIFT)
@settings(deadline=None, derandomize=True)
def test_trn_is_the_real_floor(x: int, n: int):
    assert trn(x, n) == floor(Fraction(x, 1 << n))


@pytest.mark.requirement("BL2-NUM-02")
@given(WIDE, SHIFT)
@settings(deadline=None, derandomize=True)
def test_rnd_is_the_real_floor_of_x_plus_a_half(x: int, n: int):
    """The integer definition and the real one are the same rule."""
    assert rnd(x, n) == floor(Fraction(x, 1 << n) + Fraction(1, 2))


@given(WIDE, SHIFT)
@settings(deadline=None, derandomize=True)
def test_rnd_conv_is_the_fraction_rounding(x: int, n: int):
    assert rnd_conv(x, n) == round(Fraction(x, 1 << n))


@given(WIDE, st.integers(1, 64))
@settings(deadline=None, derandomize=True)
def test_wrap_is_congruent_and_in_range(x: int, bits: int):
    y = wrap(x, bits)
    assert (x - y) % (1 << bits) == 0
    assert -(1 << (bits - 1)) <= y < 1 << (bits - 1)


@given(st.integers(1, 1 << 200))
@settings(deadline=None, derandomize=True)
def test_leading_one_brackets_its_argument(x: int):
    assert 1 << leading_one(x) <= x < 2 << leading_one(x)


def test_rnd_kernel_equals_spec_at_corners():
    for x in corners(61):
        for n in range(62):
            assert rnd_kernel(np.int64(x), np.int64(n)) == rnd(x, n), (x, n)


def test_rnd_kernel_equals_spec_on_random_products():
    rng = np.random.default_rng(101)
    xs, ns = rng.integers(-(1 << 60), 1 << 60, 200_000), rng.integers(0, 62, 200_000)
    wrong = [
        (x, n)
        for x, n in zip(xs.tolist(), ns.tolist(), strict=True)
        if rnd_kernel(x, n) != rnd(x, n)
    ]
    assert wrong == []


def test_leading_one_kernel_equals_spec_at_corners():
    for x in corners(63):
        if x > 0:
            assert leading_one_kernel(np.int64(x)) == leading_one(x), x


def test_leading_one_kernel_equals_spec_up_to_2_to_the_17():
    assert all(leading_one_kernel(x) == leading_one(x) for x in range(1, 1 << 17))


def test_leading_one_kernel_of_zero_is_zero():
    assert leading_one_kernel(np.int64(0)) == 0
