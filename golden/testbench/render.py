"""SystemVerilog testbenches: a device, and the modules of `bitlog2_tb.sv` around it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill

from bitlog2 import SPEC_VERSION

from ..simulation.contract import Channel, ChannelWords, Contract, contracts_within
from ..stimulus.unit import GoldenUnit, Target
from ..words.fields import Field, first_bits, word_width


@dataclass(frozen=True)
class StreamFile:
    """The file of a stream.

    Attributes:
        file: its name.
        words: how many there are.
        width: bits of a word.
        bits: (field, its lowest bit) by field name, most significant first.
    """

    file: str
    words: int
    width: int
    bits: dict[str, tuple[Field, int]]

    def bit(self, name: str) -> int:
        """Return the lowest bit of a field, -1 where the word lacks it."""
        return self.bits[name][1] if name in self.bits else -1

    def selected(self, word: str, name: str) -> str:
        """Return the expression for a field of a word."""
        field, low = self.bits[name]
        return f"{word}[{low + field.width - 1}:{low}]"


_Streams = Mapping[str, StreamFile]
_HEAD = """\
// Self-checking testbench of {module}, made with the vectors of {unit},
// specification version {spec}.
//
// It drives a device with the words of {inputs}
// and compares every word of {outputs}.
// Verdict, macros and plusargs: the head of bitlog2_tb.sv, which is compiled before this file.
`timescale 1ns / 1ps
`ifndef DUT
`define DUT {module}
`endif
{lanes}
module {module}_tb;
  import bitlog2_tb::*;
"""
_LANES = "`ifndef LANES\n`define LANES 4\n`endif\n"
#: What a macro declares of the device, as a number that is 0 or 1.
_FLAG = "`ifdef NO_{0}\n  localparam integer {0} = 0;\n`else\n  localparam integer {0} = 1;\n`endif"
_ONE_LANE = """\
`ifdef NO_TKEEP
    if (`LANES != 1) begin
      $display("  a device without tkeep takes one key a beat");
      misfits = misfits + 1;
    end
`endif"""


def streams_of(target: Target, unit: GoldenUnit, words: Mapping[str, int]) -> dict[str, StreamFile]:
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
        name, fields = unit.file_name(stream), target.fields(stream)
        if name not in words:
            raise ValueError(f"words must count those of {name}, got {', '.join(words)}")
        bits = {field.name: (field, bit) for field, bit in reversed(list(first_bits(fields)))}
        streams[stream.name] = StreamFile(name, words[name], word_width(fields), bits)
    return streams


def render_testbench(
    target: Target, unit: GoldenUnit, words: Mapping[str, int], module: str | None = None
) -> bytes:
    """Return `<module>_tb.sv`, which holds a device to the vector files of a unit.

    Args:
        target: what the set is made for.
        unit: unit of the vectors.
        words: words of each file of the unit by its name: `Manifest.words`.
        module: one of `modules_of(unit.name)`; None for the one that is named as the unit.

    Raises:
        ValueError: the unit's vectors do not fit the module, or `words` lacks a file.
    """
    name = unit.name if module is None else module
    contracts = contracts_within(target.config)
    contract = contracts.get(name)
    if contract is None or contract.unit != unit.name:
        known = ", ".join(each.module for each in contracts.values() if each.unit == unit.name)
        raise ValueError(f"module must be one of {known}, got {name!r}")
    streams = streams_of(target, unit, words)
    given = {"stimulus", *(each.stream for each in contract.inputs)}
    given |= {"params"} if contract.params else set()
    head = _HEAD.format(
        module=name,
        unit=unit.name,
        spec=SPEC_VERSION,
        inputs=_files(streams, given),
        outputs=_files(streams, {each.stream for each in contract.outputs}),
        lanes=_LANES if contract.wide else "",
    )
    if contract.plain:
        parts = _plain_parts(contract, streams)
    else:
        parts = _stream_parts(contract, unit, streams, target)
    body = "\n\n".join(parts)
    return f"{head}{body}\nendmodule\n".encode()


def _files(streams: _Streams, names: set[str]) -> str:
    return ", ".join(each.file for name, each in streams.items() if name in names)


def _instance(
    module: str, name: str, parameters: Mapping[str, object], pins: Mapping[str, str]
) -> str:
    """Return an instance; values of parameters are expressions."""
    given = ",\n".join(f"      .{key}({value})" for key, value in parameters.items())
    wired = ", ".join(f".{port}({net})" for port, net in pins.items())
    wrapped = fill(wired, 100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return f"  bitlog2_tb_{module} #(\n{given}\n  ) {name} (\n{wrapped}\n  );"


def _text(value: str) -> str:
    return f'"{value}"'


def _fields(listed: Sequence[Field], guards: Mapping[str, int]) -> dict[str, object]:
    """Return the parameters for the fields of a word: arrays, packed, the first in the highest."""

    def packed(values: Iterable[str]) -> str:
        return f"{{{', '.join(values)}}}"

    arrays: dict[str, object] = {
        "FIELDS": len(listed),
        "NAMES": packed(f'{{{128 - 8 * len(f.name)}\'d0, "{f.name}"}}' for f in listed),
        "BITS": packed(f"32'd{f.bits}" for f in listed),
        "CHANNELS": packed(f"32'd{f.lanes}" for f in listed),
    }
    if guards:
        arrays["GUARDS"] = packed(
            f"32'd{guards[f.name]}" if f.name in guards else "-32'd1" for f in listed
        )
    return arrays


def _port(name: str, width: object) -> str:
    return f'    port("{name}", $bits(dut.{name}), {width});'


def _device(pins: Sequence[str], override: str = "") -> str:
    """Return the device; the last pin is in every device."""
    mutants = "`ifdef MUTANTS\n      .mutsel(bitlog2_tb::mutsel),\n`endif"
    wired = "\n".join([mutants, *(f"{pin}," if pin[0] == " " else pin for pin in pins[:-1])])
    return f"  `DUT\n{override}      dut (\n{wired}\n{pins[-1]}\n  );"


def _checks(ports: Sequence[str]) -> str:
    return "\n".join(["  initial begin", *ports, "  end"])


def _plain_parts(contract: Contract, streams: _Streams) -> list[str]:
    """Return the body for a device that makes a word of a word."""
    stimulus, expected = streams["stimulus"], streams["expected"]
    names = [
        (bus, words, name)
        for bus, words in (("given", stimulus), ("found", expected))
        for name in words.bits
        if name != "last"
    ]
    control: dict[str, object] = {
        "MODULE": _text(contract.module),
        "FILE": _text(stimulus.file),
        "WORD_WIDTH": stimulus.width,
        "LAST": stimulus.bit("last"),
        "PLACE": _text(f"{contract.unit}.expected"),
        "EXPECTED": _text(expected.file),
        "WORDS": expected.words,
        "WIDTH": expected.width,
        **_fields([field for field, _ in expected.bits.values()], {}),
    }
    return [
        f"  wire [{stimulus.width - 1}:0] given;\n  wire [{expected.width - 1}:0] found;",
        _instance("plain", "control", control, {"given": "given", "found": "found"}),
        _device([f"      .{name}({words.selected(bus, name)})" for bus, words, name in names]),
        _checks([_port(name, words.bits[name][0].width) for _, words, name in names]),
    ]


def _stream_parts(
    contract: Contract, unit: GoldenUnit, streams: _Streams, target: Target
) -> list[str]:
    """Return the body for a device of streams: sources, sinks, the device, and the run."""
    channels, wide = contract.channels, contract.wide
    carried = [ChannelWords.of(each, unit, target) for each in channels]
    flags = [_FLAG.format("TAPS")] if any(each.optional for each in channels) else []
    if wide:
        flags.append(_FLAG.format("TKEEP"))
    nets = ["  wire clk, rst_n;", f"  wire [{len(channels) - 1}:0] moved, complete;"]
    nets += map(_nets, carried)
    pins, ports, instances = [], [], []
    if contract.params:
        params = streams["params"]
        row = next(each.prefix for each in contract.outputs if each.ready)
        nets.append(f"  wire [{params.width - 1}:0] layer;\n  wire [31:0] opened;")
        pins += [f"      .{name}({params.selected('layer', name)})" for name in contract.params]
        ports += [_port(name, params.bits[name][0].width) for name in contract.params]
        instances.append(_params(params, f"{row}_row"))
    else:
        nets.append("  wire [31:0] opened = 32'h7fffffff;")
    for words in carried:
        instances.append(_channel(contract, unit, words, streams))
        pins.append(_channel_pins(words.channel))
        ports.append(_channel_ports(words))
    instances.append(_run(contract, streams, target.config.max_tokens))
    override = "`ifdef SET_LANES\n      #(.LANES(`LANES))\n`endif\n" if wide else ""
    pins += ["      .clk(clk)", "      .rst_n(rst_n)"]
    ports += [_ONE_LANE] if wide else []
    return ["\n".join([*flags, *nets]), *instances, _device(pins, override), _checks(ports)]


def _signals(channel: Channel) -> list[str]:
    ready, last, keep = channel.ready, channel.framed, channel.lanes
    return ["tvalid", *["tready"] * ready, *["tlast"] * last, *["tkeep"] * keep, "tdata"]


def _lanes(channel: Channel) -> str:
    return "`LANES" if channel.lanes else "1"


def _nets(words: ChannelWords) -> str:
    name, lanes = words.channel.prefix, _lanes(words.channel)
    return (
        f"  wire {name}_tvalid, {name}_tready, {name}_tlast;\n"
        f"  wire [{lanes}*{words.width}-1:0] {name}_tdata;\n"
        f"  wire [{lanes}-1:0] {name}_tkeep;\n"
        f"  wire [31:0] {name}_taken, {name}_row;"
    )


def _channel(contract: Contract, unit: GoldenUnit, words: ChannelWords, streams: _Streams) -> str:
    """Return the source or sink of a channel."""
    channel, name = words.channel, words.channel.prefix
    whole, number = streams[channel.stream], contract.channels.index(channel)
    given: dict[str, object] = {
        "NAME": _text(name),
        "FILE": _text(whole.file),
        "WORDS": whole.words,
        "WORD_WIDTH": whole.width,
        "LOW": words.low,
        "WIDTH": words.width,
        "LANES": _lanes(channel),
        "SALT": f"32'h{((number + 1) * 0x9E3779B1) & 0xFFFFFFFF:08x}",
    }
    pins = {"clk": "clk", "rst_n": "rst_n"}
    signals = ("tvalid", "tready", "tdata", "tkeep", "tlast")
    pins |= {signal: f"{name}_{signal}" for signal in signals}
    pins |= {"moved": f"moved[{number}]", "complete": f"complete[{number}]"}
    if channel in contract.inputs:
        return _instance("source", name, given, pins | {"opened": "opened"})
    guards, guard_file = {}, None
    for field in channel.fields:
        if (guard := unit.guard(channel.stream, field)) is not None:
            guard_file = streams[guard[0]]
            guards[field] = 2 * guard_file.bit(guard[1]) + guard[2]
    given |= {"PLACE": _text(f"{unit.name}.{channel.stream}")}
    given |= _fields(words.fields, guards)
    if guard_file is not None:
        given |= {"GUARD_FILE": _text(guard_file.file), "GUARD_WIDTH": guard_file.width}
    given |= {"READY": int(channel.ready), "FRAMED": int(channel.framed)}
    given |= {"PRESENT": "TAPS", "OPTIONAL": 1} if channel.optional else {}
    given |= {"KEEP": "TKEEP"} if channel.lanes else {}
    return _instance("sink", name, given, pins | {"taken": f"{name}_taken", "row": f"{name}_row"})


def _unless(macro: str, text: str, tied: str = "") -> str:
    return f"`ifndef {macro}\n{text}\n{tied}`endif"


def _channel_pins(channel: Channel) -> str:
    """Return the connections of a channel, without the last comma where no macro is around it."""
    names = {signal: f"{channel.prefix}_{signal}" for signal in _signals(channel)}
    pins = [f"      .{name}({name})," for name in names.values()]
    pins = [_unless("NO_TKEEP", pin) if "_tkeep" in pin else pin for pin in pins]
    text = "\n".join(pins)
    if not channel.optional:
        return text.rstrip(",")
    tie = f"`elsif TIE_TAPS\n      .{channel.prefix}_tready(1'b1),\n" if channel.ready else ""
    return _unless("NO_TAPS", text, tie)


def _channel_ports(words: ChannelWords) -> str:
    """Return the checks of the widths of a channel's ports."""
    channel = words.channel
    lanes = _lanes(channel)
    widths = {"tkeep": lanes, "tdata": f"{lanes} * {words.width}"}
    ports = [_port(f"{channel.prefix}_{each}", widths.get(each, 1)) for each in _signals(channel)]
    ports = [_unless("NO_TKEEP", port) if "_tkeep" in port else port for port in ports]
    text = "\n".join(ports)
    return _unless("NO_TAPS", text) if channel.optional else text


def _params(params: StreamFile, completed: str) -> str:
    given = {"FILE": _text(params.file), "WORDS": params.words, "WIDTH": params.width}
    pins = {"clk": "clk", "rst_n": "rst_n", "completed": completed}
    return _instance("params", "params", given, pins | {"layer": "layer", "opened": "opened"})


def _run(contract: Contract, streams: _Streams, max_tokens: int) -> str:
    """Return the instance that resets, starts and judges."""
    stimulus = streams["stimulus"]
    compared = [
        f"{'TAPS * ' if each.optional else ''}{streams[each.stream].words}"
        for each in contract.outputs
    ]
    given: dict[str, object] = {
        "MODULE": _text(contract.module),
        "FILE": _text(stimulus.file),
        "WORD_WIDTH": stimulus.width,
        "WORDS": stimulus.words,
        "LAST": stimulus.bit("last"),
        "COMPARED": " + ".join(compared),
        "REQUIRED": sum(streams[x.stream].words for x in contract.outputs if not x.optional),
        "STREAMS": len(contract.channels),
        "IDLE": 4 * max_tokens + 1000,
        "SPAN": 8 * max_tokens + 128,
    }
    if contract.wide:
        given["LANES"] = "`LANES"
    taps = ", ".join(f"{each.prefix}_*" for each in contract.outputs if each.optional)
    if taps:
        given["REMARK"] = f'TAPS ? "" : ", {taps} not compared"'
    taken = " + ".join(f"{each.prefix}_taken" for each in contract.outputs)
    pins = {"clk": "clk", "rst_n": "rst_n", "moved": "moved", "complete": "complete"}
    return _instance("run", "control", given, pins | {"taken": taken})
