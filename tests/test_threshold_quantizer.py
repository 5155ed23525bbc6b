"""Unit 6 for whole rows, by logarithms: BL2-LOG2-08; and the counting form, BL2-LOG2-07."""

import math
from fractions import Fraction

import numpy as np
import pytest
from test_log2_quantizer import random_rows, run_kernel, threshold_cases

from bitlog2.sim import SCHEMES, AttentionConfig, LayerParams
from bitlog2.sim.kernel.constants import layer_constants, scheme_constants
from bitlog2.sim.kernel.exp2 import E_BITS, exp2_words
from bitlog2.sim.kernel.log2_quantizer import log2_quantizer_dividing
from bitlog2.sim.kernel.threshold_quantizer import row_thresholds, threshold_quantizer
from bitlog2.sim.scheme import Scheme
from bitlog2.sim.spec import log2_quantizer, log2_quantizer_counting


@pytest.fixture(params=list(SCHEMES))
def scheme(request: pytest.FixtureRequest) -> Scheme:
    return SCHEMES[request.param]


def layer(table_bits: int):
    config = AttentionConfig(table_bits=table_bits)
    return layer_constants(config, LayerParams(1, 0, 1, 0))


def logarithms(e: np.ndarray, table_bits: int) -> np.ndarray:
    """As the table of unit 4 holds them."""
    words = np.empty(e.size + 1, np.int64)
    exp2_words(e.astype(np.int32), table_bits, words)
    return (words[:-1] >> E_BITS).astype(np.int32)


def thresholds(s: int, scheme: Scheme, table_bits: int) -> tuple[np.int32, np.int32]:
    power, raised = np.empty(1, np.int32), np.empty(1, np.int32)
    row_thresholds(np.array([s]), layer(table_bits), scheme_constants(scheme), power, raised)
    return power[0], raised[0]


def levels(e, s: int, scheme: Scheme, table_bits: int = 16) -> np.ndarray:
    e = np.asarray(e, np.int64)
    level = np.empty(e.size, np.uint8)
    pair = thresholds(s, scheme, table_bits)
    constants = layer(table_bits), scheme_constants(scheme)
    threshold_quantizer(logarithms(e, table_bits), *pair, *constants, level)
    return level


def rational_logarithm(x: Fraction) -> Fraction:
    """k + x / 2**k - 1, with 2**k the largest power of two that is not above x."""
    k = math.floor(math.log2(x))
    k += (Fraction(2) ** (k + 1) <= x) - (Fraction(2) ** k > x)
    return k + x / Fraction(2) ** k - 1


def test_threshold_quantizer_logarithms_by_hand():
    """P = 4: 1, 2, 3, 5, 16 are 0, 1, 1 1/2, 2 1/4 and 4 octaves."""
    octaves = logarithms(np.array([1, 2, 3, 5, 16]), 4) / 16
    assert octaves.tolist() == [0, 1, 1.5, 2.25, 4]


def test_threshold_quantizer_logarithm_of_zero_is_below_every_threshold(scheme: Scheme):
    for table_bits in (4, 16, 20):
        zero = logarithms(np.array([0]), table_bits)[0]
        low = min(thresholds(1 << table_bits, scheme, table_bits))
        assert zero < low


@pytest.mark.requirement("BL2-LOG2-08")
def test_threshold_quantizer_thresholds_are_the_rational_ones_rounded_up(scheme: Scheme):
    """Of s / A and 3 s / A, in units of 2**-P."""
    rng = np.random.default_rng(70)
    for s in [1 << 16, (1 << 16) + 1, 3 << 15, *rng.integers(1 << 16, 1 << 26, 300).tolist()]:
        got = thresholds(s, scheme, 16)
        for times, found in zip((1, 3), got, strict=True):
            exact = rational_logarithm(Fraction(times * s, scheme.int_max)) - 1
            assert int(found) == math.ceil(exact * 2**16), (s, times)


@pytest.mark.parametrize("table_bits", [4, 5, 6, 7])
def test_threshold_quantizer_agrees_exhaustively(scheme: Scheme, table_bits: int):
    """Every e and every sum of up to 64 keys, P = 4 to 7."""
    e = np.arange((1 << table_bits) + 1)
    for s in range(1 << table_bits, (64 << table_bits) + 1):
        expected = run_kernel(log2_quantizer_dividing, e, s, scheme)
        assert np.array_equal(levels(e, s, scheme, table_bits), expected), s


@pytest.mark.requirement("BL2-LOG2-07")
def test_counting_form_agrees_on_small_sums(scheme: Scheme):
    for s in range(1, 257):
        expected = [log2_quantizer(x, s, scheme) for x in range(s + 1)]
        assert [log2_quantizer_counting(x, s, scheme) for x in range(s + 1)] == expected


def test_threshold_quantizer_agrees_at_thresholds(scheme: Scheme):
    seen = 0
    for e, s in threshold_cases(scheme):
        expected = log2_quantizer(e, s, scheme)
        assert log2_quantizer_counting(e, s, scheme) == expected, (e, s)
        if e <= 1 << 16 <= s:
            assert levels([e], s, scheme).item() == expected, (e, s)
            seen += 1
    assert seen > 100


def test_threshold_quantizer_agrees_on_ten_million_random_cases(scheme: Scheme):
    for e, s in random_rows(71, 500, 5000):
        expected = run_kernel(log2_quantizer_dividing, e, s, scheme)
        assert np.array_equal(levels(e, s, scheme), expected), s


def test_threshold_quantizer_holds_the_widest_configuration(scheme: Scheme):
    """P = 20 and N = 65536."""
    rng = np.random.default_rng(72)
    for s in [(1 << 36), (1 << 36) - 1, *(int(2.0**x) for x in rng.uniform(20, 36, 200))]:
        e = np.append((2.0 ** rng.uniform(0, 20, 200)).astype(np.int64), [0, 1, 1 << 20])
        expected = [log2_quantizer(x, s, scheme) for x in e.tolist()]
        assert levels(e, s, scheme, 20).tolist() == expected


def test_threshold_quantizer_a_threshold_one_off_is_seen(scheme: Scheme):
    """The comparison can tell: one unit less in either threshold changes a level somewhere."""
    e = np.arange((1 << 7) + 1)
    constants = layer(7), scheme_constants(scheme)
    for place in range(1 + scheme.half):
        differ = 0
        for s in range(1 << 7, 8 << 7):
            pair = list(thresholds(s, scheme, 7))
            pair[place] -= np.int32(1)
            level = np.empty(e.size, np.uint8)
            threshold_quantizer(logarithms(e, 7), *pair, *constants, level)
            differ += int((level != run_kernel(log2_quantizer_dividing, e, s, scheme)).sum())
        assert differ > 0
