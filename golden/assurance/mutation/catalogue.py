"""What is mutated, and at which boundary a mutant is held to the original."""

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from bitlog2.sim import AttentionConfig
from bitlog2.sim.expressions import Expression
from bitlog2.sim.files import write
from bitlog2.sim.scheme import FAMILIES, QUOTIENT

from ...simulation import yosys
from ...simulation.contract import CONTRACTS
from ...testbench.files import RTL
from ..modules import MODULES, MUTATED, Module, modules_within
from ..modules import mutated as mutated_modules
from ..yosys import run_script

#: The input that chooses the mutant; 0 is the design as it was written.
SELECT = "mutsel"
#: A mutated clock is no defect of logic, and no proof of one clock domain sees it.
_LEFT_OUT = {"CLK", "clk"}
#: In the name of a memory's reader, whose enable Yosys writes as Verilog only where it is constant.
_READ = "$memrd$"


@dataclass(frozen=True)
class Mutant:
    """One mutation.

    Attributes:
        number: the value of `mutsel` that switches it on, from 1.
        mode: what is done to the bit: const0, const1, inv (inverted), cnot0 and cnot1 (inverted
            where another bit of the cell is 0 or 1).
        module, cell, port, bit: place of the mutation: a bit of a cell's port.
        source: lines of the RTL that the cell comes from.
        options: options of Yosys's `mutate`, but for the control signal.
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
        enabled = mutant.port == "EN" and _READ in mutant.cell
        if mutant.port not in _LEFT_OUT and not enabled and len(found) < most:
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


#: Files of a mutated module: Verilog to simulate, and Yosys's own format to prove with.
NETLIST, DESIGN, PLAIN = "mutants.v", "mutants.il", "plain.il"
_LIST = "mutants.txt"
#: Divided by 0, Verilog's quotient is unknown; an array of subtractors gives ones, as SMT does.
_DIVIDERS = "t:$div"


@dataclass(frozen=True)
class MutatedDesign:
    """What lies in a folder: a device of which one module is mutated.

    Attributes:
        folder: holds `NETLIST` and `DESIGN`.
        top: the device.
        mutants: mutants that can be switched on.
    """

    folder: Path
    top: str
    mutants: tuple[Mutant, ...]

    @property
    def bits(self) -> int:
        """Width of `mutsel`."""
        return selector_bits(len(self.mutants))


def sampled(
    folder: Path,
    rtl: Mapping[str, bytes],
    top: str,
    module: str,
    most: int,
    seed: int,
    *,
    options: str = "",
    whole: bool = False,
) -> MutatedDesign:
    """Return a device with up to `most` mutants of one module, sampled evenly by Yosys.

    Args:
        folder: folder for the files.
        rtl: the sources by name, the package first; packages and modules that the device does not
            use may be among them.
        top: the device.
        module: module with mutated cells: the device itself, or one inside; each variant of
            its parameters counts.
        most: mutants, at least 1; all where Yosys offers fewer.
        seed: seed of the sampling.
        options: options of Yosys's `read_verilog`.
        whole: whether all that is inside of the module counts as its own.

    Raises:
        ToolError: the sources cannot be read.
        ValueError: nothing in the module can be mutated.
    """
    elaborate(folder, rtl, top, options, module if whole else None)
    asked = most + most // 4 + 16  # some are clocks
    listing = f"mutate -list {asked} -seed {seed} -o {_LIST} {module} A:hdlname={module}"
    yosys(f"read_rtlil {PLAIN}; {listing}", folder)
    found = mutants_of((folder / _LIST).read_text(encoding="utf-8"), most)
    if not found:
        raise ValueError(f"module must have cells to mutate, {module} in {top} has none")
    return mutated(folder, top, found)


def mutated(folder: Path, top: str, mutants: Sequence[Mutant]) -> MutatedDesign:
    """Return the elaborated device of a folder with these mutants."""
    bits = selector_bits(len(mutants))
    commands = [f"read_rtlil {PLAIN}", *(each.command(bits) for each in mutants)]
    commands += [f"write_rtlil {DESIGN}", f"techmap {_DIVIDERS}", "opt_clean"]
    commands.append(f"write_verilog -noattr {NETLIST}")
    write(folder / "mutate.ys", "\n".join(commands) + "\n")
    yosys("script mutate.ys", folder)
    return MutatedDesign(folder, top, tuple(mutants))


def elaborate(
    folder: Path, rtl: Mapping[str, bytes], top: str, options: str = "", flat: str | None = None
) -> None:
    """Write the device into a folder as cells, bits that nothing reads left out.

    What is unknown in Verilog each simulator has its own way: so shifts, which give 0, in place of
    bits selected out of range, and multiplexers in place of cases that exclude one another.

    Args:
        folder, rtl, top, options: as of `sampled`.
        flat: a module that takes in all that is inside of it; None for none.
    """
    inner = [] if flat is None else [f"flatten {flat} A:hdlname={flat}", f"hierarchy -top {top}"]
    steps = ["proc", *inner, "opt_expr", "opt_clean", "wreduce", "opt_clean"]
    steps += ["chtype -set $shift t:$shiftx", "pmuxtree", f"write_rtlil {PLAIN}"]
    run_script(folder, rtl, [f"hierarchy -check -top {top}", *steps], options=options)


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


@dataclass(frozen=True)
class Boundary:
    """A module at whose ports a mutant must agree with the original.

    Expressions are SystemVerilog, true where they are not 0. Those of `assumes` and `lemmas` are
    over inputs and registers, those of `invariants` and `relations` over registers and inputs that
    are held, those of `seen` over the original's outputs. An invariant that names a memory holds of
    each word, the one at the address `entry`.

    Attributes:
        module: its name.
        assumes: what the inputs keep.
        conditions: what they keep too, as its unit declares it.
        held: inputs that keep their values wherever a relation or an invariant has them.
        invariants: what its registers keep at every clock edge; proved, not assumed.
        lemmas: what SPEC.md proves of the original: the requirement's id, and the expression.
        relations: each says when two states agree: register or memory, a whole-name pattern -> when
            its value matters; others always. One relation that is kept from cycle to cycle is
            enough.
        seen: output -> when it is compared. Without an entry a stream's payload is compared where
            its tvalid is 1, of its lanes those that tkeep has, and any other output always.

    An expression of `relations` or `seen` that begins with a brace is a mask of bits, the highest
    first; `*` before its last part makes that the condition of all bits that are left, and a
    condition with `?` before the brace says where the mask counts. In relations `self` is the
    register, `entry` the address of a memory's word, and `any(pattern)` is true where one of these
    registers is not 0; `as` and a value say what the mutant's register holds, where the original's
    is `self`, if not the same. In invariants too, `the(pattern)` is the only such register and
    `top(pattern)` its highest bit; with `the(name)` an invariant is left out of a design that has
    no such register. What follows `of 4 lanes: `, an invariant or a mask of a lane's bits, is there
    for each, `#` being its number; in a pattern of a relation `#` finds a number, which it is in
    its expression then.
    """

    module: str
    assumes: tuple[str, ...] = ()
    conditions: tuple[Expression, ...] = ()
    held: tuple[str, ...] = ()
    invariants: tuple[str, ...] = ()
    lemmas: Mapping[str, str] = field(default_factory=dict)
    relations: tuple[Mapping[str, str], ...] = ({},)
    seen: Mapping[str, str] = field(default_factory=dict)

    def of(self, config: AttentionConfig) -> "Boundary":
        """Return the boundary with its conditions among what is assumed, in SystemVerilog."""
        place = MODULES[self.module].place
        texts = tuple(each.systemverilog(config, place) for each in self.conditions)
        return replace(self, assumes=(*texts, *self.assumes), conditions=())

    def lines(self) -> list[str]:
        """Return what is assumed, proved and compared, for a reader."""
        lines = [f"assumes {each}" for each in (*self.conditions, *self.assumes)]
        lines += [f"{each} is held" for each in self.held]
        lines += [f"invariant {each}" for each in self.invariants]
        lines += [f"{requirement}: {each}" for requirement, each in self.lemmas.items()]
        return lines + [f"{output} is compared where {each}" for output, each in self.seen.items()]


#: In a file of RTL, at its end: what a boundary takes from it, with indented lines that go on; of
#: every scheme, or of those of the family that stands before it. `else` is a second relation, that
#: of `agree` but for its own registers.
_FACT = re.compile(
    rf"^// (?:({'|'.join(FAMILIES)}) )?(assume|held|invariant|lemma|agree|else|compare|within): "
    r"(.+(?:\n//   .+)*)$",
    re.MULTILINE,
)


@lru_cache
def boundary_of(module: str, family: str = QUOTIENT) -> Boundary:
    """Return the boundary of a module: from its unit's declaration and the end of its RTL.

    Args:
        module: its name.
        family: of the schemes with whose package it is built.
    """
    facts: dict[str, list[str]] = {}
    for only, kind, text in _FACT.findall((RTL / f"{module}.sv").read_text(encoding="utf-8")):
        if only in ("", family):
            facts.setdefault(kind, []).append(text.replace("\n//  ", ""))
    relations = [_named(text.split("; ")) for text in facts.get("agree", ("",))]
    for text in facts.get("else", ()):
        others = _named(text.split("; "))
        relations.append({**others, **relations[0], **others})
    own = Boundary(
        module,
        assumes=tuple(facts.get("assume", ())),
        conditions=MODULES[module].assumes or (),
        held=tuple(facts.get("held", ())),
        invariants=tuple(facts.get("invariant", ())),
        lemmas=_named(facts.get("lemma", ())),
        relations=tuple(relations),
        seen=_named(facts.get("compare", ())),
    )
    for instance, text in _named(facts.get("within", ())).items():
        inner, *registers = text.split(", ")
        own = _around(own, instance, boundary_of(inner, family), registers)
    return own


def _named(texts: Iterable[str]) -> dict[str, str]:
    """Return `name: text` by name."""
    pairs = (each.partition(": ") for each in texts if each)
    return {name.strip(): text for name, _, text in pairs}


def _around(own: Boundary, instance: str, inner: Boundary, registers: Iterable[str]) -> Boundary:
    """Return the boundary of a module with another one inside, whose registers get its name.

    Of the relations of the inner one, that of `agree`.
    """
    words = re.compile(rf"\b({'|'.join(registers)})\b")

    def renamed(text: str) -> str:
        return words.sub(rf"{instance}_\1", text)

    within = {renamed(name): renamed(text) for name, text in inner.relations[0].items()}
    return replace(
        own,
        assumes=(*map(renamed, inner.assumes), *own.assumes),
        invariants=(*map(renamed, inner.invariants), *own.invariants),
        lemmas={name: renamed(text) for name, text in inner.lemmas.items()} | dict(own.lemmas),
        relations=tuple({**within, **each} for each in own.relations),
    )


@dataclass(frozen=True)
class Subject:
    """A module with its mutants.

    Attributes:
        name: name of its line in the table.
        module: module with mutated cells.
        entries: whether the mutants are those of its table's entries.
        family: of the schemes with whose package it is built.
    """

    name: str
    module: Module
    entries: bool = False
    family: str = QUOTIENT

    @property
    def compared_at(self) -> str:
        """The module at whose ports a survivor is compared with the original."""
        return self.module.device if self.module.assumes is None else self.module.name

    @property
    def row(self) -> bool:
        """Whether that is a module of a row: one clock cycle may begin where it never comes."""
        contract = CONTRACTS.get(self.compared_at)
        return contract is not None and any(each.lanes for each in contract.inputs)

    @property
    def compared(self) -> Boundary:
        """Where a survivor is compared with the original."""
        return boundary_of(self.compared_at, self.family)


#: An instance of a module in RTL.
_INSTANCE = re.compile(r"^ +(\w+) (?:#\(|\w+ \()", re.MULTILINE)


def modules_inside(module: str) -> frozenset[str]:
    """Return the modules of the reference RTL that a module has inside, at any depth."""
    text = (RTL / f"{module}.sv").read_text(encoding="utf-8")
    inner = MODULES.keys() & set(_INSTANCE.findall(text))
    return frozenset(inner.union(*map(modules_inside, inner)))


#: Every subject of any datapath by name.
SUBJECTS: dict[str, Subject] = {
    name: Subject(name, module, entries, module.unit.families[0])
    for name, (module, entries) in MUTATED.items()
}


def subjects_within(config: AttentionConfig) -> dict[str, Subject]:
    """Return the subjects of the scheme's datapath by name, in its order."""
    found = mutated_modules(modules_within(config))
    return {name: Subject(name, *facts, config.code.family) for name, facts in found.items()}
