"""Every mutant of every module: caught, proved equivalent, undetermined, or a gap."""

import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bitlog2.golden

from ..manifest import Manifest
from ..reading import open_set
from ..unit import Progress, no_progress
from ..vector_set import PACKAGE_NAME
from .bench import Bench, build_bench
from .catalogue import SUBJECTS, Subject
from .entries import entry_mutants
from .mutants import Mutant
from .netlist import Netlist, elaborate, mutated, sampled
from .prove import Prover
from .result import Campaign, Findings, Survivor
from .smt import Proof

__all__ = ["MOST_MUTANTS", "mutate"]

#: Mutants of a module, unless another number is asked for.
MOST_MUTANTS = 200
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
        self, vectors: Path, manifest: Manifest, most: int, seed: int, proof_seconds: int
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
        self, netlist: Netlist, bench: Bench, subject: Subject, left: Sequence[Mutant]
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
