"""What a layer loads: BL2-PARAM-02."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from bitlog2.sim import AttentionConfig, LayerParams

GOOD = {"m": 47274, "n": 14, "m2": 43691, "n2": 23, "zq": 7, "zk": 8, "zv": 6, "zo": 7}
#: The largest of each field for the default configuration.
LARGEST = {"m": 65535, "n": 28, "m2": 65535, "n2": 36, "zq": 15, "zk": 15, "zv": 15, "zo": 15}
SMALLEST = {"m": 1, "n": 0, "m2": 1, "n2": 0, "zq": 0, "zk": 0, "zv": 0, "zo": 0}


def test_params_zero_points_default_to_zero():
    params = LayerParams(1, 2, 3, 4)
    assert (params.zq, params.zk, params.zv, params.zo) == (0, 0, 0, 0)


def test_params_round_trip_through_a_mapping():
    assert LayerParams(**GOOD).as_dict() == GOOD
    assert LayerParams(**LayerParams(**GOOD).as_dict()) == LayerParams(**GOOD)


def test_params_turn_numpy_integers_into_python_integers():
    params = LayerParams(**{name: np.int64(value) for name, value in GOOD.items()})
    assert {type(value) for value in params.as_dict().values()} == {int}


def test_params_are_frozen():
    with pytest.raises(FrozenInstanceError):
        LayerParams(**GOOD).m = 2


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("value", [1.0, "1", None, True, np.float32(1)])
def test_params_refuse_what_is_no_integer(name: str, value: object):
    with pytest.raises(TypeError, match=f"^{name} must be an integer from"):
        LayerParams(**GOOD | {name: value})


@pytest.mark.requirement("BL2-PARAM-02")
@pytest.mark.parametrize("name", GOOD)
def test_params_refuse_a_field_below_its_range(name: str):
    low = SMALLEST[name]
    with pytest.raises(ValueError, match=f"^{name} must be from {low} to .*, got {low - 1}$"):
        LayerParams(**GOOD | {name: low - 1})


@pytest.mark.requirement("BL2-PARAM-02")
@pytest.mark.parametrize("name", GOOD)
def test_params_beyond_the_configuration_are_refused(name: str):
    """The limits of the default configuration, named with the value."""
    low, high = SMALLEST[name], LARGEST[name]
    params = LayerParams(**GOOD | {name: high + 1})
    with pytest.raises(ValueError, match=f"^{name} must be from {low} to {high}, got {high + 1}$"):
        AttentionConfig().check_params(params)


@pytest.mark.parametrize("limits", [LARGEST, SMALLEST])
def test_params_at_the_limits_are_accepted(limits: dict[str, int]):
    AttentionConfig().check_params(LayerParams(**limits))


@pytest.mark.requirement("BL2-PARAM-02")
@pytest.mark.parametrize(
    ("name", "field"), [("zq", "q_bits"), ("zk", "k_bits"), ("zv", "v_bits"), ("zo", "o_bits")]
)
def test_params_zero_point_is_a_code_of_its_own_tensor(name: str, field: str):
    params = LayerParams(**GOOD | {name: 63})
    AttentionConfig(**{field: 6}).check_params(params)
    with pytest.raises(ValueError, match=f"^{name} must be from 0 to 31, got 63$"):
        AttentionConfig(**{field: 5}).check_params(params)
