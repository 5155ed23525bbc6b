"""What passes between a command and the simulator that it starts: a job, and its recordings."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bitlog2.documents import Count, Document, from_json
from bitlog2.names import PROFILES
from bitlog2.sim.files import write_whole

from .model import Words

#: Resets of the last one, and its rows: after each reset one or two are played whole.
_RESETS, _RESET_ROWS = 48, 96


class Profile(Document, frozen=True, kw_only=True):
    """How a run goes.

    Attributes:
        name: name of the run.
        source: chance in percent per cycle that an input beat waits before it is offered.
        sink: chance in percent per cycle that an output is not ready.
        resets: how often the device is reset in the middle of a row, at most.
        cases: the cases that are played, in this order.
    """

    name: str
    source: Count
    sink: Count
    resets: Count
    cases: tuple[Count, ...]


def profiles_of(
    stall: int,
    names: Sequence[str] | None,
    cases: Sequence[int],
    seed: int,
    *,
    clocked: bool = True,
    back_pressure: bool = True,
) -> tuple[Profile, ...]:
    """Return the runs of a device: without stalls, with each kind of them, with resets.

    Args:
        stall: chance in percent; 0 for the runs without stalls alone.
        names: names of the runs; None for all.
        cases: cases of the runs; those of the run with resets are drawn from them.
        seed: seed of the draw.
        clocked: whether the device has a clock; without one it has the first run alone.
        back_pressure: whether its outputs can be stalled; else no run stalls them.

    Raises:
        ValueError: there is no such run.
    """
    drawn = random.Random(f"{seed} resets").choices(cases, k=_RESET_ROWS)
    found = {
        name: Profile(
            name=name,
            source=stall if name in ("source", "both", "reset") else 0,
            sink=stall if back_pressure and name in ("sink", "both", "reset") else 0,
            resets=_RESETS if name == "reset" else 0,
            cases=tuple(drawn if name == "reset" else cases),
        )
        for name in (PROFILES if stall else ("none", "reset"))
        if (clocked or name == "none") and (back_pressure or name not in ("sink", "both"))
    }
    for name in names or ():
        if name not in found:
            raise ValueError(
                f"profiles must be of {', '.join(found)} for this device and stalls of {stall} %, "
                f"got {name}"
            )
    return tuple(each for name, each in found.items() if names is None or name in names)


class Job(Document, frozen=True, kw_only=True):
    """A simulation.

    Attributes:
        folder: the vector set.
        device: name of the device.
        results: folder for what comes out.
        profiles: the runs, one after another.
        seed: seed of the stalls.
        idle: cycles without a transfer after which the device counts as stuck.
        stop_first: whether the first difference ends the simulation.
        log: file that every transfer is written to.
    """

    folder: str
    device: str
    results: str
    profiles: tuple[Profile, ...]
    seed: Count
    idle: Count
    stop_first: bool
    log: str | None

    def recording(self, profile: Profile) -> Path:
        """Return the folder for what comes of a run."""
        return Path(self.results) / profile.name

    @property
    def last(self) -> Path:
        """The file that counts the runs where not all were to be played."""
        return Path(self.results) / "last"


class Recording(Document, frozen=True, kw_only=True):
    """What came of one run of a device; the words of each stream are files beside it.

    Attributes:
        failures: one sentence each.
        cycles: cycles of the clock; cases for a device without one.
        lanes: words per beat of the widest channel.
        seconds: wall time.
        resets: nanoseconds at which resets in the middle of a row ended.
        times: nanoseconds of each word by stream.
    """

    failures: tuple[str, ...]
    cycles: Count
    lanes: Count
    seconds: float
    resets: tuple[Count, ...]
    times: dict[str, tuple[Count, ...]]


D = TypeVar("D", Job, Recording)


def write_document(path: Path, document: Job | Recording) -> None:
    """Write a job or a recording: in one line, as it is read by a program and may be long."""
    write_whole(path, json.dumps(msgspec.to_builtins(document)).encode())


def read_document(path: Path, kind: type[D]) -> D:
    """Return the job or the recording in a file."""
    return from_json(json.loads(path.read_bytes()), kind, path.name)


def write_recording(folder: Path, words: Sequence[Words], **report: Any) -> None:
    """Put a run's words and report into `folder`, made where it is missing; the report last.

    Args:
        folder: folder of the run.
        words: words of each stream.
        report: other attributes of a `Recording`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for each in words:
        write_whole(folder / f"{each.stream}.mem", each.file())
    times = {each.stream: tuple(each.times) for each in words}
    write_document(folder / "report.json", Recording(**report, times=times))


def read_recording(folder: Path) -> Recording | None:
    """Return the run that is in `folder`, or None where it has not ended."""
    path = folder / "report.json"
    return read_document(path, Recording) if path.is_file() else None
