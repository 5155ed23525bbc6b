"""Results of co-simulation, and the same as JUnit."""

import re
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path

from ..junit import JunitCase, JunitSuite
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
        kept: its waves and its log, where they were asked for.
    """

    unit: str
    top: str
    cases: int
    lanes: int
    profiles: tuple[ProfileRun, ...]
    build_seconds: float
    seconds: float
    back_pressure: bool = True
    kept: tuple[Path, ...] = ()

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

    def suites(self, prefix: str = "") -> list[JunitSuite]:
        """Return a suite per unit, a case per run; `prefix` stands in front of their names."""
        properties = {name: getattr(self, name) for name in ("simulator", "seed", "stall", "idle")}
        suites = [
            JunitSuite(
                f"{prefix}{unit.unit}",
                [
                    JunitCase(
                        f"cosim.{unit.unit}",
                        f"stalls_{run.name}",
                        run.seconds,
                        not run.ok,
                        run.lines(),
                    )
                    for run in unit.profiles
                ],
                unit.seconds,
                properties,
                unit.kept,
            )
            for unit in self.units
        ]
        if self.failures:
            wrong = JunitCase("set", "verify", 0.0, True, self.failures)
            suites.insert(0, JunitSuite(f"{prefix}set", [wrong]))
        return suites
