"""How each module of the reference RTL takes and gives words: the port contract of `README.md`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from bitlog2.sim import AttentionConfig
from bitlog2.sim.datapath import ATTENTION, units_of
from bitlog2.sim.declarations import Stream, Unit
from bitlog2.sim.scheme import FAMILIES

from ..stimulus import unit as stimulus
from ..words.fields import Field, first_bits, word_width


@dataclass(frozen=True)
class Channel:
    """An AXI-Stream of a module.

    Attributes:
        prefix: prefix of its ports: `<prefix>_tvalid`, ...
        stream: the stream of vectors whose words it carries.
        fields: fields of a word, most significant first; `last` is the port `tlast`.
        lanes: whether a beat carries several words, with `tkeep`.
        framed: whether it has `tlast`: a beat per key, not one per row.
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
class Contract:
    """The ports of a module.

    Attributes:
        module: its name.
        unit: unit of the vectors that it is held to.
        inputs, outputs: its streams.
        params: ports that hold the layer's parameters: fields of the stream `params`.
        plain: whether it has ports named as the fields instead, and no clock; a user's device with
            a clock has the streams.
        stand_ins: other modules with the same ports, held to the same vectors.
    """

    module: str
    unit: str
    inputs: tuple[Channel, ...]
    outputs: tuple[Channel, ...]
    params: tuple[str, ...] = ()
    plain: bool = False
    stand_ins: tuple[str, ...] = ()

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Inputs, then outputs."""
        return self.inputs + self.outputs

    @property
    def wide(self) -> bool:
        """Whether a beat carries several words."""
        return any(channel.lanes for channel in self.inputs)


@dataclass(frozen=True)
class ChannelWords:
    """The words of a channel for one target.

    Attributes:
        channel: the channel.
        stream: the unit's stream, of whose words these are the channel's part.
        fields: fields of a word, most significant first.
        width: bits of a word.
        low: lowest bit of the part in the stream's word.
    """

    channel: Channel
    stream: Stream
    fields: tuple[Field, ...]
    width: int
    low: int

    @classmethod
    def of(
        cls, channel: Channel, unit: stimulus.GoldenUnit, target: stimulus.Target
    ) -> "ChannelWords":
        """Return the words of a channel whose stream is one of the unit's."""
        stream = next(each for each in unit.streams if each.name == channel.stream)
        bits = {field.name: (field, low) for field, low in first_bits(target.fields(stream))}
        fields = tuple(bits[name][0] for name in channel.fields)
        return cls(channel, stream, fields, word_width(fields), bits[channel.fields[-1]][1])

    @property
    def last_in_word(self) -> bool:
        """Whether the stream's word has the field `last`, which the channel has as `tlast`."""
        return "last" in self.stream.ports


def _of_unit(unit: Unit) -> Contract:
    """Return the contract of the module of a unit: ports by name, or a stream in and out."""
    inputs, outputs = unit.ports("stimulus"), unit.ports("expected")
    framed = any(each.name == "stimulus" and each.per == "beat" for each in unit.streams)
    given = Channel("s_axis", "stimulus", inputs, framed=unit.clocked and framed)
    made = [Channel("m_axis", "expected", outputs)]
    if unit.clocked and unit.ports("keys"):
        made.append(Channel("m_axis_keys", "keys", unit.ports("keys"), framed=True, optional=True))
    return Contract(
        unit.name,
        unit.name,
        (given,),
        tuple(made),
        unit.ports("params"),
        plain=not unit.clocked,
        stand_ins=unit.stand_ins,
    )


def _of_memory(unit: Unit) -> Contract:
    """Return the contract of the module that writes rows of codes as they lie in memory."""
    given = Channel("s_axis", "expected", unit.ports("expected"), framed=True)
    made = Channel("m_axis_memory", "memory", unit.ports("memory"), framed=True)
    return Contract("code_memory", unit.name, (given,), (made,))


def _of_rows(unit: Unit, units: Mapping[str, Unit]) -> tuple[Contract, Contract]:
    """Return the contracts of the modules of a whole row: scores to codes, and to outputs."""
    codes = units["code_register"].ports("expected")
    scores = tuple(port for port in unit.ports("stimulus") if port != "v")
    keys, rows = unit.ports("keys"), unit.ports("rows")
    tap_keys = Channel("tap_keys", "keys", keys, True, True, ready=False, optional=True)
    tap_rows = Channel("tap_rows", "rows", rows, ready=False, optional=True)
    given = Channel("s_axis_score", "stimulus", scores, lanes=True, framed=True)
    values = Channel("s_axis_v", "stimulus", ("v",), lanes=True, framed=True)
    coded = Channel("m_axis", "keys", codes, lanes=True, framed=True)
    made = Channel("m_axis", "expected", unit.ports("expected"))
    softmax = units["score_requantizer"].ports("stimulus")
    params = unit.ports("params")
    return (
        Contract(
            "softmax_row",
            unit.name,
            (given,),
            (coded, tap_keys),
            tuple(name for name in params if name in softmax),
        ),
        Contract(unit.name, unit.name, (given, values), (made, tap_keys, tap_rows), params),
    )


def _contracts(unit: Unit, units: Mapping[str, Unit]) -> tuple[Contract, ...]:
    if unit.name == "attention_row":
        return _of_rows(unit, units)
    also = (_of_memory(unit),) if unit.ports("memory") else ()
    return (_of_unit(unit), *also)


@cache
def contracts_of(family: str) -> dict[str, Contract]:
    """Return the modules of the datapath of a family of schemes, as `contracts_within`."""
    units = units_of(family)
    listed = (each for unit in units.values() for each in _contracts(unit, units))
    return {each.module: each for each in listed}


def _devices(contracts: Mapping[str, Contract]) -> dict[str, Contract]:
    """Return the contract of every device by its name: of modules, and of their stand-ins."""
    return {
        name: contract
        for contract in contracts.values()
        for name in (contract.module, *contract.stand_ins)
    }


def contracts_within(config: AttentionConfig) -> dict[str, Contract]:
    """Return every module of the scheme's datapath that takes and gives vectors, by its name.

    In the order of the datapath.
    """
    return contracts_of(config.code.family)


def devices_within(config: AttentionConfig) -> dict[str, Contract]:
    """Return the contract of every device of the scheme's datapath by its name, stand-ins too."""
    return _devices(contracts_within(config))


def _of_any_family() -> dict[str, Contract]:
    found = [contracts_of(family) for family in FAMILIES]
    places = {name: place for place, name in enumerate(ATTENTION)}
    merged = {name: each for contracts in reversed(found) for name, each in contracts.items()}
    return dict(sorted(merged.items(), key=lambda item: places[item[1].unit]))


#: Every module of any datapath by its name. What several have in common is as the first family of
#: schemes has it: taps differ, as `contracts_within` says.
CONTRACTS: dict[str, Contract] = _of_any_family()
#: Every device by its name, stand-ins too, in the same way.
DEVICES: dict[str, Contract] = _devices(CONTRACTS)


def modules_of(unit: str) -> tuple[str, ...]:
    """Return the modules whose testbenches take the vectors of a unit."""
    return tuple(each.module for each in CONTRACTS.values() if each.unit == unit)
