"""Parts of a run of `cosim`, what is printed of them, and how a run ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from cosim_devices import ROW_SUM, write_device
from test_golden_helpers import SMALL

from bitlog2.golden import emit
from bitlog2.golden.cosim import CosimOptions, CosimResult, Rtl, cosim, simulator_named
from bitlog2.golden.cosim.job import profiles_of
from bitlog2.golden.simulation import ToolError, icarus_found
from bitlog2.scripts import cli

LONG = pytest.mark.long
FAST = "icarus" if icarus_found() else "verilator"
needs_icarus = pytest.mark.skipif(not icarus_found(), reason="Icarus Verilog is not found")
MEMORY = ROW_SUM.replace(
    "  logic [31:0] rows;",
    '  logic [31:0] rows;\n  logic [7:0] rom[0:1];\n  initial $readmemh("my_rom.hex", rom);',
).replace("m_axis_tdata <= sum + s_axis_tdata;", "m_axis_tdata <= sum + s_axis_tdata + rom[1];")
Played = Callable[..., CosimResult]


@pytest.fixture(scope="module")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of the row sum, its rows one key to six."""
    out = tmp_path_factory.mktemp("cosim") / "sums"
    emit(out, SMALL, head_dim=2, units=["row_sum"], sources=("random",), random_cases=12)
    return out


@pytest.fixture(scope="module")
def played(sums: Path, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Simulate the row sum with a defect."""
    devices = tmp_path_factory.mktemp("devices")

    def simulated(defect: str | None = None, **options: object) -> CosimResult:
        chosen = {"simulator": FAST, "idle": 200, **options}
        device = Rtl([write_device(devices, defect)], "my_sum")
        return cosim(sums, "row_sum", CosimOptions(**chosen), rtl=device)  # type: ignore[arg-type]

    return simulated


def lines_of(result: CosimResult, command: str = "") -> list[str]:
    return [line.strip() for line in result.lines(command)]


def test_cosim_parts_one_bug_is_told_once(played: Played) -> None:
    lines = lines_of(played("wrong", profiles=["none", "both"]), "bitlog2 golden cosim set")
    assert sum(line.startswith("row_sum.expected case 0 s") for line in lines) == 1
    assert "expected s (row_sum): 12 of 12 values differ, in 12 cases: each 1 too high" in lines
    assert "12 cases of random: N and the octaves of e drawn" in lines
    assert "case 0, random: N and the octaves of e drawn" in lines
    assert "beat 0: last 1, e 64" in lines
    assert lines[-2].endswith("DIFFERS in what differs with none too, in nothing else")
    command = "bitlog2 golden cosim set --unit row_sum --profile none --case 0 --waves row_sum.vcd"
    assert f"alone: {command}" in lines


def test_cosim_parts_a_broken_handshake_comes_before_values(played: Played) -> None:
    lines = lines_of(played("unstable", profiles=["sink"]))
    broken = next(i for i, line in enumerate(lines) if "the payload changed" in line)
    assert broken < next(i for i, line in enumerate(lines) if "words compared" in line)


def test_cosim_parts_a_case_alone_keeps_its_number(played: Played) -> None:
    result = played("wrong", cases=[7, 5], profiles=["none"])
    comparison = result.units[0].profiles[0].comparison
    assert comparison is not None
    assert list(comparison.parted) == [7, 5]
    assert result.units[0].cases == comparison.counts[0].words == 2


def test_cosim_parts_a_stuck_device_is_stuck_in_the_first_row_that_has_not_ended(
    played: Played,
) -> None:
    text = "\n".join(lines_of(played("hang", profiles=["none"])))
    assert ", in case 3: m_axis gave 3 of 12 beats, s_axis has " in text
    assert " beats waiting, the first of case 3 beat 0" in text


def test_cosim_parts_stop_first_ends_the_simulation(played: Played) -> None:
    (run,) = played("wrong", stop_first=True).units[0].profiles
    assert run.comparison is not None
    assert run.comparison.counts[0].compared == 1
    assert "stopped at " in run.lines()[0]


def test_cosim_parts_log_has_a_line_a_transfer(played: Played, sums: Path, tmp_path: Path) -> None:
    played(profiles=["none"], cases=[2, 0], log=tmp_path / "log")
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[0] == "0 ns reset 0: row_sum, run none"
    assert [line.split(" ", 2)[2].split(":")[0] for line in lines if "m_axis" in line] == [
        "m_axis case 2 beat 0",
        "m_axis case 0 beat 0",
    ]
    assert "65 ns s_axis case 2 beat 0: e 64, tlast 0" in lines
    keys = (sums / "row_sum.stimulus.mem").read_text().split()
    assert sum(" s_axis " in line for line in lines) == 6 <= len(keys)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cases": [12]}, "case of row_sum must be from 0 to 11, got 12"),
        ({"cases": []}, "cases must be at least one, of one unit"),
        ({"profiles": ["sinks"]}, "profiles must be of none, source, .* got sinks"),
        (
            {"profiles": ["sink"], "stall": 0},
            "profiles must be of none, reset for this device and stalls of 0 %",
        ),
    ],
    ids=range(4),
)
def test_cosim_parts_that_are_not_there_are_refused(
    played: Played, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        played(**options)


@LONG
def test_cosim_parts_state_begins_at_random_with_verilator(played: Played) -> None:
    result = played("unreset", simulator="verilator")
    wrong = [each.name for each in result.units[0].profiles if not each.ok]
    assert wrong == ["none", "reset"]


def test_cosim_parts_rows_between_resets_are_drawn_from_the_seed() -> None:
    first, again, other = (profiles_of(30, ["reset"], range(100), seed)[0] for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("simulator", [FAST, pytest.param("verilator", marks=LONG)])
def test_cosim_parts_memory_files_are_sought_where_it_is_started(
    sums: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulator: str
) -> None:
    (tmp_path / "rtl").mkdir()
    (tmp_path / "rtl" / "my_sum.sv").write_text(MEMORY)
    monkeypatch.chdir(tmp_path)

    def run() -> CosimResult:
        chosen = {"simulator": simulator, "builds": "builds", "profiles": ["none"]}
        return cosim(sums, "row_sum", CosimOptions(**chosen), rtl=Rtl(["rtl/my_sum.sv"], "my_sum"))  # type: ignore[arg-type]

    failures = run().units[0].profiles[0].failures
    assert len(failures) == 1
    assert "my_rom.hex" in failures[0]
    (tmp_path / "my_rom.hex").write_text("00\n00\n")
    assert run().ok
    assert sorted(path.name for path in tmp_path.iterdir()) == ["builds", "my_rom.hex", "rtl"]


@needs_icarus
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_cosim_parts_a_simulator_ends_with_its_command(
    sums: Path, tmp_path: Path, number: int
) -> None:
    rtl = write_device(tmp_path, "spin")
    words = ["golden", "cosim", sums, "--unit", "row_sum", "--rtl", rtl, "--top", "my_sum"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "bitlog2.scripts.cli", *map(str, words), "--sim", "icarus"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        assert waited(lambda: bool(simulators(tmp_path)), 120)
        process.send_signal(number)
    assert waited(lambda: not simulators(tmp_path), 20)
    if number != signal.SIGKILL:
        assert not list(tmp_path.glob("bitlog2-cosim-*"))


def simulators(folder: Path) -> list[str]:
    """Return the processes of vvp that run what is under that folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if words.startswith("vvp") and str(folder) in words:
            found.append(words)
    return found


def waited(what: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not (done := what()) and time.monotonic() < end:
        time.sleep(0.1)
    return done


def test_cosim_parts_an_old_cocotb_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cocotb").mkdir()
    (tmp_path / "cocotb" / "__init__.py").write_text('__version__ = "1.9.2"\n')
    for name in [name for name in sys.modules if name.split(".")[0] == "cocotb"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ToolError, match=r"^cocotb must be 2 or later, found 1\.9\.2 in /.*$"):
        simulator_named(FAST)


def test_cosim_parts_verilator_is_built_with_the_python_that_runs() -> None:
    assert f"PYTHON3={sys.executable}" in simulator_named("verilator").environment["MAKEFLAGS"]


def test_cosim_parts_spaces_in_builds_are_refused_or_work(played: Played, tmp_path: Path) -> None:
    place = tmp_path / "my builds"
    with pytest.raises(ValueError, match=r"builds, or TMPDIR .* Verilator, got .*my builds"):
        played(simulator="verilator", builds=place)
    if icarus_found():
        assert played(simulator="icarus", builds=place, profiles=["none"]).ok


def test_cosim_parts_the_log_of_a_failed_build_is_kept(played: Played) -> None:
    with pytest.raises(ToolError, match="; all of it: ") as raised:
        played("syntax")
    log = Path(str(raised.value).rsplit("all of it: ", 1)[1])
    assert "my_sum_syntax.sv" in log.read_text()
    log.unlink()


def test_cosim_parts_a_junit_file_of_an_earlier_run_does_not_stay(
    sums: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "cosim.xml"
    report.write_text("<testsuites/>")
    rtl = write_device(tmp_path, "syntax")
    words = ["--unit", "row_sum", "--rtl", rtl, "--top", "my_sum", "--sim", FAST, "--junit", report]
    assert cli.main(["golden", "cosim", str(sums), *map(str, words)]) == 2
    error = ElementTree.parse(report).find("testsuite/testcase/error")
    assert error is not None
    assert "my_sum does not compile" in error.get("message", "")
    assert "my_sum does not compile" in capsys.readouterr().err
