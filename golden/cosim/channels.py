"""How a device takes and gives words: the port contract of `golden/README.md`."""

from collections.abc import Callable
from dataclasses import dataclass

from ..fields import Field, word_width
from ..target import Target
from ..unit import Stream, Tables, Unit

__all__ = ["Channel", "Device", "Shape", "shape_of"]


@dataclass(frozen=True)
class Channel:
    """An AXI-Stream of a device.

    Attributes:
        prefix: of its ports: `<prefix>_tvalid`, ...
        stream: the unit's stream whose words it carries.
        fields: of a word, most significant first; `last` is the port `tlast`.
        lanes: whether a beat carries several words, with `tkeep`.
        framed: whether it has `tlast`.
        ready: False for a tap, which is valid only.
        optional: whether a device may leave it out.
    """

    prefix: str
    stream: str
    fields: tuple[str, ...]
    lanes: bool = False
    framed: bool = False
    ready: bool = True
    optional: bool = False


@dataclass(frozen=True)
class Device:
    """A module that takes and gives vectors.

    Attributes:
        unit: what it shows, under the module's name.
        source: the unit of vector sets that its words are taken from.
        inputs, outputs: its streams.
        params: ports that hold the layer's parameters.
        plain: whether it has ports named as the fields instead, and no clock; with a clock it has
            the streams.
        tables: the streams of `source` -> those of `unit`.
    """

    unit: Unit
    source: str
    inputs: tuple[Channel, ...]
    outputs: tuple[Channel, ...]
    params: tuple[str, ...] = ()
    plain: bool = False
    tables: Callable[[Tables], Tables] = lambda tables: tables

    @property
    def name(self) -> str:
        """The module's name."""
        return self.unit.name

    @property
    def wide(self) -> bool:
        """Whether a beat carries several words."""
        return any(channel.lanes for channel in self.inputs)


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
