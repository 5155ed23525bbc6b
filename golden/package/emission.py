"""Making a vector set, and playing the device under test with the simulator."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import singledispatch
from pathlib import Path
from typing import Any, TypeAlias

from bitlog2 import __version__
from bitlog2.documents import counted
from bitlog2.names import SOURCES
from bitlog2.sim import AttentionConfig
from bitlog2.sim.checks import check_choice
from bitlog2.sim.files import write_whole

from ..stimulus.rows import RowCase, check_row, group_rows
from ..stimulus.unit import (
    CaseGroup,
    GoldenUnit,
    Progress,
    Target,
    case_count,
    join_tables,
    no_progress,
)
from ..stimulus.units import units_within
from ..words.memfile import render_stream
from .export import run_export
from .export_manifest import ExportManifest
from .folder import (
    KINDS,
    Folder,
    a_folder_of,
    check_replaceable,
    open_folder,
    rendered,
    replace_folder,
)
from .generation import checked_vectors, generate
from .manifest import MANIFEST_NAME, FolderManifest
from .plan import Plan
from .reading import open_set, read_stimulus, read_tables
from .vector_manifest import VectorManifest
from .vector_set import UnitVectors, VectorSet, content_files, manifest_of, planted_line


@dataclass(frozen=True)
class Emission:
    """What was written.

    Attributes:
        folder: folder of the set.
        sizes: bytes of each file.
        vectors: content of the set.
    """

    folder: Path
    sizes: dict[str, int]
    vectors: VectorSet

    def as_dict(self) -> dict[str, Any]:
        """Return the same for a program, with what `golden plan` gives of the set."""
        return {"folder": self.folder, "files": self.sizes, **Plan(self.vectors).as_dict()}

    def lines(self) -> list[str]:
        """Return what a person wants to read."""
        lines = []
        for part in self.vectors.units:
            reached = len(part.bins) - len(part.empty)
            lines.append(
                f"{part.unit.name}: {counted(part.cases, 'case')}, {reached} of {len(part.bins)} "
                "coverage bins reached"
            )
            if part.empty:
                lines.append(f"  empty: {', '.join(part.empty)}")
            lines += [f"  {planted_line(each)}" for each in part.planted]
        total = sum(self.sizes.values())
        lines.append(f"{counted(len(self.sizes), 'file')}, {total} bytes in {self.folder}")
        return lines


def emit(
    out: str | Path,
    config: AttentionConfig | None = None,
    *,
    head_dim: int | None = None,
    units: Sequence[str] | None = None,
    sources: Sequence[str] = SOURCES,
    seed: int = 0,
    random_cases: int | None = None,
    testbench: bool = False,
    progress: Progress = no_progress,
) -> Emission:
    """Write the vector set of a configuration into the folder `out`; the same bytes every time.

    Every expected value comes from the kernels and is compared with the specification; beyond 2**20
    cases of the log2 quantizer, with its dividing form on arrays, and with the function itself for
    some 2**16 of them.

    Args:
        out: a new or empty folder, or one that holds a vector set, which is replaced as a whole.
        config: what the hardware is built with; None for the default.
        head_dim: D of the rows; None for 64, or the largest D where that is less.
        units: names of units; None for all.
        sources: `corners`, `random` or both. With both, every declared coverage bin must be hit.
        seed: 0 to 2**63 - 1.
        random_cases: cases per unit, 1 to 10**8; None for the usual number. A set of log2 quantizer
            cases takes about 100 bytes of memory for each.
        testbench: whether to add self-checking testbenches, the reference RTL and a Makefile.
        progress: shows how far it is.

    Raises:
        TypeError, ValueError: an argument is out of range, a declared bin stays empty, or `out`
            holds something else than a vector set. Nothing is written.
        OSError: the folder cannot be written.
    """
    folder = Path(out).resolve()
    check_replaceable(folder, VectorManifest)
    vectors = generate(
        config,
        head_dim=head_dim,
        units=units,
        sources=sources,
        seed=seed,
        random_cases=random_cases,
        progress=progress,
    )
    if vectors.sources == SOURCES:
        _refuse_empty_bins(vectors.units)
    return _write(folder, replace(vectors, testbench=testbench))


def emit_from(
    manifest: str | Path, out: str | Path, *, progress: Progress = no_progress
) -> Emission:
    """Write the set of a manifest again, byte for byte by the same version of the package.

    Captured rows and a user's stimulus are taken from the files beside the manifest.

    Raises:
        ValueError: the manifest, or the stimulus beside it, cannot be used; as `emit`.
    """
    path = Path(manifest)
    if not path.is_file():
        raise ValueError(f"manifest must be a file, got {path}")
    if path.name != MANIFEST_NAME:
        raise ValueError(f"manifest must be named {MANIFEST_NAME}, got {path}")
    opened = open_folder(path.parent, VectorManifest)
    found = opened.manifest
    assert isinstance(found, VectorManifest)
    if found.seed is not None:
        return emit(
            out,
            found.target.config,
            head_dim=found.target.head_dim,
            units=[unit.name for unit in found.units],
            sources=found.sources,
            seed=found.seed,
            random_cases=found.random_cases,
            testbench=found.testbench,
            progress=progress,
        )
    folder = Path(out).resolve()
    check_replaceable(folder, VectorManifest)
    parts = []
    for unit in found.units:
        inputs = read_tables(path.parent, found, unit, unit.inputs)
        for stream in unit.inputs:
            if fault := opened.fault(unit.file_name(stream)):
                raise ValueError(fault)
        groups = found.groups[unit.name]
        parts.append(checked_vectors(found.target, unit, groups, inputs, progress))
    vectors = VectorSet(found.target, None, found.sources, tuple(parts), testbench=found.testbench)
    return _write(folder, vectors)


def emit_rows(
    out: str | Path,
    config: AttentionConfig,
    cases: Sequence[RowCase],
    *,
    testbench: bool = False,
    progress: Progress = no_progress,
) -> Emission:
    """Write rows that were captured from a model as a set of `attention_row`.

    Args:
        out, config, testbench, progress: as `emit`.
        cases: the rows, each with its reason and origin; all with the same D.

    Raises:
        TypeError, ValueError: a row is malformed, out of range, or has no reason or origin.
    """
    folder = Path(out).resolve()
    check_replaceable(folder, VectorManifest)
    if not cases:
        raise ValueError("cases must hold at least one row")
    if cases[0].v.ndim != 2:
        raise ValueError(f"v of case 0 must have 2 axes, got shape {cases[0].v.shape}")
    target = Target.of(config, cases[0].v.shape[1])
    for index, case in enumerate(cases):
        check_row(case, target, f"case {index}")
        if case.origin is None or not case.reason:
            raise ValueError(f"case {index} must have a reason and an origin")
    groups = group_rows(cases, "model")
    inputs = join_tables([group.inputs for group in groups])
    unit = units_within(config)["attention_row"]
    part = checked_vectors(target, unit, groups, inputs, progress)
    return _write(folder, VectorSet(target, None, ("model",), (part,), testbench=testbench))


def emit_stimulus(
    stimulus: str | Path,
    out: str | Path,
    config: AttentionConfig | None = None,
    *,
    head_dim: int | None = None,
    units: Sequence[str] | None = None,
    testbench: bool = False,
    progress: Progress = no_progress,
) -> Emission:
    """Write a set of stimulus that somebody wrote or edited: `<unit>.<stream>.mem` of the inputs.

    Args:
        stimulus: folder of these files. Where it holds a `manifest.json`, configuration, head
            dimension and units are those of the manifest; what else lies there is not read.
        out, head_dim, testbench, progress: as `emit`.
        config: as `emit`, for stimulus without a manifest.
        units: names of units; None for those of the manifest, or all whose files are there.

    Raises:
        TypeError, ValueError: a file is malformed or out of range, or an argument contradicts the
            manifest. Nothing is written.
        OSError: a file is missing or cannot be read, or the folder cannot be written.
    """
    source, folder = Path(stimulus), Path(out).resolve()
    check_replaceable(folder, VectorManifest)
    if not source.is_dir():
        raise ValueError(f"stimulus must be a folder, got {source}")
    if (source / MANIFEST_NAME).exists():
        found = open_set(source)
        target, there = found.target, [unit.name for unit in found.units]
        if config not in (None, target.config) or head_dim not in (None, target.head_dim):
            raise ValueError(f"config and head_dim must be those of {source / MANIFEST_NAME}")
    else:
        target = Target.of(config or AttentionConfig(), head_dim)
        there = [
            unit.name
            for unit in units_within(target.config).values()
            if _inputs_there(source, unit)
        ]
    known = units_within(target.config)
    names = list(dict.fromkeys(there if units is None else units))
    if not names or not set(names) <= set(known):
        raise ValueError(f"units must be among {', '.join(known)}, with files in {source}")
    parts = []
    for unit in (unit for name, unit in known.items() if name in names):
        inputs = read_stimulus(source, target, unit)
        group = CaseGroup("user", "given by the user", case_count(unit, inputs), {})
        parts.append(checked_vectors(target, unit, [group], inputs, progress))
    return _write(folder, VectorSet(target, None, ("user",), tuple(parts), testbench=testbench))


def _inputs_there(folder: Path, unit: GoldenUnit) -> bool:
    return any((folder / unit.file_name(stream)).exists() for stream in unit.inputs)


def _refuse_empty_bins(parts: Sequence[UnitVectors]) -> None:
    empty = [f"{part.unit.name}.{name}" for part in parts for name in part.empty]
    if empty:
        raise ValueError(f"coverage bins must all be reached, empty: {', '.join(empty)}")


def _write(folder: Path, vectors: VectorSet) -> Emission:
    files = rendered(content_files(vectors), lambda known: manifest_of(vectors, known, __version__))
    return Emission(folder, replace_folder(folder, files), vectors)


def run_device(
    folder: str | Path,
    out: str | Path,
    units: Sequence[str] | None = None,
    *,
    progress: Progress = no_progress,
) -> dict[str, Path]:
    """Write what the simulator makes of the inputs in a vector set or an export.

    Each file is written whole or not at all, in the format of the folder's own: the two are the
    same file where simulator and folder agree.

    Args:
        folder: the vector set or export; only its manifest and the inputs are read.
        out: folder for the result files, which may exist but must be neither of them.
        units: names of units of a set; None for all of them.
        progress: shows how far it is.

    Returns:
        the files by `unit.stream`; of an export `<layer>/o.mem` by layer.

    Raises:
        ValueError: `folder` cannot be used, `out` is a set or an export, or a unit is not in it.
        OSError: a file cannot be read or written.
    """
    root, results = Path(folder), Path(out)
    opened = open_folder(root)
    if (results / MANIFEST_NAME).exists():
        raise ValueError(f"output must not be {a_folder_of(*KINDS.values())}, got {results}")
    return _played(opened.manifest, opened, results, units, progress)


_Files: TypeAlias = dict[str, Path]
_Names: TypeAlias = Sequence[str] | None


@singledispatch
def _played(
    manifest: FolderManifest, folder: Folder, out: Path, units: _Names, progress: Progress
) -> _Files:
    """Write what the simulator makes of the inputs in a folder of the manifest's kind."""
    raise ValueError(f"{manifest.title} {folder.root} must have outputs that the simulator makes")


@_played.register
def _(
    manifest: ExportManifest, folder: Folder, out: Path, units: _Names, progress: Progress
) -> _Files:
    if units is not None:
        raise ValueError(f"unit must go with a vector set, got the export {folder.root}")
    return run_export(folder, manifest, out, progress)


@_played.register
def _(
    manifest: VectorManifest, folder: Folder, out: Path, units: _Names, progress: Progress
) -> _Files:
    for name in units or ():
        check_choice("unit", name, manifest.unit_names)
    out.mkdir(parents=True, exist_ok=True)
    written = {}
    for unit in manifest.units:
        if units and unit.name not in units:
            continue
        inputs = read_tables(folder.root, manifest, unit, unit.inputs)
        tables = unit.simulate(manifest.target, inputs, progress)
        for stream in unit.outputs:
            data = render_stream(manifest.target.fields(stream), tables[stream.name])
            path = out / unit.file_name(stream)
            write_whole(path, data)
            written[f"{unit.name}.{stream.name}"] = path
    return written
