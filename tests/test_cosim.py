"""`cosim`: the reference RTL agrees; a device that is wrong in any way does not, and is shown."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from itertools import combinations, product
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.devices import PIPELINED, ROW_SUM, write_device
from support.quick import quick_where
from support.rtl import BUILT, FAST, HALF_17, ROW_MAX_16, needs_icarus, with_row_max
from support.shared import made_once
from test_golden_helpers import SMALL, contents, renew_sums

from bitlog2.golden import UNITS, emit, verify
from bitlog2.golden.cosim import (
    CHOICES,
    CONFIGURATIONS,
    DEVICES,
    PROFILES,
    CosimOptions,
    CosimResult,
    Rtl,
    UnitRun,
    cosim,
    devices_within,
    regression,
    run_point,
    simulator_named,
    units_of,
)
from bitlog2.golden.cosim.job import profiles_of
from bitlog2.golden.junit import render
from bitlog2.golden.simulation import ToolError, icarus_found
from bitlog2.golden.testbench import reference_files
from bitlog2.scripts import cli
from bitlog2.sim import AttentionConfig

Played = Callable[..., CosimResult]
Reference = Callable[..., UnitRun]
LONG = pytest.mark.long


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of every unit, some random cases each."""

    def make(out: Path) -> None:
        emit(out, SMALL, head_dim=2, sources=("random",), random_cases=20)

    return made_once(tmp_path_factory, "cosim_set", make)


@pytest.fixture(scope="session")
def folders(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same set, and one of RowMax_16, by the scheme."""

    def make(out: Path) -> None:
        emit(out, with_row_max(SMALL), head_dim=2, sources=("random",), random_cases=20)

    return {HALF_17: folder, ROW_MAX_16: made_once(tmp_path_factory, "cosim_row_max_set", make)}


@pytest.fixture(scope="session")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of the row sum, its rows one key to six."""

    def make(out: Path) -> None:
        emit(out, SMALL, head_dim=2, units=["row_sum"], sources=("random",), random_cases=12)

    return made_once(tmp_path_factory, "cosim_sums", make)


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled devices, shared by the processes of a test run."""
    return made_once(tmp_path_factory, "cosim_builds", lambda out: None)


@pytest.fixture(scope="session")
def reference(folders: dict[str, Path], builds: Path) -> Reference:
    """Simulate a unit of the reference RTL; each only once."""

    @cache
    def simulated(name: str, scheme: str = HALF_17) -> UnitRun:
        options = CosimOptions(simulator=FAST, builds=builds, stop_first=True)
        return cosim(folders[scheme], name, options).units[0]

    return simulated


@pytest.fixture(scope="session")
def played(sums: Path, builds: Path, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Simulate the row sum with a defect, stuck after few cycles; the same call only once."""
    devices = made_once(tmp_path_factory, "cosim_devices", lambda out: None)

    @cache
    def simulated(defect: str | None = None, **options: object) -> CosimResult:
        rtl = Rtl([write_device(devices, defect)], "my_sum")
        chosen = {"simulator": FAST, "idle": 200, "builds": builds, **options}
        return cosim(sums, "row_sum", CosimOptions(**chosen), rtl=rtl)  # type: ignore[arg-type]

    return simulated


@pytest.fixture(scope="session")
def own(
    played: Played, sums: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[CosimResult, Path]:
    """The right row sum, everything kept that can be, and the folder of it."""
    before, kept = contents(sums), tmp_path_factory.mktemp("kept")
    result = played(out=kept / "out", waves=kept / "waves")
    assert contents(sums) == before
    return result, kept


def wrong_profiles(result: CosimResult) -> tuple[str, ...]:
    return tuple(each.name for each in result.units[0].profiles if not each.ok)


def lines_of(result: CosimResult, command: str = "") -> list[str]:
    return [line.strip() for line in result.lines(command)]


def text_of(result: CosimResult) -> str:
    return "\n".join(result.lines())


# The reference agrees.


def test_cosim_covers_every_unit_of_the_vectors() -> None:
    assert set(UNITS) <= set(DEVICES)


@pytest.mark.parametrize(
    ("name", "scheme"),
    quick_where(lambda *run: run in {("attention_row", HALF_17), ("exp2", HALF_17)}, BUILT),
)
def test_cosim_reference_agrees_in_every_word_that_the_manifest_counts(
    reference: Reference, name: str, scheme: str
) -> None:
    run = reference(name, scheme)
    assert run.ok, "\n".join(run.lines())
    device = devices_within(AttentionConfig(scheme))[name]
    clocked = not device.contract.plain
    assert tuple(each.name for each in run.profiles) == (PROFILES if clocked else ("none",))
    streams = {each.name for each in device.unit.outputs}
    for profile in run.profiles:
        assert profile.comparison is not None
        counts = {each.name.split(".")[1]: each for each in profile.comparison.counts}
        assert set(counts) == streams
        assert all(each.compared == each.words > 0 for each in counts.values())


def test_cosim_stalls_take_cycles(reference: Reference) -> None:
    cycles = {each.name: each.cycles for each in reference("row_sum").profiles}
    assert cycles["none"] < min(cycles["source"], cycles["sink"])


def test_cosim_all_is_every_device_of_the_set(sums: Path, builds: Path) -> None:
    result = cosim(sums, "all", CosimOptions(simulator=FAST, stall=0, builds=builds))
    assert [each.unit for each in result.units] == ["row_sum"]
    assert result.ok, text_of(result)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "scheme"),
    [("row_max", HALF_17), *product(("attention_row",), (HALF_17, ROW_MAX_16))],
)
def test_cosim_reference_agrees_in_verilator(
    folders: dict[str, Path], builds: Path, name: str, scheme: str
) -> None:
    result = cosim(folders[scheme], name, CosimOptions(builds=builds))
    assert result.ok, text_of(result)
    assert result.simulator.startswith("Verilator 5")


@LONG
@pytest.mark.parametrize(("name", "scheme"), BUILT)
@pytest.mark.parametrize("lanes", [1, 3, 8])
def test_cosim_reference_agrees_at_other_seeds_and_lanes(
    folders: dict[str, Path], builds: Path, name: str, scheme: str, lanes: int
) -> None:
    wide = DEVICES[name].contract.wide
    if not wide and lanes > 1:
        pytest.skip("has no lanes")
    options = CosimOptions(builds=builds, seed=lanes, stall=60, lanes=lanes if wide else None)
    result = cosim(folders[scheme], name, options)
    assert result.ok, text_of(result)


def test_cosim_plays_a_plain_unit_with_a_clock_as_a_stream(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "my_exp2.sv"
    path.write_text(PIPELINED)
    rtl = [path, *(each for each in reference_files() if each.stem == "exp2")]
    result = cosim(folder, "exp2", CosimOptions(simulator=FAST), rtl=Rtl(rtl, "my_exp2"))
    assert result.ok, text_of(result)
    assert tuple(each.name for each in result.units[0].profiles) == PROFILES


# A device that is wrong.


@pytest.mark.parametrize(
    ("defect", "message", "profiles"),
    [
        pytest.param(
            "silent", "0 of 12 words compared, 0 differ, 12 missing", PROFILES, marks=LONG
        ),
        ("short", "5 of 12 words compared, 0 differ, 7 missing", PROFILES),
        pytest.param("too_many", "too many", PROFILES, marks=LONG),
        pytest.param("endless", "too many", PROFILES, marks=LONG),
        ("hang", "no transfer for 200 cycles at ", PROFILES),
        ("wrong", "row_sum.expected case 0 s (row_sum): expected", PROFILES),
        pytest.param(
            "unframed", "row_sum.expected case 1 s (row_sum): expected", PROFILES, marks=LONG
        ),
        (
            "unstable",
            "m_axis: the payload changed before tready at ",
            ("sink", "both", "reset"),
        ),
        pytest.param(
            "withdrawn",
            "m_axis: tvalid fell before tready at ",
            ("sink", "both", "reset"),
            marks=LONG,
        ),
    ],
)
def test_cosim_finds_a_device_that_is_wrong(
    played: Played, defect: str, message: str, profiles: tuple[str, ...]
) -> None:
    result = played(defect)
    assert result.status == 1
    assert message in text_of(result)
    assert wrong_profiles(result) == profiles


@LONG
def test_cosim_finds_a_device_that_reads_what_is_not_valid(played: Played) -> None:
    assert "source" in wrong_profiles(played("no_valid"))


@pytest.mark.parametrize(
    ("defect", "options", "message"),
    [
        pytest.param("unknown", {"simulator": "icarus"}, "(unknown)", marks=needs_icarus),
        pytest.param("error", {}, "row taken", marks=LONG),
        pytest.param(
            "spin",
            {"simulator": "icarus", "limit": 3.0},
            "the simulator was ended after 3 s",
            marks=needs_icarus,
        ),
    ],
)
def test_cosim_unknown_bits_errors_and_a_simulator_that_never_ends_are_failures(
    played: Played, defect: str, options: dict[str, object], message: str
) -> None:
    result = played(defect, stall=0, **options)
    assert result.status == 1
    assert message in text_of(result)


@LONG
def test_cosim_state_begins_at_random_with_verilator(played: Played) -> None:
    assert wrong_profiles(played("unreset", simulator="verilator")) == ("none", "reset")


def test_cosim_does_not_compile_bad_rtl_and_keeps_the_log(played: Played) -> None:
    message = r"^my_sum does not compile with [^\n]*my_sum_syntax\.sv.*; all of it: "
    with pytest.raises(ToolError, match=message) as raised:
        played("syntax")
    log = Path(str(raised.value).rsplit("all of it: ", 1)[1])
    assert "my_sum_syntax.sv" in log.read_text()
    log.unlink()


def test_cosim_does_not_accept_an_edited_expected_file(sums: Path, tmp_path: Path) -> None:
    edited = Path(shutil.copytree(sums, tmp_path / "edited"))
    path = edited / "row_sum.expected.mem"
    path.write_bytes(b"001\n" + path.read_bytes()[4:])
    renew_sums(edited)
    result = cosim(edited, "row_sum", CosimOptions(simulator=FAST))
    assert result.status == 1
    assert result.units == ()
    assert "row_sum.expected.mem is not what the stimulus gives" in text_of(result)
    root = ElementTree.fromstring(render("cosim", result.suites()))
    assert root.find("testsuite/testcase/failure") is not None


# What is printed and kept.


def test_cosim_one_bug_is_shown_once(played: Played) -> None:
    lines = lines_of(played("wrong", profiles=("none", "both")), "bitlog2 golden cosim set")
    assert sum(line.startswith("row_sum.expected case 0 s") for line in lines) == 1
    assert "expected s (row_sum): 12 of 12 values differ, in 12 cases: each 1 too high" in lines
    assert "12 cases of random: N and the octaves of e drawn" in lines
    assert "case 0, random: N and the octaves of e drawn" in lines
    assert "beat 0: last 1, e 64" in lines
    assert lines[-2].endswith("DIFFERS in what differs with none too, in nothing else")
    command = "bitlog2 golden cosim set --unit row_sum --profile none --case 0 --waves row_sum.vcd"
    assert f"alone: {command}" in lines


def test_cosim_a_broken_handshake_comes_before_values(played: Played) -> None:
    lines = lines_of(played("unstable"))
    broken = next(i for i, line in enumerate(lines) if "the payload changed" in line)
    compared = [i for i, line in enumerate(lines) if "words compared" in line]
    assert broken < compared[2]  # the first two runs agree


def test_cosim_says_when_a_word_was_wrong(played: Played) -> None:
    found = played("wrong").units[0].profiles[0].comparison
    assert found is not None
    times = [int(str(each).rsplit(" at ", 1)[1].removesuffix(" ns")) for each in found.mismatches]
    assert times == sorted(times)
    assert len(set(times)) == len(times) == 10


def test_cosim_a_case_alone_keeps_its_number(played: Played) -> None:
    result = played("wrong", cases=(7, 5), profiles=("none",))
    comparison = result.units[0].profiles[0].comparison
    assert comparison is not None
    assert list(comparison.parted) == [7, 5]
    assert result.units[0].cases == comparison.counts[0].words == 2


def test_cosim_a_stuck_device_is_stuck_in_the_first_row_that_has_not_ended(played: Played) -> None:
    text = text_of(played("hang"))
    assert ", in case 3: m_axis gave 3 of 12 beats, s_axis has " in text
    assert " beats waiting, the first of case 3 beat 0" in text


def test_cosim_stop_first_ends_the_simulation(played: Played) -> None:
    (run,) = played("wrong", stop_first=True).units[0].profiles
    assert run.comparison is not None
    assert run.comparison.counts[0].compared == 1
    assert "stopped at " in run.lines()[0]


def test_cosim_log_has_a_line_a_transfer(played: Played, sums: Path, tmp_path: Path) -> None:
    played(profiles=("none",), cases=(2, 0), log=tmp_path / "log")
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[0] == "0 ns reset 0: row_sum, run none"
    assert [line.split(" ", 2)[2].split(":")[0] for line in lines if "m_axis" in line] == [
        "m_axis case 2 beat 0",
        "m_axis case 0 beat 0",
    ]
    assert "65 ns s_axis case 2 beat 0: e 64, tlast 0" in lines
    keys = (sums / "row_sum.stimulus.mem").read_text().split()
    assert sum(" s_axis " in line for line in lines) == 6 <= len(keys)


def test_cosim_own_device_agrees_and_its_outputs_and_waves_are_kept(
    own: tuple[CosimResult, Path], sums: Path
) -> None:
    result, kept = own
    assert result.ok, text_of(result)
    assert result.status == 0
    assert result.lines()[-1] == "agrees"
    for profile in PROFILES[:-1]:
        path = kept / "out" / profile / "row_sum.expected.mem"
        assert verify(sums, {"row_sum": path}).ok
    text = (kept / "waves" / "row_sum.vcd").read_text()
    assert "$enddefinitions" in text
    assert "m_axis_tdata" in text


@LONG
def test_cosim_writes_waves_with_verilator(played: Played, tmp_path: Path) -> None:
    played(simulator="verilator", stall=0, waves=tmp_path / "my.vcd")
    assert "m_axis_tdata" in (tmp_path / "my.vcd").read_text()


@LONG
def test_cosim_writes_waves_as_fst(played: Played, tmp_path: Path) -> None:
    played(stall=0, waves=tmp_path / "my.fst")
    content = (tmp_path / "my.fst").read_bytes()
    assert content[0] in (0, 254)  # the header's block, or all of it compressed
    assert len(content) > 329  # the bytes of the header


def test_cosim_junit_names_units_profiles_times_and_failures(played: Played) -> None:
    result = played("unstable")
    suite = ElementTree.fromstring(render("cosim", result.suites())).find("testsuite")
    assert suite is not None
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("row_sum", "5", "3")
    failed = {case.get("name"): case.find("failure") is not None for case in suite.iter("testcase")}
    assert failed == {f"stalls_{each}": each in wrong_profiles(result) for each in PROFILES}
    times = {case.get("name"): case.get("time") for case in suite.iter("testcase")}
    runs = result.units[0].profiles
    assert times == {f"stalls_{each.name}": f"{each.seconds:.3f}" for each in runs}
    assert all(each.seconds > 0 for each in runs)


def command(*words: object) -> int:
    return cli.main(["golden", "cosim", *map(str, words)])


def test_cosim_prints_seed_simulator_and_result(
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


def test_cosim_a_junit_file_of_an_earlier_run_does_not_stay(
    sums: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "cosim.xml"
    report.write_text("<testsuites/>")
    rtl = write_device(tmp_path, "syntax")
    words = ["--unit", "row_sum", "--rtl", rtl, "--top", "my_sum", "--sim", FAST, "--junit", report]
    assert command(sums, *words) == 2
    error = ElementTree.parse(report).find("testsuite/testcase/error")
    assert error is not None
    assert "my_sum does not compile" in error.get("message", "")
    assert "my_sum does not compile" in capsys.readouterr().err


# How it is run, and how it ends.


MEMORY = ROW_SUM.replace(
    "  logic [31:0] rows;",
    '  logic [31:0] rows;\n  logic [7:0] rom[0:1];\n  initial $readmemh("my_rom.hex", rom);',
).replace("m_axis_tdata <= sum + s_axis_tdata;", "m_axis_tdata <= sum + s_axis_tdata + rom[1];")


@pytest.mark.parametrize("simulator", [FAST, pytest.param("verilator", marks=LONG)])
def test_cosim_memory_files_are_sought_where_it_is_started(
    sums: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulator: str
) -> None:
    (tmp_path / "rtl").mkdir()
    (tmp_path / "rtl" / "my_sum.sv").write_text(MEMORY)
    monkeypatch.chdir(tmp_path)
    options = CosimOptions(simulator=simulator, builds="builds", profiles=["none"])
    rtl = Rtl(["rtl/my_sum.sv"], "my_sum")
    (failure,) = cosim(sums, "row_sum", options, rtl=rtl).units[0].profiles[0].failures
    assert "my_rom.hex" in failure
    (tmp_path / "my_rom.hex").write_text("00\n00\n")
    assert cosim(sums, "row_sum", options, rtl=rtl).ok
    assert sorted(path.name for path in tmp_path.iterdir()) == ["builds", "my_rom.hex", "rtl"]


SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGKILL)


@needs_icarus
@pytest.mark.parametrize("number", quick_where(lambda each: each == signal.SIGKILL, SIGNALS))
def test_cosim_a_simulator_ends_with_its_command(sums: Path, tmp_path: Path, number: int) -> None:
    if signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip("ignored here, and what is started inherits it: nohup")
    rtl = write_device(tmp_path, "spin")
    words = ["golden", "cosim", sums, "--unit", "row_sum", "--rtl", rtl, "--top", "my_sum"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    started = [sys.executable, "-m", "bitlog2.scripts.cli", *map(str, words), "--sim", "icarus"]
    with subprocess.Popen(started, env=environment, stderr=subprocess.DEVNULL) as process:
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


def test_cosim_an_old_cocotb_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cocotb").mkdir()
    (tmp_path / "cocotb" / "__init__.py").write_text('__version__ = "1.9.2"\n')
    for name in [name for name in sys.modules if name.split(".")[0] == "cocotb"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ToolError, match=r"^cocotb must be 2 or later, found 1\.9\.2 in /.*$"):
        simulator_named(FAST)


def test_cosim_verilator_is_built_with_the_python_that_runs() -> None:
    assert f"PYTHON3={sys.executable}" in simulator_named("verilator").environment["MAKEFLAGS"]


def test_cosim_spaces_in_builds_are_refused_or_work(played: Played, tmp_path: Path) -> None:
    place = tmp_path / "my builds"
    with pytest.raises(ValueError, match=r"builds, or TMPDIR .* Verilator, got .*my builds"):
        played(simulator="verilator", builds=place)
    if icarus_found():
        assert played(simulator="icarus", builds=place, profiles=("none",)).ok


def test_cosim_rows_between_resets_are_drawn_from_the_seed() -> None:
    first, again, other = (profiles_of(30, ["reset"], range(100), seed)[0] for seed in (1, 1, 2))
    assert first == again != other


# Refusals.


PORTS_OF = r"^my_sum, held to row_sum, must have "
REFUSED: tuple[tuple[dict[str, object], str], ...] = (
    ({"unit": "softmax"}, "unit must be one of score_accumulator, "),
    ({"unit": "exp2"}, "unit exp2 takes the vectors of exp2, the set has those of row_sum"),
    ({"simulator": "questa"}, "simulator must be one of verilator, icarus, got 'questa'"),
    ({"seed": -1}, "seed must be from 0 to "),
    ({"stall": 91}, "stall must be from 0 to 90, got 91"),
    ({"idle": 9}, "idle must be from 10 to "),
    ({"lanes": 0}, "lanes must be from 1 to 64, got 0"),
    ({"lanes": 2}, "lanes must be left out for unit row_sum, which has none, got 2"),
    ({"limit": 0}, "limit must be above 0 seconds, got 0"),
    ({"unit": "all", "rtl": None}, "unit must be a single one with rtl"),
    ({"waves": __file__}, "waves must be a folder, got the file"),
    ({"waves": "w.wlf"}, r"waves must be a file in \.vcd or \.fst, or a folder, got .*w\.wlf"),
    ({"out": __file__}, "out must be a folder, got the file"),
    ({"out": "SET"}, "out must not be in a vector set"),
    ({"cases": [12], "rtl": None}, "case of row_sum must be from 0 to 11, got 12"),
    ({"cases": []}, "cases must be at least one, of one unit"),
    ({"profiles": ["sinks"], "rtl": None}, "profiles must be of none, source, .* got sinks"),
    (
        {"profiles": ["sink"], "stall": 0, "rtl": None},
        "profiles must be of none, reset for this device and stalls of 0 %",
    ),
    (
        {"rtl": "no_last"},
        PORTS_OF + r"s_axis_tlast \(input, 1 bit\); must have a tie for other \(input, 1 bit\)$",
    ),
    (
        {"rtl": "narrow"},
        PORTS_OF + r"m_axis_tdata \(output, 9 bits\) \(s 9\) and not m_axis_tdata "
        r"\(output, 8 bits\)$",
    ),
)


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=str)
def test_cosim_refuses(
    sums: Path, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    chosen = {key: sums if value == "SET" else value for key, value in options.items()}
    unit, rtl = chosen.pop("unit", "row_sum"), None
    if "rtl" in chosen:
        rtl = Rtl([write_device(tmp_path, chosen.pop("rtl"))], "my_sum")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        cosim(sums, unit, CosimOptions(**chosen), rtl=rtl)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("SET", "must be given a vector set and --unit"),
        ("--regression --out exp2", "--out must be left out with --regression"),
        (
            "set --unit exp2 --no-back-pressure",
            "--no-back-pressure must be left out without --rtl and -f",
        ),
        ("set --unit exp2 --top my", "--top must be left out without --rtl and -f"),
        ("set --unit exp2 --rtl my.sv --param P", "--param must be NAME=VALUE, got 'P'"),
        (
            "set --unit exp2 --rtl my.sv --tie e=1 --tie e=0",
            "--tie must give e once, got 1 and 0",
        ),
        (
            "set --unit exp2 --rtl my.sv --reset r:up",
            "--reset must be PORT, PORT:high or PORT:low, got",
        ),
    ],
)
def test_cosim_command_refuses(
    sums: Path, words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*(sums if word == "SET" else word for word in words.split())) == 2
    assert message in capsys.readouterr().err


# The regression: all pairs of choices occur, and each configuration agrees.


def test_cosim_regression_covers_all_pairs_of_choices_and_every_device() -> None:
    for (one, values), (other, others) in combinations(CHOICES.items(), 2):
        found = {(getattr(each, one), getattr(each, other)) for each in CONFIGURATIONS}
        assert found >= set(product(values, others)), (one, other)
    assert len(set(CONFIGURATIONS)) == len(CONFIGURATIONS) >= 16
    assert any(each.max_tokens == 1 for each in CONFIGURATIONS)
    assert any(each.max_tokens % each.lanes for each in CONFIGURATIONS)
    units = {name for number in range(len(CONFIGURATIONS)) for name in units_of(number)}
    assert units == set(DEVICES)


def agrees(number: int, units: tuple[str, ...], simulator: str) -> None:
    results = list(run_point(CONFIGURATIONS[number], units, CosimOptions(simulator=simulator)))
    assert len(results) == len(units)
    for result in results:
        assert result.ok, text_of(result)


@pytest.mark.parametrize(
    ("number", "unit"),
    quick_where(
        lambda _, unit: unit == "row_max",
        [(4, "row_max"), *product((4, 9, 27), ("attention_row",))],
    ),
)
def test_cosim_regression_agrees(number: int, unit: str) -> None:
    agrees(number, (unit,), FAST)


@LONG
@pytest.mark.parametrize("number", range(len(CONFIGURATIONS)))
def test_cosim_regression_agrees_in_verilator(number: int) -> None:
    agrees(number, units_of(number), "verilator")


@LONG
@needs_icarus
@pytest.mark.parametrize("number", [0, 3, 11, 17, 24])
def test_cosim_regression_agrees_in_icarus(number: int) -> None:
    agrees(number, units_of(number), "icarus")


def test_cosim_regression_plays_a_device_of_the_user_and_finds_it_wrong(tmp_path: Path) -> None:
    text = next(each for each in reference_files() if each.stem == "exp2").read_text()
    path = tmp_path / "my.sv"
    path.write_text(text.replace("shifted[E_WIDTH:1] +", "shifted[E_WIDTH:1] -"))
    options, rtl = CosimOptions(simulator=FAST), Rtl([path])
    (result,) = run_point(CONFIGURATIONS[4], ["exp2"], options, rtl=rtl)
    assert result.status == 1
    assert "words compared" in text_of(result)


NARROW = "module my_exp2 (input mask, input [7:0] d, output [7:0] e);\nassign e = 0;\nendmodule\n"


@pytest.mark.parametrize(
    ("unit", "file", "text", "message"),
    [
        ("exp2", "my.sv", NARROW, r"^configuration 0, BitLog2_Single_16 F=3 .*my_exp2, held"),
        ("exp2", "bitlog2_pkg.sv", "", r"rtl must leave bitlog2_pkg\.sv to the sets"),
        (None, "my.sv", NARROW, "unit must be given with rtl"),
    ],
)
def test_cosim_regression_refuses(
    tmp_path: Path, unit: str | None, file: str, text: str, message: str
) -> None:
    path = tmp_path / file
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        regression(unit, CosimOptions(simulator=FAST), rtl=Rtl([path], "my_exp2"))
