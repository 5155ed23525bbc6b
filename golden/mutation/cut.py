"""A design without its state: registers and memories become ports, the rest is combinational."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Cut", "Memory", "Port", "cut_state"]

_CLOCKED = ("$dff", "$mem_v2", "$scopeinfo")


@dataclass(frozen=True)
class Port:
    """A port, or a register that was made one.

    Attributes:
        name: of a register, its name in the design with `.` and other marks as `_`.
        bits: its width.
    """

    name: str
    bits: int


@dataclass(frozen=True)
class Memory:
    """A memory with one write and one read that does not wait for a clock.

    Attributes:
        name: as of a register.
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

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    registers: tuple[Port, ...]
    memories: tuple[Memory, ...]
    netlist: str


def cut_state(design: str, plain: str, left_out: tuple[str, ...]) -> Cut:
    """Return the cut of a flat module.

    Args:
        design: JSON of Yosys with that module alone, of registers only `$dff`, of memories only
            `$mem_v2`.
        plain: the same without mutants, which tells the registers' names.
        left_out: ports that are not listed.

    Raises:
        ValueError: a memory has more than one reader or writer, or a clocked reader.
    """
    module, named = _only_module(design), _register_names(_only_module(plain))
    ports, cells = module["ports"], module["cells"]
    listed = {
        direction: tuple(
            Port(name, len(port["bits"]))
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


def _cut_register(ports: dict[str, Any], cell: Mapping[str, Any], name: str) -> Port:
    outputs = cell["connections"]["Q"]
    ports[f"q_{name}"] = {"direction": "input", "bits": outputs}
    ports[f"d_{name}"] = {"direction": "output", "bits": cell["connections"]["D"]}
    return Port(name, len(outputs))


def _cut_memory(ports: dict[str, Any], cell: Mapping[str, Any]) -> Memory:
    values = {name: int(text, 2) for name, text in cell["parameters"].items() if name in _SIZES}
    name = _plain(cell["parameters"]["MEMID"].lstrip("\\"))
    if (values["RD_PORTS"], values["WR_PORTS"], values["RD_CLK_ENABLE"]) != (1, 1, 0):
        raise ValueError(f"memory {name} must have one writer and one reader without a clock")
    wires = cell["connections"]
    for prefix, end in (("ra", "RD_ADDR"), ("wa", "WR_ADDR"), ("wd", "WR_DATA"), ("we", "WR_EN")):
        ports[f"{prefix}_{name}"] = {"direction": "output", "bits": wires[end]}
    ports[f"rd_{name}"] = {"direction": "input", "bits": wires["RD_DATA"]}
    return Memory(name, values["ABITS"], values["WIDTH"])


_SIZES = ("RD_PORTS", "WR_PORTS", "RD_CLK_ENABLE", "ABITS", "WIDTH")
