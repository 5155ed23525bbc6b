"""What a vector set will hold, before it is written: streams, sizes, coverage."""

from dataclasses import dataclass
from typing import Any

from msgspec import to_builtins

from bitlog2.documents import counted
from bitlog2.sim.declarations import Stream

from ..stimulus.unit import Target
from ..words.fields import Field
from .manifest import MemoryFile
from .vector_set import UnitVectors, VectorSet, planted_line

_SHOWN = 20


@dataclass(frozen=True)
class Plan:
    """A vector set that is not written.

    Attributes:
        vectors: the set.
        with_bins: whether `lines` names each bin, with its requirement and its hits.
    """

    vectors: VectorSet
    with_bins: bool = False

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
            lines.append(f"{part.unit.name}: {counted(part.cases, 'case')}")
            lines += [_stream_line(*each) for each in self._streams(part)]
            lines += _coverage_lines(part)
            lines += self._bin_lines(part) if self.with_bins else []
            lines += _planted_lines(part, self.vectors.target)
        parts = self.vectors.units
        declared = sum(len(part.bins) for part in parts)
        empty = sum(len(part.empty) for part in parts)
        size = sum(memory.bytes for part in parts for _, memory in self._streams(part))
        return [
            *lines,
            f"{counted(len(parts), 'unit')}, {size} bytes of memory files, "
            f"{declared - empty} of {declared} bins filled: "
            f"{'100 %' if not empty else f'{empty} MISSING'}",
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

    def _streams(self, part: UnitVectors) -> list[tuple[Stream, MemoryFile]]:
        """Return the streams of a unit, each with the entry of its file."""
        memories = part.memories(self.vectors.target)
        return list(zip(part.unit.streams, memories, strict=True))

    def _bin_lines(self, part: UnitVectors) -> list[str]:
        """Return a line for each bin of a unit."""
        points = part.unit.reachable(self.vectors.target)
        width = max(map(len, part.bins), default=0)
        return [
            f"    {name:<{width}}  {points[name].requirement:<14}{hits:>8}"
            for name, hits in part.bins.items()
        ]

    def _unit_entry(self, part: UnitVectors) -> dict[str, Any]:
        points = part.unit.reachable(self.vectors.target)
        return {
            "unit": part.unit.name,
            "cases": part.cases,
            "streams": [_stream_entry(*each) for each in self._streams(part)],
            "declared": len(part.bins),
            "filled": len(part.bins) - len(part.empty),
            "planted_faults": to_builtins(part.planted),
            "bins": [
                {"name": name, "requirement": points[name].requirement, "hits": hits}
                for name, hits in part.bins.items()
            ],
        }


def _stream_line(stream: Stream, memory: MemoryFile) -> str:
    return (
        f"  {stream.name} ({stream.role}, a word per {stream.per}): {memory.words} words of "
        f"{memory.width} bits, {memory.bytes} bytes: {', '.join(map(_field_text, memory.word))}"
    )


def _stream_entry(stream: Stream, memory: MemoryFile) -> dict[str, Any]:
    return {
        "name": stream.name,
        "role": stream.role,
        "per": stream.per,
        "width": memory.width,
        "words": memory.words,
        "bytes": memory.bytes,
        "fields": to_builtins(memory.fields),
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


def _planted_lines(part: UnitVectors, target: Target) -> list[str]:
    """Return the score of planted faults, and why output codes do not show the others."""
    why = {point.name: point.why for point in part.unit.points(target) if not point.reachable}
    lines = []
    for each in part.planted:
        lines.append(f"  {planted_line(each)}")
        for name in each.missed[:_SHOWN]:
            reason = why.get(f"o_shows_{name}", "no case of the set shows it")
            lines.append(f"    {name}: {reason}")
        more = len(each.missed) - _SHOWN
        lines += [f"    and {more} more"] if more > 0 else []
    return lines
