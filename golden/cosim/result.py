"""Results of co-simulation, their recordings, and JUnit."""

import json
import os
import re
import shutil
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4
from xml.etree import ElementTree

from bitlog2.sim.files import write_whole

from ..package.comparison import UnitComparison, cases_of
from ..package.manifest import MANIFEST_NAME
from ..words.fields import hex_digits
from .job import Shape

__all__ = [
    "CosimResult",
    "Kept",
    "ProfileRun",
    "Recording",
    "UnitRun",
    "Words",
    "check_integer",
    "check_kept",
    "keep_outputs",
    "keep_waves",
    "read_recording",
    "render_error",
    "render_junit",
    "write_recording",
]

#: Failures of a run that are shown.
_SHOWN = 6
_TIME = re.compile(r" at (\d+) ns")


@dataclass(frozen=True)
class ProfileRun:
    """A device under one profile of stalls.

    Attributes:
        name: of the profile.
        comparison: its words with the expected ones; None where the simulation did not get so far.
        failures: what else is wrong, one sentence each.
        cycles: of the clock; cases where there is none.
        seconds: wall time of the simulator.
        resets: nanoseconds of the resets in the middle of a row.
    """

    name: str
    comparison: UnitComparison | None
    failures: tuple[str, ...]
    cycles: int
    seconds: float = 0.0
    resets: tuple[int, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether it ran to its end and everything agreed."""
        return not self.failures and self.comparison is not None and self.comparison.ok

    def lines(self) -> list[str]:
        """Return the report: first what is wrong with the protocol and the simulation."""
        lines = [] if self.comparison is None else self.comparison.lines()
        failures = list(self.failures[:_SHOWN])
        if len(self.failures) > _SHOWN:
            failures.append(f"... and {len(self.failures) - _SHOWN} more failures")
        return [_TIME.sub(self._time, line) for line in (*failures, *lines)]

    def repeats(self, other: "ProfileRun") -> bool:
        """Whether another run shows all that this one does: failures, cases, units that part."""
        one, two = self.comparison, other.comparison
        failures, others = (
            {_TIME.sub("", text) for text in each.failures} for each in (self, other)
        )
        if one is None or two is None:
            return one is two and failures <= others
        complete = all(each.compared == each.words and not each.surplus for each in one.counts)
        return (
            (complete or one.counts == two.counts)
            and one.parted.items() <= two.parted.items()
            and failures <= others
        )

    @property
    def alone(self) -> str:
        """The options of the command line that runs this, or its first wrong case, alone."""
        one, options = self.comparison, f"--profile {self.name}"
        if self.name != "reset" and one is not None and one.mismatches:
            options += f" --case {one.mismatches[0].case}"
        return options

    def _time(self, found: re.Match[str]) -> str:
        number = bisect_left(self.resets, int(found[1]))
        if not number:
            return found[0]
        return f"{found[0]}, after reset {number} at {self.resets[number - 1]} ns"


@dataclass(frozen=True)
class UnitRun:
    """A unit, built and simulated.

    Attributes:
        unit: its name.
        top: the module that was simulated.
        cases: cases of the vectors.
        lanes: words a beat of its widest stream.
        profiles: the runs.
        build_seconds, seconds: wall time of the compiler and of the simulator.
        back_pressure: whether its outputs were stalled, where `stall` is not 0.
    """

    unit: str
    top: str
    cases: int
    lanes: int
    profiles: tuple[ProfileRun, ...]
    build_seconds: float
    seconds: float
    back_pressure: bool = True

    @property
    def ok(self) -> bool:
        """Whether every run agreed."""
        return bool(self.profiles) and all(each.ok for each in self.profiles)

    def lines(self, command: str = "") -> list[str]:
        """Return the report; `command` is a command line that runs the unit again."""
        stalled = "" if self.back_pressure else "no back-pressure, "
        lines = [
            f"{self.unit}: {cases_of(self.cases)}, {self.lanes} words a beat, {stalled}built in "
            f"{self.build_seconds:.1f} s, simulated in {self.seconds:.1f} s"
        ]
        told: list[ProfileRun] = []
        for each in self.profiles:
            what = "agrees" if each.ok else "DIFFERS"
            before = next((run for run in told if each.repeats(run)), None)
            if before is not None and not each.ok:
                what += f" in what differs with {before.name} too, in nothing else"
            kind = "resets in mid-row" if each.name == "reset" else f"stalls {each.name}"
            lines.append(f"{self.unit}, {kind}: {each.cycles} cycles, {what}")
            if each.ok or before is None:
                lines += [f"  {line}" for line in each.lines()]
            if not each.ok and before is None:
                told.append(each)
                if command:
                    lines.append(f"  alone: {command} {each.alone} --waves {self.unit}.vcd")
        return lines


@dataclass(frozen=True)
class CosimResult:
    """What was simulated, and what came of it.

    Attributes:
        folder: the vector set.
        failures: what is wrong with the set itself; then nothing was simulated.
        simulator: name and version.
        remark: about the other simulator.
        seed, stall, idle: of the runs.
        units: the devices.
    """

    folder: Path
    failures: tuple[str, ...]
    simulator: str
    remark: str
    seed: int
    stall: int
    idle: int
    units: tuple[UnitRun, ...]

    @property
    def ok(self) -> bool:
        """Whether everything that was asked for was done and agreed."""
        return not self.failures and bool(self.units) and all(each.ok for each in self.units)

    @property
    def status(self) -> int:
        """Exit status: 0 when `ok`, else 1."""
        return 0 if self.ok else 1

    def lines(self, command: str = "") -> list[str]:
        """Return the report; `command` is a command line that does all this again."""
        remark = f" ({self.remark})" if self.remark else ""
        lines = [
            f"{self.simulator}{remark}",
            f"seed {self.seed}, stalls of {self.stall} %, stuck after {self.idle} idle cycles",
        ]
        lines += [f"set: {failure}" for failure in self.failures]
        for each in self.units:
            lines += each.lines(command and f"{command} --unit {each.unit}")
        return [*lines, "agrees" if self.ok else "DIFFERS"]


_SHOWN_ERRORS = 3


@dataclass
class Words:
    """The words that a channel gave.

    Attributes:
        shape: of the channel.
        ends: for each expected word whether a row ends with it, 1 or 0; used where the word itself
            does not begin with `last`.
        bits: of each word, most significant first, 01xz.
        times: of each word in nanoseconds.
        failures: what is wrong with `tkeep` and `tlast`: the first few.
    """

    shape: Shape
    ends: Sequence[int] = ()
    bits: list[str] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def stream(self) -> str:
        """The stream of the unit."""
        return self.shape.channel.stream

    def file(self) -> bytes:
        """Return the words as a memory file; a digit with an unknown bit is x."""
        return "".join(f"{_hexadecimal(bits)}\n" for bits in self.bits).encode()

    def take(self, data: str, keep: str, last: str, time: int) -> None:
        """Add the kept lanes of a beat: its bits, 01xz, and when it was taken."""
        prefix, width = self.shape.channel.prefix, self.shape.width
        kept = len(keep) - len(keep.lstrip("0")) if keep.strip("01") == "" else 0
        lanes = len(keep) - kept
        legal = keep == "0" * kept + "1" * lanes and lanes > 0
        if not legal or (last == "0" and kept and self.shape.channel.framed):
            self._fail(f"{prefix}_tkeep is {keep} with tlast {last} at {time} ns")
        for lane in range(lanes):
            if legal or keep[len(keep) - 1 - lane] != "0":
                end = last if lane == lanes - 1 else "0"
                self._add(data[len(data) - (lane + 1) * width : len(data) - lane * width], end)
                self.times.append(time)
        if self.shape.channel.framed and not self.shape.last_in_word:
            word = len(self.bits) - 1
            expected = str(self.ends[word]) if 0 <= word < len(self.ends) else last
            if last != expected:
                self._fail(
                    f"{prefix}_tlast is {last} with word {word} at {time} ns, must be {expected}"
                )

    def _add(self, word: str, last: str) -> None:
        self.bits.append(last + word if self.shape.last_in_word else word)

    def _fail(self, text: str) -> None:
        if len(self.failures) < _SHOWN_ERRORS:
            self.failures.append(text)


@dataclass(frozen=True)
class Recording:
    """What came of one run of a device.

    Attributes:
        failures: one sentence each.
        cycles: of the clock; cases where there is none.
        lanes: words a beat of the widest channel.
        seconds: wall time.
        resets: nanoseconds at which resets in the middle of a row ended.
        times: nanoseconds of each word by stream.
        files: the words of each stream.
    """

    failures: list[str]
    cycles: int
    lanes: int
    seconds: float
    resets: list[int]
    times: dict[str, list[int]]
    files: dict[str, Path]


def write_recording(
    folder: Path, words: Sequence[Words], failures: Sequence[str], **counts: object
) -> None:
    """Put a run's words and report into `folder`; the report last.

    Args:
        folder: made where it is missing.
        words, failures: what the run gave.
        counts: cycles, lanes, seconds and resets of a `Recording`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for each in words:
        write_whole(folder / f"{each.stream}.mem", each.file())
    report = {
        "failures": list(failures),
        **counts,
        "times": {each.stream: each.times for each in words},
    }
    write_whole(folder / "report.json", json.dumps(report).encode())


def read_recording(folder: Path) -> Recording | None:
    """Return the run that is in `folder`, or None where it has not ended."""
    path = folder / "report.json"
    if not path.is_file():
        return None
    report = json.loads(path.read_bytes())
    files = {name: folder / f"{name}.mem" for name in report["times"]}
    return Recording(**report, files=files)


def _hexadecimal(bits: str) -> str:
    """Return bits as hexadecimal digits; a digit with an unknown bit is x."""
    digits = hex_digits(len(bits))
    if not bits.strip("01"):
        return f"{int(bits, 2):0{digits}x}"
    padded = bits.rjust(4 * digits, "0")
    parts = [padded[i : i + 4] for i in range(0, len(padded), 4)]
    return "".join("x" if part.strip("01") else f"{int(part, 2):x}" for part in parts)


#: Characters that XML 1.0 has not.
_ILLEGAL = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(result: CosimResult) -> bytes:
    """Return the report as JUnit XML."""
    root = ElementTree.Element("testsuites", name="bitlog2 golden cosim")
    if result.failures:
        suite = _suite(root, "set", 1, 1, 0.0)
        case = ElementTree.SubElement(suite, "testcase", classname="set", name="verify", time="0")
        _fail(case, list(result.failures))
    for unit in result.units:
        _unit(root, result, unit)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def render_error(message: str) -> bytes:
    """Return the report of a run that could not be made, or has not ended, as JUnit XML."""
    root = ElementTree.Element("testsuites", name="bitlog2 golden cosim")
    suite = _suite(root, "cosim", 1, 0, 0.0, errors=1)
    case = ElementTree.SubElement(suite, "testcase", classname="cosim", name="run", time="0")
    ElementTree.SubElement(case, "error", message=_legal(message), type="error")
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _unit(root: ElementTree.Element, result: CosimResult, unit: UnitRun) -> None:
    wrong = sum(not each.ok for each in unit.profiles)
    suite = _suite(root, unit.unit, len(unit.profiles), wrong, unit.seconds)
    properties = ElementTree.SubElement(suite, "properties")
    for name in ("simulator", "seed", "stall", "idle"):
        value = _legal(str(getattr(result, name)))
        ElementTree.SubElement(properties, "property", name=name, value=value)
    for each in unit.profiles:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=f"cosim.{unit.unit}",
            name=f"stalls_{each.name}",
            time=f"{each.seconds:.3f}",
        )
        if not each.ok:
            _fail(case, each.lines())


def _suite(
    root: ElementTree.Element,
    name: str,
    tests: int,
    failures: int,
    seconds: float,
    errors: int = 0,
) -> ElementTree.Element:
    return ElementTree.SubElement(
        root,
        "testsuite",
        name=name,
        tests=str(tests),
        failures=str(failures),
        errors=str(errors),
        time=f"{seconds:.3f}",
    )


def _fail(case: ElementTree.Element, lines: list[str]) -> None:
    message = _legal(lines[0]) if lines else "nothing was compared"
    failure = ElementTree.SubElement(case, "failure", message=message, type="difference")
    failure.text = _legal("\n".join(lines))


def _legal(text: str) -> str:
    return _ILLEGAL.sub("?", text)


def check_integer(name: str, value: int, low: int, high: int) -> None:
    """Refuse what is no integer from `low` to `high`.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer from {low} to {high}, got {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low} to {high}, got {value}")


@dataclass(frozen=True)
class Kept:
    """Where things are kept; None for what is not.

    Attributes:
        waves: a VCD file, or a folder for `<unit>.vcd`.
        out: folder of the device's outputs.
        builds: folder of compiled devices.
        log: file of the transfers.
    """

    waves: Path | None
    out: Path | None
    builds: Path | None
    log: Path | None

    def waves_of(self, unit: str) -> Path | None:
        """Return the VCD file of a unit."""
        if self.waves is None or self.waves.suffix == ".vcd":
            return self.waves
        return self.waves / f"{unit}.vcd"


def check_kept(
    waves: str | Path | None,
    out: str | Path | None,
    builds: str | Path | None,
    log: str | Path | None,
    units: int,
) -> Kept:
    """Return where things are kept.

    Raises:
        ValueError: a place cannot be used: a vector set, a file that must be a folder, one VCD
            file for several units.
    """
    paths = [None if each is None else Path(each).resolve() for each in (waves, out, builds, log)]
    kept = Kept(*paths)
    for name in ("waves", "out", "builds", "log"):
        if (path := getattr(kept, name)) is None:
            continue
        single = name == "log" or (name == "waves" and path.suffix == ".vcd" and not path.is_dir())
        if name == "waves" and single and units > 1:
            raise ValueError(f"waves must be a folder for {units} units, got the file {path}")
        folder = path.parent if single else path
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{name} must be a folder, got the file {folder}")
        if (folder / MANIFEST_NAME).exists():
            raise ValueError(f"{name} must not be in a vector set, got {path}")
    return kept


def keep_outputs(out: Path, unit: str, profiles: Sequence[tuple[str, Recording]]) -> None:
    """Write a device's outputs as `<profile>/<unit>.<stream>.mem`."""
    for profile, recording in profiles:
        folder = out / profile
        folder.mkdir(parents=True, exist_ok=True)
        for stream, path in recording.files.items():
            write_whole(folder / f"{unit}.{stream}.mem", path.read_bytes())


def keep_waves(made: Path, wanted: Path) -> None:
    """Put a VCD file in its place in one step."""
    if not made.is_file():
        return
    wanted.parent.mkdir(parents=True, exist_ok=True)
    partial = wanted.with_name(f".{wanted.name}.{uuid4().hex}.partial")
    try:
        shutil.copyfile(made, partial)
        os.replace(partial, wanted)
    finally:
        partial.unlink(missing_ok=True)
