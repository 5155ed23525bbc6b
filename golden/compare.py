"""Compare the outputs of a device with the expected ones, field by field."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .fields import Columns, Field, unpack
from .memfile import UNKNOWN, MemoryImage
from .target import Target
from .unit import Stream, row_offsets
from .vector_set import UnitVectors

__all__ = ["Mismatch", "StreamCount", "UnitComparison", "compare_unit"]

_SHOWN = 10


@dataclass(frozen=True)
class Mismatch:
    """A value that is not the expected one.

    Attributes:
        unit, stream, field: where; `maker` is the unit of the datapath that makes the field.
        case: number of the case in the set.
        beat: key within the row, None for a word of a case.
        lane: output channel, None for a field without lanes.
        expected, actual: the values; `actual` is None where digits are unknown.
        digits: the actual bits in hexadecimal, x for unknown digits.
        bits: width of the field.
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

    def __str__(self) -> str:
        place = f"{self.unit}.{self.stream} case {self.case}"
        if self.beat is not None:
            place += f" beat {self.beat}"
        if self.lane is not None:
            place += f" lane {self.lane}"
        actual = "unknown" if self.actual is None else str(self.actual)
        expected = _hex(self.expected & ((1 << self.bits) - 1), 0, self.bits)
        return (
            f"{place} {self.field} ({self.maker}): expected 0x{expected} ({self.expected}), "
            f"actual 0x{self.digits} ({actual})"
        )


@dataclass(frozen=True)
class StreamCount:
    """How many words of a stream were compared.

    Attributes:
        name: `unit.stream`.
        words: what the manifest counts.
        compared: words that were there.
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
        mismatches: the first ten, by case and then in datapath order.
        total: mismatching values.
        parted: case -> the first unit that parts, for every case with a mismatch.
        taps_missing: streams that were not given: what they hold cannot be named in `parted`.
    """

    unit: str
    counts: tuple[StreamCount, ...]
    mismatches: tuple[Mismatch, ...]
    total: int
    parted: dict[int, str]
    taps_missing: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything agreed."""
        return all(count.ok for count in self.counts)

    def lines(self) -> list[str]:
        """Return the report."""
        lines = [str(count) for count in self.counts]
        lines += [f"  {mismatch}" for mismatch in self.mismatches]
        if self.total > len(self.mismatches):
            lines.append(f"  ... {self.total} values differ in {len(self.parted)} cases")
        if self.parted:
            among = ""
            if self.taps_missing:
                absent = ", ".join(f"{self.unit}.{name}" for name in self.taps_missing)
                among = f" of the outputs given (not given: {absent})"
            for case in sorted(self.parted)[:_SHOWN]:
                lines.append(f"  case {case}: first unit that parts{among}: {self.parted[case]}")
        return lines


@dataclass(frozen=True)
class _Wrong:
    """The mismatches of one field: (word, lane) pairs, and the values to show them."""

    stream: Stream
    field: Field
    maker: str
    words: NDArray[np.int64]
    lanes: NDArray[np.int64]
    cases: NDArray[np.int64]


def compare_unit(
    target: Target, part: UnitVectors, images: Mapping[str, MemoryImage]
) -> UnitComparison:
    """Return the comparison of a device's streams with the expected ones.

    Args:
        target: what the set is made for.
        part: the unit with its expected tables.
        images: the device's words by stream name; streams that were not given are left out.
    """
    unit = part.unit
    streams = {stream.name: stream for stream in unit.outputs if stream.name in images}
    values, unknown = {}, {}
    for name, stream in streams.items():
        values[name], unknown[name] = _values(stream.fields(target), images[name])
    ignored = unit.ignored(part.tables)
    offsets = row_offsets(unit, part.tables)
    found = []
    for maker, name, field_name in unit.datapath:
        if name not in streams:
            continue
        field = next(f for f in streams[name].fields(target) if f.name == field_name)
        expected = part.tables[name][field_name].reshape(-1, field.lanes)
        wrong = (values[name][field_name].reshape(-1, field.lanes) != expected) | (
            unknown[name][field_name].reshape(-1, field.lanes) != 0
        )
        wrong &= images[name].present[:, None]
        if (name, field_name) in ignored:
            wrong &= ~ignored[name, field_name][:, None]
        words, lanes = np.nonzero(wrong)
        found.append(
            _Wrong(
                streams[name], field, maker, words, lanes, _case_of(streams[name], words, offsets)
            )
        )
    return UnitComparison(
        unit=unit.name,
        counts=tuple(_count(unit.name, name, images[name], found) for name in streams),
        mismatches=tuple(_first(part, found, values, unknown, offsets)),
        total=sum(len(each.words) for each in found),
        parted=_parted(found),
        taps_missing=tuple(s.name for s in unit.outputs if s.name not in streams),
    )


def _values(fields: tuple[Field, ...], image: MemoryImage) -> tuple[Columns, Columns]:
    """Return the values of an image, and a mask of their unknown bits."""
    known = image.digits < UNKNOWN
    plain = [replace(field, signed=False) for field in fields]
    values = unpack(fields, np.where(known, image.digits, 0).astype(np.uint8))
    return values, unpack(plain, np.where(known, 0, 15).astype(np.uint8))


def _case_of(
    stream: Stream, words: NDArray[np.int64], offsets: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    if stream.per == "case" or offsets is None:
        return words
    return np.searchsorted(offsets, words, side="right") - 1


def _count(unit: str, name: str, image: MemoryImage, found: list[_Wrong]) -> StreamCount:
    wrong = [each.words for each in found if each.stream.name == name]
    return StreamCount(
        name=f"{unit}.{name}",
        words=len(image.present),
        compared=int(np.count_nonzero(image.present)),
        surplus=image.surplus,
        wrong=np.unique(np.concatenate(wrong)).size,
    )


def _parted(found: list[_Wrong]) -> dict[int, str]:
    """Return for each case the maker of its first mismatching field, in datapath order."""
    parted: dict[int, str] = {}
    for each in found:
        for case in np.unique(each.cases).tolist():
            parted.setdefault(case, each.maker)
    return parted


def _first(
    part: UnitVectors,
    found: list[_Wrong],
    values: dict[str, Columns],
    unknown: dict[str, Columns],
    offsets: NDArray[np.int64] | None,
) -> list[Mismatch]:
    places = sorted(
        (int(each.cases[i]), order, int(each.words[i]), int(each.lanes[i]))
        for order, each in enumerate(found)
        for i in np.lexsort((each.lanes, each.words))[:_SHOWN]
    )
    shown = []
    for case, order, word, lane in places[:_SHOWN]:
        field, stream = found[order].field, found[order].stream
        value, mask, expected = (
            int(columns[field.name].reshape(-1, field.lanes)[word, lane])
            for columns in (values[stream.name], unknown[stream.name], part.tables[stream.name])
        )
        framed = stream.per == "beat" and offsets is not None
        shown.append(
            Mismatch(
                unit=part.unit.name,
                stream=stream.name,
                maker=found[order].maker,
                case=case,
                beat=word - int(offsets[case]) if framed and offsets is not None else None,
                field=field.name,
                lane=lane if field.lanes > 1 else None,
                expected=expected,
                actual=None if mask else value,
                digits=_hex(value & ((1 << field.bits) - 1), mask, field.bits),
                bits=field.bits,
            )
        )
    return shown


def _hex(value: int, unknown: int, bits: int) -> str:
    """Return a field in hexadecimal; a digit with an unknown bit is x."""
    shifts = range(4 * (-(-bits // 4) - 1), -1, -4)
    return "".join(
        "x" if (unknown >> shift) & 15 else f"{(value >> shift) & 15:x}" for shift in shifts
    )
