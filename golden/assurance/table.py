"""Text in columns."""

from collections.abc import Iterable, Sequence


class Columns:
    """Columns two spaces apart.

    Args:
        rows: cells, which give the widths.
        sides: "<" or ">" for each column, the side to which its cells go.
    """

    def __init__(self, rows: Iterable[Sequence[str]], sides: str) -> None:
        self._widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        self._sides = sides

    def line(self, cells: Sequence[str]) -> str:
        """Return cells side by side."""
        columns = zip(cells, self._sides, self._widths, strict=True)
        return "  ".join(f"{cell:{side}{width}}" for cell, side, width in columns).rstrip()


def aligned(rows: Sequence[Sequence[str]], sides: str) -> list[str]:
    """Return rows as lines of columns."""
    columns = Columns(rows, sides)
    return [columns.line(row) for row in rows]
