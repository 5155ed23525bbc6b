"""`cosim`: the reference RTL agrees, a device that is wrong in any way does not."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest
from cosim_devices import PIPELINED, write_device
from test_golden_helpers import SMALL, contents, renew_sums

from bitlog2.golden import UNITS, emit, verify
from bitlog2.golden.cosim import (
    DEVICES,
    PROFILES,
    CosimOptions,
    CosimResult,
    Rtl,
    UnitRun,
    cosim,
    render_junit,
)
from bitlog2.golden.simulation import ToolError, icarus_found
from bitlog2.golden.testbench import reference_files
from bitlog2.sim.files import write_whole

#: Compiles in a tenth of a second where it is found.
FAST = "icarus" if icarus_found() else "verilator"
STALLS = ("none", "source", "sink", "both")
Played = Callable[..., CosimResult]
LONG = pytest.mark.long
needs_icarus = pytest.mark.skipif(not icarus_found(), reason="Icarus Verilog is not found")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of every unit, some random cases each."""
    out = tmp_path_factory.mktemp("cosim") / "set"
    emit(out, SMALL, head_dim=2, sources=("random",), random_cases=20)
    return out


@pytest.fixture(scope="session")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of the row sum."""
    out = tmp_path_factory.mktemp("cosim") / "sums"
    emit(out, SMALL, head_dim=2, units=["row_sum"], sources=("random",), random_cases=12)
    return out


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled devices, shared by the processes of a test run."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cosim_builds"


@pytest.fixture(scope="session")
def reference(folder: Path, builds: Path) -> Callable[[str], UnitRun]:
    """Simulate a unit of the reference RTL; each only once."""

    @cache
    def simulated(name: str) -> UnitRun:
        return cosim(
            folder, name, CosimOptions(simulator=FAST, builds=builds, stop_first=True)
        ).units[0]

    return simulated


@pytest.fixture(scope="session")
def played(sums: Path, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Simulate the row sum with a defect, stuck after few cycles; the same call only once."""
    devices = tmp_path_factory.mktemp("devices")

    @cache
    def simulated(defect: str | None = None, **options: object) -> CosimResult:
        rtl = Rtl([write_device(devices, defect)], "my_sum")
        chosen = {"simulator": FAST, "idle": 200, **options}
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


def text_of(result: CosimResult) -> str:
    return "\n".join(result.lines())


def test_cosim_covers_every_unit_of_the_vectors() -> None:
    assert set(UNITS) <= set(DEVICES)


@pytest.mark.parametrize("name", DEVICES)
def test_cosim_reference_agrees(reference: Callable[[str], UnitRun], name: str) -> None:
    run = reference(name)
    assert run.ok, "\n".join(run.lines())
    clocked = not DEVICES[name].contract.plain
    assert tuple(each.name for each in run.profiles) == (PROFILES if clocked else ("none",))


@pytest.mark.parametrize("name", DEVICES)
def test_cosim_compares_every_word_that_the_manifest_counts(
    reference: Callable[[str], UnitRun], name: str
) -> None:
    run = reference(name)
    streams = {each.name for each in DEVICES[name].unit.outputs}
    for profile in run.profiles:
        assert profile.comparison is not None
        counts = {each.name.split(".")[1]: each for each in profile.comparison.counts}
        assert set(counts) == streams
        assert all(each.compared == each.words > 0 for each in counts.values())


def test_cosim_stalls_take_cycles(reference: Callable[[str], UnitRun]) -> None:
    cycles = {each.name: each.cycles for each in reference("attention_row").profiles}
    assert cycles["none"] < min(cycles["source"], cycles["sink"])


def test_cosim_all_is_every_device_of_the_set(sums: Path, builds: Path) -> None:
    result = cosim(sums, "all", CosimOptions(simulator=FAST, stall=0, builds=builds))
    assert [each.unit for each in result.units] == ["row_sum"]
    assert result.ok, text_of(result)


def test_cosim_reference_agrees_in_verilator(folder: Path, builds: Path) -> None:
    result = cosim(folder, "attention_row", CosimOptions(builds=builds))
    assert result.ok, text_of(result)
    assert result.simulator.startswith("Verilator 5")


@LONG
@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("lanes", [1, 3, 8])
def test_cosim_reference_agrees_at_other_seeds_and_lanes(
    folder: Path, builds: Path, name: str, lanes: int
) -> None:
    rows = name in ("softmax_row", "attention_row")
    if not rows and lanes > 1:
        pytest.skip("has no lanes")
    result = cosim(
        folder,
        name,
        CosimOptions(builds=builds, seed=lanes, stall=60, lanes=lanes if rows else None),
    )
    assert result.ok, text_of(result)


def test_cosim_own_device_agrees(own: tuple[CosimResult, Path]) -> None:
    result, _ = own
    assert result.ok, text_of(result)
    assert result.status == 0
    assert result.lines()[-1] == "agrees"


def test_cosim_plays_a_plain_unit_with_a_clock_as_a_stream(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "my_exp2.sv"
    path.write_text(PIPELINED)
    rtl = [path, *(each for each in reference_files() if each.stem == "exp2")]
    result = cosim(folder, "exp2", CosimOptions(simulator=FAST), rtl=Rtl(rtl, "my_exp2"))
    assert result.ok, text_of(result)
    assert tuple(each.name for each in result.units[0].profiles) == PROFILES


@pytest.mark.parametrize(
    ("defect", "message"),
    [
        pytest.param("silent", "0 of 12 words compared, 0 differ, 12 missing", marks=LONG),
        ("short", "5 of 12 words compared, 0 differ, 7 missing"),
        ("too_many", "too many"),
        pytest.param("endless", "too many", marks=LONG),
        ("hang", "s_axis has"),
        ("wrong", "row_sum.expected case 0 s (row_sum): expected"),
        pytest.param("unframed", "row_sum.expected case 1 s (row_sum): expected", marks=LONG),
    ],
)
def test_cosim_finds_a_device_that_is_wrong(played: Played, defect: str, message: str) -> None:
    result = played(defect)
    assert result.status == 1
    assert message in text_of(result)
    assert wrong_profiles(result) == PROFILES


def test_cosim_says_after_how_many_idle_cycles_a_device_is_stuck(played: Played) -> None:
    assert "no transfer for 200 cycles at " in text_of(played("hang"))


def test_cosim_says_when_a_word_was_wrong(played: Played) -> None:
    found = played("wrong").units[0].profiles[0].comparison
    assert found is not None
    times = [int(str(each).rsplit(" at ", 1)[1].removesuffix(" ns")) for each in found.mismatches]
    assert times == sorted(times)
    assert len(set(times)) == len(times) == 10


@pytest.mark.parametrize(
    ("defect", "message"),
    [
        ("unstable", "m_axis: the payload changed before tready at "),
        pytest.param("withdrawn", "m_axis: tvalid fell before tready at ", marks=LONG),
    ],
)
def test_cosim_holds_a_device_to_the_handshake_under_back_pressure(
    played: Played, defect: str, message: str
) -> None:
    result = played(defect)
    assert message in text_of(result)
    assert wrong_profiles(result) == ("sink", "both", "reset")


@LONG
def test_cosim_finds_a_device_that_reads_what_is_not_valid(played: Played) -> None:
    assert "source" in wrong_profiles(played("no_valid"))


@needs_icarus
def test_cosim_unknown_bits_are_mismatches(played: Played) -> None:
    result = played("unknown", simulator="icarus", stall=0)
    assert result.status == 1
    assert "(unknown)" in text_of(result)


@LONG
def test_cosim_an_error_of_the_device_itself_is_a_failure(played: Played) -> None:
    result = played("error", stall=0)
    assert result.status == 1
    assert "row taken" in text_of(result)


@needs_icarus
def test_cosim_ends_a_simulator_that_never_does(played: Played) -> None:
    result = played("spin", simulator="icarus", stall=0, limit=3.0)
    assert result.status == 1
    assert "the simulator was ended after 3 s" in text_of(result)


def test_cosim_does_not_compile_bad_rtl(played: Played) -> None:
    with pytest.raises(ToolError, match=r"^my_sum does not compile with [^\n]*my_sum_syntax\.sv"):
        played("syntax")


@pytest.mark.parametrize(
    ("defect", "message"),
    [
        (
            "no_last",
            r"^my_sum, held to row_sum, must have s_axis_tlast \(input, 1 bit\); "
            r"must have a tie for other \(input, 1 bit\)$",
        ),
        (
            "narrow",
            r"^my_sum, held to row_sum, must have m_axis_tdata \(output, 9 bits\) \(s 9\) "
            r"and not m_axis_tdata \(output, 8 bits\)$",
        ),
    ],
)
def test_cosim_refuses_a_device_with_other_ports(played: Played, defect: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        played(defect)


def test_cosim_does_not_accept_an_edited_expected_file(sums: Path, tmp_path: Path) -> None:
    edited = tmp_path / "edited"
    edited.mkdir()
    for name, data in contents(sums).items():
        write_whole(edited / name, data)
    path = edited / "row_sum.expected.mem"
    path.write_bytes(b"001\n" + path.read_bytes()[4:])
    renew_sums(edited)
    result = cosim(edited, "row_sum", CosimOptions(simulator=FAST))
    assert result.status == 1
    assert result.units == ()
    assert "row_sum.expected.mem is not what the stimulus gives" in text_of(result)
    root = ElementTree.fromstring(render_junit(result))
    assert root.find("testsuite/testcase/failure") is not None


def test_cosim_junit_names_units_profiles_and_failures(played: Played) -> None:
    root = ElementTree.fromstring(render_junit(played("unstable")))
    suite = root.find("testsuite")
    assert suite is not None
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("row_sum", "5", "3")
    failed = {case.get("name"): case.find("failure") is not None for case in suite.iter("testcase")}
    wrong = ("sink", "both", "reset")
    assert failed == {f"stalls_{each}": each in wrong for each in PROFILES}


def test_cosim_junit_has_the_time_of_each_run(played: Played) -> None:
    result = played("unstable")
    root = ElementTree.fromstring(render_junit(result))
    times = {case.get("name"): case.get("time") for case in root.iter("testcase")}
    runs = result.units[0].profiles
    assert times == {f"stalls_{each.name}": f"{each.seconds:.3f}" for each in runs}
    assert all(each.seconds > 0 for each in runs)


def test_cosim_keeps_outputs_that_verify_accepts(own: tuple[CosimResult, Path], sums: Path) -> None:
    for profile in STALLS:
        path = own[1] / "out" / profile / "row_sum.expected.mem"
        assert verify(sums, {"row_sum": path}).ok


def test_cosim_writes_waves(own: tuple[CosimResult, Path]) -> None:
    text = (own[1] / "waves" / "row_sum.vcd").read_text()
    assert "$enddefinitions" in text
    assert "m_axis_tdata" in text


@LONG
def test_cosim_writes_waves_with_verilator(played: Played, tmp_path: Path) -> None:
    played(simulator="verilator", stall=0, waves=tmp_path / "my.vcd")
    assert "m_axis_tdata" in (tmp_path / "my.vcd").read_text()
