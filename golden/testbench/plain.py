"""The body of a testbench of plain ports: a word in, a word out."""

from collections.abc import Mapping

from ..contract import Contract
from ..target import Target
from .show import show_task
from .template import fill, template
from .words import StreamWords

__all__ = ["plain_body", "plain_ports"]


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
