"""Levels and values of p, for every p there is."""

import pytest
import torch

from bitlog2.models.ptq.levels import level_of, value_of
from bitlog2.sim import SCHEMES


def every_p(scheme):
    return torch.arange(SCHEMES[scheme].int_max, dtype=torch.float32)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_levels_are_those_of_the_largest_value_not_above(scheme):
    p, values = every_p(scheme), torch.tensor(SCHEMES[scheme].values, dtype=torch.float32)
    expected = torch.bucketize(p, values, right=True) - 1
    assert torch.equal(level_of(p, SCHEMES[scheme]).long(), expected)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_levels_values_are_those_of_the_levels(scheme):
    p, values = every_p(scheme), torch.tensor(SCHEMES[scheme].values, dtype=torch.float32)
    assert torch.equal(value_of(p, SCHEMES[scheme]), values[level_of(p, SCHEMES[scheme]).long()])


def test_levels_by_hand():
    """Half: 1 2 3 4 6 8 12; Single: powers of two."""
    p = torch.tensor([0.0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12])
    half, single = SCHEMES["BitLog2_Half_16"], SCHEMES["BitLog2_Single_16"]
    assert level_of(p, half).tolist() == [0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 7]
    assert value_of(p, half).tolist() == [0, 1, 2, 3, 4, 4, 6, 6, 8, 8, 12]
    assert level_of(p, single).tolist() == [0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4]
