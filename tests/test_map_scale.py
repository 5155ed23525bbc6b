"""delta: the closed form against the search that it replaces."""

import pytest
import torch

from bitlog2.models.ptq.quantizers import best_delta
from bitlog2.sim import SCHEMES


def a_map(scheme, seed, sharpness):
    generator = torch.Generator().manual_seed(seed)
    x = (torch.randn(40, 50, generator=generator, dtype=torch.float64) * sharpness).softmax(-1)
    p = (x * scheme.int_max).floor().clamp(max=scheme.int_max - 1)
    values = torch.tensor(scheme.values, dtype=torch.float64)
    return torch.bucketize(p, values, right=True) - 1, x, values


@pytest.mark.parametrize("sharpness", [1.0, 3.0, 9.0])
@pytest.mark.parametrize("name", ["BitLog2_Half_16", "BitLog2_Half_17"])
def test_map_scale_equals_the_search_over_every_integer(name, sharpness):
    scheme = SCHEMES[name]
    level, x, values = a_map(scheme, 0, sharpness)
    seen = int(values[level].max())
    search = min(
        range(seen, scheme.int_max + 1),
        key=lambda delta: float(((x - values[level] / delta) ** 2).sum()),
    )
    assert best_delta(level, x, scheme, largest=scheme.int_max) == search


@pytest.mark.parametrize("name", list(SCHEMES))
def test_map_scale_beats_both_neighbours(name):
    scheme = SCHEMES[name]
    level, x, values = a_map(scheme, 1, 4.0)
    best = best_delta(level, x, scheme, largest=scheme.int_max)
    error = {d: float(((x - values[level] / d) ** 2).sum()) for d in (best - 1, best, best + 1)}
    assert min(error, key=lambda delta: (error[delta], delta)) == best


def test_map_scale_stays_within_its_limit():
    scheme = SCHEMES["BitLog2_Half_17"]
    level = torch.full((10,), 16)
    x = torch.full((10,), 0.1)
    assert best_delta(level, x, scheme, largest=383) == 383


def test_map_scale_is_never_below_the_largest_value():
    scheme = SCHEMES["BitLog2_Half_17"]
    level = torch.full((10,), 16)
    assert best_delta(level, torch.ones(10), scheme, largest=384) == 256


def test_map_scale_vanished_map_is_refused():
    with pytest.raises(ValueError, match="vanish under BitLog2_Half_16"):
        best_delta(
            torch.zeros(9, dtype=torch.int64),
            torch.full((9,), 0.001),
            SCHEMES["BitLog2_Half_16"],
            largest=256,
        )
