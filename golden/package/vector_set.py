"""A vector set in memory: its cases, their expected values, and its files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim.declarations import Stream

from ..simulation.svpackage import render_package
from ..stimulus.unit import (
    CaseGroup,
    GoldenUnit,
    PlantedFaults,
    Progress,
    Tables,
    Target,
    case_count,
    no_progress,
    row_offsets,
)
from ..testbench import testbench_files
from ..words.fields import shaped
from ..words.memfile import render_stream
from ..words.npz import render_npz, smallest_dtype
from .manifest import File, MemoryFile, common_fields
from .vector_manifest import Group, VectorManifest, covered, emit_command, stream_memory

NPZ_NAME = "vectors.npz"
PACKAGE_NAME = "bitlog2_pkg.sv"


@dataclass(frozen=True)
class UnitVectors:
    """The vectors of one unit.

    Attributes:
        unit: the unit.
        groups: the cases in order, their inputs left out.
        tables: every stream.
        cases: number of cases.
        bins: hits of each declared bin.
        planted: what the cases find of planted faults.
    """

    unit: GoldenUnit
    groups: tuple[CaseGroup, ...]
    tables: Tables
    cases: int
    bins: dict[str, int]
    planted: tuple[PlantedFaults, ...] = ()

    @property
    def empty(self) -> list[str]:
        """The declared bins that nothing hit."""
        return [name for name, hits in self.bins.items() if hits == 0]

    def words(self, stream: Stream) -> int:
        """Return the words of a stream."""
        return len(next(iter(self.tables[stream.name].values())))

    def memories(self, target: Target) -> list[MemoryFile]:
        """Return the entries of the streams' files in their order, their checksums empty."""
        return [
            stream_memory(target, self.unit, stream, self.words(stream))
            for stream in self.unit.streams
        ]


def words_of_cases(part: UnitVectors, cases: Sequence[int]) -> dict[int, NDArray[np.int64]]:
    """Return the words of these cases, one after another, by the number of words of a stream."""
    wanted = np.asarray(cases, np.int64)
    offsets = row_offsets(part.unit, part.tables)
    words = {part.cases: wanted}
    if offsets is not None:
        beats = [np.arange(offsets[i], offsets[i + 1]) for i in wanted]
        words[int(offsets[-1])] = np.concatenate(beats)
    return words


def select_cases(part: UnitVectors, cases: Sequence[int]) -> UnitVectors:
    """Return the vectors of these cases, one after another; a case may come twice."""
    words = words_of_cases(part, cases)
    tables = {
        stream: {name: values[words[len(values)]] for name, values in columns.items()}
        for stream, columns in part.tables.items()
    }
    return replace(part, tables=tables, cases=len(cases))


@dataclass(frozen=True)
class VectorSet:
    """Units with their vectors, and what they were made from.

    Attributes:
        target: configuration and head dimension.
        seed: seed of the stimulus; None for captured rows and a user's stimulus.
        sources: requested sources.
        units: vectors of each unit.
        random_cases: requested number of cases per unit; None for the usual one.
        testbench: whether testbenches, the reference RTL and their Makefile belong to it.
    """

    target: Target
    seed: int | None
    sources: tuple[str, ...]
    units: tuple[UnitVectors, ...]
    random_cases: int | None = None
    testbench: bool = False


def planted_line(faults: PlantedFaults) -> str:
    """Return the score of planted faults in words."""
    return (
        f"{faults.planted} faults planted in {faults.module}: {faults.with_taps} found with taps, "
        f"{faults.without_taps} by output codes alone"
    )


def make_vectors(
    target: Target,
    unit: GoldenUnit,
    groups: Sequence[CaseGroup],
    inputs: Tables,
    progress: Progress = no_progress,
) -> UnitVectors:
    """Return the vectors of a unit: its inputs simulated, its coverage taken.

    Raises:
        ValueError: an input is out of range, or the groups do not cover the cases.
    """
    cases = case_count(unit, inputs)
    if sum(group.count for group in groups) != cases:
        raise ValueError(
            f"case groups of {unit.name} must cover its {cases} cases, they count "
            f"{sum(group.count for group in groups)}"
        )
    tables = shape_tables(target, unit, inputs | unit.simulate(target, inputs, progress))
    labels = tuple(CaseGroup(g.source, g.reason, g.count, {}, g.origin) for g in groups)
    signals = unit.signals(target, tables)
    planted = unit.planted(target.config, signals)
    return UnitVectors(unit, labels, tables, cases, unit.hits(target, signals), planted)


def shape_tables(target: Target, unit: GoldenUnit, tables: Tables) -> Tables:
    """Return the tables in the order of the unit's streams and fields, in their one shape."""
    return {
        stream.name: shaped(target.fields(stream), tables[stream.name])
        for stream in unit.streams
        if stream.name in tables
    }


def content_files(vectors: VectorSet) -> Iterator[tuple[str, bytes]]:
    """Yield every file of a set but its manifest and checksums, by name."""
    for part in vectors.units:
        for stream in part.unit.streams:
            fields = vectors.target.fields(stream)
            yield part.unit.file_name(stream), render_stream(fields, part.tables[stream.name])
    yield NPZ_NAME, render_npz(_arrays(vectors))
    units = [part.unit for part in vectors.units]
    yield PACKAGE_NAME, render_package(vectors.target, units)
    if vectors.testbench:
        memories = (each for part in vectors.units for each in part.memories(vectors.target))
        words = {each.path: each.words for each in memories}
        yield from testbench_files(vectors.target, units, words)


def manifest_of(
    vectors: VectorSet, files: Mapping[str, File], package_version: str
) -> VectorManifest:
    """Return the manifest of a set whose other files, in order, are these.

    It holds no clock and no path.
    """
    target, names = vectors.target, tuple(part.unit.name for part in vectors.units)
    command = emit_command(
        target, names, vectors.sources, vectors.seed, vectors.random_cases, vectors.testbench
    )
    memories = [each for part in vectors.units for each in part.memories(target)]
    others = [each for each in files.values() if not each.path.endswith(".mem")]
    return VectorManifest(
        **common_fields(target.config.as_dict(), command, package_version),
        files=(*memories, *others),
        head_dim=target.head_dim,
        seed=vectors.seed,
        random_cases=vectors.random_cases,
        unit_names=names,
        sources=vectors.sources,  # type: ignore[arg-type]
        case_groups=tuple(group for part in vectors.units for group in _groups(part)),
        coverage=tuple(covered(p.unit.name, p.bins, p.planted) for p in vectors.units),
    ).sealed(files)


def _groups(part: UnitVectors) -> Iterator[Group]:
    first = 0
    for group in part.groups:
        yield Group(
            unit=part.unit.name,
            first=first,
            count=group.count,
            source=group.source,  # type: ignore[arg-type]
            reason=group.reason,
            origin=group.origin,
        )
        first += group.count


def _arrays(vectors: VectorSet) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the numbers of a set, by `unit.stream.field`."""
    for part in vectors.units:
        for stream in part.unit.streams:
            for field in vectors.target.fields(stream):
                name = f"{part.unit.name}.{stream.name}.{field.name}"
                values = part.tables[stream.name][field.name]
                yield name, values.astype(smallest_dtype(field))
        offsets = row_offsets(part.unit, part.tables)
        if offsets is not None:
            yield f"{part.unit.name}.row_offsets", offsets.astype(np.dtype("<i8"))
