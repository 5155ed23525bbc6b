"""The declared bins as covergroups in SystemVerilog, those that are values of ports."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from bitlog2 import SPEC_VERSION
from bitlog2.sim.declarations import Stream

from ..stimulus.unit import GoldenUnit, Point, Target
from ..words.fields import Field

_HEAD = """\
// Declared bins of {config}, D = {head_dim}, specification version {spec}: a covergroup for each
// stream of a unit, whose sample() takes ports of a word of it, with each word that is transferred;
// of a port with a value per channel, one channel at a time. Beside a bin stands the requirement
// that it is of. Bins that are no value of a port, such as sums of a row and the way in which a
// product is rounded, are listed without a covergroup; `bitlog2 golden plan --bins` counts all.
// Covergroups are read by Verilator, which counts nothing (-Wno-COVERIGN), and not by Icarus.
package bitlog2_covergroups;"""

_Guard = tuple[str, int] | None
#: (unit, signal) -> port, and another port of its stream with the value that it must have. Any
#: other signal with the name of a port is that port.
_SIGNALS: dict[tuple[str, str], tuple[str, _Guard]] = {
    ("exp2", "seen"): ("d", ("mask", 0)),
    ("exp2", "hidden"): ("d", ("mask", 1)),
    ("distance_quantizer", "seen"): ("d", ("mask", 0)),
    ("distance_quantizer", "hidden"): ("d", ("mask", 1)),
    ("distance_quantizer", "level"): ("level", ("mask", 0)),  # in no stream together
    ("attention_row", "score"): ("score", ("mask", 0)),
}


@dataclass(frozen=True)
class PortBin:
    """A declared bin that is a value of a port.

    Attributes:
        point: the bin.
        stream: the port's stream.
        port: its name.
        guard: another port of that stream and the value that it must have; None for none.
    """

    point: Point
    stream: Stream
    port: str
    guard: _Guard


def port_bins(target: Target, unit: GoldenUnit) -> dict[str, PortBin]:
    """Return the reachable bins of a unit that are values of ports, by name."""
    found = {}
    for name, point in unit.reachable(target).items():
        port, guard = _SIGNALS.get((unit.name, point.signal), (point.signal, None))
        needed = {port} if guard is None else {port, guard[0]}
        stream = next((each for each in unit.streams if needed <= set(each.ports)), None)
        if stream is not None:
            found[name] = PortBin(point, stream, port, guard)
    return found


def render_covergroups(target: Target, units: Sequence[GoldenUnit]) -> bytes:
    """Return the package `bitlog2_covergroups` with the bins of these units."""
    head = _HEAD.format(config=target.config.scheme, head_dim=target.head_dim, spec=SPEC_VERSION)
    parts = ["\n".join(_of_unit(target, unit)) for unit in units]
    return "\n\n".join([head, *parts, "endpackage\n"]).encode()


def _of_unit(target: Target, unit: GoldenUnit) -> Iterator[str]:
    bins = port_bins(target, unit)
    left = [name for name in unit.reachable(target) if name not in bins]
    yield f"  // {unit.name}: {len(bins)} of {len(bins) + len(left)} bins are values of ports."
    for stream in unit.streams:
        own = [each for each in bins.values() if each.stream is stream]
        if own:
            yield from _of_stream(target, unit, stream, own)
    if left:
        yield from wrap(
            f"without a covergroup: {', '.join(left)}",
            96,
            initial_indent="  // ",
            subsequent_indent="  // ",
            break_on_hyphens=False,
        )


def _of_stream(
    target: Target, unit: GoldenUnit, stream: Stream, bins: Sequence[PortBin]
) -> Iterator[str]:
    used = {name for each in bins for name in (each.port, *(each.guard or ())[:1])}
    fields = {each.name: each for each in target.fields(stream) if each.name in used}
    ports = ", ".join(_declared(each) for each in fields.values())
    yield f"  covergroup {unit.name}_{stream.name} with function sample ({ports});"
    yield "    option.per_instance = 1;"
    for signal in dict.fromkeys(each.point.signal for each in bins):
        own = [each for each in bins if each.point.signal == signal]
        port, guard = own[0].port, own[0].guard
        when = (
            "" if guard is None else f" iff ({guard[0]} == {_literal(fields[guard[0]], guard[1])})"
        )
        yield f"    {port}_{'values' if signal == port else signal}: coverpoint {port}{when} {{"
        for each in own:
            value, point = _literal(fields[port], each.point.value), each.point
            yield f"      bins {point.name} = {{{value}}};  // {point.requirement}"
        yield "    }"
    yield "  endgroup"


def _declared(field: Field) -> str:
    span = f"[{field.bits - 1}:0] " if field.bits > 1 else ""
    return f"bit {'signed ' if field.signed else ''}{span}{field.name}"


def _literal(field: Field, value: int) -> str:
    """Return a value of a field; one below 0 as its two's complement."""
    if value < 0:
        return f"{field.bits}'sh{value & ((1 << field.bits) - 1):x}"
    return f"{field.bits}'{'s' if field.signed else ''}d{value}"
