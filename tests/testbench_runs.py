"""Plain testbenches for tests: a small set, and the two simulators that run them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bitlog2.golden import emit
from bitlog2.golden.simulation import icarus_found
from bitlog2.golden.simulation.contract import CONTRACTS
from bitlog2.golden.testbench import reference_files
from bitlog2.golden.testbench.files import MODULES, UNOPTIMIZED, build_testbench, run_testbench
from bitlog2.sim import AttentionConfig

#: Every device with the testbench that takes it.
DEVICES = {
    device: contract.module
    for contract in CONTRACTS.values()
    for device in (contract.module, *contract.stand_ins)
}
#: Rows of a multiple of four lanes, and not; a shift and a table of their own.
SMALL = AttentionConfig(
    max_head_dim=4, max_tokens=11, table_bits=6, max_n=4, max_n2=12, distance_int_bits=4
)

#: (vectors, plusargs) -> exit status and the lines that were printed.
Run = Callable[..., tuple[int, list[str]]]


def emit_set(folder: Path, config: AttentionConfig = SMALL, head_dim: int = 3) -> Path:
    """Emit every unit of a configuration with its testbenches."""
    emit(folder, config, head_dim=head_dim, sources=("corners",), testbench=True)
    return folder


@dataclass
class Workshop:
    """Builds testbenches, each once.

    Attributes:
        folder: where.
        built: what runs each testbench, by what it was built from.
    """

    folder: Path
    built: dict[tuple[object, ...], Run] = field(default_factory=dict)

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
        name = module or DEVICES[device]
        key = (simulator, vectors, device, name, tuple(rtl or ()), tuple(macros))
        if key not in self.built:
            self.built[key] = self._built(simulator, vectors, device, name, rtl, macros)
        return self.built[key]

    def _built(
        self,
        simulator: str,
        vectors: Path,
        device: str,
        name: str,
        rtl: Sequence[Path] | None,
        macros: Sequence[str],
    ) -> Run:
        out = self.folder / f"{len(self.built)}-{device}"
        out.mkdir(parents=True)
        bench = vectors / f"{name}_tb.sv"
        files = [vectors / "bitlog2_pkg.sv", *(rtl or reference_files()), bench]
        options = [f"-D{macro}" for macro in macros]
        if simulator == "icarus":
            return _icarus(files, name, device, out, options)
        quick = [*UNOPTIMIZED, *options]
        program = build_testbench(files, name, out, device=device, options=quick)
        return lambda at, *plusargs: run_testbench(program, at, *plusargs, timeout=120)


def _icarus(
    files: Sequence[Path], module: str, device: str, out: Path, options: Sequence[str]
) -> Run:
    program = out / "simulate"
    command = ["iverilog", "-g2012", "-s", f"{module}_tb", f"-DDUT={device}", *options]
    words = [*command, "-o", program, *files[:-1], MODULES, files[-1]]
    subprocess.run(words, check=True, timeout=120, capture_output=True)

    def run(vectors: Path, *plusargs: str) -> tuple[int, list[str]]:
        words = ["vvp", "-n", str(program), f"+dir={vectors}", *plusargs]
        done = subprocess.run(words, text=True, timeout=240, check=False, capture_output=True)
        return done.returncode, done.stdout.splitlines()

    return run


def quick_simulator() -> str:
    """Return Icarus where it is found: it compiles in a tenth of a second."""
    return "icarus" if icarus_found() else "verilator"


def verdict(lines: Sequence[str]) -> str:
    """Return the last line that passes or fails."""
    return next(line for line in reversed(lines) if line.startswith(("PASS", "FAIL")))
