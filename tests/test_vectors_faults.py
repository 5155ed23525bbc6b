"""Default vectors against faulty devices: each fault is found, by its unit's words and by o."""

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from support.faults import FAULTS, Fault, table_faults
from support.quick import one_in
from test_golden_helpers import config_with, default_tables, simulated, table

from bitlog2.golden.cosim import CONFIGURATIONS, RegressionPoint
from bitlog2.golden.package.generation import generate
from bitlog2.golden.stimulus.row_cases import next_to_tie
from bitlog2.golden.stimulus.row_decisions import decision_rows, waiting_rows
from bitlog2.golden.stimulus.row_shapes import RowMaker
from bitlog2.golden.stimulus.rows import RowCase, cut_rows
from bitlog2.golden.stimulus.sampler import Sampler
from bitlog2.golden.stimulus.unit import Specified, Tables, Target, no_progress, row_offsets
from bitlog2.golden.stimulus.units import UNITS, units_within
from bitlog2.golden.words.framing import row_lengths
from bitlog2.sim import SCHEMES, AttentionConfig
from bitlog2.sim.spec import (
    attention_row_from_scores,
    distance_quantizer,
    exp2,
    log2_quantizer,
    output_requantizer,
)

CONFIG = AttentionConfig()
#: The specification of a row, whose units are replaced by faulty ones.
SPECIFICATION = sys.modules[attention_row_from_scores.__module__]
QUOTIENTS = [name for name, scheme in SCHEMES.items() if not scheme.row_max]
#: Longer rows are left out: the short ones catch every fault.
LONGEST = 40


# By the words of the fault's unit.

ENTRIES = {f"entry {f}: +1" for f in (0, 1, 16, 31)}
BY_VECTORS = FAULTS | {name: x for name, x in table_faults(CONFIG).items() if name in ENTRIES}


@cache
def tables_of(unit: str) -> Tables:
    return default_tables(unit)


def differ(unit: str, tables: Tables) -> bool:
    """Whether the specification, as it stands, gives other words than the tables hold."""
    config = config_with(unit)
    declared = units_within(config)[unit]
    found = declared.specify(Target(config, 4), tables, no_progress)

    def wrong(stream: str, field: str) -> bool:
        hidden = declared.hidden_words(tables, stream, field)
        differs = found[stream][field] != tables[stream][field]
        return bool(np.any(differs if hidden is None else differs & ~hidden))

    return any(wrong(stream, field) for stream in found for field in found[stream])


@pytest.mark.parametrize("unit", sorted({fault.vectors for fault in FAULTS.values()}))
def test_vectors_without_a_fault_do_not_differ(unit: str):
    assert not differ(unit, tables_of(unit))


@pytest.mark.parametrize("name", BY_VECTORS)
def test_vectors_find_a_fault(name: str, monkeypatch: pytest.MonkeyPatch):
    fault = BY_VECTORS[name]
    tables = tables_of(fault.vectors)  # made before the fault is planted
    unit = UNITS[fault.vectors]
    if isinstance(right := unit.specify, Specified):
        wrong = replace(right, function=fault.make(right.function))
        monkeypatch.setitem(UNITS, fault.vectors, replace(unit, specify=wrong))
    else:
        module = sys.modules[right.__module__]
        monkeypatch.setattr(module, fault.unit, fault.make(getattr(module, fault.unit)))
    assert differ(fault.vectors, tables)


# By o alone, as on a device that shows no more.


def rows_of(config: AttentionConfig, head_dim: int) -> list[RowCase]:
    """The short rows of the default set."""
    unit = units_within(config)["attention_row"]
    tables = generate(config, head_dim=head_dim, units=["attention_row"]).units[0].tables
    rows = [case for case in cut_rows(tables, row_offsets(unit, tables)) if case.keys <= LONGEST]
    return sorted(rows, key=lambda case: case.keys)


def output(case: RowCase, config: AttentionConfig) -> list[int]:
    """o of a row by the specification as it stands."""
    arrays = (x.tolist() for x in (case.scores, case.v))
    masks = (x.tolist() for x in (case.masked, case.bias))
    return attention_row_from_scores(*arrays, case.params, config, *masks).o


def unmasked_distance(t: int, largest: int, masked: bool, config: AttentionConfig) -> int:
    return min(max(largest - t, 0), config.d_max)


def guarded(unit: Callable[..., int]) -> Callable[..., int]:
    """The log2 quantizer with a level for a row sum of 0, as a device has."""
    return lambda e, s, scheme: unit(min(e, s), s, scheme) if s > 0 else 0


def missed(rows: list[RowCase], config: AttentionConfig, faults: dict[str, Fault]) -> list[str]:
    """The faults of which no row's o shows anything."""
    expected = [output(row, config) for row in rows]
    names = []
    for name, fault in faults.items():
        with pytest.MonkeyPatch.context() as patch:
            right = getattr(SPECIFICATION, fault.unit)
            patch.setattr(SPECIFICATION, fault.unit, fault.make(right))
            patch.setattr(SPECIFICATION, "log2_quantizer", guarded(SPECIFICATION.log2_quantizer))
            if fault.masked_distances:
                patch.setattr(SPECIFICATION, "distance", unmasked_distance)
            pairs = zip(rows, expected, strict=True)
            if all(output(row, config) == o for row, o in pairs):
                names.append(name)
    return names


def faults_by_o(config: AttentionConfig) -> dict[str, Fault]:
    """The faults of the units of this datapath that rows show in o."""
    faults = {
        name: fault
        for name, fault in FAULTS.items()
        if fault.by_o and (fault.vectors or fault.unit) in config.units
    }
    if config.code.row_max and distance_quantizer(config.d_max // 2, False, config) == 0:
        del faults["d limited to half its range"]  # the level is 0 in both halves
    return faults


@pytest.mark.parametrize("scheme", QUOTIENTS)
def test_vectors_find_every_wrong_table_entry_by_o_alone(scheme: str):
    config = AttentionConfig(scheme=scheme)
    maker = RowMaker(Target(config, 1), Sampler(0, "test"))
    rows = [row for row in decision_rows(maker) if "entry" in row.reason]
    assert missed(rows, config, table_faults(config)) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_vectors_find_every_fault_by_o_alone(scheme: str):
    config = AttentionConfig(scheme=scheme)
    assert missed(rows_of(config, 1), config, faults_by_o(config)) == []


#: Of more than one key a row.
LONGER = [each for each in CONFIGURATIONS if each.max_tokens > 1]


@pytest.mark.parametrize(
    "choice",
    one_in(24, LONGER, list(map(str, LONGER))),
)
def test_vectors_find_every_fault_in_the_pairwise_configurations(choice: RegressionPoint):
    config, faults = choice.config, faults_by_o(choice.config)
    if not config.code.row_max and exp2(config.d_max // 2, False, config) == 0:
        del faults["d limited to half its range"]  # e is 0 in both halves
    assert missed(rows_of(config, choice.head_dim), config, faults) == []


# What the default cases hold.


@pytest.mark.parametrize("scheme", QUOTIENTS)
def test_vectors_hold_ties_that_wait_behind_two_to_six_beats(scheme: str):
    """An LSB less of e, which is odd, is a level less; the keys in front do not change it."""
    config = AttentionConfig(scheme=scheme)
    rows = list(waiting_rows(RowMaker(Target(config, 1), Sampler(0, "test"))))
    assert [row.keys - 1 for row in rows] == 2 * [24, 20, 16, 12, 8]
    assert len({row.params for row in rows[:5]}) == len({row.params for row in rows[5:]}) == 1
    for row in rows:
        assert row.masked is not None
        assert row.bias is not None
        given = (row.scores.tolist(), row.v.tolist(), row.params, config)
        found = attention_row_from_scores(*given, row.masked.tolist(), row.bias.tolist())
        e, s, level = found.e[-1], found.row_sum, found.level[-1]
        assert e % 2 == 1
        assert e * config.code.int_max == config.code.values[level] * s
        assert log2_quantizer(e - 1, s, config.code) == level - 1
        less = config.code.values[level - 1]
        scale = (row.params.m2, row.params.n2, row.params.zo)
        assert found.acc == [config.code.values[level]]
        assert found.o != [output_requantizer(less, *scale, config)]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("unit", ["shift_add", "output_requantizer"])
def test_vectors_reach_both_bounds_of_the_accumulator(unit: str, scheme: str):
    tables = default_tables(unit, AttentionConfig(scheme=scheme))
    acc = tables["expected" if unit == "shift_add" else "stimulus"]["acc"]
    assert -acc.min() == acc.max() == 15 * AttentionConfig(scheme=scheme).largest_weight


def test_vectors_reach_both_bounds_of_score_and_row_sum():
    score = tables_of("score_accumulator")["expected"]["score"]
    s = tables_of("row_sum")["expected"]["s"]
    assert (score.min(), score.max(), s.min(), s.max()) == (-28800, 28800, 1 << 16, 1 << 26)


def test_vectors_hold_every_code_and_zero_point_of_a_score():
    beats, params = (tables_of("score_accumulator")[name] for name in ("stimulus", "params"))
    zq, zk = (np.repeat(params[name], row_lengths(beats["last"])) for name in ("zq", "zk"))
    assert len(np.unique(((beats["q"] * 16 + beats["k"]) * 16 + zq) * 16 + zk)) == 1 << 16


@pytest.mark.parametrize("fields", [{}, {"fraction_bits": 3, "table_bits": 8}])
def test_vectors_hold_every_distance_and_mask(fields: dict[str, int]):
    config = AttentionConfig(**fields)
    columns = default_tables("exp2", config)["stimulus"]
    count = 2 * (config.d_max + 1)
    assert len(np.unique(2 * columns["d"] + columns["mask"])) == count
    assert len(columns["d"]) == count + 512


def test_vectors_are_exhaustive_where_inputs_are_few():
    """Beside 2048 random ones."""
    config = AttentionConfig(q_bits=2, k_bits=2, max_head_dim=1, m_bits=4, max_n=3, t_bits=8)
    t = default_tables("score_requantizer", config)["expected"]["t"]
    assert t.size == 19 * 15 * 4 * 256 + 2048
    config = AttentionConfig("BitLog2_Half_16", v_bits=2, o_bits=2, m2_bits=4, max_n2=1)
    o = default_tables("output_requantizer", config)["expected"]["o"]
    assert o.size == 1537 * 15 * 2 * 4 + 2048


def test_vectors_leave_out_what_a_device_may_show():
    """Distances of masked keys, and bytes that are not written."""
    tables = tables_of("row_max")
    hidden = UNITS["row_max"].hidden_words(tables, "keys", "d")
    assert hidden is not None
    assert np.array_equal(hidden, tables["stimulus"]["mask"] == 1)
    tables = tables_of("code_register")
    for name in ("nibble", "flag"):
        hidden = UNITS["code_register"].hidden_words(tables, "memory", f"{name}_byte")
        assert hidden is not None
        assert np.array_equal(hidden, tables["memory"][f"{name}_write"] == 0)


def test_vectors_leave_out_nothing_else():
    hidden = {
        (unit.name, stream.name, port)
        for unit in UNITS.values()
        for stream in unit.outputs
        for port in stream.ports
        if unit.guard(stream.name, port) is not None
    }
    assert hidden == {
        ("row_max", "keys", "d"),
        ("attention_row", "keys", "d"),
        ("code_register", "memory", "nibble_byte"),
        ("code_register", "memory", "flag_byte"),
    }


# Stimulus that no row has.

T = {"score": [1, 1], "m": [1, 1], "n": [0, 0], "bias": [0, 0]}
OUT = {"acc": [1, 1], "m2": [1, 1], "n2": [0, 0], "zo": [0, 0]}
MULTIPLIER = {"weight_sum": [1024, 1024], "m2": [1, 1], "n2": [0, 0]}
T_ROW = {"last": [1, 0, 1], "mask": [0, 0, 0], "t": [1, 2, 3]}
CODED = {"last": [1, 0, 1], "nibble": [0, 0, 0], "flag": [1, 0, 0], "v": [[1], [1], [1]]}
REFUSED = [
    (
        "score_accumulator",
        {"last": [1, 0, 0, 1], "q": [1] * 4, "k": [1] * 4},
        "beats",
        "1 to 2, got 3",
    ),
    ("score_requantizer", T | {"score": [1, 28801]}, "score", "-28800 to 28800, got 28801"),
    ("score_requantizer", T | {"m": [1, 0]}, "m", "1 to 65535, got 0"),
    ("score_requantizer", T | {"n": [0, 29]}, "n", "0 to 28, got 29"),
    ("weight_sum", {"last": [1, 1], "level": [15, 14]}, "the largest level", "15 to 15, got 14"),
    ("weight_sum", {"last": [1, 1], "level": [15, 16]}, "level", "0 to 15, got 16"),
    ("row_multiplier", MULTIPLIER | {"weight_sum": [1024, 1023]}, "weight_sum", "1024 to 1048576"),
    ("row_multiplier", MULTIPLIER | {"n2": [0, 17]}, "n2", "0 to 16, got 17"),
    ("distance_quantizer", {"mask": [0, 0], "d": [1, 1024]}, "d", "0 to 1023, got 1024"),
    ("row_max", T_ROW | {"mask": [0, 1, 1]}, "keys that are not masked", "1"),
    ("row_max", {"last": [1, 0, 0, 1], "mask": [0] * 4, "t": [1] * 4}, "beats", "1 to 2, got 3"),
    ("exp2", {"mask": [0, 0], "d": [1, 1024]}, "d", "0 to 1023, got 1024"),
    ("row_sum", {"last": [1, 1], "e": [65536, 65537]}, "e", "0 to 65536, got 65537"),
    (
        "row_sum",
        {"last": [1, 1], "e": [65536, 65535]},
        "the largest e",
        "65536 to 65536, got 65535",
    ),
    ("code_register", {"last": [1, 0, 1], "level": [0, 1, 17]}, "level", "0 to 16"),
    ("code_register 16", {"last": [1, 0, 1], "level": [0, 1, 16]}, "level", "0 to 15"),
    ("shift_add", CODED | {"nibble": [0, 15, 15]}, "the sum of the values", "0 to 384, got 512"),
    (
        "shift_add",
        CODED | {"nibble": [0, 3, 0], "flag": [1, 1, 0]},
        "flag == 0 || nibble == 0",
        "got flag = 1, nibble = 3",
    ),
    ("shift_add 16", CODED | {"flag": [0, 1, 0]}, "flag", "0 to 0, got 1"),
    ("output_requantizer", OUT | {"acc": [1, 5761]}, "acc", "-5760 to 5760, got 5761"),
    ("output_requantizer", OUT | {"m2": [1, 0]}, "m2", "1 to 65535, got 0"),
    ("output_requantizer", OUT | {"n2": [0, 37]}, "n2", "0 to 36, got 37"),
]


@pytest.mark.parametrize(("unit", "stimulus", "name", "allowed"), REFUSED)
def test_vectors_of_a_stimulus_that_no_row_has_are_refused(
    unit: str, stimulus: Any, name: str, allowed: str
):
    """The error names unit and case: the second of each, of rows with zero points of 0."""
    unit, _, levels = unit.partition(" ")
    short = {"max_tokens": 2, "max_head_dim": 2} if name == "beats" else {}
    config = config_with(unit, **short)
    if levels:
        config = AttentionConfig(f"BitLog2_Half_{levels}", **short)
    zeros = ("zq", "zk") if unit == "score_accumulator" else ("zv",)
    inputs = {"params": table(**dict.fromkeys(zeros, (0, 0))), "stimulus": table(**stimulus)}
    with pytest.raises(ValueError, match=f"^{unit} case 1: {re.escape(name)} must .*{allowed}"):
        simulated(unit, inputs, config)


def test_vectors_hold_a_product_next_to_half_an_lsb_of_o():
    """Half an LSB and any bit below it, in place of half an LSB, is another o."""
    config = AttentionConfig(scheme="RowMax_16")
    (row,) = next_to_tie(RowMaker(Target(config, 1), Sampler(0, "test")))
    assert row.bias is not None
    given = (row.scores.tolist(), row.v.tolist(), row.params, config)
    found = attention_row_from_scores(*given, None, row.bias.tolist())
    product, half = found.acc[0] * found.m2_row, 1 << (found.n2_row - 1)
    assert product == half - 1
    assert found.o == [row.params.zo]
    for bit in range(found.n2_row - 1):
        assert (product + half + (1 << bit)) >> found.n2_row == 1
