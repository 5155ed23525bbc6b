"""Planted defects: co-simulation finds each of them, and bound checks stop a testbench at one."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.rtl import BIND, MODULES, RTL, rtl_files
from support.defects import DEFECTS, Defect, Forgotten, defect_named, forgotten_by
from test_golden_helpers import SMALL

from bitlog2.golden import emit
from bitlog2.golden.cosim import DEVICES, CosimOptions, Rtl, cosim
from bitlog2.golden.simulation.tools import icarus_found, verilator_command, verilator_environment
from bitlog2.sim import AttentionConfig

#: Small, and with every width, table and level of the default configuration.
CONFIG = AttentionConfig(max_tokens=24, max_head_dim=8)
HEAD_DIM = 3
#: Of a device that is right as long as its outputs are always taken at once.
SHOWN_BY_STALLS = ("row_sum: waits for tready",)
#: One of each kind: arithmetic, framing, a hang.
SHORT = ("exp2: shift off by one", "softmax_row: lost last beat", "attention_row: hang")


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set of every unit, with its testbenches."""
    folder = tmp_path_factory.mktemp("defects") / "set"
    emit(folder, CONFIG, head_dim=HEAD_DIM, sources=("corners",), testbench=True)
    return folder


def run_bench(vectors: Path, top: str, files: list[Path], build: Path, simulator: str) -> str:
    """Run one testbench of a set by its Makefile on these files; return what it printed."""
    variables = {
        "SIM": simulator,
        "UNIT": top,
        "TAPS": 1,
        "RTL": " ".join(map(str, files)),
        "BUILD": build,
        "VERILATOR": verilator_command(),
        "PYTHON3": sys.executable,
        "FLAGS": "--assert -CFLAGS -O0" if simulator == "verilator" else "",
    }
    done = subprocess.run(
        ["make", "-C", vectors, *(f"{name}={value}" for name, value in variables.items())],
        env=verilator_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert (done.returncode == 0) == ("FAIL" not in done.stdout), done.stdout + done.stderr
    return done.stdout


@pytest.mark.requirement("BL2-ACC-02", "BL2-ROW-01", "BL2-SUM-02")
@pytest.mark.parametrize(
    "scheme",
    [
        "BitLog2_Half_17",
        "BitLog2_Single_16",
        pytest.param("BitLog2_Half_16", marks=pytest.mark.long),
        pytest.param("BitLog2_Single_17", marks=pytest.mark.long),
    ],
)
def test_rtl_reference_passes_with_its_checks_bound(scheme: str, tmp_path: Path):
    """No check fires on a vector of the rows.

    The checks of a softmax row are bound to the one inside, too.
    """
    config = AttentionConfig(scheme=scheme, max_tokens=24, max_head_dim=8)
    emit(tmp_path / "set", config, head_dim=HEAD_DIM, units=["attention_row"], testbench=True)
    files = [*rtl_files(), *sorted(BIND.glob("*.sv"))]
    build = tmp_path / "build"
    printed = run_bench(tmp_path / "set", "attention_row", files, build, "verilator")
    assert "PASS attention_row:" in printed


def test_rtl_bound_checks_stop_a_testbench_at_a_defect(vectors: Path, tmp_path: Path):
    """The checks are seen to be bound: a masked key with e > 0 ends the run before the bench."""
    defect = defect_named("softmax_row: mask not kept")
    files = [*defect.planted(tmp_path), *sorted(BIND.glob("*.sv"))]
    printed = run_bench(vectors, "softmax_row", files, tmp_path / "build", "verilator")
    assert "BL2-EXP2-04: e of a masked key must be 0" in printed
    assert "not built or not run to its end" in printed


@pytest.mark.parametrize("defect", [defect for defect in DEFECTS if str(defect) in SHORT], ids=str)
def test_rtl_defect_is_found_by_cosim(defect: Defect, vectors: Path, tmp_path: Path):
    simulator = "icarus" if icarus_found() else "verilator"
    cosim_fails(defect, vectors, tmp_path, simulator)


@pytest.mark.long
@pytest.mark.parametrize("defect", DEFECTS, ids=str)
def test_rtl_defect_is_found_by_cosim_under_verilator(
    defect: Defect, vectors: Path, tmp_path: Path
):
    cosim_fails(defect, vectors, tmp_path, "verilator")


def cosim_fails(defect: Defect, vectors: Path, folder: Path, simulator: str) -> None:
    """Co-simulate a defect: it must run, and differ."""
    stall = 40 if str(defect) in SHOWN_BY_STALLS else 0
    options = CosimOptions(simulator=simulator, stall=stall, idle=500)
    rtl = Rtl(defect.planted(folder), defect.top)
    result = cosim(vectors, defect.top, options, rtl=rtl)
    assert not result.ok
    assert not result.failures
    profiles = [each for unit in result.units for each in unit.profiles]
    assert profiles
    assert any(
        each.failures or (each.comparison is not None and not each.comparison.ok)
        for each in profiles
    )


def test_rtl_defects_cover_every_module_and_device_and_differ():
    assert {defect.module for defect in DEFECTS} == set(MODULES)
    assert {defect.top for defect in DEFECTS} == set(DEVICES)
    assert len({str(defect) for defect in DEFECTS}) == len(DEFECTS)
    kinds = ("shift off by one", "truncation", "wrong table entry", "missing saturation",
             "swapped nibble", "lost last beat", "hang")  # fmt: skip
    for kind in kinds:
        assert any(kind in defect.what for defect in DEFECTS), kind


@pytest.mark.parametrize("defect", DEFECTS, ids=str)
def test_rtl_defect_is_one_text_of_its_module(defect: Defect):
    assert (RTL / f"{defect.module}.sv").read_text(encoding="utf-8").count(defect.old) == 1


@pytest.fixture(scope="module")
def flagged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of three units for a scheme with zero flags, and rows of few beats."""
    out = tmp_path_factory.mktemp("cosim") / "flagged"
    units = ["row_max", "code_register", "attention_row"]
    config = replace(SMALL, scheme="BitLog2_Single_17")
    emit(out, config, head_dim=2, units=units, sources=("random",), random_cases=40)
    return out


@pytest.mark.skipif(not icarus_found(), reason="Icarus Verilog is not found")
@pytest.mark.parametrize(
    ("forgotten", "top"),
    [
        pytest.param(each, top, id=f"{top}-{each}", marks=[] if n in (0, 4) else [pytest.mark.long])
        for n, (each, top) in enumerate(forgotten_by("cosim"))
    ],
)
def test_rtl_state_that_reset_forgets_is_found_by_cosim(
    forgotten: Forgotten, top: str, flagged: Path, tmp_path: Path
) -> None:
    """The state is 0 when the simulation begins: what follows a reset in a row shows it."""
    rtl = Rtl(forgotten.planted(tmp_path))
    lanes = 2 if top.endswith("_row") else None
    options = CosimOptions(simulator="icarus", idle=500, lanes=lanes)
    result = cosim(flagged, top, options, rtl=rtl)
    wrong = [each.name for each in result.units[0].profiles if not each.ok]
    assert wrong[-1:] == ["reset"], "\n".join(result.lines())
    assert not set(wrong) & {"source", "sink", "both"}
    assert ", after reset " in "\n".join(result.lines())
