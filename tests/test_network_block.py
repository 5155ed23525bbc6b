"""A block of a ViT in the specification, against float64 and against the kernels."""

from types import SimpleNamespace

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

from bitlog2.sim import AttentionConfig
from bitlog2.sim.network import NetworkConfig
from bitlog2.sim.network.parameters import ImageParams, ProductParams, ResidualParams
from bitlog2.sim.network.program import PatchEmbedding, ResidualLinear
from bitlog2.sim.network.walk import Walk

requirement = pytest.mark.requirement


def model(bits, seed=5):
    """A block of 32 channels, two heads, 64 hidden channels, and nine tokens with outliers."""
    x = outlier_tokens(seed, 9, 32, 16383)
    return x, RealBlock(seed, x, fraction_bits=8, heads=2, bits=bits, hidden=64)


def block(x, real):
    """What leaves the stages of the block in the specification, and how many values saturated."""
    found = {}

    def trace(part, unit, registers):
        found.update({(part, name): values.tolist() for name, values in registers.items()})

    walk = Walk(real.config, real.attention_config, trace)
    attends, mlp = real.lowered()
    walk.mlp("mlp", mlp, walk.attention("attends", attends, np.asarray(x).tolist()))
    o = np.array(found["attends.attention", "o"]).transpose(1, 0, 2).reshape(len(x), -1)
    return SimpleNamespace(
        **{name: found[f"attends.{name}", "linear_code"] for name in "qkv"},
        norm1=found["attends.norm", "norm_code"],
        o=o.tolist(),
        middle=found["attends.proj", "residual"],
        norm2=found["mlp.norm", "norm_code"],
        u=found["mlp.fc1", "u"],
        hidden=found["mlp.fc1", "activation_code"],
        residual=found["mlp.fc2", "residual"],
        saturated=sum(walk.saturated.values()),
    )


@pytest.fixture(scope="module")
def eight():
    x, real = model(8)
    return x, real, block(x, real)


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
    (attends, mlp), config = real.lowered(), real.config
    total, _, variance = zip(*sums(x, attends.norm.norm_eps), strict=True)
    k, _, r = zip(*roots(variance, config), strict=True)
    z = normalized(x, total, k, r, config)
    norm = attends.norm.gain, attends.norm.offset, attends.norm.gain_shift
    found = {"norm1": norm_codes(z, *norm, real.bits)}
    products = {
        name: accumulators(codes, linear.product.zx, linear.weights, linear.product.linear_bias)
        for name, linear, codes in (
            *((name, getattr(attends, name), integer.norm1) for name in "qkv"),
            ("proj", attends.proj, integer.o),
            ("fc1", mlp.fc1, integer.norm2),
            ("fc2", mlp.fc2, integer.hidden),
        )
    }
    for name in "qkv":
        p = getattr(attends, name).params
        m, n = p.linear_multiplier, p.linear_shift
        found[name] = [linear_codes(a, m, n, p.linear_zero, p.y_bits) for a in products[name]]
    for name, acc, linear, source in (
        ("middle", "proj", attends.proj, x),
        ("residual", "fc2", mlp.fc2, integer.middle),
    ):
        p = linear.params
        m, n = p.residual_multiplier, p.residual_shift
        added = (
            residuals(a, m, n, row, config) for a, row in zip(products[acc], source, strict=True)
        )
        found[name] = [row for row, _ in added]
    p = mlp.fc1.params
    m, n = p.activation_multiplier, p.activation_shift
    looked_up = [activations(a, m, n, p.table) for a in products["fc1"]]
    return found | {"u": [u for u, _ in looked_up], "hidden": [y for _, y in looked_up]}


@pytest.mark.parametrize("bits", [4, 8])
def test_block_stages_equal_the_kernels(bits):
    x, real = model(bits, seed=7)
    integer = block(x, real)
    for name, rows in by_kernels(x, real, integer).items():
        assert rows == getattr(integer, name), name


@requirement("BL2-NET-01")
def test_block_tokens_influence_one_another_in_attention_alone(eight):
    """One token more leaves every other code in front of attention as it is."""
    x, real, integer = eight
    shorter = block(x[:5], real)
    for name in ("norm1", "q", "k", "v"):
        assert getattr(shorter, name) == getattr(integer, name)[:5]
    assert shorter.residual != integer.residual[:5]


@requirement("BL2-RESID-02")
def test_block_saturations_are_counted(eight):
    """Tokens at both ends of the stream: fewer bits than the sums need."""
    x, real, _ = eight
    found = block(np.where(x > 0, 32767, -32768), real)
    assert found.saturated > 100
    assert {32767, -32768} <= {value for row in found.residual for value in row}


@requirement("BL2-RESID-04", "BL2-IMAGE-01")
def test_patch_embedding_worked_by_hand():
    """One colour, two patches of two by two in the order of lines; the position stands for x."""
    image = [[[0, 255, 128, 128], [127, 0, 128, 255]]]
    step = PatchEmbedding(
        2, 4, 2,
        ImageParams((32897,), (4194304,), (16,)),
        ResidualLinear(
            np.array([[1, 2, 3, -4], [0, 0, 0, 255]], np.int16),
            ProductParams(128, (10, 0)),
            ResidualParams((1, 1), (1, 0)),
        ),
        np.array([[100, 5], [-7, 32700]], np.int32),
        np.array([[8, -9]], np.int32),
    )  # fmt: skip
    found = Walk(NetworkConfig(), AttentionConfig()).embedding(image, step)
    # codes 64 192 128 64 and 128 128 128 192: sums -64 + 128 + 0 + 256 + 10 = 330, -256 + 10 = -246
    assert found == [[8, -9], [100 + 165, 5 - 64 * 255], [-7 - 123, 32767]]
