"""A module under its testbench with coverage, on a vector set."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from bitlog2.sim.files import write

from ..contract import CONTRACTS
from ..eda import MAKE_PYTHON, ToolError, run_tool, verilator_command, verilator_environment
from ..manifest import Manifest
from ..testbench import reference_files, render_testbench
from ..testbench.build import run_testbench
from ..units import UNITS
from .dat import Point, read_points

__all__ = ["BENCHES", "Runtime", "judged_modules", "run_bench"]

#: Helpers without vectors of their own -> the bench that must reach all of them.
_HOMES = {"distance": "row_max", "leading_one": "log2_quantizer", "shift_add_lane": "shift_add"}
#: Bench -> (the testbench's module, the unit of its vectors).
BENCHES: Mapping[str, tuple[str, str]] = {
    name: (contract.module, contract.unit)
    for contract in CONTRACTS.values()
    for name in (contract.module, *contract.stand_ins)
}
_OPTIONS: tuple[str, ...] = ("--cc", "--exe", "--main", "--timing", "--output-split", "0")
_OPTIONS += ("--coverage-line", "--coverage-toggle", "-CFLAGS", "-std=c++20")
_OPTIONS += ("-Wno-lint", "-Wno-style", "-Wno-TIMESCALEMOD")
_MAKE = (MAKE_PYTHON, "OPT_FAST=-O0", "OPT_SLOW=-O0", "OPT_GLOBAL=-O0")
_CONTROL = '`verilator_config\ncoverage_off -file "*_tb.sv"\n'
_SECONDS = 1800


def judged_modules(bench: str) -> tuple[str, ...]:
    """Return the modules whose points a bench must reach: its own, and helpers at home there."""
    return (bench, *(helper for helper, home in _HOMES.items() if home == bench))


class Runtime:
    """Verilator's own objects, compiled for the first bench and taken over by the next."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    def lend(self, build: Path) -> None:
        """Put what there is into a folder that is about to be compiled."""
        for path in self._folder.iterdir():
            shutil.copyfile(path, build / path.name)

    def take(self, build: Path) -> None:
        """Keep the objects that a compiled folder has."""
        for path in build.glob("verilated*.o"):
            shutil.copyfile(path, self._folder / path.name)


def run_bench(
    vectors: Path, manifest: Manifest, bench: str, folder: Path, runtime: Runtime
) -> dict[Point, int]:
    """Return the hits of every point of the modules that a bench is judged by.

    Args:
        vectors: the vector set.
        manifest: its manifest.
        bench: one of `BENCHES`.
        folder: a new folder for what is built.
        runtime: objects shared by the benches.

    Raises:
        ToolError: Verilator is not installed, something does not compile, or the bench fails.
    """
    module, unit = BENCHES[bench]
    folder.mkdir()
    testbench = folder / f"{module}_tb.sv"
    write(testbench, render_testbench(manifest.target, UNITS[unit], manifest.words, module))
    write(folder / "coverage.vlt", _CONTROL)
    program = _build(vectors, module, bench, folder, runtime)
    data = folder / "coverage.dat"
    status, printed = run_testbench(
        program, vectors, f"+verilator+coverage+file+{data}", timeout=_SECONDS
    )
    if status != 0 or not data.is_file():
        raise ToolError("\n".join([f"testbench of {bench} failed on {vectors}:", *printed[-5:]]))
    points = read_points(data.read_text(encoding="utf-8"), data.name)
    judged = judged_modules(bench)
    return {point: hits for point, hits in points.items() if point.module in judged}


def _build(vectors: Path, module: str, bench: str, folder: Path, runtime: Runtime) -> Path:
    """Compile a testbench and the reference RTL with coverage; return the program."""
    files = [vectors / "bitlog2_pkg.sv", *reference_files(), folder / f"{module}_tb.sv"]
    paths = [path.resolve() for path in (folder / "coverage.vlt", *files)]
    build = folder / "build"
    build.mkdir()
    environment = verilator_environment()
    named = ["--top-module", f"{module}_tb", f"-DDUT={bench}", "-Mdir", ".", "-o", "simulate"]
    run_tool(
        [verilator_command(), *_OPTIONS, *named, *paths],
        build,
        environment=environment,
        timeout=_SECONDS,
    )
    runtime.lend(build)
    run_tool(
        ["make", "-f", f"V{module}_tb.mk", *_MAKE, "simulate"],
        build,
        environment=environment,
        timeout=_SECONDS,
    )
    runtime.take(build)
    return build / "simulate"
