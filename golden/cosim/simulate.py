"""Build a device, run it, and compare what it gave."""

import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..target import Target
from ..vector_set import UnitVectors
from .build import Design, build_design, start
from .channels import Device
from .job import Job, Profile, profiles_of, render_job
from .keep import Kept, check_integer, keep_outputs, keep_waves
from .model import compare_words, select_cases, vectors_of_set
from .ports import WRAPPER
from .recording import Recording, read_recording
from .result import ProfileRun, UnitRun
from .simulators import Simulator

__all__ = ["Setting", "simulate"]

_MODULE = "bitlog2.golden.cosim.play"
#: An error, or a memory file that was not found: then the device is not the one that was meant.
_ERROR = re.compile(
    r"^(%Error|\[\d+\] %Error|ERROR:|FATAL:|.*%Error:)"
    r"|^(WARNING|%Warning).*readmem.*(Unable to open|not found)"
)
_WARNING = re.compile(r"^(WARNING:|%Warning)")
_RAISED = re.compile(r"\w(Error|Exception)\b")
_SHOWN = 3


@dataclass(frozen=True)
class Setting:
    """How devices are simulated.

    Attributes:
        folder: the vector set.
        simulator: with what.
        seed, stall, idle, limit, cases, profiles, stop_first: as `cosim`.
        kept: what is left behind.
    """

    folder: Path
    simulator: Simulator
    seed: int
    stall: int
    idle: int
    limit: float
    cases: Sequence[int] | None
    profiles: Sequence[str] | None
    stop_first: bool
    kept: Kept


def simulate(setting: Setting, device: Device, design: Design, scratch: Path) -> UnitRun:
    """Return what a device made of its vectors.

    Args:
        setting: how.
        device: what the vectors are for.
        design: what is compiled.
        scratch: an empty or new folder for everything that is written.

    Raises:
        ToolError: it does not compile.
    """
    target, part = vectors_of_set(setting.folder, device)
    cases = range(part.cases) if setting.cases is None else setting.cases
    for case in cases:
        check_integer(f"case of {device.name}", case, 0, part.cases - 1)
    profiles = profiles_of(
        setting.stall,
        setting.profiles,
        cases,
        setting.seed,
        clocked=design.wrapper.clocked,
        back_pressure=design.rtl.back_pressure,
    )
    begun = time.monotonic()
    build = build_design(design, setting.simulator, setting.kept.builds or scratch / "builds")
    built = time.monotonic()
    job = Job(
        folder=setting.folder,
        device=device,
        results=scratch / "results",
        profiles=profiles,
        seed=setting.seed,
        idle=setting.idle,
        stop_first=setting.stop_first,
        log=setting.kept.log,
    )
    job.results.mkdir(parents=True)
    status = _run(setting, design, build, job)
    ended = time.monotonic()
    played = _kept(setting, device, job)
    whole = all(each is not None for _, each in played)
    troubles, warnings = _troubles(job, status, setting.limit, whole)
    return UnitRun(
        unit=device.name,
        top=design.top,
        cases=len(cases),
        lanes=max((each.lanes for _, each in played if each is not None), default=1),
        profiles=tuple(
            _profile_run(target, part, profile, recording, troubles, warnings)
            for profile, recording in played
        ),
        build_seconds=built - begun,
        seconds=ended - built,
        back_pressure=design.rtl.back_pressure,
    )


def _run(setting: Setting, design: Design, build: Path, job: Job) -> int | None:
    path = job.results / "job.json"
    path.write_bytes(render_job(job))
    dump = job.results / "dump.vcd"
    waves = ["--trace-file", str(dump)] if setting.simulator.name == "verilator" else []
    plusargs = [f"+bitlog2_job={path}"]
    if setting.simulator.name == "verilator":  # state that nothing sets begins at random
        chance = random.Random(f"{job.seed} state").randrange(1, 1 << 31)
        plusargs += ["+verilator+rand+reset+2", f"+verilator+seed+{chance}"]
    elif design.waves:
        plusargs.append(f"+dumpfile_path={dump}")
    order = {
        "action": "run",
        "module": _MODULE,
        "top": WRAPPER,
        "build": str(build),
        "results": str(job.results),
        "test_args": waves if design.waves else [],
        "plusargs": plusargs,
        "waves": design.waves,
    }
    return start(setting.simulator, order, job.results, job.results / "run.log", setting.limit)


def _kept(setting: Setting, device: Device, job: Job) -> list[tuple[Profile, Recording | None]]:
    """Return what came of each profile, what was asked for being kept."""
    if (waves := setting.kept.waves_of(device.name)) is not None:
        keep_waves(job.results / "dump.vcd", waves)
    played = [(profile, read_recording(job.results / profile.name)) for profile in job.profiles]
    if (last := job.results / "last").exists():  # no other run was to come
        played = played[: int(last.read_text())]
    if setting.kept.out is not None:
        found = [(profile.name, each) for profile, each in played if each is not None]
        keep_outputs(setting.kept.out, device.name, found)
    return played


def _troubles(
    job: Job, status: int | None, limit: float, whole: bool
) -> tuple[list[str], list[str]]:
    """Return the errors of the simulator, or why not all is `whole`, and its warnings."""
    log = (job.results / "run.log").read_text(errors="replace")
    lines = list(dict.fromkeys(line.strip() for line in log.splitlines()))
    errors = [line for line in lines if _ERROR.match(line)]
    warnings = [line for line in lines if _WARNING.match(line) and line not in errors][:_SHOWN]
    if status is None:
        return [f"the simulator was ended after {limit:g} s"], warnings
    if errors or (status == 0 and whole):
        return errors[:_SHOWN], warnings
    raised = [line for line in lines if _RAISED.search(line)]
    shown = "; ".join((raised or lines)[-_SHOWN:])
    return [f"the simulator ended with status {status}: {shown}"], warnings


def _profile_run(
    target: Target,
    part: UnitVectors,
    profile: Profile,
    recording: Recording | None,
    troubles: Sequence[str],
    warnings: Sequence[str],
) -> ProfileRun:
    """Return the result of one run; warnings of the simulator are shown where it is wrong."""
    if recording is None:
        text = "the simulation ended before this run did"
        return ProfileRun(profile.name, None, (*troubles, *warnings, text), 0)
    files = {name: path.read_bytes() for name, path in recording.files.items()}
    comparison = compare_words(
        target, select_cases(part, profile.cases), files, recording.times, profile.cases
    )
    failures = (*troubles, *recording.failures)
    return ProfileRun(
        profile.name,
        comparison,
        failures if comparison.ok and not failures else (*failures, *warnings),
        recording.cycles,
        recording.seconds,
        tuple(recording.resets),
    )
