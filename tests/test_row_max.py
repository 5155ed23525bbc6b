"""Unit 3: BL2-MAX-01 to -04."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlog2.sim import AttentionConfig, LayerParams
from bitlog2.sim.kernel.constants import layer_constants
from bitlog2.sim.kernel.row_max import distance as distance_kernel
from bitlog2.sim.kernel.row_max import keep_distance
from bitlog2.sim.kernel.row_max import row_max as row_max_kernel
from bitlog2.sim.spec import distance, row_max

CONFIG = AttentionConfig()
PARAMS = LayerParams(1, 0, 1, 0)
T = st.integers(CONFIG.t_min, CONFIG.t_max)


def run_kernel(t, masked, config: AttentionConfig = CONFIG) -> tuple[int, list[int]]:
    t, masked = np.asarray(t, np.int32), np.asarray(masked, np.uint8)
    layer = layer_constants(config, PARAMS)
    largest = row_max_kernel(t, masked, layer)
    held, d = np.empty(t.shape, np.int16), np.empty(t.shape, np.int32)
    distance_kernel(t, largest, masked, layer, held)
    assert [x > layer.d_max for x in held.tolist()] == [bool(x) for x in masked]
    keep_distance(held, layer, d)
    return int(largest), d.tolist()


def run_spec(t, masked, config: AttentionConfig = CONFIG) -> tuple[int, list[int]]:
    largest = row_max(t, masked)
    return largest, [distance(a, largest, bool(b), config) for a, b in zip(t, masked, strict=True)]


def test_row_max_worked_by_hand():
    t, masked = [23, 67, -208, 113, 182, 186, -55], [0, 0, 0, 0, 0, 1, 0]
    assert run_spec(t, masked) == (182, [159, 115, 390, 69, 0, 1023, 237])


@pytest.mark.requirement("BL2-MAX-01")
def test_row_max_leaves_a_masked_key_out():
    assert row_max([5, 100, -7], [False, True, False]) == 5
    assert run_kernel([5, 100, -7], [0, 1, 0])[0] == 5


@pytest.mark.requirement("BL2-MAX-02")
def test_row_max_refuses_a_row_fully_masked():
    with pytest.raises(ValueError, match="at least one key"):
        row_max([1, 2], [True, True])


@pytest.mark.requirement("BL2-MAX-03")
def test_distance_saturates_at_d_max():
    assert [distance(t, 0, False, CONFIG) for t in (-1022, -1023, -1024, -131072)] == [
        1022,
        1023,
        1023,
        1023,
    ]


@pytest.mark.requirement("BL2-MAX-04")
def test_distance_of_a_masked_key_shows_d_max():
    """Below and above the maximum."""
    assert distance(-3, 0, True, CONFIG) == distance(3, 0, True, CONFIG) == 1023
    assert run_kernel([-3, 0, 3], [1, 0, 1]) == (0, [1023, 0, 1023])


def test_distance_kernel_equals_spec_exhaustively_over_t():
    t = list(range(CONFIG.t_min, CONFIG.t_max + 1))
    assert run_kernel(t, [0] * len(t)) == run_spec(t, [0] * len(t))


@pytest.mark.parametrize("t_bits", [8, 18, 24])
def test_distance_kernel_equals_spec_at_corners(t_bits: int):
    config = AttentionConfig(t_bits=t_bits)
    near = {(1 << b) + step for b in range(t_bits - 1) for step in (-2, -1, 0, 1, 2)}
    t = sorted(
        x for y in near for x in (y, -y, config.t_min, config.t_max) if abs(x) <= -config.t_min
    )
    t = [min(x, config.t_max) for x in t]
    for top in range(len(t)):
        masked = [int(j > top) for j in range(len(t))]
        assert run_kernel(t, masked, config) == run_spec(t, masked, config)


def test_row_max_kernel_finds_the_smallest_t_of_all():
    """All keys at t_min, the value that the kernel shows for a masked key."""
    low = CONFIG.t_min
    assert run_kernel([low, low], [1, 0]) == (low, [1023, 0])


def test_row_max_kernel_equals_spec_on_a_million_random_keys():
    rng = np.random.default_rng(31)
    for _ in range(500):
        size = int(rng.integers(1, 4000))
        spread = 1 << int(rng.integers(1, 18))
        t = rng.integers(-spread, spread, size).tolist()
        masked = (rng.random(size) < rng.random() * 0.9).astype(int).tolist()
        masked[int(rng.integers(size))] = 0
        assert run_kernel(t, masked) == run_spec(t, masked)


@given(st.lists(T, min_size=1, max_size=50), st.integers(-1000, 1000))
@settings(deadline=None, derandomize=True)
def test_distance_is_invariant_under_a_shift_of_the_row(t: list[int], shift: int):
    plain = [max(min(x, 130000), -130000) for x in t]
    moved = [x + shift for x in plain]
    assert run_spec(moved, [0] * len(t))[1] == run_spec(plain, [0] * len(t))[1]


@given(st.lists(T, min_size=1, max_size=50))
@settings(deadline=None, derandomize=True)
def test_distance_is_zero_somewhere_and_bounded_everywhere(t: list[int]):
    d = run_spec(t, [0] * len(t))[1]
    assert min(d) == 0
    assert max(d) <= CONFIG.d_max
