"""Percentiles and the range search."""

import pytest
import torch

from bitlog2.models.ranges import PERCENTILES, percentile, search_range


@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.5, *PERCENTILES, 1.0])
def test_ranges_percentile_is_that_of_torch(fraction):
    x = torch.randn(1, 5001, generator=torch.Generator().manual_seed(0)).sort(dim=1).values
    assert percentile(x, fraction).item() == torch.quantile(x[0], fraction).item()


def test_ranges_percentile_takes_more_values_than_torch_quantile():
    """torch.quantile of older releases refuses more than 2**24 values."""
    x = torch.arange(2**24 + 3, dtype=torch.float32).unsqueeze(0)
    assert percentile(x, 0.5).item() == 2**23 + 1


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
