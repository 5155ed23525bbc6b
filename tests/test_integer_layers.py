"""Linear layers on integer codes."""

import pytest
import torch
import torch.nn.functional as F

from bitlog2.models.ptq.layers import IntegerConv2d, IntegerLinear


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def calibrated_linear(a_bits=4):
    layer = IntegerLinear(drawn(24, 40), drawn(24, seed=1), 4, a_bits)
    x = drawn(7, 11, 40, seed=2)
    layer.calibrate(x)
    return layer, x


def test_integer_layers_linear_is_the_scaled_integer_product():
    layer, x = calibrated_linear()
    codes, weight = layer.input_quantizer(x), layer.weight_quantizer(layer.weight)
    zero, zeros = layer.input_quantizer.zero_point, layer.weight_quantizer.zero_point
    acc = (codes.long() - zero.long()) @ (weight.long() - zeros.long()).t()
    scale = layer.input_quantizer.delta * layer.weight_quantizer.delta.flatten()
    assert torch.equal(layer(x), acc.float() * scale + layer.bias)


def test_integer_layers_codes_and_values_give_the_same():
    layer, x = calibrated_linear()
    assert torch.equal(layer.from_codes(layer.input_quantizer(x).long()), layer(x))


def test_integer_layers_weight_codes_fit_their_bits():
    layer, _ = calibrated_linear()
    codes = layer.weight_quantizer(layer.weight)
    assert set(codes.unique().tolist()) <= set(map(float, range(16)))


def test_integer_layers_output_is_near_the_real_layer():
    layer, x = calibrated_linear(a_bits=8)
    real = F.linear(x, layer.weight, layer.bias)
    assert (layer(x) - real).norm() / real.norm() < 0.15


@pytest.mark.parametrize("stride", [(4, 4), (2, 2)])
def test_integer_layers_convolution_is_that_of_dequantized_values(stride):
    layer = IntegerConv2d(drawn(6, 3, 4, 4), drawn(6, seed=1), stride, 4, 8)
    x = drawn(2, 3, 16, 16, seed=2)
    layer.calibrate(x)
    values = layer.input_quantizer.centred(x).double() * layer.input_quantizer.delta
    weight = layer.weight_quantizer.centred(layer.weight).double() * layer.weight_quantizer.delta
    expected = F.conv2d(values, weight, layer.bias.double(), stride)
    torch.testing.assert_close(layer(x).double(), expected, rtol=1e-5, atol=1e-5)
