"""What vectors are made for, and what a unit declares so that they can be made and checked."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import AttentionConfig, declarations
from bitlog2.sim.ports import PORTS

from ..words.fields import Columns, Field

_USUAL_HEAD_DIM = 64


@dataclass(frozen=True)
class Target:
    """A configuration, and the head dimension of the set.

    Attributes:
        config: what the hardware is built with.
        head_dim: D, lanes of v and of the output, 1 to `max_head_dim`.

    Raises:
        TypeError, ValueError: `head_dim` is no integer or out of range.
    """

    config: AttentionConfig
    head_dim: int

    def __post_init__(self) -> None:
        high = self.config.max_head_dim
        if isinstance(self.head_dim, bool) or not isinstance(self.head_dim, int):
            raise TypeError(f"head_dim must be an integer from 1 to {high}, got {self.head_dim!r}")
        if not 1 <= self.head_dim <= high:
            raise ValueError(f"head_dim must be from 1 to {high}, got {self.head_dim}")

    @classmethod
    def of(cls, config: AttentionConfig, head_dim: int | None = None) -> "Target":
        """Return the target; without a head dimension 64, or the largest where that is less."""
        usual = min(_USUAL_HEAD_DIM, config.max_head_dim)
        return cls(config, usual if head_dim is None else head_dim)


#: The streams of a unit: stream name -> columns.
Tables = dict[str, Columns]
#: The same in any integer type.
NarrowTables = dict[str, dict[str, NDArray[Any]]]
#: `progress(items, label, total)` returns the items, showing how far they are.
Progress = Callable[[Iterable[Any], str, int | None], Iterable[Any]]


def no_progress(items: Iterable[Any], label: str, total: int | None) -> Iterable[Any]:
    """Return `items` and show nothing."""
    return items


@dataclass(frozen=True)
class Stream:
    """A file of words that goes into a unit or comes out of it: `<unit>.<name>.mem`."""

    declared: declarations.Stream

    @property
    def name(self) -> str:
        """`stimulus`, `expected`, ..."""
        return self.declared.name

    @property
    def role(self) -> Literal["input", "output"]:
        """`input`, or `output`: what a device gives and `verify` compares."""
        return self.declared.role

    @property
    def per(self) -> Literal["case", "beat"]:
        """One word per `case`, or per `beat`: then rows are framed by the field `last`."""
        return self.declared.per

    def fields(self, target: Target) -> tuple[Field, ...]:
        """Return the fields of a word, from the most significant bits down."""
        wide = self.declared.lanes
        return tuple(
            port(name, target, target.head_dim if name in wide else 1)
            for name in self.declared.ports
        )


@dataclass(frozen=True)
class Origin:
    """Where in a model a row was captured."""

    model: str
    layer: str
    head: int
    image: int
    row: int


@dataclass(frozen=True)
class CaseGroup:
    """Consecutive cases with one source and one reason.

    Attributes:
        source: exhaustive, corners, random, model or user.
        reason: why the cases are there, in words.
        count: number of cases.
        inputs: the input streams of these cases; empty where a set's tables hold them.
        origin: where the cases were captured, for the source model.
    """

    source: str
    reason: str
    count: int
    inputs: Tables
    origin: Origin | None = None


@dataclass(frozen=True)
class Unit:
    """A unit of the datapath as the vector sets see it: one of these per file of `units/`.

    Attributes:
        declared: the unit of the simulator: its name, its streams, what makes each output.
        stimulus: (target, "corners" or "random", seed, random cases) -> the groups of that
            source; None for the usual number of random cases.
        simulate: (target, inputs, progress) -> outputs, by the kernels.
        specify: the same by the specification; the two never call each other.
        bins: the coverage bins that this target can reach, by formula, before any stimulus.
        hits: (target, all streams) -> how often each bin was hit.
        requirements: (target) -> the id of SPEC.md that each of these bins belongs to.
    """

    declared: declarations.Unit
    stimulus: Callable[[Target, str, int, int | None], list[CaseGroup]]
    simulate: Callable[[Target, Tables, Progress], Tables]
    specify: Callable[[Target, Tables, Progress], NarrowTables]
    bins: Callable[[Target], tuple[str, ...]]
    hits: Callable[[Target, Tables], dict[str, int]]
    requirements: Callable[[Target], dict[str, str]]

    @property
    def name(self) -> str:
        """The unit's name, that of its RTL module."""
        return self.declared.name

    @property
    def datapath(self) -> tuple[tuple[str, str, str], ...]:
        """(unit that makes it, stream, field) of each output, in datapath order."""
        return self.declared.makes

    @cached_property
    def streams(self) -> tuple[Stream, ...]:
        """The streams, inputs first."""
        return tuple(map(Stream, self.declared.streams))

    @property
    def inputs(self) -> tuple[Stream, ...]:
        """The streams that go into the unit."""
        return tuple(stream for stream in self.streams if stream.role == "input")

    @property
    def outputs(self) -> tuple[Stream, ...]:
        """The streams that come out of it: expected values and taps."""
        return tuple(stream for stream in self.streams if stream.role == "output")

    def file_name(self, stream: Stream) -> str:
        """Return the name of the stream's file."""
        return f"{self.name}.{stream.name}.mem"

    def guard(self, stream: str, field: str) -> tuple[str, str, int] | None:
        """Return (stream, port, value): where that port has that value the field means nothing.

        The port is in the same stream or, with as many words, among the inputs. None where every
        word means something.
        """
        hidden = PORTS[field].hidden
        if hidden is None:
            return None
        homes = (stream, *(each.name for each in self.inputs))
        found = (home for home in homes if hidden[0] in self.declared.ports(home))
        return next(((home, *hidden) for home in found), None)

    def hidden_words(self, tables: Tables, stream: str, field: str) -> NDArray[np.bool_] | None:
        """Return in which words of an output a field means nothing; None for in none."""
        guard = self.guard(stream, field)
        return None if guard is None else tables[guard[0]][guard[1]] == guard[2]


def join_tables(parts: Sequence[Tables]) -> Tables:
    """Return the tables of all parts, one after another."""
    if len(parts) == 1:
        return parts[0]
    return {
        stream: {
            field: np.concatenate([part[stream][field] for part in parts])
            for field in parts[0][stream]
        }
        for stream in parts[0]
    }


def row_offsets(unit: Unit, tables: Tables) -> NDArray[np.int64] | None:
    """Return the first beat of each row and the number of beats; None for a unit without rows.

    Raises:
        ValueError: the last beat has no `last` bit.
    """
    framed = next((stream for stream in unit.inputs if stream.per == "beat"), None)
    if framed is None:
        return None
    last = tables[framed.name]["last"]
    if last.size == 0 or last[-1] != 1:
        raise ValueError(f"{unit.file_name(framed)}: the last beat must have its last bit set")
    return np.concatenate([np.zeros(1, np.int64), np.flatnonzero(last) + 1])


def case_count(unit: Unit, tables: Tables) -> int:
    """Return the number of cases in the input streams.

    Raises:
        ValueError: the streams do not agree.
    """
    counts = {}
    offsets = row_offsets(unit, tables)
    for stream in unit.inputs:
        if stream.per == "beat":
            counts[stream.name] = len(offsets) - 1 if offsets is not None else 0
        else:
            counts[stream.name] = len(next(iter(tables[stream.name].values())))
    if len(set(counts.values())) != 1:
        listed = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise ValueError(f"input streams of {unit.name} must have the same cases: {listed}")
    return next(iter(counts.values()))


def port(name: str, target: Target, lanes: int = 1) -> Field:
    """Return the field of that name: `lanes` values side by side."""
    return Field(name, target.config.width(name), target.config.ports[name].signed, lanes)
