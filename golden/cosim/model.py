"""The model beside a device: its vectors as beats, and the words that it gives held to them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import SCHEMES, AttentionConfig, declarations
from bitlog2.sim.checks import check_choice
from bitlog2.sim.scheme import FAMILIES

from ..package.comparison import UnitComparison, compare_unit
from ..package.reading import image_of, open_set, read_tables
from ..package.vector_manifest import VectorManifest
from ..package.vector_set import UnitVectors, make_vectors, select_cases, shape_tables
from ..simulation import contract
from ..simulation.contract import Channel, ChannelWords, Contract
from ..stimulus.rows import RowCase, check_row, tables_of_rows
from ..stimulus.unit import GoldenUnit, Tables, Target, case_count, no_progress, row_offsets
from ..stimulus.units import units_within
from ..words.fields import hex_digits, pack
from ..words.memfile import render_mem

# -- Devices ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Device:
    """A module that takes and gives vectors.

    Attributes:
        contract: its ports, with the streams of `unit`; `contract.unit` is the unit of vector sets
            that its words are taken from.
        unit: what it shows, under the module's name.
        origins: (stream, port) of `unit` -> the stream of the vector set that holds it.
    """

    contract: Contract
    unit: GoldenUnit
    origins: Mapping[tuple[str, str], str]

    @property
    def name(self) -> str:
        """The module's name."""
        return self.unit.name

    def tables(self, source: Tables) -> Tables:
        """Return the streams of the device from those of the vector set."""
        return {
            stream.name: {
                port: source[self.origins[stream.name, port]][port] for port in stream.ports
            }
            for stream in self.unit.streams
        }

    def words(self, channel: Channel, target: Target) -> ChannelWords:
        """Return the words of a channel."""
        return ChannelWords.of(channel, self.unit, target)


def _device(name: str, held: Contract, unit: GoldenUnit) -> Device:
    """Return the device of a module: its unit, or as much of it as it has ports for."""
    if held.module != held.unit:
        return _part_of(unit, held)
    streams = unit.declared.streams
    if held.plain:
        streams = tuple(each for each in streams if each.name in ("stimulus", "expected"))
    outputs = [each.name for each in streams if each.role == "output"]
    makes = tuple(entry for entry in unit.datapath if entry[1] in outputs)
    shown = replace(unit.declared, name=name, streams=streams, makes=makes)
    origins = {(each.name, port): each.name for each in streams for port in each.ports}
    return Device(held, replace(unit, declared=shown), origins)


def _part_of(unit: GoldenUnit, held: Contract) -> Device:
    """Return the device of a part of a unit: its input is a stimulus, its output is expected.

    An output that carries a whole stream of the unit keeps the stream's name.
    """
    sources = {each.name: each for each in unit.declared.streams}
    streams = [declarations.Stream("params", "input", "case", held.params)] if held.params else []
    origins = {("params", port): "params" for port in held.params}
    makes, made, renamed = [], [], {}
    for channel in held.channels:
        source = sources[channel.stream]
        if channel in held.outputs and channel.fields == unit.declared.ports(source.name):
            stream = source
            makes += [entry for entry in unit.datapath if entry[1] == source.name]
        else:
            role = "input" if channel in held.inputs else "output"
            name = "stimulus" if role == "input" else "expected"
            stream = declarations.Stream(name, role, "beat", ("last", *channel.fields))  # type: ignore[arg-type]
            renamed[channel] = replace(channel, stream=name)
        if stream.name == "expected":
            made = [
                (maker, "expected", port)
                for maker, where, port in unit.datapath
                if where == source.name and port in stream.ports
            ]
        streams.append(stream)
        for port in stream.ports:
            origins[stream.name, port] = source.name if port in source.ports else "stimulus"
    own = replace(
        held,
        inputs=tuple(renamed.get(each, each) for each in held.inputs),
        outputs=tuple(renamed.get(each, each) for each in held.outputs),
    )
    shown = replace(unit.declared, name=held.module, streams=tuple(streams), makes=(*makes, *made))
    return Device(own, replace(unit, declared=shown), origins)


@cache
def devices_within(config: AttentionConfig) -> dict[str, Device]:
    """Return every device of the scheme's datapath by its name, in the order of the datapath."""
    units = units_within(config)
    return {
        name: _device(name, held, units[held.unit])
        for name, held in contract.devices_within(config).items()
    }


def _of_any_family() -> dict[str, Device]:
    found: dict[str, Device] = {}
    for family in reversed(FAMILIES):
        scheme = next(name for name, each in SCHEMES.items() if each.family == family)
        found |= devices_within(AttentionConfig(scheme))
    return {name: found[name] for name in contract.DEVICES}


#: Every device of any datapath by its name, as `contract.DEVICES`.
DEVICES: dict[str, Device] = _of_any_family()


def device_named(name: str, config: AttentionConfig) -> Device:
    """Return the device of that name in the scheme's datapath.

    Raises:
        ValueError: there is none.
    """
    devices = devices_within(config)
    return devices[check_choice("unit", name, tuple(devices))]


# -- Words of channels -----------------------------------------------------------------------------


#: `garbage(bits)` returns bits that mean nothing: what lanes hold that are not kept.
Garbage = Callable[[int], int]


@dataclass(frozen=True)
class Beat:
    """One beat of a stream: `tdata`, `tkeep` and `tlast`."""

    data: int
    keep: int = 1
    last: int = 0


def beats_of_row(words: Sequence[int], width: int, lanes: int, garbage: Garbage) -> list[Beat]:
    """Return a row as beats: on the last the low lanes are kept, the others hold garbage."""
    beats = []
    for first in range(0, len(words), lanes):
        part = words[first : first + lanes]
        spare = (lanes - len(part)) * width
        data = garbage(spare) if spare else 0
        for word in reversed(part):
            data = data << width | word
        last = int(first + lanes >= len(words))
        beats.append(Beat(data, (1 << len(part)) - 1, last))
    return beats


_SHOWN_ERRORS = 3


@dataclass
class Words:
    """The words that a channel gave.

    Attributes:
        of: format of the channel's words.
        ends: for each expected word whether a row ends with it, 1 or 0; used where the word itself
            does not begin with `last`.
        bits: bits of each word, most significant first, 01xz.
        times: time of each word in nanoseconds.
        failures: what is wrong with `tkeep` and `tlast`: the first three.
    """

    of: ChannelWords
    ends: Sequence[int] = ()
    bits: list[str] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def stream(self) -> str:
        """The stream of the unit."""
        return self.of.stream.name

    def file(self) -> bytes:
        """Return the words as a memory file; a digit with an unknown bit is x."""
        return "".join(f"{_hexadecimal(bits)}\n" for bits in self.bits).encode()

    def take(self, data: str, keep: str, last: str, time: int) -> None:
        """Add the kept lanes of a beat: its bits, 01xz, and when it was taken."""
        channel, width, in_word = self.of.channel, self.of.width, self.of.last_in_word
        kept = len(keep) - len(keep.lstrip("0")) if keep.strip("01") == "" else 0
        lanes = len(keep) - kept
        legal = keep == "0" * kept + "1" * lanes and lanes > 0
        if not legal or (last == "0" and kept and channel.framed):
            self._fail(f"{channel.prefix}_tkeep is {keep} with tlast {last} at {time} ns")
        for lane in range(lanes):
            if legal or keep[len(keep) - 1 - lane] != "0":
                end = (last if lane == lanes - 1 else "0") if in_word else ""
                word = data[len(data) - (lane + 1) * width : len(data) - lane * width]
                self.bits.append(end + word)
                self.times.append(time)
        if channel.framed and not in_word:
            place = len(self.bits) - 1
            expected = str(self.ends[place]) if 0 <= place < len(self.ends) else last
            if last != expected:
                found = f"{channel.prefix}_tlast is {last} with word {place} at {time} ns"
                self._fail(f"{found}, must be {expected}")

    def _fail(self, text: str) -> None:
        if len(self.failures) < _SHOWN_ERRORS:
            self.failures.append(text)


def _hexadecimal(bits: str) -> str:
    """Return bits as hexadecimal digits; a digit with an unknown bit is x."""
    digits = hex_digits(len(bits))
    if not bits.strip("01"):
        return f"{int(bits, 2):0{digits}x}"
    padded = bits.rjust(4 * digits, "0")
    parts = [padded[i : i + 4] for i in range(0, len(padded), 4)]
    return "".join("x" if part.strip("01") else f"{int(part, 2):x}" for part in parts)


# -- Models ----------------------------------------------------------------------------------------


class Model:
    """A device's stimulus and expected words.

    Args:
        device: the device.
        target: configuration and head dimension that it is built for.
        tables: every stream of the device's unit.
    """

    def __init__(self, device: Device, target: Target, tables: Tables) -> None:
        self.device, self.target = device, target
        count = len(next(iter(tables["stimulus"].values())))
        offsets, starts = row_offsets(device.unit, tables), list(range(count + 1))
        cases = count if offsets is None else len(offsets) - 1
        self.vectors = UnitVectors(device.unit, (), tables, cases, {})
        names = device.contract.params
        #: Layer parameters of every row, in the order of the device's ports; empty without any.
        self.params: list[tuple[int, ...]] = list(
            zip(*(tables["params"][name].tolist() for name in names), strict=True)
        )
        #: The first word of each row and the number of words; a case is a row of its own.
        self._bounds = starts
        #: The case of each row: a plain unit with rows of its own takes them word by word.
        self.cases = starts[:-1]
        if offsets is not None and device.contract.plain:
            self.cases = (np.searchsorted(offsets, self.cases, side="right") - 1).tolist()
        elif offsets is not None:
            self._bounds, self.cases = offsets.tolist(), list(range(cases))

    @classmethod
    def of_set(cls, folder: str | Path, unit: str) -> "Model":
        """Return the model of a vector set's unit.

        Raises:
            ValueError: the set cannot be used, or has no vectors for the unit.
        """
        device = device_named(unit, open_set(Path(folder)).config)
        target, part = vectors_of_set(Path(folder), device)
        return cls(device, target, part.tables)

    def of_cases(self, cases: Sequence[int]) -> "Model":
        """Return the model of these cases, one after another."""
        return Model(self.device, self.target, select_cases(self.vectors, cases).tables)

    def channel(self, prefix: str) -> ChannelWords:
        """Return the words of the stream with that prefix.

        Raises:
            ValueError: there is none.
        """
        known = {each.prefix: each for each in self.device.contract.channels}
        check_choice("prefix", prefix, tuple(known))
        return self.device.words(known[prefix], self.target)

    def beats(
        self, prefix: str, lanes: int = 1, garbage: Garbage = lambda bits: 0
    ) -> list[list[Beat]]:
        """Return the beats of every row of an input stream.

        Args:
            prefix: prefix of its ports.
            lanes: words per beat.
            garbage: bits -> what lanes hold that are not kept.
        """
        carried = self.channel(prefix)
        columns = self.vectors.tables[carried.stream.name]
        words = _integers(pack(carried.fields, {f.name: columns[f.name] for f in carried.fields}))
        return [
            beats_of_row(words[first:end], carried.width, lanes, garbage)
            for first, end in pairwise(self._bounds)
        ]

    def ends(self, prefix: str, lanes: int = 1) -> list[int]:
        """Return how many beats of an output there are when each row has ended."""
        per_beat = self.channel(prefix).stream.per == "beat" and not self.device.contract.plain
        counts = [-(-(end - first) // lanes) for first, end in pairwise(self._bounds)]
        return list(accumulate(counts if per_beat else [1] * len(counts)))

    def expected(self, prefix: str) -> list[list[tuple[int, int]]]:
        """Return the words of every row of an output: value, and 1 for bits that mean a thing."""
        unit, tables = self.device.unit, self.vectors.tables
        stream = self.channel(prefix).stream
        fields, cares = self.target.fields(stream), {}
        for each in fields:
            cares[each.name] = np.full_like(
                tables[stream.name][each.name], -1 if each.signed else each.high
            )
            if (hidden := unit.hidden_words(tables, stream.name, each.name)) is not None:
                cares[each.name][hidden] = 0
        values, masks = (
            _integers(pack(fields, columns)) for columns in (tables[stream.name], cares)
        )
        words = list(zip(values, masks, strict=True))
        if stream.per == "case":
            return [[word] for word in words]
        return [words[first:end] for first, end in pairwise(self._bounds)]

    def words(self, prefix: str, rows: Sequence[int] | None = None) -> Words:
        """Return an empty record of an output's words, for these rows or all."""
        last, ends = self.vectors.tables["stimulus"].get("last"), ()
        if last is not None and not self.device.contract.plain:
            bounds = list(pairwise(self._bounds))
            order = range(len(bounds)) if rows is None else rows
            ends = tuple(bit for row in order for bit in last[slice(*bounds[row])].tolist())
        return Words(self.channel(prefix), ends)


def _integers(digits: NDArray[np.uint8]) -> list[int]:
    return [int(line, 16) for line in render_mem(digits).split()]


class AttentionModel(Model):
    """The model of rows that a testbench makes itself.

    Args:
        config: what the device is built with.
        rows: the rows, all with the same D.

    Raises:
        TypeError, ValueError: a row is malformed or out of range.
    """

    def __init__(self, config: AttentionConfig, rows: Sequence[RowCase]) -> None:
        if not rows:
            raise ValueError("rows must hold at least one row")
        target = Target.of(config, rows[0].v.shape[1])
        for index, row in enumerate(rows):
            check_row(row, target, f"row {index}")
        unit, inputs = units_within(config)["attention_row"], tables_of_rows(rows)
        case_count(unit, inputs)
        outputs = unit.simulate(target, inputs, no_progress)
        super().__init__(
            device_named("attention_row", config),
            target,
            shape_tables(target, unit, inputs | outputs),
        )


def unit_of(manifest: VectorManifest, device: Device) -> GoldenUnit:
    """Return the unit of a set whose vectors a device takes.

    Raises:
        ValueError: the set has no vectors for the device.
    """
    unit = units_within(manifest.config)[device.contract.unit]
    if unit not in manifest.units:
        raise ValueError(
            f"unit {device.name} takes the vectors of {unit.name}, the set has those of "
            f"{', '.join(manifest.unit_names)}"
        )
    return unit


def vectors_of_set(folder: Path, device: Device) -> tuple[Target, UnitVectors]:
    """Return the target of a set and what the simulator makes of a device's stimulus.

    Raises:
        ValueError: the set cannot be used, or has no vectors for the device.
    """
    manifest = open_set(folder)
    unit = unit_of(manifest, device)
    inputs = read_tables(folder, manifest, unit, unit.inputs)
    part = make_vectors(manifest.target, unit, manifest.groups[unit.name], inputs)
    tables = device.tables(part.tables)
    return manifest.target, UnitVectors(device.unit, part.groups, tables, part.cases, {})


def model_of_files(folder: Path, device: Device) -> Model:
    """Return the model of a device whose expected words are those that a set's files hold.

    Raises:
        ValueError: the set cannot be used.
        OSError: a file cannot be read.
    """
    manifest = open_set(folder)
    unit = units_within(manifest.config)[device.contract.unit]
    tables = read_tables(folder, manifest, unit, unit.streams)
    return Model(device, manifest.target, device.tables(tables))


def compare_words(
    target: Target,
    part: UnitVectors,
    files: Mapping[str, bytes],
    times: Mapping[str, Sequence[int]],
    cases: Sequence[int] | None = None,
) -> UnitComparison:
    """Return the comparison of a device's words with the expected ones; mismatches say when.

    Args:
        target: what the device is built for.
        part: the expected words.
        files: memory files by stream.
        times: nanoseconds of each word by stream.
        cases: number of each case in the set; None where these are all.
    """
    streams = {stream.name: stream for stream in part.unit.outputs}
    images = {
        name: image_of(data, Path(name), target, streams[name], part.words(streams[name]))
        for name, data in files.items()
    }
    return compare_unit(target, part, images, times, cases)
