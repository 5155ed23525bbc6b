"""The configurations of the co-simulation: all pairs of choices occur, and each agrees."""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path

import pytest

from bitlog2.golden.cosim import (
    CHOICES,
    CONFIGURATIONS,
    DEVICES,
    CosimOptions,
    Rtl,
    regression,
    run_point,
    units_of,
)
from bitlog2.golden.simulation import icarus_found
from bitlog2.golden.testbench import reference_files

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
    results = list(run_point(CONFIGURATIONS[number], units, CosimOptions(simulator=simulator)))
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


NARROW = """\
module my_exp2 (input mask, input [7:0] d, output [7:0] e);
  assign e = 0;
endmodule
"""


def test_cosim_regression_names_the_configuration_that_a_device_does_not_follow(tmp_path: Path):
    path = tmp_path / "my.sv"
    path.write_text(NARROW)
    with pytest.raises(
        ValueError, match=r"^configuration 0, BitLog2_Single_16 F=3 .*my_exp2, held"
    ):
        regression("exp2", CosimOptions(simulator=FAST), rtl=Rtl([path], "my_exp2"))


def test_cosim_regression_plays_a_device_of_the_user_and_finds_it_wrong(tmp_path: Path):
    text = next(each for each in reference_files() if each.stem == "exp2").read_text()
    path = tmp_path / "my.sv"
    path.write_text(text.replace("shifted[E_WIDTH:1] +", "shifted[E_WIDTH:1] -"))
    (result,) = run_point(
        CONFIGURATIONS[4], ["exp2"], CosimOptions(simulator=FAST), rtl=Rtl([path])
    )
    assert result.status == 1
    assert "words compared" in "\n".join(result.lines())


def test_cosim_regression_refuses_a_fixed_package_and_no_unit(tmp_path: Path):
    path = tmp_path / "bitlog2_pkg.sv"
    path.write_text("package bitlog2_pkg; endpackage")
    with pytest.raises(ValueError, match=r"rtl must leave bitlog2_pkg\.sv to the sets"):
        regression("exp2", rtl=Rtl([path]))
    with pytest.raises(ValueError, match="unit must be given with rtl"):
        regression(rtl=Rtl(reference_files()))
