"""What the hardware is built with: BL2-CONF-01 to -03."""

import re
from dataclasses import FrozenInstanceError, fields
from typing import Any

import numpy as np
import pytest

from bitlog2.sim import SCHEMES, AttentionConfig, config_from_mapping
from bitlog2.sim.widths import WIDTH_FIELDS

#: BL2-CONF-01: smallest and largest of each free choice.
RANGES = {
    "q_bits": (2, 8),
    "k_bits": (2, 8),
    "v_bits": (2, 8),
    "o_bits": (2, 8),
    "max_head_dim": (1, 1024),
    "max_tokens": (1, 65536),
    "fraction_bits": (1, 8),
    "table_bits": (4, 20),
    "distance_int_bits": (2, 6),
    "m_bits": (4, 24),
    "max_n": (0, 48),
    "m2_bits": (4, 24),
    "max_n2": (0, 48),
    "t_bits": (8, 24),
}
#: The register that each width field pins.
PINS = {
    "score_bits": "score",
    "product_bits": "product",
    "distance_bits": "d",
    "exp_bits": "e",
    "sum_bits": "row_sum",
    "compare_bits": "compare",
    "acc_bits": "acc",
    "out_product_bits": "out_product",
}
#: Register widths of the default configuration, and those that depend on the scheme.
DEFAULT_WIDTHS = {
    "score": 16,
    "product": 32,
    "t": 18,
    "row_max": 18,
    "d": 10,
    "e": 17,
    "row_sum": 27,
    "compare": 28,
    "o": 4,
}
SCHEME_WIDTHS = {
    "BitLog2_Half_16": (13, 37),
    "BitLog2_Half_17": (14, 37),
    "BitLog2_Single_16": (20, 37),
    "BitLog2_Single_17": (21, 38),
}
SIX_BIT = {"q_bits": 6, "k_bits": 6, "v_bits": 6, "o_bits": 6, "max_head_dim": 64}
COMPLETE = AttentionConfig().as_dict()


def refusal(values: dict[str, Any], error: type[Exception]) -> str:
    """The one line with which a configuration is refused."""
    with pytest.raises(error) as caught:
        config_from_mapping(values)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_config_fields_are_all_covered_here():
    assert {field.name for field in fields(AttentionConfig)} == {"scheme", *RANGES, *PINS}
    assert set(PINS) == set(WIDTH_FIELDS)


@pytest.mark.requirement("BL2-CONF-01")
@pytest.mark.parametrize("name", COMPLETE)
def test_config_complete_refuses_a_missing_field(name: str):
    values = {key: value for key, value in COMPLETE.items() if key != name}
    with pytest.raises(ValueError, match=f"^configuration field {name} is missing$"):
        config_from_mapping(values, complete=True)


@pytest.mark.parametrize("name", COMPLETE)
def test_config_incomplete_takes_the_default_of_a_missing_field(name: str):
    values = {key: value for key, value in COMPLETE.items() if key != name}
    assert config_from_mapping(values) == AttentionConfig()


@pytest.mark.requirement("BL2-CONF-01")
@pytest.mark.parametrize("name", [*RANGES, *PINS])
@pytest.mark.parametrize("value", ["4", 4.0, True, [4], np.float64(4)], ids=repr)
def test_config_refuses_a_mistyped_field(name: str, value: object):
    """The line names field, value and range."""
    low, high = RANGES.get(name, (1, 62))
    text = refusal({name: value}, TypeError)
    assert text.startswith(f"{name} must be an integer from {low} to {high}, got {value!r}")


@pytest.mark.parametrize("name", RANGES)
def test_config_refuses_none_for_a_free_choice(name: str):
    assert refusal({name: None}, TypeError).startswith(f"{name} must be an integer")


@pytest.mark.requirement("BL2-CONF-01")
@pytest.mark.parametrize("name", [*RANGES, *PINS])
def test_config_refuses_a_field_out_of_range(name: str):
    """The line names field, value and range."""
    low, high = RANGES.get(name, (1, 62))
    for value in (low - 1, high + 1, -(1 << 70), 1 << 70):
        text = refusal({name: value}, ValueError)
        assert text == f"{name} must be from {low} to {high}, got {value}"


@pytest.mark.requirement("BL2-CONF-01")
@pytest.mark.parametrize("name", RANGES)
def test_config_accepts_the_ends_of_each_range(name: str):
    for value in RANGES[name]:
        assert getattr(config_from_mapping({name: value}), name) == value


@pytest.mark.parametrize("value", [17, None, b"BitLog2_Half_17"])
def test_config_refuses_a_mistyped_scheme(value: object):
    text = refusal({"scheme": value}, TypeError)
    assert text.startswith("scheme must be one of BitLog2_Single_16, ")
    assert repr(value) in text


@pytest.mark.parametrize("value", ["", "BitLog2_Half_18", "bitlog2_half_17", "Sqrt2_16"])
def test_config_refuses_an_unknown_scheme(value: str):
    text = refusal({"scheme": value}, ValueError)
    assert text == f"scheme must be one of {', '.join(SCHEMES)}, got {value!r}"


def test_config_refuses_an_unknown_field():
    assert refusal({"p_bits": 4}, ValueError).endswith("got 'p_bits'")


def test_config_refuses_what_is_no_mapping():
    with pytest.raises(TypeError, match=r"^configuration must be an object of fields, got list$"):
        config_from_mapping([("q_bits", 4)])


def test_config_is_frozen_and_hashable():
    with pytest.raises(FrozenInstanceError):
        AttentionConfig().q_bits = 5
    assert len({AttentionConfig(), AttentionConfig(), AttentionConfig(q_bits=5)}) == 2


def test_config_round_trips_through_a_mapping():
    config = AttentionConfig(scheme="BitLog2_Single_16", t_bits=20, sum_bits=32)
    assert config_from_mapping(config.as_dict(), complete=True) == config


@pytest.mark.requirement("BL2-CONF-02")
@pytest.mark.parametrize("scheme", SCHEME_WIDTHS)
def test_config_default_widths(scheme: str):
    acc, out_product = SCHEME_WIDTHS[scheme]
    config = AttentionConfig(scheme=scheme)
    widths = {name: register.bits for name, register in config.registers.items()}
    assert widths == DEFAULT_WIDTHS | {"acc": acc, "out_product": out_product}


@pytest.mark.requirement("BL2-CONF-02")
def test_config_widths_of_six_bits_and_64_channels():
    config = AttentionConfig(scheme="BitLog2_Single_17", **SIX_BIT)
    assert (config.width("score"), config.width("product"), config.width("acc")) == (19, 35, 23)


@pytest.mark.requirement("BL2-CONF-02")
def test_config_width_of_the_sum_of_4096_keys():
    assert AttentionConfig(max_tokens=4096).width("row_sum") == 29


@pytest.mark.requirement("BL2-CONF-02")
def test_config_widths_hold_their_bounds_and_no_bit_more():
    """Over the corners of the free choices."""
    for q in (2, 8):
        for tokens in (1, 3, 1024, 65536):
            for scheme in SCHEMES:
                config = AttentionConfig(
                    scheme, q_bits=q, v_bits=q, max_tokens=tokens, m_bits=24, max_n=48
                )
                for register in config.registers.values():
                    magnitude_bits = register.bits - register.signed
                    assert (1 << magnitude_bits) > register.bound >= 1 << (magnitude_bits - 1)
                    assert register.bits <= 62


@pytest.mark.requirement("BL2-CONF-03")
@pytest.mark.parametrize("name", PINS)
def test_config_refuses_a_pinned_width_below_the_bound(name: str):
    """The line names field, register, bound and the width that it needs."""
    register = AttentionConfig().registers[PINS[name]]
    text = refusal({name: register.needed - 1}, ValueError)
    assert text == (
        f"{name} must be from {register.needed} to 62: register {PINS[name]} reaches "
        f"{register.bound}, got {register.needed - 1}"
    )


@pytest.mark.requirement("BL2-CONF-03")
@pytest.mark.parametrize("name", PINS)
def test_config_takes_a_pinned_width_from_the_bound_up(name: str):
    needed = AttentionConfig().registers[PINS[name]].needed
    for bits in (needed, needed + 1, 62):
        register = config_from_mapping({name: bits}).registers[PINS[name]]
        assert (register.needed, register.bits) == (needed, bits)


@pytest.mark.requirement("BL2-CONF-03")
@pytest.mark.parametrize("name", PINS)
def test_config_refuses_a_register_of_more_than_62_bits(name: str):
    assert re.search(r"from 1 to 62, got 63$", refusal({name: 63}, ValueError))


def test_config_ranges_of_t_and_d():
    config = AttentionConfig()
    assert (config.t_min, config.t_max, config.d_max) == (-131072, 131071, 1023)


def test_config_turns_numpy_integers_into_python_integers():
    config = AttentionConfig(q_bits=np.int64(5), sum_bits=np.int32(30))
    assert (type(config.q_bits), type(config.sum_bits)) == (int, int)
