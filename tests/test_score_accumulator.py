"""Unit 1: BL2-SCORE-01, -02."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlog2.sim import AttentionConfig
from bitlog2.sim.kernel.score_accumulator import score_accumulator as kernel
from bitlog2.sim.spec import score_accumulator

CODE = st.integers(0, 15)


def run_kernel(q, k, zq: int, zk: int) -> np.ndarray:
    q, k = np.asarray(q, np.int32), np.asarray(k, np.int32)
    score = np.empty((len(q), len(k)), np.int32)
    kernel(q, k, zq, zk, score)
    return score


def test_score_accumulator_worked_by_hand():
    """(1-7)(11-8) + (13-7)(7-8) + (15-7)(12-8) + (14-7)(8-8) = -18 - 6 + 32 + 0."""
    assert score_accumulator([1, 13, 15, 14], [11, 7, 12, 8], 7, 8) == 8


@pytest.mark.requirement("BL2-SCORE-01")
def test_score_accumulator_kernel_equals_spec_exhaustively_on_one_channel():
    """Every pair of codes and every pair of zero points, 2**16 cases."""
    codes = np.arange(16).reshape(16, 1)
    for zq in range(16):
        for zk in range(16):
            expected = [[score_accumulator([a], [b], zq, zk) for b in range(16)] for a in range(16)]
            assert run_kernel(codes, codes, zq, zk).tolist() == expected


@pytest.mark.requirement("BL2-SCORE-02")
def test_score_accumulator_reaches_its_bound_with_both_signs():
    """15 * 15 * 128 = 28800."""
    bound = AttentionConfig().registers["score"].bound
    full, empty = [15] * 128, [0] * 128
    assert score_accumulator(full, full, 0, 0) == bound == 28800
    assert score_accumulator(full, empty, 0, 15) == -bound


@pytest.mark.requirement("BL2-SCORE-02")
def test_score_accumulator_kernel_holds_the_widest_configuration():
    """255 * 255 * 1024 fits int32."""
    full, empty = [[255] * 1024], [[0] * 1024]
    assert run_kernel(full, full, 0, 0).item() == 255 * 255 * 1024
    assert run_kernel(full, empty, 0, 255).item() == -255 * 255 * 1024


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_score_accumulator_kernel_equals_spec_on_random_codes(bits: int):
    rng = np.random.default_rng(11 + bits)
    q = rng.integers(0, 1 << bits, (560, 3))
    k = rng.integers(0, 1 << bits, (600, 3))
    zq, zk = (int(z) for z in rng.integers(0, 1 << bits, 2))
    keys = k.tolist()
    expected = [[score_accumulator(row, key, zq, zk) for key in keys] for row in q.tolist()]
    assert run_kernel(q, k, zq, zk).tolist() == expected


@pytest.mark.requirement("BL2-SCORE-02")
@given(st.lists(st.tuples(CODE, CODE), min_size=1, max_size=40), CODE, CODE)
@settings(deadline=None, derandomize=True)
def test_score_accumulator_stays_within_its_bound(pairs: list[tuple[int, int]], zq: int, zk: int):
    q, k = zip(*pairs, strict=True)
    assert abs(score_accumulator(q, k, zq, zk)) <= 225 * len(pairs)


def test_score_accumulator_refuses_ragged_arguments():
    with pytest.raises(ValueError, match="shorter"):
        score_accumulator([1, 2], [1], 0, 0)
