"""Results of co-simulation, and the same as JUnit."""

import re
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from ..package.comparison import UnitComparison, cases_of

#: Failures of a run that are shown.
_SHOWN = 6
_TIME = re.compile(r" at (\d+) ns")


@dataclass(frozen=True)
class ProfileRun:
    """A device under one profile of stalls.

    Attributes:
        name: name of the profile.
        comparison: its words against the expected ones; None where the simulation ended before.
        failures: other faults, one sentence each.
        cycles: cycles of the clock; cases for a device without one.
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
        lanes: words per beat of its widest stream.
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
        shown: list[ProfileRun] = []
        for each in self.profiles:
            what = "agrees" if each.ok else "DIFFERS"
            before = next((run for run in shown if each.repeats(run)), None)
            if before is not None and not each.ok:
                what += f" in what differs with {before.name} too, in nothing else"
            kind = "resets in mid-row" if each.name == "reset" else f"stalls {each.name}"
            lines.append(f"{self.unit}, {kind}: {each.cycles} cycles, {what}")
            if each.ok or before is None:
                lines += [f"  {line}" for line in each.lines()]
            if not each.ok and before is None:
                shown.append(each)
                if command:
                    lines.append(f"  alone: {command} {each.alone} --waves {self.unit}.vcd")
        return lines


@dataclass(frozen=True)
class CosimResult:
    """What was simulated, and what came of it.

    Attributes:
        folder: the vector set.
        failures: faults of the set itself; then nothing was simulated.
        simulator: name and version.
        remark: note on the other simulator.
        seed, stall, idle: as of `CosimOptions`.
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


#: Characters that XML 1.0 has not.
_ILLEGAL = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(result: CosimResult) -> bytes:
    """Return the report as JUnit XML."""
    root = _root()
    if result.failures:
        case = _case(_suite(root, "set", 1, 1, 0.0), "set", "verify", "0")
        _fail(case, list(result.failures))
    for unit in result.units:
        wrong = sum(not each.ok for each in unit.profiles)
        suite = _suite(root, unit.unit, len(unit.profiles), wrong, unit.seconds)
        properties = _element(suite, "properties")
        for name in ("simulator", "seed", "stall", "idle"):
            _element(properties, "property", name=name, value=str(getattr(result, name)))
        for run in unit.profiles:
            time = f"{run.seconds:.3f}"
            case = _case(suite, f"cosim.{unit.unit}", f"stalls_{run.name}", time)
            if not run.ok:
                _fail(case, run.lines())
    return _text(root)


def render_error(message: str) -> bytes:
    """Return the report of a run that could not be made, or has not ended, as JUnit XML."""
    root = _root()
    suite = _suite(root, "cosim", 1, 0, 0.0, errors=1)
    _element(_case(suite, "cosim", "run", "0"), "error", message=message, type="error")
    return _text(root)


def _element(parent: ElementTree.Element, tag: str, **attributes: object) -> ElementTree.Element:
    texts = {name: _legal(str(value)) for name, value in attributes.items()}
    return ElementTree.SubElement(parent, tag, texts)


def _root() -> ElementTree.Element:
    return ElementTree.Element("testsuites", name="bitlog2 golden cosim")


def _suite(
    root: ElementTree.Element, name: str, tests: int, failures: int, seconds: float, errors: int = 0
) -> ElementTree.Element:
    counts = {"tests": tests, "failures": failures, "errors": errors, "time": f"{seconds:.3f}"}
    return _element(root, "testsuite", name=name, **counts)


def _case(suite: ElementTree.Element, where: str, name: str, time: str) -> ElementTree.Element:
    return _element(suite, "testcase", classname=where, name=name, time=time)


def _fail(case: ElementTree.Element, lines: list[str]) -> None:
    message = lines[0] if lines else "nothing was compared"
    _element(case, "failure", message=message, type="difference").text = _legal("\n".join(lines))


def _text(root: ElementTree.Element) -> bytes:
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _legal(text: str) -> str:
    return _ILLEGAL.sub("?", text)
