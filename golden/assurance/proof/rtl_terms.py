"""A module of the RTL as z3 terms, through Yosys's SMT export."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import z3

from bitlog2.sim import AttentionConfig

from ...simulation.svpackage import render_package
from ...stimulus.unit import Target
from ...stimulus.units import units_within
from ..yosys import marked, run_script, sources

_TOP = "dut"


class RtlTerms:
    """A module's wires as terms over its inputs and registers.

    Attributes:
        inputs: names of the input ports.
        registers: names of the wires that are registers.
    """

    def __init__(self, text: str) -> None:
        self.inputs = tuple(marked(text, "input"))
        self.registers = tuple(marked(text, "register"))
        terms = _terms(text)
        self._steps = terms.pop("step").children()
        self._terms = terms

    def __getitem__(self, name: str) -> z3.BitVecRef:
        """Return a wire before the clock edge.

        Raises:
            ValueError: there is none of that name.
        """
        return _as_bits(self._term(f"now {name}"))

    def __contains__(self, name: str) -> bool:
        """Whether a wire is there: what no output depends on is left out."""
        return f"now {name}" in self._terms

    def after(self, name: str) -> z3.BitVecRef:
        """Return a wire after the clock edge; of an input, its next value."""
        return _as_bits(self._term(f"next {name}"))

    def memory(self, name: str) -> z3.ArrayRef:
        """Return a memory before the clock edge."""
        return self._term(f"now memory {name}")

    def memory_after(self, name: str) -> z3.ArrayRef:
        """Return a memory after the clock edge."""
        return self._term(f"next memory {name}")

    def stepped(self, name: str) -> z3.BitVecRef:
        """Return a wire after the clock edge over the state before it and the next inputs."""
        return _as_bits(self._stepped(f"next {name}"))

    def memory_stepped(self, name: str) -> z3.ArrayRef:
        """Return a memory after the clock edge over the state before it."""
        return self._stepped(f"next memory {name}")

    def _stepped(self, name: str) -> z3.ExprRef:
        return z3.substitute(
            self._term(name), *((step.arg(1), step.arg(0)) for step in self._steps)
        )

    def edges(self) -> Iterator[tuple[z3.ExprRef, z3.ExprRef]]:
        """Give each register and memory with what a clock edge makes of it."""
        for step in self._steps:
            after = step.arg(1)
            name = after.decl().name().removesuffix(" next")
            yield z3.Const(f"{name} now", after.sort()), step.arg(0)

    def variable(self, name: str) -> z3.ExprRef:
        """Return an input as the variable that it is in terms: of one bit, a truth value."""
        return self._term(f"now {name}")

    def next_input(self, variable: z3.ExprRef) -> z3.ExprRef:
        """Return the next value of an input, by its variable."""
        name = variable.decl().name().removesuffix(" now")
        return z3.Const(f"{name} next", variable.sort())

    def _term(self, name: str) -> z3.ExprRef:
        if name not in self._terms:
            raise ValueError(f"the module must have a wire {name.split()[-1]}, found none")
        return self._terms[name]

    def edge(self, goal: z3.BoolRef) -> list[z3.BoolRef]:
        """Return what a clock edge gives to the registers that a statement is about."""
        variables = {term.get_id() for term in parts(goal)}
        return [step for step in self._steps if step.arg(1).get_id() in variables]

    def shown(self, *names: str) -> dict[str, z3.ExprRef]:
        """Return wires by name, as a counterexample shows them; without names the inputs."""
        return {name: self[name] for name in names or self.inputs}


def export(
    config: AttentionConfig,
    rtl: Path,
    module: str,
    variants: Sequence[Mapping[str, int]],
    without: Sequence[str] = (),
) -> list[RtlTerms]:
    """Return a module of the RTL in a folder, under the package of a configuration.

    Args:
        config: what the package is made for.
        rtl: the folder.
        module: its name, and that of its file.
        variants: parameters that differ from their defaults, for each of the terms.
        without: instances that are left out: what they drive is free.

    Raises:
        ValueError: the module has no file there.
        ToolError: Yosys is not installed, or refuses a file.
    """
    files = sources(render_package(Target.of(config), list(units_within(config).values())), rtl)
    if f"{module}.sv" not in files:
        raise ValueError(f"{rtl} must hold {module}.sv: it is missing")
    return terms_of(files, module, variants, without, "-DSYNTHESIS")


def terms_of(
    files: Mapping[str, bytes],
    module: str,
    variants: Sequence[Mapping[str, int]],
    without: Sequence[str] = (),
    options: str = "",
) -> list[RtlTerms]:
    """Return the same of a module in these files, the package first.

    Args:
        files: name -> content.
        module, variants, without: as of `export`.
        options: options of Yosys's `read_verilog`.

    Raises:
        ToolError: Yosys is not installed, or refuses a file.
    """
    commands = ["design -save read"]
    for i, parameters in enumerate(variants):
        commands += _elaboration(module, parameters, without, f"{i}.smt2")
    with tempfile.TemporaryDirectory(prefix="bitlog2-proof-") as folder:
        place = Path(folder)
        run_script(place, files, commands, options=options)
        return [RtlTerms((place / f"{i}.smt2").read_text()) for i in range(len(variants))]


def _elaboration(
    module: str, parameters: Mapping[str, int], without: Sequence[str], out: str
) -> list[str]:
    """Return the commands that write the module with these parameters."""
    changed = [f"chparam -set {name} {value} {module}" for name, value in parameters.items()]
    return [
        "design -load read",
        *changed,
        f"hierarchy -top {module}",
        f"rename -top {_TOP}",
        *(f"delete {_TOP}/{instance}" for instance in without),
        *("proc", "flatten", "opt", "memory -nordff -nomap", "opt", "dffunmap"),
        f"write_smt2 -wires {out}",
    ]


def replaced(term: z3.ExprRef, part: z3.ExprRef, name: str) -> tuple[z3.ExprRef, z3.ExprRef]:
    """Return the term with a free variable in the place of a part of it, and the variable.

    What holds of the new term for every value of the variable holds of the old one.
    """
    free = z3.FreshConst(part.sort(), name)
    return z3.substitute(term, (part, free)), free


def _as_bits(term: z3.ExprRef) -> z3.BitVecRef:
    return z3.If(term, z3.BitVecVal(1, 1), z3.BitVecVal(0, 1)) if z3.is_bool(term) else term


def _terms(text: str) -> dict[str, z3.ExprRef]:
    """Return the terms of the export by name: the step, and what `_probes` says of each state."""
    sort = f"|{_TOP}_s|"
    lines = [text, f"(declare-const now {sort})", f"(declare-const next {sort})"]
    probes = [("step", "Bool", f"(|{_TOP}_t| now next)"), *_probes(text)]
    for i, (_, kind, value) in enumerate(probes):
        lines.append(f"(declare-const probe{i} {kind})(assert (= probe{i} {value}))")
    equations = z3.And(*z3.parse_smt2_string("\n".join(lines)))
    equations = z3.substitute(equations, *_atoms(equations))
    return {name: equations.arg(i).arg(1) for i, (name, _, _) in enumerate(probes)}


def _probes(text: str) -> Iterator[tuple[str, str, str]]:
    """Give name, sort and term of each wire and memory, before and after a clock edge."""
    wires, memories = marked(text, "wire"), marked(text, "memory")
    for state in ("now", "next"):
        for name, (width,) in wires.items():
            kind = "Bool" if width == 1 else f"(_ BitVec {width})"
            yield f"{state} {name}", kind, f"(|{_TOP}_n {name}| {state})"
        for name, (address, width, *_) in memories.items():
            kind = f"(Array (_ BitVec {address}) (_ BitVec {width}))"
            yield f"{state} memory {name}", kind, f"(|{_TOP}_m {name}| {state})"


def _atoms(root: z3.ExprRef) -> list[tuple[z3.ExprRef, z3.ExprRef]]:
    """Return inputs and registers, functions of a state in the export, with variables for them."""
    return [
        (term, z3.Const(f"{term.decl().name()} {term.arg(0)}", term.sort()))
        for term in parts(root)
        if term.num_args() == 1 and term.decl().kind() == z3.Z3_OP_UNINTERPRETED
    ]


def parts(root: z3.ExprRef) -> Iterator[z3.ExprRef]:
    """Give every term of a term once."""
    seen: set[int] = set()
    stack = [root]
    while stack:
        term = stack.pop()
        if term.get_id() not in seen:
            seen.add(term.get_id())
            stack += term.children()
            yield term
