"""The base-sqrt(2) code, against the published outputs and against its values by hand."""

import math

import pytest
import torch
from published import PUBLISHED

from bitlog2.models.ptq.quantizers import Sqrt2Map

CASES = [(s, name) for s in ("Sqrt2_16", "Sqrt2_17") for name in ("attn_flat", "attn_peaky")]


def sqrt2_map(scheme, bits=4):
    return Sqrt2Map(bits, seventeen=scheme == "Sqrt2_17")


def frozen(scheme, delta=1.0, bits=4):
    quantizer = sqrt2_map(scheme, bits)
    quantizer.delta = torch.tensor(delta)
    return quantizer


@pytest.mark.parametrize(("scheme", "name"), CASES)
def test_sqrt2_map_delta_is_the_published_one(scheme, name):
    quantizer = sqrt2_map(scheme)
    quantizer.observe(torch.from_numpy(PUBLISHED[f"input/{name}"]))
    published = torch.tensor(PUBLISHED[f"{scheme}/{name}/delta"])
    torch.testing.assert_close(quantizer.delta, published, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("scheme", "name"), CASES)
def test_sqrt2_map_output_is_the_published_one(scheme, name):
    x = torch.from_numpy(PUBLISHED[f"input/{name}"])
    quantizer = sqrt2_map(scheme)
    quantizer.observe(x)
    published = torch.from_numpy(PUBLISHED[f"{scheme}/{name}/output"])
    torch.testing.assert_close(quantizer(x), published, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("scheme", "bits", "levels"),
    [("Sqrt2_16", 4, 16), ("Sqrt2_17", 4, 17), ("Sqrt2_16", 6, 64), ("Sqrt2_17", 6, 65)],
)
def test_sqrt2_map_number_of_levels(scheme, bits, levels):
    x = torch.cat([torch.zeros(1), torch.logspace(-12, 0, 200_000)])
    assert len(frozen(scheme, bits=bits)(x).unique()) == levels


def test_sqrt2_map_values_are_powers_of_root_two():
    x = torch.tensor([2.0 ** -(code / 2) for code in range(15)])
    expected = [
        2.0 ** -(c // 2) if c % 2 == 0 else math.sqrt(2) / 2 ** ((c + 1) // 2) for c in range(15)
    ]
    torch.testing.assert_close(frozen("Sqrt2_16")(x), torch.tensor(expected), rtol=1e-6, atol=0)


def test_sqrt2_map_sixteen_moves_the_last_code_up():
    """The published quirk: the zero mask comes before the clamp, so code 15 becomes 14."""
    x = torch.tensor([2.0**-7.5])
    assert frozen("Sqrt2_16")(x).item() == 2.0**-7
    assert frozen("Sqrt2_17")(x).item() == pytest.approx(2.0**-7.5)


@pytest.mark.parametrize("scheme", ["Sqrt2_16", "Sqrt2_17"])
def test_sqrt2_map_code_sixteen_is_zero(scheme):
    assert frozen(scheme)(torch.tensor([2.0**-8, 0.0])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("real", "value"), [(8.5, 2.0**-4), (9.5, 2.0**-5), (10.5, 2.0**-5), (11.5, 2.0**-6)]
)
def test_sqrt2_map_codes_round_ties_to_even(real, value):
    """Neighbours of 2**-(real / 2) for some of which -2 log2(x), as computed, is the tie itself."""
    start = torch.tensor(2.0 ** -(real / 2)).view(torch.int32)
    near = (start + torch.arange(-8, 9, dtype=torch.int32)).view(torch.float32)
    tie = near.log2() * -2 == real
    assert set(frozen("Sqrt2_16")(near)[tie].tolist()) == {value}


def test_sqrt2_map_uncalibrated_is_refused():
    with pytest.raises(RuntimeError, match="not calibrated"):
        sqrt2_map("Sqrt2_16")(torch.rand(3, 4))


@pytest.mark.parametrize("value", [float("nan"), 0.0])
def test_sqrt2_map_of_nothing_is_refused(value):
    with pytest.raises(ValueError, match="attention map must be finite and hold values above zero"):
        sqrt2_map("Sqrt2_16").observe(torch.full((4, 9), value))
