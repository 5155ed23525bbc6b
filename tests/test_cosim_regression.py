"""The configurations of the co-simulation: all pairs of choices occur, and each agrees."""

from __future__ import annotations

from itertools import combinations, product

import pytest

from bitlog2.golden.cosim import CHOICES, CONFIGURATIONS, DEVICES, run_choice, units_of
from bitlog2.golden.eda import icarus_found

FAST = "icarus" if icarus_found() else "verilator"


def test_cosim_regression_covers_all_pairs_of_choices() -> None:
    for (one, values), (other, others) in combinations(CHOICES.items(), 2):
        found = {(getattr(each, one), getattr(each, other)) for each in CONFIGURATIONS}
        assert found >= set(product(values, others)), (one, other)


def test_cosim_regression_has_at_least_sixteen_configurations() -> None:
    assert len(set(CONFIGURATIONS)) == len(CONFIGURATIONS) >= 16


def test_cosim_regression_has_rows_of_one_key_and_no_multiple_of_the_lanes() -> None:
    assert any(each.max_tokens == 1 for each in CONFIGURATIONS)
    assert any(each.max_tokens % each.lanes for each in CONFIGURATIONS)


def test_cosim_regression_builds_every_device() -> None:
    units = {name for number in range(len(CONFIGURATIONS)) for name in units_of(number)}
    assert units == set(DEVICES)


def agrees(number: int, units: tuple[str, ...], simulator: str) -> None:
    results = list(run_choice(CONFIGURATIONS[number], units, simulator=simulator))
    assert len(results) == len(units)
    for result in results:
        assert result.ok, "\n".join(result.lines())


@pytest.mark.parametrize("number", [4, 9])
def test_cosim_regression_agrees(number: int) -> None:
    agrees(number, ("attention_row",), FAST)


@pytest.mark.long
@pytest.mark.parametrize("number", range(len(CONFIGURATIONS)))
def test_cosim_regression_agrees_in_verilator(number: int) -> None:
    agrees(number, units_of(number), "verilator")


@pytest.mark.long
@pytest.mark.skipif(not icarus_found(), reason="Icarus Verilog is not found")
@pytest.mark.parametrize("number", [0, 3, 11, 17])
def test_cosim_regression_agrees_in_icarus(number: int) -> None:
    agrees(number, units_of(number), "icarus")
