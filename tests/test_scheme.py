"""The four codes: BL2-SCHEME-01, -02."""

from itertools import pairwise

import pytest

from bitlog2.sim import SCHEMES, scheme_named
from bitlog2.sim.scheme import Scheme

HALF = [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]


@pytest.fixture(params=list(SCHEMES))
def scheme(request: pytest.FixtureRequest) -> Scheme:
    return SCHEMES[request.param]


@pytest.mark.parametrize(
    ("name", "int_max", "levels"),
    [
        ("BitLog2_Single_16", 32768, 16),
        ("BitLog2_Single_17", 65536, 17),
        ("BitLog2_Half_16", 256, 16),
        ("BitLog2_Half_17", 384, 17),
    ],
)
def test_scheme_has_the_published_int_max_and_levels(name: str, int_max: int, levels: int):
    assert (SCHEMES[name].int_max, SCHEMES[name].levels) == (int_max, levels)


@pytest.mark.requirement("BL2-SCHEME-01")
def test_scheme_values_of_half():
    assert list(SCHEMES["BitLog2_Half_17"].values) == HALF
    assert list(SCHEMES["BitLog2_Half_16"].values) == HALF[:16]


@pytest.mark.requirement("BL2-SCHEME-01")
def test_scheme_values_of_single():
    assert list(SCHEMES["BitLog2_Single_16"].values) == [0, *(2**k for k in range(15))]
    assert list(SCHEMES["BitLog2_Single_17"].values) == [0, *(2**k for k in range(16))]


@pytest.mark.requirement("BL2-SCHEME-02")
def test_scheme_of_17_levels_stores_five_bits():
    assert {name: s.storage_bits for name, s in SCHEMES.items()} == {
        "BitLog2_Single_16": 4,
        "BitLog2_Single_17": 5,
        "BitLog2_Half_16": 4,
        "BitLog2_Half_17": 5,
    }


def test_scheme_int_max_is_odd_factor_shifted(scheme: Scheme):
    assert scheme.odd_factor << scheme.base_shift == scheme.int_max
    assert scheme.odd_factor in (1, 3)


def test_scheme_values_rise_strictly_from_zero_and_stay_below_int_max(scheme: Scheme):
    values = scheme.values
    assert values[0] == 0
    assert len(values) == scheme.levels
    assert all(a < b for a, b in pairwise(values))
    assert values[-1] < scheme.int_max


def test_scheme_one_level_above_the_top_would_be_int_max(scheme: Scheme):
    """Why the clamp of the level acts exactly at e = s."""
    above = scheme.levels
    value = 1 << (above - 1)
    if scheme.half:
        value = 3 << (above // 2 - 1) if above % 2 else 1 << (above // 2)
    assert value == scheme.int_max


def test_scheme_of_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"one of BitLog2_Single_16.*got 'Half'"):
        scheme_named("Half")
