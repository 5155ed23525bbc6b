"""Compare the outputs of a device with the expected ones: whole words, then field by field."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .fields import Columns, Field, blocks, pack, unpack
from .memfile import UNKNOWN, MemoryImage
from .report import SHOWN, Mismatch, StreamCount, UnitComparison, hex_of
from .target import Target
from .unit import Stream, row_offsets
from .vector_set import UnitVectors

__all__ = ["compare_unit"]


@dataclass(frozen=True)
class _Wrong:
    """The mismatches of one field, by word and then by lane: each array holds one entry for each.

    `actual` are the values with their unknown bits 0, `unknown` the masks of those bits.
    """

    stream: Stream
    field: Field
    maker: str
    words: NDArray[np.int64]
    lanes: NDArray[np.int64]
    cases: NDArray[np.int64]
    actual: NDArray[np.int64]
    unknown: NDArray[np.int64]


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
    suspects = {
        name: _suspects(stream.fields(target), part.tables[name], images[name])
        for name, stream in streams.items()
    }
    ignored = unit.ignored(part.tables)
    offsets = row_offsets(unit, part.tables)
    found = []
    for maker, name, field_name in unit.datapath:
        if name in streams:
            field = next(f for f in streams[name].fields(target) if f.name == field_name)
            left_out = ignored.get((name, field_name))
            found.append(
                _wrong(part, streams[name], field, maker, suspects[name], left_out, offsets)
            )
    return UnitComparison(
        unit=unit.name,
        counts=tuple(_count(unit.name, name, images[name], found) for name in streams),
        mismatches=tuple(_first(part, found, offsets)),
        total=sum(len(each.words) for each in found),
        parted=_parted(found),
        taps_missing=tuple(s.name for s in unit.outputs if s.name not in streams),
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


def _wrong(
    part: UnitVectors,
    stream: Stream,
    field: Field,
    maker: str,
    suspects: _Suspects,
    ignored: NDArray[np.bool_] | None,
    offsets: NDArray[np.int64] | None,
) -> _Wrong:
    """Return where a field is wrong; `ignored` marks the words in which it means nothing."""
    actual, unknown, expected = (
        columns[field.name].reshape(-1, field.lanes)
        for columns in (suspects.values, suspects.unknown, part.tables[stream.name])
    )
    wrong = (actual != expected[suspects.words]) | (unknown != 0)
    if ignored is not None:
        wrong &= ~ignored[suspects.words][:, None]
    rows, lanes = np.nonzero(wrong)
    words = suspects.words[rows]
    return _Wrong(
        stream=stream,
        field=field,
        maker=maker,
        words=words,
        lanes=lanes,
        cases=_case_of(stream, words, offsets),
        actual=actual[rows, lanes],
        unknown=unknown[rows, lanes],
    )


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
    part: UnitVectors, found: list[_Wrong], offsets: NDArray[np.int64] | None
) -> list[Mismatch]:
    places = sorted(
        (int(each.cases[i]), order, i)
        for order, each in enumerate(found)
        for i in range(min(SHOWN, len(each.words)))
    )
    return [_mismatch(part, found[order], i, offsets) for _, order, i in places[:SHOWN]]


def _mismatch(
    part: UnitVectors, wrong: _Wrong, index: int, offsets: NDArray[np.int64] | None
) -> Mismatch:
    field, stream = wrong.field, wrong.stream
    case, word, lane, value, unknown = (
        int(each[index])
        for each in (wrong.cases, wrong.words, wrong.lanes, wrong.actual, wrong.unknown)
    )
    expected = part.tables[stream.name][field.name].reshape(-1, field.lanes)[word, lane]
    framed = stream.per == "beat" and offsets is not None
    return Mismatch(
        unit=part.unit.name,
        stream=stream.name,
        maker=wrong.maker,
        case=case,
        beat=word - int(offsets[case]) if framed and offsets is not None else None,
        field=field.name,
        lane=lane if field.lanes > 1 else None,
        expected=int(expected),
        actual=None if unknown else value,
        digits=hex_of(value & ((1 << field.bits) - 1), unknown, field.bits),
        bits=field.bits,
    )
