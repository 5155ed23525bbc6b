"""What hardware is built with and what a layer loads: configurations, schemes, parameters."""

import math
from dataclasses import FrozenInstanceError, fields
from fractions import Fraction
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.schemes import QUOTIENTS

from bitlog2.sim import (
    SCHEMES,
    AttentionConfig,
    LayerParams,
    config_from_mapping,
    multiplier_and_shift,
    scheme_named,
    score_bias,
)
from bitlog2.sim.scheme import Scheme

requirement = pytest.mark.requirement
always = settings(deadline=None, derandomize=True)

# Configurations.

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
    "RowMax_16": (25, 41),
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
    declared = {each.name: each.metadata["low"] for each in AttentionConfig.choices()}
    assert {name: low for name, (low, _) in RANGES.items()} == declared


@requirement("BL2-CONF-01")
@pytest.mark.parametrize("name", COMPLETE)
def test_config_missing_field_is_its_default_or_refused(name: str):
    """Refused where a complete configuration is wanted."""
    values = {key: value for key, value in COMPLETE.items() if key != name}
    assert config_from_mapping(values) == AttentionConfig()
    with pytest.raises(ValueError, match=f"^configuration field {name} is missing$"):
        config_from_mapping(values, complete=True)


@requirement("BL2-CONF-01")
@pytest.mark.parametrize("name", [*RANGES, *PINS])
@pytest.mark.parametrize("value", ["4", 4.0, True, [4], np.float64(4), None], ids=repr)
def test_config_refuses_a_mistyped_field(name: str, value: object):
    """The line names field, value and range; None pins no width."""
    if value is not None or name in RANGES:
        low, high = RANGES.get(name, (1, 62))
        text = refusal({name: value}, TypeError)
        assert text.startswith(f"{name} must be an integer from {low} to {high}, got {value!r}")


@requirement("BL2-CONF-01")
@pytest.mark.parametrize("name", [*RANGES, *PINS])
def test_config_takes_the_ends_of_a_range_and_refuses_what_is_beyond(name: str):
    """The line names field, value and range."""
    low, high = RANGES.get(name, (1, 62))
    for value in RANGES.get(name, ()):
        assert getattr(config_from_mapping({name: value}), name) == value
    for value in (low - 1, high + 1, -(1 << 70), 1 << 70):
        text = refusal({name: value}, ValueError)
        assert text == f"{name} must be from {low} to {high}, got {value}"


@pytest.mark.parametrize("value", [17, None, b"BitLog2_Half_17", "", "BitLog2_Half_18", "Sqrt2_16"])
def test_config_refuses_what_is_no_scheme(value: object):
    error = ValueError if isinstance(value, str) else TypeError
    text = refusal({"scheme": value}, error)
    assert text.startswith(f"scheme must be one of {', '.join(SCHEMES)}, got ")
    assert repr(value) in text


def test_config_refuses_an_unknown_field_and_what_is_no_mapping():
    assert refusal({"p_bits": 4}, ValueError).endswith("got 'p_bits'")
    with pytest.raises(TypeError, match=r"^configuration must be an object of fields, got list$"):
        config_from_mapping([("q_bits", 4)])


def test_config_is_a_frozen_value_of_python_integers():
    config = AttentionConfig("BitLog2_Single_16", t_bits=np.int64(20), sum_bits=np.int32(32))
    assert (type(config.t_bits), type(config.sum_bits)) == (int, int)
    assert config_from_mapping(config.as_dict(), complete=True) == config
    assert len({AttentionConfig(), AttentionConfig(), config}) == 2
    with pytest.raises(FrozenInstanceError):
        config.q_bits = 5


@requirement("BL2-CONF-02")
@pytest.mark.parametrize("scheme", SCHEME_WIDTHS)
def test_config_default_widths(scheme: str):
    acc, out_product = SCHEME_WIDTHS[scheme]
    config = AttentionConfig(scheme=scheme)
    widths = {name: register.bits for name, register in config.registers.items()}
    expected = DEFAULT_WIDTHS | {"acc": acc, "out_product": out_product}
    if config.code.row_max:
        expected = {name: expected[name] for name in expected.keys() - {"e", "row_sum", "compare"}}
        expected |= {"weight_sum": 21, "m2_row": 16, "n2_row": 6}
    assert widths == expected


@requirement("BL2-CONF-02")
def test_config_widths_of_other_sizes():
    """Six bits and 64 channels; 4096 keys."""
    config = AttentionConfig(scheme="BitLog2_Single_17", **SIX_BIT)
    assert [config.width(name) for name in ("score", "product", "acc")] == [19, 35, 23]
    assert AttentionConfig(max_tokens=4096).width("row_sum") == 29


@requirement("BL2-CONF-02")
def test_config_widths_hold_their_bounds_and_no_bit_more():
    """Over the corners of the free choices."""
    for q, tokens, scheme in product((2, 8), (1, 3, 1024, 65536), QUOTIENTS):
        widest = {"max_tokens": tokens, "m_bits": 24, "max_n": 48}
        for register in AttentionConfig(scheme, q_bits=q, v_bits=q, **widest).registers.values():
            magnitude_bits = register.bits - register.signed
            assert (1 << magnitude_bits) > register.bound >= 1 << (magnitude_bits - 1)
            assert register.bits <= 62


@requirement("BL2-CONF-03")
@pytest.mark.parametrize("name", PINS)
def test_config_pinned_width_is_from_the_bound_up_to_62_bits(name: str):
    """The line names field, register, bound and the width that it needs."""
    register = AttentionConfig().registers[PINS[name]]
    needed = register.needed
    assert refusal({name: needed - 1}, ValueError) == (
        f"{name} must be from {needed} to 62: register {PINS[name]} reaches "
        f"{register.bound}, got {needed - 1}"
    )
    for bits in (needed, needed + 1, 62):
        pinned = config_from_mapping({name: bits}).registers[PINS[name]]
        assert (pinned.needed, pinned.bits) == (needed, bits)
    assert refusal({name: 63}, ValueError).endswith("from 1 to 62, got 63")


def test_config_ranges_of_t_and_d():
    config = AttentionConfig()
    assert (config.t_min, config.t_max, config.d_max) == (-131072, 131071, 1023)


# Parameters of a layer.

GOOD = {"m": 47274, "n": 14, "m2": 43691, "n2": 23, "zq": 7, "zk": 8, "zv": 6, "zo": 7}
#: The largest of each field for the default configuration.
LARGEST = {"m": 65535, "n": 28, "m2": 65535, "n2": 36, "zq": 15, "zk": 15, "zv": 15, "zo": 15}
SMALLEST = {"m": 1, "n": 0, "m2": 1, "n2": 0, "zq": 0, "zk": 0, "zv": 0, "zo": 0}


def test_params_are_a_frozen_value_of_python_integers():
    """Zero points are 0 where none is given."""
    params = LayerParams(**{name: np.int64(value) for name, value in GOOD.items()})
    assert {type(value) for value in params.as_dict().values()} == {int}
    assert params.as_dict() == GOOD
    assert LayerParams(1, 2, 3, 4) == LayerParams(1, 2, 3, 4, 0, 0, 0, 0)
    with pytest.raises(FrozenInstanceError):
        params.m = 2


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("value", [1.0, "1", None, True, np.float32(1)])
def test_params_refuse_what_is_no_integer(name: str, value: object):
    with pytest.raises(TypeError, match=f"^{name} must be an integer from"):
        LayerParams(**GOOD | {name: value})


@requirement("BL2-PARAM-02")
@pytest.mark.parametrize("name", GOOD)
def test_params_beyond_their_limits_are_refused(name: str):
    """Below by themselves, above by the default configuration, with value and range."""
    low, high = SMALLEST[name], LARGEST[name]
    for limits in (SMALLEST, LARGEST):
        AttentionConfig().check_params(LayerParams(**limits))
    with pytest.raises(ValueError, match=f"^{name} must be from {low} to .*, got {low - 1}$"):
        LayerParams(**GOOD | {name: low - 1})
    params = LayerParams(**GOOD | {name: high + 1})
    with pytest.raises(ValueError, match=f"^{name} must be from {low} to {high}, got {high + 1}$"):
        AttentionConfig().check_params(params)


@requirement("BL2-PARAM-02")
@pytest.mark.parametrize(
    ("name", "field"), [("zq", "q_bits"), ("zk", "k_bits"), ("zv", "v_bits"), ("zo", "o_bits")]
)
def test_params_zero_point_is_a_code_of_its_own_tensor(name: str, field: str):
    params = LayerParams(**GOOD | {name: 63})
    AttentionConfig(**{field: 6}).check_params(params)
    with pytest.raises(ValueError, match=f"^{name} must be from 0 to 31, got 63$"):
        AttentionConfig(**{field: 5}).check_params(params)


# The four schemes.

HALF = [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]


@pytest.fixture(params=list(QUOTIENTS))
def scheme(request: pytest.FixtureRequest) -> Scheme:
    return SCHEMES[request.param]


@requirement("BL2-SCHEME-01", "BL2-SCHEME-02")
@pytest.mark.parametrize(
    ("name", "int_max", "values", "bits"),
    [
        ("BitLog2_Single_16", 32768, [0, *(2**k for k in range(15))], 4),
        ("BitLog2_Single_17", 65536, [0, *(2**k for k in range(16))], 5),
        ("BitLog2_Half_16", 256, HALF[:16], 4),
        ("BitLog2_Half_17", 384, HALF, 5),
    ],
)
def test_scheme_is_the_published_one(name: str, int_max: int, values: list[int], bits: int):
    """17 levels store five bits."""
    scheme = SCHEMES[name]
    assert (scheme.int_max, scheme.levels, scheme.storage_bits) == (int_max, len(values), bits)
    assert list(scheme.values) == values


def test_scheme_values_rise_strictly_from_zero_and_stay_below_int_max(scheme: Scheme):
    assert scheme.odd_factor << scheme.base_shift == scheme.int_max
    assert scheme.odd_factor in (1, 3)
    assert scheme.values[0] == 0
    assert all(a < b for a, b in pairwise((*scheme.values, scheme.int_max)))


def test_scheme_one_level_above_the_top_would_be_int_max(scheme: Scheme):
    """Why the clamp of the level acts exactly at e = s."""
    above = scheme.levels
    value = 1 << (above - 1)
    if scheme.half:
        value = 3 << (above // 2 - 1) if above % 2 else 1 << (above // 2)
    assert value == scheme.int_max


ROW_MAX = AttentionConfig("RowMax_16")


def test_scheme_row_max_has_half_steps_above_whole_octaves():
    values = [0, 1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024]
    assert list(ROW_MAX.code.values) == values
    assert (ROW_MAX.code.int_max, ROW_MAX.code.storage_bits, ROW_MAX.code.zero_flag) == (1024, 4, 0)


@requirement("BL2-ROWMUL-02")
def test_config_of_row_max_leaves_rows_room_for_their_shift():
    """lod(1024 * 1024) = 20 of 36; a row of one key needs 10."""
    assert ROW_MAX.max_layer_n2 == 16
    assert refusal({"scheme": "RowMax_16", "max_n2": 19}, ValueError) == (
        "max_n2 must be from 20 to 48 with RowMax_16 and max_tokens = 1024: a row adds up to 20 to "
        "n2, got 19"
    )
    assert AttentionConfig("RowMax_16", max_tokens=1, max_n2=10).max_layer_n2 == 0
    with pytest.raises(ValueError, match="n2 must be from 0 to 16, got 17"):
        ROW_MAX.check_params(LayerParams(1, 0, 1, 17))


@requirement("BL2-ROW-02")
@pytest.mark.parametrize("name", ["exp_bits", "sum_bits", "compare_bits"])
def test_config_of_row_max_refuses_the_width_of_a_register_that_it_lacks(name: str):
    line = refusal({"scheme": "RowMax_16", name: 40}, ValueError)
    assert line == f"{name} must be null: the datapath has no register {PINS[name]}, got 40"


@requirement("BL2-ACC-03")
def test_config_of_row_max_refuses_accumulators_of_more_than_32_bits():
    """255 * 1024 * 8224 is below 2**31, one key more is not."""
    assert AttentionConfig("RowMax_16", v_bits=8, max_tokens=8224).width("acc") == 32
    line = refusal({"scheme": "RowMax_16", "v_bits": 8, "max_tokens": 8225}, ValueError)
    assert line.startswith("max_tokens must be at most 8224 with RowMax_16 and v_bits = 8")


def test_scheme_of_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"one of BitLog2_Single_16.*got 'Half'"):
        scheme_named("Half")


# A real ratio as multiplier and shift.


def make(ratio: float, bits: int = 16, max_shift: int = 28) -> tuple[int, int]:
    return multiplier_and_shift(ratio, bits, max_shift, "ratio")


@requirement("BL2-PARAM-01")
@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (1.0, (32768, 15)),
        (0.5, (32768, 16)),
        (1.5, (49152, 15)),
        (65535.0, (65535, 0)),
        (math.nextafter(65535.5, 0.0), (65535, 0)),
        (1 / 3, (43691, 17)),
        (2.0**-28, (1, 28)),
        # Ties go up, where RND_CONV would give 32768; half an LSB is 1.
        (32768.5, (32769, 0)),
        (32769.5, (32770, 0)),
        (2.0**-29, (1, 28)),
        # Step 2: 65536 becomes 32768 with a shift less; n is max_shift + 1 before the carry.
        (65535.75 / 65536, (32768, 15)),
        (65535.75 * 2.0**-29, (32768, 28)),
        # Step 3: 1.4998 LSB is 1; the mantissa of 16 bits rounded first could give 2.
        (math.nextafter(1.5, 0.0) * 2.0**-28, (1, 28)),
        (1.5 * 2.0**-28, (2, 28)),
    ],
)
def test_multiplier_worked_by_hand(ratio: float, expected: tuple[int, int]):
    assert make(ratio) == expected


@pytest.mark.parametrize(
    "ratio", [0.0, -1.0, math.inf, -math.inf, math.nan, math.nextafter(2.0**-29, 0.0), 5e-324]
)
def test_multiplier_refuses_what_is_no_ratio_or_too_small(ratio: float):
    with pytest.raises(ValueError, match=r"^ratio must be") as error:
        make(ratio)
    assert "\n" not in str(error.value)
    assert repr(ratio) in str(error.value)


@pytest.mark.parametrize("ratio", [65535.5, 65536.0, 1e300])
def test_multiplier_refuses_a_negative_shift(ratio: float):
    with pytest.raises(ValueError, match=r"^ratio must be below"):
        make(ratio)


@requirement("BL2-PARAM-01")
@given(
    st.floats(min_value=2.0**-12, max_value=14.0),
    st.integers(4, 24),
    st.integers(12, 48),
)
@always
def test_multiplier_is_within_half_an_lsb_of_the_ratio(ratio: float, bits: int, max_shift: int):
    """Against exact fractions."""
    m, n = multiplier_and_shift(ratio, bits, max_shift, "ratio")
    assert abs(Fraction(m, 1 << n) - Fraction(ratio)) <= Fraction(1, 1 << (n + 1))
    assert 0 <= n <= max_shift
    assert 1 <= m < 1 << bits


@given(st.floats(min_value=2.0**-12, max_value=14.0), st.integers(4, 24))
@always
def test_multiplier_uses_all_its_bits_below_the_shift_limit(ratio: float, bits: int):
    m, _ = multiplier_and_shift(ratio, bits, 48, "ratio")
    assert m >= 1 << (bits - 1)


@given(
    st.floats(min_value=2.0**-28, max_value=60000.0),
    st.floats(min_value=2.0**-28, max_value=60000.0),
)
@always
def test_multiplier_keeps_the_order_of_ratios(a: float, b: float):
    low, high = make(min(a, b)), make(max(a, b))
    assert Fraction(low[0], 1 << low[1]) <= Fraction(high[0], 1 << high[1])


@requirement("BL2-PARAM-04")
def test_multiplier_score_bias_is_rounded_up_at_ties():
    """RND(bias * log2(e) * 2**F): half a unit goes up, minus half to 0."""
    unit = 1 / (math.log2(math.e) * 32)
    bias = np.array([0.0, 1.0, -1.0, 0.5 * unit, -0.5 * unit, 100.25 * unit])
    assert score_bias(bias, AttentionConfig()).tolist() == [0, 46, -46, 1, 0, 100]


@requirement("BL2-PARAM-04")
@pytest.mark.parametrize("bad", [1e9, -1e9, float("nan"), float("-inf")])
def test_multiplier_score_bias_out_of_the_range_of_t_is_refused(bad):
    with pytest.raises(ValueError, match="score bias must be from -131072 to 131071"):
        score_bias(np.array([0.0, bad]), AttentionConfig())


@requirement("BL2-PARAM-01")
def test_multiplier_ratio_that_is_no_number_is_refused():
    with pytest.raises(TypeError, match="output scale must be a positive number, got '1'"):
        multiplier_and_shift("1", 16, 28, "output scale")
