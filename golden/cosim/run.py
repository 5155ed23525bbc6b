"""Play a vector set through devices in a simulator: the one call behind `bitlog2 golden cosim`."""

import os
import random
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from bitlog2.sim.checks import check_int
from bitlog2.sim.files import write_whole

from ..package.reading import open_set
from ..package.vector_set import UnitVectors, select_cases
from ..package.verification import Verification, verify
from ..simulation import Rtl
from ..stimulus.unit import Progress, Target, no_progress
from .design import WRAPPER, Design, build_design
from .job import Job, Profile, Recording, profiles_of, read_recording, write_document
from .model import (
    Device,
    compare_words,
    device_named,
    devices_within,
    unit_of,
    vectors_of_set,
)
from .options import CosimOptions
from .result import CosimResult, ProfileRun, UnitRun
from .simulators import Simulator, simulator_named, start


def cosim(
    folder: str | Path,
    unit: str,
    options: CosimOptions | None = None,
    *,
    rtl: Rtl | None = None,
    progress: Progress = no_progress,
) -> CosimResult:
    """Give a set's stimulus to a device in a simulator; compare its outputs with the model's.

    The set is verified first: edited expected values are found, and nothing is simulated then. A
    device with streams runs without stalls, with stalls of its inputs, of its outputs, of both,
    and with resets in the middle of rows.

    Args:
        folder: the vector set; never written to.
        unit: a device of the scheme's datapath, or `all` of those that the set has vectors for.
        options: how it is simulated, and what is kept; None for the usual ones.
        rtl: the device; None for the reference. `bitlog2_pkg.sv` of the set goes in front where no
            file has that name.
        progress: shows how far it is.

    Raises:
        TypeError, ValueError: an argument cannot be used, or the device has not the ports of the
            contract.
        ToolError: the simulator is not there, or the device does not compile.
        OSError: a file cannot be read or written.
    """
    chosen = CosimOptions() if options is None else options
    root, lanes, cases = Path(folder).resolve(), chosen.lanes, chosen.cases
    devices = _devices(root, unit, rtl)
    names = list(devices)
    wide = any(each.contract.wide for each in devices.values())
    if lanes is not None and rtl is None and not wide:
        raise ValueError(f"lanes must be left out for unit {unit}, which has none, got {lanes}")
    if cases is not None and (not cases or len(names) > 1):
        raise ValueError(f"cases must be at least one, of one unit, got {cases} for unit {unit}")
    chosen = chosen.resolved(len(names))
    designs = {name: _design(root, device, rtl, chosen) for name, device in devices.items()}
    used = simulator_named(chosen.simulator)
    verified = verify(root, progress=progress)
    runs = []
    if verified.ok:
        with tempfile.TemporaryDirectory(prefix="bitlog2-cosim-") as scratch:
            if (log := chosen.path("log")) is not None:
                log.write_bytes(b"")
            for name in progress(names, "cosim", len(names)):
                place = Path(scratch) / name
                device = devices[name]
                run = _simulated(root, used, chosen, device, designs[name], place, progress)
                runs.append(run)
                if chosen.stop_first and not run.ok:
                    break
    return CosimResult(
        folder=root,
        failures=_failures(verified),
        simulator=used.version,
        remark=used.remark,
        seed=chosen.seed,
        stall=chosen.stall,
        idle=chosen.idle,
        units=tuple(runs),
    )


def _devices(folder: Path, unit: str, rtl: Rtl | None) -> dict[str, Device]:
    """Return the devices that are meant by name, each with vectors in the set."""
    manifest = open_set(folder)
    if unit != "all":
        device = device_named(unit, manifest.config)
        unit_of(manifest, device)
        return {unit: device}
    if rtl is not None:
        raise ValueError("unit must be a single one with rtl, got all")
    devices = devices_within(manifest.config)
    return {n: each for n, each in devices.items() if each.contract.unit in manifest.unit_names}


def _design(folder: Path, device: Device, rtl: Rtl | None, options: CosimOptions) -> Design:
    lanes = options.lanes if rtl is not None or device.contract.wide else None
    return Design.of(folder, device, rtl, lanes, options.wave_format)


def _failures(verified: Verification) -> tuple[str, ...]:
    """Return what is wrong with the set itself."""
    wrong = [line for each in verified.inside if not each.ok for line in each.lines()]
    return (*verified.failures, *wrong)


#: An error, or a memory file that was not found: then the device is not the one that was meant.
_ERROR = re.compile(
    r"^(%Error|\[\d+\] %Error|ERROR:|FATAL:|.*%Error:)"
    r"|^(WARNING|%Warning).*readmem.*(Unable to open|not found)"
)
_WARNING = re.compile(r"^(WARNING:|%Warning)")
_RAISED = re.compile(r"\w(Error|Exception)\b")
_SHOWN = 3


def _simulated(
    folder: Path,
    simulator: Simulator,
    options: CosimOptions,
    device: Device,
    design: Design,
    scratch: Path,
    progress: Progress,
) -> UnitRun:
    """Return what a device made of its vectors; `scratch` is a new folder for what is written.

    Raises:
        ToolError: it does not compile.
    """
    target, part = vectors_of_set(folder, device)
    cases = range(part.cases) if options.cases is None else options.cases
    for case in cases:
        check_int(f"case of {device.name}", case, 0, part.cases - 1)
    job = Job(
        folder=str(folder),
        device=device.name,
        results=str(scratch / "results"),
        profiles=profiles_of(
            options.stall,
            options.profiles,
            cases,
            options.seed,
            clocked=design.wrapper.clocked,
            back_pressure=design.rtl.back_pressure,
        ),
        seed=options.seed,
        idle=options.idle,
        stop_first=options.stop_first,
        log=None if options.log is None else str(options.log),
    )
    begun, builds = time.monotonic(), options.path("builds") or scratch / "builds"
    made = (build_design(each, simulator, builds) for each in [design])
    (build,) = progress(made, f"{device.name}: build", 1)
    built = time.monotonic()
    ran = (_run(simulator, options, design, build, each) for each in [job])
    (status,) = progress(ran, f"{device.name}: simulation", 1)
    ended = time.monotonic()
    played = _kept(options, device, job)
    whole = all(each is not None for _, each in played)
    troubles, warnings = _troubles(job, status, options.limit, whole)
    return UnitRun(
        unit=device.name,
        top=design.top,
        cases=len(cases),
        lanes=max((each.lanes for _, each in played if each is not None), default=1),
        profiles=tuple(
            _profile_run(target, part, job, profile, recording, troubles, warnings)
            for profile, recording in played
        ),
        build_seconds=built - begun,
        seconds=ended - built,
        back_pressure=design.rtl.back_pressure,
        kept=tuple(
            path
            for path in (options.waves_of(device.name), options.path("log"))
            if path is not None and path.is_file()
        ),
    )


def _run(
    simulator: Simulator, options: CosimOptions, design: Design, build: Path, job: Job
) -> int | None:
    """Play a job; return the status of the simulator, None past the limit."""
    results = Path(job.results)
    results.mkdir(parents=True)
    path, dump = results / "job.json", results / f"dump.{design.waves}"
    write_document(path, job)
    plusargs, words = [f"+bitlog2_job={path}"], []
    if simulator.name == "verilator":  # state that nothing sets begins at random
        chance = random.Random(f"{job.seed} state").randrange(1, 1 << 31)
        plusargs += ["+verilator+rand+reset+2", f"+verilator+seed+{chance}"]
        words = ["--trace-file", str(dump)] if design.waves else []
    elif design.waves:
        plusargs.append(f"+dumpfile_path={dump}")
    return start(
        simulator,
        "test",
        results,
        options.limit,
        test_module="bitlog2.golden.cosim.play",
        hdl_toplevel=WRAPPER,
        hdl_toplevel_lang="verilog",
        build_dir=str(build),
        test_dir=os.getcwd(),
        results_xml=str(results / "results.xml"),
        test_args=words,
        plusargs=plusargs,
        waves=bool(design.waves),
        fst=design.waves == "fst",
    )


def _kept(
    options: CosimOptions, device: Device, job: Job
) -> list[tuple[Profile, Recording | None]]:
    """Return what came of each profile, what was asked for being kept."""
    if (waves := options.waves_of(device.name)) is not None:
        _keep_waves(Path(job.results) / f"dump.{options.wave_format}", waves)
    played = [(profile, read_recording(job.recording(profile))) for profile in job.profiles]
    if job.last.exists():  # no other run was to come
        played = played[: int(job.last.read_text())]
    for profile, recording in played if options.out is not None else ():
        kept = Path(options.out or "") / profile.name
        for name, data in _outputs(job, profile, recording).items():
            kept.mkdir(parents=True, exist_ok=True)
            write_whole(kept / f"{device.name}.{name}.mem", data)
    return played


def _outputs(job: Job, profile: Profile, recording: Recording | None) -> dict[str, bytes]:
    """Return the words of each stream of a run as memory files."""
    folder = job.recording(profile)
    names = () if recording is None else recording.times
    return {name: (folder / f"{name}.mem").read_bytes() for name in names}


def _keep_waves(made: Path, wanted: Path) -> None:
    """Put a file of waves, which may be large, in its place in one step."""
    if not made.is_file():
        return
    wanted.parent.mkdir(parents=True, exist_ok=True)
    partial = wanted.with_name(f".{wanted.name}.{uuid4().hex}.partial")
    try:
        shutil.copyfile(made, partial)
        os.replace(partial, wanted)
    finally:
        partial.unlink(missing_ok=True)


def _troubles(
    job: Job, status: int | None, limit: float, whole: bool
) -> tuple[list[str], list[str]]:
    """Return the errors of the simulator, or why not all is `whole`, and its warnings."""
    log = (Path(job.results) / "test.log").read_text(errors="replace")
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
    job: Job,
    profile: Profile,
    recording: Recording | None,
    troubles: Sequence[str],
    warnings: Sequence[str],
) -> ProfileRun:
    """Return the result of one run; warnings of the simulator are shown where it is wrong."""
    if recording is None:
        text = "the simulation ended before this run did"
        return ProfileRun(profile.name, None, (*troubles, *warnings, text), 0)
    chosen, files = select_cases(part, profile.cases), _outputs(job, profile, recording)
    comparison = compare_words(target, chosen, files, recording.times, profile.cases)
    failures = (*troubles, *recording.failures)
    return ProfileRun(
        profile.name,
        comparison,
        failures if comparison.ok and not failures else (*failures, *warnings),
        recording.cycles,
        recording.seconds,
        recording.resets,
    )
