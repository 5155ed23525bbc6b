"""The attention map in float arithmetic, against the published outputs."""

import numpy as np
import pytest
import torch
from published import PUBLISHED

from bitlog2.models.ptq.levels import value_of
from bitlog2.models.ptq.quantizers import FloatMap, Log2Map
from bitlog2.sim import SCHEMES

CASES = [(scheme, name) for scheme in SCHEMES for name in ("attn_flat", "attn_peaky")]


def calibrated(scheme, name):
    x = torch.from_numpy(PUBLISHED[f"input/{name}"])
    quantizer = Log2Map(SCHEMES[scheme])
    quantizer.observe(x)
    return quantizer, x


@pytest.mark.parametrize(("scheme", "name"), CASES)
def test_float_map_level_values_are_the_published_ones(scheme, name):
    quantizer, x = calibrated(scheme, name)
    values = value_of(quantizer.codes(x), SCHEMES[scheme])
    np.testing.assert_array_equal(values.numpy(), PUBLISHED[f"{scheme}/{name}/dequantized"])


@pytest.mark.parametrize(("scheme", "name"), CASES)
def test_float_map_p_is_the_published_one(scheme, name):
    quantizer, x = calibrated(scheme, name)
    np.testing.assert_array_equal(quantizer.codes(x).numpy(), PUBLISHED[f"{scheme}/{name}/p"])


@pytest.mark.parametrize(("scheme", "name"), CASES)
def test_float_map_delta_is_the_published_one(scheme, name):
    """The published search over Single's 50,000 candidates lands on float32 noise of 1e-4."""
    quantizer, _ = calibrated(scheme, name)
    tolerance = 1e-4 if "Single" in scheme else 0
    published = PUBLISHED[f"{scheme}/{name}/delta"]
    np.testing.assert_allclose(quantizer.delta.numpy(), published, rtol=tolerance)


@pytest.mark.parametrize(("scheme", "name"), CASES)
def test_float_map_output_is_the_published_one(scheme, name):
    quantizer, x = calibrated(scheme, name)
    tolerance = 1e-4 if "Single" in scheme else 1e-6
    published = PUBLISHED[f"{scheme}/{name}/output"]
    np.testing.assert_allclose(quantizer(x).numpy(), published, rtol=tolerance)


def test_float_map_none_leaves_the_map():
    x = torch.rand(3, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(FloatMap()(x), x)


def test_float_map_uncalibrated_is_refused():
    with pytest.raises(RuntimeError, match="not calibrated"):
        Log2Map(SCHEMES["BitLog2_Half_17"])(torch.rand(3, 4))
