"""Planted defects of the RTL: testbenches and co-simulation find each, and checks stop at one."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from support.defects import (
    DEFECTS,
    FORGOTTEN,
    Defect,
    Forgotten,
    defect_named,
    forgotten_by,
    planted,
)
from support.proofs import refuted_by_units
from support.quick import quick_where
from support.rtl import (
    BIND,
    FAST,
    HALF_17,
    MODULES,
    ROW_MAX_16,
    RTL,
    Workshop,
    needs_icarus,
    rtl_files,
    verdict,
    with_row_max,
)
from support.shared import made_once
from test_golden_helpers import SMALL

from bitlog2.golden import emit
from bitlog2.golden.cosim import DEVICES, CosimOptions, CosimResult, Rtl, cosim
from bitlog2.golden.simulation.tools import finished, verilator_command, verilator_environment
from bitlog2.golden.testbench.files import UNOPTIMIZED
from bitlog2.sim import AttentionConfig

LONG = pytest.mark.long
#: Small, and with every width, table and level of the default configuration.
CONFIG = AttentionConfig(max_tokens=24, max_head_dim=8)
#: Of a device that is right as long as its outputs are always taken at once.
SHOWN_BY_STALLS = ("row_sum: waits for tready",)
#: One of each kind: arithmetic, framing, a hang.
SHORT = ("exp2: shift off by one", "attention_row: hang")
#: Of a counter, of a divider.
SHORT_RESETS = (("row_max", f"row_max-bit 0-index-{HALF_17}"),)


def resets(found: Sequence[tuple[Forgotten, str]]) -> list[object]:
    """Resets that are forgotten, and the module that is run; most in the long tests alone."""
    return [
        pytest.param(
            each, top, id=f"{top}-{each}",
            marks=[] if (top, str(each)) in SHORT_RESETS else [LONG],
        )
        for each, top in found
    ]  # fmt: skip


def small_set(factory: pytest.TempPathFactory, scheme: str) -> Path:
    """A small set of every unit, with its testbenches."""
    config = with_row_max(CONFIG) if scheme == ROW_MAX_16 else CONFIG

    def make(out: Path) -> None:
        emit(out, config, head_dim=3, sources=("corners",), testbench=True)

    return made_once(factory, f"defects_set_{scheme}", make)


def default_set(factory: pytest.TempPathFactory, scheme: str) -> Path:
    """The default configuration of a scheme, with few lanes of v."""
    make = lambda out: emit(out, AttentionConfig(scheme), head_dim=2, testbench=True)  # noqa: E731
    return made_once(factory, f"default_set_{scheme}", make)


@pytest.fixture(scope="session")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_set(tmp_path_factory, HALF_17)


@pytest.fixture(scope="session")
def default(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return default_set(tmp_path_factory, HALF_17)


# The catalogue.


def test_defects_cover_every_module_and_device_and_differ() -> None:
    elsewhere = set(refuted_by_units().values())
    assert {defect.module for defect in DEFECTS} | elsewhere == set(MODULES)
    assert {defect.top for defect in DEFECTS} | elsewhere == set(DEVICES)
    assert len({str(defect) for defect in DEFECTS}) == len(DEFECTS)
    kinds = ("shift off by one", "truncation", "wrong table entry", "missing saturation",
             "swapped nibble", "lost last beat", "hang")  # fmt: skip
    for kind in kinds:
        assert any(kind in defect.what for defect in DEFECTS), kind


@pytest.mark.parametrize("defect", DEFECTS, ids=str)
def test_defects_are_one_text_of_their_module(defect: Defect) -> None:
    assert (RTL / f"{defect.module}.sv").read_text(encoding="utf-8").count(defect.old) == 1


# By testbenches.


def built_fast(defect: Defect) -> bool:
    """Whether it is the first of a device or, where a build takes a second, of a module."""
    firsts = {each.top: each for each in reversed(DEFECTS)}
    if FAST == "icarus":
        firsts |= {each.module: each for each in reversed(DEFECTS)}
    return defect in firsts.values()


def assert_fails(run: tuple[int, list[str]]) -> list[str]:
    status, lines = run
    assert status != 0
    assert verdict(lines).startswith("FAIL")
    return lines


@pytest.mark.parametrize("simulator", [FAST, pytest.param("verilator", marks=LONG)])
@pytest.mark.parametrize("defect", quick_where(built_fast, DEFECTS, list(map(str, DEFECTS))))
def test_defects_are_caught_by_a_testbench(
    defect: Defect,
    simulator: str,
    workshop: Workshop,
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
) -> None:
    default = default_set(tmp_path_factory, defect.scheme)
    run = workshop.build(simulator, default, defect.top, rtl=defect.planted(tmp_path))
    assert_fails(run(default, "+stop"))


def test_defects_are_shown_with_case_field_and_time(
    default: Path, workshop: Workshop, tmp_path: Path
) -> None:
    rtl = defect_named("exp2: shift off by one").planted(tmp_path)
    lines = assert_fails(workshop.build(FAST, default, "exp2", rtl=rtl)(default))
    shown = [line for line in lines if line.startswith("  exp2.expected case ")]
    assert len(shown) == 10
    assert shown[0] == "  exp2.expected case 0 e: expected 0x10000, actual 0x08000, time 1"


def test_defects_stop_a_testbench_at_the_first_difference(
    default: Path, workshop: Workshop, tmp_path: Path
) -> None:
    rtl = defect_named("exp2: wrong table entry").planted(tmp_path)
    lines = assert_fails(workshop.build(FAST, default, "exp2", rtl=rtl)(default, "+stop"))
    assert len([line for line in lines if line.startswith("  exp2.expected case ")]) == 1
    differ = "1 of 2560 words differ, in 1 of 2560 cases"
    assert verdict(lines) == f"FAIL exp2: {differ}; 2553 words not compared"


#: A device around `row_sum`: what it does to the output stream.
WRAPPER = """\
module odd_row_sum (
    input clk, input rst_n, input s_axis_tvalid, output s_axis_tready,
    input [bitlog2_pkg::E_WIDTH-1:0] s_axis_tdata, input s_axis_tlast,
    output m_axis_tvalid, input m_axis_tready, output [bitlog2_pkg::S_WIDTH-1:0] m_axis_tdata
);
  wire valid;
  wire [bitlog2_pkg::S_WIDTH-1:0] data;
  reg [31:0] cycle, row;
  wire ready;
  row_sum inner (.clk(clk), .rst_n(rst_n), .s_axis_tvalid(s_axis_tvalid),
      .s_axis_tready(s_axis_tready), .s_axis_tdata(s_axis_tdata), .s_axis_tlast(s_axis_tlast),
      .m_axis_tvalid(valid), .m_axis_tready(ready), .m_axis_tdata(data));
  always @(posedge clk) begin
    cycle <= rst_n ? cycle + 1 : 0;
    row <= rst_n ? row + (valid && ready) : 0;
  end
  assign {m_axis_tvalid, ready, m_axis_tdata} = %s;
endmodule
"""
ODD = {
    "empty": ("{1'b0, 1'b1, data}", "no transfer for"),
    "short": ("{valid && row < 5, m_axis_tready || row >= 5, data}", "no transfer for"),
    "long": ("{valid || row == ROWS, m_axis_tready, data}", "a word too many"),
    "unsteady": ("{valid, m_axis_tready, data ^ cycle[3:0]}", "changed before it was taken"),
    "impatient": ("{valid && !cycle[1], m_axis_tready && !cycle[1], data}", "changed before"),
}


@pytest.mark.parametrize("what", ODD)
def test_defects_of_an_output_stream_fail(
    what: str, bench_set: Path, workshop: Workshop, tmp_path: Path
) -> None:
    output, message = ODD[what]
    rows = (bench_set / "row_sum.expected.mem").read_bytes().count(b"\n")
    device = tmp_path / "odd_row_sum.sv"
    device.write_text(WRAPPER % output.replace("ROWS", str(rows)))
    rtl = [*rtl_files(), device]
    run = workshop.build(FAST, bench_set, "odd_row_sum", module="row_sum", rtl=rtl)
    lines = assert_fails(run(bench_set, "+idle=200"))
    assert any(message in line for line in lines), lines


@pytest.mark.parametrize(("forgotten", "top"), resets(forgotten_by("testbench")))
def test_defects_of_a_reset_are_found_by_a_testbench(
    forgotten: Forgotten,
    top: str,
    bench_of: Callable[[str], Path],
    workshop: Workshop,
    tmp_path: Path,
) -> None:
    """Most rows of the small set are a beat: more resets break one off than would by themselves."""
    vectors = bench_of(forgotten.scheme)
    run = workshop.build(FAST, vectors, top, rtl=forgotten.planted(tmp_path))
    assert run(vectors, "+resets=0")[0] == 0
    lines = assert_fails(run(vectors, "+resets=256"))
    assert " differ after reset " in verdict(lines)
    assert lines[0].startswith("  after reset ")


@LONG
def test_defects_of_a_start_are_found_as_registers_begin_with_random_bits_in_verilator(
    bench_set: Path, workshop: Workshop, tmp_path: Path
) -> None:
    """A device that relies on a start with 0: the first row of all is wrong."""
    rtl = planted(tmp_path, "code_memory", ("low_flags <= '0;", ""), ("place <= '0;", ""))
    run = workshop.build("verilator", bench_set, "code_memory", rtl=rtl)
    lines = assert_fails(run(bench_set, "+verilator+rand+reset+2", "+verilator+seed+1"))
    assert "code_register.memory case 0 " in lines[0]


_READY = "assign s_axis_tready = !m_axis_tvalid || m_axis_tready"
_VALID = "m_axis_tvalid <= fire && s_axis_tlast"
_TAPS = "{held_row_max, held_row_sum, finished[HEAD_DIM*ACC_WIDTH-1:0]}"
#: A device, what in it is replaced by what, plusargs, and what the testbench prints of it.
STOPPED = {
    "port: wide output": (
        "row_sum", "[S_WIDTH-1:0] m_axis_tdata", "[S_WIDTH:0] m_axis_tdata",
        "11 bits, must have 10",
    ),
    "port: narrow input": (
        "row_sum", "[E_WIDTH-1:0] s_axis_tdata", "[E_WIDTH-2:0] s_axis_tdata",
        "6 bits, must have 7",
    ),
    "port: wide port": (
        "exp2", "[E_WIDTH-1:0] e", "[E_WIDTH+2:0] e",
        "port e of the device has 10 bits, must have 7",
    ),
    "port: lanes": (
        "softmax_row", "LANES = 4", "LANES = 8",
        "m_axis_tkeep of the device has 8 bits, must have 4",
    ),
    "port: wide tap": (
        "attention_row", "[         ROW_TAP_WIDTH-1:0]", "[ROW_TAP_WIDTH:0]", "port tap_rows_tdata"
    ),
    "x: ready": ("row_sum", _READY, "assign s_axis_tready = 1'bx", " is unknown, time "),
    "x: valid": ("row_sum", _VALID, "m_axis_tvalid <= 1'bx", " is unknown, time "),
    "x: open valid": ("row_sum", _VALID, "m_axis_tvalid <= 1'bz", " is unknown, time "),
    "inverted": (
        "attention_row", _TAPS, f"~{_TAPS}",
        "FAIL attention_row: 489 of 2705 words differ, in 489 of 489 cases",
    ),
    "x: bits": ("exp2", "assign e = mask ? '0 :", "assign e = 1'b1 ? 'x :", "actual 0xXx"),
}  # fmt: skip


@pytest.mark.parametrize(
    "what",
    [pytest.param(name, marks=needs_icarus if name.startswith("x: ") else ()) for name in STOPPED],
)
def test_defects_of_ports_and_handshakes_are_named(
    what: str, bench_set: Path, workshop: Workshop, tmp_path: Path
) -> None:
    """A port of another width fails before the run, a handshake that is not known ends it."""
    module, old, new, message = STOPPED[what]
    rtl = planted(tmp_path, module, (old, new))
    lines = assert_fails(workshop.build(FAST, bench_set, module, rtl=rtl)(bench_set))
    assert any(message in line for line in lines), lines
    if what.startswith("port: "):
        assert verdict(lines).startswith(f"FAIL {module}: 0 words compared, ")


def test_defects_words_without_end_end_as_a_hang(
    bench_set: Path, workshop: Workshop, tmp_path: Path
) -> None:
    deaf = (_READY, "assign s_axis_tready = 1'b0")
    rtl = planted(tmp_path, "row_sum", (_VALID, "m_axis_tvalid <= 1'b1"), deaf)
    assert_fails(workshop.build(FAST, bench_set, "row_sum", rtl=rtl)(bench_set, "+idle=200"))


@pytest.mark.parametrize("simulator", ["verilator", FAST])
@pytest.mark.parametrize("damage", ["missing", "short", "empty"])
def test_defects_of_vectors_that_are_not_whole_fail(
    simulator: str, damage: str, bench_set: Path, workshop: Workshop, tmp_path: Path
) -> None:
    at = Path(shutil.copytree(bench_set, tmp_path / "set"))
    words = at / "exp2.expected.mem"
    if damage == "missing":
        words.unlink()
    else:
        words.write_bytes(b"" if damage == "empty" else words.read_bytes()[:-4])
    lines = assert_fails(workshop.build(simulator, bench_set, "exp2")(at))
    assert "words of the vector files are missing" in verdict(lines)


def test_defects_chosen_by_number_run_one_after_another(
    bench_set: Path, workshop: Workshop, tmp_path: Path
) -> None:
    """A device whose input `mutsel` chooses a fault: 2 of them, and 0 and 3 choose none."""
    device = tmp_path / "mutant.sv"
    device.write_text(
        "module mutant (input mask, input [bitlog2_pkg::D_WIDTH-1:0] d, input [31:0] mutsel,\n"
        "    output [bitlog2_pkg::E_WIDTH-1:0] e);\n"
        "  wire [bitlog2_pkg::E_WIDTH-1:0] right;\n"
        "  exp2 inner (.mask(mask && mutsel != 1), .d(d), .e(right));\n"
        "  assign e = right ^ (mutsel == 2 && d == 5);\nendmodule\n"
    )
    rtl, macros = [RTL / "exp2.sv", device], ["MUTANTS"]
    run = workshop.build(FAST, bench_set, "mutant", module="exp2", rtl=rtl, macros=macros)
    status, lines = run(bench_set, "+mutant=0", "+mutants=4", "+stop")
    found = [line.split(",")[0] for line in lines if line.startswith("mutant")]
    verdicts = ["mutant 0: PASS", "mutant 1: FAIL", "mutant 2: FAIL", "mutant 3: PASS"]
    assert (status, found) == (0, verdicts)
    assert_fails(run(bench_set, "+mutant=2"))


# By checks that are bound to the device.


def run_bound(vectors: Path, top: str, files: list[Path], build: Path) -> str:
    """Run a testbench of a set by its Makefile with the checks bound; return what it printed."""
    variables = {
        "SIM": "verilator",
        "UNIT": top,
        "TAPS": 1,
        "RTL": " ".join(map(str, [*files, *sorted(BIND.glob("*.sv"))])),
        "BUILD": build,
        "VERILATOR": verilator_command(),
        "PYTHON3": sys.executable,
        "FLAGS": shlex.join(["--assert", *UNOPTIMIZED]),
    }
    words = ["make", "-C", vectors, *(f"{name}={value}" for name, value in variables.items())]
    status, printed = finished(words, environment=verilator_environment(), timeout=280)
    assert (status == 0) == ("FAIL" not in printed), printed
    return printed


@pytest.mark.long
@pytest.mark.requirement("BL2-ACC-02", "BL2-ROW-01", "BL2-SUM-02", "BL2-ACC-03", "BL2-WEIGHT-02")
@pytest.mark.parametrize(
    "scheme",
    [ROW_MAX_16, HALF_17, "BitLog2_Single_16", "BitLog2_Half_16", "BitLog2_Single_17"],
)
def test_defects_none_is_seen_by_the_checks_bound_to_the_reference(
    scheme: str, tmp_path: Path
) -> None:
    """The checks of a softmax row are bound to the one inside, too."""
    config = replace(CONFIG, scheme=scheme)
    emit(tmp_path / "set", config, head_dim=3, units=["attention_row"], testbench=True)
    printed = run_bound(tmp_path / "set", "attention_row", rtl_files(), tmp_path / "build")
    assert "PASS attention_row:" in printed


@pytest.mark.long
def test_defects_are_stopped_at_by_bound_checks(vectors: Path, tmp_path: Path) -> None:
    """A masked key with e > 0 ends the run before the testbench does."""
    files = defect_named("softmax_row: mask not kept").planted(tmp_path)
    printed = run_bound(vectors, "softmax_row", files, tmp_path / "build")
    assert "BL2-EXP2-04: e of a masked key must be 0" in printed
    assert "not built or not run to its end" in printed


# By co-simulation.


@pytest.mark.parametrize(
    ("defect", "simulator"),
    [(defect_named(name), FAST) for name in SHORT]
    + [pytest.param(defect, "verilator", marks=LONG) for defect in DEFECTS],
    ids=str,
)
def test_defects_are_found_by_cosim(
    defect: Defect, simulator: str, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    vectors = small_set(tmp_path_factory, defect.scheme)
    stall = 40 if str(defect) in SHOWN_BY_STALLS else 0
    options = CosimOptions(simulator=simulator, stall=stall, idle=500)
    result = cosim(vectors, defect.top, options, rtl=Rtl(defect.planted(tmp_path), defect.top))
    assert not result.ok
    assert not result.failures
    profiles = [each for unit in result.units for each in unit.profiles]
    assert any(
        each.failures or (each.comparison is not None and not each.comparison.ok)
        for each in profiles
    )


def flagged_set(factory: pytest.TempPathFactory, scheme: str) -> Path:
    """A set for a scheme with zero flags, or for RowMax_16, of rows of few beats."""
    row_max = scheme == ROW_MAX_16
    config = with_row_max(SMALL) if row_max else replace(SMALL, scheme="BitLog2_Single_17")
    others = ["weight_sum", "row_multiplier"] if row_max else ["row_sum"]
    units = ["score_accumulator", "row_max", *others, "code_register", "shift_add", "attention_row"]

    def make(out: Path) -> None:
        emit(out, config, head_dim=2, units=units, sources=("random",), random_cases=40)

    return made_once(factory, f"flagged_set_{scheme}", make)


def played(forgotten: Forgotten, top: str, vectors: Path, folder: Path) -> CosimResult:
    lanes = 2 if DEVICES[top].contract.wide else None
    options = CosimOptions(simulator="icarus", idle=500, lanes=lanes)
    return cosim(vectors, top, options, rtl=Rtl(forgotten.planted(folder)))


@needs_icarus
@pytest.mark.parametrize(("forgotten", "top"), resets(forgotten_by("cosim")))
def test_defects_of_a_reset_are_found_by_cosim(
    forgotten: Forgotten, top: str, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """The first reset sets the state: what follows another one shows that that does not."""
    vectors = flagged_set(tmp_path_factory, forgotten.scheme)
    result = played(forgotten, top, vectors, tmp_path)
    wrong = [each.name for each in result.units[0].profiles if not each.ok]
    assert wrong[-1:] == ["reset"], "\n".join(result.lines())
    assert not set(wrong) & {"source", "sink", "both"}
    assert ", after reset " in "\n".join(result.lines())


@LONG
@needs_icarus
@pytest.mark.parametrize("forgotten", [each for each in FORGOTTEN if each.why], ids=str)
def test_defects_of_a_reset_that_mean_nothing_are_none(
    forgotten: Forgotten, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    vectors = flagged_set(tmp_path_factory, forgotten.scheme)
    result = played(forgotten, forgotten.module, vectors, tmp_path)
    assert result.ok, "\n".join(result.lines())


def test_defects_of_a_reset_are_named_for_every_register() -> None:
    """What reset sets in the RTL is found where it is forgotten, or means nothing and says why."""
    blocks = re.compile(r"if \(!rst_n\) (?:begin\n(.*?)\n +end|(\w+ <= .*?;))", re.DOTALL)
    registers = {
        (module, register)
        for module in MODULES
        for whole, one in blocks.findall((RTL / f"{module}.sv").read_text(encoding="utf-8"))
        for register in re.findall(r"(\w+) <= ", whole or one)
    }
    named = {(each.module, each.register.rpartition(".")[2]) for each in FORGOTTEN}
    assert named == registers
    assert all(bool(each.why) != bool(each.found_by) for each in FORGOTTEN)
