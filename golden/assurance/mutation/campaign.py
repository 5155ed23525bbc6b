"""A campaign: mutants made, run, proved, and the table of it."""

import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta
from msgspec.structs import replace

from bitlog2.documents import Count, Document
from bitlog2.names import MOST_MUTANTS
from bitlog2.sim import SCHEMES, AttentionConfig
from bitlog2.sim.checks import check_choice
from bitlog2.sim.files import write
from bitlog2.table import aligned

from ...junit import JunitCase, JunitSuite
from ...package.reading import open_set
from ...package.vector_manifest import VectorManifest
from ...package.vector_set import PACKAGE_NAME
from ...simulation.contract import CONTRACTS, Contract
from ...simulation.tools import finished
from ...stimulus.unit import PlantedFaults, Progress, no_progress
from ...stimulus.units import units_within
from ...testbench import render_testbench
from ...testbench.files import build_testbench
from ..yosys import sources
from .catalogue import (
    NETLIST,
    Boundary,
    Mutant,
    MutatedDesign,
    Subject,
    elaborate,
    entry_mutants,
    modules_inside,
    mutated,
    sampled,
    subjects_within,
)
from .equivalence import Prover
from .question import Proof

#: Schemes whose tables the package keeps.
KEPT = ("BitLog2_Half_17", "RowMax_16")

_COUNTS = ("mutants", "caught", "equivalent", "rate", "gaps", "undetermined", "seconds")


#: What is found of a mutant that the vectors do not catch.
Verdict = Literal["equivalent", "rate", "gap", "undetermined"]


class Survivor(Document, frozen=True, kw_only=True):
    """A mutant that the vectors do not catch.

    Attributes:
        mutant: number and place of the mutant.
        verdict: equivalent; rate, where it gives every word and takes other cycles without pauses
            than the original; gap or undetermined.
        counterexample: inputs that tell it from the original, registers as `q_...`; or the seed of
            the pauses that do; or the cycles of both.
    """

    mutant: str
    verdict: Verdict
    counterexample: dict[str, int]

    def line(self) -> str:
        """Return it in words."""
        if self.verdict == "rate":
            ours, original = self.counterexample["cycles"], self.counterexample["original"]
            return f"rate, {self.mutant}: {ours} cycles without pauses, the original {original}"
        values = ", ".join(
            f"{name}=0x{value:x}" for name, value in self.counterexample.items() if value
        )
        where = f"differs for {values or 'all inputs 0'}" if self.counterexample else "not decided"
        return f"{self.verdict}, {self.mutant}: {where}"


class InRow(Document, frozen=True, kw_only=True):
    """Mutants of a module that run in `attention_row`, with its vectors and pauses.

    Attributes:
        mutants: how many there were.
        with_taps: caught where the taps are compared, too.
        without_taps: caught by o and its handshake alone.
    """

    mutants: Count
    with_taps: Count
    without_taps: Count

    def __post_init__(self) -> None:
        if not self.without_taps <= self.with_taps <= self.mutants:
            raise ValueError("without_taps must be at most with_taps, and that at most mutants")


class Findings(Document, frozen=True, kw_only=True):
    """What was found of a module.

    Attributes:
        module: name of its subject.
        mutants, caught: how many there were, and how many the vectors catch.
        equivalent, rate, gaps, undetermined: survivors by verdict.
        seconds: wall time.
        vectors, device, compared_at: unit, module in the bench, module at whose ports survivors are
            compared.
        states: what the proof assumes, proves and compares.
        survivors: mutants that the vectors do not catch.
        in_row: the module's mutants in `attention_row`; None where that has no such module, or the
            set no rows.
    """

    module: str
    mutants: Count
    caught: Count
    equivalent: Count
    rate: Count = 0
    gaps: Count
    undetermined: Count
    seconds: Count
    vectors: str
    device: str
    compared_at: str
    states: tuple[str, ...]
    survivors: tuple[Survivor, ...]
    in_row: InRow | None = None

    @classmethod
    def of(
        cls,
        subject: Subject,
        mutants: int,
        survivors: Sequence[Survivor],
        seconds: float,
        in_row: InRow | None = None,
    ) -> "Findings":
        """Return the findings of a subject, counted."""
        module, compared = subject.module, subject.compared
        return cls.counted(
            mutants,
            survivors,
            seconds,
            module=subject.name,
            vectors=module.contract.unit,
            device=module.device,
            compared_at=compared.module,
            states=tuple(compared.lines()),
            in_row=in_row,
        )

    @classmethod
    def counted(
        cls, mutants: int, survivors: Sequence[Survivor], seconds: float, **rest: Any
    ) -> "Findings":
        """Return findings with the survivors' verdicts counted; `rest` are the other attributes."""
        verdicts = [each.verdict for each in survivors]
        return cls(
            mutants=mutants,
            caught=mutants - len(survivors),
            equivalent=verdicts.count("equivalent"),
            rate=verdicts.count("rate"),
            gaps=verdicts.count("gap"),
            undetermined=verdicts.count("undetermined"),
            seconds=round(seconds),
            survivors=tuple(survivors),
            **rest,
        )

    def line(self) -> str:
        """Return the counts in words."""
        counts = ", ".join(f"{getattr(self, name)} {name}" for name in _COUNTS[1:])
        return f"{self.module}: {self.mutants} mutants, {counts}"

    def enough(self) -> bool:
        """Whether every mutant is caught, proved equivalent or told by its rate."""
        return self.gaps == self.undetermined == 0

    def compared_lines(self) -> list[str]:
        """Return what the vectors and the proof compare, and what the proof assumes."""
        return [
            f"{self.module}: vectors of {self.vectors} in {self.device}; "
            f"survivors at the ports of {self.compared_at}",
            *(f"  {line}" for line in self.states),
        ]


def kept_table(scheme: str) -> Path:
    """Return the file of the table that the package keeps of a scheme's modules, as JSON."""
    return Path(__file__).parent / f"{scheme}.json"


class Campaign(Document, frozen=True, kw_only=True):
    """What was found of all modules.

    Attributes:
        scheme: that of the vectors.
        seed, most: requested seed, and largest number of mutants per module.
        modules: in the order of the datapath.
        planted_faults: what the set finds of faults that are planted by formula.
    """

    scheme: Annotated[str, Meta(extra_json_schema={"enum": list(SCHEMES)})]
    seed: Count
    most: Count
    modules: tuple[Findings, ...]
    planted_faults: tuple[PlantedFaults, ...] = ()

    @property
    def status(self) -> int:
        """Exit status: 0 where enough is caught or proved, 1 where something is open."""
        return 0 if all(each.enough() for each in self.modules) else 1

    def lines(self) -> list[str]:
        """Return the table, what it compares and assumes, and what is open."""
        rows: list[tuple[str, ...]] = [("module", *_COUNTS)]
        rows += [
            (each.module, *(str(getattr(each, name)) for name in _COUNTS)) for each in self.modules
        ]
        return [
            f"seed {self.seed}, at most {self.most} mutants a module",
            *aligned(rows, "<" + ">" * len(_COUNTS)),
            *self._row_lines(),
            *(line for each in self.modules for line in each.compared_lines()),
            *(
                f"{each.module}: {survivor.line()}"
                for each in self.modules
                for survivor in each.survivors
                if survivor.verdict != "equivalent"
            ),
        ]

    def suites(self) -> list[JunitSuite]:
        """Return a suite with a case per module."""
        cases = [
            JunitCase(
                "mutation",
                each.module,
                each.seconds,
                not each.enough(),
                (each.line(), *(s.line() for s in each.survivors if s.verdict != "equivalent")),
            )
            for each in self.modules
        ]
        about = {"scheme": self.scheme, "seed": self.seed, "most": self.most}
        return [JunitSuite("mutation", cases, sum(case.seconds for case in cases), about)]

    def joined(self, older: "Campaign") -> "Campaign":
        """Return this table with the modules of an older one that it has not itself.

        Nothing is taken over where scheme, seed or largest number of the two differ.
        """
        same = ("scheme", "seed", "most")
        if any(getattr(self, name) != getattr(older, name) for name in same):
            return self
        found = {each.module: each for each in (*older.modules, *self.modules)}
        order = subjects_within(AttentionConfig(self.scheme))
        return replace(self, modules=tuple(found[name] for name in order if name in found))

    def _row_lines(self) -> list[str]:
        """Return what is found in rows with their taps, and by their output codes alone."""
        names = ("with_taps", "without_taps")
        rows: list[tuple[str, ...]] = [("found in rows", "of", *names)]
        for each in self.modules:
            if (found := each.in_row) is not None:
                counts = (found.mutants, found.with_taps, found.without_taps)
                rows.append((f"mutants of {each.module}", *map(str, counts)))
        for planted in self.planted_faults:
            counts = (planted.planted, planted.with_taps, planted.without_taps)
            rows.append((f"faults planted in {planted.module}", *map(str, counts)))
        return aligned(rows, "<>>>") if len(rows) > 1 else []


#: A survivor runs through all vectors: they take longer than compiling does.
_OPTIMIZED = ("-MAKEFLAGS", "OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O0")
_LINE = re.compile(r"^mutant (\d+): (PASS|FAIL)", re.MULTILINE)
_CYCLES = re.compile(r"^mutant \d+: PASS, .* (\d+) cycles$", re.MULTILINE)
#: Plusargs of a run whose cycles are those of the device.
_UNPAUSED = ("+stall=0", "+resets=0")


@dataclass(frozen=True)
class MutantBench:
    """A compiled bench.

    Attributes:
        program: its path.
        vectors: folder of the vector set.
        mutants: how many there are.
        always: plusargs of every run.
    """

    program: Path
    vectors: Path
    mutants: int
    always: tuple[str, ...] = ()

    def survivors(self, seed: int, timeout: float, *options: str) -> list[int]:
        """Return the numbers of the mutants that give what the original gives.

        Each sees pauses drawn from the seed on all its streams. One that hangs, or that the
        simulator gives up on, is caught.

        Args:
            seed: seed of the pauses.
            timeout: seconds for one mutant; more is a hang.
            options: plusargs of the bench.

        Raises:
            ValueError: the original itself fails: the vectors are not this device's.
        """
        passed: list[int] = []
        first = 0
        while first <= self.mutants:
            lines = _LINE.findall(self._run(first, seed, timeout, options=options))
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

    def cycles(self, mutant: int, timeout: float) -> int | None:
        """Return the cycles of all vectors without a pause; None where a mutant fails then.

        Args:
            mutant: its number; 0 is the original.
            timeout: seconds; more is a hang.
        """
        found = _CYCLES.search(self._run(mutant, 0, timeout, 1, _UNPAUSED))
        return int(found[1]) if found else None

    def _run(
        self,
        first: int,
        seed: int,
        timeout: float,
        count: int | None = None,
        options: Sequence[str] = (),
    ) -> str:
        """Return what the bench prints of the mutants from `first` on, as far as it comes."""
        left = self.mutants + 1 - first if count is None else count
        words = [str(self.program), f"+dir={self.vectors}", "+stop", f"+seed={seed}"]
        words += [f"+mutant={first}", f"+mutants={left}", *self.always, *options]
        try:
            return finished(words, timeout=timeout * left)[1]
        except subprocess.TimeoutExpired as expired:
            return expired.stdout.decode() if isinstance(expired.stdout, bytes) else ""


def build_bench(
    design: MutatedDesign,
    vectors: Path,
    manifest: VectorManifest,
    contract: Contract,
    macros: Sequence[str] = (),
    always: Sequence[str] = (),
) -> MutantBench:
    """Return the bench of a design, compiled by Verilator in the design's folder.

    Args:
        design: the mutants.
        vectors: folder of a set.
        manifest: manifest of the set.
        contract: port contract of the testbench and the vectors.
        macros: of the testbench, as `-DNAME=VALUE`.
        always: plusargs of every run.

    Raises:
        ToolError: Verilator is missing or fails.
        ValueError: the set does not hold the unit.
    """
    unit = units_within(manifest.config)[contract.unit]
    if unit not in manifest.units:
        raise ValueError(f"vector set must hold {unit.name}, got {vectors}")
    text = render_testbench(manifest.target, unit, manifest.words, contract.module)
    write(design.folder / "bench.sv", text)
    program = build_testbench(
        [design.folder / NETLIST, design.folder / "bench.sv"],
        contract.module,
        design.folder / "build",
        device=design.top,
        options=["--no-assert", "-Wno-fatal", "-DMUTANTS", *macros, *_OPTIMIZED],
    )
    return MutantBench(program, vectors, len(design.mutants), tuple(always))


#: Seconds for one mutant in the bench, and for one question to the solver.
BENCH_SECONDS, PROOF_SECONDS = 20.0, 60
#: As many times as long for a survivor of a unit, which must not stay undetermined.
UNIT_PATIENCE = 3
#: The module whose taps are compared or left out.
_ROW = "attention_row"
#: How many other seeds of the pauses.
_OTHER_SEEDS = 16


def mutate(
    vectors: str | Path,
    modules: Sequence[str] | None = None,
    *,
    most: int = MOST_MUTANTS,
    seed: int = 0,
    processes: int = 2,
    proof_seconds: int = PROOF_SECONDS,
    progress: Progress = no_progress,
    tell: Callable[[Findings], None] = lambda _: None,
) -> Campaign:
    """Return what the vectors of a set find of the mutants of the reference RTL.

    Args:
        vectors: folder of a vector set that holds the units of these modules.
        modules: names of `SUBJECTS`; None for all of the scheme's datapath.
        most: mutants of a module; of those that Yosys offers, sampled evenly.
        seed: seed of the sampling, and of the pauses on the streams.
        processes: modules at a time.
        proof_seconds: for the proof of a survivor of a row; three times as many for one of a unit.
        progress: shows how far it is.
        tell: called with the findings of each module as soon as they are there, from any thread.

    Raises:
        ToolError: Yosys, Verilator or z3 is missing or fails.
        ValueError: a name is unknown, the set cannot be used, or the original fails.
    """
    folder = Path(vectors).resolve()
    manifest = open_set(folder)
    subjects = subjects_within(manifest.config)
    names = list(subjects if modules is None else dict.fromkeys(modules))
    for name in names:
        check_choice("module", name, tuple(subjects))
    run = _MutationRun(folder, manifest, most, seed, proof_seconds)

    def told(subject: Subject) -> Findings:
        findings = run.tested(subject)
        tell(findings)
        return findings

    with ThreadPoolExecutor(processes) as pool:
        found = pool.map(told, [subjects[name] for name in names])
        tested = tuple(progress(found, "mutation", len(names)))
    planted = tuple(each for unit in manifest.coverage for each in unit.planted_faults)
    return Campaign(
        scheme=manifest.config.scheme,
        seed=seed,
        most=most,
        modules=tested,
        planted_faults=planted,
    )


@dataclass(frozen=True)
class _MutationRun:
    """One run over a set: its folder and manifest, and arguments of `mutate`."""

    vectors: Path
    manifest: VectorManifest
    most: int
    seed: int
    proof_seconds: int

    def tested(self, subject: Subject) -> Findings:
        """Return what is found of a module's mutants."""
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="bitlog2-mutation-") as name:
            design = self._design(Path(name), subject)
            contract = subject.module.contract
            bench = build_bench(design, self.vectors, self.manifest, contract)
            numbers = bench.survivors(self.seed, BENCH_SECONDS)
            left = [design.mutants[number - 1] for number in numbers]
            boundary = subject.compared.of(self.manifest.target.config)
            survivors = judged(
                design,
                bench,
                boundary,
                left,
                seed=self.seed,
                seconds=self.proof_seconds * (1 if subject.row else UNIT_PATIENCE),
                unreached=subject.row,
            )
            in_row = self._in_row(Path(name) / "row", subject, bench, len(numbers))
        seconds = time.monotonic() - begun
        return Findings.of(subject, len(design.mutants), survivors, seconds, in_row)

    def _in_row(
        self, folder: Path, subject: Subject, bench: MutantBench, survivors: int
    ) -> InRow | None:
        """Return what is caught of a module's mutants in a row, with its taps and without.

        Args:
            folder: for the design, where the module has another device.
            subject: the module.
            bench: that of its own device.
            survivors: how many that bench does not catch.
        """
        row = CONTRACTS[_ROW]
        if all(unit.name != _ROW for unit in self.manifest.units):
            return None
        if subject.module.device != _ROW:
            if subject.entries or subject.module.name not in modules_inside(_ROW):
                return None
            folder.mkdir()
            rtl = sources((self.vectors / PACKAGE_NAME).read_bytes())
            design = sampled(folder, rtl, _ROW, subject.module.name, self.most, self.seed)
            bench = build_bench(design, self.vectors, self.manifest, row)
            survivors = len(bench.survivors(self.seed, BENCH_SECONDS))
        unseen = bench.survivors(self.seed, BENCH_SECONDS, "+outputs")
        return InRow(
            mutants=bench.mutants,
            with_taps=bench.mutants - survivors,
            without_taps=bench.mutants - len(unseen),
        )

    def _design(self, folder: Path, subject: Subject) -> MutatedDesign:
        rtl = sources((self.vectors / PACKAGE_NAME).read_bytes())
        name, device = subject.module.name, subject.module.device
        if not subject.entries:
            return sampled(folder, rtl, device, name, self.most, self.seed)
        elaborate(folder, rtl, device)
        return mutated(folder, device, entry_mutants(folder, name, self.manifest.target.config))


def judged(
    design: MutatedDesign,
    bench: MutantBench,
    boundary: Boundary,
    left: Sequence[Mutant],
    *,
    seed: int,
    seconds: int,
    unreached: bool,
) -> list[Survivor]:
    """Return what a proof finds of the mutants that a bench leaves, and other pauses after it.

    Args:
        design, bench: the mutants, and their bench.
        boundary: where a mutant is compared with the original.
        left: mutants that the bench did not catch.
        seed: that of the bench's pauses.
        seconds: for one question to the solver.
        unreached: whether a clock cycle that tells them apart may begin where it never comes.

    Raises:
        ToolError, ValueError: as of `Prover`.
    """
    if not left:
        return []
    prover = Prover(design, boundary, PACKAGE_NAME, seconds)
    found = []
    for mutant, proof in zip(left, prover.prove(left), strict=True):
        verdict: Verdict = _verdict(prover, proof, unreached)
        inputs = proof.counterexample
        if verdict == "undetermined" or (verdict == "gap" and prover.has_state):
            told = told_by_pauses(bench, mutant.number, other_seeds(seed))
            verdict, inputs = (verdict, inputs) if told[0] == "undetermined" else told
        found.append(Survivor(mutant=str(mutant), verdict=verdict, counterexample=dict(inputs)))
    return found


def other_seeds(seed: int) -> range:
    """Return the seeds of the pauses that an undetermined mutant is run with, too."""
    return range(seed + 1, seed + 1 + _OTHER_SEEDS)


def told_by_pauses(
    bench: MutantBench, mutant: int, seeds: Iterable[int]
) -> tuple[Verdict, dict[str, int]]:
    """Return what other pauses tell of a mutant that no proof decides, and runs without any.

    Args:
        bench: the compiled bench.
        mutant: its number.
        seeds: seeds of the pauses.

    Returns:
        "gap" and the seed that shows it; or "rate" and the cycles of both, where those of the
        mutant are others than the original's; or "undetermined" and nothing.
    """
    seed = bench.other_seed(mutant, seeds, BENCH_SECONDS)
    if seed is not None:
        return "gap", {"seed": seed}
    cycles, original = (bench.cycles(number, BENCH_SECONDS) for number in (mutant, 0))
    if cycles is not None and original is not None and cycles != original:
        return "rate", {"cycles": cycles, "original": original}
    return "undetermined", {}


def _verdict(prover: Prover, proof: Proof, unreached: bool) -> Verdict:
    """Return the verdict on a survivor.

    A difference in one clock cycle may begin in a state that the module never reaches; then other
    pauses on its streams may still find it.
    """
    if proof.verdict == "equivalent":
        return "equivalent"
    if proof.verdict == "unknown" or (unreached and prover.has_state):
        return "undetermined"
    return "gap"
