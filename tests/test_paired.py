"""Paired comparisons over several seeds: worked by hand, against other forms, and in a result."""

from itertools import product

import numpy as np
import pytest
from msgspec.structs import replace
from scipy.stats import binomtest

from bitlog2.models.ptq.quantize import QuantizationSpec
from bitlog2.models.runs.paired import Paired, holm, sign_flip_p
from bitlog2.models.runs.result import Comparison, significance


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (7, 2), (2, 7), (40, 40), (90, 31)])
def test_paired_of_one_seed_is_mcnemars_exact_test(only_a, only_b):
    differences = np.array([1] * only_a + [-1] * only_b + [0] * 50)
    expected = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert sign_flip_p(differences) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_paired_p_is_the_share_of_all_signs(seed):
    rng = np.random.default_rng(seed)
    differences = rng.integers(-5, 6, 10)
    signs = np.array(list(product((-1, 1), repeat=10)))
    share = np.mean(np.abs(signs @ np.abs(differences)) >= abs(differences.sum()))
    assert sign_flip_p(differences) == pytest.approx(share, rel=1e-9)


def test_paired_tiny_p_is_not_lost():
    assert sign_flip_p(np.full(200, 3)) == pytest.approx(2 * 2.0**-200, rel=1e-9)


def test_paired_seeds_of_an_image_are_no_independent_images():
    """Five seeds that always agree: as significant as one, not as five times the images."""
    a = np.array([[True] * 9 + [False] * 3 + [True] * 20])
    b = np.array([[False] * 9 + [True] * 3 + [True] * 20])
    one, five = (Paired.of_differences(np.repeat(a, n, 0), np.repeat(b, n, 0)) for n in (1, 5))
    assert five.p == pytest.approx(one.p, rel=1e-9)
    assert (five.only_a, five.only_b) == (45, 15)
    assert five.difference == one.difference == pytest.approx(100 * 6 / 32)
    assert five.detectable == pytest.approx(one.detectable)


def test_paired_detectable_difference_is_that_of_the_normal_form():
    """For p = 0.05 two-sided and power 0.8: 1.960 + 0.842 standard errors."""
    a, b = np.ones((1, 10_000), bool), np.ones((1, 10_000), bool)
    a[0, :150], b[0, 150:300] = False, False
    assert Paired.of_differences(a, b).detectable == pytest.approx(
        2.8016 * 300**0.5 / 100, rel=1e-4
    )


def test_paired_holm_worked_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_paired_sentences_name_the_better_scheme_first():
    same = Paired(only_a=5, only_b=5, difference=0.0, detectable=0.4, p=1.0, holm=1.0)
    worse = replace(same, only_b=90, difference=-0.85, detectable=0.5, p=1e-9, holm=2e-9)
    specs = [QuantizationSpec(name) for name in ("BitLog2_Half_17", "RowMax_16")]
    pairs = [
        Comparison(model="m", a=None, b=specs[0], seeds=2, top1=same, agreement=None),
        Comparison(model="m", a=specs[0], b=specs[1], seeds=2, top1=worse, agreement=same),
    ]
    top1, agreement = significance(pairs)
    assert top1.startswith("m, integer, W4A4, 2 seeds, top-1: significant at 5 %")
    assert "RowMax_16 over BitLog2_Half_17 (0.85). Not significant: 1 of 2 pairs." in top1
    assert "0.40 to 0.50 points" in top1
    assert "nothing. Not significant: 1 of 1 pairs." in agreement
