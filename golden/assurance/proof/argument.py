"""What proofs of a module with pipelines are made of: positions, registers, lemmas on lemmas."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import z3

from .claim import Holds
from .rtl_terms import RtlTerms, parts


@dataclass(frozen=True)
class Position:
    """The place of a beat in a stream of rows.

    Attributes:
        row: number of its row, modulo more rows than are under way at a time.
        beat: its number in the row.
    """

    row: z3.BitVecRef
    beat: z3.BitVecRef

    @classmethod
    def free(cls, name: str, like: "Position") -> "Position":
        """Return any position."""
        return cls(
            z3.BitVec(f"row {name}", like.row.size()), z3.BitVec(f"beat {name}", like.beat.size())
        )

    def then(self, passed: z3.BoolRef, last: z3.BoolRef) -> "Position":
        """Return the position that follows if this beat passed; after the last, the next row's."""
        first = z3.BitVecVal(0, self.beat.size())
        following = Position(z3.If(last, self.row + 1, self.row), z3.If(last, first, self.beat + 1))
        return following.where(passed, self)

    def where(self, condition: z3.BoolRef, other: "Position") -> "Position":
        """Return this one if the condition holds, or the other."""
        return Position(
            z3.If(condition, self.row, other.row), z3.If(condition, self.beat, other.beat)
        )

    def same(self, other: "Position") -> z3.BoolRef:
        """Whether both are one place."""
        return z3.And(self.row == other.row, self.beat == other.beat)


class View:
    """The wires of a module before a clock edge, or after it; `cuts` are free variables there."""

    def __init__(
        self, net: RtlTerms, cuts: Sequence[tuple[z3.ExprRef, z3.ExprRef]], *, after: bool = False
    ) -> None:
        self.after = after
        self._get = net.stepped if after else net.__getitem__
        self._memory = net.memory_stepped if after else net.memory
        self._cuts = cuts
        self._wires: dict[str, z3.BitVecRef] = {}
        self._bits: dict[str, list[z3.BoolRef]] = {}

    def __getitem__(self, name: str) -> z3.BitVecRef:
        """Return a wire."""
        if name not in self._wires:
            self._wires[name] = z3.substitute(self._get(name), *self._cuts)
        return self._wires[name]

    def on(self, name: str) -> z3.BoolRef:
        """Whether a wire of one bit is 1."""
        return self[name] == 1

    def bits(self, name: str) -> list[z3.BoolRef]:
        """Return the bits of a wire, the lowest first."""
        if name not in self._bits:
            wire = self[name]
            self._bits[name] = [z3.Extract(i, i, wire) == 1 for i in range(wire.size())]
        return self._bits[name]

    def memory(self, name: str) -> z3.ArrayRef:
        """Return a memory."""
        return z3.substitute(self._memory(name), *self._cuts)

    def top(self, name: str) -> z3.BoolRef:
        """Whether the highest bit of a wire is 1."""
        return self.bits(name)[-1]


@dataclass
class Argument:
    """Statements by name, of which later ones rest on earlier ones; each is decided on its own.

    A position of the chain is a free variable here: what is needed of it is given by name. So a
    solver sees a few registers at a time.

    Attributes:
        title: in front of the name of each statement.
        shown: what a counterexample gives values of.
    """

    title: str
    shown: Mapping[str, z3.ExprRef]
    _known: dict[str, list[z3.BoolRef]] = field(default_factory=dict)

    def let(self, name: str, *facts: z3.BoolRef) -> None:
        """Add what is given: a definition, an assumption, an invariant before the edge."""
        self._known.setdefault(name, []).extend(facts)

    def show(
        self, name: str, goal: z3.BoolRef, *names: str, when: z3.BoolRef | None = None
    ) -> Holds:
        """Return that a statement follows from those of these names, and know it from now on.

        Args:
            name, goal: the statement.
            names: what it follows from.
            when: the case that it is about.
        """
        given = [fact for each in names for fact in self._known[each]]
        case = [] if when is None else [when]
        self.let(name, goal if when is None else z3.Implies(when, goal))
        return Holds(f"{self.title}: {name}", goal, [*case, *given], self.shown)


@dataclass(frozen=True)
class Staged:
    """A register of a pipeline.

    Attributes:
        now: its value.
        after: its value after an edge, as a function of the state before.
        stage: edges that its content is behind what entered at stage 0.
        content: its content as a term over the symbols of what entered.
    """

    now: z3.ExprRef
    after: z3.ExprRef
    stage: int
    content: z3.ExprRef


_Edges = dict[int, tuple[z3.ExprRef, z3.ExprRef, z3.ExprRef]]


def _edges(
    net: RtlTerms, known: Mapping[int, int], runs: Sequence[tuple[z3.ExprRef, z3.ExprRef]]
) -> tuple[_Edges, dict[int, Staged]]:
    """Return registers, what an edge makes of them, and that while they move; and constants."""
    edges = {
        now.get_id(): (now, after, z3.simplify(z3.substitute(after, *runs)))
        for now, after in net.edges()
        if now.get_id() not in known
    }
    constant = {
        key: Staged(now, after, 0, moved)
        for key, (now, after, moved) in edges.items()
        if not variables(moved)
    }
    return {key: each for key, each in edges.items() if key not in constant}, constant


def pipeline(
    net: RtlTerms,
    entered: Sequence[tuple[z3.ExprRef, z3.ExprRef, int]],
    fixed: Iterable[z3.ExprRef],
    runs: Sequence[tuple[z3.ExprRef, z3.ExprRef]],
    stages: int,
) -> list[Staged]:
    """Return the registers that hold nothing but what entered a pipeline at one time.

    A register that takes a constant stands beside each that reads it.

    Args:
        net: the module.
        entered: registers or inputs with their content and their stage.
        fixed: inputs that are held.
        runs: terms with the values that they have while the pipeline moves.
        stages: the last stage that is looked for.
    """
    stage_of = {now.get_id(): stage for now, _, stage in entered}
    content_of = {now.get_id(): (now, content) for now, content, _ in entered}
    held = {each.get_id() for each in fixed}
    left, constant = _edges(net, stage_of, runs)
    found: list[Staged] = []
    for stage in range(stages):
        placed: list[Staged] = []
        for now, after, moved in left.values():
            sources = {each.get_id() for each in variables(moved)} - held
            beside = [constant[each] for each in sources if each in constant]
            sources -= constant.keys()
            if sources and {stage_of.get(each) for each in sources} == {stage}:
                known = [content_of[each] for each in sources]
                known += [(each.now, each.content) for each in beside]
                found += [replace(each, stage=stage) for each in beside]
                placed.append(Staged(now, after, stage + 1, z3.substitute(moved, *known)))
        for each in placed:
            key = each.now.get_id()
            stage_of[key], content_of[key] = each.stage, (each.now, each.content)
            del left[key]
        found += placed
    return found


def replace_wires(term: z3.ExprRef, registers: Sequence[Staged]) -> z3.ExprRef:
    """Return a term with the contents of registers in their places."""
    return z3.substitute(term, *((each.now, each.content) for each in registers))


def variables(term: z3.ExprRef) -> list[z3.ExprRef]:
    """Return the free variables of a term."""
    return [
        each
        for each in parts(term)
        if each.num_args() == 0 and each.decl().kind() == z3.Z3_OP_UNINTERPRETED
    ]


def carried(wire: z3.ExprRef, content: z3.BitVecRef) -> list[tuple[z3.ExprRef, z3.BitVecRef]]:
    """Return the variables that a wire is put together of, with their parts of its content."""
    pieces: dict[int, list[tuple[int, int, z3.ExprRef]]] = {}
    owners, place, stack = {}, content.size(), [z3.simplify(wire)]
    while stack:
        part = stack.pop()
        if part.decl().kind() == z3.Z3_OP_CONCAT:
            stack += reversed(part.children())
            continue
        size = part.size()
        place -= size
        low, owner = 0, part
        if part.decl().kind() == z3.Z3_OP_EXTRACT:
            low, owner = part.params()[1], part.arg(0)
        elif part.decl().kind() == z3.Z3_OP_ITE:
            owner = part.arg(0)
        owners[owner.get_id()] = owner
        own = z3.Extract(place + size - 1, place, content)
        pieces.setdefault(owner.get_id(), []).append((low, size, own))
    return [
        (owner, _joined(pieces[key], owner))
        for key, owner in owners.items()
        if owner.num_args() == 0 and not z3.is_bv_value(owner)
    ]


def _joined(pieces: list[tuple[int, int, z3.ExprRef]], owner: z3.ExprRef) -> z3.ExprRef:
    """Return the content of a variable, of which pieces are known; what is not stays itself."""
    if z3.is_bool(owner):
        return pieces[0][2] == 1
    place, parts_ = 0, []
    for low, size, own in sorted(pieces, key=lambda each: each[0]):
        if low > place:
            parts_.append(z3.Extract(low - 1, place, owner))
        if low >= place:
            parts_.append(own)
            place = low + size
    if place < owner.size():
        parts_.append(z3.Extract(owner.size() - 1, place, owner))
    return z3.Concat(*reversed(parts_)) if len(parts_) > 1 else parts_[0]
