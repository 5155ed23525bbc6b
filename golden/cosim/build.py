"""Compile a device for a simulator; a build that is there already is used again."""

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from ..eda import Rtl, ToolError, elaborate
from ..reading import open_set
from ..testbench import reference_files
from ..vector_set import PACKAGE_NAME
from .channels import Device
from .ports import WRAPPER, Wrapper, wrap
from .process import run_group
from .simulators import MAKE_PATH, Simulator

__all__ = ["Design", "build_design", "start"]

_LAUNCH = Path(__file__).with_name("launch.py")
#: Only the ports of the wrapper are seen from outside, as it says: that compiles in half the time.
#: Delays such as `<= #1` are kept; they need the C++ of coroutines. State that nothing sets, and
#: what is assigned x, is random.
_VERILATOR = ["--no-public-flat-rw", "--assert", "-Wno-fatal"]
_VERILATOR += ["--timing", "-CFLAGS", "-std=c++20"]
_VERILATOR += ["--x-initial", "unique", "--x-assign", "unique"]
_LIMIT = 1800.0
_SHOWN = 6
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
    shown = "; ".join(line.strip() for line in (found or lines[-_SHOWN:])[:_SHOWN])
    what = "took too long to compile" if status is None else "does not compile"
    return f"{design.top} {what} with {simulator.version}: {shown}"
