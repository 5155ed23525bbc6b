"""The words of a unit's vector files, as a testbench declares them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..fields import Field, first_bits, word_width
from ..target import Target
from ..unit import Unit

__all__ = ["Slice", "StreamWords", "streams_of"]


@dataclass(frozen=True)
class Slice:
    """Consecutive fields of a word.

    Attributes:
        high, low: its bits in the word.
        fields: (field, its lowest bit in the slice), most significant first.
    """

    high: int
    low: int
    fields: tuple[tuple[Field, int], ...]

    @property
    def width(self) -> int:
        """Bits of the slice."""
        return self.high - self.low + 1


@dataclass(frozen=True)
class StreamWords:
    """A stream's file.

    Attributes:
        name: of the stream.
        file: name of the file.
        words: how many there are.
        width: bits of a word.
        bits: (field, its lowest bit) by field name, most significant first.
    """

    name: str
    file: str
    words: int
    width: int
    bits: dict[str, tuple[Field, int]]

    def part(self, names: Sequence[str]) -> Slice:
        """Return the slice of these consecutive fields."""
        found = [self.bits[name] for name in names]
        low = found[-1][1]
        high = found[0][1] + found[0][0].width - 1
        return Slice(high, low, tuple((field, bit - low) for field, bit in found))


def streams_of(target: Target, unit: Unit, words: Mapping[str, int]) -> dict[str, StreamWords]:
    """Return the streams of a unit by name.

    Args:
        target: what the set is made for.
        unit: the unit.
        words: words of each file by its name, as in the manifest.

    Raises:
        ValueError: `words` lacks a file.
    """
    streams = {}
    for stream in unit.streams:
        name, fields = unit.file_name(stream), stream.fields(target)
        if name not in words:
            raise ValueError(f"words must count those of {name}, got {', '.join(words)}")
        bits = {field.name: (field, bit) for field, bit in reversed(list(first_bits(fields)))}
        streams[stream.name] = StreamWords(stream.name, name, words[name], word_width(fields), bits)
    return streams
