"""Uniform quantizers: against the published outputs, then the integer form's own rules."""

import numpy as np
import pytest
import torch
from published import PUBLISHED

from bitlog2.models.ptq.quantizers import CodeUniform, PublishedUniform

CASES = [
    (name, bits, channel)
    for name in ("w2d", "a3d")
    for bits in (4, 8)
    for channel in ("per_tensor", "per_channel")
]


def calibrated(name, bits, channel):
    x = torch.from_numpy(PUBLISHED[f"uniform/{name}/x"])
    axis = {"per_tensor": None, "per_channel": 0 if name == "w2d" else -1}[channel]
    quantizer = PublishedUniform(bits, axis)
    quantizer.observe(x)
    return quantizer, x, f"uniform/{name}/b{bits}/{channel}"


@pytest.mark.parametrize(("name", "bits", "channel"), CASES)
def test_uniform_scale_is_the_published_one(name, bits, channel):
    quantizer, _, key = calibrated(name, bits, channel)
    np.testing.assert_allclose(quantizer.delta.numpy(), PUBLISHED[f"{key}/delta"], rtol=1e-6)


@pytest.mark.parametrize(("name", "bits", "channel"), CASES)
def test_uniform_zero_point_is_the_published_one(name, bits, channel):
    quantizer, _, key = calibrated(name, bits, channel)
    np.testing.assert_array_equal(quantizer.zero_point.numpy(), PUBLISHED[f"{key}/zero_point"])


@pytest.mark.parametrize(("name", "bits", "channel"), CASES)
def test_uniform_output_is_the_published_one(name, bits, channel):
    quantizer, x, key = calibrated(name, bits, channel)
    np.testing.assert_allclose(quantizer(x).numpy(), PUBLISHED[f"{key}/out"], rtol=1e-6, atol=1e-6)


def test_uniform_published_zero_point_may_leave_the_codes():
    quantizer = PublishedUniform(4)
    quantizer.observe(torch.linspace(5.0, 6.0, 1000))
    assert quantizer.zero_point.item() < 0


@pytest.mark.parametrize(("low", "high"), [(5.0, 6.0), (-6.0, -5.0), (-1.0, 3.0)])
def test_uniform_integer_zero_point_is_a_code(low, high):
    quantizer = CodeUniform(4)
    quantizer.observe(torch.linspace(low, high, 1000))
    assert quantizer.zero_point.item() in range(16)


def test_uniform_integer_codes_are_integers_of_four_bits():
    quantizer = CodeUniform(4)
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0)) * 3
    quantizer.observe(x)
    assert set(quantizer(4 * x).tolist()) == set(map(float, range(16)))


def test_uniform_integer_rounds_ties_up_and_published_to_even():
    """0.5 and 1.5, 2.5 steps: RND gives 1, 2, 3; torch.round gives 0, 2, 2."""
    x = torch.tensor([0.5, 1.5, 2.5, -0.5])
    for quantizer, expected in (
        (CodeUniform(4), [1, 2, 3, 0]),
        (PublishedUniform(4), [0, 2, 2, 0]),
    ):
        quantizer.freeze(torch.tensor(1.0), torch.tensor(0.0))
        assert quantizer(x).tolist() == expected


def test_uniform_uncalibrated_is_refused():
    with pytest.raises(RuntimeError, match="not calibrated"):
        CodeUniform(4)(torch.zeros(3))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_uniform_values_not_finite_are_refused(bad):
    with pytest.raises(ValueError, match="finite"):
        CodeUniform(4).observe(torch.tensor([1.0, bad]))


def test_uniform_constant_channel_is_refused_by_number():
    x = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    x[1] = 2.0
    with pytest.raises(ValueError, match="channel 1 of 3"):
        PublishedUniform(4, 0).observe(x)
