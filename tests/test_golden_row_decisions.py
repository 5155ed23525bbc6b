"""Rows of the default set against faulty devices of which o alone is compared: each is caught."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest

from bitlog2.golden.cosim.job import CONFIGURATIONS, Choice
from bitlog2.golden.package.generation import generate
from bitlog2.golden.stimulus.cases import Sampler
from bitlog2.golden.stimulus.row_decisions import decision_rows
from bitlog2.golden.stimulus.row_shapes import RowMaker
from bitlog2.golden.stimulus.rows import RowCase, cut_rows
from bitlog2.golden.stimulus.unit import Target, row_offsets
from bitlog2.golden.stimulus.units import UNITS
from bitlog2.sim import SCHEMES, AttentionConfig
from bitlog2.sim.rounding import rnd, rnd_conv, sat
from bitlog2.sim.spec import attention_row_from_scores, exp2
from bitlog2.sim.table import exp2_table

#: The specification, whose units are replaced by faulty ones.
SPECIFICATION = sys.modules["bitlog2.sim.units.attention_row"]
#: Longer rows are left out: the short ones catch every fault.
LONGEST = 40


@dataclass(frozen=True)
class Fault:
    """A wrong unit: `make(right)` returns it, `right` being the specification's own.

    `masked_distances`: whether d of a masked key is that of any key, as on most devices.
    """

    unit: str
    make: Callable[[Callable[..., Any]], Callable[..., Any]]
    masked_distances: bool = False


def away(x: int, n: int) -> int:
    """Round a tie away from zero."""
    return rnd(x, n) if x >= 0 else -rnd(-x, n)


def ceiling(x: int, n: int) -> int:
    return -(-x >> n)


def down(x: int, n: int) -> int:
    """Round a tie toward minus infinity."""
    return -rnd(-x, n)


def exp2_by(rounding: Callable[[int, int], int]) -> Fault:
    def unit(d: int, masked: bool, config: AttentionConfig) -> int:
        entry = config.table[d % (1 << config.fraction_bits)]
        return 0 if masked else rounding(entry, d >> config.fraction_bits)

    return Fault("exp2", lambda right: unit)


def exp2_of(entry: Callable[[int, int], int]) -> Fault:
    """A table of other entries: `entry(f, T[f])`."""

    def unit(d: int, masked: bool, config: AttentionConfig) -> int:
        f = d % (1 << config.fraction_bits)
        return 0 if masked else rnd(entry(f, config.table[f]), d >> config.fraction_bits)

    return Fault("exp2", lambda right: unit)


def score_by(rounding: Callable[[int, int], int]) -> Fault:
    def unit(score: int, m: int, n: int, bias: int, config: AttentionConfig) -> int:
        return sat(rounding(score * m, n) + bias, config.t_min, config.t_max)

    return Fault("score_requantizer", lambda right: unit)


def score_limited(limit: Callable[[int, AttentionConfig], int]) -> Fault:
    def unit(score: int, m: int, n: int, bias: int, config: AttentionConfig) -> int:
        return limit(rnd(score * m, n) + bias, config)

    return Fault("score_requantizer", lambda right: unit)


def wrapped(value: int, bits: int) -> int:
    return ((value + (1 << (bits - 1))) & ((1 << bits) - 1)) - (1 << (bits - 1))


def distance_as(unit: Callable[[int, AttentionConfig], int]) -> Fault:
    def faulty(t: int, largest: int, masked: bool, config: AttentionConfig) -> int:
        return config.d_max if masked else unit(largest - t, config)

    return Fault("distance", lambda right: faulty)


def output_by(rounding: Callable[[int, int], int], lowest: int = 0, below: int = 0) -> Fault:
    def unit(acc: int, m2: int, n2: int, zo: int, config: AttentionConfig) -> int:
        return sat(rounding(acc * m2, n2) + zo, lowest, (1 << config.o_bits) - 1 - below)

    return Fault("output_requantizer", lambda right: unit)


FAULTS: dict[str, Fault] = {
    "masked keys in the maximum": Fault("row_max", lambda right: lambda t, masked: max(t)),
    "a masked first key in the maximum": Fault(
        "row_max", lambda right: lambda t, masked: max(right(t, masked), t[0])
    ),
    "a masked last key in the maximum": Fault(
        "row_max", lambda right: lambda t, masked: max(right(t, masked), t[-1])
    ),
    "exp2 truncates": exp2_by(lambda x, n: x >> n),
    "exp2 rounds up": exp2_by(ceiling),
    "exp2 rounds ties to even": exp2_by(rnd_conv),
    "exp2 rounds ties down": exp2_by(down),
    "exp2 gives 0 at a shift of P + 1": Fault(
        "exp2",
        lambda right: (
            lambda d, masked, config: (
                0 if d >> config.fraction_bits > config.table_bits else right(d, masked, config)
            )
        ),
    ),
    "exp2 shifts by P + 1 at most": Fault(
        "exp2",
        lambda right: (
            lambda d, masked, config: (
                right(min(d, ((config.table_bits + 2) << config.fraction_bits) - 1), masked, config)
                or int(not masked and d >> config.fraction_bits > config.table_bits + 1)
            )
        ),
    ),
    "e of a masked key counts": Fault(
        "exp2", lambda right: lambda d, masked, config: right(d, False, config), True
    ),
    "t truncated": score_by(lambda x, n: x >> n),
    "t rounded up": score_by(ceiling),
    "ties of t to even": score_by(rnd_conv),
    "ties of t away from zero": score_by(away),
    "ties of t down": score_by(down),
    "t wraps": score_limited(lambda t, config: wrapped(t, config.t_bits)),
    "t without saturation": score_limited(lambda t, config: t),
    "t saturates one late at the bottom": score_limited(
        lambda t, config: sat(t, config.t_min + 1, config.t_max)
    ),
    "t saturates one early at the top": score_limited(
        lambda t, config: sat(t, config.t_min, config.t_max - 1)
    ),
    "t saturates before the bias too": Fault(
        "score_requantizer",
        lambda right: (
            lambda score, m, n, bias, config: sat(
                right(score, m, n, 0, config) + bias, config.t_min, config.t_max
            )
        ),
    ),
    "bias ignored": Fault(
        "score_requantizer",
        lambda right: lambda score, m, n, bias, config: right(score, m, n, 0, config),
    ),
    "d one too large": distance_as(lambda gap, config: min(gap + (gap > 0), config.d_max)),
    "d one too small": distance_as(lambda gap, config: min(max(gap - 1, 0), config.d_max)),
    "d wraps": distance_as(lambda gap, config: gap & config.d_max),
    "d limited to half its range": distance_as(lambda gap, config: min(gap, config.d_max // 2)),
    "row sum one less": Fault("row_sum", lambda right: lambda e: sum(e) - (len(e) > 1)),
    "row sum one more": Fault("row_sum", lambda right: lambda e: sum(e) + (len(e) > 1)),
    "row sum without its last key": Fault("row_sum", lambda right: lambda e: sum(e[:-1]) or 1),
    "ties of the level go down": Fault(
        "log2_quantizer", lambda right: lambda e, s, scheme: right(e, s + (e < s), scheme)
    ),
    "level 0 counts as level 1": Fault(
        "shift_add",
        lambda right: lambda level, v, zv, scheme: right([max(x, 1) for x in level], v, zv, scheme),
    ),
    "top level lost": Fault(
        "log2_quantizer",
        lambda right: lambda e, s, scheme: min(right(e, s, scheme), scheme.top_level - 1),
    ),
    "zv not subtracted": Fault(
        "shift_add", lambda right: lambda level, v, zv, scheme: right(level, v, 0, scheme)
    ),
    "o truncated": output_by(lambda x, n: x >> n),
    "o rounded up": output_by(ceiling),
    "ties of o to even": output_by(rnd_conv),
    "ties of o away from zero": output_by(away),
    "ties of o down": output_by(down),
    "o saturates at 1": output_by(rnd, lowest=1),
    "o saturates one early": output_by(rnd, below=1),
}


def rows_of(config: AttentionConfig, head_dim: int) -> list[RowCase]:
    """Return the short rows of the default set."""
    unit = UNITS["attention_row"]
    tables = generate(config, head_dim=head_dim, units=["attention_row"]).units[0].tables
    offsets = row_offsets(unit, tables)
    assert offsets is not None
    rows = [case for case in cut_rows(tables, offsets) if case.keys <= LONGEST]
    return sorted(rows, key=lambda case: case.keys)


def output(case: RowCase, config: AttentionConfig) -> list[int]:
    """Return o of a row by the specification as it stands."""
    assert case.masked is not None
    assert case.bias is not None
    return attention_row_from_scores(
        case.scores.tolist(),
        case.v.tolist(),
        case.params,
        config,
        case.masked.tolist(),
        case.bias.tolist(),
    ).o


def unmasked_distance(t: int, largest: int, masked: bool, config: AttentionConfig) -> int:
    return min(max(largest - t, 0), config.d_max)


def guarded(unit: Callable[..., int]) -> Callable[..., int]:
    """Return the log2 quantizer with a level for a row sum of 0, as a device has."""
    return lambda e, s, scheme: unit(min(e, s), s, scheme) if s > 0 else 0


def missed(rows: list[RowCase], config: AttentionConfig, faults: dict[str, Fault]) -> list[str]:
    """Return the faults of which no row's o shows anything."""
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


def table_faults(config: AttentionConfig) -> dict[str, Fault]:
    """Return a table of truncated entries, and tables with one entry an LSB more or less."""
    fine = exp2_table(config.fraction_bits, config.table_bits + 20)
    faults = {"every entry truncated": exp2_of(lambda f, entry: fine[f] >> 20)}
    for wrong, step in product(range(1 << config.fraction_bits), (-1, 1)):

        def entry(f: int, right: int, wrong: int = wrong, step: int = step) -> int:
            return right + step * (f == wrong)

        faults[f"entry {wrong}: {step:+}"] = exp2_of(entry)
    return faults


@pytest.mark.parametrize("scheme", SCHEMES)
def test_golden_row_decisions_catch_every_wrong_table_entry_by_o_alone(scheme: str) -> None:
    config = AttentionConfig(scheme=scheme)
    maker = RowMaker(Target(config, 1), Sampler(0, "test"))
    rows = [row for row in decision_rows(maker) if "entry" in row.reason]
    assert missed(rows, config, table_faults(config)) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_golden_row_decisions_catch_every_fault_by_o_alone(scheme: str) -> None:
    config = AttentionConfig(scheme=scheme)
    assert missed(rows_of(config, 1), config, FAULTS) == []


@pytest.mark.parametrize(
    "choice", [each for each in CONFIGURATIONS if each.max_tokens > 1], ids=str
)
def test_golden_row_decisions_catch_every_fault_in_the_pairwise_configurations(
    choice: Choice,
) -> None:
    config = choice.config
    faults = dict(FAULTS)
    if exp2(config.d_max // 2, False, config) == 0:
        del faults["d limited to half its range"]  # e is 0 in both halves
    assert missed(rows_of(config, choice.head_dim), config, faults) == []
