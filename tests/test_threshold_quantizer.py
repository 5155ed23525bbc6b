"""Unit 6 by counting thresholds: BL2-LOG2-07."""

import numpy as np
import pytest
from test_log2_quantizer import random_rows, run_kernel, threshold_cases

from bitlog2.sim import SCHEMES
from bitlog2.sim.kernel.constants import scheme_constants
from bitlog2.sim.kernel.log2_quantizer import log2_quantizer_dividing
from bitlog2.sim.kernel.threshold_quantizer import (
    LARGEST_LANE,
    count_thresholds,
    row_thresholds,
)
from bitlog2.sim.scheme import Scheme
from bitlog2.sim.spec import log2_quantizer, log2_quantizer_counting


@pytest.fixture(params=list(SCHEMES))
def scheme(request: pytest.FixtureRequest) -> Scheme:
    return SCHEMES[request.param]


def edges(s: int, scheme: Scheme) -> np.ndarray:
    edge = np.empty(16, np.int32)
    row_thresholds(s, scheme_constants(scheme), edge)
    return edge


def levels(e, s: int, scheme: Scheme) -> np.ndarray:
    e = np.asarray(e, np.int32)
    level = np.empty(e.size, np.uint8)
    constants = scheme_constants(scheme)
    count_thresholds(e, constants, edges(s, scheme), np.empty(e.size, np.int32), level)
    return level


def test_threshold_quantizer_edges_by_hand():
    """Half_17, s = 1000: ceil(T * 1000 / 128) for T = 1, 2, 3, 4 and 256."""
    edge = edges(1000, SCHEMES["BitLog2_Half_17"])
    assert [*edge[:4], edge[15]] == [8, 16, 24, 32, 2000]


def test_threshold_quantizer_sixteenth_edge_of_sixteen_levels_is_never_reached():
    assert edges(1000, SCHEMES["BitLog2_Single_16"])[15] == LARGEST_LANE


def test_threshold_quantizer_forms_agree_exhaustively_at_p_7(scheme: Scheme):
    e = np.arange((1 << 7) + 1)
    for s in range(1 << 7, (64 << 7) + 1):
        expected = run_kernel(log2_quantizer_dividing, e, s, scheme)
        assert np.array_equal(levels(e, s, scheme), expected), s


def test_threshold_quantizer_agrees_on_small_sums(scheme: Scheme):
    for s in range(1, 257):
        expected = [log2_quantizer(x, s, scheme) for x in range(s + 1)]
        assert [log2_quantizer_counting(x, s, scheme) for x in range(s + 1)] == expected
        assert levels(range(s + 1), s, scheme).tolist() == expected


def test_threshold_quantizer_agrees_at_thresholds(scheme: Scheme):
    for e, s in threshold_cases(scheme):
        expected = log2_quantizer(e, s, scheme)
        assert log2_quantizer_counting(e, s, scheme) == expected, (e, s)
        assert levels([e], s, scheme).item() == expected, (e, s)


def test_threshold_quantizer_agrees_on_ten_million_random_cases(scheme: Scheme):
    for e, s in random_rows(71, 500, 5000):
        expected = run_kernel(log2_quantizer_dividing, e, s, scheme)
        assert np.array_equal(levels(e, s, scheme), expected), s


def test_threshold_quantizer_holds_the_widest_configuration(scheme: Scheme):
    """P = 20 and N = 65536: edges beyond int32 are limited to what no lane reaches."""
    rng = np.random.default_rng(72)
    for s in [(1 << 36), (1 << 36) - 1, *(int(2.0**x) for x in rng.uniform(20, 36, 200))]:
        e = np.append((2.0 ** rng.uniform(0, 20, 200)).astype(np.int64), [0, 1, 1 << 20])
        expected = [log2_quantizer(x, s, scheme) for x in e.tolist()]
        assert levels(e, s, scheme).tolist() == expected
