"""What a vector set will hold, before it is written: streams, sizes, coverage."""

from dataclasses import dataclass
from typing import Any

from ..stimulus.unit import WordStream
from ..words.fields import Field, hex_digits, word_width
from .vector_set import UnitVectors, VectorSet

_SHOWN = 20


@dataclass(frozen=True)
class Plan:
    """A vector set that is not written.

    Attributes:
        vectors: the set.
    """

    vectors: VectorSet

    @property
    def complete(self) -> bool:
        """Whether the set reaches every declared bin."""
        return not any(part.empty for part in self.vectors.units)

    @property
    def status(self) -> int:
        """Exit status: 0 when `complete`, else 1."""
        return 0 if self.complete else 1

    def lines(self) -> list[str]:
        """Return what a person wants to read."""
        lines = []
        for part in self.vectors.units:
            lines.append(f"{part.unit.name}: {part.cases} cases")
            lines += [self._stream_line(part, stream) for stream in part.unit.streams]
            lines += _coverage_lines(part)
        parts = self.vectors.units
        declared = sum(len(part.bins) for part in parts)
        empty = sum(len(part.empty) for part in parts)
        size = sum(self._bytes(part, stream) for part in parts for stream in part.unit.streams)
        return [
            *lines,
            f"{len(parts)} units, {size} bytes of memory files, {declared - empty} of {declared} "
            f"bins filled: {'100 %' if not empty else f'{empty} MISSING'}",
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return the same for a program, each bin with its requirement."""
        return {
            "configuration": self.vectors.target.config.as_dict(),
            "head_dim": self.vectors.target.head_dim,
            "sources": list(self.vectors.sources),
            "seed": self.vectors.seed,
            "complete": self.complete,
            "units": [self._unit_entry(part) for part in self.vectors.units],
        }

    def _bytes(self, part: UnitVectors, stream: WordStream) -> int:
        width = word_width(stream.fields(self.vectors.target))
        return part.words(stream) * (hex_digits(width) + 1)

    def _stream_line(self, part: UnitVectors, stream: WordStream) -> str:
        fields = stream.fields(self.vectors.target)
        return (
            f"  {stream.name} ({stream.role}, a word a {stream.per}): "
            f"{part.words(stream)} words of {word_width(fields)} bits, "
            f"{self._bytes(part, stream)} bytes: {', '.join(map(_field_text, fields))}"
        )

    def _unit_entry(self, part: UnitVectors) -> dict[str, Any]:
        points = part.unit.reachable(self.vectors.target)
        return {
            "unit": part.unit.name,
            "cases": part.cases,
            "streams": [self._stream_entry(part, stream) for stream in part.unit.streams],
            "declared": len(part.bins),
            "filled": len(part.bins) - len(part.empty),
            "bins": [
                {"name": name, "requirement": points[name].requirement, "hits": hits}
                for name, hits in part.bins.items()
            ],
        }

    def _stream_entry(self, part: UnitVectors, stream: WordStream) -> dict[str, Any]:
        fields = stream.fields(self.vectors.target)
        return {
            "name": stream.name,
            "role": stream.role,
            "per": stream.per,
            "width": word_width(fields),
            "words": part.words(stream),
            "bytes": self._bytes(part, stream),
            "fields": [vars(field) for field in fields],
        }


def _field_text(field: Field) -> str:
    lanes = f" x {field.lanes}" if field.lanes > 1 else ""
    return f"{field.name} {field.bits}{' signed' if field.signed else ''}{lanes}"


def _coverage_lines(part: UnitVectors) -> list[str]:
    declared, empty = len(part.bins), part.empty
    if not empty:
        return [f"  {declared} bins declared, {declared} filled: 100 %"]
    more = f" and {len(empty) - _SHOWN} more" if len(empty) > _SHOWN else ""
    return [
        f"  {declared} bins declared, {declared - len(empty)} filled; missing: "
        f"{', '.join(empty[:_SHOWN])}{more}"
    ]
