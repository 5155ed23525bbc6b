"""Streams held against expected ones, and what is reported of it."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bitlog2.documents import counted
from bitlog2.sim.declarations import Stream

from ..stimulus.unit import Target, row_offsets
from ..stimulus.units import units_within
from ..words.fields import Columns, Field, blocks, pack, unpack
from ..words.memfile import UNKNOWN, MemoryImage
from .vector_set import UnitVectors

#: Mismatches that a comparison keeps, and those that its report prints.
SHOWN, _PRINTED = 10, 5


@dataclass(frozen=True)
class FieldMismatch:
    """A value that is not the expected one.

    Attributes:
        unit, stream, field: place of the value; `maker` is the unit of the datapath that makes it.
        case: number of the case in the set.
        beat: key within the row, None for a word of a case.
        lane: output channel, None for a field without lanes.
        expected, actual: the values; `actual` is None where digits are unknown.
        digits: actual bits in hexadecimal, x for unknown digits.
        bits: width of the field.
        time: simulation time in nanoseconds; None without a simulation.
    """

    unit: str
    stream: str
    maker: str
    case: int
    beat: int | None
    field: str
    lane: int | None
    expected: int
    actual: int | None
    digits: str
    bits: int
    time: int | None = dataclasses.field(default=None, compare=False)

    def __str__(self) -> str:
        place = f"{self.unit}.{self.stream} case {self.case}"
        if self.beat is not None:
            place += f" beat {self.beat}"
        if self.lane is not None:
            place += f" lane {self.lane}"
        actual = "unknown" if self.actual is None else str(self.actual)
        expected = hex_of(self.expected & ((1 << self.bits) - 1), 0, self.bits)
        return (
            f"{place} {self.field} ({self.maker}): expected 0x{expected} ({self.expected}), "
            f"actual 0x{self.digits} ({actual})"
            + ("" if self.time is None else f" at {self.time} ns")
        )


@dataclass(frozen=True)
class Difference:
    """The wrong values of a field, taken together.

    Attributes:
        stream, field, maker: as of a `FieldMismatch`.
        values: number of compared values.
        wrong: number of values that differ.
        cases: number of cases with such values.
        how: kind of difference, in words.
    """

    stream: str
    field: str
    maker: str
    values: int
    wrong: int
    cases: int
    how: str

    def __str__(self) -> str:
        return (
            f"{self.stream} {self.field} ({self.maker}): {self.wrong} of {self.values} values "
            f"differ, in {cases_of(self.cases)}: {self.how}"
        )


@dataclass(frozen=True)
class StreamCount:
    """How many words of a stream were compared.

    Attributes:
        name: `unit.stream`.
        words: words that the manifest counts.
        compared: words that were present.
        surplus: words past the last.
        wrong: compared words that differ.
    """

    name: str
    words: int
    compared: int
    surplus: int
    wrong: int

    @property
    def ok(self) -> bool:
        """Whether every word was there, nothing more, and all agreed."""
        return self.compared == self.words and not self.surplus and not self.wrong

    def __str__(self) -> str:
        text = f"{self.name}: {self.compared} of {self.words} words compared, {self.wrong} differ"
        if self.compared < self.words:
            text += f", {self.words - self.compared} missing"
        if self.surplus:
            text += f", {self.surplus} too many"
        return text


@dataclass(frozen=True)
class UnitComparison:
    """The outputs of one unit, compared.

    Attributes:
        unit: its name.
        counts: one for each stream that was given.
        mismatches: the first ten, by case and then in datapath order; of the lanes of a value
            the first two.
        differences: one for each field that differs, in datapath order.
        first: the first case with a mismatch: why it is there, and its inputs, line by line.
        reasons: reason -> number of cases with a mismatch.
        total: mismatching values.
        parted: case -> the first unit that parts, for every case with a mismatch.
        taps_missing: streams that were not given: what they hold cannot be named in `parted`.
        requirements: first unit that parts -> the ids that its bins are of.
        whole: whether `first` is a case with all of its words, and every mismatch is kept.
    """

    unit: str
    counts: tuple[StreamCount, ...]
    mismatches: tuple[FieldMismatch, ...]
    differences: tuple[Difference, ...]
    first: tuple[str, ...]
    reasons: dict[str, int]
    total: int
    parted: dict[int, str]
    taps_missing: tuple[str, ...]
    requirements: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    whole: bool = False

    @property
    def ok(self) -> bool:
        """Whether everything agreed."""
        return all(count.ok for count in self.counts)

    def lines(self) -> list[str]:
        """Return the report."""
        lines = [str(count) for count in self.counts]
        if not self.parted or self.whole:
            return [*lines, *(f"  {each}" for each in (*self.first, *self.mismatches))]
        among = ""
        if self.taps_missing:
            absent = ", ".join(f"{self.unit}.{name}" for name in self.taps_missing)
            among = f" of the outputs given (not given: {absent})"
        for unit, count in Counter(self.parted.values()).items():
            numbers = [str(case) for case, found in self.parted.items() if found == unit]
            shown = ", ".join(numbers[:SHOWN]) + (", ..." if count > SHOWN else "")
            lines.append(f"  first unit that parts{among}: {unit}, in {cases_of(count)}: {shown}")
            if ids := self.requirements.get(unit):
                lines.append(f"    requirements of {unit}: {', '.join(ids)}")
        reasons = Counter(self.reasons).most_common()
        lines += [f"  {cases_of(count)} of {reason}" for reason, count in reasons[:_PRINTED]]
        if len(reasons) > _PRINTED:
            lines.append(f"  ... and of {len(reasons) - _PRINTED} reasons more")
        lines += [f"  {difference}" for difference in self.differences]
        lines += [f"  {line}" for line in self.first]
        lines += [f"  {mismatch}" for mismatch in self.mismatches[:_PRINTED]]
        if self.total > _PRINTED:
            lines.append(f"  ... {self.total} values differ in {cases_of(len(self.parted))}")
        return lines


def cases_of(count: int) -> str:
    """Return a number of cases in words."""
    return counted(count, "case")


def hex_of(value: int, unknown: int, bits: int) -> str:
    """Return a field in hexadecimal; a digit with an unknown bit is x."""
    shifts = range(4 * (-(-bits // 4) - 1), -1, -4)
    return "".join(
        "x" if (unknown >> shift) & 15 else f"{(value >> shift) & 15:x}" for shift in shifts
    )


#: Lanes of a value that are shown, and keys of a row on each side of the wrong one.
_LANES, _AROUND = 2, 2


@dataclass(frozen=True)
class _Wrong:
    """The wrong values of one field, by word and then by lane: each array holds one entry for each.

    `actual` are the values with their unknown bits 0, `unknown` the masks of those bits; `cases`
    count in the order of the comparison, `values` is how many were compared.
    """

    stream: Stream
    field: Field
    maker: str
    words: NDArray[np.int64]
    lanes: NDArray[np.int64]
    cases: NDArray[np.int64]
    expected: NDArray[np.int64]
    actual: NDArray[np.int64]
    unknown: NDArray[np.int64]
    values: int


@dataclass(frozen=True)
class _Suspects:
    """The words of a stream that are there and are not the expected ones, digit by digit.

    `words` are their numbers, `values` and `unknown` hold one row for each: the values with their
    unknown bits 0, and the masks of those bits.
    """

    words: NDArray[np.int64]
    values: Columns
    unknown: Columns


def compare_unit(
    target: Target,
    part: UnitVectors,
    images: Mapping[str, MemoryImage],
    times: Mapping[str, Sequence[int]] | None = None,
    cases: Sequence[int] | None = None,
    *,
    whole: bool = False,
) -> UnitComparison:
    """Return the comparison of a device's streams with the expected ones.

    Args:
        target: what the set is made for.
        part: the unit with its expected tables.
        images: the device's words by stream name; streams that were not given are left out.
        times: nanoseconds of each word by stream, for the mismatches.
        cases: number of each case in the set, which the result shows; None where these are all.
        whole: whether `part` is a single case, of which the result has everything.
    """
    numbers = np.arange(part.cases) if cases is None else np.asarray(cases)
    return _Comparer(target, part, images, times or {}, numbers, whole).compared()


@dataclass(frozen=True)
class _Comparer:
    """The expected words of a unit, those of a device, and the number of each case in the set.

    `whole` says that there is one case, of which everything is shown.
    """

    target: Target
    part: UnitVectors
    images: Mapping[str, MemoryImage]
    times: Mapping[str, Sequence[int]]
    numbers: NDArray[np.int64]
    whole: bool

    @cached_property
    def offsets(self) -> NDArray[np.int64] | None:
        """The first beat of each row; None for a unit without rows."""
        return row_offsets(self.part.unit, self.part.tables)

    def compared(self) -> UnitComparison:
        """Return the comparison."""
        unit = self.part.unit
        streams = {stream.name: stream for stream in unit.outputs if stream.name in self.images}
        suspects = {
            name: _suspects(self.target.fields(stream), self.part.tables[name], self.images[name])
            for name, stream in streams.items()
        }
        found = [
            self._wrong(maker, streams[name], field, suspects[name])
            for maker, name, field in unit.datapath
            if name in streams
        ]
        mismatches, parted = self._first(found), _parted(found)
        if self.whole:
            first = self._all_words()
        else:
            first = self._inputs(min(parted), mismatches[0].beat or 0) if parted else ()
        shown = {int(self.numbers[case]): maker for case, maker in parted.items()}
        return UnitComparison(
            unit=unit.name,
            counts=tuple(self._count(name, found) for name in streams),
            mismatches=mismatches,
            differences=tuple(self._difference(each) for each in found if len(each.words)),
            first=first,
            reasons=dict(Counter(_reason(self.part, case) for case in shown)),
            total=sum(len(each.words) for each in found),
            parted=shown,
            taps_missing=tuple(s.name for s in unit.outputs if s.name not in streams),
            requirements={maker: self._requirements(maker) for maker in set(parted.values())},
            whole=self.whole,
        )

    def _requirements(self, maker: str) -> tuple[str, ...]:
        """Return the requirements of a unit that has bins; nothing of a part of a unit."""
        unit = units_within(self.target.config).get(maker)
        points = () if unit is None else unit.points(self.target)
        return tuple(sorted({point.requirement for point in points}))

    def _wrong(self, maker: str, stream: Stream, name: str, suspects: _Suspects) -> _Wrong:
        """Return where a field is wrong, words in which it means nothing left out."""
        field = next(each for each in self.target.fields(stream) if each.name == name)
        present = self.images[stream.name].present
        actual, unknown, expected = (
            columns[name].reshape(-1, field.lanes)
            for columns in (suspects.values, suspects.unknown, self.part.tables[stream.name])
        )
        wrong = (actual != expected[suspects.words]) | (unknown != 0)
        ignored = self.part.unit.hidden_words(self.part.tables, stream.name, name)
        if ignored is not None:
            wrong &= ~ignored[suspects.words][:, None]
            present = present & ~ignored
        rows, lanes = np.nonzero(wrong)
        words = suspects.words[rows]
        return _Wrong(
            stream=stream,
            field=field,
            maker=maker,
            words=words,
            lanes=lanes,
            cases=self._cases_of(stream, words),
            expected=expected[words, lanes],
            actual=actual[rows, lanes],
            unknown=unknown[rows, lanes],
            values=int(np.count_nonzero(present)) * field.lanes,
        )

    def _cases_of(self, stream: Stream, words: NDArray[np.int64]) -> NDArray[np.int64]:
        if stream.per == "case" or self.offsets is None:
            return words
        return np.searchsorted(self.offsets, words, side="right") - 1

    def _count(self, name: str, found: list[_Wrong]) -> StreamCount:
        image = self.images[name]
        wrong = [each.words for each in found if each.stream.name == name]
        return StreamCount(
            name=f"{self.part.unit.name}.{name}",
            words=len(image.present),
            compared=int(np.count_nonzero(image.present)),
            surplus=image.surplus,
            wrong=np.unique(np.concatenate(wrong)).size,
        )

    def _difference(self, wrong: _Wrong) -> Difference:
        return Difference(
            stream=wrong.stream.name,
            field=wrong.field.name,
            maker=wrong.maker,
            values=wrong.values,
            wrong=len(wrong.words),
            cases=len(np.unique(self.numbers[wrong.cases])),
            how=_how(wrong),
        )

    def _inputs(self, case: int, beat: int) -> tuple[str, ...]:
        """Return the inputs of a case in words, of a row those around a beat."""
        number = int(self.numbers[case])
        lines = [f"case {number}, {_reason(self.part, number)}"]
        for stream in self.part.unit.inputs:
            columns = self.part.tables[stream.name]
            if stream.per == "case" or self.offsets is None:
                lines.append(f"  {stream.name}: {_values(columns, case)}")
                continue
            first, end = int(self.offsets[case]), int(self.offsets[case + 1])
            low, high = max(0, beat - _AROUND), min(end - first, beat + _AROUND + 1)
            lines += [f"  beat {at}: {_values(columns, first + at)}" for at in range(low, high)]
            if high - low < end - first:
                lines.append(f"  ({end - first} beats in all)")
        return tuple(lines)

    def _all_words(self) -> tuple[str, ...]:
        """Return the words of the only case: its inputs, and what is expected of each output."""
        number = int(self.numbers[0])
        lines = [f"case {number}, {_reason(self.part, number)}"]
        for stream in self.part.unit.streams:
            columns, must = self.part.tables[stream.name], "must be " * (stream.role == "output")
            by_beat = stream.per != "case" and self.offsets is not None
            for word in range(self.part.words(stream)):
                place = f"{stream.name} beat {word}" if by_beat else stream.name
                lines.append(f"  {place}: {must}{_values(columns, word, whole=True)}")
        return tuple(lines)

    def _first(self, found: list[_Wrong]) -> tuple[FieldMismatch, ...]:
        """Return the first mismatches, of each value the first lanes alone; or all."""
        places = sorted(
            (int(each.cases[i]), order, i)
            for order, each in enumerate(found)
            for i in (range(len(each.words)) if self.whole else _first_lanes(each.words))
        )
        shown = places if self.whole else places[:SHOWN]
        return tuple(self._mismatch(found[order], i) for _, order, i in shown)

    def _mismatch(self, wrong: _Wrong, index: int) -> FieldMismatch:
        field, stream = wrong.field, wrong.stream
        case, word, value, unknown = (
            int(each[index]) for each in (wrong.cases, wrong.words, wrong.actual, wrong.unknown)
        )
        first = None if stream.per == "case" or self.offsets is None else self.offsets[case]
        return FieldMismatch(
            unit=self.part.unit.name,
            stream=stream.name,
            maker=wrong.maker,
            case=int(self.numbers[case]),
            beat=None if first is None else word - int(first),
            field=field.name,
            lane=int(wrong.lanes[index]) if field.lanes > 1 else None,
            expected=int(wrong.expected[index]),
            actual=None if unknown else value,
            digits=hex_of(value & ((1 << field.bits) - 1), unknown, field.bits),
            bits=field.bits,
            time=self.times[stream.name][word] if self.times else None,
        )


def _suspects(fields: tuple[Field, ...], expected: Columns, image: MemoryImage) -> _Suspects:
    """Return the words that need a look at their fields: whole words are compared first."""
    count = image.digits.shape[1]
    found = [np.zeros(0, np.int64)]
    for part in blocks(len(image.digits), count):
        digits = image.digits[part]
        wanted = pack(fields, {name: values[part] for name, values in expected.items()})
        if not np.array_equal(digits, wanted):
            differs = (digits != wanted).any(axis=1) & image.present[part]
            found.append(part.start + np.flatnonzero(differs))
    words = np.concatenate(found)
    digits = image.digits[words]
    known = digits < UNKNOWN
    plain = [replace(field, signed=False) for field in fields]
    return _Suspects(
        words=words,
        values=unpack(fields, np.where(known, digits, 0).astype(np.uint8)),
        unknown=unpack(plain, np.where(known, 0, 15).astype(np.uint8)),
    )


def _parted(found: list[_Wrong]) -> dict[int, str]:
    """Return for each case, in order, the maker of its first mismatching field in the datapath."""
    parted: dict[int, str] = {}
    for each in found:
        for case in np.unique(each.cases).tolist():
            parted.setdefault(case, each.maker)
    return dict(sorted(parted.items()))


def _how(wrong: _Wrong) -> str:
    """Return in words how the values of a field differ from the expected ones."""
    known = wrong.unknown == 0
    actual, away = wrong.actual[known], (wrong.actual - wrong.expected)[known]
    if not away.size:
        return "each has unknown bits"
    flipped = (actual ^ wrong.expected[known]) & ((1 << wrong.field.bits) - 1)
    sizes, side = np.unique(np.abs(away)), "low" if away[0] < 0 else "high"
    if len(np.unique(away)) == 1:
        how = f"each {sizes[0]} too {side}"
    elif len(np.unique(flipped)) == 1:
        how = f"each with the bits 0x{flipped[0]:x} turned over"
    elif len(np.unique(actual)) == 1:
        how = f"each is {actual[0]}"
    else:
        low = int(np.count_nonzero(away < 0))
        parts = [f"{n} too {way}" for n, way in ((low, "low"), (len(away) - low, "high")) if n]
        how = f"{', '.join(parts)}, by {sizes[0]} to {sizes[-1]}"
    return how if known.all() else f"{np.count_nonzero(~known)} with unknown bits, else {how}"


def _reason(part: UnitVectors, number: int) -> str:
    """Return why the set has the case of that number."""
    for group in part.groups:
        number -= group.count
        if number < 0:
            return f"{group.source}: {group.reason}"
    return "no stated reason"


def _values(columns: Columns, word: int, *, whole: bool = False) -> str:
    shown = []
    for name, column in columns.items():
        values = np.atleast_1d(column[word])
        most = len(values) if whole else SHOWN
        more = " ..." if len(values) > most else ""
        shown.append(f"{name} {' '.join(map(str, values[:most].tolist()))}{more}")
    return ", ".join(shown)


def _first_lanes(words: NDArray[np.int64]) -> list[int]:
    """Return where the first words are, of each word the first places."""
    late = np.ones(len(words), bool)
    late[_LANES:] = words[_LANES:] != words[:-_LANES]
    return np.flatnonzero(late)[:SHOWN].tolist()
