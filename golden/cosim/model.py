"""The model beside a device: predictions and comparisons."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from bitlog2.sim import AttentionConfig

from ..package.comparison import UnitComparison, compare_unit
from ..package.reading import image_of, open_set, read_inputs
from ..package.vector_set import UnitVectors, make_vectors, shape_tables
from ..simulation.contract import Channel
from ..stimulus.rows import RowCase, check_row, tables_of_rows
from ..stimulus.unit import Tables, Target, case_count, no_progress, row_offsets
from ..stimulus.units import UNITS
from ..words.fields import pack
from ..words.memfile import render_mem
from .job import (
    Beat,
    Device,
    Garbage,
    beats_of_row,
    device_named,
    params_of,
    row_bounds,
    shape_of,
    words_of,
)
from .result import Words


class Model:
    """A device's stimulus and expected words.

    Args:
        device: which.
        target: what it is built for.
        tables: every stream of the device's unit.
    """

    def __init__(self, device: Device, target: Target, tables: Tables) -> None:
        self.device, self.target = device, target
        cases = len(next(iter(tables["stimulus"].values())))
        if (offsets := row_offsets(device.unit, tables)) is not None:
            cases = len(offsets) - 1
        self.vectors = UnitVectors(device.unit, (), tables, cases, {})
        self.params = params_of(device, tables)
        self._bounds = row_bounds(device, tables)
        starts = self._bounds[:-1]
        rows = starts if offsets is None else np.searchsorted(offsets, starts, side="right") - 1
        #: The case of each row: a plain unit with rows of its own takes them word by word.
        self.cases = np.asarray(rows).tolist()

    @classmethod
    def of_set(cls, folder: str | Path, unit: str) -> "Model":
        """Return the model of a vector set's unit.

        Raises:
            ValueError: the set cannot be used, or has no vectors for the unit.
        """
        device = device_named(unit)
        target, part = vectors_of_set(Path(folder), device)
        return cls(device, target, part.tables)

    def of_cases(self, cases: Sequence[int]) -> "Model":
        """Return the model of these cases, one after another."""
        part = select_cases(self.vectors, cases)
        return Model(self.device, self.target, part.tables)

    def channel(self, prefix: str) -> Channel:
        """Return the stream with that prefix.

        Raises:
            ValueError: there is none.
        """
        known = {each.prefix: each for each in self.device.contract.channels}
        if prefix not in known:
            raise ValueError(f"prefix must be one of {', '.join(known)}, got {prefix!r}")
        return known[prefix]

    def beats(
        self, prefix: str, lanes: int = 1, garbage: Garbage = lambda bits: 0
    ) -> list[list[Beat]]:
        """Return the beats of every row of an input stream.

        Args:
            prefix: of its ports.
            lanes: words a beat.
            garbage: bits -> what lanes hold that are not kept.
        """
        shape = shape_of(self.device, self.channel(prefix), self.target)
        words = words_of(shape, self.vectors.tables)
        return [
            beats_of_row(shape, words[first:end], lanes, garbage)
            for first, end in pairwise(self._bounds)
        ]

    def ends(self, prefix: str, lanes: int = 1) -> list[int]:
        """Return how many beats of an output there are when each row has ended."""
        shape = shape_of(self.device, self.channel(prefix), self.target)
        per_beat = shape.per_beat and not self.device.contract.plain
        ends, count = [], 0
        for first, end in pairwise(self._bounds):
            count += -(-(end - first) // lanes) if per_beat else 1
            ends.append(count)
        return ends

    def expected(self, prefix: str) -> list[list[tuple[int, int]]]:
        """Return the words of every row of an output: value, and 1 for bits that mean a thing."""
        unit, tables = self.device.unit, self.vectors.tables
        stream = next(e for e in unit.streams if e.name == self.channel(prefix).stream)
        fields = stream.fields(self.target)
        cares = {}
        for field in fields:
            cares[field.name] = np.full_like(tables[stream.name][field.name], field.high)
            if field.signed:
                cares[field.name][:] = -1
            if (hidden := unit.hidden_words(tables, stream.name, field.name)) is not None:
                cares[field.name][hidden] = 0
        values, masks = (
            [int(line, 16) for line in render_mem(pack(fields, columns)).split()]
            for columns in (tables[stream.name], cares)
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
        return Words(shape_of(self.device, self.channel(prefix), self.target), ends)


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
        unit, inputs = UNITS["attention_row"], tables_of_rows(rows)
        case_count(unit, inputs)
        outputs = unit.simulate(target, inputs, no_progress)
        super().__init__(
            device_named("attention_row"), target, shape_tables(target, unit, inputs | outputs)
        )


def vectors_of_set(folder: Path, device: Device) -> tuple[Target, UnitVectors]:
    """Return the target of a set and what the simulator makes of a device's stimulus.

    Raises:
        ValueError: the set cannot be used, or has no vectors for the device.
    """
    manifest = open_set(folder)
    unit = UNITS[device.contract.unit]
    if unit not in manifest.units:
        names = ", ".join(each.name for each in manifest.units)
        raise ValueError(
            f"unit {device.name} takes the vectors of {unit.name}, the set has those of {names}"
        )
    inputs = read_inputs(folder, manifest, unit)
    part = make_vectors(manifest.target, unit, manifest.groups[unit.name], inputs)
    tables = device.tables(part.tables)
    return manifest.target, UnitVectors(device.unit, part.groups, tables, part.cases, {})


def select_cases(part: UnitVectors, cases: Sequence[int]) -> UnitVectors:
    """Return the vectors of these cases, one after another; a case may come twice."""
    wanted = np.asarray(cases, np.int64)
    offsets = row_offsets(part.unit, part.tables)
    words = {part.cases: wanted}  # by the length of a column
    if offsets is not None:
        beats = [np.arange(offsets[i], offsets[i + 1]) for i in wanted]
        words[int(offsets[-1])] = np.concatenate(beats)
    tables = {
        stream: {name: values[words[len(values)]] for name, values in columns.items()}
        for stream, columns in part.tables.items()
    }
    return replace(part, tables=tables, cases=len(wanted))


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
