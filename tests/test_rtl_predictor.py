"""The DPI-C predictor in an environment: it passes the reference and finds a planted defect."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from support.c_model import SOURCE
from support.defects import defect_named, planted
from support.rtl import RTL, lint_slang, write_package

import bitlog2.golden
from bitlog2.golden.simulation.tools import finished, verilator_command, verilator_environment
from bitlog2.golden.testbench.files import UNOPTIMIZED
from bitlog2.sim import AttentionConfig

EXAMPLE = Path(bitlog2.golden.__file__).parent / "dpi_example"
#: Rows of up to 21 keys, not a multiple of the lanes, and few channels: a short build.
CONFIG = AttentionConfig(max_tokens=21)
ROW_MAX = AttentionConfig("RowMax_16", max_tokens=21)


def run_example(
    folder: Path, rtl: Path, rows: int, seed: int = 1, **others: object
) -> tuple[int, str]:
    """Build and run the example with its own Makefile; return the status and what it printed."""
    write_package(folder, CONFIG, 3)
    variables = {
        "SET": folder,
        "RTL": rtl,
        "BUILD": folder / "build",
        "ROWS": rows,
        "SEED": seed,
        "VERILATOR": shlex.join([verilator_command(), *UNOPTIMIZED]),
        "PYTHON3": sys.executable,
        "CFLAGS": "",
        **others,
    }
    words = ["make", "-C", EXAMPLE, *(f"{name}={value}" for name, value in variables.items())]
    return finished(words, environment=verilator_environment(), timeout=280)


HALF = "assign half = (OUT_PRODUCT_WIDTH'(1) << n2) >> 1;"
#: The codes are cut off where `+fault` is given.
CUT = f"""\
bit fault;
  initial fault = $test$plusargs("fault") != 0;
  {HALF.replace("= ", "= fault ? '0 : ")}"""


@pytest.mark.long
@pytest.mark.requirement("BL2-ACC-02", "BL2-ROW-01", "BL2-SUM-02")
def test_rtl_predictor_agrees_with_the_reference_and_finds_a_planted_defect(tmp_path: Path):
    """No bound check fires: these requirements and the others of bind/ are watched in every row."""
    rtl = tmp_path / "rtl"
    rtl.mkdir()
    planted(rtl, "output_requantizer_pipe", (HALF, CUT))
    status, printed = run_example(tmp_path, rtl, rows=300)
    assert status == 0, printed
    assert "PASS 300 rows" in printed
    program = tmp_path / "build" / "Vrow_tb"
    assert "PASS 300 rows" in finished([program, "+rows=300", "+verilator+seed+2"])[1]
    status, printed = finished([program, "+rows=50", "+verilator+seed+1", "+fault"])
    assert status != 0
    assert re.search(r"row \d+: output_requantizer: o, number \d: expected 0x", printed)
    assert re.search(r"FAIL \d+ of 50 rows differ", printed)


def test_rtl_predictor_runs_no_program_of_an_earlier_build(tmp_path: Path):
    """Two compilers in Verilator's place: the second one fails."""
    makes = tmp_path / "makes.sh"
    makes.write_text(
        'while [ "$1" != --Mdir ]; do shift; done\n'
        'printf "#!/bin/sh\\necho PASS\\n" > $2/Vrow_tb; chmod +x $2/Vrow_tb\n'
    )
    status, printed = run_example(tmp_path, RTL, rows=1, VERILATOR=f"sh {makes}")
    assert (status, "PASS" in printed.splitlines()) == (0, True)
    status, printed = run_example(tmp_path, RTL, rows=1, VERILATOR="false")
    assert (status, "PASS" in printed.splitlines()) == (2, False)
    assert not (tmp_path / "build" / "Vrow_tb").exists()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("RTL", "/none", "RTL=/none: no .sv file there"),
        ("RTL", "", "RTL=: no .sv file there"),
        ("SET", "/none", "SET=/none: no bitlog2_pkg.sv there"),
        ("ROWS", "0", "ROWS must be a number from 1, got 0"),
        ("ROWS", "", "ROWS must be a number from 1, got "),
        ("SEED", "x", "SEED must be a number from 1, got x"),
    ],
)
def test_rtl_predictor_refuses_what_it_cannot_run(
    variable: str, value: str, message: str, tmp_path: Path
):
    status, printed = run_example(tmp_path, RTL, rows=1, **{variable: value})
    assert status == 2
    assert message in printed


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("attention_row: hang", "FAIL 0 of 50 rows came out"),
        ("exp2: wrong table entry", "exp2: e, number"),
        ("softmax_row: mask not kept", "BL2-EXP2-04"),
    ],
    ids=str,
)
def test_rtl_predictor_finds_other_defects(name: str, text: str, tmp_path: Path):
    rtl = tmp_path / "rtl"
    rtl.mkdir()
    defect_named(name).planted(rtl)
    status, printed = run_example(tmp_path, rtl, rows=50)
    assert status != 0
    assert text in printed


@pytest.mark.long
def test_rtl_predictor_refuses_a_port_that_is_too_wide(tmp_path: Path):
    rtl = Path(shutil.copytree(RTL, tmp_path / "rtl"))
    device = rtl / "attention_row.sv"
    port = "[      HEAD_DIM*O_WIDTH-1:0] m_axis_tdata"
    assert port in device.read_text()
    device.write_text(device.read_text().replace(port, "[HEAD_DIM*O_WIDTH:0] m_axis_tdata"))
    status, printed = run_example(tmp_path, rtl, rows=1)
    assert status != 0
    assert "port m_axis_tdata of the device has 13 bits, must have 12" in printed


def environment_files(folder: Path, config: AttentionConfig = CONFIG) -> list[Path]:
    names = ("row_dims_pkg.sv", "row_if.sv")
    package = write_package(folder, config, 3)
    return [package, SOURCE / "bitlog2_dpi.sv", *(EXAMPLE / name for name in names)]


def test_rtl_predictor_environment_is_clean_under_slang(tmp_path: Path):
    rest = [EXAMPLE / "row_env_pkg.sv", EXAMPLE / "row_tb.sv", *sorted(RTL.glob("*.sv"))]
    options = (f"-I{EXAMPLE}", "--timescale", "1ns/1ps")
    assert lint_slang([*environment_files(tmp_path), *rest], *options) == ""


def test_rtl_predictor_of_row_max_is_clean_under_slang(tmp_path: Path):
    """The classes, with the registers that its taps have."""
    top = tmp_path / "top.sv"
    top.write_text("module top;\n  row_if pins (1'b0);\n  row_env_pkg::row_env env;\nendmodule\n")
    files = [*environment_files(tmp_path, ROW_MAX), EXAMPLE / "row_env_pkg.sv", top]
    options = (f"-I{EXAMPLE}", "--timescale", "1ns/1ps")
    assert lint_slang(files, *options, "-DROW_MAX") == ""
    files[0].write_text(files[0].read_text().replace("M2_ROW_WIDTH", "M2_ROW_BITS"))
    assert "M2_ROW_WIDTH" in lint_slang(files, *options, "-DROW_MAX")


def lint_component(
    folder: Path, old: str = "", new: str = "", config: AttentionConfig = CONFIG
) -> str:
    """What slang says of the UVM component against a stub, `old` in it replaced by `new`."""
    text = "package uvm_env_pkg;\n"
    text += "import uvm_pkg::*, bitlog2_pkg::*, bitlog2_dpi::*, row_dims_pkg::*;\n"
    for name in ("row_item", "result_item", "uvm_row_predictor"):
        body = (EXAMPLE / f"{name}.svh").read_text(encoding="utf-8")
        base = f"class {name} extends uvm_sequence_item;\n`uvm_object_utils({name})\n"
        text += body.replace(f"class {name};\n", base)
    assert old in text
    text = f"{text}endpackage\nmodule top;\nendmodule\n"
    (folder / "uvm_env_pkg.sv").write_text(text.replace(old, new) if old else text)
    stub = Path(__file__).parent / "rtl" / "uvm_stub.sv"
    files = [stub, *environment_files(folder, config), folder / "uvm_env_pkg.sv"]
    family = ("-DROW_MAX",) if config.code.row_max else ()
    return lint_slang(files, "--single-unit", *family)


def test_rtl_predictor_as_a_uvm_component_compiles_against_the_names_of_the_uvm(tmp_path: Path):
    """No UVM is to be had here: a stub has the names, so that a slip of the pen is seen."""
    assert lint_component(tmp_path) == ""
    assert lint_component(tmp_path, config=ROW_MAX) == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [("bl2_load", "bl2_lode"), ("t.score", "t.scores"), ("function void write", "function void w")],
)
def test_rtl_predictor_component_with_a_slip_is_reported(old: str, new: str, tmp_path: Path):
    assert lint_component(tmp_path, old, new) != ""


def test_rtl_predictor_component_makes_the_calls_of_the_class():
    """The plain class is run, the component is not: their calls of the model are the same text."""

    def calls(name: str) -> set[str]:
        text = (EXAMPLE / f"{name}.svh").read_text(encoding="utf-8")
        found = re.findall(r"bl2_\w+\(.*?\)(?=[);])", text, re.DOTALL)
        return {re.sub(r"\b(item|t)\.", "", re.sub(r"\s+", " ", call)) for call in found}

    assert len(calls("row_predictor")) == 7
    assert calls("uvm_row_predictor") == calls("row_predictor")
