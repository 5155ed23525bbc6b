"""RowMax in the C model of `golden/c`: thresholds, units 10 to 12, rows, what it refuses."""

import ctypes
import subprocess
from dataclasses import replace
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.c_model import (
    COMPILERS,
    DRIVER,
    MUTANTS,
    OK,
    SOURCE,
    STATUS,
    UNTOUCHED,
    Case,
    CModel,
    Model,
    build_library,
    c_config,
    compile_c,
    driver_input,
    driver_output,
    first_difference,
    library,
    random_cases,
    row_inputs,
)
from test_c_model import SANITIZE, build_driver, skip_without_sanitizers

from bitlog2.sim import REGISTERS, SCHEMES, AttentionConfig, LayerParams
from bitlog2.sim.spec import (
    attention_row_from_scores,
    distance_quantizer,
    row_multiplier,
    weight_sum,
)
from bitlog2.sim.units.distance_quantizer import thresholds_of

pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler: none of gcc, clang, cc")
requirement = pytest.mark.requirement

SCHEME = SCHEMES["RowMax_16"]
NUMBER = list(SCHEMES).index("RowMax_16")
CONFIG = AttentionConfig("RowMax_16")
PARAMS = LayerParams(47274, 14, 32768, 14, 7, 8, 6, 7)
FRACTIONS = range(1, 9)


def c_thresholds(fraction_bits: int, lib: Any = None) -> list[int]:
    """The thresholds of the C model, the top level first."""
    made = (ctypes.c_uint32 * 16)()
    status = (lib or library()).bl2_distance_thresholds(NUMBER, fraction_bits, made)
    assert status == OK
    return list(made[: SCHEME.top_level])[::-1]


# Thresholds: computed in C with integers, not taken from a table.


@requirement("BL2-DIST-01")
def test_c_model_row_max_thresholds_worked_by_hand():
    """-log2 of the mean of neighbours over A, at F = 5, rounded: 0.2025, 0.6976 and 0.4712 octaves.

    Half an octave apart from 1024 to 64, an octave from 64 to 1, zero beyond eleven octaves.
    """
    halves = [6, 22, 38, 54, 70, 86, 102, 118]
    assert c_thresholds(5) == [*halves, 143, 175, 207, 239, 271, 303, 352]


@requirement("BL2-DIST-01")
@pytest.mark.parametrize("fraction_bits", FRACTIONS)
def test_c_model_row_max_thresholds_are_those_of_the_specification(fraction_bits: int):
    assert c_thresholds(fraction_bits) == list(thresholds_of(SCHEME, fraction_bits))


@requirement("BL2-DIST-01")
def test_c_model_row_max_thresholds_are_exact_for_their_numbers_lie_far_from_ties():
    """The error of `threshold_of` is below 2**-20; a tie is farther, for A = 3 * 2**a too."""
    with localcontext() as context:
        context.prec = 50
        log2 = Decimal(2).ln()
        ratios = [(Decimal(3) / 2).ln(), (Decimal(4) / 3).ln(), log2]
        octaves = [(odd * each).ln() / log2 for odd in (1, 3) for each in ratios]
        ties = [(each * 2**f) % 1 - Decimal("0.5") for each in octaves for f in FRACTIONS]
        assert min(map(abs, ties)) > Decimal(2) ** -10


def test_c_model_row_max_thresholds_with_a_wrong_logarithm_are_seen(tmp_path: Path):
    text = (SOURCE / "bitlog2.c").read_text()
    planted = text.replace("power /= n * n;", "power /= n * n + 1;")
    assert planted != text
    lib = build_library(tmp_path, planted)
    agree = [c_thresholds(f, lib) == list(thresholds_of(SCHEME, f)) for f in FRACTIONS]
    assert not all(agree)


def test_c_model_row_max_thresholds_refuse_what_has_none():
    made = (ctypes.c_uint32 * 16)()
    call = library().bl2_distance_thresholds
    assert call(3, 5, made) == STATUS["ABSENT_UNIT"]
    assert {call(number, 5, made) for number in (-1, len(SCHEMES))} == {STATUS["BAD_SCHEME"]}
    assert {call(NUMBER, f, made) for f in (0, 9)} == {STATUS["BAD_FRACTION_BITS"]}
    assert call(NUMBER, 5, None) == STATUS["NULL_POINTER"]
    assert set(made) == {0}


# Units 10 to 12.


@requirement("BL2-DIST-01", "BL2-DIST-02", "BL2-DIST-03")
@pytest.mark.parametrize("int_bits", range(2, 7))
@pytest.mark.parametrize("fraction_bits", FRACTIONS)
def test_c_model_row_max_levels_of_every_distance(fraction_bits: int, int_bits: int):
    config = replace(CONFIG, fraction_bits=fraction_bits, distance_int_bits=int_bits)
    model = CModel(config)
    for d in range(config.d_max + 1):
        level = distance_quantizer(d, False, config)
        assert model.values("distance_quantizer", d, 0) == (level,), d
        assert model.values("distance_quantizer", d, 1) == (0,)


@requirement("BL2-WEIGHT-01", "BL2-WEIGHT-02")
def test_c_model_row_max_weight_sums_of_random_and_flat_rows():
    """N = 1, N = 4096 keys of the top level, every level alone, random rows."""
    model, rng = CModel(replace(CONFIG, max_tokens=4096)), np.random.default_rng(731)
    rows = [np.full(keys, 15) for keys in (1, 4096)]
    rows += [np.array([15, level]) for level in range(16)]
    rows += [rng.integers(0, 16, int(rng.integers(1, 4097))) for _ in range(50)]
    for row in rows:
        level = row.astype(np.uint8)
        expected = weight_sum(row.tolist(), SCHEME)
        assert model.values("weight_sum", level.size, level) == (expected,)
    assert model.values("weight_sum", 4096, np.full(4096, 15, np.uint8)) == (4096 * 1024,)


@requirement("BL2-ROWMUL-01", "BL2-ROWMUL-02")
def test_c_model_row_max_multipliers_of_every_weight_sum_of_a_small_row():
    """N <= 4, every M2 of four bits."""
    model = CModel(replace(CONFIG, max_tokens=4, m2_bits=4))
    for m2 in range(1, 16):
        model.load(LayerParams(1, 0, m2, 3))
        for w in range(1024, 4097):
            assert model.values("row_multiplier", w) == row_multiplier(w, m2, 3), (w, m2)


@requirement("BL2-ROWMUL-01", "BL2-ROWMUL-02")
def test_c_model_row_max_multipliers_at_corners_and_at_random():
    """Powers of two and beside them, the widest M2 and N = 65536; remainders beside a half."""
    config = replace(CONFIG, max_tokens=65536, m2_bits=24, max_n2=48, v_bits=2)
    model, rng = CModel(config), np.random.default_rng(732)
    powers = {1 << k for k in range(10, 27)} | {3 << k for k in range(9, 26)}
    sums = {w + step for w in powers for step in (-2, -1, 0, 1, 2)}
    multipliers = [x + step for x in (1 << k for k in range(25)) for step in (-1, 0, 1)]
    cases = {(w, m2) for w in sums for m2 in multipliers}
    halves = {(w, pow(2 ** w.bit_length(), -1, w)) for w in sums if w % 2}
    cases |= {(w, m2) for w, inverse in halves for m2 in (inverse, w - inverse)}
    cases |= {
        (int(2.0 ** rng.uniform(10, 26)), int(2.0 ** rng.uniform(0, 24))) for _ in range(4000)
    }
    for w, m2 in sorted(cases):
        if 1024 <= w <= 1 << 26 and 1 <= m2 < 1 << 24:
            n2 = int(rng.integers(0, config.max_layer_n2 + 1))
            model.load(LayerParams(1, 0, m2, n2))
            assert model.values("row_multiplier", w) == row_multiplier(w, m2, n2), (w, m2)


# Rows.


def agrees(
    scores: np.ndarray,
    v: np.ndarray,
    params: LayerParams,
    config: AttentionConfig,
    masked: np.ndarray | None = None,
    bias: np.ndarray | None = None,
) -> dict[str, Any]:
    """The registers of a row in C, each one that of the specification."""
    flags = None if masked is None else masked.tolist()
    biases = None if bias is None else bias.tolist()
    expected = attention_row_from_scores(scores.tolist(), v.tolist(), params, config, flags, biases)
    inputs = {"q": None, "k": None, "v": v.astype(np.uint8)}
    inputs["masked"] = None if masked is None else masked.astype(np.uint8)
    inputs["bias"] = None if bias is None else bias.astype(np.int32)
    status, got = CModel(config, params).row(inputs, scores.astype(np.int32))
    assert status == OK
    for name in REGISTERS:
        wanted = getattr(expected, name)
        if wanted is not None:
            assert np.array_equal(got[name], wanted), name
    return got


@requirement("BL2-ROW-01", "BL2-DIST-02", "BL2-WEIGHT-01", "BL2-ROWMUL-01", "BL2-ACC-03")
@pytest.mark.parametrize("fraction_bits", FRACTIONS)
def test_c_model_row_max_rows_of_every_distance_equal_the_specification(fraction_bits: int):
    """A row in which d runs over all its values up to twelve octaves, and beyond d_max."""
    config = replace(CONFIG, fraction_bits=fraction_bits, max_tokens=4096, m_bits=4)
    rng = np.random.default_rng(733 + fraction_bits)
    scores = -np.arange(12 << fraction_bits)
    v = rng.integers(0, 16, (scores.size, 3))
    params = LayerParams(1, 0, 40000, 13, 0, 0, 5, 7)
    got = agrees(scores, v, params, config)
    assert set(got["level"].tolist()) == set(range(16))
    masked = rng.random(scores.size) < 0.5
    masked[-1] = False
    agrees(scores, v, params, config, masked)


@requirement("BL2-ROW-01", "BL2-WEIGHT-02", "BL2-ROWMUL-02")
def test_c_model_row_max_row_of_one_key():
    """w = A, so M2 stays and the shift is ten more."""
    got = agrees(np.array([-28800]), np.array([[0, 15, 6]]), PARAMS, CONFIG)
    assert got["level"].tolist() == [15]
    assert (got["weight_sum"], got["m2_row"], got["n2_row"]) == (1024, PARAMS.m2, PARAMS.n2 + 10)
    assert got["acc"].tolist() == [-6 * 1024, 9 * 1024, 0]
    assert got["o"].tolist() == [0, 15, 7]


@requirement("BL2-ROW-01", "BL2-WEIGHT-02", "BL2-ACC-03")
def test_c_model_row_max_row_of_4096_flat_keys():
    """No key is lost, as it is in a code of quotients: the output is the mean of v."""
    config = replace(CONFIG, max_tokens=4096)
    v = np.random.default_rng(734).integers(0, 16, (4096, 2))
    params = LayerParams(47274, 14, 32768, 14, 0, 0, 6, 7)
    got = agrees(np.zeros(4096, np.int64), v, params, config)
    assert set(got["level"].tolist()) == {15}
    assert (got["weight_sum"], got["m2_row"], got["n2_row"]) == (1 << 22, 32768, 14 + 22)
    mean = (v - 6).mean(axis=0)
    assert got["o"].tolist() == [int(np.floor(2 * x + 0.5)) + 7 for x in mean]


@requirement("BL2-ROW-01", "BL2-MAX-01", "BL2-DIST-03")
@pytest.mark.parametrize("keys", [2, 3, 17])
def test_c_model_row_max_rows_with_one_key_left(keys: int):
    """Each key alone, the others masked with larger scores: the row of one key."""
    v = np.random.default_rng(735).integers(0, 16, (keys, 2))
    for left in range(keys):
        masked = np.arange(keys) != left
        got = agrees(np.where(masked, 28800, -900), v, PARAMS, CONFIG, masked)
        assert (got["weight_sum"], got["level"].sum()) == (1024, 15)


@requirement("BL2-ROW-01", "BL2-DIST-02", "BL2-WEIGHT-01", "BL2-ROWMUL-01")
def test_c_model_row_max_rows_equal_the_specification():
    """Random configurations, rows, masks and biases against the specification, not the kernels."""
    for case in random_cases(736, 60, 1, scheme="RowMax_16", max_tokens=40):
        scores = case.expected().score[0, 0]
        inputs = (x if x is None else x[0] for x in (case.masked, case.bias))
        agrees(scores, case.v.astype(np.int64), case.params, case.config, *inputs)


@requirement("BL2-ROW-01", "BL2-ACC-03", "BL2-OUT-01")
@pytest.mark.parametrize("fraction_bits", FRACTIONS)
def test_c_model_row_max_rows_equal_the_simulator(fraction_bits: int):
    """N = 1 to 500, masks, biases, every width."""
    fixed = {"scheme": "RowMax_16", "fraction_bits": fraction_bits}
    for case in random_cases(740 + fraction_bits, 30, 4, **fixed):
        assert first_difference(case, case.expected()) is None, (case.config, case.params)
        assert first_difference(case, case.expected(), from_scores=True) is None


@requirement("BL2-ACC-03", "BL2-CONF-02")
@pytest.mark.parametrize(("keys", "v_bits"), [(8224, 8), (65536, 5)])
def test_c_model_row_max_rows_hold_the_largest_acc(keys: int, v_bits: int):
    """Keys of the top level and full codes at the largest N that acc's 32 bits allow."""
    config = replace(CONFIG, max_tokens=keys, v_bits=v_bits, m2_bits=24, max_n2=48, o_bits=8)
    params = LayerParams(1, 0, (1 << 24) - 1, config.max_layer_n2, 0, 0, 0, 0)
    codes = np.full((keys, 1), (1 << v_bits) - 1, np.uint8)
    case = Case(config, params, np.zeros((1, 2), np.uint8), np.zeros((keys, 2), np.uint8), codes,
                None, None)  # fmt: skip
    expected = case.expected()
    assert expected.acc[0, 0, 0] == ((1 << v_bits) - 1) * keys * 1024
    assert first_difference(case, expected) is None


def test_c_model_row_max_rows_run_clean_under_sanitizers(tmp_path: Path):
    """Buffers of their exact size and no buffer for e; every F, threshold and table included."""
    skip_without_sanitizers(tmp_path)
    program = build_driver(tmp_path, SANITIZE)
    cases = [
        case
        for f in FRACTIONS
        for case in random_cases(760 + f, 8, 3, scheme="RowMax_16", fraction_bits=f)
    ]
    text = "\n".join(driver_input(case, r) for case in cases for r in range(3))
    done = subprocess.run(
        [program], input=f"{3 * len(cases)}\n{text}\n", capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr[:4000]
    expected = [case.expected() for case in cases]
    lines = [driver_output(trace, r) for trace in expected for r in range(3)]
    assert [line.strip() for line in done.stdout.splitlines()] == lines


def test_c_model_row_max_rows_sanitizers_see_a_planted_read_beside_the_thresholds(tmp_path: Path):
    """The thresholds are the end of a model: what is read past them is not the program's."""
    skip_without_sanitizers(tmp_path)
    text = (SOURCE / "bitlog2.c").read_text()
    planted = text.replace("thresholds[level - 1])", "thresholds[level + 1])")
    assert planted != text
    (tmp_path / "bitlog2.c").write_text(planted)
    (tmp_path / "driver.c").write_text(DRIVER)
    sources = [tmp_path / "driver.c", tmp_path / "bitlog2.c"]
    compile_c([*SANITIZE, "-I", SOURCE, *sources, "-o", tmp_path / "driver"])
    row = driver_input(next(random_cases(769, 1, 1, scheme="RowMax_16")), 0)
    done = subprocess.run(
        [tmp_path / "driver"], input=f"1\n{row}\n", capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr


#: Faults of RowMax alone.
OWN = [
    "a distance at its threshold has the level below",
    "half steps weigh as much as whole ones",
    "the row's multiplier is cut off",
    "the row's shift is the layer's",
    "the output takes the layer's multiplier",
]


@pytest.mark.parametrize("mutant", OWN)
def test_c_model_row_max_rows_report_a_mutant(mutant: str, tmp_path: Path):
    """Of default hardware; `test_c_model_rows_report_a_mutant` has others."""
    text = (SOURCE / "bitlog2.c").read_text()
    planted = build_library(tmp_path, text.replace(*MUTANTS[mutant]))
    fixed = CONFIG.as_dict() | {"max_tokens": 100}
    found = [first_difference(x, x.expected(), planted) for x in random_cases(750, 20, 4, **fixed)]
    assert any(found)


# Registers and units that a datapath lacks.

V = np.zeros((3, 2), np.uint8)
INPUTS = {"q": np.zeros(2, np.uint8), "k": np.zeros((3, 2), np.uint8), "v": V}
INPUTS |= {"masked": None, "bias": None}


@requirement("BL2-ROW-02")
def test_c_model_row_max_row_leaves_e_alone_and_has_no_row_sum():
    status, got = CModel(CONFIG, PARAMS).row(INPUTS)
    assert (status, got["row_sum"]) == (OK, 0)
    assert set(got["e"].tolist()) == {UNTOUCHED}
    assert CModel(CONFIG, PARAMS).row(INPUTS, absent=("e",))[0] == OK


def test_c_model_row_max_registers_are_0_in_rows_of_quotients():
    model = CModel(AttentionConfig(), PARAMS)
    status, got = model.row(INPUTS)
    assert status == OK
    assert [got[name] for name in ("weight_sum", "m2_row", "n2_row")] == [0, 0, 0]
    assert model.row(INPUTS, absent=("e",))[0] == STATUS["NULL_POINTER"]


@pytest.mark.parametrize("name", ["score", "t", "d", "level", "nibble", "flag", "acc", "o"])
def test_c_model_row_max_row_needs_every_other_buffer(name: str):
    assert CModel(CONFIG, PARAMS).row(INPUTS, absent=(name,))[0] == STATUS["NULL_POINTER"]


def test_c_model_row_max_model_has_thresholds_and_no_table():
    models = [CModel(config).model for config in (CONFIG, AttentionConfig())]
    assert [any(model.table) for model in models] == [False, True]
    assert [any(model.thresholds) for model in models] == [True, False]


ARRAY = np.zeros(3, np.uint8)


@requirement("BL2-ROW-02")
@pytest.mark.parametrize(
    ("scheme", "unit", "inputs"),
    [
        ("RowMax_16", "exp2", (0, 0)),
        ("RowMax_16", "row_sum", (3, np.zeros(3, np.uint32))),
        ("RowMax_16", "log2_quantizer", (1, 1)),
        ("RowMax_16", "log2_quantizer_dividing", (1, 1)),
        *(
            (scheme, *rest)
            for scheme, each in SCHEMES.items()
            if not each.row_max
            for rest in (
                ("distance_quantizer", (0, 0)),
                ("weight_sum", (3, ARRAY)),
                ("row_multiplier", (1024,)),
            )
        ),
    ],
)
def test_c_model_row_max_refusals_of_a_unit_that_the_datapath_lacks(
    scheme: str, unit: str, inputs: tuple[Any, ...]
):
    got, *results = CModel(AttentionConfig(scheme)).unit(unit, *inputs)
    assert got == STATUS["ABSENT_UNIT"]
    assert set(results) == {123}


@pytest.mark.parametrize(
    ("unit", "inputs", "status"),
    [
        ("distance_quantizer", (1024, 0), "BAD_D"),
        ("distance_quantizer", (0, 2), "BAD_MASK"),
        ("weight_sum", (0, ARRAY), "BAD_TOKENS"),
        ("weight_sum", (1025, np.zeros(1025, np.uint8)), "BAD_TOKENS"),
        ("weight_sum", (3, ARRAY + np.uint8(16)), "BAD_LEVEL"),
        ("weight_sum", (3, None), "NULL_POINTER"),
        ("row_multiplier", (1023,), "BAD_WEIGHT_SUM"),
        ("row_multiplier", ((1 << 20) + 1,), "BAD_WEIGHT_SUM"),
        ("code_register", (16,), "BAD_LEVEL"),
        ("code_level", (0, 1), "BAD_NIBBLE"),
        ("output_requantizer", (15 * 1024 * 1024 + 1,), "BAD_ACC"),
        ("output_requantizer", (-15 * 1024 * 1024 - 1,), "BAD_ACC"),
    ],
)
def test_c_model_row_max_refusals_of_a_unit(unit: str, inputs: tuple[Any, ...], status: str):
    got, *results = CModel(CONFIG, PARAMS).unit(unit, *inputs)
    assert got == STATUS[status]
    assert set(results) == {123}


# Configurations and parameters.


def init(**changes: int) -> int:
    """The status of the default configuration with these changes."""
    config = c_config(CONFIG.as_dict() | changes)
    model = Model()
    status = int(library().bl2_model_init(ctypes.byref(model), ctypes.byref(config)))
    assert status == OK or bytes(model) == bytes(ctypes.sizeof(model))
    return status


@requirement("BL2-CONF-03", "BL2-ROW-02")
@pytest.mark.parametrize("pin", ["exp_bits", "sum_bits", "compare_bits"])
def test_c_model_row_max_refusals_of_a_pin_without_its_register(pin: str):
    assert {init(**{pin: bits}) for bits in (-1, 1, 40, 62, 63)} == {STATUS["ABSENT_REGISTER"]}


@requirement("BL2-CONF-03", "BL2-ACC-03")
@pytest.mark.parametrize("pin", ["score", "product", "acc", "out_product"])
def test_c_model_row_max_refusals_of_a_pinned_width(pin: str):
    needed = CONFIG.registers[pin].needed
    assert [init(**{f"{pin}_bits": x}) for x in (needed, 62)] == [OK, OK]
    assert init(**{f"{pin}_bits": needed - 1}) == STATUS["WIDTH_TOO_NARROW"]
    assert init(**{f"{pin}_bits": 63}) == STATUS["WIDTH_TOO_WIDE"]


@requirement("BL2-CONF-01")
@pytest.mark.parametrize("max_tokens", [1, 2, 1023, 1024, 1025, 65536])
def test_c_model_row_max_refusals_of_a_max_n2_below_what_a_row_adds(max_tokens: int):
    """The smallest one that is accepted leaves a layer n2 = 0 alone."""
    least = (1024 * max_tokens).bit_length() - 1
    config = {"max_tokens": max_tokens, "v_bits": 2}
    assert init(**config, max_n2=least) == OK
    assert init(**config, max_n2=least - 1) == STATUS["MAX_N2_TOO_SMALL"]
    assert replace(CONFIG, **config, max_n2=least).max_layer_n2 == 0
    with pytest.raises(ValueError, match="max_n2 must be"):
        replace(CONFIG, **config, max_n2=least - 1)


@requirement("BL2-CONF-01", "BL2-ACC-03")
@pytest.mark.parametrize(("v_bits", "most"), [(8, 8224), (7, 16513), (6, 33288), (5, 65536)])
def test_c_model_row_max_refusals_of_an_acc_beyond_32_bits(v_bits: int, most: int):
    assert init(v_bits=v_bits, max_tokens=most) == OK
    assert replace(CONFIG, v_bits=v_bits, max_tokens=most).registers["acc"].bits <= 32
    if most < 65536:
        assert init(v_bits=v_bits, max_tokens=most + 1) == STATUS["ACC_TOO_WIDE"]
        with pytest.raises(ValueError, match="max_tokens must be"):
            replace(CONFIG, v_bits=v_bits, max_tokens=most + 1)


@requirement("BL2-PARAM-02")
def test_c_model_row_max_refusals_of_an_n2_that_a_row_takes_past_its_limit():
    """A layer has max_n2 less lod(max_tokens * A), the row's unit 9 has all of max_n2."""
    model = CModel(CONFIG)

    def load(n2: int) -> Any:
        model.load(replace(PARAMS, n2=n2))
        return library().bl2_check_params(ctypes.byref(model.model), ctypes.byref(model.params))

    assert CONFIG.max_layer_n2 == 16
    assert [load(n2) for n2 in (0, 16)] == [OK, OK]
    assert load(17) == STATUS["BAD_N2"]
    assert model.unit("row_multiplier", 1024) == (STATUS["BAD_N2"], 123, 123)
    assert model.row(INPUTS)[0] == STATUS["BAD_N2"]
    load(36)
    assert model.unit("output_requantizer", 1 << 20) == (OK, 8)
    load(37)
    assert model.unit("output_requantizer", 1 << 20) == (STATUS["BAD_N2"], 123)


def test_c_model_row_max_row_of_the_testbench():
    """The row of section 7 of the specification in this scheme, as example_tb.sv has it."""
    k = [11, 7, 12, 8, 3, 10, 6, 7, 15, 6, 4, 11, 2, 11, 0, 15]
    k += [13, 14, 11, 11, 3, 9, 11, 9, 2, 7, 8, 1, 11, 11, 10, 1]
    v = [13, 2, 0, 7, 4, 15, 0, 6, 6, 8, 13, 11, 10, 0, 7, 12]
    bias = np.array([[0, 12, -20, 0, 35, -7, 0, 64]])
    case = Case(
        CONFIG,
        PARAMS,
        np.array([[1, 13, 15, 14]], np.uint8),
        np.array(k, np.uint8).reshape(8, 4),
        np.array(v, np.uint8).reshape(8, 2),
        np.arange(8)[None] == 5,
        bias,
    )
    assert first_difference(case, case.expected()) is None
    got = CModel(CONFIG, PARAMS).row(row_inputs(case, 0))[1]
    assert (got["weight_sum"], got["m2_row"], got["n2_row"]) == (1424, 23564, 24)
    assert (got["acc"].tolist(), got["o"].tolist()) == ([-1848, 2016], [4, 10])
