"""The cost table: measured, as text, as Markdown, as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bitlog2 import SPEC_VERSION

from ..unit import Progress, no_progress
from .catalogue import CHOICES
from .choice import Alternative, Choice, Group
from .netlist import Counts
from .synthesis import TECHNOLOGIES, check_technology, synthesize, yosys_version

__all__ = ["CostTable", "measure_cost"]

_LETTERS = {"generic": ("gates", "levels"), "ice40": ("LUT4", "levels")}


@dataclass(frozen=True)
class CostTable:
    """What was measured.

    Attributes:
        technologies: in the order of the columns.
        choices: in the order of the rows.
        counts: (choice, group, alternative, technology), by position and name -> counts.
        yosys: its version.
    """

    technologies: tuple[str, ...]
    choices: tuple[Choice, ...]
    counts: dict[tuple[str, int, int, str], Counts]
    yosys: str

    def lines(self) -> list[str]:
        """Return the table as text of fixed columns."""
        rows = [self._head()]
        lines = []
        for choice in self.choices:
            for position, group in enumerate(choice.groups):
                rows += self._cells(choice, position, group)
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        width = max(len(group.title) for choice in self.choices for group in choice.groups) + 1
        heads = _columns(rows[0], widths)
        for choice in self.choices:
            lines += ["", f"{choice.name}: {choice.title}", f"  {choice.note}"]
            lines.append(f"  {'':<{width}}{heads}")
            for position, group in enumerate(choice.groups):
                for index, row in enumerate(self._cells(choice, position, group)):
                    title = group.title if index == 0 else ""
                    lines.append(f"  {title:<{width}}{_columns(row, widths)}".rstrip())
        return [*self._legend(), *lines]

    def markdown(self) -> list[str]:
        """Return the table as Markdown, a table a choice."""
        lines = []
        for choice in self.choices:
            head = ["", *self._head()]
            lines += [f"**{choice.title}.** {choice.note}", "", f"| {' | '.join(head)} |"]
            lines.append(f"|{'---|' * 2}{'---:|' * (len(head) - 3)}---|")
            for position, group in enumerate(choice.groups):
                for index, row in enumerate(self._cells(choice, position, group)):
                    title = group.title if index == 0 else ""
                    lines.append(f"| {' | '.join((title, *row))} |")
            lines.append("")
        return lines[:-1]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as it stands in JSON."""
        return {
            "specification_version": SPEC_VERSION,
            "yosys": self.yosys,
            "technologies": {name: TECHNOLOGIES[name] for name in self.technologies},
            "choices": [
                {
                    "name": choice.name,
                    "title": choice.title,
                    "note": choice.note,
                    "groups": [
                        self._group_dict(choice, position, group)
                        for position, group in enumerate(choice.groups)
                    ],
                }
                for choice in self.choices
            ],
        }

    def _group_dict(self, choice: Choice, position: int, group: Group) -> dict[str, Any]:
        return {
            "title": group.title,
            "same_function": group.same or None,
            "alternatives": [
                {
                    **alternative.as_dict(),
                    "counts": {
                        name: self.counts[choice.name, position, index, name].as_dict()
                        for name in self.technologies
                    },
                }
                for index, alternative in enumerate(group.alternatives)
            ],
        }

    def _legend(self) -> list[str]:
        return [
            f"Yosys {self.yosys}",
            *(f"{name}: {TECHNOLOGIES[name]}" for name in self.technologies),
            "x: times the first of its kind; levels: cells on the longest path, carries apart;",
            "flip-flops have their enable and reset; written memories stay apart, in bits.",
        ]

    def _head(self) -> list[str]:
        head = ["built"]
        for name in self.technologies:
            cells, levels = _LETTERS[name]
            head += [cells, "x", levels] + (["carries"] if name == "ice40" else [])
        return [*head, "flip-flops", "memory", "remark"]

    def _cells(self, choice: Choice, position: int, group: Group) -> list[list[str]]:
        rows = []
        for index, alternative in enumerate(group.alternatives):
            row = [alternative.name]
            for name in self.technologies:
                found = self.counts[choice.name, position, index, name]
                first = self.counts[choice.name, position, 0, name]
                row += [str(found.cells), _ratio(found.cells, first.cells), str(found.levels)]
                row += [str(found.carries)] if name == "ice40" else []
            row += [str(found.flip_flops), str(found.memory_bits), alternative.remark]
            rows.append(row)
        return rows


def measure_cost(
    choices: Sequence[str] | None = None,
    technologies: Sequence[str] | None = None,
    *,
    progress: Progress = no_progress,
) -> CostTable:
    """Synthesize every alternative of the choices, one after another.

    Args:
        choices: names of `CHOICES`; all without them.
        technologies: names of `TECHNOLOGIES`; all without them.
        progress: wraps the runs.

    Raises:
        ValueError: a name is none of these.
        ToolError: Yosys is not installed or fails.
    """
    chosen = tuple(CHOICES[_known(name)] for name in dict.fromkeys(choices or CHOICES))
    names = tuple(dict.fromkeys(technologies or TECHNOLOGIES))
    for name in names:
        check_technology(name)
    wanted = [
        ((choice.name, position, index, name), alternative)
        for choice in chosen
        for position, group in enumerate(choice.groups)
        for index, alternative in enumerate(group.alternatives)
        for name in names
    ]
    known: dict[str, Counts] = {}
    counts = {}
    for key, alternative in progress(wanted, "synthesis", len(wanted)):
        counts[key] = _once(known, alternative, key[-1])
    return CostTable(names, chosen, counts, yosys_version())


def _once(known: dict[str, Counts], alternative: Alternative, technology: str) -> Counts:
    """Return the counts of an alternative, synthesized the first time that it is met."""
    target = alternative.target
    built = repr((target, alternative.top, sorted(alternative.parameters.items()), technology))
    if built not in known:
        known[built] = synthesize(target, alternative.top, alternative.parameters, technology)
    return known[built]


def _known(name: str) -> str:
    if name not in CHOICES:
        raise ValueError(f"choice must be one of {', '.join(CHOICES)}, got {name!r}")
    return name


def _ratio(found: int, first: int) -> str:
    return "" if first == 0 else f"{found / first:.2f}"


def _columns(row: Sequence[str], widths: Sequence[int]) -> str:
    """Return cells side by side: numbers to the right, the first and the last to the left."""
    cells = [f"{row[0]:<{widths[0]}}"]
    cells += [f"{cell:>{width}}" for cell, width in zip(row[1:-1], widths[1:-1], strict=True)]
    return "  ".join([*cells, row[-1]]).rstrip()
