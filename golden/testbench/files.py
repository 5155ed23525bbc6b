"""What goes with a testbench into a vector set, and how it is built there."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bitlog2 import SPEC_VERSION
from bitlog2.sim import AttentionConfig

from ..package.manifest import BUILD_NAME, MAKEFILE_NAME
from ..simulation import MAKE_PYTHON, run_tool, verilator_command, verilator_environment
from ..simulation.contract import CONTRACTS, modules_of
from ..simulation.tools import finished
from ..stimulus.unit import GoldenUnit, Target
from .render import render_testbench

#: The reference RTL of a set with testbenches, as a file list, and everything for FuseSoC.
RTL_NAME, LIST_NAME, CORE_NAME = "rtl", "bitlog2.f", "bitlog2.core"

_FOLDER = Path(__file__).parent
#: The modules of every testbench, compiled before it.
MODULES = _FOLDER / "bitlog2_tb.sv"
_TARGET = """\
  {device}:
    default_tool: verilator
    filesets: [rtl, {module}_tb]
    toplevel: {module}_tb
    parameters: [DUT={device}, dir]
    tools:
      verilator:
        mode: binary
        verilator_options: [--timing, --timescale, 1ns/1ps, -Wno-fatal, -CFLAGS, -std=c++20]
      icarus:
        iverilog_options: [-g2012]"""
#: Lint of the device is its owner's; one file of C++, as the index's Verilator has no headers
#: compiled ahead; coroutines by the language, as it does not know the compiler's option.
_OPTIONS = (
    *("--binary", "--timing", "--timescale", "1ns/1ps", "--output-split", "0"),
    *("-Wno-lint", "-Wno-style"),
    *("-Wno-TIMESCALEMOD", "-MAKEFLAGS", MAKE_PYTHON, "-CFLAGS", "-std=c++20"),
)

#: For builds that are run once: compiling takes longer than the run.
UNOPTIMIZED = ("-MAKEFLAGS", "OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0")


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
        files: the package, the device's files and last the testbench, in the order of compilation;
            `MODULES` is compiled before the testbench.
        module: the testbench's name without `_tb`.
        folder: for what is built.
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
    paths = [Path(path).resolve() for path in (*files[:-1], MODULES, files[-1])]
    words = [verilator_command(), *_OPTIONS, *options, *named, "-Mdir", "."]
    run_tool([*words, *paths], out, environment=verilator_environment(), timeout=timeout)
    return out / "simulate"


def run_testbench(
    program: str | Path, vectors: str | Path, *plusargs: str, timeout: float | None = None
) -> tuple[int, list[str]]:
    """Run a testbench on the memory files of a folder; return its status and what it printed.

    Args:
        program: result of `build_testbench`.
        vectors: the vector set.
        plusargs: as the head of `bitlog2_tb.sv` lists them, with the `+`.
        timeout: seconds, or None for no limit.

    Raises:
        subprocess.TimeoutExpired: it took longer.
    """
    command = [program, f"+dir={Path(vectors).resolve()}", *plusargs]
    status, printed = finished(command, timeout=timeout)
    return status, printed.splitlines()


RTL = Path(__file__).parent.parent / RTL_NAME


def reference_files(config: AttentionConfig | None = None) -> list[Path]:
    """Return the files of the reference RTL; `bitlog2_pkg.sv` is compiled before them.

    Args:
        config: what they are to be built with.

    Raises:
        ValueError: its code is one of a user's own that the modules have no form of.
    """
    if config is not None and not config.code.is_ladder:
        raise ValueError(
            "scheme must have powers of two for values, or these and their 1.5-fold, with the "
            f"thresholds that follow, for the reference RTL; RTL of your own needs no more than "
            f"vectors, got {config.scheme}"
        )
    return sorted(RTL.glob("*.sv"))


def testbench_files(
    target: Target, units: Sequence[GoldenUnit], words: Mapping[str, int]
) -> Iterator[tuple[str, bytes]]:
    """Yield the testbenches of the units, the reference RTL, and what lists and builds them.

    Args:
        target: what the set is made for.
        units: those of the set.
        words: words of each memory file by its name.
    """
    yield MODULES.name, MODULES.read_bytes()
    for unit in units:
        for module in modules_of(unit.name):
            yield f"{module}_tb.sv", render_testbench(target, unit, words, module)
    for path in reference_files(target.config):
        yield f"{RTL_NAME}/{path.name}", path.read_bytes()
    yield MAKEFILE_NAME, _makefile(units)
    listed = ["bitlog2_pkg.sv", *(f"{RTL_NAME}/{path.name}" for path in reference_files())]
    head = "// The package and the reference RTL: read with -F, or with -f in this folder."
    yield LIST_NAME, "\n".join([head, *listed, ""]).encode()
    yield CORE_NAME, _core(units, words, listed)


def _filled(name: str, **values: str) -> bytes:
    """Return a template with its marks, `@name@`, replaced."""
    text = (_FOLDER / name).read_text(encoding="utf-8")
    for mark, value in values.items():
        text = text.replace(f"@{mark}@", value)
    return text.encode()


def _makefile(units: Sequence[GoldenUnit]) -> bytes:
    contracts = [CONTRACTS[module] for unit in units for module in modules_of(unit.name)]
    stand_ins = {name: each.module for each in contracts for name in each.stand_ins}
    return _filled(
        "Makefile.in",
        units=" ".join(unit.name for unit in units),
        benches=" ".join([*(each.module for each in contracts), *stand_ins]),
        stand_ins="\n".join(f"BENCH_{name} := {module}" for name, module in stand_ins.items()),
        build=BUILD_NAME,
        rtl=RTL_NAME,
    )


def _core(units: Sequence[GoldenUnit], words: Mapping[str, int], listed: Sequence[str]) -> bytes:
    """Return the description for FuseSoC."""
    benches, targets = [], []
    for unit in units:
        memories = [name for name in words if name.split(".")[0] == unit.name]
        copied = [f"      - {name}: {{file_type: user, copyto: {name}}}" for name in memories]
        for module in modules_of(unit.name):
            bench = f"{module}_tb"
            typed = [
                f"      - {name}: {{file_type: systemVerilogSource}}"
                for name in (MODULES.name, f"{bench}.sv")
            ]
            benches += [f"  {bench}:", "    files:", *typed, *copied]
            targets += [
                _TARGET.format(device=name, module=module)
                for name in (module, *CONTRACTS[module].stand_ins)
            ]
    return _filled(
        "bitlog2.core.in",
        version=f"{SPEC_VERSION}.0",
        rtl="\n".join(f"      - {name}" for name in listed),
        benches="\n".join(benches),
        targets="\n".join(targets),
    )
