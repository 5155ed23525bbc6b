"""Unit 6: dividing, comparing, counting, and the kernels by logarithms, fused and alone."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cases import (
    FULL,
    MOST,
    levels_alone,
    logarithms,
    random_rows,
    row_levels,
    threshold_cases,
    thresholds,
)
from support.schemes import QUOTIENTS

from bitlog2.golden.stimulus.log2_quantizer import dividing_levels
from bitlog2.sim import AttentionConfig
from bitlog2.sim.rounding import leading_one
from bitlog2.sim.scheme import Scheme
from bitlog2.sim.spec import log2_quantizer, log2_quantizer_comparing, log2_quantizer_counting

requirement = pytest.mark.requirement
always = settings(deadline=None, derandomize=True)


def one_by_one(form: Any) -> Any:
    return lambda e, s, scheme: [form(x, s, scheme) for x in np.asarray(e).tolist()]


def divided(e: np.ndarray, s: int, scheme: Scheme) -> np.ndarray:
    """The levels by division of whole arrays: what a test below holds against the specification."""
    return dividing_levels(e, np.full(len(e), s), scheme)


#: The levels of a row by each form; BL2-LOG2-01 divides, and is what the others are held against.
DIVIDING = one_by_one(log2_quantizer)
FORMS = {
    "comparing": one_by_one(log2_quantizer_comparing),
    "counting": one_by_one(log2_quantizer_counting),
}
#: The kernels, on the datapath's domain alone: as `attention` runs them, and as vectors are made.
KERNELS = {"fused": row_levels, "alone": levels_alone}


@pytest.fixture(params=QUOTIENTS)
def scheme(request: pytest.FixtureRequest) -> Scheme:
    return QUOTIENTS[request.param]


@requirement("BL2-LOG2-01", "BL2-LOG2-02", "BL2-LOG2-03", "BL2-LOG2-04", "BL2-LOG2-05")
@pytest.mark.parametrize(
    ("name", "e", "s", "level"),
    [
        ("BitLog2_Half_17", 2093, 88809, 6),
        ("BitLog2_Half_17", 14702, 88809, 11),
        ("BitLog2_Half_17", 14, 88809, 0),
        ("BitLog2_Half_16", 65536, 131072, 14),
        ("BitLog2_Half_16", 98304, 131072, 15),
        ("BitLog2_Single_16", 65536, 131072, 15),
        ("BitLog2_Single_16", 65536, 65537, 15),
        ("BitLog2_Single_17", 65536, 131072, 16),
        ("BitLog2_Single_17", 1, 65536, 1),
        ("BitLog2_Single_17", 1, 65537, 0),
        # A uniform row is lost beyond A keys of a Half scheme (SPEC.md, section 8).
        *(("BitLog2_Half_16", FULL, keys * FULL, int(keys == 256)) for keys in (256, 257)),
        *(("BitLog2_Half_17", FULL, keys * FULL, int(keys == 384)) for keys in (384, 385)),
        # p = A of a row of one key is clamped to A - 1: the top level.
        *(
            (f"BitLog2_{name}", s, s, top)
            for name, top in (
                ("Single_16", 15),
                ("Single_17", 16),
                ("Half_16", 15),
                ("Half_17", 16),
            )
            for s in (FULL, FULL + 1, 3 * FULL // 2, MOST)
        ),
    ],
)
def test_log2_worked_by_hand(name: str, e: int, s: int, level: int):
    """2093 * 384 / 88809 = 9.05: 0b1001; 14702: 63.6, 0b111111; 14: 0.06."""
    scheme = QUOTIENTS[name]
    assert DIVIDING([e], s, scheme) == [level]
    for form, by in FORMS.items():
        assert by([e], s, scheme) == [level], form
    for form, kernel in KERNELS.items():
        assert kernel([e], s, scheme).tolist() == [level], form


@requirement("BL2-LOG2-02", "BL2-LOG2-03")
def test_log2_level_is_the_largest_value_not_above_p(scheme: Scheme):
    """For every p, by the list of values."""
    for p in range(scheme.int_max):
        level = log2_quantizer(p, scheme.int_max, scheme)
        assert scheme.values[level] <= p
        assert level == scheme.top_level or p < scheme.values[level + 1]


@requirement("BL2-LOG2-04", "BL2-LOG2-05", "BL2-LOG2-07")
@pytest.mark.parametrize("form", FORMS)
def test_log2_forms_agree_on_every_small_sum(form: str, scheme: Scheme):
    """Below the datapath's smallest sum, too: every 0 <= e <= s <= 256."""
    for s in range(1, 257):
        e = range(s + 1)
        assert FORMS[form](e, s, scheme) == DIVIDING(e, s, scheme), s


@requirement("BL2-LOG2-04", "BL2-LOG2-05", "BL2-LOG2-07", "BL2-LOG2-08")
def test_log2_forms_agree_at_thresholds(scheme: Scheme):
    """By logarithms on the datapath's domain alone."""
    seen = 0
    for e, s in threshold_cases(scheme):
        expected = DIVIDING([e], s, scheme)
        for form, by in FORMS.items():
            assert by([e], s, scheme) == expected, (form, e, s)
        if e <= FULL <= s:
            for form, kernel in KERNELS.items():
                assert kernel([e], s, scheme).tolist() == expected, (form, e, s)
            seen += 1
    assert seen > 100


@requirement("BL2-LOG2-04", "BL2-LOG2-05", "BL2-LOG2-08")
@pytest.mark.parametrize(
    "table_bits", [4, *(pytest.param(bits, marks=pytest.mark.long) for bits in (5, 6, 7))]
)
def test_log2_kernels_agree_exhaustively(scheme: Scheme, table_bits: int):
    """Every e and every sum of up to 64 keys."""
    e = np.arange((1 << table_bits) + 1)
    for s in range(1 << table_bits, (64 << table_bits) + 1):
        expected = divided(e, s, scheme)
        for form, kernel in KERNELS.items():
            assert np.array_equal(kernel(e, s, scheme, table_bits), expected), (form, s)


@requirement("BL2-LOG2-04", "BL2-LOG2-05", "BL2-LOG2-08")
def test_log2_kernels_agree_on_ten_million_random_cases(scheme: Scheme):
    """2.5 million for each scheme."""
    for e, s in random_rows(61, 500, 5000):
        expected = divided(e, s, scheme)
        for form, kernel in KERNELS.items():
            assert np.array_equal(kernel(e, s, scheme), expected), (form, s)


@requirement("BL2-LOG2-04", "BL2-LOG2-05")
def test_log2_arrays_equal_the_specification_on_a_million_random_cases(scheme: Scheme):
    """The comparing form on 10**5 of them for each scheme."""
    for number, (e, s) in enumerate(random_rows(62, 250, 1000)):
        expected = DIVIDING(e, s, scheme)
        assert divided(e, s, scheme).tolist() == expected
        if number < 100:
            assert FORMS["comparing"](e, s, scheme) == expected


def test_log2_kernels_hold_the_widest_configuration(scheme: Scheme):
    """P = 20 and N = 65536: sums up to 2**36."""
    rng = np.random.default_rng(64)
    for s in [(1 << 36), (1 << 36) - 1, *(int(2.0**x) for x in rng.uniform(20, 36, 200))]:
        e = np.append((2.0 ** rng.uniform(0, 20, 200)).astype(np.int64), [0, 1, 1 << 20])
        expected = DIVIDING(e, s, scheme)
        for form, kernel in KERNELS.items():
            assert kernel(e, s, scheme, 20).tolist() == expected, form


def widest_comparison(e: int, s: int, scheme: Scheme) -> int:
    """Largest number that the narrow comparing form puts on a comparator."""
    x, a = scheme.odd_factor * e, scheme.base_shift
    if e == 0 or leading_one(x) + a < leading_one(s):
        return 0
    k = leading_one(x) + a - leading_one(s)
    sides = [x << max(a - k, 0), s << max(k - a, 0)]
    k -= sides[0] < sides[1]
    if scheme.half and k >= 1:
        up = a + 1 - k
        sides += [x << max(up, 0), (3 * s) << max(-up, 0)]
    return max(sides)


@requirement("BL2-LOG2-06")
def test_log2_comparisons_fit_28_bits(scheme: Scheme):
    """On random rows and at the thresholds of the datapath's domain."""
    bound = AttentionConfig(scheme=scheme.name).registers["compare"].bound
    assert bound < 1 << 28
    cases = [(e, s) for e, s in threshold_cases(scheme) if e <= FULL <= s]
    cases += [(x, s) for e, s in random_rows(65, 100, 200) for x in e.tolist()]
    assert max(widest_comparison(e, s, scheme) for e, s in cases) <= bound


@requirement("BL2-LOG2-06")
def test_log2_comparisons_fit_exhaustively_at_p_4(scheme: Scheme):
    """P = 4, N = 32 and each N on the way, where s is at most N * 2**P."""
    for s in range(16, 32 * 16 + 1):
        keys = -(-s // 16)
        assert max(widest_comparison(e, s, scheme) for e in range(17)) <= 4 * keys * 16 - 2


@always
@given(st.integers(1, MOST), st.integers(0, FULL), st.sampled_from(sorted(QUOTIENTS)))
def test_log2_never_falls_with_e(s: int, e: int, name: str):
    e = min(e, s - 1)
    assert log2_quantizer(e, s, QUOTIENTS[name]) <= log2_quantizer(e + 1, s, QUOTIENTS[name])


@always
@given(st.lists(st.integers(0, FULL), min_size=1, max_size=60), st.sampled_from(sorted(QUOTIENTS)))
def test_log2_values_of_a_row_sum_to_at_most_int_max(e: list[int], name: str):
    scheme, e = QUOTIENTS[name], [*e, FULL]
    assert sum(scheme.values[level] for level in DIVIDING(e, sum(e), scheme)) <= scheme.int_max


# The form by logarithms: of e from the table of unit 4, of the thresholds once a row.


def rational_logarithm(x: Fraction) -> Fraction:
    """k + x / 2**k - 1, with 2**k the largest power of two that is not above x."""
    k = math.floor(math.log2(x))
    k += (Fraction(2) ** (k + 1) <= x) - (Fraction(2) ** k > x)
    return k + x / Fraction(2) ** k - 1


def test_log2_logarithms_worked_by_hand():
    """P = 4: 1, 2, 3, 5, 16 are 0, 1, 1 1/2, 2 1/4 and 4 octaves."""
    assert (logarithms(np.array([1, 2, 3, 5, 16]), 4) / 16).tolist() == [0, 1, 1.5, 2.25, 4]


@pytest.mark.parametrize("table_bits", [4, 16, 20])
def test_log2_logarithm_of_zero_is_below_every_threshold(scheme: Scheme, table_bits: int):
    zero = logarithms(np.array([0]), table_bits)[0]
    assert zero < min(thresholds(1 << table_bits, scheme, table_bits))


@requirement("BL2-LOG2-08")
def test_log2_thresholds_are_the_rational_ones_rounded_up(scheme: Scheme):
    """Of s / A and 3 s / A, in units of 2**-P."""
    rng = np.random.default_rng(70)
    for s in [1 << 16, (1 << 16) + 1, 3 << 15, *rng.integers(1 << 16, 1 << 26, 300).tolist()]:
        for times, found in zip((1, 3), thresholds(s, scheme, 16), strict=True):
            exact = rational_logarithm(Fraction(times * s, scheme.int_max)) - 1
            assert int(found) == math.ceil(exact * 2**16), (s, times)


def test_log2_threshold_one_off_is_seen(scheme: Scheme):
    """The comparison can tell: one unit less in either threshold changes a level somewhere."""
    e = np.arange((1 << 7) + 1)
    for moved in [(-1, 0), (0, -1)][: 1 + scheme.half]:
        differ = [
            (row_levels(e, s, scheme, 7, moved=moved) != divided(e, s, scheme))
            for s in range(1 << 7, 8 << 7)
        ]
        assert np.any(differ)
