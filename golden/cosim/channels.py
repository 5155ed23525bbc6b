"""A device of co-simulation: its contract, and the words of its channels."""

from collections.abc import Callable
from dataclasses import dataclass

from ..contract import Channel, Contract
from ..fields import Field, word_width
from ..target import Target
from ..unit import Stream, Tables, Unit

__all__ = ["Device", "Shape", "shape_of"]


@dataclass(frozen=True)
class Device:
    """A module that takes and gives vectors.

    Attributes:
        contract: its ports, with the streams of `unit`; `contract.unit` is the unit of vector sets
            that its words are taken from.
        unit: what it shows, under the module's name.
        tables: the streams of that unit -> those of `unit`.
    """

    contract: Contract
    unit: Unit
    tables: Callable[[Tables], Tables] = lambda tables: tables

    @property
    def name(self) -> str:
        """The module's name."""
        return self.unit.name

    @property
    def wide(self) -> bool:
        """Whether a beat carries several words."""
        return any(channel.lanes for channel in self.contract.inputs)


@dataclass(frozen=True)
class Shape:
    """The words of a channel for one target.

    Attributes:
        channel: which.
        fields: of a word, most significant first.
        width: bits of a word.
        per_beat: whether its stream has a word a key, not a word a case.
        last_in_word: whether the unit's words begin with the field `last`.
    """

    channel: Channel
    fields: tuple[Field, ...]
    width: int
    per_beat: bool
    last_in_word: bool


def shape_of(device: Device, channel: Channel, target: Target) -> Shape:
    """Return the words of a device's channel."""
    stream = _stream(device.unit, channel.stream)
    by_name = {field.name: field for field in stream.fields(target)}
    fields = tuple(by_name[name] for name in channel.fields)
    return Shape(channel, fields, word_width(fields), stream.per == "beat", "last" in by_name)


def _stream(unit: Unit, name: str) -> Stream:
    return next(stream for stream in unit.streams if stream.name == name)
