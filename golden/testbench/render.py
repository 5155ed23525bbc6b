"""`<module>_tb.sv`: a self-checking testbench, from the layout of the module."""

from collections.abc import Iterable, Mapping

from bitlog2 import SPEC_VERSION

from ..target import Target
from ..unit import Unit
from .layouts import LAYOUTS, Layout, Sink
from .plain import plain_body
from .stream import stream_body
from .template import fill, template
from .words import StreamWords, streams_of

__all__ = ["render_testbench"]


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
    layout = LAYOUTS.get(name)
    if layout is None or layout.unit != unit.name:
        known = ", ".join(each.module for each in LAYOUTS.values() if each.unit == unit.name)
        raise ValueError(f"module must be one of {known}, got {name!r}")
    streams = streams_of(target, unit, words)
    compared = layout.sinks or (Sink("", "expected", ()),)
    used = _used(layout, streams, compared)
    body = (stream_body if layout.sinks else plain_body)(target, layout, streams)
    text = fill(
        template("common.sv"),
        module=layout.module,
        unit=unit.name,
        spec=SPEC_VERSION,
        inputs=_files(used, {"stimulus", "params", *(s.stream for s in layout.sources)}),
        outputs=_files(used, {sink.stream for sink in compared}),
        macros=_macros(layout),
        plusargs=template("plusargs.sv") if layout.sinks else "",
        defines=_defines(layout),
        sizes="\n".join(_sizes(used, compared)),
        memories="\n".join(
            f"  reg [{each.width}:0] {each.name}[0:{each.name}_WORDS-1];" for each in used
        ),
        loads="\n".join(_load(each) for each in used),
        body=body,
    )
    return f"{text}\n".encode()


def _used(
    layout: Layout, streams: Mapping[str, StreamWords], compared: Iterable[Sink]
) -> list[StreamWords]:
    """Return the streams whose words the testbench reads."""
    names = {"stimulus", *(source.stream for source in layout.sources)}
    names |= {sink.stream for sink in compared}
    if layout.params:
        names.add("params")
    return [each for each in streams.values() if each.name in names]


def _files(used: Iterable[StreamWords], names: set[str]) -> str:
    return ", ".join(each.file for each in used if each.name in names)


def _macros(layout: Layout) -> str:
    lines = []
    if _has_taps(layout):
        optional = ", ".join(f"{sink.prefix}_*" for sink in layout.sinks if sink.optional)
        lines.append(f"//           NO_TAPS    the device has no {optional}")
    if _has_lanes(layout):
        lines.append("//           LANES      keys a beat (4)")
        lines.append(
            "//           SET_LANES  give LANES to the device as its parameter of that name"
        )
    return "\n".join(lines)


def _defines(layout: Layout) -> str:
    lines = []
    if _has_lanes(layout):
        lines += ["`ifndef LANES", "`define LANES 4", "`endif"]
    if _has_taps(layout):
        lines += ["`ifndef NO_TAPS", "`define TAPS", "`endif"]
    return "\n".join(lines)


def _has_taps(layout: Layout) -> bool:
    return any(sink.optional for sink in layout.sinks)


def _has_lanes(layout: Layout) -> bool:
    return any(source.lanes for source in layout.sources)


def _sizes(used: Iterable[StreamWords], compared: Iterable[Sink]) -> list[str]:
    lines = [f"  localparam integer {each.name}_WORDS = {each.words};" for each in used]
    fixed = " + ".join(f"{sink.stream}_WORDS" for sink in compared if not sink.optional)
    optional = "".join(f" + {sink.stream}_WORDS" for sink in compared if sink.optional)
    if not optional:
        return [*lines, f"  localparam integer WORDS = {fixed};"]
    lines += ["`ifdef TAPS", f"  localparam integer WORDS = {fixed}{optional};"]
    return [*lines, "`else", f"  localparam integer WORDS = {fixed};", "`endif"]


def _load(words: StreamWords) -> str:
    return fill(template("load.sv"), stream=words.name, width=words.width, file=words.file)
