"""The vectors of a unit against each mutant, in one compiled bench that stops at a difference."""

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bitlog2.sim.files import write

from ..eda import run_tool, verilator_command, verilator_environment
from ..manifest import Manifest
from ..testbench import render_testbench
from ..units import UNITS
from .netlist import NETLIST, Netlist

__all__ = ["Bench", "build_bench"]

_LINE = re.compile(r"^mutant (\d+): (PASS|FAIL)", re.MULTILINE)
_FLAGS = (
    "--binary",
    "--timing",
    "--no-assert",
    "-Wno-lint",
    "-Wno-style",
    "-Wno-fatal",
    "-DMUTANTS",
    "--output-split",
    "0",
    "-MAKEFLAGS",
    "OPT_FAST=-O0 OPT_SLOW=-O0",
    "-CFLAGS",
    "-std=c++20",
    "--Mdir",
    "build",
    "-o",
    "bench",
)


@dataclass(frozen=True)
class Bench:
    """A compiled bench.

    Attributes:
        program: its path.
        vectors: folder of the vector set.
        mutants: how many there are.
    """

    program: Path
    vectors: Path
    mutants: int

    def survivors(self, seed: int, timeout: float) -> list[int]:
        """Return the numbers of the mutants that give what the original gives.

        Each sees pauses drawn from the seed on all its streams. One that hangs, or that the
        simulator gives up on, is caught.

        Args:
            seed: of the pauses.
            timeout: seconds for one mutant; more is a hang.

        Raises:
            ValueError: the original itself fails: the vectors are not this device's.
        """
        passed: list[int] = []
        first = 0
        while first <= self.mutants:
            lines = _LINE.findall(self._run(first, seed, timeout))
            passed += [int(number) for number, verdict in lines if verdict == "PASS"]
            if first == 0 and passed[:1] != [0]:
                raise ValueError(f"vectors of {self.vectors} must pass on the original, they fail")
            last = int(lines[-1][0]) if lines else first - 1
            first = last + 2  # the one after the last line ended the run
        return passed[1:]

    def other_seed(self, mutant: int, seeds: Iterable[int], timeout: float) -> int | None:
        """Return the first seed of the pauses with which a mutant is caught, or None."""
        for seed in seeds:
            if not any(
                "PASS" in line for line in _LINE.findall(self._run(mutant, seed, timeout, 1))
            ):
                return seed
        return None

    def _run(self, first: int, seed: int, timeout: float, count: int | None = None) -> str:
        """Return what the bench prints of the mutants from `first` on, as far as it comes."""
        left = self.mutants + 1 - first if count is None else count
        words = [str(self.program), f"+dir={self.vectors}", "+stop", f"+seed={seed}"]
        words += [f"+mutant={first}", f"+mutants={left}"]
        try:
            done = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=timeout * left,
                check=False,
            )
        except subprocess.TimeoutExpired as expired:
            return expired.stdout.decode() if isinstance(expired.stdout, bytes) else ""
        return done.stdout


def build_bench(
    netlist: Netlist, vectors: Path, manifest: Manifest, unit: str, module: str
) -> Bench:
    """Return the bench of a netlist, compiled by Verilator in the netlist's folder.

    Args:
        netlist: the mutants.
        vectors: folder of a set.
        manifest: of the set.
        unit: whose vectors are run.
        module: whose testbench is taken.

    Raises:
        ToolError: Verilator is missing or fails.
        ValueError: the set does not hold the unit.
    """
    if UNITS[unit] not in manifest.units:
        raise ValueError(f"vector set must hold {unit}, got {vectors}")
    text = render_testbench(manifest.target, UNITS[unit], manifest.words, module)
    write(netlist.folder / "bench.sv", text)
    command = [verilator_command(), *_FLAGS, f"-DDUT={netlist.top}", "bench.sv", NETLIST]
    run_tool(command, netlist.folder, environment=verilator_environment())
    return Bench(netlist.folder / "build" / "bench", vectors, len(netlist.mutants))
