"""`<module>_tb.sv`: a self-checking testbench, from the contract of the module."""

from collections.abc import Iterable, Mapping

from bitlog2 import SPEC_VERSION

from ..contract import CONTRACTS, Channel, Contract
from ..target import Target
from ..unit import Unit
from .plain import plain_body, plain_ports
from .stream import stream_body, stream_ports
from .template import fill, template
from .words import StreamWords, streams_of

__all__ = ["render_testbench"]

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
