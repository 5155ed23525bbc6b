"""What a configuration, a port and a unit are declared with; everything else is derived."""

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import Field, asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, TypeVar

from .checks import check_choice, check_int
from .expressions import Expression, number, parameter, port
from .scheme import FAMILIES

#: The widest register that a kernel holds: int64 with a bit to spare.
LARGEST_WIDTH = 62

#: What a port has one value per: a layer, a query row, a key of the row, an output channel of it,
#: a channel of q or of one key, an entry of a table. A word of framing or memory is per beat.
Per = Literal["layer", "row", "key", "channel", "query element", "key element", "entry", "beat"]


def choice(default: int, low: int, high: int, text: str, *, sweep: str | None = None) -> Any:
    """Declare a field that the designer chooses: an integer from `low` to `high`.

    Args:
        default, low, high: its default and its range.
        text: its meaning.
        sweep: the name under which a sweep varies it; None for a field that the model fixes.
    """
    facts = {"low": low, "high": high, "text": text, "sweep": sweep}
    return field(default=default, metadata=facts)


def one_of(default: str, names: Mapping[str, Any], text: str, *, pattern: str = "") -> Any:
    """Declare a field that holds one of these names, or else a text that matches as a whole."""
    return field(default=default, metadata={"names": tuple(names), "text": text, "else": pattern})


def pin(register: str) -> Any:
    """Declare a field that may give a register more bits than it needs; None for just those."""
    text = f"width of the register {register}; null for the bits that its bound needs"
    return field(default=None, metadata={"register": register, "text": text})


@dataclass(frozen=True)
class Port:
    """A value that units hand to one another or keep: declared once, whatever carries it.

    Attributes:
        name: of the port in RTL, of the field in a word, of the register in a trace.
        per: what it has one value per.
        bound: the largest magnitude that it takes; reached or not, never passed.
        signed: two's complement, or unsigned.
        saturates: by definition, so that it takes -bound - 1 too, the smallest of its width.
        low: smallest value, of parameters that must not be 0.
        register: whether it is a register of the datapath, with a width in the specification.
        dtype: how a trace of the network keeps it; None where no trace does.
        hidden: (port, value): where that port has that value, this one means nothing, and no
            comparison looks at it.
        zero: (port, value): where that port has that value, this one is 0 by definition.
        bits: a width beyond what the bound needs, the same in every configuration.
        same_as: another name of that register, with its width.
    """

    name: str
    per: Per
    bound: Expression
    signed: bool = False
    saturates: bool = False
    low: int = 0
    register: bool = False
    dtype: str | None = None
    hidden: tuple[str, int] | None = None
    zero: tuple[str, int] | None = None
    bits: int | None = None
    same_as: str | None = None

    def limits(self, config: "Configuration") -> tuple[int, int]:
        """Return the smallest and the largest value."""
        high = self.bound(config)
        return (-high - self.saturates if self.signed else self.low), high

    @property
    def bounded(self) -> Expression:
        """The condition that the value, unsigned, is at most the bound."""
        return port(self.name) <= self.bound


def ones(bits: str) -> Expression:
    """Return the largest unsigned value of the width in that field of a configuration."""
    return (1 << parameter(bits)) - 1


#: Of every stream of rows: whether a beat is the last one of its row.
LAST = Port("last", "beat", number(1))


@dataclass(frozen=True)
class Register:
    """A register: the largest magnitude that reaches it, and its width.

    Attributes:
        bound: largest value, of t and row_max; else largest |value|. Reached or not, never passed.
        signed: two's complement, or unsigned.
        needed: bits that hold the bound.
        bits: bits that the hardware is built with, at least `needed`.
    """

    bound: int
    signed: bool
    needed: int
    bits: int


_C = TypeVar("_C", bound="Configuration")


@dataclass(frozen=True)
class Configuration:
    """What a datapath is built with: choices of the designer and, derived from them, registers.

    A subclass declares its fields by `choice`, `one_of` and `pin`, and gives `ports` by name.

    Raises:
        TypeError, ValueError: a field is mistyped or out of range; a pinned width is below its
            register's bound; a register needs more than 62 bits.

    Source: SPEC.md, "Configuration", BL2-CONF-01 to -03.
    """

    @property
    def ports(self) -> Mapping[str, Port]:
        """The ports of the datapath by name."""
        raise NotImplementedError

    def __post_init__(self) -> None:
        for each in fields(self):
            value, facts = getattr(self, each.name), each.metadata
            if "names" in facts:
                if not (isinstance(value, str) and re.fullmatch(facts["else"], value)):
                    check_choice(each.name, value, facts["names"])
            elif "low" in facts or value is not None:
                low, high = facts.get("low", 1), facts.get("high", LARGEST_WIDTH)
                object.__setattr__(self, each.name, check_int(each.name, value, low, high))
        self._check_pins()
        _ = self.registers

    @cached_property
    def registers(self) -> dict[str, Register]:
        """Every register: its bound, the bits that it needs and the bits that it is given."""
        pins = {each.metadata.get("register"): each.name for each in fields(self)}
        return {
            name: self._register(port, pins.get(name))
            for name, port in self.ports.items()
            if port.register
        }

    def _check_pins(self) -> None:
        for each in fields(self):
            register = each.metadata.get("register", "")
            if register and register not in self.ports and getattr(self, each.name) is not None:
                raise ValueError(
                    f"{each.name} must be null: the datapath has no register {register}, "
                    f"got {getattr(self, each.name)}"
                )

    def _register(self, port: Port, pin: str | None) -> Register:
        bound = port.bound(self)
        needed = bound.bit_length() + port.signed
        pinned = getattr(self, pin) if pin else None
        if pinned is not None and pinned < needed:
            raise ValueError(
                f"{pin} must be from {needed} to {LARGEST_WIDTH}: register {port.name} reaches "
                f"{bound}, got {pinned}"
            )
        if needed > LARGEST_WIDTH:
            raise ValueError(
                f"register {port.name} must need at most {LARGEST_WIDTH} bits: it reaches {bound}, "
                f"which needs {needed}"
            )
        return Register(bound, port.signed, needed, needed if pinned is None else pinned)

    def width(self, name: str) -> int:
        """Return the bits of the port or register of that name."""
        port = self.ports[name]
        if port.same_as or port.register:
            return self.registers[port.same_as or name].bits
        return port.bits or max(1, port.bound(self).bit_length() + port.signed)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, None where a width is derived."""
        return asdict(self)

    @classmethod
    def choices(cls) -> Iterator[Field[Any]]:
        """Yield the fields that the designer chooses as an integer, in their order."""
        return (each for each in fields(cls) if "low" in each.metadata)

    @classmethod
    def swept(cls) -> dict[str, str]:
        """Return the field behind each name that a sweep takes."""
        return {
            each.metadata["sweep"]: each.name for each in cls.choices() if each.metadata["sweep"]
        }

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON schema of an object of all fields."""
        return {
            "type": "object",
            "additionalProperties": False,
            "required": [each.name for each in fields(cls)],
            "properties": {each.name: _field_schema(each) for each in fields(cls)},
        }

    @classmethod
    def from_mapping(cls: type[_C], values: Mapping[str, Any], *, complete: bool = False) -> _C:
        """Return the configuration with these fields; the rest have their defaults.

        Args:
            values: field by name.
            complete: refuse a missing field too (for manifests).

        Raises:
            TypeError, ValueError: an unknown or missing name, or as the class.
        """
        if not isinstance(values, Mapping):
            raise TypeError(
                f"configuration must be an object of fields, got {type(values).__name__}"
            )
        names = [each.name for each in fields(cls)]
        for name in values:
            if name not in names:
                raise ValueError(
                    f"configuration field must be one of {', '.join(names)}, got {name!r}"
                )
        for name in names if complete else ():
            if name not in values:
                raise ValueError(f"configuration field {name} is missing")
        return cls(**values)


def name_schema(names: Sequence[str], pattern: str = "") -> dict[str, Any]:
    """Return the JSON schema of one of some names, or else of a text that matches as a whole."""
    known = {"enum": list(names)}
    other = {"type": "string", "pattern": f"^{pattern}$(?!\\n)"}
    return {"anyOf": [known, other]} if pattern else known


def _field_schema(each: Field[Any]) -> dict[str, Any]:
    facts = each.metadata
    if "names" in facts:
        return {**name_schema(facts["names"], facts["else"]), "description": facts["text"]}
    kind = "integer" if "low" in facts else ["integer", "null"]
    low, high = facts.get("low", 1), facts.get("high", LARGEST_WIDTH)
    return {"type": kind, "minimum": low, "maximum": high, "description": facts["text"]}


@dataclass(frozen=True)
class Parameters:
    """What a layer loads: an integer per layer, or a tuple of one per channel, as its port says.

    A subclass declares its fields, `ports` by name, and `largest`: the upper bound of each field
    over all configurations; the real one is that of its port.

    Raises:
        TypeError, ValueError: a field is mistyped or is out of every configuration's range.
    """

    ports: ClassVar[Mapping[str, Port]]
    largest: ClassVar[Mapping[str, int]]

    def __post_init__(self) -> None:
        for each in fields(self):
            value = self._checked(each.name, self.largest[each.name])
            object.__setattr__(self, each.name, value)

    def _checked(self, name: str, high: int) -> int | tuple[int, ...]:
        port, value = self.ports[name], getattr(self, name)
        low = -high if port.signed else port.low
        if port.per == "layer":
            return check_int(name, value, low, high)
        if not isinstance(value, (tuple, list)) or not value:
            raise TypeError(f"{name} must be integers, one per {port.per}, got {value!r}")
        return tuple(
            check_int(f"{name} of {port.per} {place}", each, low, high)
            for place, each in enumerate(value)
        )

    def check(self, config: Configuration, channels: int | None = None) -> None:
        """Refuse what this hardware cannot hold.

        Args:
            config: the hardware.
            channels: of the layer; None where no parameter is per channel.

        Raises:
            ValueError: a field is out of this configuration's range, or is not one per channel.
        """
        for each in fields(self):
            value = self._checked(each.name, self.ports[each.name].bound(config))
            per_channel = self.ports[each.name].per == "channel"
            if per_channel and isinstance(value, tuple) and len(value) != channels:
                raise ValueError(
                    f"{each.name} must have one value for each of {channels} channels, "
                    f"got {len(value)}"
                )

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class Stream:
    """Words that go into a unit or come out of it.

    Attributes:
        name: `stimulus`, `expected`, ...
        role: `input`, or `output`: what a device gives and a comparison looks at.
        per: one word per `case`, or per `beat`: then rows are framed by the port `last`.
        ports: the ports that a word holds, from the most significant bits down.
        lanes: those of them of which a word holds one value per output channel.
    """

    name: str
    role: Literal["input", "output"]
    per: Literal["case", "beat"]
    ports: tuple[str, ...]
    lanes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Helper:
    """Module of RTL inside that of a unit, with ports of its own.

    Attributes:
        name: its name.
        assumes: what holds of its inputs. None where its ports are not the datapath's: it is then
            held to the unit's ports.
    """

    name: str
    assumes: tuple[Expression, ...] | None = ()


@dataclass(frozen=True)
class Unit:
    """A unit of a datapath: what goes in, what comes out, and who makes it.

    Attributes:
        name: the unit's name, that of its RTL module.
        number: by which SPEC.md calls it.
        declares: the ports that it loads, is the first to take, or makes.
        streams: inputs first.
        makes: (unit or part of it, stream, port) of each output, in datapath order.
        assumes: what holds of its inputs: its RTL is proved under these conditions, and a stimulus
            that breaks one is refused, as one that passes the limits of a port.
        longest: largest number of beats of a row; None for a unit without rows.
        clocked: whether its module has a clock and streams; else ports that are named as these.
        helpers: modules inside its RTL.
        table: whether its RTL holds the table of the configuration.
        stand_ins: other modules with the same ports, held to the same vectors.
        lane: the module that each key or channel has one of, where the unit has such a module.
        families: of the schemes whose datapath has the unit.
        after: number of the unit that it follows in the datapath; None for its own place.
        version: of its arithmetic: changed bits make it one more.
    """

    name: str
    number: int
    declares: tuple[Port, ...]
    streams: tuple[Stream, ...]
    makes: tuple[tuple[str, str, str], ...]
    assumes: tuple[Expression, ...] = ()
    longest: Expression | None = None
    clocked: bool = True
    helpers: tuple[Helper, ...] = ()
    table: bool = False
    stand_ins: tuple[str, ...] = ()
    lane: str = ""
    families: tuple[str, ...] = FAMILIES
    after: int | None = None
    version: int = 1

    @property
    def place(self) -> tuple[int, int]:
        """What units are sorted by in the order of the data."""
        return (self.number, 0) if self.after is None else (self.after, self.number)

    def within(self, names: Container[str], absent: Container[str]) -> "Unit":
        """Return the unit as a datapath has it.

        Args:
            names: ports of the datapath; streams lose the others.
            absent: units that it lacks: they make nothing.
        """
        streams = (
            replace(
                each,
                ports=tuple(name for name in each.ports if name in names or name == LAST.name),
                lanes=tuple(name for name in each.lanes if name in names),
            )
            for each in self.streams
        )
        makes = (
            (maker, stream, port)
            for maker, stream, port in self.makes
            if maker not in absent and (port in names or port == LAST.name)
        )
        return replace(self, streams=tuple(streams), makes=tuple(makes))

    def ports(self, stream: str) -> tuple[str, ...]:
        """Return the ports of the stream of that name, without framing; empty without it."""
        found = [each.ports for each in self.streams if each.name == stream]
        return tuple(port for port in found[0] if port != "last") if found else ()

    def limits(self, name: str, config: Configuration) -> tuple[int, int]:
        """Return the smallest and the largest legal value of an input port.

        Those of the port itself, narrowed by assumptions that compare it alone.
        """
        low, high = config.ports[name].limits(config)
        for each in self.assumes:
            if each.ports == (name,) and each.operator == "<=":
                left, right = each.operands
                if left.operator == "port":
                    high = min(high, right(config))
                elif right.operator == "port":
                    low = max(low, left(config))
        return low, high
