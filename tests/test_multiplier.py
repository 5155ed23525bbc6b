"""A real ratio as multiplier and shift: BL2-PARAM-01."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlog2.sim import AttentionConfig, multiplier_and_shift, score_bias


def make(ratio: float, bits: int = 16, max_shift: int = 28) -> tuple[int, int]:
    return multiplier_and_shift(ratio, bits, max_shift, "ratio")


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (1.0, (32768, 15)),
        (0.5, (32768, 16)),
        (1.5, (49152, 15)),
        (65535.0, (65535, 0)),
        (1 / 3, (43691, 17)),
        (2.0**-28, (1, 28)),
    ],
)
def test_multiplier_worked_by_hand(ratio: float, expected: tuple[int, int]):
    assert make(ratio) == expected


def test_multiplier_rounds_a_tie_up():
    """32768.5 and 32769.5: RND gives 32769 and 32770 (ties to even would give 32768)."""
    assert make(32768.5) == (32769, 0)
    assert make(32769.5) == (32770, 0)


@pytest.mark.requirement("BL2-PARAM-01")
def test_multiplier_of_65536_becomes_32768_with_a_shift_less():
    """Step 2."""
    assert make(65535.75 / 65536) == (32768, 15)


@pytest.mark.requirement("BL2-PARAM-01")
def test_multiplier_carry_brings_the_shift_down_to_the_limit():
    """Steps 2 and 3: n is max_shift + 1 before the carry, and legal after it."""
    assert make(65535.75 * 2.0**-29) == (32768, 28)


@pytest.mark.requirement("BL2-PARAM-01")
def test_multiplier_beyond_the_shift_limit_rounds_once():
    """Step 3: 1.4998 LSB is 1; rounding the 16-bit mantissa first could give 2."""
    ratio = math.nextafter(1.5, 0.0) * 2.0**-28
    assert make(ratio) == (1, 28)
    assert make(1.5 * 2.0**-28) == (2, 28)


def test_multiplier_of_half_an_lsb_is_one():
    assert make(2.0**-29) == (1, 28)


@pytest.mark.parametrize(
    "ratio", [0.0, -1.0, math.inf, -math.inf, math.nan, math.nextafter(2.0**-29, 0.0), 5e-324]
)
def test_multiplier_refuses_what_is_no_ratio_or_too_small(ratio: float):
    with pytest.raises(ValueError, match=r"^ratio must be") as error:
        make(ratio)
    assert "\n" not in str(error.value)
    assert repr(ratio) in str(error.value)


@pytest.mark.parametrize("ratio", [65535.5, 65536.0, 1e300])
def test_multiplier_refuses_a_negative_shift(ratio: float):
    with pytest.raises(ValueError, match=r"^ratio must be below"):
        make(ratio)


def test_multiplier_accepts_the_largest_ratio():
    assert make(math.nextafter(65535.5, 0.0)) == (65535, 0)


@pytest.mark.requirement("BL2-PARAM-01")
@given(
    st.floats(min_value=2.0**-12, max_value=14.0),
    st.integers(4, 24),
    st.integers(12, 48),
)
@settings(deadline=None, derandomize=True)
def test_multiplier_is_within_half_an_lsb_of_the_ratio(ratio: float, bits: int, max_shift: int):
    """Against exact fractions."""
    m, n = multiplier_and_shift(ratio, bits, max_shift, "ratio")
    assert abs(Fraction(m, 1 << n) - Fraction(ratio)) <= Fraction(1, 1 << (n + 1))
    assert 0 <= n <= max_shift
    assert 1 <= m < 1 << bits


@given(st.floats(min_value=2.0**-12, max_value=14.0), st.integers(4, 24))
@settings(deadline=None, derandomize=True)
def test_multiplier_uses_all_its_bits_below_the_shift_limit(ratio: float, bits: int):
    m, _ = multiplier_and_shift(ratio, bits, 48, "ratio")
    assert m >= 1 << (bits - 1)


@given(
    st.floats(min_value=2.0**-28, max_value=60000.0),
    st.floats(min_value=2.0**-28, max_value=60000.0),
)
@settings(deadline=None, derandomize=True)
def test_multiplier_keeps_the_order_of_ratios(a: float, b: float):
    low, high = make(min(a, b)), make(max(a, b))
    assert Fraction(low[0], 1 << low[1]) <= Fraction(high[0], 1 << high[1])


@pytest.mark.requirement("BL2-PARAM-04")
def test_multiplier_score_bias_is_rounded_up_at_ties():
    """B = RND(bias * log2(e) * 2**F); half a unit goes up, minus half to 0."""
    unit = 1 / (math.log2(math.e) * 32)
    bias = np.array([0.0, 1.0, -1.0, 0.5 * unit, -0.5 * unit, 100.25 * unit])
    assert score_bias(bias, AttentionConfig()).tolist() == [0, 46, -46, 1, 0, 100]


@pytest.mark.requirement("BL2-PARAM-04")
@pytest.mark.parametrize("bad", [1e9, -1e9, float("nan"), float("-inf")])
def test_multiplier_score_bias_out_of_the_range_of_t_is_refused(bad):
    with pytest.raises(ValueError, match="score bias must be from -131072 to 131071"):
        score_bias(np.array([0.0, bad]), AttentionConfig())


@pytest.mark.requirement("BL2-PARAM-01")
def test_multiplier_ratio_that_is_no_number_is_refused():
    with pytest.raises(TypeError, match="output scale must be a positive number, got '1'"):
        multiplier_and_shift("1", 16, 28, "output scale")
