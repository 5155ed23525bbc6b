"""Unit 4: BL2-EXP2-01 to -05."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlog2.sim import AttentionConfig, LayerParams
from bitlog2.sim.kernel.constants import layer_constants
from bitlog2.sim.kernel.exp2 import exp2 as kernel
from bitlog2.sim.spec import exp2

CONFIG = AttentionConfig()
SHAPES = [(f, p, i) for f in (1, 4, 5, 6, 8) for p in (4, 7, 12, 16, 20) for i in (2, 5, 6)]


def make(fraction_bits: int, table_bits: int, distance_int_bits: int) -> AttentionConfig:
    return AttentionConfig(
        fraction_bits=fraction_bits, table_bits=table_bits, distance_int_bits=distance_int_bits
    )


def run_kernel(d, masked, config: AttentionConfig) -> list[int]:
    e = np.empty(len(d), np.int32)
    layer = layer_constants(config, LayerParams(1, 0, 1, 0))
    kernel(np.asarray(d, np.int32), np.asarray(masked, np.uint8), layer, e)
    return e.tolist()


@pytest.mark.requirement("BL2-EXP2-02")
@pytest.mark.parametrize(
    ("d", "e"),
    [(0, 65536), (32, 32768), (16, 46341), (31, 33486), (48, 23171), (159, 2093), (512, 1)],
)
def test_exp2_worked_by_hand(d: int, e: int):
    """46341 / 2 = 23170.5 goes up; (33486 + 8) >> 4 = 2093."""
    assert exp2(d, False, CONFIG) == e


@pytest.mark.requirement("BL2-EXP2-02")
def test_exp2_shift_of_p_plus_1_gives_one_for_the_first_entry_only():
    """Half an LSB goes up, less than half is gone."""
    assert [exp2(17 * 32 + f, False, CONFIG) for f in range(3)] == [1, 0, 0]


@pytest.mark.requirement("BL2-EXP2-03")
@pytest.mark.parametrize(("fraction_bits", "table_bits", "int_bits"), SHAPES)
def test_exp2_shift_of_p_plus_2_or_more_gives_zero(
    fraction_bits: int, table_bits: int, int_bits: int
):
    config = make(fraction_bits, table_bits, int_bits)
    far = range((table_bits + 2) << fraction_bits, config.d_max + 1)
    assert all(exp2(d, False, config) == 0 for d in far)


@pytest.mark.requirement("BL2-EXP2-04")
def test_exp2_of_a_masked_key_is_zero():
    assert [exp2(d, True, CONFIG) for d in (0, 5, 1023)] == [0, 0, 0]
    assert run_kernel([0, 5, 1023], [1, 1, 1], CONFIG) == [0, 0, 0]


@pytest.mark.requirement("BL2-EXP2-05")
@pytest.mark.parametrize("fraction_bits", [4, 5, 6])
@pytest.mark.parametrize("table_bits", [7, 12, 16, 20])
def test_exp2_is_within_three_quarters_of_an_lsb(fraction_bits: int, table_bits: int):
    """Every d, against float64 powers (their own error is below 1e-9 LSB)."""
    config = make(fraction_bits, table_bits, 6)
    d = np.arange(config.d_max + 1)
    real = 2.0 ** (table_bits - d / 2.0**fraction_bits)
    e = np.array([exp2(int(x), False, config) for x in d])
    assert np.abs(e - real).max() < 0.75


@pytest.mark.parametrize(("fraction_bits", "table_bits", "int_bits"), SHAPES)
def test_exp2_kernel_equals_spec_exhaustively(fraction_bits: int, table_bits: int, int_bits: int):
    config = make(fraction_bits, table_bits, int_bits)
    d = list(range(config.d_max + 1)) * 2
    masked = [0] * (config.d_max + 1) + [1] * (config.d_max + 1)
    expected = [exp2(a, bool(b), config) for a, b in zip(d, masked, strict=True)]
    assert run_kernel(d, masked, config) == expected


def test_exp2_kernel_equals_spec_on_a_million_random_keys():
    rng = np.random.default_rng(41)
    d = rng.integers(0, 1024, 1_000_000).tolist()
    masked = rng.integers(0, 2, 1_000_000).tolist()
    expected = [exp2(a, bool(b), CONFIG) for a, b in zip(d, masked, strict=True)]
    assert run_kernel(d, masked, CONFIG) == expected


@pytest.mark.parametrize(("fraction_bits", "table_bits", "int_bits"), SHAPES)
def test_exp2_never_rises_with_the_distance(fraction_bits: int, table_bits: int, int_bits: int):
    config = make(fraction_bits, table_bits, int_bits)
    e = [exp2(d, False, config) for d in range(config.d_max + 1)]
    assert all(a >= b for a, b in pairwise(e))
    assert e[0] == 1 << table_bits


@given(st.integers(0, 1023 - 32))
@settings(deadline=None, derandomize=True)
def test_exp2_halves_in_an_octave(d: int):
    """Within one LSB: both sides are rounded."""
    assert abs(2 * exp2(d + 32, False, CONFIG) - exp2(d, False, CONFIG)) <= 1
