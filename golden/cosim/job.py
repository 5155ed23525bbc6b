"""What a simulation is told: a file that its plus-argument names."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .channels import Device
from .devices import device_named

__all__ = [
    "IDLE_CYCLES",
    "LIMIT_SECONDS",
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


@dataclass(frozen=True)
class Profile:
    """How a run stalls: chances in percent a cycle.

    Attributes:
        name: of the run.
        source: that an input beat waits before it is offered.
        sink: that an output is not ready.
    """

    name: str
    source: int
    sink: int


def profiles_of(stall: int) -> tuple[Profile, ...]:
    """Return the runs of a device: without stalls, and with each kind of them."""
    none = Profile("none", 0, 0)
    if not stall:
        return (none,)
    return (
        none,
        Profile("source", stall, 0),
        Profile("sink", 0, stall),
        Profile("both", stall, stall),
    )


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
    """

    folder: Path
    device: Device
    results: Path
    profiles: Sequence[Profile]
    seed: int
    idle: int


def render_job(job: Job) -> bytes:
    """Return a job as a file."""
    values = {
        "folder": str(job.folder),
        "device": job.device.name,
        "results": str(job.results),
        "profiles": [[each.name, each.source, each.sink] for each in job.profiles],
        "seed": job.seed,
        "idle": job.idle,
    }
    return json.dumps(values).encode()


def read_job(path: Path) -> Job:
    """Return the job in a file."""
    values = json.loads(path.read_bytes())
    return Job(
        folder=Path(values["folder"]),
        device=device_named(values["device"]),
        results=Path(values["results"]),
        profiles=[Profile(*each) for each in values["profiles"]],
        seed=values["seed"],
        idle=values["idle"],
    )
