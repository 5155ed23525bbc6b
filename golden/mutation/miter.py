"""Original and mutant side by side, as SystemVerilog with assumptions and assertions.

Of a module with registers one clock cycle is compared, from any two states that agree where their
values matter; so they agree after every number of cycles, an unbounded proof. They first agree by
reset, whatever the registers hold before it; a memory is taken to hold the same words.
"""

import re
from collections.abc import Mapping

from .boundary import Boundary
from .cut import Cut, Memory, Port
from .mutants import SELECT

__all__ = ["render_facts", "render_invariants", "render_miter", "render_probe"]


def render_facts(cut: Cut, boundary: Boundary, relation: Mapping[str, str]) -> str:
    """Return the module `facts`: of a state, whether the invariants hold and what matters."""
    entries = [Port(f"entry_{each.name}", each.address_bits) for each in cut.memories]
    inputs = [f"  input wire {_range(each.bits)}{each.name}" for each in (*cut.registers, *entries)]
    outputs = [f"  output wire {_range(each.bits)}matters_{each.name}" for each in _state(cut)]
    outputs.append("  output wire holds")
    lines = []
    for each in _state(cut):
        lines.append(f"  assign matters_{each.name} = {_matters(cut, relation, each)};")
    return _module(
        "facts", [*inputs, *outputs], [f"  assign holds = {_all(boundary.invariants)};", *lines]
    )


def render_invariants(cut: Cut, boundary: Boundary, bits: int) -> str:
    """Return the module `invariants`: they hold after reset, and from cycle to cycle."""
    body = [
        "  wire starting = any_cycle[0];",
        *_outputs(cut, ""),
        *_cut(cut, "original", 0, bits, ""),
        *_facts(cut, "now", "q_"),
        *_facts(cut, "after", "d_"),
        "  always @* begin",
        f"    assume(starting ? !rst_n : now_holds && {_legal(cut, boundary)});",
        "    assert(after_holds);",
        "  end",
    ]
    return _module("invariants", _inputs(cut), body)


def render_probe(cut: Cut, boundary: Boundary, bits: int) -> str:
    """Return the module `probe`, which asserts what is false under the assumptions of `miter`."""
    body = [*_outputs(cut, ""), *_cut(cut, "original", 0, bits, "")]
    legal = _legal(cut, boundary)
    if cut.registers:
        body += _facts(cut, "now", "q_")
        legal = f"now_holds && {legal}"
    checks = ["  always @* begin", f"    assume({legal});", "    assert(1'b0);", "  end"]
    return _module("probe", _inputs(cut), [*body, *checks])


def render_miter(
    cut: Cut, boundary: Boundary, name: str, number: int, bits: int, *, starting: bool = False
) -> str:
    """Return the module `name`, which asserts that mutant `number` is not seen.

    Args:
        cut, boundary: what is compared.
        name: of the module.
        number, bits: the mutant, and the width of `mutsel`.
        starting: the clock cycle of reset, from any two states, instead of one between states that
            agree.
    """
    body = [
        *_starting(starting),
        *_outputs(cut, ""),
        *_outputs(cut, "gate_"),
        *_cut(cut, "original", 0, bits, ""),
        *_cut(cut, "mutant", number, bits, "gate_"),
    ]
    legal = _legal(cut, boundary)
    if cut.registers:
        body += [*_facts(cut, "now", "q_"), *_facts(cut, "after", "d_")]
        for memory in cut.memories:
            body += _facts(cut, f"reading_{memory.name}", "q_", memory)
        body += _agreed(cut)
        legal = f"starting ? !rst_n : now_holds && {legal}"
    checks = [f"    assume({legal});", *_consistent(cut), *_asserted(cut, boundary)]
    return _module(name, _inputs(cut), [*body, "  always @* begin", *checks, "  end"])


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


def _matters(cut: Cut, relation: Mapping[str, str], part: Port | Memory) -> str:
    """Return the mask of the bits of a register or memory that matter."""
    found = (text for pattern, text in relation.items() if re.fullmatch(pattern, part.name))
    text = re.sub(r"\bentry\b", f"entry_{part.name}", next(found, "1'b1"))

    def any_of(match: re.Match[str]) -> str:
        names = [each.name for each in cut.registers if re.fullmatch(match[1], each.name)]
        return "(" + " || ".join(f"{name} != 0" for name in names) + ")"

    text = re.sub(r"\bany\(([^)]*)\)", any_of, text)
    return _mask(re.sub(r"\bself\b", part.name, text), part.bits)


def _mask(condition: str, bits: int) -> str:
    """Return as a mask what is one already, or a condition for all bits."""
    return condition if condition.startswith("{") else f"{{{bits}{{1'({condition})}}}}"


def _state(cut: Cut) -> tuple[Port | Memory, ...]:
    return (*cut.registers, *cut.memories)


def _inputs(cut: Cut) -> list[str]:
    """Return the miter's inputs: those of the design, and two states in one clock cycle."""
    ports = list(cut.inputs)
    if cut.registers:
        ports.append(Port("any_cycle", 1))
    for register in cut.registers:
        ports += [
            Port(f"q_{register.name}", register.bits),
            Port(f"free_{register.name}", register.bits),
        ]
    for memory in cut.memories:
        ports.append(Port(f"entry_{memory.name}", memory.address_bits))
        for kind in ("rd", "old", "free_rd", "free_old"):
            ports.append(Port(f"{kind}_{memory.name}", memory.bits))
    return [f"  input wire {_range(each.bits)}{each.name}" for each in ports]


def _outputs(cut: Cut, prefix: str) -> list[str]:
    ports = [*cut.outputs, *(Port(f"d_{each.name}", each.bits) for each in cut.registers)]
    for memory in cut.memories:
        ports += [Port(f"{kind}_{memory.name}", memory.address_bits) for kind in ("ra", "wa")]
        ports += [Port(f"{kind}_{memory.name}", memory.bits) for kind in ("wd", "we")]
    return [f"  wire {_range(each.bits)}{prefix}{each.name};" for each in ports]


def _cut(cut: Cut, instance: str, number: int, bits: int, prefix: str) -> list[str]:
    names = {each.name: each.name for each in cut.inputs}
    names |= {each.name: f"{prefix}{each.name}" for each in cut.outputs}
    for register in cut.registers:
        names |= {f"{kind}_{register.name}": f"{prefix}{kind}_{register.name}" for kind in "qd"}
    for memory in cut.memories:
        for kind in ("rd", "ra", "wa", "wd", "we"):
            names[f"{kind}_{memory.name}"] = f"{prefix}{kind}_{memory.name}"
    pins = [f"    .{port}({net})," for port, net in names.items()]
    return [f"  cut {instance}(", *pins, f"    .{SELECT}({bits}'d{number})", "  );"]


def _facts(cut: Cut, instance: str, state: str, read: Memory | None = None) -> list[str]:
    """Return an instance of `facts`; `read` is a memory whose entry is the one that is read."""
    pins = [f"    .{each.name}({state}{each.name})," for each in cut.registers]
    for memory in cut.memories:
        entry = f"ra_{memory.name}" if memory is read else f"entry_{memory.name}"
        pins.append(f"    .entry_{memory.name}({entry}),")
    wires = [f"  wire {instance}_holds;"]
    for each in _state(cut):
        wires.append(f"  wire {_range(each.bits)}{instance}_matters_{each.name};")
        pins.append(f"    .matters_{each.name}({instance}_matters_{each.name}),")
    return [*wires, f"  facts {instance}(", *pins, f"    .holds({instance}_holds)", "  );"]


def _agreed(cut: Cut) -> list[str]:
    """Return the mutant's state: the original's where it matters, and anything elsewhere."""
    lines = []
    for each in cut.registers:
        same = f"{{{each.bits}{{!starting}}}} & now_matters_{each.name}"
        lines.append(_either(each.bits, "q", each.name, same))
    for memory in cut.memories:
        name, whole = memory.name, f"{{{memory.bits}{{starting}}}}"
        read = f"{{{memory.bits}{{gate_ra_{name} == ra_{name}}}}}"
        read = f"({whole} | reading_{name}_matters_{name}) & {read}"
        lines.append(_either(memory.bits, "rd", name, read))
        lines.append(_either(memory.bits, "old", name, f"{whole} | now_matters_{name}"))
        for side in ("", "gate_"):
            wa, wd, we, was = (f"{side}{kind}_{name}" for kind in ("wa", "wd", "we", "old"))
            lines.append(
                f"  wire {_range(memory.bits)}{side}new_{name} = "
                f"{wa} == entry_{name} ? ({wd} & {we}) | ({was} & ~{we}) : {was};"
            )
    return lines


def _either(bits: int, kind: str, name: str, same: str) -> str:
    """Return the mutant's value: the original's in the bits `same`, and anything in the others."""
    value, free = f"{kind}_{name}", f"free_{name}" if kind == "q" else f"free_{kind}_{name}"
    return f"  wire {_range(bits)}gate_{value} = ({value} & ({same})) | ({free} & ~({same}));"


def _consistent(cut: Cut) -> list[str]:
    """Return what makes the word that is read the entry of that address."""
    return [
        f"    assume(entry_{each.name} != {side}ra_{each.name} || "
        f"{side}old_{each.name} == {side}rd_{each.name});"
        for each in cut.memories
        for side in ("", "gate_")
    ]


def _asserted(cut: Cut, boundary: Boundary) -> list[str]:
    names = {each.name for each in cut.outputs}
    waived = "starting || " if cut.registers else ""
    lines = []
    for each in cut.outputs:
        seen = _seen(boundary, each, names)
        lines.append(f"    assert({waived}!(|(({each.name} ^ gate_{each.name}) & {seen})));")
    for register in cut.registers:
        name = register.name
        lines.append(f"    assert(!(|((d_{name} ^ gate_d_{name}) & after_matters_{name})));")
    for memory in cut.memories:
        name = memory.name
        differs = f"|((new_{name} ^ gate_new_{name}) & after_matters_{name})"
        lines.append(f"    assert({waived}!({differs}));")
    return lines


def _seen(boundary: Boundary, output: Port, names: set[str]) -> str:
    if output.name in boundary.seen:
        return _mask(boundary.seen[output.name], output.bits)
    prefix, _, signal = output.name.rpartition("_")
    payload = signal in ("tdata", "tkeep", "tlast") and f"{prefix}_tvalid" in names
    return _mask(f"{prefix}_tvalid" if payload else "1'b1", output.bits)
