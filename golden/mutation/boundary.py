"""Where a mutant is compared with the original: what is assumed there, what is seen there."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Boundary"]


@dataclass(frozen=True)
class Boundary:
    """A module at whose ports a mutant must agree with the original.

    Expressions are SystemVerilog, true where they are not 0. Those of `assumes` and `lemmas` are
    over inputs and registers, those of `invariants` and `relations` over registers, those of `seen`
    over the original's outputs.

    Attributes:
        module: its name.
        assumes: what the inputs keep, as the module's header or SPEC.md says.
        invariants: what its registers keep at every clock edge; proved, not assumed.
        lemmas: what SPEC.md proves of the original: the requirement's id, and the expression.
        relations: each says when two states agree: register or memory, a whole-name pattern -> when
            its value matters; others always. One relation that is kept from cycle to cycle is
            enough.
        seen: output -> when it is compared. Without an entry a stream's payload is compared where
            its tvalid is 1, any other output always.

    An expression of `relations` or `seen` that begins with a brace is a mask of bits. In relations
    `self` is the register, `entry` the address of a memory's word, and `any(pattern)` is true where
    one of these registers is not 0.
    """

    module: str
    assumes: tuple[str, ...] = ()
    invariants: tuple[str, ...] = ()
    lemmas: Mapping[str, str] = field(default_factory=dict)
    relations: tuple[Mapping[str, str], ...] = ({},)
    seen: Mapping[str, str] = field(default_factory=dict)
