"""Cycles of a row: what the headers state, read and held by simulation, and what is refused."""

import re
from fractions import Fraction
from pathlib import Path

import pytest
from support.defects import planted
from support.quick import quick_where
from support.rtl import RTL, needs_icarus, rtl_files, write_package

from bitlog2.golden.assurance.cost.cycles import cycles_of_row, stated_cycles
from bitlog2.golden.simulation import elaborate, run_tool
from bitlog2.sim import AttentionConfig

BENCH = Path(__file__).parent / "rtl" / "row_cycles_tb.sv"
ROWS = ("softmax_row", "attention_row")
#: Lanes, keys, channels: each part of a formula is the largest somewhere.
RUNS = ((4, 3, 1), (4, 61, 1), (1, 29, 1), (1, 1, 8), (3, 20, 1), (16, 64, 1), (5, 105, 1))
HEADER = "// A row.\n//\n{}// Handshake: none.\nmodule row (\n"


def simulated(files: list[Path], module: str, lanes: int, keys: int, folder: Path) -> Fraction:
    """Return the cycles of a row, as Icarus Verilog runs the module without a pause."""
    words = ["iverilog", "-g2012", "-s", "row_cycles_tb", "-o", "bench"]
    words += [f"-Prow_cycles_tb.LANES={lanes}", f"-Prow_cycles_tb.KEYS={keys}"]
    words += ["-DATTENTION"] if module == "attention_row" else []
    run_tool([*words, *files, BENCH], folder, timeout=120)
    printed = run_tool(["vvp", "-n", "bench"], folder, timeout=120)
    found = re.search(r"(\d+) rows in (\d+) cycles", printed)
    assert found, printed
    return Fraction(int(found[2]), int(found[1]))


def stated(files: list[Path], module: str, family: str, lanes: int, keys: int) -> Fraction:
    """Return the cycles of a row, as the header of the module in these files states them."""
    source = next(path for path in files if path.stem == module).read_text(encoding="utf-8")
    values = elaborate(module, files, parameters={"LANES": str(lanes)}).values
    formula = stated_cycles(source, module, family)
    return cycles_of_row(formula, values, keys=keys, lanes=lanes)


@needs_icarus
@pytest.mark.parametrize("module", quick_where(lambda module: module == "attention_row", ROWS))
@pytest.mark.parametrize("scheme", ["BitLog2_Half_17", "RowMax_16"])
def test_cycles_of_the_header_are_those_of_the_simulation(module: str, scheme: str, tmp_path: Path):
    config = AttentionConfig(scheme=scheme, max_tokens=128)
    for lanes, keys, head_dim in RUNS:
        files = [write_package(tmp_path, config, head_dim), *rtl_files()]
        found = simulated(files, module, lanes, keys, tmp_path)
        assert found == stated(files, module, config.code.family, lanes, keys), (lanes, keys)


@needs_icarus
def test_cycles_that_a_header_states_wrongly_are_noticed(tmp_path: Path):
    package = write_package(tmp_path, AttentionConfig(max_tokens=64), 1)
    source = (RTL / "softmax_row.sv").read_text(encoding="utf-8")
    formula = stated_cycles(source, "softmax_row", "quotient")
    edit = (f"// Cycles: quotient {formula};", f"// Cycles: quotient {formula} + 1;")
    (tmp_path / "rtl").mkdir()
    files = [package, *planted(tmp_path / "rtl", "softmax_row", edit)]
    found = simulated(files, "softmax_row", 4, 61, tmp_path)
    assert found + 1 == stated(files, "softmax_row", "quotient", 4, 61)


@pytest.mark.parametrize(
    ("text", "formulas"),
    [
        ("// Cycles: 3 * B\n", {"quotient": "3 * B", "row_max": "3 * B"}),
        ("// Cycles: quotient 3 * B; row_max 2 * B\n", {"quotient": "3 * B", "row_max": "2 * B"}),
        ("// Cycles: quotient max(B,\n//   DEPTH)\n", {"quotient": "max(B, DEPTH)"}),
    ],
)
def test_cycles_are_read_by_family(text: str, formulas: dict[str, str]):
    for family, formula in formulas.items():
        assert stated_cycles(HEADER.format(text), "row", family) == formula


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "header of row must state its Cycles once, got 0 times"),
        ("// Cycles: B\n// Cycles: B\n", "must state its Cycles once, got 2 times"),
        ("// Cycles: row_max 2 * B\n", "must have a formula of quotient, got 'row_max 2 "),
    ],
)
def test_cycles_of_a_header_without_them_are_refused(text: str, message: str):
    with pytest.raises(ValueError, match=message):
        stated_cycles(HEADER.format(text) + "// Cycles: 1\n", "row", "quotient")


@pytest.mark.parametrize(
    ("formula", "cycles"),
    [
        ("3 * B", 150),
        ("max(2 * B + DEPTH, N)", 197),
        ("(3 * B + DEPTH) / 2", Fraction(157, 2)),
        ("ceil((3 * B + DEPTH) / 2) - min(1, LANES)", 78),
    ],
)
def test_cycles_of_a_formula(formula: str, cycles: Fraction):
    assert cycles_of_row(formula, {"DEPTH": 7}, keys=197, lanes=4) == cycles


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("3 B", r"Cycles must be made of integers, names, \+ - \* / and max, min, ceil, got '3 B'"),
        ("B ** 2", r"Cycles must be made of .*, got 'B \*\* 2'"),
        ("B // 2", "Cycles must be made of .*, got 'B // 2'"),
        ("open('x')", "Cycles must be made of .*, got"),
        ("B.real", "Cycles must be made of .*, got 'B.real'"),
        ("1.5 * B", "Cycles must be made of .*, got '1.5'"),
        ("B / 0", "Cycles must be made of .*, got 'B / 0'"),
        ("max()", "Cycles must be made of .*, got"),
        ("B + DEEP", "Cycles must have names of the module, got DEEP"),
        ("B - N", "Cycles must be above 0, got 'B - N' = -147"),
    ],
)
def test_cycles_of_another_formula_are_refused(formula: str, message: str):
    with pytest.raises(ValueError, match=message):
        cycles_of_row(formula, {}, keys=197, lanes=4)
