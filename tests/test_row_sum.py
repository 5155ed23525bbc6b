"""Unit 5: BL2-SUM-01, -02."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlog2.sim import AttentionConfig
from bitlog2.sim.kernel.row_sum import row_sum as kernel
from bitlog2.sim.spec import distance, exp2, row_max, row_sum

CONFIG = AttentionConfig()


def test_row_sum_worked_by_hand():
    assert row_sum([2093, 5428, 14, 14702, 65536, 0, 386, 650]) == 88809


@pytest.mark.requirement("BL2-SUM-01")
def test_row_sum_reaches_its_bound_and_fits():
    """1024 keys of 2**16 need 27 bits."""
    register = CONFIG.registers["row_sum"]
    assert row_sum([65536] * 1024) == register.bound == 1 << 26
    assert register.bits == 27


@pytest.mark.requirement("BL2-SUM-01")
def test_row_sum_kernel_holds_the_widest_configuration():
    """65536 keys of 2**20, beyond int32."""
    assert kernel(np.full(65536, 1 << 20, np.int32)) == 1 << 36


def test_row_sum_kernel_equals_spec_on_a_million_random_keys():
    rng = np.random.default_rng(51)
    for size in [1, 2, 3, 5, 8, 13, 1024, *rng.integers(1, 4000, 500).tolist()]:
        e = rng.integers(0, (1 << 16) + 1, size).astype(np.int32)
        assert kernel(e) == row_sum(e.tolist())


@pytest.mark.requirement("BL2-SUM-02")
@given(st.lists(st.integers(CONFIG.t_min, CONFIG.t_max), min_size=1, max_size=60))
@settings(deadline=None, derandomize=True)
def test_row_sum_is_at_least_2_to_the_p(t: list[int]):
    """The key at the maximum has e = 2**P."""
    largest = row_max(t, [False] * len(t))
    e = [exp2(distance(x, largest, False, CONFIG), False, CONFIG) for x in t]
    assert max(e) == 1 << 16
    assert 1 << 16 <= row_sum(e) <= len(t) << 16
