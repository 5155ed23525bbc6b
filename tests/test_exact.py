"""Exact integer products in torch."""

import pytest
import torch

from bitlog2.models.exact import exact_matmul


def integers(low, high, *shape):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(low, high + 1, shape, generator=generator)


@pytest.mark.parametrize("reach", [15, 255])
def test_exact_product_equals_the_integer_one(reach):
    a, b = integers(-reach, reach, 3, 40, 250), integers(-reach, reach, 3, 250, 30)
    product = exact_matmul(a.float(), b.float(), reach * reach * 250)
    assert torch.equal(product.long(), a @ b)


def test_exact_product_is_exact_beyond_float32():
    """257 * 257 * 1025 passes 2**24, where float32 begins to lose units."""
    a, b = torch.full((1, 1025), 257), torch.full((1025, 1), 257)
    product = exact_matmul(a.float(), b.float(), 257 * 257 * 1025)
    assert product.item() == 257 * 257 * 1025
    assert product.dtype == torch.float64


def test_exact_product_stays_exact_under_autocast():
    a, b = integers(-15, 15, 40, 3000), integers(-15, 15, 3000, 30)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        product = exact_matmul(a.float(), b.float(), 15 * 15 * 3000)
    assert torch.equal(product.long(), a @ b)


def test_exact_product_refuses_what_no_float_holds():
    with pytest.raises(ValueError, match="bound must be below 2"):
        exact_matmul(torch.ones(1, 1), torch.ones(1, 1), 1 << 53)
