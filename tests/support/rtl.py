"""The reference RTL for tests: its files, four front ends, and the testbenches that run it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import pyslang
import pytest
from pyslang.driver import Driver

import bitlog2.golden
from bitlog2.golden import emit
from bitlog2.golden.simulation.contract import DEVICES, devices_within
from bitlog2.golden.simulation.svpackage import render_package
from bitlog2.golden.simulation.tools import (
    finished,
    icarus_found,
    run_tool,
    verilator_command,
    verilator_environment,
    yosys,
)
from bitlog2.golden.stimulus.unit import Target
from bitlog2.golden.stimulus.units import units_within
from bitlog2.golden.testbench.files import MODULES as BENCH
from bitlog2.golden.testbench.files import UNOPTIMIZED, build_testbench
from bitlog2.sim import SCHEMES, AttentionConfig
from support.shared import made_once

#: Compiles in a tenth of a second where it is found.
FAST = "icarus" if icarus_found() else "verilator"
needs_icarus = pytest.mark.skipif(not icarus_found(), reason="Icarus Verilog is not on PATH")
RTL = Path(bitlog2.golden.__file__).parent / "rtl"
BIND = RTL / "bind"
#: The checkers, which synthesis sees as empty modules, and the file that holds both.
CHECKERS = ("axis_checks", "row_checks")
CHECKS_FILE = "checks.sv"
#: Modules that synthesize, by their files.
MODULES = tuple(path.stem for path in sorted(RTL.glob("*.sv")) if path.name != CHECKS_FILE)
#: Those that no other module has an instance of: together they reach every module.
_INSTANCE = re.compile(r"^ +(\w+) (?:#\(|\w+ \()", re.MULTILINE)
_INSTANCES = {name for path in RTL.glob("*.sv") for name in _INSTANCE.findall(path.read_text())}
TOPS = tuple(name for name in (*MODULES, *CHECKERS) if name not in _INSTANCES)
_SLANG = ("slang", "-Wextra", "-Wno-useless-cast")


def rtl_files() -> list[Path]:
    """Return what a user compiles after the package."""
    return sorted(RTL.glob("*.sv"))


def write_package(folder: Path, config: AttentionConfig, head_dim: int | None = None) -> Path:
    """Write the package of a configuration, as `emit` does, and return its path."""
    path = folder / "bitlog2_pkg.sv"
    units = list(units_within(config).values())
    path.write_bytes(render_package(Target.of(config, head_dim), units))
    return path


def lint_verilator(files: Sequence[Path], folder: Path, *options: str) -> str:
    """Return the messages of Verilator with -Wall for every module that is a top.

    The package's constants that one device does not use are no fault of the device.
    """
    words = ["--lint-only", "-Wall", "-Wno-UNUSEDPARAM", "-Wno-MULTITOP", "--quiet-stats"]
    command = [verilator_command(), *words, "-Wno-fatal", "--timing", "--assert", *options, *files]
    return run_tool(command, folder, environment=verilator_environment(), timeout=120)


def lint_slang(files: Sequence[Path], *options: str) -> str:
    """Return every diagnostic of slang with -Wextra.

    A cast to a parameter's width may be of the same width in one configuration: no fault.
    """
    driver = Driver()
    driver.addStandardArgs()
    assert driver.parseCommandLine(" ".join([*_SLANG, *options, *map(str, files)]))
    assert driver.processOptions()
    assert driver.parseAllSources()
    compilation = driver.createCompilation()
    shown = [
        each
        for each in compilation.getAllDiagnostics()
        if driver.diagEngine.getSeverity(each.code, each.location)
        != pyslang.DiagnosticSeverity.Ignored
    ]
    return pyslang.DiagnosticEngine.reportAll(driver.sourceManager, shown)


def lint_icarus(files: Sequence[Path], tops: Sequence[str], folder: Path) -> str:
    """Return the messages of Icarus with -Wall.

    Left out is that Icarus 11 makes a process sensitive to a whole vector where it reads a part.
    """
    chosen = [word for top in tops for word in ("-s", top)]
    command = ["iverilog", "-g2012", "-Wall", *chosen, "-o", folder / "lint.vvp", *files]
    printed = run_tool(command, folder, timeout=120).splitlines()
    return "\n".join(line for line in printed if "sorry: constant selects in always_*" not in line)


def synthesized(files: Sequence[Path], top: str, folder: Path) -> str:
    """Return what Yosys prints for a module: its warnings, its checks, its cells.

    Raises:
        ToolError: Yosys refuses it, or `check -assert` finds a loop or two drivers.
    """
    inputs = folder / "yosys"
    inputs.mkdir(exist_ok=True)
    names = [Path(shutil.copy(path, inputs)).name for path in files]
    script = (
        f"read_verilog -sv {' '.join(names)}; hierarchy -check -top {top}; proc; check -assert; "
        "flatten; stat"
    )
    return yosys(script, inputs, timeout=300)


def cells_of(printed: str) -> set[str]:
    """Return the types of the cells in the last statistics that Yosys printed."""
    return set(re.findall(r"^\s+\d+\s+(?:\S+\s+)?(\S+)$", printed[printed.rindex("cells") :], re.M))


# Plain testbenches.

#: Rows of a multiple of four lanes, and not; a shift and a table of their own; narrow q and k, as
#: the score accumulator is given every pair of codes.
BENCH_CONFIG = AttentionConfig(
    q_bits=3,
    k_bits=3,
    max_head_dim=4,
    max_tokens=11,
    table_bits=6,
    max_n=4,
    max_n2=12,
    distance_int_bits=4,
)

HALF_17, ROW_MAX_16 = "BitLog2_Half_17", "RowMax_16"
#: What is the same of every scheme, but for the package that it is built with.
_ALIKE = ("score_accumulator", "score_requantizer", "row_max", "code_register", "code_memory")
#: (device, scheme): each device of Half_17, and of RowMax_16 those that differ or are its own.
BUILT: tuple[tuple[str, str], ...] = tuple(
    (device, scheme)
    for scheme in (HALF_17, ROW_MAX_16)
    for device in devices_within(AttentionConfig(scheme))
    if scheme == HALF_17 or device not in _ALIKE
)


def with_row_max(config: AttentionConfig) -> AttentionConfig:
    """Return the configuration for RowMax_16, with room for what a row adds to n2."""
    added = (SCHEMES[ROW_MAX_16].int_max * config.max_tokens).bit_length() - 1
    return replace(config, scheme=ROW_MAX_16, max_n2=min(config.max_n2 + added, 48))


def config_of(device: str, config: AttentionConfig) -> AttentionConfig:
    """Return the configuration, for RowMax_16 where only its datapath has the device."""
    return config if device in devices_within(config) else with_row_max(config)


#: (vectors, plusargs) -> exit status and the lines that were printed.
Run = Callable[..., tuple[int, list[str]]]


def emit_set(folder: Path, config: AttentionConfig = BENCH_CONFIG, head_dim: int = 3) -> Path:
    """Emit every unit of a configuration with its testbenches."""
    emit(folder, config, head_dim=head_dim, sources=("corners",), testbench=True)
    return folder


@dataclass(frozen=True)
class Workshop:
    """Builds testbenches, each once for all processes of a test run."""

    factory: pytest.TempPathFactory

    def build(
        self,
        simulator: str,
        vectors: Path,
        device: str,
        *,
        module: str | None = None,
        rtl: Sequence[Path] | None = None,
        macros: Sequence[str] = (),
    ) -> Run:
        """Compile a device and its testbench; return what runs them."""
        name = module or DEVICES[device].module
        bench = vectors / f"{name}_tb.sv"
        files = [vectors / "bitlog2_pkg.sv", *(rtl or rtl_files()), bench]
        options = [f"-D{macro}" for macro in macros]
        of = " ".join(map(str, [simulator, device, *options, *files]))

        def icarus(out: Path) -> None:
            words = ["iverilog", "-g2012", "-s", f"{name}_tb", f"-DDUT={device}", *options]
            sources = [*files[:-1], BENCH, bench]
            run_tool([*words, "-o", out / "simulate", *sources], out, timeout=120)

        def verilator(out: Path) -> None:
            build_testbench(files, name, out, device=device, options=[*UNOPTIMIZED, *options])

        make = icarus if simulator == "icarus" else verilator
        digest = sha256(of.encode()).hexdigest()[:12]
        program = made_once(self.factory, f"bench-{digest}", make) / "simulate"
        first = ["vvp", "-n", program] if simulator == "icarus" else [program]

        def run(at: Path, *plusargs: str) -> tuple[int, list[str]]:
            status, printed = finished([*first, f"+dir={at}", *plusargs], timeout=240)
            return status, printed.splitlines()

        return run


def verdict(lines: Sequence[str]) -> str:
    """Return the last line that passes or fails."""
    return next(line for line in reversed(lines) if line.startswith(("PASS", "FAIL")))
