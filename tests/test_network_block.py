"""A block of a ViT in the specification, against float64 and against the kernels."""

from dataclasses import replace

import numpy as np
import pytest
from support.network import (
    accumulators,
    activations,
    linear_codes,
    norm_codes,
    normalized,
    outlier_tokens,
    residuals,
    roots,
    sums,
)
from support.real_block import RealBlock

from bitlog2.sim.network import NetworkConfig
from bitlog2.sim.network.block import Linear, block, patch_embedding
from bitlog2.sim.network.parameters import ImageParams, ProductParams, ResidualParams

requirement = pytest.mark.requirement


def model(bits, seed=5):
    """A block of 32 channels, two heads, 64 hidden channels, and nine tokens with outliers."""
    x = outlier_tokens(seed, 9, 32, 16383)
    return x, RealBlock(seed, x, fraction_bits=8, heads=2, bits=bits, hidden=64)


@pytest.fixture(scope="module")
def eight():
    x, real = model(8)
    integer = block(x.tolist(), real.lowered(), real.config, real.attention_config)
    return x, real, integer


def test_block_stages_are_within_a_stated_distance_of_float64(eight):
    """Each from what the last stage of the integers gave.

    Codes of norms, of q, k, v and of the activation: at most one apart, those of the norms in one
    of a hundred, of q, k, v in one of a thousand. The stream: half an LSB and 2**-16 of what is
    added.
    """
    x, real, integer = eight
    lsb = 2.0**-real.fraction_bits
    middle = np.array(integer.middle)
    found = {"norm1": real.norm(0, x * lsb), "norm2": real.norm(1, middle * lsb)}
    found |= {name: real.linear(name, "norm1", np.array(integer.norm1)) for name in "qkv"}
    for name, limit in {"norm1": 1e-2, "norm2": 1e-2, "q": 1e-3, "k": 1e-3, "v": 1e-3}.items():
        distance = np.abs(np.array(getattr(integer, name)) - real.quantized(name, found[name]))
        assert distance.max() <= 1, name
        assert distance.mean() <= limit, name
    hidden = real.quantized("hidden", real.activated(np.array(integer.norm2)))
    assert np.abs(np.array(integer.hidden) - hidden).max() <= 1
    for name, source, before, after in (
        ("proj", "o", x, middle),
        ("fc2", "hidden", middle, np.array(integer.residual)),
    ):
        added = real.linear(name, source, np.array(getattr(integer, source))) / lsb
        distance = np.abs(before + added - after)
        assert (distance <= 0.5 + np.abs(added) * 2.0**-16 + 0.01).all(), name


def test_block_is_within_a_stated_distance_of_float64(eight):
    """Float64 running freely: a code of o that is one apart moves the stream by some LSB.

    Codes: at most one apart in front of attention. The stream of 16 bits: within 24 LSB of 2**-8,
    and within 4 on average.
    """
    x, real, integer = eight
    found = real.run(x)
    for name in ("norm1", "q", "k", "v"):
        assert np.abs(np.array(getattr(integer, name)) - found[name]).max() <= 1, name
    distance = np.abs(np.array(integer.residual) - found["residual"])
    assert integer.saturated == 0
    assert distance.max() <= 24
    assert distance.mean() <= 4


def by_kernels(x, real, integer):
    """The stages of the block by the kernels, each from what the specification gave the last."""
    params, config = real.lowered(), real.config
    total, _, variance = zip(*sums(x, params.norm1.norm_eps), strict=True)
    k, _, r = zip(*roots(variance, config), strict=True)
    z = normalized(x, total, k, r, config)
    norm = params.norm1.gain, params.norm1.offset, params.norm1.gain_shift
    found = {"norm1": norm_codes(z, *norm, real.bits)}
    products = {
        name: accumulators(codes, linear.product.zx, linear.weights, linear.product.linear_bias)
        for name, codes in (
            *((name, integer.norm1) for name in "qkv"),
            *(("proj", integer.o), ("fc1", integer.norm2), ("fc2", integer.hidden)),
        )
        for linear in [getattr(params, name)[0]]
    }
    for name in "qkv":
        p = getattr(params, name)[1]
        m, n = p.linear_multiplier, p.linear_shift
        found[name] = [linear_codes(a, m, n, p.linear_zero, p.y_bits) for a in products[name]]
    for name, acc, source in (("middle", "proj", x), ("residual", "fc2", integer.middle)):
        p = getattr(params, acc)[1]
        m, n = p.residual_multiplier, p.residual_shift
        added = (
            residuals(a, m, n, row, config) for a, row in zip(products[acc], source, strict=True)
        )
        found[name] = [row for row, _ in added]
    p = params.fc1[1]
    m, n = p.activation_multiplier, p.activation_shift
    looked_up = [activations(a, m, n, p.table) for a in products["fc1"]]
    return found | {"u": [u for u, _ in looked_up], "hidden": [y for _, y in looked_up]}


@pytest.mark.parametrize("bits", [4, 8])
def test_block_stages_equal_the_kernels(bits):
    x, real = model(bits, seed=7)
    integer = block(x.tolist(), real.lowered(), real.config, real.attention_config)
    for name, rows in by_kernels(x, real, integer).items():
        assert rows == getattr(integer, name), name


@requirement("BL2-NET-01")
def test_block_tokens_influence_one_another_in_attention_alone(eight):
    """One token more leaves every other code in front of attention as it is."""
    x, real, integer = eight
    shorter = block(x[:5].tolist(), real.lowered(), real.config, real.attention_config)
    for name in ("norm1", "q", "k", "v"):
        assert getattr(shorter, name) == getattr(integer, name)[:5]
    assert shorter.residual != integer.residual[:5]


@requirement("BL2-RESID-02")
def test_block_saturations_are_counted(eight):
    """Tokens at both ends of the stream: fewer bits than the sums need."""
    x, real, _ = eight
    ends = np.where(x > 0, 32767, -32768).tolist()
    found = block(ends, real.lowered(), real.config, real.attention_config)
    assert found.saturated > 100
    assert {32767, -32768} <= {value for row in found.residual for value in row}


@requirement("BL2-RESID-04", "BL2-IMAGE-01")
def test_patch_embedding_worked_by_hand():
    """One colour, two patches of two by two in the order of lines; the position stands for x."""
    image = [[[0, 255, 128, 128], [127, 0, 128, 255]]]
    loaded = ImageParams((32897,), (4194304,), (16,))
    linear = Linear(((1, 2, 3, -4), (0, 0, 0, 255)), ProductParams(128, (10, 0)))
    added = ResidualParams((1, 1), (1, 0))
    found = patch_embedding(
        image, 2, loaded, linear, added, [[100, 5], [-7, 32700]], NetworkConfig()
    )
    # codes 64 192 128 64 and 128 128 128 192: sums -64 + 128 + 0 + 256 + 10 = 330, -256 + 10 = -246
    assert found == [[100 + 165, 5 - 64 * 255], [-7 - 123, 32767]]


def broken(params, name, **fields):
    linear, loaded = getattr(params, name)
    return replace(params, **{name: (replace(linear, **fields), loaded)})


@requirement("BL2-NET-06")
def test_block_that_the_hardware_cannot_hold_is_refused(eight):
    x, real, _ = eight
    params, config, attention = real.lowered(), real.config, real.attention_config
    weights = params.q[0].weights
    wrong = {
        "weight of q must be from -255 to 255, got -256": broken(
            params, "q", weights=((-256, *weights[0][1:]), *weights[1:])
        ),
        r"proj must have rows of one length, at most 8192, got \[31, 32\]": broken(
            params, "proj", weights=(weights[0][1:], *weights[1:])
        ),
        "channels must be a multiple of 5 heads, at most 4096, got 32": replace(params, heads=5),
        "y_bits of v must be 8, those of attention, got 4": replace(
            params, v=(params.v[0], replace(params.v[1], y_bits=4, linear_zero=3))
        ),
        "gain must have one value for each of 32 channels, got 31": replace(
            params, norm2=replace(params.norm2, gain=params.norm2.gain[1:])
        ),
    }
    for message, each in wrong.items():
        with pytest.raises(ValueError, match=f"^{message}"):
            block(x.tolist(), each, config, attention)
