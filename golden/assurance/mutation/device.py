"""Mutants of a user's device: what the vectors of its unit find of them."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bitlog2.names import MOST_MUTANTS
from bitlog2.sim import AttentionConfig

from ...cosim.design import WRAPPER, Design
from ...cosim.model import device_named, unit_of
from ...package.reading import open_set
from ...simulation import Rtl, ToolError
from ...stimulus.unit import Progress, no_progress
from ..coverage.measure import device_macros
from ..modules import MODULES
from ..yosys import sources_of
from .campaign import (
    BENCH_SECONDS,
    PROOF_SECONDS,
    UNIT_PATIENCE,
    Campaign,
    Findings,
    MutantBench,
    Survivor,
    build_bench,
    judged,
    other_seeds,
    told_by_pauses,
)
from .catalogue import Boundary, Mutant, MutatedDesign, sampled


def mutate_device(
    vectors: str | Path,
    unit: str,
    rtl: Rtl,
    *,
    lanes: int | None = None,
    most: int = MOST_MUTANTS,
    seed: int = 0,
    proof_seconds: int = PROOF_SECONDS,
    progress: Progress = no_progress,
) -> Campaign:
    """Return what the vectors of a set find of the mutants of a device.

    Its module and all that is inside of it are mutated as one. A survivor is compared at the ports
    of the contract: without registers it is equivalent or a gap. With registers it is equivalent
    where no cycle from equal registers tells it apart; nothing is known of which states the device
    reaches, so others that no pauses find stay undetermined.

    Args:
        vectors: folder of a vector set that holds the unit.
        unit: what the device is, one of `DEVICES`.
        rtl: the device, in Verilog.
        lanes: keys a beat, the parameter LANES of `rtl`; None for its own default.
        most, seed, proof_seconds, progress: as of `mutate`; a question to the solver has three
            times as many seconds where the device has no registers.

    Raises:
        ToolError: Yosys, Verilator or z3 is missing, or the device does not compile.
        ValueError: the set cannot be used, the device does not fit the unit, a file is none that
            `sources_of` takes, nothing can be mutated, or the device fails as it is.
    """
    begun, folder = time.monotonic(), Path(vectors).resolve()
    manifest = open_set(folder)
    device = device_named(unit, manifest.config)
    unit_of(manifest, device)
    design = Design.of(folder, device, rtl, lanes)
    macros = device_macros(design, unit)
    files, options = sources_of(replace(design.rtl, sources=design.sources))
    files[f"{WRAPPER}.sv"] = design.wrapper.text.encode()
    boundary = _boundary(unit, manifest.config)
    with tempfile.TemporaryDirectory(prefix="bitlog2-mutation-") as name:
        made = sampled(
            Path(name), files, WRAPPER, design.top, most, seed, options=options, whole=True
        )
        always = () if rtl.back_pressure else ("+stall=0",)
        built = (
            build_bench(each, folder, manifest, device.contract, macros, always) for each in [made]
        )
        (bench,) = progress(built, f"{design.top}: build", 1)
        ran = (each.survivors(seed, BENCH_SECONDS) for each in [bench])
        (numbers,) = progress(ran, f"{design.top}: mutants", 1)
        left = [made.mutants[number - 1] for number in numbers]
        patience = 1 if design.wrapper.clocked else UNIT_PATIENCE
        survivors, why = _judged(made, bench, boundary, left, seed, patience * proof_seconds)
    findings = Findings.counted(
        len(made.mutants),
        survivors,
        time.monotonic() - begun,
        module=design.top,
        vectors=device.contract.unit,
        device=design.top,
        compared_at=design.top,
        states=(*boundary.lines(), *why),
    )
    return Campaign(scheme=manifest.config.scheme, seed=seed, most=most, modules=(findings,))


def _boundary(unit: str, config: AttentionConfig) -> Boundary:
    """Return the ports of the wrapper, with what is declared of the unit's inputs.

    Of the words of a stream it is assumed where they are valid.
    """
    module, texts = MODULES[unit], []
    for each in module.assumes or ():
        streams = [] if module.contract.plain else module.contract.inputs
        carried = [stream for stream in streams if set(each.ports) & set(stream.fields)]
        invalid = [f"!{stream.prefix}_tvalid" for stream in carried]
        texts.append(" || ".join([*invalid, f"({each.systemverilog(config, module.place)})"]))
    return Boundary(WRAPPER, assumes=tuple(texts))


def _judged(
    design: MutatedDesign,
    bench: MutantBench,
    boundary: Boundary,
    left: Sequence[Mutant],
    seed: int,
    seconds: int,
) -> tuple[list[Survivor], tuple[str, ...]]:
    """Return the survivors, and why there was no proof of them, if there was none."""
    try:
        found = judged(design, bench, boundary, left, seed=seed, seconds=seconds, unreached=True)
    except (ToolError, ValueError) as error:
        found = []
        for mutant in left:
            verdict, shown = told_by_pauses(bench, mutant.number, other_seeds(seed))
            found.append(Survivor(mutant=str(mutant), verdict=verdict, counterexample=shown))
        return found, (f"no proof, as {' '.join(str(error).split())}",)
    return found, ()
