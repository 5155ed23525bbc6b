"""A module of the reference RTL with all its mutants in one netlist, one chosen at run time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bitlog2.sim.files import write

from ..eda import yosys
from .mutants import Mutant, mutants_of, selector_bits

__all__ = ["DESIGN", "NETLIST", "PLAIN", "Netlist", "elaborate", "mutated", "sampled"]

#: Files of a mutated module: Verilog to simulate, and Yosys's own format to prove with.
NETLIST, DESIGN, PLAIN = "mutants.v", "mutants.il", "plain.il"
_LIST = "mutants.txt"


@dataclass(frozen=True)
class Netlist:
    """What lies in a folder: a device of which one module is mutated.

    Attributes:
        folder: holds `NETLIST` and `DESIGN`.
        top: the device.
        mutants: which can be switched on.
    """

    folder: Path
    top: str
    mutants: tuple[Mutant, ...]

    @property
    def bits(self) -> int:
        """Width of `mutsel`."""
        return selector_bits(len(self.mutants))


def sampled(
    folder: Path, rtl: Iterable[Path], top: str, module: str, most: int, seed: int
) -> Netlist:
    """Return a device with up to `most` mutants of one module, sampled evenly by Yosys.

    Args:
        folder: where the files go.
        rtl: the sources, the package first; packages and modules that the device does not use may
            be among them.
        top: the device.
        module: whose cells are mutated: the device itself, or a module inside; each variant of
            its parameters counts.
        most: mutants, at least 1; all where Yosys offers fewer.
        seed: of the sampling.

    Raises:
        ToolError: the sources cannot be read.
        ValueError: nothing in the module can be mutated.
    """
    elaborate(folder, rtl, top)
    asked = most + most // 4 + 16  # some are clocks
    listing = f"mutate -list {asked} -seed {seed} -o {_LIST} {module} A:hdlname={module}"
    yosys(f"read_rtlil {PLAIN}; {listing}", folder)
    found = mutants_of((folder / _LIST).read_text(encoding="utf-8"), most)
    if not found:
        raise ValueError(f"module must have cells to mutate, {module} in {top} has none")
    return mutated(folder, top, found)


def mutated(folder: Path, top: str, mutants: Sequence[Mutant]) -> Netlist:
    """Return the elaborated device of a folder with these mutants."""
    bits = selector_bits(len(mutants))
    commands = [f"read_rtlil {PLAIN}", *(each.command(bits) for each in mutants)]
    commands += [f"write_rtlil {DESIGN}", "opt_clean", f"write_verilog -noattr {NETLIST}"]
    write(folder / "mutate.ys", "\n".join(commands) + "\n")
    yosys("script mutate.ys", folder)
    return Netlist(folder, top, tuple(mutants))


def elaborate(folder: Path, rtl: Iterable[Path], top: str) -> None:
    """Write the device into a folder as cells, bits that nothing reads left out.

    What is unknown in Verilog each simulator has its own way: so shifts, which give 0, in place of
    bits selected out of range, and multiplexers in place of cases that exclude one another.
    """
    names = []
    for path in rtl:
        names.append(path.name)
        write(folder / path.name, path.read_bytes())
    steps = ["proc", "opt_expr", "opt_clean", "wreduce", "opt_clean"]
    steps += ["chtype -set $shift t:$shiftx", "pmuxtree", f"write_rtlil {PLAIN}"]
    lines = [f"read_verilog -sv {' '.join(names)}", f"hierarchy -check -top {top}", *steps]
    write(folder / "elaborate.ys", "\n".join(lines) + "\n")
    yosys("script elaborate.ys", folder)
