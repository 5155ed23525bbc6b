"""Coverage of the RTL under a vector set, measured and judged."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any

from bitlog2.sim import AttentionConfig
from bitlog2.sim.checks import check_choice
from bitlog2.sim.files import write
from bitlog2.table import aligned

from ...cosim.design import WRAPPER, Design
from ...cosim.model import DEVICES, device_named
from ...junit import JunitCase, JunitSuite
from ...package.reading import open_set
from ...package.vector_manifest import VectorManifest
from ...package.vector_set import PACKAGE_NAME
from ...simulation import (
    Rtl,
    ToolError,
    run_tool,
    verilator_command,
    verilator_environment,
)
from ...stimulus.unit import Progress, Target, no_progress
from ...stimulus.units import units_within
from ...testbench import reference_files, render_testbench
from ...testbench.files import UNOPTIMIZED, build_testbench, run_testbench
from ..modules import modules_within
from .points import CodePoint, Reason, collapse, load_reasons, read_points, text_of

_OPTIONS = ("--coverage-line", "--coverage-toggle", "-Wno-fatal", *UNOPTIMIZED)
_CONTROL = '`verilator_config\ncoverage_off -file "*_tb.sv"\n'
_CONTROL += f'coverage_off -file "*{WRAPPER}.sv"\n'
_SECONDS = 1800


def judged_modules(bench: str, config: AttentionConfig) -> tuple[str, ...]:
    """Return the modules whose points a bench must reach: its own, and helpers at home there."""
    modules = modules_within(config).values()
    inside = (each.name for each in modules if each.device == bench and each.name not in DEVICES)
    return (bench, *inside)


def run_bench(
    vectors: Path,
    manifest: VectorManifest,
    bench: str,
    folder: Path,
    design: Design | None = None,
) -> dict[CodePoint, int]:
    """Return the hits of every point of the modules that a bench is judged by.

    Args:
        vectors: the vector set.
        manifest: its manifest.
        bench: a name of `DEVICES`.
        folder: a new folder for what is built.
        design: what is measured, all its modules; None for the reference.

    Raises:
        ToolError: Verilator is not installed, something does not compile, or the bench fails.
    """
    contract = DEVICES[bench].contract
    module, unit = contract.module, contract.unit
    folder.mkdir()
    testbench = folder / f"{module}_tb.sv"
    write(
        testbench,
        render_testbench(
            manifest.target, units_within(manifest.config)[unit], manifest.words, module
        ),
    )
    write(folder / "coverage.vlt", _CONTROL)
    if design is None:
        files, device, words = (
            [vectors / PACKAGE_NAME, *reference_files(manifest.config)],
            bench,
            [],
        )
    else:
        wrapper = folder / f"{WRAPPER}.sv"
        write(wrapper, design.wrapper.text)
        files, device = [*design.sources, wrapper], WRAPPER
        words = [f"-D{name}={value}" for name, value in design.rtl.defines.items()]
        words += [f"-I{folder}" for folder in design.includes]
        words += device_macros(design, bench)
    program = build_testbench(
        [folder / "coverage.vlt", *files, testbench],
        module,
        folder / "build",
        device=device,
        options=[*_OPTIONS, *words],
        timeout=_SECONDS,
    )
    data = folder / "coverage.dat"
    stalls = [] if design is None or design.rtl.back_pressure else ["+stall=0"]
    status, printed = run_testbench(
        program, vectors, f"+verilator+coverage+file+{data}", *stalls, timeout=_SECONDS
    )
    if status != 0 or not data.is_file():
        raise ToolError("\n".join([f"testbench of {bench} failed on {vectors}:", *printed[-5:]]))
    judged = judged_modules(bench, manifest.config) if design is None else tuple(design.files)
    points = read_points(data.read_text(encoding="utf-8"), data.name, judged)
    return {point: hits for point, hits in points.items() if point.module in judged}


def device_macros(design: Design, bench: str) -> list[str]:
    """Return the macros of a testbench that describe a user's design.

    Raises:
        ValueError: the testbench cannot play it.
    """
    contract, lanes = DEVICES[bench].contract, design.wrapper.lanes
    if contract.plain and design.wrapper.clocked:
        raise ValueError(f"the testbench plays {bench} without a clock, got {design.top} with one")
    wide = {lanes[each.prefix] for each in contract.channels if each.lanes and each.prefix in lanes}
    if len(wide) > 1:
        raise ValueError(
            f"the testbench plays one number of lanes, got {sorted(wide)} of {design.top}"
        )
    words = [f"-DLANES={each}" for each in wide]
    if any(each.prefix not in lanes for each in contract.outputs):
        words.append("-DNO_TAPS=1")
    return words


@dataclass(frozen=True)
class Missed:
    """A point that is not reached.

    Attributes:
        point: the point.
        text: what identifies it, without line numbers.
        reason: why; None where no reason fits.
    """

    point: CodePoint
    text: str
    reason: Reason | None


@dataclass(frozen=True)
class StructureReport:
    """What a set reaches.

    Attributes:
        counts: (module, line or toggle) -> (points reached, points).
        missed: every point that is not reached.
        idle: reasons of the modules that were judged which fit no such point.
        simulator: Verilator's version.
        files: module -> name of its file, where that is another than the module's.
        seconds: wall time of the benches.
        hits: how often each point was reached.
        sources, paths: module -> lines of its file, and its path.
    """

    counts: Mapping[tuple[str, str], tuple[int, int]]
    missed: tuple[Missed, ...]
    idle: tuple[Reason, ...]
    simulator: str
    files: Mapping[str, str] = field(default_factory=dict)
    seconds: float = field(default=0.0, compare=False)
    hits: Mapping[CodePoint, int] = field(default_factory=dict, repr=False)
    sources: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)
    paths: Mapping[str, Path] = field(default_factory=dict, repr=False)

    @property
    def unexplained(self) -> tuple[Missed, ...]:
        """The points that are not reached and have no reason."""
        return tuple(each for each in self.missed if each.reason is None)

    @property
    def status(self) -> int:
        """1 where a point lacks a reason or a reason its point, else 0."""
        return 1 if self.unexplained or self.idle else 0

    def lines(self) -> list[str]:
        """Return what a person wants to read."""
        modules = dict.fromkeys(module for module, _ in self.counts)
        rows = [("module", "lines", "toggles")]
        rows += [(each, self._cell("line", each), self._cell("toggle", each)) for each in modules]
        rows.append(("all", self._cell("line"), self._cell("toggle")))
        lines = [self.simulator, *aligned(rows, "<>>"), *self._explained()]
        lines += [line for module in modules for line in self._open(module)]
        explained = len(self.missed) - len(self.unexplained)
        lines.append(
            f"{len(self.missed)} points not reached: {explained} with a reason, "
            f"{len(self.unexplained)} without; {len(self.idle)} reasons without a point"
        )
        return lines

    def _open(self, module: str) -> list[str]:
        """Return the points of a module without a reason, and its reasons without a point."""
        places: dict[str, list[str]] = {}
        file = self.files.get(module, f"{module}.sv")
        for each in self.unexplained:
            if each.point.module == module:
                place = f"{file}:{each.point.line} {each.point.kind}"
                places.setdefault(place, []).append(each.text)
        return [
            *(
                f"no reason: {at} {text}"
                for at, texts in places.items()
                for text in collapse(texts)
            ),
            *(
                f"reason without a point: {module} {reason.kind} {reason.pattern}"
                for reason in self.idle
                if reason.module == module
            ),
        ]

    def suites(self) -> list[JunitSuite]:
        """Return a suite with a case per module."""
        found = {module: self._open(module) for module in dict.fromkeys(m for m, _ in self.counts)}
        cases = [
            JunitCase("coverage", module, 0.0, bool(lines), lines)
            for module, lines in found.items()
        ]
        return [JunitSuite("coverage", cases, self.seconds, {"simulator": self.simulator})]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as it stands in JSON."""
        return {
            "simulator": self.simulator,
            "counts": [
                {"module": module, "kind": kind, "reached": reached, "points": points}
                for (module, kind), (reached, points) in self.counts.items()
            ],
            "missed": [
                {
                    **each.point.__dict__,
                    "text": each.text,
                    "reason": each.reason.reason if each.reason else None,
                    "requirement": each.reason.requirement if each.reason else None,
                }
                for each in self.missed
            ],
            "reasons_without_a_point": [reason.pattern for reason in self.idle],
        }

    def _explained(self) -> list[str]:
        """Return the points that have a reason, by reason."""
        found: dict[Reason, list[Missed]] = {}
        for each in self.missed:
            if each.reason is not None:
                found.setdefault(each.reason, []).append(each)
        lines = []
        for reason, points in found.items():
            known = f" ({reason.requirement})" if reason.requirement else ""
            lines.append(f"{reason.module}, {len(points)} x {reason.kind}: {reason.reason}{known}")
            lines += [f"    {text}" for text in collapse([each.text for each in points])]
        return lines

    def _cell(self, kind: str, module: str | None = None) -> str:
        """Return points reached and all points of a kind, in a module or in all of them."""
        chosen = [
            counts
            for (name, each), counts in self.counts.items()
            if each == kind and module in (None, name)
        ]
        return f"{sum(r for r, _ in chosen):>6}/{sum(p for _, p in chosen):<6}"


def judge(
    points: Mapping[CodePoint, int],
    sources: Mapping[str, Sequence[str]],
    reasons: Sequence[Reason],
    simulator: str,
    files: Mapping[str, str] | None = None,
) -> StructureReport:
    """Return the report of points and their hits.

    Args:
        points: hits of each point of the judged modules.
        sources: module -> lines of its file.
        reasons: those of other modules are left alone.
        simulator: its version.
        files: module -> name of its file; None where each has its own.
    """
    counts: dict[tuple[str, str], tuple[int, int]] = {}
    missed = []
    for point in sorted(points):
        reached, total = counts.get((point.module, point.kind), (0, 0))
        counts[point.module, point.kind] = (reached + (points[point] > 0), total + 1)
        if points[point] == 0:
            text = text_of(point, sources)
            why = next((reason for reason in reasons if reason.fits(point, text)), None)
            missed.append(Missed(point, text, why))
    used = {each.reason for each in missed}
    modules = {module for module, _ in counts}
    idle = tuple(each for each in reasons if each.module in modules and each not in used)
    return StructureReport(
        counts, tuple(missed), idle, simulator, files or {}, hits=points, sources=sources
    )


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
        units: units of the set; None for all.
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
    known = manifest.unit_names
    design, files = None, {path.stem: path for path in reference_files()}
    if rtl is not None:
        if len(units or ()) != 1:
            raise ValueError(f"unit must be a single one with rtl, got {units}")
        (device,) = (device_named(each, manifest.config) for each in units or ())
        design = Design.of(vectors.resolve(), device, rtl, lanes)
        files, reasons, units = dict(design.files), reasons or (), [device.contract.unit]
    for unit in units or ():
        check_choice("unit", unit, known)
    chosen = [name for name, each in DEVICES.items() if each.contract.unit in (units or known)]
    if design is not None:
        chosen = [device.name]
    if reasons is None:
        usual = manifest.target == Target.of(AttentionConfig())
        reasons = load_reasons() if usual else ()
    points: dict[CodePoint, int] = {}
    begun = perf_counter()
    with tempfile.TemporaryDirectory(prefix="bitlog2-coverage-") as made:
        work = Path(made)
        for bench in progress(chosen, "coverage", len(chosen)):
            points |= run_bench(vectors, manifest, bench, work / bench, design)
    sources = {
        name: path.read_text(encoding="utf-8", errors="replace").splitlines()
        for name, path in files.items()
    }
    names = {name: path.name for name, path in files.items()}
    found = judge(points, sources, reasons, _version(), names)
    return replace(found, seconds=perf_counter() - begun, paths=files)


def _version() -> str:
    """Return the index's version: this build's program names its revision only."""
    environment = verilator_environment()
    printed = run_tool([verilator_command(), "--version"], ".", environment=environment)
    return f"Verilator {metadata.version('verilator')}, {' '.join(printed.split())}"
