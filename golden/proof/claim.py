"""A claim: a statement with a name, the requirements that it stands for, and its obligations."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .obligation import Checked, Holds
from .setting import Setting

__all__ = ["BITS", "EXHAUSTION", "INTEGERS", "NETLIST", "Claim"]

#: By what a claim is decided.
INTEGERS = "z3 integers"
BITS = "z3 bit-vectors"
NETLIST = "Yosys SMT export, z3"
EXHAUSTION = "exhaustion"


@dataclass(frozen=True)
class Claim:
    """A statement about a setting.

    Attributes:
        name: what `--claim` takes.
        requirements: ids of SPEC.md.
        over: over what it holds, in words, of a setting.
        by: by what it is decided.
        obligations: what is to be decided, of a setting; the claim holds when all of it does.
        per_scheme: whether schemes differ; if not, it is decided once.
        reducible: whether all of it is over bit-vectors few enough, at reduced widths, to try every
            value where the solver does not come to an end.
    """

    name: str
    requirements: str
    over: Callable[[Setting], str]
    by: str
    obligations: Callable[[Setting], Iterable[Holds | Checked]]
    per_scheme: bool = False
    reducible: bool = False
