"""Compile a device for a simulator; a build that is there already is used again."""

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from ..eda import ToolError
from ..testbench import reference_files
from ..vector_set import PACKAGE_NAME
from .process import run_group
from .simulators import MAKE_PATH, Simulator

__all__ = ["Design", "build_design", "start"]

_LAUNCH = Path(__file__).with_name("launch.py")
_ENDINGS = (".sv", ".v", ".svh", ".vh", ".vlt")
#: Only the ports of the device need be seen from outside: that compiles in half the time.
_VERILATOR = ["--no-public-flat-rw", "--public-depth", "1", "--assert", "-Wno-fatal"]
#: State that nothing sets, and what is assigned x, is random.
_VERILATOR += ["--x-initial", "unique", "--x-assign", "unique"]
_LIMIT = 1800.0
_SHOWN = 6
_MESSAGE = re.compile(r"%Error|\berror\b|syntax error|Unknown module|not found", re.IGNORECASE)


@dataclass(frozen=True)
class Design:
    """What is compiled.

    Attributes:
        top: the module.
        sources: files, packages first.
        lanes: its parameter LANES, None for its own default.
        waves: whether it can write its signals.
    """

    top: str
    sources: tuple[Path, ...]
    lanes: int | None = None
    waves: bool = False

    @classmethod
    def of(
        cls,
        folder: Path,
        top: str,
        rtl: Sequence[str | Path] | None,
        lanes: int | None = None,
        waves: bool = False,
    ) -> "Design":
        """Return the design of a set: the reference RTL, or the files of a user.

        Raises:
            ValueError: a file is missing or no Verilog.
        """
        files = reference_files() if rtl is None else [Path(each).resolve() for each in rtl]
        if not files:
            raise ValueError("rtl must name at least one file")
        for path in files:
            if not path.is_file():
                raise ValueError(f"rtl must be files, got {path}")
            if path.suffix not in _ENDINGS:
                raise ValueError(f"rtl must end with one of {', '.join(_ENDINGS)}, got {path}")
        package = (
            [] if any(path.name == PACKAGE_NAME for path in files) else [folder / PACKAGE_NAME]
        )
        return cls(top, (*package, *files), lanes, waves)

    def key(self, simulator: Simulator) -> str:
        """Return a name for the build: it changes with everything that goes into it.

        A design with an `include` always gets a new one: what it includes is not seen here.
        """
        digest = hashlib.sha256()
        settings = [simulator.version, self.top, self.lanes, self.waves, sys.executable]
        digest.update(json.dumps([*settings, _VERILATOR]).encode())
        for path in self.sources:
            text = path.read_bytes()
            digest.update(f"{path.name} {hashlib.sha256(text).hexdigest()}".encode())
            if b"`include" in text:
                digest.update(uuid4().bytes)
        return f"{simulator.name}-{self.top}-{digest.hexdigest()[:16]}"


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
    sources = [path for path in design.sources if path.suffix not in (".svh", ".vh")]
    return {
        "action": "build",
        "sources": [str(path) for path in sources if verilator or path.suffix != ".vlt"],
        "includes": sorted({str(path.parent) for path in design.sources}),
        "parameters": {} if design.lanes is None else {"LANES": design.lanes},
        "build_args": _VERILATOR if verilator else [],
        "top": design.top,
        "build": str(folder),
        "waves": design.waves,
    }


def _compiler_message(design: Design, simulator: Simulator, status: int | None, log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    found = [line for line in lines if _MESSAGE.search(line) and "Traceback" not in line]
    shown = "; ".join(line.strip() for line in (found or lines[-_SHOWN:])[:_SHOWN])
    what = "took too long to compile" if status is None else "does not compile"
    return f"{design.top} {what} with {simulator.version}: {shown}"
