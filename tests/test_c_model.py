"""The C model of `golden/c` equals the simulator: vectors, units, rows; its mutants do not."""

import ctypes
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
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
    WIDTHS,
    Case,
    CModel,
    Widths,
    build_library,
    c_config,
    compile_c,
    driver_input,
    driver_output,
    first_difference,
    library,
    random_cases,
    random_config,
    row_inputs,
)
from support.cases import corners, levels_alone
from support.quick import USUAL, one_in

from bitlog2.golden.package.generation import generate
from bitlog2.golden.stimulus.unit import Tables, row_offsets
from bitlog2.golden.stimulus.units import UNITS
from bitlog2.sim import KEY_REGISTERS, SCHEMES, AttentionConfig, AttentionTrace, LayerParams
from bitlog2.sim.scheme import Scheme
from bitlog2.sim.spec import exp2 as exp2_specification
from bitlog2.sim.spec import log2_quantizer as log2_specification

pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler: none of gcc, clang, cc")
requirement = pytest.mark.requirement

MODEL_TEXT = (SOURCE / "bitlog2.c").read_text()
WIDE = AttentionConfig(
    **{f"{name}_bits": 8 for name in "qkvo"},
    **{"scheme": "BitLog2_Single_17", "m_bits": 24, "max_n": 48, "m2_bits": 24, "max_n2": 48},
    **{"t_bits": 24, "table_bits": 20, "max_tokens": 4096, "max_head_dim": 1024},
)
NARROW = AttentionConfig(
    "BitLog2_Half_16", q_bits=2, k_bits=3, v_bits=2, o_bits=2, t_bits=8, table_bits=4, m_bits=4
)
CONFIGS = {scheme: AttentionConfig(scheme) for scheme in SCHEMES} | {"wide": WIDE, "narrow": NARROW}
CONFIGS |= {
    "wide row max": replace(WIDE, scheme="RowMax_16", fraction_bits=8, distance_int_bits=6),
    "narrow row max": replace(
        NARROW, scheme="RowMax_16", fraction_bits=1, m2_bits=4, max_tokens=3, max_n2=12
    ),
}
#: Those whose levels come from a quotient.
QUOTIENTS = [name for name, each in SCHEMES.items() if not each.row_max]


@pytest.fixture(params=QUOTIENTS)
def scheme(request: pytest.FixtureRequest) -> Scheme:
    return SCHEMES[request.param]


# Words of the default vector sets.


def rows(unit: str, tables: Tables) -> list[slice]:
    """The beats of each case."""
    offsets = row_offsets(UNITS[unit], tables)
    assert offsets is not None
    return [slice(int(a), int(b)) for a, b in pairwise(offsets)]


def u1(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.uint8)


def params(**fields: Any) -> LayerParams:
    given = {name: int(value) for name, value in fields.items()}
    return LayerParams(**{"m": 1, "n": 0, "m2": 1, "n2": 0} | given)


def per_case(function: Callable[..., dict[str, int]]) -> Callable[[CModel, Tables], Tables]:
    """A unit with a word per case: `function` of the stimulus fields of one word."""

    def run(model: CModel, tables: Tables) -> Tables:
        names = list(tables["stimulus"])
        columns = [tables["stimulus"][name].tolist() for name in names]
        made = [
            function(model, **dict(zip(names, word, strict=True)))
            for word in zip(*columns, strict=True)
        ]
        return {"expected": {name: np.array([one[name] for one in made]) for name in made[0]}}

    return run


def score_requantizer(model: CModel, score: int, m: int, n: int, bias: int) -> dict[str, int]:
    model.load(params(m=m, n=n))
    return {"t": model.values("score_requantizer", score, bias)[0]}


def exp2(model: CModel, mask: int, d: int) -> dict[str, int]:
    return {"e": model.values("exp2", d, mask)[0]}


def log2_quantizer(model: CModel, s: int, e: int) -> dict[str, int]:
    level = model.values("log2_quantizer", e, s)[0]
    assert model.values("log2_quantizer_dividing", e, s) == (level,)
    nibble, flag = model.values("code_register", level)
    assert model.values("code_level", nibble, flag) == (level,)
    return {"level": level, "nibble": nibble, "flag": flag}


def distance_quantizer(model: CModel, mask: int, d: int) -> dict[str, int]:
    level = model.values("distance_quantizer", d, mask)[0]
    nibble, flag = model.values("code_register", level)
    return {"level": level, "nibble": nibble, "flag": flag}


def row_multiplier(model: CModel, weight_sum: int, m2: int, n2: int) -> dict[str, int]:
    model.load(params(m2=m2, n2=n2))
    return dict(zip(("m2_row", "n2_row"), model.values("row_multiplier", weight_sum), strict=True))


def output_requantizer(model: CModel, acc: int, m2: int, n2: int, zo: int) -> dict[str, int]:
    model.load(params(m2=m2, n2=n2, zo=zo))
    return {"o": model.values("output_requantizer", acc)[0]}


def score_accumulator(model: CModel, tables: Tables) -> Tables:
    made, given = [], tables["stimulus"]
    for case, beats in enumerate(rows("score_accumulator", tables)):
        model.load(params(zq=tables["params"]["zq"][case], zk=tables["params"]["zk"][case]))
        q, k = u1(given["q"][beats]), u1(given["k"][beats])
        made.append(model.values("score_accumulator", len(q), q, k)[0])
    return {"expected": {"score": np.array(made)}}


def row_max(model: CModel, tables: Tables) -> Tables:
    largest, d = [], []
    for beats in rows("row_max", tables):
        t = np.ascontiguousarray(tables["stimulus"]["t"][beats], np.int32)
        mask = u1(tables["stimulus"]["mask"][beats])
        largest.append(model.values("row_max", len(t), t, mask)[0])
        assert model.values("row_max", len(t), t, None) == (max(t.tolist()),)
        pairs = zip(t.tolist(), mask.tolist(), strict=True)
        d += [model.values("distance", largest[-1], one, masked)[0] for one, masked in pairs]
    return {"expected": {"row_max": np.array(largest)}, "keys": {"d": np.array(d)}}


def row_sum(model: CModel, tables: Tables) -> Tables:
    made = []
    for beats in rows("row_sum", tables):
        e = np.ascontiguousarray(tables["stimulus"]["e"][beats], np.uint32)
        made.append(model.values("row_sum", len(e), e)[0])
    return {"expected": {"s": np.array(made)}}


def weight_sum(model: CModel, tables: Tables) -> Tables:
    made = []
    for beats in rows("weight_sum", tables):
        level = u1(tables["stimulus"]["level"][beats])
        made.append(model.values("weight_sum", len(level), level)[0])
    return {"expected": {"weight_sum": np.array(made)}}


def code_register(model: CModel, tables: Tables) -> Tables:
    names = ("nibble_write", "nibble_byte", "flag_write", "flag_byte")
    memory: dict[str, list[int]] = {name: [] for name in names}
    codes = [model.values("code_register", int(x)) for x in tables["stimulus"]["level"]]
    nibble, flag = (u1(np.array(column)) for column in zip(*codes, strict=True))
    stored = SCHEMES[SCHEME_OF[int(model.config.scheme)]].zero_flag
    for beats in rows("code_register", tables):
        size = beats.stop - beats.start
        planes = {"nibble": np.full(-(-size // 2), 255), "flag": np.full(-(-size // 8), 255)}
        planes = {name: u1(plane) for name, plane in planes.items()}  # memory that was not zero
        model.lib.bl2_pack_nibbles(size, nibble[beats].ctypes.data, planes["nibble"].ctypes.data)
        model.lib.bl2_pack_flags(size, flag[beats].ctypes.data, planes["flag"].ctypes.data)
        for j in range(size):
            for name, keys, kept in (("nibble", 2, True), ("flag", 8, stored)):
                write = kept and (j % keys == keys - 1 or j == size - 1)
                memory[f"{name}_write"].append(int(write))
                memory[f"{name}_byte"].append(int(planes[name][j // keys]) if write else 0)
    return {
        "expected": {"nibble": nibble, "flag": flag},
        "memory": {name: np.array(column) for name, column in memory.items()},
    }


def shift_add(model: CModel, tables: Tables) -> Tables:
    made, given = [], tables["stimulus"]
    for case, beats in enumerate(rows("shift_add", tables)):
        model.load(params(zv=tables["params"]["zv"][case]))
        nibble, flag, v = (u1(given[name][beats]) for name in ("nibble", "flag", "v"))
        lanes = [np.ascontiguousarray(v[:, lane:]) for lane in range(v.shape[1])]
        given_rows = [(len(nibble), nibble, flag, x, x.shape[1]) for x in lanes]
        made.append([model.values("shift_add", *x)[0] for x in given_rows])
    return {"expected": {"acc": np.array(made)}}


def attention_row(model: CModel, tables: Tables) -> Tables:
    streams = {
        stream: [name for name in tables[stream] if name != "last"]
        for stream in ("expected", "keys", "rows")
    }
    made: dict[str, list[Any]] = {name: [] for names in streams.values() for name in names}
    given = tables["stimulus"]
    for case, beats in enumerate(rows("attention_row", tables)):
        model.load(params(**{name: column[case] for name, column in tables["params"].items()}))
        scores, bias = (np.ascontiguousarray(given[x][beats], np.int32) for x in ("score", "bias"))
        inputs = {"q": None, "k": None, "v": u1(given["v"][beats])}
        inputs |= {"masked": u1(given["mask"][beats]), "bias": bias}
        status, got = model.row(inputs, scores)
        assert status == OK, model.text(status)
        for name, values in made.items():
            values.extend(got[name]) if name in KEY_REGISTERS else values.append(got[name])
    return {s: {name: np.array(made[name]) for name in names} for s, names in streams.items()}


SCHEME_OF = dict(enumerate(SCHEMES))
C_UNITS = {
    "score_accumulator": score_accumulator,
    "score_requantizer": per_case(score_requantizer),
    "row_max": row_max,
    "exp2": per_case(exp2),
    "row_sum": row_sum,
    "log2_quantizer": per_case(log2_quantizer),
    "distance_quantizer": per_case(distance_quantizer),
    "weight_sum": weight_sum,
    "row_multiplier": per_case(row_multiplier),
    "code_register": code_register,
    "shift_add": shift_add,
    "output_requantizer": per_case(output_requantizer),
    "attention_row": attention_row,
}


def differing(
    unit: str,
    config: AttentionConfig,
    change: Callable[[Tables], None] | None = None,
    lib: Any = None,
) -> int:
    """Words of a unit's default set that the C model gives otherwise; `change` plants errors."""
    head_dim = min(64, config.max_head_dim) if config.max_tokens == 1024 else 4
    vectors = generate(config, units=[unit], head_dim=head_dim).units[0]
    assert not vectors.empty
    expected: Tables = {
        stream.name: dict(vectors.tables[stream.name]) for stream in vectors.unit.outputs
    }
    if change is not None:
        change(expected)
    got = C_UNITS[unit](CModel(config, lib=lib), vectors.tables)
    found = 0
    for stream, columns in expected.items():
        for name, values in columns.items():
            if name != "last":
                assert got[stream][name].shape == values.shape
                found += int((got[stream][name] != values).sum())
    return found


def test_c_model_has_every_unit_of_a_vector_set():
    assert [name for name in UNITS if not hasattr(library(), f"bl2_{name}")] == []
    assert set(C_UNITS) == set(HELD) == set(UNITS)


#: The requirements of each unit, which its vectors hold: their bins are all filled.
HELD = {
    "score_accumulator": requirement("BL2-SCORE-01", "BL2-SCORE-02"),
    "score_requantizer": requirement("BL2-REQ-01", "BL2-REQ-02", "BL2-REQ-03"),
    "row_max": requirement("BL2-MAX-01", "BL2-MAX-03", "BL2-MAX-04"),
    "exp2": requirement("BL2-EXP2-02", "BL2-EXP2-03", "BL2-EXP2-04"),
    "row_sum": requirement("BL2-SUM-01"),
    "log2_quantizer": requirement("BL2-LOG2-01", "BL2-LOG2-04", "BL2-LOG2-05"),
    "distance_quantizer": requirement("BL2-DIST-01", "BL2-DIST-02", "BL2-DIST-03"),
    "weight_sum": requirement("BL2-WEIGHT-01", "BL2-WEIGHT-02"),
    "row_multiplier": requirement("BL2-ROWMUL-01", "BL2-ROWMUL-02"),
    "code_register": requirement("BL2-CODE-01", "BL2-CODE-02", "BL2-CODE-03", "BL2-CODE-04"),
    "shift_add": requirement("BL2-SCHEME-01", "BL2-ACC-01", "BL2-ACC-02", "BL2-ACC-03"),
    "output_requantizer": requirement("BL2-OUT-01", "BL2-OUT-02"),
    "attention_row": requirement("BL2-ROW-01"),
}


@pytest.mark.parametrize(
    ("unit", "config"),
    [
        pytest.param(unit, name, marks=[HELD[unit], *([] if name in USUAL else [pytest.mark.long])])
        for unit in HELD
        for name, config in CONFIGS.items()
        if unit in config.units
    ],
)
def test_c_model_gives_every_expected_word(unit: str, config: str):
    assert differing(unit, CONFIGS[config]) == 0


@pytest.mark.parametrize("unit", C_UNITS)
def test_c_model_sees_a_changed_word(unit: str):
    def change(expected: Tables) -> None:
        stream = next(iter(expected.values()))
        name = next(name for name in stream if name != "last")
        stream[name] = stream[name].copy()
        stream[name].reshape(-1)[-1] ^= 1

    config = next(each for each in CONFIGS.values() if unit in each.units)
    assert differing(unit, config, change) == 1


# Tables, widths, and unit 6 on as many shares as C can take.


@requirement("BL2-EXP2-01")
@pytest.mark.parametrize("fraction_bits", range(1, 9))
def test_c_model_exp2_table_is_exact(fraction_bits: int):
    """Every F and P that a configuration may have."""
    made = np.zeros(1 << fraction_bits, np.uint32)
    for table_bits in range(4, 21):
        status = library().bl2_exp2_table(
            fraction_bits, table_bits, ctypes.c_void_p(made.ctypes.data)
        )
        assert status == OK
        config = AttentionConfig(fraction_bits=fraction_bits, table_bits=table_bits)
        assert tuple(made.tolist()) == config.table


@requirement("BL2-CONF-02", "BL2-CONF-03")
def test_c_model_register_widths():
    rng = np.random.default_rng(711)
    pinned = AttentionConfig(score_bits=20, product_bits=62, exp_bits=17, acc_bits=40)
    for config in [*CONFIGS.values(), pinned, *(random_config(rng) for _ in range(500))]:
        widths = Widths()
        made = c_config(config.as_dict())
        assert library().bl2_register_widths(ctypes.byref(made), ctypes.byref(widths)) == OK
        bits = {name: register.bits for name, register in config.registers.items()}
        assert {name: getattr(widths, name) for name in WIDTHS} == dict.fromkeys(WIDTHS, 0) | bits


@requirement("BL2-EXP2-02", "BL2-EXP2-03", "BL2-EXP2-04")
@pytest.mark.parametrize("table_bits", [4, 7, 16, 20])
@pytest.mark.parametrize(("fraction_bits", "int_bits"), [(1, 6), (2, 2), (5, 5), (8, 6)])
def test_c_model_exp2_of_every_distance(fraction_bits: int, int_bits: int, table_bits: int):
    config = AttentionConfig(
        fraction_bits=fraction_bits, distance_int_bits=int_bits, table_bits=table_bits
    )
    model = CModel(config)
    for d in range(config.d_max + 1):
        assert model.values("exp2", d, 0) == (exp2_specification(d, False, config),)
    assert model.values("exp2", 0, 1) == (0,)


def compare_log2(model: CModel, scheme: Scheme, e: np.ndarray, s: int) -> bool:
    """Whether the kernel and both forms in C give the same levels of e / s."""
    words = e.astype(np.uint32)
    made = [np.full(e.size, 255, np.uint8) for _ in range(2)]
    given = (words.size, words.ctypes.data, s, *(levels.ctypes.data for levels in made))
    refused = model.lib.loop_log2(ctypes.byref(model.model), *given)
    expected = levels_alone(e, s, scheme)
    return refused == 0 and all(np.array_equal(levels, expected) for levels in made)


def random_shares(seed: int, count: int, block: int) -> Iterator[tuple[np.ndarray, int]]:
    """`count` pairs in blocks of one s: of every magnitude, and beside the thresholds.

    Every other s is a multiple of 1536, so that e * A / s meets thresholds exactly; the first is
    2**P, so that e = s occurs.
    """
    rng = np.random.default_rng(seed)
    for number in range(count // block):
        s = int(2.0 ** rng.uniform(16, 26))
        s = (1 << 16) if number == 0 else s - s % 1536 + 1536 if number % 2 else s
        e = np.exp2(rng.uniform(0, 16, block)).astype(np.int64)
        near = rng.integers(0, 385, block // 2) * s // 384 + rng.integers(-1, 2, block // 2)
        e[: block // 2] = near
        yield np.clip(e, 0, 1 << 16), s


@requirement(
    "BL2-LOG2-01", "BL2-LOG2-02", "BL2-LOG2-03", "BL2-LOG2-04", "BL2-LOG2-05", "BL2-LOG2-06"
)
def test_c_model_log2_quantizer_on_a_million_shares(scheme: Scheme):
    """C comparing, C dividing, the simulator's kernel."""
    model = CModel(AttentionConfig(scheme.name))
    for e, s in random_shares(716, 1_000_000, 10_000):
        assert compare_log2(model, scheme, e, s), s


@requirement(
    "BL2-LOG2-01", "BL2-LOG2-02", "BL2-LOG2-03", "BL2-LOG2-04", "BL2-LOG2-05", "BL2-LOG2-06"
)
@pytest.mark.long
def test_c_model_log2_quantizer_on_a_hundred_million_shares(scheme: Scheme):
    """10**8 for each scheme, in blocks."""
    model = CModel(AttentionConfig(scheme.name))
    for e, s in random_shares(717, 100_000_000, 50_000):
        assert compare_log2(model, scheme, e, s), s


@pytest.mark.parametrize(
    "mutant",
    [
        "the test for zero is missing",
        "a threshold is not its own level",
        "the half bit is compared at the wrong shift",
        "the leading one is not corrected",
        "the clamp to the top level is missing",
    ],
)
def test_c_model_log2_quantizer_shares_report_a_mutant(mutant: str, tmp_path: Path):
    """The shares of the two tests above meet ties, e = s and shares below 1 / A."""
    planted = build_library(tmp_path, MODEL_TEXT.replace(*MUTANTS[mutant]))
    model = CModel(AttentionConfig("BitLog2_Half_17"), lib=planted)
    scheme = SCHEMES["BitLog2_Half_17"]
    agree = [compare_log2(model, scheme, e, s) for e, s in random_shares(716, 100_000, 10_000)]
    assert not all(agree)


@pytest.mark.long
@requirement("BL2-LOG2-04", "BL2-LOG2-05")
def test_c_model_log2_quantizer_exhaustively_at_p_7(scheme: Scheme):
    """P = 7, N <= 64, every sum of a row and every e."""
    model = CModel(AttentionConfig(scheme.name, table_bits=7, max_tokens=64))
    e = np.arange((1 << 7) + 1)
    for s in range(1 << 7, (64 << 7) + 1):
        assert compare_log2(model, scheme, e, s), s


@requirement("BL2-LOG2-01", "BL2-LOG2-02", "BL2-LOG2-03", "BL2-LOG2-04", "BL2-LOG2-05")
def test_c_model_log2_quantizer_equals_the_specification(scheme: Scheme):
    """Thresholds and their neighbours, corners of e and s, P = 20."""
    config = AttentionConfig(scheme.name, table_bits=20, max_tokens=65536)
    model, cases = CModel(config), set()
    for value in [*scheme.values[1:], scheme.int_max - 1, scheme.int_max]:
        for e in (1, 2, 3, 255, 40503, (1 << 20) - 1, 1 << 20):
            at = e * scheme.int_max // value
            cases |= {(e, s) for s in range(at - 2, at + 3)}
    sums = [s for s in corners(0, 1 << 36) if s > 0]
    cases |= {(e, s) for s in sums for e in (0, 1, 2, 3, s - 1, s, 1 << 20)}
    for e, s in sorted(cases):
        if 0 <= e <= min(s, 1 << 20) and 0 < s <= 1 << 36:
            expected = log2_specification(e, s, scheme)
            assert model.values("log2_quantizer", e, s) == (expected,), (e, s)
            assert model.values("log2_quantizer_dividing", e, s) == (expected,), (e, s)


def test_c_model_statuses_have_texts():
    """Each its own sentence; what is no status has one too."""
    count = STATUS["STATUS_COUNT"]
    texts = [library().bl2_status_text(status).decode() for status in range(count)]
    assert len(set(texts)) == count == 84
    assert library().bl2_status_text(count).decode() == "not a status of this library"


# Rows: every register.

ROW_PARAMS = LayerParams(47274, 14, 43691, 23, 7, 8, 6, 7)
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@lru_cache(maxsize=1)
def mutation_cases() -> list[tuple[Case, AttentionTrace]]:
    """Small configurations, where ties, ends and clamps are frequent; then any."""
    small = {"table_bits": 6, "fraction_bits": 1, "distance_int_bits": 3, "t_bits": 8}
    cases = [*random_cases(701, 60, 4, **small), *random_cases(702, 60, 4, fraction_bits=3)]
    return [(case, case.expected()) for case in cases]


@requirement("BL2-ROW-01", "BL2-MAX-01", "BL2-MAX-04", "BL2-EXP2-04")
def test_c_model_rows_equal_the_simulator_in_every_register():
    """4000 rows of 500 configurations."""
    for case in random_cases(703, 500, 8):
        assert first_difference(case, case.expected()) is None, (case.config, case.params)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_c_model_rows_of_default_hardware_equal_the_simulator(scheme: str):
    fixed = AttentionConfig(scheme).as_dict() | {"max_tokens": 300}
    for case in random_cases(704, 25, 4, **fixed):
        assert first_difference(case, case.expected()) is None, (case.config, case.params)


def test_c_model_rows_from_scores_equal_the_simulator():
    for case in random_cases(705, 60, 4):
        assert first_difference(case, case.expected(), from_scores=True) is None, case.config


def test_c_model_rows_hold_the_largest_hardware():
    """N = 65536 keys of D = 1024 channels at full code: every bound of every width."""
    widest = {"max_head_dim": 1024, "max_tokens": 65536, "table_bits": 20, "t_bits": 24}
    widest |= {f"{name}_bits": 8 for name in "qkvo"} | {"m_bits": 24, "m2_bits": 24}
    config = AttentionConfig("BitLog2_Single_17", max_n=48, max_n2=48, **widest)
    params = LayerParams((1 << 24) - 1, 40, (1 << 24) - 1, 40, 0, 0, 0, 255)
    keys = np.random.default_rng(706).integers(0, 256, (65536, 4), dtype=np.uint8)
    wide = Case(
        config, params, np.full((1, 4), 255, np.uint8), keys, keys[:, :1].copy(), None, None
    )
    full = np.full((2, 1024), 255, np.uint8)
    deep = Case(config, params, full[:1], full, full[:, :3].copy(), None, None)
    for case in (wide, deep):
        assert first_difference(case, case.expected()) is None


def test_c_model_rows_cover_what_they_claim():
    """All schemes, code bits, masks, biases, N = 1, N = max, D = 1, both ends of t, every level."""
    cases = list(random_cases(703, 500, 8))
    assert {case.config.scheme for case in cases} == set(SCHEMES)
    for field, low, high in (("q_bits", 2, 8), ("fraction_bits", 1, 8), ("table_bits", 4, 20)):
        assert {getattr(case.config, field) for case in cases} == set(range(low, high + 1))
    assert {case.masked is None for case in cases} == {case.bias is None for case in cases}
    assert {1} < {case.k.shape[0] for case in cases}
    assert {1} < {case.q.shape[1] for case in cases}
    assert any(case.k.shape[0] == case.config.max_tokens > 100 for case in cases)
    levels, ends = set(), set()
    for case in cases:
        trace = case.expected()
        levels |= {(case.config.scheme, int(x)) for x in np.unique(trace.level)}
        ends |= {trace.t.min() == case.config.t_min, (trace.t.max() == case.config.t_max) * 2}
    assert levels == {(name, x) for name, scheme in SCHEMES.items() for x in range(scheme.levels)}
    assert ends == {0, 1, 2}


@pytest.mark.parametrize("mutant", one_in(3, list(MUTANTS)))
def test_c_model_rows_report_a_mutant(mutant: str, tmp_path: Path):
    old, new = MUTANTS[mutant]
    assert MODEL_TEXT.count(old) == 1
    planted = build_library(tmp_path, MODEL_TEXT.replace(old, new))
    found = [first_difference(*case, planted) for case in mutation_cases()]
    assert any(found)


def test_c_model_rows_report_nothing_of_an_unchanged_source(tmp_path: Path):
    """The mutants are reported for their mutation."""
    unchanged = build_library(tmp_path, MODEL_TEXT)
    assert [first_difference(*case, unchanged) for case in mutation_cases()] == [None] * 120


def build_driver(folder: Path, flags: list[str]) -> Path:
    (folder / "driver.c").write_text(DRIVER)
    program = folder / "driver"
    sources = [folder / "driver.c", SOURCE / "bitlog2.c"]
    compile_c(["-std=c99", "-O1", "-g", *flags, "-I", SOURCE, *sources, "-o", program])
    return program


def skip_without_sanitizers(folder: Path) -> None:
    (folder / "empty.c").write_text("int main(void) { return 0; }\n")
    command = [COMPILERS[0], *SANITIZE, str(folder / "empty.c"), "-o", str(folder / "empty")]
    if subprocess.run(command, capture_output=True, timeout=120).returncode:
        pytest.skip(f"{COMPILERS[0]} has no address and undefined sanitizer runtime")


def test_c_model_rows_run_clean_under_sanitizers(tmp_path: Path):
    """Buffers of their exact size: no read or write beside them, no undefined operation."""
    skip_without_sanitizers(tmp_path)
    program = build_driver(tmp_path, SANITIZE)
    cases = list(random_cases(707, 60, 3))
    text = "\n".join(driver_input(case, r) for case in cases for r in range(3))
    done = subprocess.run(
        [program], input=f"180\n{text}\n", capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr[:4000]
    expected = [(case, case.expected()) for case in cases]
    lines = [driver_output(trace, r) for _, trace in expected for r in range(3)]
    assert [line.strip() for line in done.stdout.splitlines()] == lines


def test_c_model_rows_sanitizers_see_a_planted_read_beside_a_buffer(tmp_path: Path):
    skip_without_sanitizers(tmp_path)
    planted = MODEL_TEXT.replace("d < head_dim; d++", "d <= head_dim; d++")
    assert planted != MODEL_TEXT
    (tmp_path / "bitlog2.c").write_text(planted)
    (tmp_path / "driver.c").write_text(DRIVER)
    sources = [tmp_path / "driver.c", tmp_path / "bitlog2.c"]
    compile_c([*SANITIZE, "-I", SOURCE, *sources, "-o", tmp_path / "driver"])
    text = driver_input(next(random_cases(708, 1, 1)), 0)
    done = subprocess.run(
        [tmp_path / "driver"], input=f"1\n{text}\n", capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr


def test_c_model_rows_worked_row_of_the_specification():
    """SPEC.md, section 7, from the page's own table."""
    page = (Path(SOURCE).parent.parent / "sim" / "SPEC.md").read_text(encoding="utf-8")
    keys = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in re.findall(r"^\| [0-7] \| \d+ \d+ \d+ \d+ \|.*$", page, re.MULTILINE)
    ]
    columns = list(zip(*keys, strict=True))
    k, v = (np.array([x.split() for x in column]).astype(np.uint8) for column in columns[1:3])
    masked, bias = np.array(columns[3]) == "1", np.array(columns[5]).astype(np.int32)
    query = np.array([[1, 13, 15, 14]], np.uint8)
    case = Case(AttentionConfig(), ROW_PARAMS, query, k, v, masked[None], bias[None])
    status, got = CModel(case.config, case.params).row(row_inputs(case, 0))
    assert status == OK
    shown = {"score": 4, "t": 6, "d": 7, "e": 8, "level": 12, "nibble": 13, "flag": 14}
    for name, column in shown.items():
        assert got[name].tolist() == [int(x) for x in columns[column]], name
    assert (got["row_max"], got["row_sum"]) == (182, 88809)
    assert (got["acc"].tolist(), got["o"].tolist()) == ([-322, 502], [5, 10])
