"""The C model on the default vector set of every unit, every scheme: each expected word."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from c_model import COMPILERS, OK, CModel

from bitlog2.golden.package.generation import generate
from bitlog2.golden.package.presets import PRESETS
from bitlog2.golden.stimulus.unit import row_offsets
from bitlog2.golden.stimulus.units import UNITS
from bitlog2.sim import KEY_REGISTERS, SCHEMES, LayerParams

pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler: none of gcc, clang, cc")

Tables = dict[str, dict[str, np.ndarray]]


def rows(unit: str, tables: Tables) -> list[slice]:
    """The beats of each case."""
    offsets = row_offsets(UNITS[unit], tables)
    assert offsets is not None
    return [slice(int(a), int(b)) for a, b in pairwise(offsets)]


def u1(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.uint8)


def params(**fields: Any) -> LayerParams:
    return LayerParams(
        **{"m": 1, "n": 0, "m2": 1, "n2": 0} | {k: int(v) for k, v in fields.items()}
    )


def per_case(function: Callable[..., dict[str, int]]) -> Callable[[CModel, Tables], Tables]:
    """A unit with a word a case: `function` of the stimulus fields of one word."""

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
    return {"level": level, "nibble": nibble, "flag": flag}


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
        pairs = zip(t.tolist(), mask.tolist(), strict=True)
        d += [model.values("distance", largest[-1], one, masked)[0] for one, masked in pairs]
    return {"expected": {"row_max": np.array(largest)}, "keys": {"d": np.array(d)}}


def row_sum(model: CModel, tables: Tables) -> Tables:
    made = []
    for beats in rows("row_sum", tables):
        e = np.ascontiguousarray(tables["stimulus"]["e"][beats], np.uint32)
        made.append(model.values("row_sum", len(e), e)[0])
    return {"expected": {"s": np.array(made)}}


def code_register(model: CModel, tables: Tables) -> Tables:
    names = ("nibble_write", "nibble_byte", "flag_write", "flag_byte")
    memory: dict[str, list[int]] = {name: [] for name in names}
    codes = [model.values("code_register", int(x)) for x in tables["stimulus"]["level"]]
    nibble, flag = (u1(np.array(column)) for column in zip(*codes, strict=True))
    stored = SCHEMES[SCHEME_OF[int(model.config.scheme)]].zero_flag
    for beats in rows("code_register", tables):
        size = beats.stop - beats.start
        planes = {
            "nibble": np.zeros(-(-size // 2), np.uint8),
            "flag": np.zeros(-(-size // 8), np.uint8),
        }
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
        columns = [np.ascontiguousarray(v[:, lane]) for lane in range(v.shape[1])]
        size = len(nibble)
        made.append([model.values("shift_add", size, nibble, flag, c, 1)[0] for c in columns])
    return {"expected": {"acc": np.array(made)}}


def attention_row(model: CModel, tables: Tables) -> Tables:
    keys = ("t", "d", "e", "level", "nibble", "flag")
    made: dict[str, list[Any]] = {name: [] for name in (*keys, "row_max", "row_sum", "acc", "o")}
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
    streams = {"expected": ("o",), "keys": keys, "rows": ("row_max", "row_sum", "acc")}
    return {s: {name: np.array(made[name]) for name in names} for s, names in streams.items()}


SCHEME_OF = dict(enumerate(SCHEMES))
C_UNITS = {
    "score_accumulator": score_accumulator,
    "score_requantizer": per_case(score_requantizer),
    "row_max": row_max,
    "exp2": per_case(exp2),
    "row_sum": row_sum,
    "log2_quantizer": per_case(log2_quantizer),
    "code_register": code_register,
    "shift_add": shift_add,
    "output_requantizer": per_case(output_requantizer),
    "attention_row": attention_row,
}


def differing(unit: str, scheme: str, change: Callable[[Tables], None] | None = None) -> int:
    """Words of a unit's default set that the C model gives otherwise; `change` plants errors."""
    config = PRESETS[scheme]
    vectors = generate(config, units=[unit]).units[0]
    expected: Tables = {
        stream.name: dict(vectors.tables[stream.name]) for stream in vectors.unit.outputs
    }
    if change is not None:
        change(expected)
    got = C_UNITS[unit](CModel(config), vectors.tables)
    found = 0
    for stream, columns in expected.items():
        for name, values in columns.items():
            if name != "last":
                assert got[stream][name].shape == values.shape
                found += int((got[stream][name] != values).sum())
    return found


def test_c_model_has_every_unit_of_a_vector_set():
    assert list(C_UNITS) == list(UNITS)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("unit", C_UNITS)
def test_c_model_gives_every_expected_word(unit, scheme):
    assert differing(unit, scheme) == 0


@pytest.mark.parametrize("unit", C_UNITS)
def test_c_model_sees_a_changed_word(unit):
    def change(expected: Tables) -> None:
        stream = next(iter(expected.values()))
        name = next(name for name in stream if name != "last")
        stream[name] = stream[name].copy()
        stream[name].reshape(-1)[-1] ^= 1

    assert differing(unit, "BitLog2_Half_17", change) == 1
