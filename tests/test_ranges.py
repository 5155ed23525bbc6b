"""Percentiles and the range search."""

import numpy as np
import pytest
import torch

from bitlog2.models.ptq.quantizers import PERCENTILES, percentile, search_range


@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.5, *PERCENTILES, 1.0])
def test_ranges_percentile_is_that_of_torch(fraction):
    x = torch.randn(1, 5001, generator=torch.Generator().manual_seed(0))
    assert percentile(x, fraction).item() == torch.quantile(x[0], fraction).item()


@pytest.mark.parametrize("size", [1, 2, 3, 1000, 1001, 1002, 3001])
def test_ranges_percentile_of_any_size_is_that_of_torch(size):
    x = torch.randn(3, size, generator=torch.Generator().manual_seed(size))
    for fraction in (0.0, 1.0 - 0.999, 1.0 - 0.99999, 0.5, *PERCENTILES, 1.0):
        expected = torch.quantile(x, fraction, dim=1)
        assert torch.equal(percentile(x, fraction), expected), fraction


def test_ranges_percentile_takes_more_values_than_torch_quantile():
    """torch.quantile of older releases refuses more than 2**24 values."""
    x = torch.arange(2**24 + 3, dtype=torch.float32).unsqueeze(0)
    assert percentile(x, 0.5).item() == 2**23 + 1


def test_ranges_percentile_of_many_values_has_the_exact_rank():
    """2**25 values: rank float32(0.99999) * (2**25 - 1), from order statistics that are known."""
    n = 2**25
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0), dtype=torch.int32)
    x = (order - n // 2).float().unsqueeze(0)  # every integer from -2**24, all exact in float32
    rank = float(np.float32(0.99999)) * (n - 1)
    assert percentile(x, 0.99999).item() == np.float32(rank - n // 2)


def test_ranges_outliers_are_cut_when_that_lowers_the_error():
    x = torch.randn(1, 100_000, generator=torch.Generator().manual_seed(0))
    x[0, :3] = 60.0
    _, high = search_range(x, 4, contain_zero=False)
    assert high.item() < 10


def test_ranges_channels_are_searched_apart():
    x = torch.randn(5, 4000, generator=torch.Generator().manual_seed(0))
    x *= torch.arange(1, 6).unsqueeze(1)
    low, high = search_range(x, 4, contain_zero=False)
    alone = [search_range(row.unsqueeze(0), 4, contain_zero=False) for row in x]
    assert low.tolist() == [pair[0].item() for pair in alone]
    assert high.tolist() == [pair[1].item() for pair in alone]


def test_ranges_are_widened_to_contain_zero_when_asked():
    low, high = search_range(torch.linspace(5, 6, 1000).unsqueeze(0), 4, contain_zero=True)
    assert (low.item(), high.item() > 5.9) == (0.0, True)
