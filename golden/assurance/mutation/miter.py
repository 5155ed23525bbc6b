"""Modules for a proof: a design cut at its registers, its facts, and two of it side by side."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .catalogue import SELECT, Boundary

_CLOCKED = ("$dff", "$mem_v2", "$scopeinfo")


@dataclass(frozen=True)
class CutPort:
    """A port, or a register that was made one.

    Attributes:
        name: its name; a register's has `_` for `.` and other marks.
        bits: its width.
    """

    name: str
    bits: int


@dataclass(frozen=True)
class CutMemory:
    """A memory with one write and one read that does not wait for a clock.

    Attributes:
        name: its name, formed as a register's.
        address_bits, bits: widths of an address and of a word.
    """

    name: str
    address_bits: int
    bits: int


@dataclass(frozen=True)
class Cut:
    """What a module is made of.

    Of a register r there are the ports q_r (in: its value) and d_r (out: its next value); of a
    memory m the ports rd_m (in: the word read), and ra_m, wa_m, wd_m, we_m (out: addresses, word
    written, a write bit for each of its bits).

    Attributes:
        inputs, outputs: ports of the design, clock and mutant's number left out.
        registers, memories: its state.
        netlist: the module `cut` for Yosys's `read_json`.
    """

    inputs: tuple[CutPort, ...]
    outputs: tuple[CutPort, ...]
    registers: tuple[CutPort, ...]
    memories: tuple[CutMemory, ...]
    netlist: str


def cut_state(design: str, plain: str, left_out: tuple[str, ...]) -> Cut:
    """Return the cut of a flat module.

    Args:
        design: JSON of Yosys with that module alone, of registers only `$dff`, of memories only
            `$mem_v2`.
        plain: the same without mutants: it has the registers' names.
        left_out: ports that are not listed.

    Raises:
        ValueError: a memory has more than one reader or writer, or a clocked reader.
    """
    module, named = _only_module(design), _register_names(_only_module(plain))
    ports, cells = module["ports"], module["cells"]
    listed = {
        direction: tuple(
            CutPort(name, len(port["bits"]))
            for name, port in ports.items()
            if port["direction"] == direction and name not in left_out
        )
        for direction in ("input", "output")
    }
    registers, memories = [], []
    for name in [name for name, cell in cells.items() if cell["type"] in _CLOCKED]:
        cell = cells.pop(name)
        if cell["type"] == "$dff":
            registers.append(_cut_register(ports, cell, named[name]))
        elif cell["type"] == "$mem_v2":
            memories.append(_cut_memory(ports, cell))
    whole = json.dumps({"modules": {"cut": module}})
    return Cut(listed["input"], listed["output"], tuple(registers), tuple(memories), whole)


def _only_module(design: str) -> dict[str, Any]:
    (module,) = json.loads(design)["modules"].values()
    assert isinstance(module, dict)
    return module


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name)


def _register_names(module: Mapping[str, Any]) -> dict[str, str]:
    """Return the name of the net behind each register, by the register's cell."""
    nets, found = module["netnames"], {}
    for name, cell in module["cells"].items():
        if cell["type"] == "$dff":
            bits = cell["connections"]["Q"]
            same = [net for net in nets if nets[net]["bits"] == bits]
            net = min(same, key=lambda net: (nets[net].get("hide_name", 0), len(net), net))
            found[name] = _plain(net)
    return found


def _cut_register(ports: dict[str, Any], cell: Mapping[str, Any], name: str) -> CutPort:
    outputs = cell["connections"]["Q"]
    ports[f"q_{name}"] = {"direction": "input", "bits": outputs}
    ports[f"d_{name}"] = {"direction": "output", "bits": cell["connections"]["D"]}
    return CutPort(name, len(outputs))


def _cut_memory(ports: dict[str, Any], cell: Mapping[str, Any]) -> CutMemory:
    values = {name: int(text, 2) for name, text in cell["parameters"].items() if name in _SIZES}
    name = _plain(cell["parameters"]["MEMID"].lstrip("\\"))
    if (values["RD_PORTS"], values["WR_PORTS"], values["RD_CLK_ENABLE"]) != (1, 1, 0):
        raise ValueError(f"memory {name} must have one writer and one reader without a clock")
    wires = cell["connections"]
    for prefix, end in (("ra", "RD_ADDR"), ("wa", "WR_ADDR"), ("wd", "WR_DATA"), ("we", "WR_EN")):
        ports[f"{prefix}_{name}"] = {"direction": "output", "bits": wires[end]}
    ports[f"rd_{name}"] = {"direction": "input", "bits": wires["RD_DATA"]}
    return CutMemory(name, values["ABITS"], values["WIDTH"])


_SIZES = ("RD_PORTS", "WR_PORTS", "RD_CLK_ENABLE", "ABITS", "WIDTH")


def render_facts(cut: Cut, boundary: Boundary, relation: Mapping[str, str]) -> str:
    """Return the module `facts`: of a state, which invariants hold and what matters.

    Of each memory it sees one word, and its address `entry_...`.
    """
    entries = [CutPort(f"entry_{each.name}", each.address_bits) for each in cut.memories]
    seen = (*_state(cut), *entries, *_held(cut, boundary))
    inputs = [f"  input wire {_range(each.bits)}{each.name}" for each in seen]
    outputs = [f"  output wire {_range(each.bits)}matters_{each.name}" for each in _state(cut)]
    outputs += [f"  output wire {_range(each.bits)}other_{each.name}" for each in cut.registers]
    invariants = _invariants(cut, boundary)
    outputs.append(f"  output wire {_range(len(invariants))}holds")
    lines = [f"  assign holds[{place}] = {each};" for place, each in enumerate(invariants)]
    for each in _state(cut):
        lines.append(f"  assign matters_{each.name} = {_matters(cut, relation, each)};")
    for each in cut.registers:
        lines.append(f"  assign other_{each.name} = {_other(cut, relation, each)};")
    return _module("facts", [*inputs, *outputs], lines)


def render_invariants(cut: Cut, boundary: Boundary, bits: int) -> str:
    """Return the module `invariants`: they hold after reset, and from cycle to cycle."""
    body = [
        "  wire starting = any_cycle[0];",
        *_outputs(cut, ""),
        *_cut(cut, "original", f"{bits}'d0", ""),
        *_written(cut, ""),
        *_all_facts(cut, boundary),
        "  always @* begin",
        f"    assume(starting ? !rst_n : {_kept(cut)} && {_legal(cut, boundary)});",
        *_consistent(cut, ("",)),
        *(f"    assert(after_holds[{n}]);" for n in range(len(_invariants(cut, boundary)))),
        "  end",
    ]
    return _module("invariants", _inputs(cut), body)


def render_probe(cut: Cut, boundary: Boundary, bits: int) -> str:
    """Return the module `probe`, which asserts what is false under the assumptions of `miter`."""
    body = [*_outputs(cut, ""), *_cut(cut, "original", f"{bits}'d0", "")]
    legal = _legal(cut, boundary)
    if cut.registers:
        body += [*_written(cut, ""), *_all_facts(cut, boundary)]
        legal = f"{_kept(cut)} && {legal}"
    checks = [f"    assume({legal});", *_consistent(cut, ("",)), "    assert(1'b0);"]
    return _module("probe", _inputs(cut), [*body, "  always @* begin", *checks, "  end"])


def render_miter(cut: Cut, boundary: Boundary, bits: int, *, starting: bool = False) -> str:
    """Return the module `miter`, which asserts that the mutant that `mutsel` chooses is not seen.

    Args:
        cut, boundary: what is compared.
        bits: width of `mutsel`.
        starting: the clock cycle of reset, from any two states, instead of one between states that
            agree.
    """
    body = [
        *_starting(starting),
        *_outputs(cut, ""),
        *_outputs(cut, "gate_"),
        *_cut(cut, "original", f"{bits}'d0", ""),
        *_cut(cut, "mutant", SELECT, "gate_"),
    ]
    legal = _legal(cut, boundary)
    if cut.registers:
        body += [*_written(cut, ""), *_all_facts(cut, boundary)]
        body += [*_agreed(cut), *_written(cut, "gate_")]
        legal = f"starting ? !rst_n : {_kept(cut)} && {legal}"
    checks = [f"    assume({legal});", *_consistent(cut, ("", "gate_")), *_asserted(cut, boundary)]
    ports = [*_inputs(cut), f"  input wire {_range(bits)}{SELECT}"]
    return _module("miter", ports, [*body, "  always @* begin", *checks, "  end"])


def _module(name: str, ports: list[str], body: list[str]) -> str:
    return "\n".join(
        [
            "`default_nettype none",
            f"module {name}(",
            ",\n".join(ports),
            ");",
            *body,
            "endmodule",
            "",
        ]
    )


def _starting(starting: bool) -> list[str]:
    return [f"  localparam starting = 1'b{int(starting)};"]


def _range(bits: int) -> str:
    return f"[{bits - 1}:0] "


def _legal(cut: Cut, boundary: Boundary) -> str:
    """Return what is assumed; the registers in it are those of the original."""
    text = _all((*boundary.assumes, *boundary.lemmas.values()))
    for register in cut.registers:
        text = re.sub(rf"(?<![\w:]){register.name}\b", f"q_{register.name}", text)
    return text


def _all(conditions: tuple[str, ...]) -> str:
    return " && ".join(f"({each})" for each in conditions) or "1'b1"


#: What is written once for all lanes: how many there are, and the expression with `#` for each.
_OF_LANES = re.compile(r"of (\d+) lanes: (.*)")


def _invariants(cut: Cut, boundary: Boundary) -> list[str]:
    """Return the invariants as expressions of `facts`, one of each lane; at least one.

    One of a register by its name, `the(name)`, says nothing where the design lacks that: no output
    of its scheme needs it.
    """
    found, there = [], {each.name for each in cut.registers}
    for text in boundary.invariants:
        if not there.issuperset(re.findall(r"\bthe\((\w+)\)", text)):
            continue
        for memory in cut.memories:
            if re.search(rf"\b{memory.name}\b", text):
                text = re.sub(r"\bentry\b", f"entry_{memory.name}", text)
        found += [f"({_register_expression(cut, lane)}) != 0" for lane in _of_lanes(text)]
    return found or ["1'b1"]


def _of_lanes(text: str) -> list[str]:
    """Return an expression of each lane, from lane 0; or the one of all."""
    lanes = _OF_LANES.fullmatch(text)
    if lanes is None:
        return [text]
    return [lanes[2].replace("#", str(lane)) for lane in range(int(lanes[1]))]


def _register_expression(cut: Cut, text: str) -> str:
    """Return an expression with names for patterns of names."""

    def named(match: re.Match[str]) -> list[CutPort]:
        return [each for each in cut.registers if re.fullmatch(match[1], each.name)]

    def the(match: re.Match[str]) -> str:
        (register,) = named(match)
        return register.name

    def top(match: re.Match[str]) -> str:
        (register,) = named(match)
        return f"{register.name}[{register.bits - 1}]"

    def any_of(match: re.Match[str]) -> str:
        return "(" + " || ".join(f"{each.name} != 0" for each in named(match)) + ")"

    for word, replaced in (("the", the), ("top", top), ("any", any_of)):
        text = re.sub(rf"\b{word}\(([^)]*)\)", replaced, text)
    return text


#: What stands before the value that a register has in the mutant, where its own is `self`.
_AS = "as "


def _matters(cut: Cut, relation: Mapping[str, str], part: CutPort | CutMemory) -> str:
    """Return the mask of the bits of a register or memory that matter."""
    text = _related(cut, relation, part)
    return _mask("1'b1" if text.startswith(_AS) else text, part.bits)


def _other(cut: Cut, relation: Mapping[str, str], register: CutPort) -> str:
    """Return the value of a register in the mutant, in the bits that matter."""
    text = _related(cut, relation, register)
    return text.removeprefix(_AS) if text.startswith(_AS) else register.name


def _related(cut: Cut, relation: Mapping[str, str], part: CutPort | CutMemory) -> str:
    """Return what a relation says of a register or memory."""
    text = "1'b1"
    for pattern, condition in relation.items():
        if match := re.fullmatch(pattern.replace("#", r"(?P<lane>\d+)"), part.name):
            lane = match.groupdict().get("lane")
            text = condition if lane is None else condition.replace("#", lane)
            break
    text = re.sub(r"\bself\b", part.name, re.sub(r"\bentry\b", f"entry_{part.name}", text))
    return _register_expression(cut, text)


#: A condition for the bits that a mask has, and that mask.
_WHERE = re.compile(r"([^{].*) \? ((?:of \d+ lanes: )?\{.*\})")
#: A mask of single bits and of a condition for all others.
_REST = re.compile(r"\{(.*), \*(.*)\}")


def _mask(text: str, bits: int) -> str:
    """Return as a mask what is one already, or a condition for all bits."""
    if (where := _WHERE.fullmatch(text)) is not None:
        return f"{{{bits}{{1'({where[1]})}}}} & {_mask(where[2], bits)}"
    if _OF_LANES.fullmatch(text):
        lanes = _of_lanes(text)
        each = [_mask(lane, bits // len(lanes)) for lane in reversed(lanes)]
        return f"{{{', '.join(each)}}}"
    if (rest := _REST.fullmatch(text)) is not None:
        singles = rest[1].split(", ")
        each = [*(f"1'({x})" for x in singles), f"{{{bits - len(singles)}{{1'({rest[2]})}}}}"]
        return f"{{{', '.join(each)}}}"
    return text if text.startswith("{") else f"{{{bits}{{1'({text})}}}}"


def _state(cut: Cut) -> tuple[CutPort | CutMemory, ...]:
    return (*cut.registers, *cut.memories)


def _inputs(cut: Cut) -> list[str]:
    """Return the miter's inputs: those of the design, and two states in one clock cycle."""
    ports = list(cut.inputs)
    if cut.registers:
        ports.append(CutPort("any_cycle", 1))
    for register in cut.registers:
        ports += [
            CutPort(f"q_{register.name}", register.bits),
            CutPort(f"free_{register.name}", register.bits),
        ]
    for memory in cut.memories:
        ports.append(CutPort(f"entry_{memory.name}", memory.address_bits))
        for kind in ("rd", "old", "free_rd", "free_old"):
            ports.append(CutPort(f"{kind}_{memory.name}", memory.bits))
    return [f"  input wire {_range(each.bits)}{each.name}" for each in ports]


def _outputs(cut: Cut, prefix: str) -> list[str]:
    ports = [*cut.outputs, *(CutPort(f"d_{each.name}", each.bits) for each in cut.registers)]
    for memory in cut.memories:
        ports += [CutPort(f"{kind}_{memory.name}", memory.address_bits) for kind in ("ra", "wa")]
        ports += [CutPort(f"{kind}_{memory.name}", memory.bits) for kind in ("wd", "we")]
    return [f"  wire {_range(each.bits)}{prefix}{each.name};" for each in ports]


def _cut(cut: Cut, instance: str, number: str, prefix: str) -> list[str]:
    names = {each.name: each.name for each in cut.inputs}
    names |= {each.name: f"{prefix}{each.name}" for each in cut.outputs}
    for register in cut.registers:
        names |= {f"{kind}_{register.name}": f"{prefix}{kind}_{register.name}" for kind in "qd"}
    for memory in cut.memories:
        for kind in ("rd", "ra", "wa", "wd", "we"):
            names[f"{kind}_{memory.name}"] = f"{prefix}{kind}_{memory.name}"
    pins = [f"    .{port}({net})," for port, net in names.items()]
    return [f"  cut {instance}(", *pins, f"    .{SELECT}({number})", "  );"]


def _held(cut: Cut, boundary: Boundary) -> list[CutPort]:
    """Return the inputs that are the same from cycle to cycle."""
    return [each for each in cut.inputs if each.name in boundary.held]


def _all_facts(cut: Cut, boundary: Boundary) -> list[str]:
    """Return the facts of the original's state, before and after the edge, and of what is read."""
    given = cut, boundary
    lines = [*_facts(*given, "now", "q_", "old"), *_facts(*given, "after", "d_", "new")]
    for memory in cut.memories:
        lines += _facts(*given, f"reading_{memory.name}", "q_", "old", memory)
    return lines


def _kept(cut: Cut) -> str:
    """Return that the invariants hold before the edge."""
    return " && ".join(["&now_holds", *(f"&reading_{each.name}_holds" for each in cut.memories)])


def _facts(
    cut: Cut,
    boundary: Boundary,
    instance: str,
    state: str,
    word: str,
    read: CutMemory | None = None,
) -> list[str]:
    """Return an instance of `facts`; `read` is a memory whose entry is the one that is read."""
    invariants = len(_invariants(cut, boundary))
    pins = [f"    .{each.name}({each.name})," for each in _held(cut, boundary)]
    pins += [f"    .{each.name}({state}{each.name})," for each in cut.registers]
    for memory in cut.memories:
        entry, kind = ("ra", "rd") if memory is read else ("entry", word)
        pins.append(f"    .entry_{memory.name}({entry}_{memory.name}),")
        pins.append(f"    .{memory.name}({kind}_{memory.name}),")
    wires = [f"  wire {_range(invariants)}{instance}_holds;"]
    for each in _state(cut):
        wires.append(f"  wire {_range(each.bits)}{instance}_matters_{each.name};")
        pins.append(f"    .matters_{each.name}({instance}_matters_{each.name}),")
    for each in cut.registers:
        wires.append(f"  wire {_range(each.bits)}{instance}_other_{each.name};")
        pins.append(f"    .other_{each.name}({instance}_other_{each.name}),")
    return [*wires, f"  facts {instance}(", *pins, f"    .holds({instance}_holds)", "  );"]


def _agreed(cut: Cut) -> list[str]:
    """Return the mutant's state: what it must be where it matters, and anything elsewhere."""
    lines = []
    for each in cut.registers:
        same = f"{{{each.bits}{{!starting}}}} & now_matters_{each.name}"
        lines.append(_either(each.bits, "q", each.name, same, f"now_other_{each.name}"))
    for memory in cut.memories:
        name, whole = memory.name, f"{{{memory.bits}{{starting}}}}"
        read = f"{{{memory.bits}{{gate_ra_{name} == ra_{name}}}}}"
        read = f"({whole} | reading_{name}_matters_{name}) & {read}"
        lines.append(_either(memory.bits, "rd", name, read))
        lines.append(_either(memory.bits, "old", name, f"{whole} | now_matters_{name}"))
    return lines


def _written(cut: Cut, side: str) -> list[str]:
    """Return the word of each memory's entry after the edge."""
    lines = []
    for memory in cut.memories:
        name = memory.name
        wa, wd, we, was = (f"{side}{kind}_{name}" for kind in ("wa", "wd", "we", "old"))
        lines.append(
            f"  wire {_range(memory.bits)}{side}new_{name} = "
            f"{wa} == entry_{name} ? ({wd} & {we}) | ({was} & ~{we}) : {was};"
        )
    return lines


def _either(bits: int, kind: str, name: str, same: str, other: str = "") -> str:
    """Return the mutant's value: `other` in the bits `same`, and anything in the others.

    Without `other` it is the original's value.
    """
    value, free = f"{kind}_{name}", f"free_{name}" if kind == "q" else f"free_{kind}_{name}"
    kept = f"{other or value} & ({same})"
    return f"  wire {_range(bits)}gate_{value} = ({kept}) | ({free} & ~({same}));"


def _consistent(cut: Cut, sides: tuple[str, ...]) -> list[str]:
    """Return what makes the word that is read the entry of that address."""
    return [
        f"    assume(entry_{each.name} != {side}ra_{each.name} || "
        f"{side}old_{each.name} == {side}rd_{each.name});"
        for each in cut.memories
        for side in sides
    ]


def _asserted(cut: Cut, boundary: Boundary) -> list[str]:
    waived = "starting || " if cut.registers else ""
    lines = []
    for each in cut.outputs:
        seen = _seen(cut, boundary, each)
        lines.append(f"    assert({waived}!(|(({each.name} ^ gate_{each.name}) & {seen})));")
    for register in cut.registers:
        name = register.name
        differs = f"|((after_other_{name} ^ gate_d_{name}) & after_matters_{name})"
        lines.append(f"    assert(!({differs}));")
    for memory in cut.memories:
        name = memory.name
        differs = f"|((new_{name} ^ gate_new_{name}) & after_matters_{name})"
        lines.append(f"    assert({waived}!({differs}));")
    return lines


def _seen(cut: Cut, boundary: Boundary, output: CutPort) -> str:
    """Return the mask of the bits of an output that are compared."""
    if output.name in boundary.seen:
        return _mask(boundary.seen[output.name], output.bits)
    sizes = {each.name: each.bits for each in cut.outputs}
    prefix, _, signal = output.name.rpartition("_")
    valid, keep = f"{prefix}_tvalid", f"{prefix}_tkeep"
    if signal not in ("tdata", "tkeep", "tlast") or valid not in sizes:
        return _mask("1'b1", output.bits)
    if signal != "tdata" or keep not in sizes:
        return _mask(valid, output.bits)
    lanes, bits = range(sizes[keep]), output.bits // sizes[keep]
    kept = (f"{{{bits}{{{keep}[{lane}] && {valid}}}}}" for lane in reversed(lanes))
    return f"{{{', '.join(kept)}}}"
