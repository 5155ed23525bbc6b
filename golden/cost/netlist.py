"""What a mapped netlist holds: cells by type, flip-flops, memory bits, and its longest path."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Counts", "count_cells", "longest_path"]

_FLIP_FLOP = re.compile(r"\$_[A-Z]*DFF[A-Z]*_|SB_DFF")
_MEMORY = re.compile(r"\$mem(_v2)?$")
#: Cells that are logic: (how many levels a path through them counts, how many carries).
_LOGIC = {
    "SB_LUT4": (1, 0),
    "SB_CARRY": (0, 1),
    **{
        f"$_{gate}_": (1, 0)
        for gate in ("NOT", "AND", "NAND", "OR", "NOR", "XOR", "XNOR", "ANDNOT", "ORNOT")
    },
}
#: Names of places in the source, no hardware.
_NOTHING = "$scopeinfo"


@dataclass(frozen=True)
class Counts:
    """What a module costs in one technology.

    Attributes:
        cells: logic cells that count as one: two-input gates and inverters, or LUTs.
        carries: cells of a carry chain; 0 for gates.
        flip_flops: one a bit; their enable and synchronous reset belong to them.
        memory_bits: of memories that are written, which stay apart.
        levels: logic cells on the longest path between ports, flip-flops and memories.
        path_carries: carry cells on that path, the most where several have as many levels.
        by_type: cells by the technology's name.
    """

    cells: int
    carries: int
    flip_flops: int
    memory_bits: int
    levels: int
    path_carries: int
    by_type: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as they stand in JSON."""
        return {**self.__dict__, "by_type": dict(self.by_type)}


def count_cells(netlist: Mapping[str, Any], top: str) -> Counts:
    """Return the counts of a flat, mapped module.

    Args:
        netlist: what Yosys's `write_json` writes.
        top: the module.

    Raises:
        ValueError: a cell is of no known type, or there is a combinational loop.
    """
    cells = netlist["modules"][top]["cells"]
    by_type: dict[str, int] = {}
    memory_bits = 0
    for cell in cells.values():
        kind = cell["type"]
        if kind == _NOTHING:
            continue
        by_type[kind] = by_type.get(kind, 0) + 1
        if _MEMORY.match(kind):
            sizes = cell["parameters"]
            memory_bits += int(sizes["WIDTH"], 2) * int(sizes["SIZE"], 2)
        elif kind not in _LOGIC and not _FLIP_FLOP.match(kind):
            raise ValueError(f"netlist of {top} must be mapped, got a cell {kind}")
    levels, path_carries = longest_path(cells)
    return Counts(
        cells=sum(_LOGIC[kind][0] * count for kind, count in by_type.items() if kind in _LOGIC),
        carries=by_type.get("SB_CARRY", 0),
        flip_flops=sum(count for kind, count in by_type.items() if _FLIP_FLOP.match(kind)),
        memory_bits=memory_bits,
        levels=levels,
        path_carries=path_carries,
        by_type=dict(sorted(by_type.items())),
    )


def longest_path(cells: Mapping[str, Any]) -> tuple[int, int]:
    """Return levels and carries of the path with the most levels, then the most carries.

    Paths begin and end at ports, flip-flops and memories.

    Raises:
        ValueError: there is a combinational loop.
    """
    logic = {name: cell for name, cell in cells.items() if cell["type"] in _LOGIC}
    driver = {bit: name for name, cell in logic.items() for bit in _bits(cell, "output")}
    readers: dict[str, list[str]] = {name: [] for name in logic}
    missing = dict.fromkeys(logic, 0)
    for name, cell in logic.items():
        for source in {driver[bit] for bit in _bits(cell, "input") if bit in driver}:
            readers[source].append(name)
            missing[name] += 1
    reached = dict.fromkeys(logic, (0, 0))
    ready = [name for name, count in missing.items() if count == 0]
    for name in ready:
        level, carry = _LOGIC[logic[name]["type"]]
        reached[name] = (reached[name][0] + level, reached[name][1] + carry)
        for reader in readers[name]:
            reached[reader] = max(reached[reader], reached[name])
            missing[reader] -= 1
            if missing[reader] == 0:
                ready.append(reader)
    if len(ready) != len(logic):
        raise ValueError(f"netlist must have no combinational loop, got {len(logic) - len(ready)}"
                         " cells on one or behind one")  # fmt: skip
    return max(reached.values(), default=(0, 0))


def _bits(cell: Mapping[str, Any], direction: str) -> list[int]:
    """Return the nets at a cell's ports of one direction, without constants."""
    ports = cell["port_directions"]
    return [
        bit
        for port, bits in cell["connections"].items()
        if ports[port] == direction
        for bit in bits
        if isinstance(bit, int)
    ]
