"""Compile a testbench with Verilator and run it."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from ..eda import MAKE_PYTHON, run_tool, verilator_command, verilator_environment

__all__ = ["build_testbench", "run_testbench"]

#: Lint of the device is its owner's; one file of C++, as the index's Verilator has no headers
#: compiled ahead; coroutines by the language, as it does not know the compiler's option.
_OPTIONS = (
    *("--binary", "--timing", "--timescale", "1ns/1ps", "--output-split", "0"),
    *("-Wno-lint", "-Wno-style"),
    *("-Wno-TIMESCALEMOD", "-MAKEFLAGS", MAKE_PYTHON, "-CFLAGS", "-std=c++20"),
)


def build_testbench(
    files: Sequence[str | Path],
    module: str,
    folder: str | Path,
    *,
    device: str | None = None,
    options: Sequence[str] = (),
    timeout: float | None = None,
) -> Path:
    """Compile `<module>_tb` and a device; return the program.

    Args:
        files: the package, the device's files and the testbench, in the order of compilation.
        module: the testbench's name without `_tb`.
        folder: for what is built; objects of Verilator's own that lie there are used again.
        device: name of the device's module; None for that of the testbench.
        options: more of Verilator's, such as macros.
        timeout: seconds, or None for no limit.

    Raises:
        ToolError: Verilator is not installed, or something does not compile.
        subprocess.TimeoutExpired: it took longer.
    """
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    named = ["--top-module", f"{module}_tb", f"-DDUT={device or module}", "-o", "simulate"]
    paths = [Path(path).resolve() for path in files]
    words = [verilator_command(), *_OPTIONS, *options, *named, "-Mdir", "."]
    run_tool([*words, *paths], out, environment=verilator_environment(), timeout=timeout)
    return out / "simulate"


def run_testbench(
    program: str | Path, vectors: str | Path, *plusargs: str, timeout: float | None = None
) -> tuple[int, list[str]]:
    """Run a testbench on the memory files of a folder; return its status and what it printed.

    Args:
        program: of `build_testbench`.
        vectors: the vector set.
        plusargs: as the head of a testbench lists them, with the `+`.
        timeout: seconds, or None for no limit.

    Raises:
        subprocess.TimeoutExpired: it took longer.
    """
    done = subprocess.run(
        [str(program), f"+dir={Path(vectors).resolve()}", *plusargs],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()
