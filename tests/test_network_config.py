"""What the network is built with and what its layers load: ranges, real numbers, refusals."""

import math
from dataclasses import replace
from fractions import Fraction

import pytest

import bitlog2
from bitlog2.sim.datapath import ATTENTION, SPECIFICATION_VERSION
from bitlog2.sim.multiplier import multiplier_and_shift
from bitlog2.sim.network import NETWORK, NETWORK_VERSION, NetworkConfig
from bitlog2.sim.network.datapath import NETWORK_PORTS
from bitlog2.sim.network.multiplier import (
    gain_and_shift,
    linear_bias,
    multipliers,
    norm_eps,
    scaled,
    stream_fraction_bits,
)
from bitlog2.sim.network.parameters import (
    ActivationParams,
    CodeParams,
    HeadParams,
    ImageParams,
    MeanParams,
    NormParams,
    ProductParams,
    ResidualParams,
    StreamMeanParams,
    StreamNormParams,
)

requirement = pytest.mark.requirement
CONFIG = NetworkConfig()
SMALL = NetworkConfig(max_channels=64, max_inputs=64, max_tokens=64)


@requirement("BL2-NET-02")
def test_network_has_a_version_of_its_own():
    """Sets of vectors of attention carry the version of attention."""
    assert {unit.version for unit in NETWORK.values()} == {2, NETWORK_VERSION} == {2, 3}
    assert {unit.version for unit in ATTENTION.values()} == {SPECIFICATION_VERSION} == {1}
    assert bitlog2.SPEC_VERSION == SPECIFICATION_VERSION


@requirement("BL2-NET-01")
def test_network_units_and_ports_have_names_of_their_own():
    """A port is declared once, and every stream is of ports; numbers are none of attention's."""
    declared = [port.name for unit in NETWORK.values() for port in unit.declares]
    assert len(declared) == len(set(declared)) == len(NETWORK_PORTS)
    for unit in NETWORK.values():
        assert {name for stream in unit.streams for name in stream.ports} <= set(declared)
        assert all(name in unit.ports(stream) for _, stream, name in unit.makes)
    numbers = [unit.number for unit in NETWORK.values()]
    assert numbers == list(range(21, 33))
    assert not set(numbers) & {unit.number for unit in ATTENTION.values()}


@requirement("BL2-NET-03")
def test_network_configuration_ends_are_accepted_and_one_beyond_is_not():
    """One choice at a time, in a configuration of few channels, inputs and tokens."""
    for each in NetworkConfig.choices():
        low, high = each.metadata["low"], each.metadata["high"]
        rest = {"z_fraction_bits": 4, "bias_bits": 20} if each.name == "root_bits" else {}
        rest |= {"root_bits": 24} if each.name == "z_fraction_bits" else {}
        rest |= {"outer_bits": 4} if each.name == "max_inputs" else {}
        for value in (low, high):
            assert getattr(replace(SMALL, **rest | {each.name: value}), each.name) == value
        for value in (low - 1, high + 1):
            with pytest.raises(ValueError, match=f"^{each.name} must be from {low} to {high}"):
                NetworkConfig(**{each.name: value})
        with pytest.raises(TypeError, match=f"^{each.name} must be an integer"):
            NetworkConfig(**{each.name: "4"})
    with pytest.raises(ValueError, match="configuration field must be one of a_bits"):
        NetworkConfig.from_mapping({"b_bits": 4})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param(
            {"max_channels": 16384, "stream_bits": 19},
            "register square_product must need at most 62 bits: it reaches 18446744073709551616",
            marks=requirement("BL2-NET-04"),
        ),
        pytest.param(
            {"z_fraction_bits": 11, "root_bits": 10},
            "z_fraction_bits must be at most root_bits = 10: unit 27 shifts by at least",
            marks=requirement("BL2-NET-05"),
        ),
        pytest.param(
            {"max_inputs": 65536},
            "max_inputs must be at most 24769 with terms of 65025 and bias_bits = 30: register "
            "linear_acc must need at most 32 bits, got 65536",
            marks=requirement("BL2-NET-05", "BL2-LINEAR-02"),
        ),
    ],
)
def test_network_configuration_is_refused(fields, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        NetworkConfig(**fields)


@requirement("BL2-NET-05")
def test_network_configuration_of_the_largest_accumulator_is_accepted():
    assert NetworkConfig(max_inputs=24769).registers["linear_acc"].bits == 32


@requirement("BL2-NET-04")
def test_network_configuration_normalizer_never_shifts_to_the_left():
    """The smallest k leaves root_bits - Z."""
    for root_bits in range(4, 25):
        for z in range(min(root_bits, 16) + 1):
            config = NetworkConfig(root_bits=root_bits, z_fraction_bits=z, max_channels=64)
            assert 2 * root_bits - 1 - (root_bits - 1) - z >= 0 <= config.largest_norm_shift


CODE = CodeParams((1, 2), (3, 4), 5, 4)
NORM = NormParams(1, (1, -1), (0, 9), (0, 30), 4)
LOADED = {
    "code": CODE,
    "norm": NORM,
    "image": ImageParams((1, 2), (-3, 4), (0, 36)),
    "product": ProductParams(7, (-5, 5)),
    "residual": ResidualParams((0, 1), (0, 36)),
    "activation": ActivationParams((1, 2), (3, 4), (0, 255) * 512),
    "mean": MeanParams(9, (1, -2), (3, -4), (5, 6), 7, 8, 8),
    "head": HeadParams((1, 2), (3, 4)),
    "stream norm": StreamNormParams(1, (1, -1), (0, 9), (0, 30)),
    "stream mean": StreamMeanParams(7, 8),
}


@pytest.mark.parametrize("name", LOADED)
@requirement("BL2-NET-06", "BL2-NET-07")
def test_network_parameters_are_accepted_and_are_those_of_the_ports(name):
    params = LOADED[name]
    params.check(CONFIG, channels=2)
    assert set(params.as_dict()) == set(params.largest) <= set(NETWORK_PORTS)


@pytest.mark.parametrize(
    ("params", "fields", "message"),
    [
        ("norm", {"gain": (65536, 1)}, "gain of channel 0 must be from -65535 to 65535, got 65536"),
        ("norm", {"gain": (1, -65536)}, "gain of channel 1 must be from -65535 to 65535"),
        ("norm", {"offset": (1 << 39, 0)}, "offset of channel 0 must be from -549755813887"),
        ("norm", {"norm_eps": 0}, "norm_eps must be from 1 to 281474976710655, got 0"),
        ("norm", {"gain_shift": (0, 31)}, "gain_shift of channel 1 must be from 0 to 30, got 31"),
        ("norm", {"gain": (1, 2, 3)}, "gain must have one value for each of 2 channels, got 3"),
        ("norm", {"y_bits": 1}, "y_bits must be from 2 to 8, got 1"),
        ("code", {"linear_multiplier": (0, 1)}, "linear_multiplier of channel 0 must be from 1"),
        ("code", {"linear_zero": 16}, "linear_zero must be from 0 to 15, a code of 4 bits, got 16"),
        ("code", {"linear_shift": 3}, "linear_shift must be integers, one per channel, got 3"),
        (
            "image",
            {"image_gain": (0, 1)},
            "image_gain of channel 0 must be from 1 to 16777215, got",
        ),
        (
            "product",
            {"linear_bias": (1 << 29, 0)},
            "linear_bias of channel 0 must be from -5368709",
        ),
        ("product", {"zx": 256}, "zx must be from 0 to 255, got 256"),
        ("residual", {"residual_multiplier": (-1, 0)}, "residual_multiplier of channel 0 must be"),
        ("activation", {"table": (0,) * 512}, "table must have 1024 entries, one per u, got 512"),
        ("activation", {"table": (256,) * 1024}, "table of entry 0 must be from 0 to 255, got 256"),
        ("mean", {"mean_multiplier": 0}, "mean_multiplier must be from 1 to 16777215, got 0"),
        ("head", {"head_shift": (0, 37)}, "head_shift of channel 1 must be from 0 to 36, got 37"),
        ("head", {"head_shift": (0, True)}, "head_shift of channel 1 must be an integer from 0"),
    ],
)
@requirement("BL2-NET-07", "BL2-NET-06")
def test_network_parameters_are_refused(params, fields, message):
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        replace(LOADED[params], **fields).check(CONFIG, channels=2)


@requirement("BL2-HEAD-02")
def test_head_with_a_logit_beyond_int32_is_refused():
    """384 inputs of 8-bit codes and weights: 24969600 and B, times M."""
    product = ProductParams(0, (0, -400))
    HeadParams((86, 86), (0, 0)).check_logits(CONFIG, 384, product)
    HeadParams((86, 65535), (0, 10)).check_logits(CONFIG, 384, product)
    message = "logit of class 1 must be at most 2147483647: M = 65535 and n = 9 take 384 inputs to"
    with pytest.raises(ValueError, match=message):
        HeadParams((86, 65535), (0, 9)).check_logits(CONFIG, 384, product)


# Real numbers.


@requirement("BL2-NETPARAM-01")
def test_network_gain_has_the_sign_of_its_real_number():
    for gain in (1 / 256, 0.731, 3.9e-5, 2.0**-31, 65535.4):
        made = multiplier_and_shift(gain, 16, 30, "gain")
        assert gain_and_shift(gain, 16, 30, "gain") == made
        assert gain_and_shift(-gain, 16, 30, "gain") == (-made[0], made[1])


@requirement("BL2-NETPARAM-01")
def test_network_gain_that_is_none_is_zero():
    for gain in (0.0, -0.0, 2.0**-31.001, -(2.0**-40)):
        assert gain_and_shift(gain, 16, 30, "gain") == (0, 0)
    for gain in (math.nan, math.inf, 65536.0):
        with pytest.raises(ValueError, match=r"^\|gain\| must be"):
            gain_and_shift(gain, 16, 30, "gain")


@requirement("BL2-NETPARAM-02")
def test_network_offset_is_rounded_once_from_the_exact_number():
    """Ties go up; a float64 next to a tie is told from it."""
    assert [scaled(x, 1, 40, "H") for x in (-0.75, -0.25, 0.25, 0.75)] == [-1, 0, 1, 2]
    assert scaled(math.nextafter(0.25, 0), 1, 40, "H") == 0
    assert scaled(Fraction(1, 3), 10, 40, "H") == 341
    assert scaled(-127.0, 0, 8, "H") == -127
    for value in (127.5, -127.6):
        with pytest.raises(ValueError, match=r"^H must be from -127 to 127 at n = 0, got -?128"):
            scaled(value, 0, 8, "H")
    with pytest.raises(ValueError, match="H must be finite, got nan"):
        scaled(math.nan, 0, 8, "H")


@requirement("BL2-NETPARAM-02")
def test_network_bias_is_rounded_from_the_exact_quotient():
    """0.3 / (0.25 * 0.1) is 12 less a little in exact float64 numbers, and B = 12."""
    assert linear_bias(0.3, 0.25, 0.1, 30) == 12
    assert linear_bias(-1.5, 0.5, 2.0, 30) == -1
    with pytest.raises(ValueError, match="linear bias must be from -536870911 to 536870911"):
        linear_bias(1.0, 1e-8, 0.1, 30)


@requirement("BL2-NETPARAM-03")
def test_network_eps_is_at_least_one():
    assert norm_eps(1e-6, 384, 11, 40) == round(Fraction(1e-6) * 384**2 * 4**11)
    assert norm_eps(0.0, 384, 11, 40) == norm_eps(1e-6, 16, -3, 40) == 1
    with pytest.raises(ValueError, match="EPS must be"):
        norm_eps(1e-5, 4096, 20, 30)
    with pytest.raises(ValueError, match="eps of a layer norm must not be negative, got -1"):
        norm_eps(-1.0, 4, 0, 30)


@requirement("BL2-NETPARAM-04")
def test_network_stream_takes_the_smallest_lsb_that_fits():
    for largest in (1e-3, 0.4, 1.0, 1.3, 1.34, 4 / 3, 27.3, 8191.7, 32767 / 1.5, 1e6):
        r = stream_fraction_bits(largest, 16)
        reach = Fraction(largest) * 3 / 2
        assert reach * Fraction(2) ** r <= 32767 < reach * Fraction(2) ** (r + 1)
    for largest in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="largest magnitude of the stream must be positive"):
            stream_fraction_bits(largest, 16)


@requirement("BL2-NETPARAM-05")
def test_network_multipliers_are_made_per_channel():
    ratios = [0.25 * 0.1 / 0.2, 25.6, 1e-9]
    made = [multiplier_and_shift(r, 16, 36, "M") for r in ratios]
    assert multipliers(ratios, 16, 36, "M") == tuple(zip(*made, strict=True))
    with pytest.raises(ValueError, match="M of channel 1 must be positive and finite, got -1"):
        multipliers([1.0, -1.0], 16, 36, "M")
