"""Structural coverage of a vector set: its benches one after another, judged together."""

import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from bitlog2.sim import AttentionConfig

from ..cosim.build import Design
from ..cosim.devices import device_named
from ..eda import Rtl, run_tool, verilator_command, verilator_environment
from ..reading import open_set
from ..target import Target
from ..testbench import reference_files
from ..unit import Progress, no_progress
from .bench import BENCHES, Runtime, run_bench
from .dat import Point
from .reasons import Reason, load_reasons
from .report import StructureReport, judge

__all__ = ["measure_structure"]


def measure_structure(
    folder: str | Path,
    units: Sequence[str] | None = None,
    *,
    rtl: Rtl | None = None,
    lanes: int | None = None,
    reasons: Sequence[Reason] | None = None,
    progress: Progress = no_progress,
) -> StructureReport:
    """Run the benches of a vector set with line and toggle coverage.

    A module is judged by its own bench; a helper by that of the unit that it belongs to.

    Args:
        folder: the vector set.
        units: of the set; all without them.
        rtl: a device for the one unit of `units`, which may be any of `DEVICES`; all of its modules
            are judged. None for the reference.
        lanes: keys a beat, the parameter LANES of `rtl`; None for its own default.
        reasons: why points are not reached; without them those of the project, which are the
            default configuration's and are left out for another, and none for `rtl`.
        progress: wraps the benches.

    Raises:
        ValueError: no set, a unit that it does not have, or a device that does not fit the unit.
        ToolError: Verilator is not installed, something does not compile, or a bench fails.
    """
    vectors = Path(folder)
    manifest = open_set(vectors)
    known = tuple(dict.fromkeys(name.split(".")[0] for name in manifest.words))
    design, files = None, {path.stem: path for path in reference_files()}
    if rtl is not None:
        if len(units or ()) != 1:
            raise ValueError(f"unit must be a single one with rtl, got {units}")
        (device,) = (device_named(each) for each in units or ())
        design = Design.of(vectors.resolve(), device, rtl, lanes)
        files, reasons, units = dict(design.files), reasons or (), [device.contract.unit]
    for unit in units or ():
        if unit not in known:
            raise ValueError(f"unit must be one of {', '.join(known)}, got {unit!r}")
    chosen = [name for name, (_, unit) in BENCHES.items() if unit in (units or known)]
    if design is not None:
        chosen = [device.name]
    if reasons is None:
        usual = manifest.target == Target.of(AttentionConfig())
        reasons = load_reasons() if usual else ()
    points: dict[Point, int] = {}
    with tempfile.TemporaryDirectory(prefix="bitlog2-coverage-") as made:
        work = Path(made)
        runtime = Runtime(work / "runtime")
        for bench in progress(chosen, "coverage", len(chosen)):
            points |= run_bench(vectors, manifest, bench, work / bench, runtime, design)
    sources = {
        name: path.read_text(encoding="utf-8", errors="replace").splitlines()
        for name, path in files.items()
    }
    names = {name: path.name for name, path in files.items()}
    return judge(points, sources, reasons, _version(), names)


def _version() -> str:
    """Return the index's version: this build's program names its revision only."""
    environment = verilator_environment()
    printed = run_tool([verilator_command(), "--version"], ".", environment=environment)
    return f"Verilator {metadata.version('verilator')}, {' '.join(printed.split())}"
