"""Tables as text that fits a terminal."""

import shutil
from collections.abc import Iterable, Sequence
from textwrap import wrap

#: Characters of a column of text that is made narrow, at least.
_NARROWEST = 8


def terminal_width() -> int:
    """Return the columns of the terminal, or what COLUMNS says; 80 for a pipe or a file."""
    return shutil.get_terminal_size((80, 24)).columns


class Columns:
    """Columns of a table, two spaces apart, on lines of at most the width of the terminal.

    What is too wide for that has the words of its head below one another, then one space between
    columns, then the widest columns of text in several lines.

    Args:
        rows: cells, which give the widths; the head is first.
        sides: "<" or ">" for each column, the side to which its cells go: text or numbers.
        width: characters of a line; None for those of the terminal.
    """

    def __init__(self, rows: Iterable[Sequence[str]], sides: str, width: int | None = None) -> None:
        columns = list(zip(*rows, strict=True))
        most = terminal_width() if width is None else width
        self._sides, self._between = sides, 2
        self._widths = [max(map(len, column)) for column in columns]
        if self._excess(most) > 0:
            self._widths = [
                max(map(len, (*head.split(), *cells)), default=0) for head, *cells in columns
            ]
        if self._excess(most) > 0:
            self._between = 1
        while (excess := self._excess(most)) > 0:
            text = [i for i, side in enumerate(sides) if side == "<"]
            widest = max(text, key=lambda i: self._widths[i], default=None)
            if widest is None or self._widths[widest] <= _NARROWEST:
                return
            second = max((self._widths[i] for i in text if i != widest), default=0)
            fitting = max(self._widths[widest] - excess, _NARROWEST)
            self._widths[widest] = max(fitting, min(second, self._widths[widest] - 1))

    def _excess(self, most: int) -> int:
        return sum(self._widths) + self._between * (len(self._widths) - 1) - most

    def line(self, cells: Sequence[str]) -> str:
        """Return cells side by side; text that is wider than its column takes several lines."""
        parts = [
            [cell]
            if len(cell) <= width
            else wrap(cell, width, break_on_hyphens=False, break_long_words=side == "<")
            for cell, side, width in zip(cells, self._sides, self._widths, strict=True)
        ]
        between = " " * self._between
        lines = []
        for number in range(max(map(len, parts))):
            shown = (part[number] if number < len(part) else "" for part in parts)
            each = zip(shown, self._sides, self._widths, strict=True)
            lines.append(between.join(f"{cell:{side}{width}}" for cell, side, width in each))
        return "\n".join(line.rstrip() for line in lines)


def aligned(rows: Sequence[Sequence[str]], sides: str, width: int | None = None) -> list[str]:
    """Return rows as lines of columns; arguments as `Columns`."""
    columns = Columns(rows, sides, width)
    return [columns.line(row) for row in rows]
