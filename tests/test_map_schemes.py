"""Names of what a map can be coded with, and the bits that they take."""

import pytest

from bitlog2.models.ptq.quantizers import CONTROLS, FLOAT_ONLY, MODEL_SCHEMES, map_bits
from bitlog2.sim import SCHEMES


def test_map_schemes_are_six_schemes_and_two_controls():
    assert (*FLOAT_ONLY, *SCHEMES, *CONTROLS) == MODEL_SCHEMES
    assert len(FLOAT_ONLY) + len(SCHEMES) == 6


@pytest.mark.parametrize(
    ("scheme", "at_4", "at_6"),
    [
        ("Sqrt2_16", 4, 6),
        ("Sqrt2_17", 5, 7),
        ("BitLog2_Single_16", 4, 4),
        ("BitLog2_Single_17", 5, 5),
        ("BitLog2_Half_16", 4, 4),
        ("BitLog2_Half_17", 5, 5),
        ("uniform_4", 4, 4),
        ("none", None, None),
    ],
)
def test_map_schemes_bits_count_the_zero_flag(scheme, at_4, at_6):
    assert (map_bits(scheme, 4), map_bits(scheme, 6)) == (at_4, at_6)
