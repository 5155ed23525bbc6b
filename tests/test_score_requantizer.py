"""Unit 2: BL2-REQ-01 to -03."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlog2.sim import AttentionConfig, LayerParams
from bitlog2.sim.kernel.constants import layer_constants
from bitlog2.sim.kernel.score_requantizer import score_requantizer as kernel
from bitlog2.sim.spec import score_requantizer

CONFIG = AttentionConfig()
NARROW = AttentionConfig(t_bits=8)
WIDEST = AttentionConfig(
    q_bits=8, k_bits=8, max_head_dim=1024, m_bits=24, max_n=48, t_bits=24, max_tokens=65536
)


def run_kernel(score, m: int, n: int, bias, config: AttentionConfig) -> np.ndarray:
    score = np.asarray(score, np.int32)
    bias = np.ascontiguousarray(np.broadcast_to(np.asarray(bias, np.int32), score.shape))
    t = np.empty(score.shape, np.int32)
    kernel(score, bias, layer_constants(config, LayerParams(m, n, 1, 0)), t)
    return t


@pytest.mark.parametrize(
    ("score", "m", "n", "bias", "t"),
    [
        (8, 47274, 14, 0, 23),
        (-65, 47274, 14, -20, -208),
        (-3, 1, 1, 0, -1),
        (3, 1, 1, 0, 2),
        (-5, 1, 1, 10, 8),
        (1, 1, 1, -1, 0),
        (28800, 65535, 0, 0, 131071),
        (-28800, 65535, 0, 0, -131072),
    ],
)
def test_score_requantizer_worked_by_hand(score: int, m: int, n: int, bias: int, t: int):
    assert score_requantizer(score, m, n, bias, CONFIG) == t


@pytest.mark.requirement("BL2-REQ-01")
def test_score_requantizer_rounds_once_at_full_precision():
    """3 >> 3 is 0; rounded at 2 and again at 1 bit it would be RND(1/2) = 1."""
    assert score_requantizer(3, 1, 3, 0, CONFIG) == 0
    assert run_kernel([3], 1, 3, 0, CONFIG).item() == 0


@pytest.mark.requirement("BL2-REQ-01")
@pytest.mark.parametrize("bias", [-7, -1, 0, 1, 7])
def test_score_requantizer_bias_moves_no_tie(bias: int):
    """RND commutes with the addition of an integer, for ties of both signs."""
    for score in (-3, -1, 1, 3):
        expected = score_requantizer(score, 1, 1, 0, CONFIG) + bias
        assert score_requantizer(score, 1, 1, bias, CONFIG) == expected


@pytest.mark.requirement("BL2-REQ-02")
def test_score_requantizer_saturates_after_the_bias_only():
    """200 would saturate to 127 first and then give 27; the sum is 100."""
    assert score_requantizer(200, 1, 0, -100, NARROW) == 100
    assert run_kernel([200], 1, 0, -100, NARROW).item() == 100


@pytest.mark.requirement("BL2-REQ-03")
@pytest.mark.parametrize("bias", [CONFIG.t_min, CONFIG.t_max])
def test_score_requantizer_takes_every_bias_of_t_range(bias: int):
    assert score_requantizer(0, 1, 0, bias, CONFIG) == bias


def test_score_requantizer_kernel_equals_spec_exhaustively_on_scores():
    scores = list(range(-28800, 28801))
    for m, n in ((47274, 14), (1, 1), (65535, 20), (32768, 28)):
        expected = [score_requantizer(s, m, n, 0, CONFIG) for s in scores]
        assert run_kernel(scores, m, n, 0, CONFIG).tolist() == expected


@pytest.mark.parametrize("config", [CONFIG, NARROW, WIDEST], ids=["default", "narrow", "widest"])
def test_score_requantizer_kernel_equals_spec_at_corners(config: AttentionConfig):
    bound = config.registers["score"].bound
    near = {(1 << b) + step for b in range(26) for step in (-2, -1, 0, 1, 2)} | {bound, bound - 1}
    scores = sorted(s for x in near for s in (x, -x) if abs(s) <= bound)
    biases = (config.t_min, config.t_min + 1, -1, 0, 1, config.t_max)
    for m in (1, 2, 3, (1 << config.m_bits) - 1, 1 << (config.m_bits - 1)):
        for n in (0, 1, 2, 3, config.max_n // 2, config.max_n - 1, config.max_n):
            for bias in biases:
                expected = [score_requantizer(s, m, n, bias, config) for s in scores]
                assert run_kernel(scores, m, n, bias, config).tolist() == expected


def test_score_requantizer_kernel_equals_spec_on_a_million_random_cases():
    rng = np.random.default_rng(21)
    for _ in range(100):
        config = (CONFIG, NARROW, WIDEST)[int(rng.integers(3))]
        bound = config.registers["score"].bound
        m = int(rng.integers(1, 1 << config.m_bits))
        n = int(rng.integers(0, config.max_n + 1))
        score = rng.integers(-bound, bound + 1, 10_000)
        bias = rng.integers(config.t_min, config.t_max + 1, 10_000)
        expected = [
            score_requantizer(s, m, n, b, config)
            for s, b in zip(score.tolist(), bias.tolist(), strict=True)
        ]
        assert run_kernel(score, m, n, bias, config).tolist() == expected


def test_score_requantizer_product_stays_within_its_register():
    """|S M| + 2**(n-1) at its largest is the bound, and fits 62 bits in every configuration."""
    register = CONFIG.registers["product"]
    assert 28800 * 65535 + (1 << 27) == register.bound < 1 << (register.bits - 1)
    assert WIDEST.registers["product"].bits <= 62


@given(st.integers(-28800, 28799), st.integers(1, 65535), st.integers(0, 28), st.integers(-9, 9))
@settings(deadline=None, derandomize=True)
def test_score_requantizer_is_monotone_in_the_score(s: int, m: int, n: int, bias: int):
    assert score_requantizer(s, m, n, bias, CONFIG) <= score_requantizer(s + 1, m, n, bias, CONFIG)


@pytest.mark.requirement("BL2-REQ-02")
@given(
    st.integers(-28800, 28800),
    st.integers(1, 65535),
    st.integers(0, 28),
    st.integers(-131072, 131071),
)
@settings(deadline=None, derandomize=True)
def test_score_requantizer_stays_in_t_range(s: int, m: int, n: int, bias: int):
    assert -131072 <= score_requantizer(s, m, n, bias, CONFIG) <= 131071


@pytest.mark.parametrize("head_dim", [140, 141, 142])
def test_score_requantizer_lanes_hold_the_largest_product(head_dim: int):
    """Just below and above where int32 lanes end; the largest score, M and bias, n = 0 and full."""
    config = AttentionConfig(max_head_dim=head_dim, max_n=27)
    score = 225 * head_dim
    for n in (0, 1, 13, 27):
        for bias in (config.t_min, 0, config.t_max):
            got = run_kernel([score, -score], 65535, n, bias, config).tolist()
            expected = [score_requantizer(x, 65535, n, bias, config) for x in (score, -score)]
            assert got == expected


def test_score_requantizer_lanes_are_chosen_by_the_proof():
    """225 * D * 65535 + 2**26 + 2**17 passes 2**31 between D = 141 and 142."""
    fits = [AttentionConfig(max_head_dim=d, max_n=27).scores_fit_int32 for d in (141, 142)]
    assert fits == [True, False]
