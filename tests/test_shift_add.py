"""Unit 8: BL2-ACC-01, -02."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlog2.sim import SCHEMES, AttentionConfig
from bitlog2.sim.kernel.constants import scheme_constants
from bitlog2.sim.kernel.shift_add import level_value
from bitlog2.sim.kernel.shift_add import shift_add as kernel
from bitlog2.sim.scheme import Scheme
from bitlog2.sim.spec import log2_quantizer, shift_add, shift_add_lane


@pytest.fixture(params=list(SCHEMES))
def scheme(request: pytest.FixtureRequest) -> Scheme:
    return SCHEMES[request.param]


def run_kernel(levels, v, zv: int, scheme: Scheme) -> list[int]:
    v = np.asarray(v, np.int32)
    acc = np.empty(v.shape[1], np.int32)
    kernel(np.asarray(levels, np.uint8), v, zv, scheme_constants(scheme), acc)
    return acc.tolist()


@pytest.mark.requirement("BL2-ACC-01")
def test_shift_add_worked_by_hand():
    """7*8 - 6*16 + 0 - 6*48 + 0 + 4*1 + 1*2 = -322."""
    levels, v = [6, 8, 0, 11, 16, 0, 1, 2], [13, 0, 4, 0, 6, 13, 10, 7]
    assert shift_add(levels, v, 6, SCHEMES["BitLog2_Half_17"]) == -322


@pytest.mark.requirement("BL2-ACC-01")
def test_shift_add_half_bit_adds_half_of_the_shifted_term():
    """-5 * 3 = (-5 << 1) + (-5 << 0)."""
    assert shift_add_lane(3, 2, 7, SCHEMES["BitLog2_Half_16"]) == -15


@pytest.mark.requirement("BL2-ACC-01", "BL2-SCHEME-01")
def test_shift_add_lane_is_the_value_of_the_level_times_v(scheme: Scheme):
    """Every level, v and zero point of eight bits."""
    for level, value in enumerate(scheme.values):
        for x in range(-255, 256):
            v, zv = max(x, 0), max(-x, 0)
            assert shift_add_lane(level, v, zv, scheme) == value * x


def test_shift_add_kernel_equals_spec_exhaustively_on_one_key(scheme: Scheme):
    v = np.arange(16)
    for level in range(scheme.levels):
        for zv in range(16):
            expected = [shift_add_lane(level, x, zv, scheme) for x in range(16)]
            assert run_kernel([level], v[None, :], zv, scheme) == expected


def test_level_value_kernel_gives_the_values(scheme: Scheme):
    value = np.empty(scheme.levels, np.float32)
    level_value(np.arange(scheme.levels, dtype=np.uint8), scheme_constants(scheme), value)
    assert value.tolist() == list(scheme.values)


def test_shift_add_kernel_equals_spec_on_a_million_random_terms(scheme: Scheme):
    rng = np.random.default_rng(81)
    for _ in range(50):
        keys, zv = int(rng.integers(1, 313)), int(rng.integers(16))
        levels = rng.integers(0, scheme.levels, keys).tolist()
        v = rng.integers(0, 16, (keys, 32))
        columns = v.T.tolist()
        expected = [shift_add(levels, column, zv, scheme) for column in columns]
        assert run_kernel(levels, v, zv, scheme) == expected


@pytest.mark.requirement("BL2-ACC-02")
def test_shift_add_reaches_its_bound_with_both_signs(scheme: Scheme):
    """Two equal keys share A exactly; v - zv is 15 or -15."""
    config = AttentionConfig(scheme=scheme.name)
    levels = [log2_quantizer(65536, 131072, scheme)] * 2
    bound = config.registers["acc"].bound
    assert shift_add(levels, [15, 15], 0, scheme) == bound == 15 * scheme.int_max
    assert shift_add(levels, [0, 0], 15, scheme) == -bound


@pytest.mark.requirement("BL2-ACC-02")
@given(
    st.lists(
        st.tuples(st.integers(0, 65536), st.integers(0, 15)),
        min_size=1,
        max_size=80,
    ),
    st.integers(0, 15),
    st.sampled_from(sorted(SCHEMES)),
)
@settings(deadline=None, derandomize=True)
def test_shift_add_never_passes_its_bound(row: list[tuple[int, int]], zv: int, name: str):
    """For the levels of any row, and for every partial sum."""
    scheme = SCHEMES[name]
    e, v = zip(*row, (65536, 15), strict=True)
    levels = [log2_quantizer(x, sum(e), scheme) for x in e]
    for end in range(1, len(e) + 1):
        assert abs(shift_add(levels[:end], v[:end], zv, scheme)) <= 15 * scheme.int_max


@pytest.mark.requirement("BL2-ACC-02")
def test_shift_add_kernel_holds_the_widest_configuration():
    """255 * 65536 in int32."""
    scheme = SCHEMES["BitLog2_Single_17"]
    assert run_kernel([16, 16], [[255], [255]], 0, scheme) == [255 * 65536]
    assert run_kernel([16, 16], [[0], [0]], 255, scheme) == [-255 * 65536]
