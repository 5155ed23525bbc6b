"""Testbenches as part of a vector set: emitted, listed, verified, and run by its Makefile."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from test_golden_helpers import SMALL, hand_row
from testbench_runs import DEVICES, emit_set

from bitlog2.golden import emit, emit_from, emit_rows, verify
from bitlog2.golden.package.folder import SUMS_NAME, render_checksums, sha256
from bitlog2.golden.simulation import FileList, icarus_found, verilator_command
from bitlog2.golden.testbench import reference_files
from bitlog2.scripts.cli import main
from bitlog2.sim import AttentionConfig


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return emit_set(tmp_path_factory.mktemp("set") / "set")


@pytest.fixture
def folder(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "set"))


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def renew_sums(folder: Path) -> None:
    (folder / SUMS_NAME).write_bytes(
        render_checksums(
            {name: sha256(data) for name, data in contents(folder).items() if name != SUMS_NAME}
        )
    )


def make(folder: Path, *words: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Run the Makefile as a user does, who has none of our Python."""
    usual = {"PATH": os.environ["PATH"], **(environment or {})}
    done = subprocess.run(
        ["make", "-C", str(folder), *words],
        env=usual,
        text=True,
        capture_output=True,
        check=False,
        timeout=600,
    )
    return done.returncode, done.stdout + done.stderr


def make_lines(
    folder: Path, *words: str, environment: dict[str, str] | None = None
) -> tuple[int, list[str]]:
    status, printed = make(folder, *words, environment=environment)
    return status, [line for line in printed.splitlines() if not line.startswith("make")]


def broken_exp2(folder: Path) -> Path:
    """The reference exp2 with a shift off by one, in a file of its own."""
    text = next(path for path in reference_files() if path.name == "exp2.sv").read_text()
    path = folder / "broken.sv"
    path.write_text(text.replace(">> shift;", ">> shift >> 1;"))
    return path


def test_testbench_set_verifies(folder: Path) -> None:
    assert verify(folder).ok


def test_testbench_set_lists_every_file(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    listed = {entry["path"] for entry in manifest["files"]}
    assert listed == set(contents(folder)) - {"manifest.json", SUMS_NAME}
    assert {f"{module}_tb.sv" for module in DEVICES.values()} <= listed
    assert {f"rtl/{path.name}" for path in reference_files()} <= listed


def test_testbench_set_has_a_file_list_that_can_be_read(folder: Path) -> None:
    found = FileList()
    found.read(folder / "bitlog2.f", from_list=True)
    names = ["bitlog2_pkg.sv", *(f"rtl/{path.name}" for path in reference_files())]
    assert found.sources == [folder / name for name in names]


def test_testbench_set_has_a_core_whose_files_and_filesets_are_there(folder: Path) -> None:
    preamble, text = (folder / "bitlog2.core").read_text().split("\n", 1)
    core = yaml.safe_load(text)
    assert preamble == "CAPI=2:"
    for fileset in core["filesets"].values():
        for entry in fileset["files"]:
            ((name, options),) = entry.items() if isinstance(entry, dict) else [(entry, {})]
            assert (folder / name).is_file()
            assert options.get("copyto", name) == name
    used = {name for each in core["targets"].values() for name in each["filesets"]}
    assert used == set(core["filesets"])
    assert set(core["targets"]) == {"default", *DEVICES}
    memories = {path.name for path in folder.glob("*.mem")}
    assert memories <= {n for f in core["filesets"].values() for e in f["files"] for n in e}


def test_testbench_set_names_the_option_in_its_command(folder: Path) -> None:
    command = json.loads((folder / "manifest.json").read_bytes())["command"]
    assert command.endswith(" --testbench")


def test_testbench_set_without_the_option_has_the_other_files_alone(tmp_path: Path) -> None:
    for name, wanted in (("with", True), ("without", False)):
        emit(tmp_path / name, SMALL, units=["exp2"], sources=["corners"], testbench=wanted)
    plain, added = contents(tmp_path / "without"), contents(tmp_path / "with")
    assert [name for name in plain if plain[name] != added[name]] == ["manifest.json", SUMS_NAME]
    assert {name.split("/")[0] for name in set(added) - set(plain)} == {
        "Makefile",
        "bitlog2.core",
        "bitlog2.f",
        "bitlog2_tb.sv",
        "exp2_tb.sv",
        "rtl",
    }


def test_testbench_set_is_made_again_byte_for_byte(folder: Path, tmp_path: Path) -> None:
    emit_from(folder / "manifest.json", tmp_path / "again")
    assert contents(tmp_path / "again") == contents(folder)


def test_testbench_set_of_captured_rows_is_made_again(tmp_path: Path) -> None:
    emit_rows(tmp_path / "rows", AttentionConfig(), [hand_row()], testbench=True)
    emit_from(tmp_path / "rows" / "manifest.json", tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tmp_path / "rows")
    assert verify(tmp_path / "again").ok


@pytest.mark.parametrize("name", ["exp2_tb.sv", "Makefile", "rtl/exp2.sv"])
def test_testbench_set_with_an_edited_file_is_found(name: str, folder: Path) -> None:
    (folder / name).write_bytes((folder / name).read_bytes() + b"// edited\n")
    assert any(name in failure for failure in verify(folder).failures)
    renew_sums(folder)
    assert f"{name} is not what the stimulus gives" in verify(folder).failures


@pytest.mark.parametrize("name", ["exp2_tb.sv", "rtl/exp2.sv"])
def test_testbench_set_with_a_missing_file_is_found(name: str, folder: Path) -> None:
    (folder / name).unlink()
    renew_sums(folder)
    assert f"{name} is missing" in verify(folder).failures


@pytest.mark.parametrize("name", ["rtl/more.sv", "other/more.sv", "more_tb.sv"])
def test_testbench_set_with_a_strange_file_is_found(name: str, folder: Path) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("module more;\nendmodule\n")
    renew_sums(folder)
    assert any(name.split("/")[0] in failure for failure in verify(folder).failures)


@pytest.mark.parametrize("name", ["rtl/more.sv", "other/more.sv", "more_tb.sv"])
def test_testbench_set_with_a_strange_file_is_not_replaced(name: str, folder: Path) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("mine")
    with pytest.raises(ValueError, match="is no part of the vector set"):
        emit(folder, SMALL, units=["exp2"])
    assert (folder / name).read_text() == "mine"


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


def test_testbench_option_is_the_commands(tmp_path: Path) -> None:
    words = ["golden", "emit", "--unit", "exp2", "--source", "corners", "--testbench", "--out"]
    assert main([*words, str(tmp_path / "set")]) == 0
    assert (tmp_path / "set" / "exp2_tb.sv").is_file()


def test_testbench_option_beside_a_manifest_is_refused(folder: Path, tmp_path: Path) -> None:
    words = ["golden", "emit", "--from", str(folder / "manifest.json"), "--testbench", "--out"]
    assert main([*words, str(tmp_path / "again")]) == 2


def test_testbench_make_passes_on_the_reference_in_verilator(folder: Path) -> None:
    words = ["SIM=verilator", "UNIT=exp2", f"VERILATOR={verilator_command()}"]
    assert make_lines(folder, *words) == (0, ["PASS exp2: 1024 words compared, 1024 cases"])
    assert verify(folder).ok


def test_testbench_make_fails_on_a_broken_device_in_verilator(folder: Path, tmp_path: Path) -> None:
    words = ["SIM=verilator", "UNIT=exp2", f"VERILATOR={verilator_command()}"]
    status, lines = make_lines(folder, *words, f"RTL={broken_exp2(tmp_path)}")
    assert status == 2
    assert " of 1024 words differ, in " in lines[0]


def icarus(
    folder: Path, *words: str, environment: dict[str, str] | None = None
) -> tuple[int, list[str]]:
    if not icarus_found():
        pytest.skip("Icarus Verilog is not on PATH")
    return make_lines(folder, "SIM=icarus", "STALL=0", *words, environment=environment)


def test_testbench_make_passes_on_every_reference_in_icarus(folder: Path) -> None:
    status, lines = icarus(folder)
    assert status == 0
    assert [line.split()[0] for line in lines] == ["PASS"] * len(DEVICES)


def test_testbench_make_fails_on_a_broken_device_in_icarus(folder: Path, tmp_path: Path) -> None:
    device = broken_exp2(tmp_path)
    good = icarus(folder, "UNIT=exp2 row_sum")
    assert good[0] == 0
    status, lines = icarus(folder, "UNIT=exp2", f"RTL={device}")
    assert status == 2
    assert len([line for line in lines if line.startswith("  exp2.expected case ")]) == 10
    assert " of 1024 words differ, in " in lines[0]


def test_testbench_make_takes_a_device_of_another_name(folder: Path, tmp_path: Path) -> None:
    device = tmp_path / "mine.sv"
    device.write_text(broken_exp2(tmp_path).read_text().replace("module exp2", "module mine"))
    status, lines = icarus(folder, "UNIT=exp2", f"RTL={device}", "DUT=mine")
    assert status == 2
    assert "(device mine), log " in lines[0]


def test_testbench_make_fails_on_a_device_that_does_not_compile(
    folder: Path, tmp_path: Path
) -> None:
    device = tmp_path / "wrong.sv"
    device.write_text("module exp2 (")
    status, lines = icarus(folder, "UNIT=exp2", f"RTL={device}")
    assert status == 2
    assert lines[0].startswith("FAIL exp2: not built or not run to its end")


def test_testbench_make_refuses_a_file_that_is_not_there(folder: Path, tmp_path: Path) -> None:
    """Also where a device was built and passed before."""
    assert icarus(folder, "UNIT=exp2")[0] == 0
    status, printed = make(folder, "SIM=icarus", "UNIT=exp2", f"RTL={tmp_path}/none.sv")
    assert status == 2
    assert f"RTL={tmp_path}/none.sv: no such file in " in printed


@pytest.mark.parametrize("how", ["included", "listed", "older"])
def test_testbench_make_compiles_what_was_edited(how: str, folder: Path, tmp_path: Path) -> None:
    right = next(path for path in reference_files() if path.name == "exp2.sv").read_text()
    body, device = tmp_path / "body.sv", tmp_path / "device.sv"
    device.write_text('`include "body.sv"\n')
    (tmp_path / "list.f").write_text(f"{body}\n")
    rtl = {
        "included": f"+incdir+{tmp_path} {device}",
        "listed": f"-f {tmp_path}/list.f",
        "older": str(body),
    }[how]
    body.write_text(right)
    assert icarus(folder, "UNIT=exp2", f"RTL={rtl}")[0] == 0
    body.write_text(right.replace(">> shift;", ">> shift >> 1;"))
    os.utime(body, (1, 1))
    assert icarus(folder, "UNIT=exp2", f"RTL={rtl}")[0] == 2


def test_testbench_make_fails_where_another_simulator_does_not_run(folder: Path) -> None:
    assert icarus(folder, "UNIT=exp2")[0] == 0
    status, lines = icarus(folder, "UNIT=exp2", "IVERILOG=false")
    assert status == 2
    assert lines[0].startswith("FAIL exp2: not built")
    assert icarus(folder, "UNIT=exp2", "VVP=echo PASS exp2: ; false")[0] == 2


def test_testbench_make_keeps_two_devices_at_once_apart(folder: Path, tmp_path: Path) -> None:
    if not icarus_found():
        pytest.skip("Icarus Verilog is not on PATH")
    good = tmp_path / "good.sv"
    shutil.copy(folder / "rtl" / "exp2.sv", good)
    bad = broken_exp2(tmp_path)
    words = ["make", "-s", "-C", str(folder), "SIM=icarus", "UNIT=exp2"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    runs = [(path, subprocess.Popen([*words, f"RTL={path}"], **quiet)) for path in [good, bad] * 3]
    assert [run.wait(timeout=60) for _, run in runs] == [0, 2] * 3


@pytest.mark.parametrize("name", ["UNIT", "RTL", "DUT", "TAPS", "LANES", "SEED", "STALL", "BUILD"])
def test_testbench_make_refuses_an_empty_variable(name: str, folder: Path) -> None:
    status, printed = make(folder, f"{name}=")
    assert status == 2
    assert f"{name} is empty" in printed


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


def test_testbench_make_starts_registers_with_random_bits_of_the_seed(folder: Path) -> None:
    printed = make(folder, "-n", "UNIT=exp2", "SEED=7")[1]
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


def test_testbench_make_gives_the_lanes_to_a_device_that_has_the_parameter(folder: Path) -> None:
    status, lines = icarus(folder, "UNIT=softmax_row", "RTL=rtl/*.sv", "LANES=8")
    assert status == 0
    assert "LANES = 8" in lines[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["LANES=0"], "LANES must be at least 1, got 0"),
        (["SEED=-1"], "SEED must be a number, got -1"),
        (["TAPS=2"], "TAPS must be 0 or 1, got 2"),
        (["BENCHES="], "no testbench is chosen"),
        (["SIM=icarus verilator"], "SIM must be one of"),
        (["SIM=other"], "SIM must be one of verilator icarus questa vcs xcelium, got other"),
        (["UNIT=exp3"], "got exp3"),
    ],
)
def test_testbench_make_refuses_what_it_does_not_know(
    words: Sequence[str], message: str, folder: Path
) -> None:
    status, printed = make(folder, *words)
    assert status == 2
    assert message in printed


@pytest.mark.long
def test_testbench_make_passes_on_every_reference_in_verilator(folder: Path) -> None:
    status, lines = make_lines(folder, f"VERILATOR={verilator_command()}")
    assert status == 0
    assert [line.split()[0] for line in lines] == ["PASS"] * len(DEVICES)
