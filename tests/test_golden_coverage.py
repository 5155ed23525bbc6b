"""Coverage: how many bins each unit declares, what they belong to, and that all are filled."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from support.quick import USUAL, one_in, quick_where
from test_golden_helpers import SMALL, config_with, table

import bitlog2.sim
from bitlog2.golden import PRESETS, UNITS, Plan, generate
from bitlog2.golden.stimulus.unit import Tables, Target, no_progress
from bitlog2.golden.stimulus.units import units_within
from bitlog2.sim import SCHEMES, AttentionConfig
from bitlog2.sim.spec import code_register

#: Bins that each unit declares: BitLog2_Single_16, Single_17, Half_16, Half_17, RowMax_16; None
#: where the datapath has no such unit.
DECLARED = {
    "score_accumulator": (26, 26, 26, 26, 26),
    "score_requantizer": (128, 128, 128, 128, 128),
    "row_max": (28, 28, 28, 28, 28),
    "exp2": (65, 65, 65, 65, None),
    "row_sum": (39, 39, 39, 39, None),
    "log2_quantizer": (500, 545, 324, 359, None),
    "code_register": (75, 95, 75, 95, 75),
    "shift_add": (59, 62, 59, 62, 59),
    "output_requantizer": (180, 184, 159, 162, 186),
    "distance_quantizer": (None, None, None, None, 65),
    "weight_sum": (None, None, None, None, 53),
    "row_multiplier": (None, None, None, None, 57),
    "attention_row": (404, 411, 393, 406, 216),
}
QUOTIENTS = [name for name, scheme in SCHEMES.items() if not scheme.row_max]
#: Units with a scheme whose datapath has them.
PAIRS = [(name, scheme) for scheme in SCHEMES for name in PRESETS[scheme].units]
CONFIGS = [
    {},
    {"max_tokens": 2, "max_head_dim": 1, "q_bits": 2, "k_bits": 2, "t_bits": 8},
    {"max_n": 0, "max_n2": 0, "m_bits": 4, "m2_bits": 4, "v_bits": 8, "o_bits": 2},
    {"fraction_bits": 8, "distance_int_bits": 6, "t_bits": 9, "max_tokens": 70},
    {"table_bits": 20, "t_bits": 24, "max_n": 30, "sum_bits": 40, "acc_bits": 62},
    {"fraction_bits": 3, "table_bits": 8},
    {"fraction_bits": 8, "table_bits": 20},
    {"q_bits": 2, "k_bits": 2, "v_bits": 2, "o_bits": 2},
    {"q_bits": 8, "k_bits": 8, "v_bits": 8, "o_bits": 8},
    {"max_tokens": 1},
    {"max_tokens": 4096},
    {"max_head_dim": 1},
    {"t_bits": 8},
    {"max_n": 0, "max_n2": 0},
    {"table_bits": 4, "distance_int_bits": 2, "fraction_bits": 1, "max_tokens": 40},
    {"max_n": 48, "max_n2": 48},
    {"m_bits": 24, "m2_bits": 24, "max_n": 30, "max_n2": 20, "t_bits": 24},
]
ROW_MAX_CONFIGS = [
    {},
    {"max_tokens": 2, "max_head_dim": 1, "q_bits": 2, "k_bits": 2, "t_bits": 8},
    {"max_n": 0, "max_n2": 20, "m_bits": 4, "m2_bits": 4, "v_bits": 8, "o_bits": 2},
    {"fraction_bits": 8, "distance_int_bits": 6, "t_bits": 9, "max_tokens": 70},
    {"t_bits": 24, "max_n": 30, "acc_bits": 62},
    {"q_bits": 2, "k_bits": 2, "v_bits": 2, "o_bits": 2},
    {"q_bits": 8, "k_bits": 8, "v_bits": 8, "o_bits": 8},
    {"max_tokens": 1, "max_n2": 10},
    {"max_tokens": 4096},
    {"t_bits": 8},
    {"distance_int_bits": 2, "fraction_bits": 1, "max_tokens": 40},
    {"m_bits": 24, "m2_bits": 24, "max_n": 48, "max_n2": 48, "t_bits": 24},
]
#: A scheme of each family, whose other configurations are filled in `make test`, too.
FILLED = [(index, scheme) for index in range(len(CONFIGS)) for scheme in QUOTIENTS]
FILLED += [(index, "RowMax_16") for index in range(len(ROW_MAX_CONFIGS))]


@pytest.mark.parametrize("index", range(len(SCHEMES)))
def test_golden_coverage_declares_so_many_bins(index: int) -> None:
    target = Target.of(PRESETS[list(SCHEMES)[index]])
    units = units_within(target.config)
    found = {name: len(units[name].reachable(target)) if name in units else None for name in UNITS}
    assert found == {name: counts[index] for name, counts in DECLARED.items()}


@pytest.mark.parametrize(
    ("index", "scheme"),
    quick_where(lambda index, scheme: index % 16 == 0 and scheme in USUAL, FILLED),
)
def test_golden_coverage_is_filled_by_the_default_cases(index: int, scheme: str) -> None:
    configs = ROW_MAX_CONFIGS if SCHEMES[scheme].row_max else CONFIGS
    config = AttentionConfig(scheme=scheme, **configs[index])
    found = Plan(generate(config, head_dim=min(2, config.max_head_dim)))
    assert {part.unit.name: part.empty for part in found.vectors.units if part.empty} == {}


@pytest.mark.parametrize(("name", "scheme"), PAIRS)
def test_golden_coverage_names_a_requirement_for_every_bin(name: str, scheme: str) -> None:
    page = (Path(bitlog2.sim.__file__).parent / "SPEC.md").read_text(encoding="utf-8")
    target = Target.of(AttentionConfig(scheme=scheme))
    points = UNITS[name].points(target)
    assert [each for each in points if not each.requirement or each.requirement not in page] == []


@pytest.mark.parametrize(("name", "scheme"), PAIRS)
def test_golden_coverage_names_each_bin_once_and_as_the_schema_wants(
    name: str, scheme: str
) -> None:
    bins = [point.name for point in UNITS[name].points(Target.of(PRESETS[scheme]))]
    assert len(set(bins)) == len(bins)
    assert [each for each in bins if not re.fullmatch(r"[a-z][a-z0-9_]*", each)] == []


@pytest.mark.parametrize("name", UNITS)
def test_golden_coverage_of_a_part_says_what_it_leaves_empty(name: str) -> None:
    config = SMALL if name in SMALL.units else config_with(name)
    part = Plan(generate(config, head_dim=2, units=[name], sources=["random"], random_cases=1))
    assert part.vectors.units[0].empty
    assert part.status == 1


@pytest.mark.parametrize("name", UNITS)
def test_golden_coverage_of_corners_alone_is_whole(name: str) -> None:
    """So no bin hangs on what a seed draws."""
    config = config_with(name)
    assert Plan(generate(config, units=[name], head_dim=4, sources=["corners"])).complete


def framed(rows: list[dict[str, list]]) -> dict[str, np.ndarray]:
    """Return rows as the columns of a stream, with their last bits."""
    keys = [len(next(iter(row.values()))) for row in rows]
    last = [int(j == each - 1) for each in keys for j in range(each)]
    names = list(rows[0])
    return table(last=last, **{name: [x for row in rows for x in row[name]] for name in names})


def rows_up_to(most: int, values: list) -> Iterator[tuple]:
    for keys in range(1, most + 1):
        yield from product(values, repeat=keys)


def every_score_accumulator() -> tuple[AttentionConfig, Tables]:
    config = AttentionConfig(q_bits=2, k_bits=2, max_head_dim=2)
    cases = [
        (pairs, zq, zk)
        for pairs in rows_up_to(2, list(product(range(4), repeat=2)))
        for zq, zk in product(range(4), repeat=2)
    ]
    rows = [{"q": [q for q, _ in pairs], "k": [k for _, k in pairs]} for pairs, *_ in cases]
    params = table(zq=[zq for _, zq, _ in cases], zk=[zk for *_, zk in cases])
    return config, {"params": params, "stimulus": framed(rows)}


def every_of(ranges: dict[str, range]) -> dict[str, np.ndarray]:
    grids = np.meshgrid(*(np.array(each) for each in ranges.values()), indexing="ij")
    return table(**{name: grid.ravel() for name, grid in zip(ranges, grids, strict=True)})


def every_score_requantizer() -> tuple[AttentionConfig, Tables]:
    config = AttentionConfig(q_bits=2, k_bits=2, max_head_dim=1, m_bits=4, max_n=9, t_bits=8)
    ranges = {"score": range(-9, 10), "m": range(1, 16), "n": range(10), "bias": range(-128, 128)}
    return config, {"stimulus": every_of(ranges)}


def every_output_requantizer() -> tuple[AttentionConfig, Tables]:
    config = AttentionConfig(scheme="BitLog2_Half_16", v_bits=2, o_bits=2, m2_bits=4, max_n2=15)
    ranges = {"acc": range(-768, 769), "m2": range(1, 16), "n2": range(16), "zo": range(4)}
    return config, {"stimulus": every_of(ranges)}


def every_row_max() -> tuple[AttentionConfig, Tables]:
    config = AttentionConfig(t_bits=8, max_tokens=2, fraction_bits=1, distance_int_bits=2)
    keys = [(t, mask) for t in range(-128, 128) for mask in (0, 1)]
    rows = [row for row in rows_up_to(2, keys) if any(not mask for _, mask in row)]
    return config, {
        "stimulus": framed(
            [{"t": [t for t, _ in row], "mask": [m for _, m in row]} for row in rows]
        )
    }


def every_exp2(**fields: int) -> tuple[AttentionConfig, Tables]:
    config = AttentionConfig(**fields)
    return config, {"stimulus": every_of({"mask": range(2), "d": range(config.d_max + 1)})}


def every_distance() -> tuple[AttentionConfig, Tables]:
    config = AttentionConfig(scheme="RowMax_16", fraction_bits=1, distance_int_bits=4)
    return config, {"stimulus": every_of({"mask": range(2), "d": range(config.d_max + 1)})}


def every_weight_sum() -> tuple[AttentionConfig, Tables]:
    config = AttentionConfig(scheme="RowMax_16", max_tokens=3)
    rows = [row for row in rows_up_to(3, list(range(16))) if 15 in row]
    return config, {"stimulus": framed([{"level": list(row)} for row in rows])}


def every_row_multiplier() -> tuple[AttentionConfig, Tables]:
    config = AttentionConfig(scheme="RowMax_16", max_tokens=3, m2_bits=4, max_n2=13)
    ranges = {"weight_sum": range(1024, 3073), "m2": range(1, 16), "n2": range(3)}
    return config, {"stimulus": every_of(ranges)}


def every_row_sum() -> tuple[AttentionConfig, Tables]:
    config = AttentionConfig(table_bits=4, max_tokens=3)
    rows = [row for row in rows_up_to(3, list(range(17))) if 16 in row]
    return config, {"stimulus": framed([{"e": list(row)} for row in rows])}


def every_code_register(scheme: str, keys: int) -> tuple[AttentionConfig, Tables]:
    config = AttentionConfig(scheme=scheme, max_tokens=keys)
    rows = list(rows_up_to(keys, list(range(config.code.levels))))
    return config, {"stimulus": framed([{"level": list(row)} for row in rows])}


def every_shift_add(scheme: str, keys: int) -> tuple[AttentionConfig, Tables]:
    config = AttentionConfig(scheme=scheme, v_bits=2, max_tokens=keys)
    code = config.code
    pairs = list(product(range(code.levels), range(4)))
    cases = [
        (row, zv)
        for row in rows_up_to(keys, pairs)
        if sum(code.values[level] for level, _ in row) <= config.largest_weight
        for zv in range(4)
    ]
    rows = [
        {
            "nibble": [code_register(level, code)[0] for level, _ in row],
            "flag": [code_register(level, code)[1] for level, _ in row],
            "v": [v for _, v in row],
        }
        for row, _ in cases
    ]
    return config, {"params": table(zv=[zv for _, zv in cases]), "stimulus": framed(rows)}


EVERY = {
    "score_accumulator": [every_score_accumulator],
    "score_requantizer": [every_score_requantizer],
    "row_max": [every_row_max],
    "exp2": [
        every_exp2,
        lambda: every_exp2(fraction_bits=1, table_bits=4, distance_int_bits=2),
        lambda: every_exp2(fraction_bits=3, table_bits=8),
        lambda: every_exp2(fraction_bits=8, table_bits=20, distance_int_bits=6),
    ],
    "row_sum": [every_row_sum],
    "distance_quantizer": [every_distance],
    "weight_sum": [every_weight_sum],
    "row_multiplier": [every_row_multiplier],
    "code_register": [
        lambda: every_code_register("BitLog2_Half_17", 3),
        lambda: every_code_register("BitLog2_Single_16", 1),
    ],
    "shift_add": [
        lambda: every_shift_add("BitLog2_Half_17", 2),
        lambda: every_shift_add("BitLog2_Single_16", 1),
        lambda: every_shift_add("RowMax_16", 2),
    ],
    "output_requantizer": [every_output_requantizer],
}
CASES = [(name, index) for name, makers in EVERY.items() for index in range(len(makers))]


@pytest.mark.parametrize(("name", "index"), one_in(4, CASES))
def test_golden_coverage_formulas_declare_what_every_legal_input_reaches(
    name: str, index: int
) -> None:
    config, inputs = EVERY[name][index]()
    target = Target(config, 1)
    tables = inputs | UNITS[name].simulate(target, inputs, no_progress)
    signals = UNITS[name].signals(target, tables)
    points = UNITS[name].points(target)
    assert [each.name for each in points if each.reachable != bool(each.hits(signals))] == []
