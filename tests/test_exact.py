"""Exact integer products in torch."""

import pytest
import torch

from bitlog2.models.ptq import layers as exact
from bitlog2.models.ptq.layers import exact_linear, exact_matmul, int8_product_is_safe


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


WIDTHS = [(4, 4), (6, 6), (7, 7), (8, 4), (8, 8)]


@pytest.mark.parametrize("works", [True, False])
@pytest.mark.parametrize(("a_bits", "w_bits"), WIDTHS)
def test_exact_linear_equals_the_integer_product(monkeypatch, a_bits, w_bits, works):
    """Extremes and random codes, by int8 where that is safe, else by floats; odd shapes."""
    monkeypatch.setattr(exact, "_int8_product_works", lambda: works)
    x_max, w_max = 2**a_bits - 1, 2**w_bits - 1
    for tokens, inputs, outputs in ((1, 1, 1), (3, 65, 5), (50, 384, 96)):
        x = integers(-x_max, x_max, 2, tokens, inputs)
        weight = integers(-w_max, w_max, outputs, inputs)
        x[0], weight[0] = x_max, w_max
        product = exact_linear(x.float(), weight.to(torch.int16), x_max, w_max)
        assert torch.equal(product.double(), (x @ weight.t()).double())


def test_exact_linear_rounds_large_accumulators_to_the_nearest_float32():
    x = torch.full((1, 3073), 255.0)
    weight = torch.full((1, 3073), 255, dtype=torch.int16)
    product = exact_linear(x, weight, 255, 255)
    assert product.item() == torch.tensor(255 * 255 * 3073).float().item()


def test_exact_int8_is_taken_where_pairs_fit_16_bits():
    """Bytes made unsigned by adding 128, times signed bytes, two of them summed in int16."""
    safe = {bits for bits in range(2, 9) if int8_product_is_safe(2**bits - 1, 2**bits - 1)}
    assert safe == {2, 3, 4, 5, 6}
    assert 2 * (128 + 63) * 63 <= 32767 < 2 * (128 + 127) * 127


def test_exact_int8_that_saturates_is_not_used(monkeypatch):
    """A product with 16-bit saturation in it is found out before it is used."""

    def saturating(a, b):
        pairs = (a.int().unsqueeze(2) * b.int().unsqueeze(0))[:, ::2].clamp(-3000, 3000)
        return pairs.sum(1)

    monkeypatch.setattr(torch, "_int_mm", saturating)
    assert not exact._int8_product_works.__wrapped__()


def test_exact_int8_that_is_missing_is_not_used(monkeypatch):
    monkeypatch.delattr(torch, "_int_mm")
    assert not exact._int8_product_works.__wrapped__()
