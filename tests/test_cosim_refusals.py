"""What `cosim` refuses, and its command line."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from cosim_devices import write_device
from support.command import call
from test_golden_helpers import SMALL

from bitlog2.golden import emit
from bitlog2.golden.cosim import CosimOptions, Rtl, cosim
from bitlog2.golden.simulation import icarus_found
from bitlog2.golden.testbench import reference_files

FAST = "icarus" if icarus_found() else "verilator"


@pytest.fixture(scope="module")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of the row sum."""
    out = tmp_path_factory.mktemp("cosim") / "sums"
    emit(out, SMALL, head_dim=2, units=["row_sum"], sources=("random",), random_cases=12)
    return out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unit": "softmax"}, "unit must be one of score_accumulator, "),
        ({"unit": "exp2"}, "unit exp2 takes the vectors of exp2, the set has those of row_sum"),
        ({"simulator": "questa"}, "simulator must be one of verilator, icarus, got 'questa'"),
        ({"seed": -1}, "seed must be from 0 to "),
        ({"stall": 91}, "stall must be from 0 to 90, got 91"),
        ({"idle": 9}, "idle must be from 10 to "),
        ({"lanes": 0}, "lanes must be from 1 to 64, got 0"),
        ({"lanes": 2}, "lanes must be left out for unit row_sum, which has none, got 2"),
        ({"limit": 0}, "limit must be above 0 seconds, got 0"),
        ({"unit": "all", "rtl": Rtl(reference_files())}, "unit must be a single one with rtl"),
        ({"waves": __file__}, "waves must be a folder, got the file"),
        ({"out": __file__}, "out must be a folder, got the file"),
    ],
    ids=range(12),
)
def test_cosim_refusals_of_arguments(sums: Path, options: dict[str, object], message: str) -> None:
    chosen = {"unit": "row_sum", "rtl": None, **options}
    unit, rtl = chosen.pop("unit"), chosen.pop("rtl")
    with pytest.raises(ValueError, match=message):
        cosim(sums, unit, CosimOptions(**chosen), rtl=rtl)  # type: ignore[arg-type]


def test_cosim_refusals_of_a_set_as_output(sums: Path) -> None:
    with pytest.raises(ValueError, match="out must not be in a vector set"):
        cosim(sums, "row_sum", CosimOptions(out=sums))


def command(*words: object) -> int:
    return call("golden", "cosim", *words)


def test_cosim_refusals_cli_prints_seed_simulator_and_result(
    sums: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_device(tmp_path, None)
    words = ("--unit", "row_sum", "--rtl", path, "--top", "my_sum", "--sim", FAST, "--seed", 7)
    assert command(sums, *words, "--stall", 0, "--junit", tmp_path / "cosim.xml") == 0
    out = capsys.readouterr().out.splitlines()
    assert "erilog" in out[0] or "Verilator" in out[0]
    assert out[1] == "seed 7, stalls of 0 %, stuck after 10000 idle cycles"
    assert out[-1] == "agrees"
    assert ElementTree.parse(tmp_path / "cosim.xml").getroot().tag == "testsuites"


def test_cosim_refusals_cli_needs_a_set_or_the_regression(sums: Path) -> None:
    with pytest.raises(ValueError, match="must be given a vector set and --unit"):
        command(sums)
    with pytest.raises(ValueError, match="--out must be left out with --regression"):
        command("--regression", "--out", "exp2")
