"""What a co-simulation found, and how it is printed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from ..report import Mismatch, UnitComparison

__all__ = ["CosimResult", "ProfileRun", "TimedMismatch", "UnitRun", "timed"]


@dataclass(frozen=True)
class TimedMismatch(Mismatch):
    """A mismatch, and when the device gave it.

    Attributes:
        time: simulation time in nanoseconds.
    """

    time: int = 0

    def __str__(self) -> str:
        return f"{super().__str__()} at {self.time} ns"


def timed(
    comparison: UnitComparison, times: Mapping[str, Sequence[int]], offsets: Sequence[int] | None
) -> UnitComparison:
    """Return a comparison whose mismatches say when.

    Args:
        comparison: of a device's words.
        times: nanoseconds of each word by stream.
        offsets: the first beat of each row, None for a unit without rows.
    """
    found = []
    for each in comparison.mismatches:
        word = each.case
        if each.beat is not None and offsets is not None:
            word = int(offsets[each.case]) + each.beat
        values = {field.name: getattr(each, field.name) for field in fields(Mismatch)}
        found.append(TimedMismatch(**values, time=times[each.stream][word]))
    return replace(comparison, mismatches=tuple(found))


@dataclass(frozen=True)
class ProfileRun:
    """A device under one profile of stalls.

    Attributes:
        name: of the profile.
        comparison: its words with the expected ones; None where the simulation did not get so far.
        failures: what else is wrong, one sentence each.
        cycles: of the clock; cases where there is none.
    """

    name: str
    comparison: UnitComparison | None
    failures: tuple[str, ...]
    cycles: int

    @property
    def ok(self) -> bool:
        """Whether it ran to its end and everything agreed."""
        return not self.failures and self.comparison is not None and self.comparison.ok

    def lines(self) -> list[str]:
        """Return the report."""
        lines = [] if self.comparison is None else self.comparison.lines()
        return [*lines, *self.failures]


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

    def lines(self) -> list[str]:
        """Return the report."""
        stalled = "" if self.back_pressure else "no back-pressure, "
        lines = [
            f"{self.unit}: {self.cases} cases, {self.lanes} words a beat, {stalled}built in "
            f"{self.build_seconds:.1f} s, simulated in {self.seconds:.1f} s"
        ]
        for each in self.profiles:
            what = "agrees" if each.ok else "DIFFERS"
            lines.append(f"{self.unit}, stalls {each.name}: {each.cycles} cycles, {what}")
            lines += [f"  {line}" for line in each.lines()]
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

    def lines(self) -> list[str]:
        """Return the report."""
        remark = f" ({self.remark})" if self.remark else ""
        lines = [
            f"{self.simulator}{remark}",
            f"seed {self.seed}, stalls of {self.stall} %, stuck after {self.idle} idle cycles",
        ]
        lines += [f"set: {failure}" for failure in self.failures]
        for each in self.units:
            lines += each.lines()
        return [*lines, "agrees" if self.ok else "DIFFERS"]
