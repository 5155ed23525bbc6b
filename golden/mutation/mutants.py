"""The mutations that Yosys offers, one a line of its list."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["SELECT", "Mutant", "mutants_of", "selector_bits"]

#: The input that chooses the mutant; 0 is the design as it was written.
SELECT = "mutsel"
#: A mutated clock is no defect of logic, and no proof of one clock domain sees it.
_LEFT_OUT = {"CLK", "clk"}


@dataclass(frozen=True)
class Mutant:
    """One mutation.

    Attributes:
        number: the value of `mutsel` that switches it on, from 1.
        mode: what is done to the bit: const0, const1, inv (inverted), cnot0 and cnot1 (inverted
            where another bit of the cell is 0 or 1).
        module, cell, port, bit: where: a bit of a cell's port.
        source: lines of the RTL that the cell comes from.
        options: of Yosys's `mutate`, but for the control signal.
    """

    number: int
    mode: str
    module: str
    cell: str
    port: str
    bit: int
    source: str
    options: str

    def __str__(self) -> str:
        cell = self.cell.rpartition("$")[0].rpartition("/")[2] or self.cell
        return f"{self.number}: {self.mode} {cell} {self.port}[{self.bit}] ({self.source})"

    def command(self, bits: int) -> str:
        """Return the command that puts it into the design, switched by `bits` bits."""
        return f"mutate -ctrl {SELECT} {bits} {self.number} {self.options}"


def selector_bits(mutants: int) -> int:
    """Return the bits of `mutsel` that tell so many mutants and none apart."""
    return max(1, mutants.bit_length())


def mutants_of(text: str, most: int) -> tuple[Mutant, ...]:
    """Return the first `most` mutants of a list that `mutate -list` wrote, clocks left out."""
    found: list[Mutant] = []
    for line in text.splitlines():
        mutant = _parsed(len(found) + 1, line)
        if mutant.port not in _LEFT_OUT and len(found) < most:
            found.append(mutant)
    return tuple(found)


def _parsed(number: int, line: str) -> Mutant:
    command, _, options = line.partition(" ")
    words = shlex.split(options.replace("\\", "\\\\").replace("'", "\\'"))
    pairs = list(zip(words[::2], words[1::2], strict=True))
    values = dict(reversed(pairs))
    if command != "mutate" or "-mode" not in values:
        raise ValueError(f"mutation list must hold commands `mutate -mode ...`, got {line!r}")
    return Mutant(
        number=number,
        mode=values["-mode"],
        module=values["-module"],
        cell=values["-cell"],
        port=values["-port"],
        bit=int(values["-portbit"]),
        source=_lines(value for option, value in pairs if option == "-src"),
        options=options,
    )


def _lines(places: Iterable[str]) -> str:
    """Return `file.sv:7` of each place `folder/file.sv:7.3-7.9`, once."""
    short = (place.rpartition("/")[2].split(".sv:") for place in places)
    named = (f"{name}.sv:{where.split('.')[0]}" for name, *rest in short for where in rest)
    return " ".join(dict.fromkeys(named))
