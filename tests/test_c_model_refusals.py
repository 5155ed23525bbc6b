"""What the C model refuses, and that it then writes nothing: BL2-CONF-01, -03, BL2-PARAM-02."""

import ctypes
from typing import Any

import numpy as np
import pytest
from support.c_model import (
    COMPILERS,
    NUMBERS,
    OK,
    STATUS,
    UNTOUCHED,
    CModel,
    Model,
    Params,
    c_config,
    library,
)

from bitlog2.sim import SCHEMES, AttentionConfig, LayerParams

pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler: none of gcc, clang, cc")

RANGES = {f"{name}_bits": (2, 8, "BAD_CODE_BITS") for name in "qkvo"}
RANGES |= {
    "max_head_dim": (1, 1024, "BAD_MAX_HEAD_DIM"),
    "max_tokens": (1, 65536, "BAD_MAX_TOKENS"),
}
RANGES |= {"fraction_bits": (1, 8, "BAD_FRACTION_BITS"), "table_bits": (4, 20, "BAD_TABLE_BITS")}
RANGES |= {"distance_int_bits": (2, 6, "BAD_DISTANCE_INT_BITS"), "t_bits": (8, 24, "BAD_T_BITS")}
RANGES |= {"m_bits": (4, 24, "BAD_M_BITS"), "max_n": (0, 48, "BAD_MAX_N")}
RANGES |= {"m2_bits": (4, 24, "BAD_M2_BITS"), "max_n2": (0, 48, "BAD_MAX_N2")}
RANGES |= {"scheme": (0, len(SCHEMES) - 1, "BAD_SCHEME")}
PINS = {
    name: register for name, register in AttentionConfig().as_dict().items() if register is None
}
GOOD = {"m": 5, "n": 1, "m2": 5, "n2": 1, "zq": 7, "zk": 8, "zv": 6, "zo": 7}


def init(**changes: int) -> int:
    """The status of the default configuration with these changes."""
    config = c_config(AttentionConfig().as_dict() | {"scheme": 3} | changes)
    model = Model()
    status = int(library().bl2_model_init(ctypes.byref(model), ctypes.byref(config)))
    assert status == OK or bytes(model) == bytes(ctypes.sizeof(model))
    return status


@pytest.mark.requirement("BL2-CONF-01")
@pytest.mark.parametrize("field", RANGES)
def test_c_model_refusals_of_a_configuration(field: str):
    """Both ends are accepted, one beyond is not."""
    low, high, status = RANGES[field]
    assert [init(**{field: x}) for x in (low, high)] == [OK, OK]
    refused = [init(**{field: x}) for x in (low - 1, high + 1, -(1 << 31), (1 << 31) - 1)]
    assert refused == [STATUS[status]] * 4


@pytest.mark.requirement("BL2-CONF-03")
@pytest.mark.parametrize("field", PINS)
def test_c_model_refusals_of_a_pinned_width(field: str):
    """Too narrow for its bound, or beyond 62 bits."""
    names = {"distance_bits": "d", "exp_bits": "e", "sum_bits": "row_sum"}
    register = AttentionConfig().registers[names.get(field, field.removesuffix("_bits"))]
    assert [init(**{field: x}) for x in (register.needed, 62)] == [OK, OK]
    assert init(**{field: register.needed - 1}) == STATUS["WIDTH_TOO_NARROW"]
    assert init(**{field: 63}) == STATUS["WIDTH_TOO_WIDE"]
    assert init(**{field: -1}) == STATUS["WIDTH_TOO_NARROW"]


@pytest.mark.requirement("BL2-PARAM-02")
@pytest.mark.parametrize(
    ("name", "low", "high", "status"),
    [
        ("m", 1, 65535, "BAD_M"),
        ("n", 0, 28, "BAD_N"),
        ("m2", 1, 65535, "BAD_M2"),
        ("n2", 0, 36, "BAD_N2"),
        *((name, 0, 15, "BAD_ZERO_POINT") for name in ("zq", "zk", "zv", "zo")),
    ],
)
def test_c_model_refusals_of_layer_parameters(name: str, low: int, high: int, status: str):
    model = CModel(AttentionConfig())

    def check(value: int) -> int:
        params = Params(*(GOOD | {name: value}).values())
        return int(model.lib.bl2_check_params(ctypes.byref(model.model), ctypes.byref(params)))

    assert [check(low), check(high)] == [OK, OK]
    assert [check(x) for x in (low - 1, high + 1, -(1 << 31))] == [STATUS[status]] * 3


def row(**changes: Any) -> tuple[int, bool]:
    """(status, whether nothing was written) of a row of 3 keys, with these changes."""
    inputs = {"q": np.zeros(2, np.uint8), "k": np.zeros((3, 2), np.uint8)}
    inputs |= {"v": np.zeros((3, 2), np.uint8), "masked": np.zeros(3, np.uint8)}
    inputs |= {"bias": np.zeros(3, np.int32)}
    scores, sizes = changes.pop("scores", None), changes.pop("sizes", None)
    model = CModel(AttentionConfig(), LayerParams(**GOOD))
    for name, value in changes.items():
        if isinstance(value, int):
            setattr(model.params, name, value)
    arrays = {name: value for name, value in changes.items() if not isinstance(value, int)}
    shapes = {name: np.asarray(value, inputs[name].dtype) for name, value in arrays.items()}
    status, made = model.row(inputs | shapes, scores, sizes)
    numbers = [made.pop(name) for name in NUMBERS]
    return status, not any(numbers) and all((x == UNTOUCHED).all() for x in made.values())


@pytest.mark.requirement("BL2-MAX-02", "BL2-PARAM-02", "BL2-PARAM-04", "BL2-ROW-01")
@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"m": 0}, "BAD_M"),
        ({"sizes": {"tokens": 0}}, "BAD_TOKENS"),
        ({"sizes": {"tokens": 1025}}, "BAD_TOKENS"),
        ({"sizes": {"tokens": (1 << 63) + 1}}, "BAD_TOKENS"),
        ({"sizes": {"head_dim": 0}}, "BAD_HEAD_DIM"),
        ({"sizes": {"head_dim": 129}}, "BAD_HEAD_DIM"),
        ({"sizes": {"channels": 0}}, "BAD_CHANNELS"),
        ({"sizes": {"q": None}}, "NULL_POINTER"),
        ({"sizes": {"k": None}}, "NULL_POINTER"),
        ({"sizes": {"v": None}}, "NULL_POINTER"),
        ({"masked": [1, 1, 1]}, "ALL_MASKED"),
        ({"masked": [0, 2, 0]}, "BAD_MASK"),
        ({"bias": [0, 1 << 17, 0]}, "BAD_BIAS"),
        ({"bias": [0, 0, -(1 << 17) - 1]}, "BAD_BIAS"),
        ({"masked": [0, 0, 1], "bias": [0, 0, 1 << 17]}, "BAD_BIAS"),
        ({"q": [0, 16]}, "BAD_CODE"),
        ({"k": [[0, 0], [0, 0], [0, 16]]}, "BAD_CODE"),
        ({"v": [[0, 0], [0, 0], [0, 16]]}, "BAD_CODE"),
        ({"scores": np.array([0, 28801, 0], np.int32)}, "BAD_SCORE"),
        ({"scores": np.array([0, 0, -28801], np.int32)}, "BAD_SCORE"),
        ({"scores": np.array([0, 0, 0], np.int32), "masked": [1, 1, 1]}, "ALL_MASKED"),
    ],
)
def test_c_model_refusals_of_a_row(changes: dict[str, Any], status: str):
    assert row(**changes) == (STATUS[status], True)


def test_c_model_refusals_end_at_the_limits_of_a_row():
    assert row() == (OK, False)
    assert row(bias=[0, (1 << 17) - 1, -(1 << 17)], masked=[1, 1, 0]) == (OK, False)
    assert row(scores=np.array([0, 28800, -28800], np.int32)) == (OK, False)


ARRAY = np.zeros(3, np.uint8)


@pytest.mark.parametrize(
    ("unit", "inputs", "status"),
    [
        ("score_accumulator", (0, ARRAY, ARRAY), "BAD_HEAD_DIM"),
        ("score_accumulator", (3, ARRAY, ARRAY + np.uint8(16)), "BAD_CODE"),
        ("score_accumulator", (3, ARRAY, None), "NULL_POINTER"),
        ("score_requantizer", (28801, 0), "BAD_SCORE"),
        ("score_requantizer", (0, 1 << 17), "BAD_BIAS"),
        ("row_max", (0, np.zeros(1, np.int32), None), "BAD_TOKENS"),
        ("row_max", (1, np.full(1, 1 << 17, np.int32), None), "BAD_T"),
        ("row_max", (3, np.zeros(3, np.int32), np.ones(3, np.uint8)), "ALL_MASKED"),
        ("distance", (0, 1, 0), "BAD_T"),
        ("distance", (1 << 17, 0, 0), "BAD_T"),
        ("distance", (0, 0, 2), "BAD_MASK"),
        ("exp2", (1024, 0), "BAD_D"),
        ("exp2", (0, 2), "BAD_MASK"),
        ("row_sum", (1, np.full(1, 65537, np.uint32)), "BAD_E"),
        ("row_sum", (1025, np.zeros(1025, np.uint32)), "BAD_TOKENS"),
        ("log2_quantizer", (0, 0), "BAD_ROW_SUM"),
        ("log2_quantizer", (0, (1 << 26) + 1), "BAD_ROW_SUM"),
        ("log2_quantizer", (6, 5), "BAD_E"),
        ("log2_quantizer", (65537, 1 << 20), "BAD_E"),
        ("log2_quantizer_dividing", (0, 0), "BAD_ROW_SUM"),
        ("log2_quantizer_dividing", (6, 5), "BAD_E"),
        ("code_register", (17,), "BAD_LEVEL"),
        ("code_level", (16, 0), "BAD_NIBBLE"),
        ("code_level", (1, 1), "BAD_NIBBLE"),
        ("shift_add", (0, ARRAY, ARRAY, ARRAY, 1), "BAD_TOKENS"),
        ("shift_add", (3, ARRAY + np.uint8(16), ARRAY, ARRAY, 1), "BAD_NIBBLE"),
        ("shift_add", (3, ARRAY, ARRAY, ARRAY + np.uint8(16), 1), "BAD_CODE"),
        ("output_requantizer", (15 * 384 + 1,), "BAD_ACC"),
        ("output_requantizer", (-15 * 384 - 1,), "BAD_ACC"),
    ],
)
def test_c_model_refusals_of_a_unit(unit: str, inputs: tuple[Any, ...], status: str):
    model = CModel(AttentionConfig(), LayerParams(**GOOD))
    got, *results = model.unit(unit, *inputs)
    assert got == STATUS[status]
    assert set(results) == {123}


@pytest.mark.requirement("BL2-ACC-02")
def test_c_model_refusals_of_levels_that_no_row_has():
    """Three keys at the top level."""
    model = CModel(AttentionConfig(), LayerParams(**GOOD | {"zv": 0}))
    full = np.full(3, 15, np.uint8)
    assert model.unit("shift_add", 3, full, ARRAY, full, 1) == (STATUS["BAD_ACC"], 123)


@pytest.mark.requirement("BL2-CODE-01")
@pytest.mark.parametrize("scheme", [x for x in SCHEMES if x.endswith("16")])
def test_c_model_refusals_of_a_flag_with_16_levels(scheme: str):
    model = CModel(AttentionConfig(scheme))
    assert model.unit("code_level", 0, 1)[0] == STATUS["BAD_NIBBLE"]
    assert model.unit("code_register", 16)[0] == STATUS["BAD_LEVEL"]


def test_c_model_refusals_of_null_pointers():
    lib, model = library(), CModel(AttentionConfig())
    null = ctypes.c_void_p(None)
    assert lib.bl2_model_init(null, ctypes.byref(model.config)) == STATUS["NULL_POINTER"]
    assert lib.bl2_model_init(ctypes.byref(model.model), null) == STATUS["NULL_POINTER"]
    assert lib.bl2_check_config(null) == STATUS["NULL_POINTER"]
    assert lib.bl2_exp2_table(5, 16, null) == STATUS["NULL_POINTER"]
    assert lib.bl2_attention_row(null, null, null, null) == STATUS["NULL_POINTER"]
    assert lib.bl2_pack_nibbles(3, null, null) == STATUS["NULL_POINTER"]
