"""Whether a mutant differs at all."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bitlog2.sim.files import write

from ...simulation import yosys
from .catalogue import DESIGN, PLAIN, SELECT, Boundary, Mutant, MutatedDesign
from .miter import Cut, cut_state, render_facts, render_invariants, render_miter, render_probe
from .question import Proof, Question

#: As many times as long for what the original keeps, which is most of what its mutants keep.
_OF_ALL = 8
_PROVED = (Proof("equivalent", {}),)


def joined(earlier: Proof, later: Proof) -> Proof:
    """Return what two relations say of a mutant together, of which either is enough."""
    for verdict in ("equivalent", "unknown"):
        for proof in (earlier, later):
            if proof.verdict == verdict:
                return proof
    return later


class Prover:
    """Compares mutants of a design with the original at the ports of a module.

    Args:
        design: the mutants.
        boundary: the module, its assumptions and what is seen of it.
        package: the file of the configuration's package, in the design's folder.
        seconds: for one question.

    Raises:
        ToolError: Yosys fails.
        ValueError: the module's state is not what `cut_state` takes, or an invariant does not hold.
    """

    def __init__(
        self, design: MutatedDesign, boundary: Boundary, package: str, seconds: int
    ) -> None:
        self._design, self._boundary = design, boundary
        self._package, self._seconds = package, seconds
        self._cut = self._cut_design()
        self._check_assumptions()
        if self._cut.registers:
            self._check_invariants()

    @property
    def has_state(self) -> bool:
        """Whether the module has registers: a counterexample is then one clock cycle."""
        return bool(self._cut.registers)

    def prove(self, mutants: Sequence[Mutant]) -> list[Proof]:
        """Return what is found of each mutant: by the first relation that is kept, if one is.

        A counterexample to one relation says nothing while another is unknown.
        """
        found: dict[int, Proof] = {}
        relations = ({}, *self._boundary.relations) if self.has_state else ({},)
        for relation in relations:
            left = [each for each in mutants if found.get(each.number) not in _PROVED]
            for mutant, proof in zip(left, self._proofs(left, relation), strict=True):
                found[mutant.number] = joined(found.get(mutant.number, proof), proof)
        return [found[each.number] for each in mutants]

    def _proofs(self, mutants: Sequence[Mutant], relation: Mapping[str, str]) -> list[Proof]:
        found = [Proof("equivalent", {}) for _ in mutants]
        for starting in (False, True) if self.has_state else (False,):
            left = [place for place, each in enumerate(found) if each.verdict == "equivalent"]
            if left:
                bits = self._design.bits
                text = render_miter(self._cut, self._boundary, bits, starting=starting)
                question = self._question("miter", text, relation)
                question.answer(_OF_ALL * self._seconds)  # what follows of every mutant is held
                for place in left:
                    found[place] = question.answer(self._seconds, mutants[place].number)
        return found

    def _cut_design(self) -> Cut:
        folder, module = self._design.folder, self._boundary.module
        steps = "flatten; memory_collect; async2sync; dffunmap; opt_clean; write_json"
        for source, name in ((DESIGN, "cut_mutants.json"), (PLAIN, "cut_plain.json")):
            top = _name_in(folder / source, module)
            yosys(f"read_rtlil {source}; hierarchy -top {top}; {steps} {name}", folder)
        design, plain = (
            (folder / name).read_text(encoding="utf-8")
            for name in ("cut_mutants.json", "cut_plain.json")
        )
        cut = cut_state(design, plain, ("clk", SELECT))
        write(folder / "cut.json", cut.netlist)
        return cut

    def _check_assumptions(self) -> None:
        """Refuse assumptions that nothing meets: every mutant would be equivalent."""
        text = render_probe(self._cut, self._boundary, self._design.bits)
        if self._question("probe", text, {}).answer(self._seconds).verdict != "different":
            raise ValueError(f"assumptions of {self._boundary.module} must be met by some inputs")

    def _check_invariants(self) -> None:
        text = render_invariants(self._cut, self._boundary, self._design.bits)
        found = self._question("invariants", text, {}).answer(_OF_ALL * self._seconds)
        if found.verdict != "equivalent":
            raise ValueError(
                f"invariants of {self._boundary.module} must hold, {found.verdict}: "
                f"{dict(found.counterexample)}"
            )

    def _question(self, name: str, text: str, relation: Mapping[str, str]) -> Question:
        """Return what the module of a text asks."""
        folder, facts = self._design.folder, render_facts(self._cut, self._boundary, relation)
        write(folder / f"{name}.sv", f"{facts}\n{text}")
        steps = [
            "read_json cut.json",
            f"read_verilog -formal -sv {self._package} {name}.sv",
            f"hierarchy -top {name}",
            "proc; flatten; opt_expr; opt_clean; chformal -lower; opt_clean",
            f"write_smt2 -stbv {name}.smt2",
        ]
        yosys("; ".join(steps), folder)
        return Question.of((folder / f"{name}.smt2").read_text(encoding="utf-8"))


def _name_in(design: Path, module: str) -> str:
    """Return the name in Yosys's file of a module, or of its first variant."""
    variant = None
    for line in design.read_text(encoding="utf-8").splitlines():
        if line == f"module \\{module}":
            return module
        if line.strip() == f'attribute \\hdlname "{module}"':
            variant = ""
        elif variant == "" and line.startswith("module "):
            variant = line.removeprefix("module ")
    if not variant:
        raise ValueError(f"design must hold the module {module}: {design}")
    return variant
