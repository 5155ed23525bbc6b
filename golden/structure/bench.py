"""A module under its testbench with coverage, on a vector set."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from bitlog2.sim.files import write

from ..contract import CONTRACTS
from ..cosim.build import Design
from ..cosim.devices import DEVICES
from ..cosim.ports import WRAPPER
from ..eda import MAKE_PYTHON, ToolError, run_tool, verilator_command, verilator_environment
from ..manifest import Manifest
from ..testbench import reference_files, render_testbench
from ..testbench.build import run_testbench
from ..units import UNITS
from ..vector_set import PACKAGE_NAME
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
_OPTIONS += ("-Wno-fatal", "-Wno-lint", "-Wno-style", "-Wno-TIMESCALEMOD")
_MAKE = (MAKE_PYTHON, "OPT_FAST=-O0", "OPT_SLOW=-O0", "OPT_GLOBAL=-O0")
_CONTROL = '`verilator_config\ncoverage_off -file "*_tb.sv"\n'
_CONTROL += f'coverage_off -file "*{WRAPPER}.sv"\n'
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
    vectors: Path,
    manifest: Manifest,
    bench: str,
    folder: Path,
    runtime: Runtime,
    design: Design | None = None,
) -> dict[Point, int]:
    """Return the hits of every point of the modules that a bench is judged by.

    Args:
        vectors: the vector set.
        manifest: its manifest.
        bench: one of `BENCHES`.
        folder: a new folder for what is built.
        runtime: objects shared by the benches.
        design: what is measured, all its modules; None for the reference.

    Raises:
        ToolError: Verilator is not installed, something does not compile, or the bench fails.
    """
    module, unit = BENCHES[bench]
    folder.mkdir()
    testbench = folder / f"{module}_tb.sv"
    write(testbench, render_testbench(manifest.target, UNITS[unit], manifest.words, module))
    write(folder / "coverage.vlt", _CONTROL)
    if design is None:
        files, words = [vectors / PACKAGE_NAME, *reference_files()], [f"-DDUT={bench}"]
    else:
        wrapper = folder / f"{WRAPPER}.sv"
        write(wrapper, design.wrapper.text)
        files, words = [*design.sources, wrapper], _words(design, bench)
    program = _build([*files, testbench], words, module, folder, runtime)
    data = folder / "coverage.dat"
    stalls = [] if design is None or design.rtl.back_pressure else ["+stall=0"]
    status, printed = run_testbench(
        program, vectors, f"+verilator+coverage+file+{data}", *stalls, timeout=_SECONDS
    )
    if status != 0 or not data.is_file():
        raise ToolError("\n".join([f"testbench of {bench} failed on {vectors}:", *printed[-5:]]))
    judged = judged_modules(bench) if design is None else tuple(design.files)
    points = read_points(data.read_text(encoding="utf-8"), data.name, judged)
    return {point: hits for point, hits in points.items() if point.module in judged}


def _words(design: Design, bench: str) -> list[str]:
    """Return the options for a user's design.

    Raises:
        ValueError: the testbench cannot play it.
    """
    contract, lanes = DEVICES[bench].contract, design.wrapper.lanes
    if contract.plain and design.wrapper.clocked:
        raise ValueError(f"coverage plays {bench} without a clock, got {design.top} with one")
    wide = {lanes[each.prefix] for each in contract.channels if each.lanes and each.prefix in lanes}
    if len(wide) > 1:
        raise ValueError(f"coverage plays one number of lanes, got {sorted(wide)} of {design.top}")
    words = [f"-DDUT={WRAPPER}", *(f"-DLANES={each}" for each in wide)]
    words += [f"-D{name}={value}" for name, value in design.rtl.defines.items()]
    if any(each.prefix not in lanes for each in contract.outputs):
        words.append("-DNO_TAPS=1")
    return words + [f"-I{folder}" for folder in design.includes]


def _build(
    files: Sequence[Path], words: Sequence[str], module: str, folder: Path, runtime: Runtime
) -> Path:
    """Compile a testbench and what it plays with coverage; return the program."""
    paths = [path.resolve() for path in (folder / "coverage.vlt", *files)]
    build = folder / "build"
    build.mkdir()
    environment = verilator_environment()
    named = ["--top-module", f"{module}_tb", *words, "-Mdir", ".", "-o", "simulate"]
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
