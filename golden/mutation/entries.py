"""Mutants of the exp2 table: of each entry the lowest bit inverted, and another one."""

import json
from pathlib import Path

from bitlog2.sim import AttentionConfig

from ..eda import yosys
from .mutants import Mutant
from .netlist import PLAIN

__all__ = ["entry_mutants"]


def entry_mutants(folder: Path, module: str, config: AttentionConfig) -> tuple[Mutant, ...]:
    """Return the mutants of the table of a module elaborated in a folder.

    Raises:
        ValueError: no cell of the module has the table as an input.
    """
    yosys(f"read_rtlil {PLAIN}; write_json plain.json", folder)
    design = json.loads((folder / "plain.json").read_text(encoding="utf-8"))
    cells = design["modules"][module]["cells"]
    width = config.width("e")
    bits = [str(entry >> bit & 1) for entry in config.table for bit in range(width)]
    places = (
        (cell, port)
        for cell, found in cells.items()
        for port, wires in found["connections"].items()
        if wires[: len(bits)] == bits
    )
    cell, port = next(places, ("", ""))
    if not cell:
        raise ValueError(f"module must read the exp2 table with one cell, {module} does not")
    source = str(cells[cell]["attributes"].get("src", "")).rpartition("/")[2].split(".sv:")
    found: list[Mutant] = []
    for entry in range(len(config.table)):
        for bit in (0, 1 + entry % (width - 1)):
            place = entry * width + bit
            options = f"-mode inv -module {module} -cell {cell} -port {port} -portbit {place}"
            where = f"T[{entry}] bit {bit}, {source[0]}.sv:{source[-1].split('.')[0]}"
            found.append(Mutant(len(found) + 1, "inv", module, cell, port, place, where, options))
    return tuple(found)
