"""SystemVerilog testbenches from the declaration of a unit."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bitlog2 import SPEC_VERSION

from ..simulation.contract import CONTRACTS, Channel, Contract
from ..stimulus.unit import Target, Unit
from ..words.fields import Field, first_bits, word_width

__all__ = [
    "MEANINGLESS",
    "Slice",
    "StreamWords",
    "fill",
    "plain_body",
    "plain_ports",
    "render_testbench",
    "show_task",
    "stream_body",
    "stream_ports",
    "streams_of",
    "template",
]

_FOLDER = Path(__file__).parent / "templates"
_MARK = re.compile(r"@([a-z_]+)@")


@cache
def template(name: str) -> str:
    """Return the text of a template."""
    return (_FOLDER / name).read_text(encoding="utf-8").rstrip("\n")


def fill(text: str, **values: object) -> str:
    """Return the text with each mark replaced; a line that is a mark without a value goes.

    Raises:
        KeyError: a mark has no value.
    """
    lines = []
    for line in text.split("\n"):
        alone = _MARK.fullmatch(line.strip())
        if alone and values[alone[1]] == "":
            continue
        lines.append(_MARK.sub(lambda mark: str(values[mark[1]]), line))
    return "\n".join(lines)


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


def show_task(name: str, place: str, part: Slice, *, per_key: bool) -> str:
    """Return the task.

    Args:
        name: of the task.
        place: what a line names before the case: `unit.stream`.
        part: the fields of the word.
        per_key: whether a word is one of several in a case.
    """
    fields = []
    for field, low in part.fields:
        lanes = field.lanes > 1
        which = " lane %0d" if lanes else ""
        fields.append(
            fill(
                template("field.sv"),
                lanes=field.lanes,
                bits=f"lane*{field.bits}+{low}+:{field.bits}",
                zero=f"{field.bits}'d0",
                format=f"  {place} case %0d{' beat %0d' if per_key else ''}{which} {field.name}",
                values=f"row{', key' if per_key else ''}{', lane' if lanes else ''}",
            )
        )
    return fill(template("show.sv"), name=name, high=part.width - 1, fields="\n".join(fields))


_Streams = Mapping[str, StreamWords]
#: (stream, field, value).
_Guard = tuple[str, str, int]
#: (stream, field) -> where that field means nothing: in the words in which another has a value.
MEANINGLESS: Mapping[tuple[str, str], _Guard] = {
    ("keys", "d"): ("stimulus", "mask", 1),
    ("memory", "nibble_byte"): ("memory", "nibble_write", 0),
    ("memory", "flag_byte"): ("memory", "flag_write", 0),
}


def stream_body(target: Target, contract: Contract, streams: _Streams) -> str:
    """Return the body: a process for each stream, the device, and the run."""
    parts = [
        _source(contract, source, streams, salt)
        for salt, source in enumerate(contract.inputs, start=1)
    ]
    parts += [
        _if_optional(sink, _sink(contract, sink, streams, salt))
        for salt, sink in enumerate(contract.outputs, start=len(parts) + 1)
    ]
    pins = [_pins(source) for source in contract.inputs]
    pins += [
        f"      .{name}({_bits('layer', streams['params'], name)})," for name in contract.params
    ]
    for sink in contract.outputs[1:]:
        tie = f"      .{sink.prefix}_tready(1'b1)," if sink.ready else ""
        pins.append(_if_optional(sink, _pins(sink), tie))
    *others, last = _pins(contract.outputs[0]).split("\n")
    return fill(
        template("stream.sv"),
        module=contract.module,
        streams="\n\n".join(parts),
        opened=_opened(contract, streams),
        opening=_opening(contract, streams),
        override=template("override.sv") if any(s.lanes for s in contract.inputs) else "",
        pins="\n".join([*pins, *others]),
        last_pin=last.rstrip(","),
        moved=_expression(" ||", _moves(contract)),
        complete=_expression(" &&", _completions(contract)),
        compared=_expression(
            " +", [(sink.optional, f"{sink.prefix}_word") for sink in contract.outputs]
        ),
        idle=4 * target.config.max_tokens + 1000,
        span=8 * target.config.max_tokens + 128,
    )


def stream_ports(contract: Contract, streams: _Streams) -> str:
    """Return the statements that check the width of every port."""
    lines = [_port(name, str(streams["params"].bits[name][0].width)) for name in contract.params]
    for channel in contract.channels:
        widths = {
            "tkeep": f"{channel.prefix}_LANES",
            "tdata": f"{channel.prefix}_LANES * {channel.prefix}_WIDTH",
        }
        ports = [
            _if_kept(each, _port(f"{channel.prefix}_{each}", widths.get(each, "1")))
            for each in _signals(channel)
        ]
        lines.append(_if_optional(channel, "\n".join(ports)))
    if any(channel.lanes for channel in contract.channels):
        lines.append(template("one_lane.sv"))
    return "\n".join(lines)


def _port(name: str, width: str) -> str:
    return f'      port("{name}", $bits(dut.{name}), {width});'


def _if_kept(signal: str, text: str) -> str:
    """Return the text, left out where the device has no `tkeep` and it is about that."""
    return f"`ifndef NO_TKEEP\n{text}\n`endif" if signal == "tkeep" else text


def _if_optional(channel: Channel, text: str, tie: str = "") -> str:
    if not channel.optional:
        return text
    tied = f"`elsif TIE_TAPS\n{tie}\n" if tie else ""
    return f"`ifdef TAPS\n{text}\n{tied}`endif"


def _expression(operator: str, terms: Iterable[tuple[bool, str]]) -> str:
    """Return terms joined by an operator; those of taps are left out where there are none."""
    listed = sorted(terms)
    fixed = [text for optional, text in listed if not optional]
    taps = [text for optional, text in listed if optional]
    joined = f"{operator} ".join(fixed)
    if not taps:
        return joined
    lines = "".join(f"\n       {operator} {text}" for text in taps)
    return f"{joined}\n`ifdef TAPS{lines}\n`endif\n       "


def _moves(contract: Contract) -> list[tuple[bool, str]]:
    moves = [(False, f"({s.prefix}_tvalid && {s.prefix}_tready) === 1'b1") for s in contract.inputs]
    for sink in contract.outputs:
        ready = f" && {sink.prefix}_tready" if sink.ready else ""
        wanted = f"{sink.prefix}_word < {sink.stream}_WORDS"
        moves.append((sink.optional, f"({sink.prefix}_tvalid{ready} && {wanted}) === 1'b1"))
    return moves


def _completions(contract: Contract) -> list[tuple[bool, str]]:
    given = [
        (False, f"({s.prefix}_word == {s.stream}_WORDS && !{s.prefix}_tvalid)")
        for s in contract.inputs
    ]
    return given + [
        (sink.optional, f"{sink.prefix}_word == {sink.stream}_WORDS") for sink in contract.outputs
    ]


def _pins(channel: Channel) -> str:
    """Return the connections of a stream, a line each; the one of `tdata` is the last."""
    names = {each: f"{channel.prefix}_{each}" for each in _signals(channel)}
    return "\n".join(_if_kept(each, f"      .{name}({name}),") for each, name in names.items())


def _signals(channel: Channel) -> list[str]:
    ready = ["tready"] if channel.ready else []
    return ["tvalid", *ready, *_sideband(channel), "tdata"]


def _sideband(channel: Channel) -> list[str]:
    return [*(["tlast"] if channel.framed else []), *(["tkeep"] if channel.lanes else [])]


def _bits(word: str, stream: StreamWords, name: str) -> str:
    field, low = stream.bits[name]
    return f"{word}[{low + field.width - 1}:{low}]"


def _named(prefix: str, lanes: bool) -> dict[str, str]:
    return {"prefix": prefix, "lanes": "`LANES" if lanes else "1"}


def _last(streams: _Streams, index: str) -> str:
    return f"stimulus[{index}][{streams['stimulus'].bits['last'][1]}]"


def _what(stream: StreamWords, fields: Sequence[str], lanes: bool, per_key: bool) -> str:
    beat = ("LANES keys" if lanes else "a key") if per_key else "a row"
    return f"{', '.join(fields)} of {stream.file}, {beat} a beat"


def _source(contract: Contract, source: Channel, streams: _Streams, salt: int) -> str:
    stream = streams[source.stream]
    part = stream.part(source.fields)
    return fill(
        template("source.sv"),
        **_named(source.prefix, source.lanes),
        what=_what(stream, source.fields, source.lanes, True),
        width=part.width,
        stream=source.stream,
        memory=source.stream,
        high=part.high,
        low=part.low,
        last=streams["stimulus"].bits["last"][1],
        salt=_salt(salt),
        module=contract.module,
    )


def _salt(number: int) -> str:
    return f"32'h{(number * 0x9E3779B1) & 0xFFFFFFFF:08x}"


def _sink(contract: Contract, sink: Channel, streams: _Streams, salt: int) -> str:
    stream, per_key = streams[sink.stream], sink.framed
    part = stream.part(sink.fields)
    named, prefix = _named(sink.prefix, sink.lanes), sink.prefix
    sideband = _sideband(sink)
    payload = "{" + ", ".join(f"{prefix}_{each}" for each in ["tdata", *sideband]) + "}"
    registers = [
        f"  reg {prefix}_tready, {prefix}_waiting, {prefix}_shy;",
        f"  reg [{prefix}_LANES*({prefix}_WIDTH+1):0] {prefix}_offered;",
        f"  reg [31:0] {prefix}_random;",
        f"  reg [7:0] {prefix}_pauses;",
    ]
    wires = (f", {prefix}_tlast" if per_key else "") + (
        f";\n  wire [{prefix}_LANES-1:0] {prefix}_tkeep" if sink.lanes else ""
    )
    handshake = fill(
        template("handshake.sv"), **named, payload=payload, salt=_salt(salt), module=contract.module
    )
    return fill(
        template("sink.sv"),
        **named,
        what=_what(stream, sink.fields, sink.lanes, per_key),
        width=part.width,
        wires=wires,
        registers="\n".join(registers) if sink.ready else "",
        show=show_task(f"{prefix}_show", f"{contract.unit}.{sink.stream}", part, per_key=per_key),
        stream=sink.stream,
        memory=sink.stream,
        high=part.high,
        low=part.low,
        begin="begins[base]" if per_key else "base",
        ignored="\n".join(_ignored(prefix, part, streams, sink)),
        last=_last(streams, f"{prefix}_word+{prefix}_lane") if per_key else "1'b1",
        framing=_framing(contract, sink, sideband),
        handshake=handshake if sink.ready else "",
        accepted=f" && {prefix}_tready" if sink.ready else "",
        module=contract.module,
    )


def _ignored(prefix: str, part: Slice, streams: _Streams, sink: Channel) -> list[str]:
    """Return the lines that take the fields which mean nothing out of the comparison."""
    bits = {field.name: (field.width, low) for field, low in part.fields}
    lines = []
    for name, (width, low) in bits.items():
        guard = MEANINGLESS.get((sink.stream, name))
        if guard is not None:
            lines.append(
                f"          if ({_guard(streams, guard, f'{prefix}_word+{prefix}_lane')}) "
                f"{prefix}_care[{low + width - 1}:{low}] = {width}'d0;"
            )
    return lines


def _guard(streams: _Streams, guard: _Guard, index: str) -> str:
    stream, field, value = guard
    return f"{stream}[{index}][{streams[stream].bits[field][1]}] == 1'b{value}"


def _framing(contract: Contract, sink: Channel, sideband: Sequence[str]) -> str:
    return "\n".join(
        _if_kept(
            each,
            fill(
                template("framing.sv"),
                prefix=sink.prefix,
                signal=each,
                expected=expected,
                module=contract.module,
            ),
        )
        for each, expected in (
            ("tlast", f"{sink.prefix}_ended"),
            ("tkeep", f"~({{{sink.prefix}_LANES{{1'b1}}}} << {sink.prefix}_keys)"),
        )
        if each in sideband
    )


def _opened(contract: Contract, streams: _Streams) -> str:
    """Return the declaration of how many rows may have begun."""
    if not contract.params:
        return "  localparam integer opened = 32'h7fffffff;  // rows that may have begun"
    return fill(template("opened.sv"), high=streams["params"].width - 1)


def _opening(contract: Contract, streams: _Streams) -> str:
    """Return the process that lets a row begin: with its parameters, or with the same as before."""
    if not contract.params:
        return ""
    taken = [f"{sink.prefix}_row" for sink in contract.outputs if sink.ready]
    params = streams["params"]
    return fill(template("opening.sv"), high=params.width - 1, completed=taken[0])


def plain_ports(contract: Contract, streams: Mapping[str, StreamWords]) -> str:
    """Return the statements that check the width of every port."""
    return "\n".join(
        f'      port("{name}", $bits(dut.{name}), {streams[channel.stream].bits[name][0].width});'
        for channel in contract.channels
        for name in channel.fields
    )


def plain_body(target: Target, contract: Contract, streams: Mapping[str, StreamWords]) -> str:
    """Return the body: declarations of the device's ports, the device, and the run."""
    stimulus, expected = streams["stimulus"], streams["expected"]
    framed = "last" in stimulus.bits
    inputs = [name for name in stimulus.bits if name != "last"]
    pins = [
        f"      .{name}({bus}[{low + field.width - 1}:{low}])"
        for bus, words, names in (
            ("given", stimulus, inputs),
            ("found", expected, list(expected.bits)),
        )
        for name in names
        for field, low in (words.bits[name],)
    ]
    given = stimulus.part(inputs)
    ports = [
        f"  reg [{given.high}:0] given;",
        f"  wire [{expected.width - 1}:0] found;",
        f"  reg [{expected.width - 1}:0] care;",
    ]
    step = "row = row + 1;"
    if framed:
        last = f"stimulus[word][{stimulus.bits['last'][1]}]"
        step = f"key = {last} ? 0 : key + 1;\n        if ({last}) row = row + 1;"
    place = f"{contract.unit}.expected"
    return fill(
        template("plain.sv"),
        ports="\n".join(ports),
        pins=",\n".join(pins[:-1]) + ",",
        last_pin=pins[-1],
        show=show_task("show", place, expected.part(list(expected.bits)), per_key=framed),
        stream="stimulus",
        given=given.high,
        high=expected.width - 1,
        zero=f"{{{expected.width}{{1'b0}}}}",
        step=step,
    )


_LANES_SHOWN = '        $write(", LANES = %0d", `LANES);'


def render_testbench(
    target: Target, unit: Unit, words: Mapping[str, int], module: str | None = None
) -> bytes:
    """Return `<module>_tb.sv`, which holds a device to the vector files of a unit.

    Args:
        target: what the set is made for.
        unit: whose vectors they are.
        words: words of each file of the unit by its name: `Manifest.words`.
        module: one of `modules_of(unit.name)`; None for the one that is named as the unit.

    Raises:
        ValueError: the unit's vectors do not fit the module, or `words` lacks a file.
    """
    name = unit.name if module is None else module
    contract = CONTRACTS.get(name)
    if contract is None or contract.unit != unit.name:
        known = ", ".join(each.module for each in CONTRACTS.values() if each.unit == unit.name)
        raise ValueError(f"module must be one of {known}, got {name!r}")
    streams = streams_of(target, unit, words)
    used = _used(contract, streams)
    body = (plain_body if contract.plain else stream_body)(target, contract, streams)
    last = streams["stimulus"].bits.get("last")
    text = fill(
        template("common.sv"),
        module=contract.module,
        unit=unit.name,
        spec=SPEC_VERSION,
        inputs=_files(used, {"stimulus", "params", *(s.stream for s in contract.inputs)}),
        outputs=_files(used, {sink.stream for sink in contract.outputs}),
        macros=_macros(contract),
        plusargs="" if contract.plain else template("plusargs.sv"),
        defines=_defines(contract),
        sizes="\n".join(_sizes(used, contract.outputs)),
        memories="\n".join(
            f"  reg [{each.width}:0] {each.name}[0:{each.name}_WORDS-1];" for each in used
        ),
        loads="\n".join(_load(each) for each in used),
        last=f"stimulus[index][{last[1]}]" if last else "1'b1",
        after="" if contract.plain else template("after.sv"),
        ports=(plain_ports if contract.plain else stream_ports)(contract, streams),
        lanes=_LANES_SHOWN if _has_lanes(contract) else "",
        remarks=_remarks(contract),
        body=body,
    )
    return f"{text}\n".encode()


def _used(contract: Contract, streams: Mapping[str, StreamWords]) -> list[StreamWords]:
    """Return the streams whose words the testbench reads."""
    names = {"stimulus", *(source.stream for source in contract.inputs)}
    names |= {sink.stream for sink in contract.outputs}
    if contract.params:
        names.add("params")
    return [each for each in streams.values() if each.name in names]


def _files(used: Iterable[StreamWords], names: set[str]) -> str:
    return ", ".join(each.file for each in used if each.name in names)


def _macros(contract: Contract) -> str:
    lines = []
    if _has_taps(contract):
        lines.append(f"//           NO_TAPS    {_optional(contract)} are not compared")
        if any(sink.optional and sink.ready for sink in contract.outputs):
            lines.append("//           TIE_TAPS   with NO_TAPS: the device has them, always taken")
    if _has_lanes(contract):
        lines.append("//           LANES      keys a beat (4)")
        lines.append(
            "//           SET_LANES  give LANES to the device as its parameter of that name"
        )
        lines.append("//           NO_TKEEP   the device has no tkeep: it takes one key a beat")
    return "\n".join(lines)


def _defines(contract: Contract) -> str:
    lines = []
    if _has_lanes(contract):
        lines += ["`ifndef LANES", "`define LANES 4", "`endif"]
    if _has_taps(contract):
        lines += ["`ifndef NO_TAPS", "`define TAPS", "`endif"]
    return "\n".join(lines)


def _optional(contract: Contract) -> str:
    return ", ".join(f"{sink.prefix}_*" for sink in contract.outputs if sink.optional)


def _remarks(contract: Contract) -> str:
    """Return the statements that say with what a device passed."""
    lines = [] if contract.plain else ['        $write(", %0d resets", resets);']
    if _has_lanes(contract):
        lines.append(_LANES_SHOWN)
    if _has_taps(contract):
        missed = f'        $write(", {_optional(contract)} not compared");'
        lines += ["`ifndef TAPS", missed, "`endif"]
    return "\n".join(lines)


def _has_taps(contract: Contract) -> bool:
    return any(sink.optional for sink in contract.outputs)


def _has_lanes(contract: Contract) -> bool:
    return any(source.lanes for source in contract.inputs)


def _sizes(used: Iterable[StreamWords], compared: Iterable[Channel]) -> list[str]:
    lines = [f"  localparam integer {each.name}_WORDS = {each.words};" for each in used]
    fixed = " + ".join(f"{sink.stream}_WORDS" for sink in compared if not sink.optional)
    optional = "".join(f" + {sink.stream}_WORDS" for sink in compared if sink.optional)
    if not optional:
        return [*lines, f"  localparam integer WORDS = {fixed};"]
    lines += ["`ifdef TAPS", f"  localparam integer WORDS = {fixed}{optional};"]
    return [*lines, "`else", f"  localparam integer WORDS = {fixed};", "`endif"]


def _load(words: StreamWords) -> str:
    return fill(template("load.sv"), stream=words.name, width=words.width, file=words.file)
