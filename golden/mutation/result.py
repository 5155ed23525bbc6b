"""What a run of the mutants found, as a table and for a file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .boundary import Boundary
from .catalogue import Subject
from .mutants import Mutant

__all__ = ["TABLE", "Campaign", "Findings", "Survivor"]

#: The table of the last whole run, as JSON.
TABLE = Path(__file__).parent / "table.json"

#: Undetermined mutants of the row modules: one in so many.
_UNDETERMINED_SHARE = 50
_HEADER = ("module", "mutants", "caught", "equivalent", "gaps", "undetermined", "seconds")


@dataclass(frozen=True)
class Survivor:
    """A mutant that the vectors do not catch.

    Attributes:
        mutant: which.
        verdict: equivalent, gap or undetermined.
        counterexample: inputs that tell it from the original, registers as `q_...`; or the seed of
            the pauses that do.
    """

    mutant: Mutant
    verdict: str
    counterexample: Mapping[str, int]

    def line(self) -> str:
        """Return what a person wants to read of it."""
        values = ", ".join(
            f"{name}=0x{value:x}" for name, value in self.counterexample.items() if value
        )
        where = f"differs for {values or 'all inputs 0'}" if self.counterexample else "not decided"
        return f"{self.verdict}, {self.mutant}: {where}"

    def as_dict(self) -> dict[str, Any]:
        """Return the same for JSON."""
        return {
            "mutant": str(self.mutant),
            "verdict": self.verdict,
            "counterexample": dict(self.counterexample),
        }


@dataclass(frozen=True)
class Findings:
    """What was found of a module.

    Attributes:
        subject: the module.
        mutants: how many there were.
        survivors: those that the vectors do not catch.
        seconds: that it took.
    """

    subject: Subject
    mutants: int
    survivors: tuple[Survivor, ...]
    seconds: float

    def count(self, verdict: str) -> int:
        """Return the survivors of that verdict."""
        return sum(each.verdict == verdict for each in self.survivors)

    def row(self) -> tuple[str, ...]:
        """Return the module's line of the table."""
        counts = [self.count(verdict) for verdict in ("equivalent", "gap", "undetermined")]
        numbers = (self.mutants, self.mutants - len(self.survivors), *counts, round(self.seconds))
        return (self.subject.name, *map(str, numbers))

    def enough(self) -> bool:
        """Whether no gap is left, and no more is undetermined than may be."""
        allowed = self.mutants // _UNDETERMINED_SHARE if self.subject.row else 0
        return self.count("gap") == 0 and self.count("undetermined") <= allowed

    def compared_lines(self) -> list[str]:
        """Return what the vectors and the proof compare, and what the proof assumes."""
        return [
            f"{self.subject.name}: vectors of {self.subject.unit} in {self.subject.device}; "
            f"survivors at the ports of {self.subject.compared.module}",
            *(f"  {line}" for line in _stated(self.subject.compared)),
        ]


def _stated(boundary: Boundary) -> list[str]:
    lines = [f"assumes {each}" for each in boundary.assumes]
    lines += [f"invariant {each}" for each in boundary.invariants]
    lines += [f"{requirement}: {each}" for requirement, each in boundary.lemmas.items()]
    lines += [f"{output} is compared where {each}" for output, each in boundary.seen.items()]
    return lines


@dataclass(frozen=True)
class Campaign:
    """What was found of all modules.

    Attributes:
        tested: a module each.
        seed, most: that were asked for.
    """

    tested: tuple[Findings, ...]
    seed: int
    most: int

    @property
    def status(self) -> int:
        """Exit status: 0 where enough is caught or proved, 1 where something is open."""
        return 0 if all(each.enough() for each in self.tested) else 1

    def lines(self) -> list[str]:
        """Return the table, what it compares and assumes, and what is open."""
        rows = [_HEADER, *(each.row() for each in self.tested)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = ["  ".join(_cells(row, widths)).rstrip() for row in rows]
        stated = [line for each in self.tested for line in each.compared_lines()]
        open_lines = [
            f"{each.subject.name}: {survivor.line()}"
            for each in self.tested
            for survivor in each.survivors
            if survivor.verdict != "equivalent"
        ]
        return [
            f"seed {self.seed}, at most {self.most} mutants a module",
            *table,
            *stated,
            *open_lines,
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return the same for JSON."""
        return {
            "seed": self.seed,
            "most": self.most,
            "modules": [
                {
                    **dict(zip(_HEADER[:1], each.row()[:1], strict=True)),
                    **dict(zip(_HEADER[1:], map(int, each.row()[1:]), strict=True)),
                    "vectors": each.subject.unit,
                    "device": each.subject.device,
                    "compared_at": each.subject.compared.module,
                    "states": _stated(each.subject.compared),
                    "survivors": [survivor.as_dict() for survivor in each.survivors],
                }
                for each in self.tested
            ],
        }


def _cells(row: tuple[str, ...], widths: list[int]) -> list[str]:
    first, *others = zip(row, widths, strict=True)
    return [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]
