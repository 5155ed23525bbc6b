"""The body of a testbench of streams: random pauses on every one of them."""

from collections.abc import Iterable, Mapping, Sequence

from ..contract import Channel, Contract
from ..target import Target
from .show import show_task
from .template import fill, template
from .words import Slice, StreamWords

__all__ = ["MEANINGLESS", "stream_body", "stream_ports"]

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
