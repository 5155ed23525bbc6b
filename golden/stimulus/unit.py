"""What vectors are made for, and what a unit declares so that they can be made and checked."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitlog2.documents import Count, Document, Name, of
from bitlog2.sim import AttentionConfig
from bitlog2.sim.checks import check_int
from bitlog2.sim.datapath import PORTS
from bitlog2.sim.declarations import Stream, Unit
from bitlog2.sim.expressions import Expression

from ..words.fields import Columns, Field
from ..words.framing import row_lengths, row_slices
from .sampler import Sampler

_USUAL_HEAD_DIM = 64


@dataclass(frozen=True)
class Target:
    """A configuration, and the head dimension of the set.

    Attributes:
        config: what the hardware is built with.
        head_dim: D, lanes of v and of the output, 1 to `max_head_dim`.

    Raises:
        TypeError, ValueError: `head_dim` is no integer or out of range; or the code is a quotient
            that is no ladder, whose decisions the vectors have no rows for.
    """

    config: AttentionConfig
    head_dim: int

    def __post_init__(self) -> None:
        head_dim = check_int("head_dim", self.head_dim, 1, self.config.max_head_dim)
        object.__setattr__(self, "head_dim", head_dim)
        code = self.config.code if isinstance(self.config, AttentionConfig) else None
        if code is not None and not (code.is_ladder or code.row_max):
            raise ValueError(
                "scheme must be of the family row_max for vectors, or have powers of two for "
                f"values, or these and their 1.5-fold, got {self.config.scheme}"
            )

    @classmethod
    def of(cls, config: AttentionConfig, head_dim: int | None = None) -> "Target":
        """Return the target; without a head dimension 64, or the largest where that is less."""
        usual = min(_USUAL_HEAD_DIM, config.max_head_dim)
        return cls(config, usual if head_dim is None else head_dim)

    def fields(self, stream: Stream) -> tuple[Field, ...]:
        """Return the fields of a word of a stream, from the most significant bits down."""
        return tuple(
            port(name, self, self.head_dim if name in stream.lanes else 1) for name in stream.ports
        )


#: The streams of a unit: stream name -> columns.
Tables = dict[str, Columns]
#: The same in any integer type.
NarrowTables = dict[str, dict[str, NDArray[Any]]]
#: `progress(items, label, total)` returns the items, showing how far they are.
Progress = Callable[[Iterable[Any], str, int | None], Iterable[Any]]


def no_progress(items: Iterable[Any], label: str, total: int | None) -> Iterable[Any]:
    """Return `items` and show nothing."""
    return items


class Origin(Document, frozen=True):
    """Place in a model where a case was captured."""

    model: Annotated[str, of("Name of the model.")]
    layer: Annotated[str, of("Name of the attention layer.")]
    head: Annotated[Count, of("Number of the head, from 0.")]
    image: Annotated[Count, of("Number of the image in the validation set.")]
    row: Annotated[Count, of("Number of the query, from 0.")]


@dataclass(frozen=True)
class CaseGroup:
    """Consecutive cases with one source and one reason.

    Attributes:
        source: exhaustive, corners, random, model or user.
        reason: purpose of the cases, in words.
        count: number of cases.
        inputs: the input streams of these cases; empty where a set's tables hold them.
        origin: place of capture, for the source model.
    """

    source: str
    reason: str
    count: int
    inputs: Tables
    origin: Origin | None = None


#: What points look at, by name: one entry per case, beat or lane, or the number of hits itself.
Signals = Mapping[str, NDArray[Any] | int]


@dataclass(frozen=True)
class Point:
    """A coverage bin: hit by every entry of a signal that has one value.

    Attributes:
        name: lower-case name of the bin.
        requirement: id in SPEC.md.
        signal: name of the signal; empty for the bin's own name.
        value: value of the signal that hits the bin; 1 is also True.
        reachable: whether some legal input of the configuration hits it.
        why: why none does, where a reader could not tell.
    """

    name: str
    requirement: str
    signal: str = ""
    value: int = 1
    reachable: bool = True
    why: str = ""

    def hits(self, signals: Signals) -> int:
        """Return how many entries hit it."""
        found = signals[self.signal or self.name]
        return found if isinstance(found, int) else int(np.count_nonzero(found == self.value))


class PlantedFaults(Document, frozen=True, kw_only=True):
    """Faults that were planted in a module, each by formula, and what the cases find of them."""

    module: Annotated[Name, of("Module of the faults.")]
    planted: Annotated[Count, of("Number of faults.")]
    with_taps: Annotated[Count, of("Those found where the taps are compared, too.")]
    without_taps: Annotated[Count, of("Those found by the module's output codes alone.")]
    missed: Annotated[tuple[Name, ...], of("The others: faults that no output code shows.")]

    def __post_init__(self) -> None:
        wanted = self.planted - len(self.missed)
        if self.without_taps != wanted:
            raise ValueError(f"without_taps must be {wanted}, as planted and missed give it")
        if not self.without_taps <= self.with_taps <= self.planted:
            raise ValueError(
                f"with_taps must be from {self.without_taps} to {self.planted}, "
                f"got {self.with_taps}"
            )


def no_faults(config: AttentionConfig, signals: Signals) -> tuple[PlantedFaults, ...]:
    """Return nothing: what a unit has that is compared whole, all its outputs being required."""
    return ()


@dataclass(frozen=True)
class GoldenUnit:
    """A unit of the datapath as the vector sets see it.

    Attributes:
        declared: the unit of the simulator: its name, its streams, what makes each output.
        corners: (target, sampler) -> the groups of its corners; the sampler draws what they leave
            open.
        random: (target, sampler, cases) -> the groups of that many random cases.
        random_cases: the usual number of them.
        kernels: (target, inputs, progress) -> outputs of inputs in range, by the kernels.
        specify: the same by the specification, which the kernels never call, nor it them.
        points: (target) -> the coverage bins, by formula and before any stimulus, also those that
            this target cannot reach.
        signals: (target, all streams) -> what the points look at.
        planted: (configuration, signals) -> what the cases find of planted faults.
    """

    declared: Unit
    corners: Callable[[Target, Sampler], list[CaseGroup]]
    random: Callable[[Target, Sampler, int], list[CaseGroup]]
    random_cases: int
    kernels: Callable[[Target, Tables, Progress], Tables]
    specify: Callable[[Target, Tables, Progress], NarrowTables]
    points: Callable[[Target], Iterable[Point]]
    signals: Callable[[Target, Tables], Signals]
    planted: Callable[[AttentionConfig, Signals], tuple[PlantedFaults, ...]] = no_faults

    @property
    def name(self) -> str:
        """The unit's name, that of its RTL module."""
        return self.declared.name

    @property
    def datapath(self) -> tuple[tuple[str, str, str], ...]:
        """(unit that makes it, stream, field) of each output, in datapath order."""
        return self.declared.makes

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The streams, inputs first, each a file of words: `<unit>.<name>.mem`."""
        return self.declared.streams

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

    def stimulus(
        self, target: Target, source: str, seed: int, cases: int | None
    ) -> list[CaseGroup]:
        """Return the groups of the source corners or random; None for the usual number of cases."""
        sampler = Sampler(seed, f"{self.name}.{source}")
        if source == "corners":
            return self.corners(target, sampler)
        return self.random(target, sampler, self.random_cases if cases is None else cases)

    def simulate(self, target: Target, inputs: Tables, progress: Progress) -> Tables:
        """Return the outputs by the kernels.

        Raises:
            ValueError: as `check_inputs`.
        """
        check_inputs(self.declared, target.config, inputs)
        return self.kernels(target, inputs, progress)

    def reachable(self, target: Target) -> dict[str, Point]:
        """Return the points that the target can reach, by name."""
        return {point.name: point for point in self.points(target) if point.reachable}

    def hits(self, target: Target, signals: Signals) -> dict[str, int]:
        """Return how many entries of the signals hit each point that the target can reach."""
        return {name: point.hits(signals) for name, point in self.reachable(target).items()}

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


def case_group(source: str, reason: str, columns: Mapping[str, ArrayLike]) -> CaseGroup:
    """Return cases of one word each, the columns of their stream `stimulus` given."""
    stimulus: Columns = {name: np.asarray(x, np.int64) for name, x in columns.items()}
    return CaseGroup(source, reason, len(next(iter(stimulus.values()))), {"stimulus": stimulus})


#: A case that is a row: the values of each beat by port, and single values that the row loads.
Row = Mapping[str, ArrayLike]


def row_groups(source: str, rows_of: Mapping[str, Iterable[Row]]) -> list[CaseGroup]:
    """Return groups of rows by their reasons; a reason without rows has none."""
    listed = ((reason, list(rows)) for reason, rows in rows_of.items())
    return [CaseGroup(source, why, len(rows), tables_of(rows)) for why, rows in listed if rows]


def tables_of(rows: Sequence[Row]) -> Tables:
    """Return the streams `params`, where rows load any, and `stimulus` with `last` set."""
    loads = [name for name, value in rows[0].items() if np.ndim(value) == 0]
    names = [name for name in rows[0] if name not in loads]
    lengths = [len(np.asarray(row[names[0]])) for row in rows]
    last = np.zeros(sum(lengths), np.int64)
    last[np.cumsum(lengths) - 1] = 1
    stimulus: Columns = {"last": last}
    for name in names:
        stimulus[name] = np.concatenate([np.asarray(row[name], np.int64) for row in rows])
    params = {name: np.array([row[name] for row in rows], np.int64) for name in loads}
    return ({"params": params} if loads else {}) | {"stimulus": stimulus}


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


def row_offsets(unit: GoldenUnit, tables: Tables) -> NDArray[np.int64] | None:
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


def case_count(unit: GoldenUnit, tables: Tables) -> int:
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


def ends(config: AttentionConfig, requirement: str, *names: str) -> list[Point]:
    """Return the points at both limits of ports: `<name>_smallest`, `<name>_largest`."""
    sides = ("smallest", "largest")
    return [
        Point(f"{name}_{side}", requirement, name, value)
        for name in names
        for side, value in zip(sides, config.ports[name].limits(config), strict=True)
    ]


def bounds(
    config: AttentionConfig, requirement: str, name: str, reachable: bool = True
) -> list[Point]:
    """Return the points at both bounds of a signed register: `<name>_bound_low`, and `_high`."""
    bound = config.registers[name].bound
    return [
        Point(f"{name}_bound_{side}", requirement, name, value, reachable)
        for side, value in (("low", -bound), ("high", bound))
    ]


def check_inputs(unit: Unit, config: AttentionConfig, inputs: Tables) -> None:
    """Refuse a case that the declaration of a unit excludes.

    Raises:
        ValueError: a row is too long, a value passes the limits of its port, or an assumption of
            the unit does not hold; names the first such case.
    """
    for stream in (each for each in unit.streams if each.role == "input"):
        columns, case_of = inputs[stream.name], None
        if stream.per == "beat":
            lengths = row_lengths(columns["last"])
            case_of = np.repeat(np.arange(len(lengths)), lengths)
            if unit.longest is not None:
                check_range(unit.name, "beats", lengths, 1, unit.longest(config))
        for name in unit.ports(stream.name):
            low, high = unit.limits(name, config)
            check_range(unit.name, name, columns[name], low, high, case_of)
        for each in unit.assumes:
            if set(each.ports) <= columns.keys():
                _check_condition(unit.name, each, config, columns, case_of)


def _check_condition(
    unit: str,
    condition: Expression,
    config: AttentionConfig,
    columns: Columns,
    case_of: NDArray[np.int64] | None,
) -> None:
    broken = np.flatnonzero(~condition.value(config, columns))
    if broken.size:
        word = int(broken[0])
        case = word if case_of is None else int(case_of[word])
        values = ", ".join(f"{name} = {int(columns[name][word])}" for name in condition.ports)
        raise ValueError(f"{unit} case {case}: {condition} must hold, got {values}")


def check_range(
    unit: str,
    name: str,
    values: NDArray[np.int64],
    low: int,
    high: int,
    case_of: NDArray[np.int64] | None = None,
) -> None:
    """Refuse a value out of range.

    Args:
        unit, name: what errors call the unit and the field.
        values: (words,) or (words, lanes).
        low, high: the legal range, both included.
        case_of: (words,) the case of each word; None where a word is a case.

    Raises:
        ValueError: names the first such case.
    """
    if values.size and low <= values.min() and values.max() <= high:
        return
    wrong = np.argwhere((values < low) | (values > high))
    if wrong.size:
        word = int(wrong[0][0])
        case = word if case_of is None else int(case_of[word])
        raise ValueError(
            f"{unit} case {case}: {name} must be from {low} to {high}, "
            f"got {int(values[tuple(wrong[0])])}"
        )


@dataclass(frozen=True)
class Specified:
    """The specification of a unit that gives one value per case, as `GoldenUnit.specify`.

    Attributes:
        unit: the unit.
        port: the value, in the stream `expected`.
        function: (*inputs, configuration) -> the value.
        names: the inputs: a value per case as an integer, one per beat as the list of a row.
        configured: whether the function takes the configuration.
    """

    unit: Unit
    port: str
    function: Callable[..., int]
    names: tuple[str, ...]
    configured: bool = True

    def __call__(self, target: Target, inputs: Tables, progress: Progress) -> NarrowTables:
        """Return the value of every case."""
        columns = {name: column for table in inputs.values() for name, column in table.items()}
        values: list[list[Any]] = [columns[name].tolist() for name in self.names]
        if "last" in columns:
            rows = row_slices(columns["last"])
            values = [
                [column[row] for row in rows] if name in inputs["stimulus"] else column
                for name, column in zip(self.names, values, strict=True)
            ]
        cases, config = list(zip(*values, strict=True)), [target.config] * self.configured
        label = f"{self.unit.name}: specification"
        found = [self.function(*case, *config) for case in progress(cases, label, len(cases))]
        return {"expected": {self.port: np.array(found, np.int64)}}
