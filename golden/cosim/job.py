"""What a simulation is told: a file that its plus-argument names."""

import json
import random
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from .channels import Device
from .devices import device_named

__all__ = [
    "IDLE_CYCLES",
    "LIMIT_SECONDS",
    "PROFILES",
    "STALL_PERCENT",
    "Job",
    "Profile",
    "profiles_of",
    "read_job",
    "render_job",
]

#: Cycles without a transfer after which a device counts as stuck.
IDLE_CYCLES = 10_000
#: Chance of a stall in a cycle.
STALL_PERCENT = 30
#: After which a simulator is ended.
LIMIT_SECONDS = 900
#: The runs of a device.
PROFILES = ("none", "source", "sink", "both", "reset")
#: Resets of the last one, and its rows: after each reset one or two are played whole.
_RESETS, _RESET_ROWS = 32, 64


@dataclass(frozen=True)
class Profile:
    """How a run goes.

    Attributes:
        name: of the run.
        source: chance in percent a cycle that an input beat waits before it is offered.
        sink: the same that an output is not ready.
        resets: how often the device is reset in the middle of a row, at most.
        cases: the cases that are played, in this order.
    """

    name: str
    source: int
    sink: int
    resets: int
    cases: tuple[int, ...]


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
        names: of the runs; None for all.
        cases: that are played; those of the run with resets are drawn from them.
        seed: of the draw.
        clocked: whether the device has a clock; without one it has the first run alone.
        back_pressure: whether its outputs can be stalled; else no run stalls them.

    Raises:
        ValueError: there is no such run.
    """
    drawn = random.Random(f"{seed} resets").choices(cases, k=_RESET_ROWS)
    found = {
        name: Profile(
            name,
            stall if name in ("source", "both", "reset") else 0,
            stall if back_pressure and name in ("sink", "both", "reset") else 0,
            _RESETS if name == "reset" else 0,
            tuple(drawn if name == "reset" else cases),
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


@dataclass(frozen=True)
class Job:
    """A simulation.

    Attributes:
        folder: the vector set.
        device: what is simulated.
        results: folder for what comes out.
        profiles: the runs, one after another.
        seed: of the stalls.
        idle: cycles without a transfer after which the device counts as stuck.
        stop_first: whether the first difference ends the simulation.
        log: file that every transfer is written to.
    """

    folder: Path
    device: Device
    results: Path
    profiles: Sequence[Profile]
    seed: int
    idle: int
    stop_first: bool = False
    log: Path | None = None


def render_job(job: Job) -> bytes:
    """Return a job as a file."""
    values = {
        "folder": str(job.folder),
        "device": job.device.name,
        "results": str(job.results),
        "profiles": [astuple(each) for each in job.profiles],
        "seed": job.seed,
        "idle": job.idle,
        "stop_first": job.stop_first,
        "log": None if job.log is None else str(job.log),
    }
    return json.dumps(values).encode()


def read_job(path: Path) -> Job:
    """Return the job in a file."""
    values = json.loads(path.read_bytes())
    return Job(
        folder=Path(values["folder"]),
        device=device_named(values["device"]),
        results=Path(values["results"]),
        profiles=[
            Profile(name, source, sink, resets, tuple(cases))
            for name, source, sink, resets, cases in values["profiles"]
        ],
        seed=values["seed"],
        idle=values["idle"],
        stop_first=values["stop_first"],
        log=None if values["log"] is None else Path(values["log"]),
    )
