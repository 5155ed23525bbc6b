"""A campaign: mutants made, run, proved, and the table of it."""

import re
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bitlog2.golden
from bitlog2.names import MOST_MUTANTS
from bitlog2.sim.files import write

from ...package.reading import open_set
from ...package.vector_manifest import VectorManifest
from ...package.vector_set import PACKAGE_NAME
from ...stimulus.unit import Progress, no_progress
from ...stimulus.units import UNITS
from ...testbench import render_testbench
from ...testbench.files import UNOPTIMIZED, build_testbench
from .catalogue import (
    NETLIST,
    SUBJECTS,
    Boundary,
    Mutant,
    Netlist,
    Subject,
    elaborate,
    entry_mutants,
    mutated,
    sampled,
)
from .proof import Proof, Prover

#: The table of the last whole run, as JSON.
TABLE = Path(__file__).parent / "table.json"

#: Undetermined mutants of the row modules: one in so many.
_UNDETERMINED_SHARE = 50
_HEADER = ("module", "mutants", "caught", "equivalent", "gaps", "undetermined", "seconds")


@dataclass(frozen=True)
class Survivor:
    """A mutant that the vectors do not catch.

    Attributes:
        mutant: which.
        verdict: equivalent, gap or undetermined.
        counterexample: inputs that tell it from the original, registers as `q_...`; or the seed of
            the pauses that do.
    """

    mutant: Mutant
    verdict: str
    counterexample: Mapping[str, int]

    def line(self) -> str:
        """Return what a person wants to read of it."""
        values = ", ".join(
            f"{name}=0x{value:x}" for name, value in self.counterexample.items() if value
        )
        where = f"differs for {values or 'all inputs 0'}" if self.counterexample else "not decided"
        return f"{self.verdict}, {self.mutant}: {where}"

    def as_dict(self) -> dict[str, Any]:
        """Return the same for JSON."""
        return {
            "mutant": str(self.mutant),
            "verdict": self.verdict,
            "counterexample": dict(self.counterexample),
        }


@dataclass(frozen=True)
class Findings:
    """What was found of a module.

    Attributes:
        subject: the module.
        mutants: how many there were.
        survivors: those that the vectors do not catch.
        seconds: that it took.
    """

    subject: Subject
    mutants: int
    survivors: tuple[Survivor, ...]
    seconds: float

    def count(self, verdict: str) -> int:
        """Return the survivors of that verdict."""
        return sum(each.verdict == verdict for each in self.survivors)

    def row(self) -> tuple[str, ...]:
        """Return the module's line of the table."""
        counts = [self.count(verdict) for verdict in ("equivalent", "gap", "undetermined")]
        numbers = (self.mutants, self.mutants - len(self.survivors), *counts, round(self.seconds))
        return (self.subject.name, *map(str, numbers))

    def enough(self) -> bool:
        """Whether no gap is left, and no more is undetermined than may be."""
        allowed = self.mutants // _UNDETERMINED_SHARE if self.subject.row else 0
        return self.count("gap") == 0 and self.count("undetermined") <= allowed

    def compared_lines(self) -> list[str]:
        """Return what the vectors and the proof compare, and what the proof assumes."""
        return [
            f"{self.subject.name}: vectors of {self.subject.unit} in {self.subject.device}; "
            f"survivors at the ports of {self.subject.compared.module}",
            *(f"  {line}" for line in _stated(self.subject.compared)),
        ]


def _stated(boundary: Boundary) -> list[str]:
    lines = [f"assumes {each}" for each in boundary.assumes]
    lines += [f"invariant {each}" for each in boundary.invariants]
    lines += [f"{requirement}: {each}" for requirement, each in boundary.lemmas.items()]
    lines += [f"{output} is compared where {each}" for output, each in boundary.seen.items()]
    return lines


@dataclass(frozen=True)
class Campaign:
    """What was found of all modules.

    Attributes:
        tested: a module each.
        seed, most: that were asked for.
    """

    tested: tuple[Findings, ...]
    seed: int
    most: int

    @property
    def status(self) -> int:
        """Exit status: 0 where enough is caught or proved, 1 where something is open."""
        return 0 if all(each.enough() for each in self.tested) else 1

    def lines(self) -> list[str]:
        """Return the table, what it compares and assumes, and what is open."""
        rows = [_HEADER, *(each.row() for each in self.tested)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = ["  ".join(_cells(row, widths)).rstrip() for row in rows]
        stated = [line for each in self.tested for line in each.compared_lines()]
        open_lines = [
            f"{each.subject.name}: {survivor.line()}"
            for each in self.tested
            for survivor in each.survivors
            if survivor.verdict != "equivalent"
        ]
        return [
            f"seed {self.seed}, at most {self.most} mutants a module",
            *table,
            *stated,
            *open_lines,
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return the same for JSON."""
        return {
            "seed": self.seed,
            "most": self.most,
            "modules": [
                {
                    **dict(zip(_HEADER[:1], each.row()[:1], strict=True)),
                    **dict(zip(_HEADER[1:], map(int, each.row()[1:]), strict=True)),
                    "vectors": each.subject.unit,
                    "device": each.subject.device,
                    "compared_at": each.subject.compared.module,
                    "states": _stated(each.subject.compared),
                    "survivors": [survivor.as_dict() for survivor in each.survivors],
                }
                for each in self.tested
            ],
        }


def _cells(row: tuple[str, ...], widths: list[int]) -> list[str]:
    first, *others = zip(row, widths, strict=True)
    return [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]


_LINE = re.compile(r"^mutant (\d+): (PASS|FAIL)", re.MULTILINE)


@dataclass(frozen=True)
class MutantBench:
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
    netlist: Netlist, vectors: Path, manifest: VectorManifest, unit: str, module: str
) -> MutantBench:
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
    program = build_testbench(
        [netlist.folder / NETLIST, netlist.folder / "bench.sv"],
        module,
        netlist.folder / "build",
        device=netlist.top,
        options=["--no-assert", "-Wno-fatal", "-DMUTANTS", *UNOPTIMIZED],
    )
    return MutantBench(program, vectors, len(netlist.mutants))


#: Seconds for one mutant in the bench, and for one question to the solver.
_BENCH_SECONDS, _PROOF_SECONDS = 20.0, 60
#: As many times as long for a survivor of a unit, which must not stay undetermined.
_UNIT_PATIENCE = 3
#: Of the pauses, that an undetermined mutant is run with, too.
_OTHER_SEEDS = 16
_CHECKS = "checks.sv"


def mutate(
    vectors: str | Path,
    modules: Sequence[str] | None = None,
    *,
    most: int = MOST_MUTANTS,
    seed: int = 0,
    processes: int = 2,
    proof_seconds: int = _PROOF_SECONDS,
    progress: Progress = no_progress,
) -> Campaign:
    """Return what the vectors of a set find of the mutants of the reference RTL.

    Args:
        vectors: folder of a vector set that holds the units of these modules.
        modules: names of `SUBJECTS`; None for all.
        most: mutants of a module; of those that Yosys offers, sampled evenly.
        seed: of the sampling, and of the pauses on the streams.
        processes: modules at a time.
        proof_seconds: for the proof of a survivor of a row; three times as many for one of a unit.
        progress: shows how far it is.

    Raises:
        ToolError: Yosys, Verilator or z3 is missing or fails.
        ValueError: a name is unknown, the set cannot be used, or the original fails.
    """
    names = list(SUBJECTS if modules is None else dict.fromkeys(modules))
    for name in names:
        if name not in SUBJECTS:
            raise ValueError(f"module must be one of {', '.join(SUBJECTS)}, got {name!r}")
    folder = Path(vectors).resolve()
    run = _Run(folder, open_set(folder), most, seed, proof_seconds)
    with ThreadPoolExecutor(processes) as pool:
        found = pool.map(run.tested, [SUBJECTS[name] for name in names])
        tested = tuple(progress(found, "mutation", len(names)))
    return Campaign(tested, seed, most)


class _Run:
    """One run over a set."""

    def __init__(
        self, vectors: Path, manifest: VectorManifest, most: int, seed: int, proof_seconds: int
    ) -> None:
        self._vectors, self._manifest = vectors, manifest
        self._most, self._seed, self._proof_seconds = most, seed, proof_seconds

    def tested(self, subject: Subject) -> Findings:
        """Return what is found of a module's mutants."""
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="bitlog2-mutation-") as name:
            netlist = self._netlist(Path(name), subject)
            bench = build_bench(
                netlist, self._vectors, self._manifest, subject.unit, subject.testbench
            )
            numbers = bench.survivors(self._seed, _BENCH_SECONDS)
            left = [netlist.mutants[number - 1] for number in numbers]
            survivors = self._judged(netlist, bench, subject, left)
        seconds = time.monotonic() - begun
        return Findings(subject, len(netlist.mutants), survivors, seconds)

    def _netlist(self, folder: Path, subject: Subject) -> Netlist:
        sources = Path(bitlog2.golden.__file__).parent / "rtl"
        rtl = [path for path in sorted(sources.glob("*.sv")) if path.name != _CHECKS]
        rtl.insert(0, self._vectors / PACKAGE_NAME)
        if not subject.entries:
            return sampled(folder, rtl, subject.device, subject.module, self._most, self._seed)
        elaborate(folder, rtl, subject.device)
        mutants = entry_mutants(folder, subject.module, self._manifest.target.config)
        return mutated(folder, subject.device, mutants)

    def _judged(
        self, netlist: Netlist, bench: MutantBench, subject: Subject, left: Sequence[Mutant]
    ) -> tuple[Survivor, ...]:
        if not left:
            return ()
        seconds = self._proof_seconds * (1 if subject.row else _UNIT_PATIENCE)
        prover = Prover(netlist, subject.compared, PACKAGE_NAME, seconds)
        found = []
        for mutant, proof in zip(left, prover.prove(left), strict=True):
            verdict, inputs = _verdict(subject, prover, proof), proof.counterexample
            if verdict == "undetermined":
                seeds = range(self._seed + 1, self._seed + 1 + _OTHER_SEEDS)
                seed = bench.other_seed(mutant.number, seeds, _BENCH_SECONDS)
                if seed is not None:
                    verdict, inputs = "gap", {"seed": seed}
            found.append(Survivor(mutant, verdict, inputs))
        return tuple(found)


def _verdict(subject: Subject, prover: Prover, proof: Proof) -> str:
    """Return the verdict on a survivor.

    A difference in one clock cycle of a row module may begin in a state that it never reaches;
    then other pauses on its streams may still find it.
    """
    if proof.verdict == "equivalent":
        return "equivalent"
    if proof.verdict == "unknown" or (subject.row and prover.has_state):
        return "undetermined"
    return "gap"
