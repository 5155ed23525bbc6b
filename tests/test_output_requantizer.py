"""Unit 9: BL2-OUT-01, -02."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlog2.sim import AttentionConfig, LayerParams
from bitlog2.sim.kernel.constants import layer_constants
from bitlog2.sim.kernel.output_requantizer import output_requantizer as kernel
from bitlog2.sim.spec import output_requantizer

CONFIG = AttentionConfig(scheme="BitLog2_Single_17")
WIDEST = AttentionConfig(scheme="BitLog2_Single_17", v_bits=8, o_bits=8, m2_bits=24, max_n2=48)


def run_kernel(acc, m2: int, n2: int, zo: int, config: AttentionConfig) -> list[int]:
    o = np.empty(len(acc), np.uint8)
    layer = layer_constants(config, LayerParams(1, 0, m2, n2, zo=zo))
    kernel(np.asarray(acc, np.int32), layer, o)
    return o.tolist()


@pytest.mark.requirement("BL2-OUT-01")
@pytest.mark.parametrize(
    ("acc", "m2", "n2", "zo", "o"),
    [
        (-322, 43691, 23, 7, 5),
        (502, 43691, 23, 7, 10),
        (-3, 1, 1, 7, 6),
        (-5, 1, 1, 7, 5),
        (5, 1, 1, 7, 10),
        (-100, 1, 0, 7, 0),
        (100, 1, 0, 7, 15),
    ],
)
def test_output_requantizer_worked_by_hand(acc: int, m2: int, n2: int, zo: int, o: int):
    assert output_requantizer(acc, m2, n2, zo, CONFIG) == o


@pytest.mark.requirement("BL2-OUT-01")
def test_output_requantizer_adds_the_zero_point_before_it_saturates():
    """-3 + 7 = 4; saturating first would give 7."""
    assert output_requantizer(-3, 1, 0, 7, CONFIG) == 4
    assert run_kernel([-3], 1, 0, 7, CONFIG) == [4]


@pytest.mark.parametrize(("m2", "n2"), [(43691, 23), (1, 1), (65535, 36), (65535, 0), (32768, 30)])
def test_output_requantizer_kernel_equals_spec_exhaustively_on_half_17(m2: int, n2: int):
    acc = list(range(-5760, 5761))
    for zo in (0, 7, 15):
        expected = [output_requantizer(a, m2, n2, zo, CONFIG) for a in acc]
        assert run_kernel(acc, m2, n2, zo, CONFIG) == expected


@pytest.mark.parametrize("config", [CONFIG, WIDEST], ids=["default", "widest"])
def test_output_requantizer_kernel_equals_spec_at_corners(config: AttentionConfig):
    bound = config.registers["acc"].bound
    near = {(1 << b) + step for b in range(24) for step in (-2, -1, 0, 1, 2)} | {bound, bound - 1}
    acc = sorted(s for x in near for s in (x, -x) if abs(s) <= bound)
    o_max = (1 << config.o_bits) - 1
    for m2 in (1, 2, 3, 1 << (config.m2_bits - 1), (1 << config.m2_bits) - 1):
        for n2 in (0, 1, 2, config.max_n2 - 1, config.max_n2):
            for zo in (0, 1, o_max):
                expected = [output_requantizer(a, m2, n2, zo, config) for a in acc]
                assert run_kernel(acc, m2, n2, zo, config) == expected


def test_output_requantizer_kernel_equals_spec_on_a_million_random_cases():
    rng = np.random.default_rng(91)
    for case in range(100):
        config = (CONFIG, WIDEST)[case % 2]
        bound = config.registers["acc"].bound
        m2 = int(rng.integers(1, 1 << config.m2_bits))
        n2 = int(rng.integers(config.max_n2 // 2, config.max_n2 + 1))
        zo = int(rng.integers(1 << config.o_bits))
        acc = rng.integers(-bound, bound + 1, 10_000).tolist()
        expected = [output_requantizer(a, m2, n2, zo, config) for a in acc]
        assert run_kernel(acc, m2, n2, zo, config) == expected


@pytest.mark.requirement("BL2-OUT-02")
def test_output_requantizer_product_stays_within_its_register():
    """983040 * 65535 + 2**35 in 38 bits."""
    register = CONFIG.registers["out_product"]
    assert 983040 * 65535 + (1 << 35) == register.bound < 1 << (register.bits - 1)
    assert register.bits == 38


@given(st.integers(-983040, 983039), st.integers(1, 65535), st.integers(0, 36), st.integers(0, 15))
@settings(deadline=None, derandomize=True)
def test_output_requantizer_is_monotone_and_in_range(acc: int, m2: int, n2: int, zo: int):
    here = output_requantizer(acc, m2, n2, zo, CONFIG)
    assert 0 <= here <= output_requantizer(acc + 1, m2, n2, zo, CONFIG) <= 15
