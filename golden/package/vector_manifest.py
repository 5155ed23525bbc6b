"""Manifest of a vector set: its units, case groups and coverage."""

import shlex
from collections.abc import Collection, Sequence
from typing import Annotated, Literal

from msgspec import Meta, field

from bitlog2.documents import (
    UNIQUE,
    Count,
    Document,
    Name,
    Positive,
    Text,
    check_once,
    of,
)
from bitlog2.sim.declarations import Stream

from ..stimulus.unit import CaseGroup, GoldenUnit, Origin, PlantedFaults, Target
from ..stimulus.units import units_within
from .manifest import (
    MAKEFILE_NAME,
    MANIFEST_NAME,
    FolderManifest,
    MemoryFile,
    check_listed,
    memory,
)
from .presets import preset_of

HeadDim = Annotated[
    int,
    Meta(ge=1, le=1024, description="D: lanes of v, of the accumulators and of the output."),
]
Seed = Annotated[
    Count | None,
    of("Seed of the stimulus; null where it was captured from a model or given by a user."),
]
RandomCases = Annotated[
    Annotated[int, Meta(ge=1, le=10**8)] | None,
    of("Random cases of each unit; null for the usual number."),
]
Units = Annotated[
    tuple[Name, ...], Meta(min_length=1, description="In the order of the datapath."), UNIQUE
]
Sources = Annotated[
    tuple[Literal["corners", "random", "model", "user"], ...],
    Meta(
        min_length=1,
        description="Corners and random, or rows of a model, or stimulus of a user: as requested.",
    ),
    UNIQUE,
]


class Group(Document, frozen=True, kw_only=True):
    """Consecutive cases with one source and one reason."""

    unit: Annotated[Name, of("Unit of the cases.")]
    first: Annotated[Count, of("Number of the first case, from 0.")]
    count: Annotated[Positive, of("Number of cases.")]
    source: Annotated[
        Literal["exhaustive", "corners", "random", "model", "user"], of("Maker of the cases.")
    ]
    reason: Annotated[Text, of("Purpose of the cases.")]
    origin: Annotated[Origin | None, of("Place of capture, for the source model alone.")] = None

    def __post_init__(self) -> None:
        if (self.origin is None) == (self.source == "model"):
            raise ValueError(
                f"origin must be given for the source model alone, got source {self.source}"
            )

    @property
    def cases(self) -> CaseGroup:
        """The group without its inputs."""
        return CaseGroup(self.source, self.reason, self.count, {}, self.origin)


class Coverage(Document, frozen=True, kw_only=True):
    """Coverage of a unit: bins that were declared before the stimulus."""

    unit: Annotated[Name, of("Unit of the bins.")]
    declared: Annotated[Count, of("Number of bins.")]
    reached: Annotated[Count, of("Number of bins with hits.")]
    empty: Annotated[tuple[Name, ...], of("Bins without hits.")]
    bins: Annotated[dict[Name, Count], of("Hits of each bin: rows, keys or lanes.")]
    planted_faults: Annotated[
        tuple[PlantedFaults, ...],
        of("What the cases find of planted faults; empty for a unit without taps."),
    ]

    def __post_init__(self) -> None:
        empty = tuple(name for name, hits in self.bins.items() if not hits)
        wanted = {"declared": len(self.bins), "reached": len(self.bins) - len(empty)}
        for name, value in (*wanted.items(), ("empty", empty)):
            if getattr(self, name) != value:
                raise ValueError(f"{name} must be {value}, as bins give it")

    def of_bins(self, names: Collection[str]) -> "Coverage":
        """Return the coverage of these bins, in this order, without planted faults."""
        return covered(self.unit, {name: self.bins[name] for name in names if name in self.bins})


def covered(
    unit: str, bins: dict[str, int], planted_faults: tuple[PlantedFaults, ...] = ()
) -> Coverage:
    """Return the coverage of a unit from the hits of its bins."""
    empty = tuple(name for name, hits in bins.items() if not hits)
    return Coverage(
        unit=unit,
        declared=len(bins),
        reached=len(bins) - len(empty),
        empty=empty,
        bins=bins,
        planted_faults=planted_faults,
    )


class VectorManifest(FolderManifest, tag="bitlog2-vectors", frozen=True, kw_only=True):
    """Manifest of a vector set."""

    title = "vector set"
    schema_file = "manifest.schema.json"

    head_dim: HeadDim
    seed: Seed
    random_cases: RandomCases
    unit_names: Units = field(name="units")
    sources: Sources
    case_groups: Annotated[
        tuple[Group, ...], Meta(min_length=1, description="The cases of each unit in order.")
    ] = field(name="groups")
    coverage: Annotated[tuple[Coverage, ...], Meta(min_length=1, description="Of each unit.")]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_once("units", self.unit_names)
        check_once("sources", self.sources)
        known = units_within(self.config)
        for name in self.unit_names:
            if name not in known:
                raise ValueError(f"units must be among {', '.join(known)}, got {name!r}")
        given = self.sources in (("model",), ("user",))
        if given != (self.seed is None):
            raise ValueError(
                "seed must be null exactly where sources are the model or the user alone"
            )
        if not given and not {"model", "user"}.isdisjoint(self.sources):
            raise ValueError("sources must be the model or the user alone, or corners and random")
        self._check_groups()
        pairs = [(unit, stream) for unit in self.units for stream in unit.streams]
        if len(pairs) == len(self.memories):
            wanted = [
                stream_memory(self.target, unit, stream, found.words)
                for (unit, stream), found in zip(pairs, self.memories, strict=True)
            ]
            check_listed(self.memories, wanted)
        else:
            expected = ", ".join(unit.file_name(stream) for unit, stream in pairs)
            listed = ", ".join(each.path for each in self.memories)
            raise ValueError(f"files must be {expected}, got {listed}")

    def _check_groups(self) -> None:
        for unit in self.unit_names:
            count = 0
            for group in self.case_groups:
                if group.unit == unit and group.first != count:
                    raise ValueError(
                        f"groups must follow one another, {unit} must go on with case {count}, "
                        f"got {group.first}"
                    )
                count += group.count * (group.unit == unit)
        if self.random_cases is not None:
            for unit, groups in self.groups.items():
                counted = sum(group.count for group in groups if group.source == "random")
                if counted != self.random_cases:
                    raise ValueError(
                        f"groups must count {self.random_cases} random cases of {unit}, as "
                        f"random_cases gives, they count {counted}"
                    )

    @property
    def target(self) -> Target:
        """Configuration and head dimension."""
        return Target(self.config, self.head_dim)

    @property
    def units(self) -> tuple[GoldenUnit, ...]:
        """The units in the order of the set."""
        known = units_within(self.config)
        return tuple(known[name] for name in self.unit_names)

    @property
    def groups(self) -> dict[str, tuple[CaseGroup, ...]]:
        """The case groups of each unit by its name."""
        return {
            name: tuple(each.cases for each in self.case_groups if each.unit == name)
            for name in self.unit_names
        }

    def memory(self, path: str) -> MemoryFile:
        """Return the memory file of that name."""
        return next(each for each in self.memories if each.path == path)

    @property
    def words(self) -> dict[str, int]:
        """Words of each memory file by its name."""
        return {each.path: each.words for each in self.memories}

    @property
    def testbench(self) -> bool:
        """Whether testbenches belong to the set."""
        return any(each.path == MAKEFILE_NAME for each in self.files)


def stream_memory(target: Target, unit: GoldenUnit, stream: Stream, words: int) -> MemoryFile:
    """Return the entry of a stream's file, its checksum empty."""
    path, what = unit.file_name(stream), f"{stream.name} of {unit.name}, one word per {stream.per}"
    return memory(path, unit.name, what, {stream.per: words}, target.fields(stream))


def emit_command(
    target: Target,
    units: Sequence[str],
    sources: Sequence[str],
    seed: int | None,
    random_cases: int | None = None,
    testbench: bool = False,
) -> str:
    """Return the command that makes a set again, its output folder left out.

    A configuration that is no preset is taken from the manifest itself, and so are the cases of a
    model or a user.
    """
    if seed is None:
        return f"bitlog2 golden emit --from {MANIFEST_NAME}"
    source = "all" if len(sources) > 1 else sources[0]
    words = ["--config", preset_of(target.config) or MANIFEST_NAME]
    for unit in units:
        words += ["--unit", unit]
    words += ["--source", source, "--seed", str(seed), "--head-dim", str(target.head_dim)]
    if random_cases is not None:
        words += ["--count", str(random_cases)]
    if testbench:
        words.append("--testbench")
    return "bitlog2 golden emit " + shlex.join(words)
