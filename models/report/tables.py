"""Tables of the report: values with their formats, as text of the page, as CSV and as Markdown."""

import csv
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from bitlog2.sim.files import write_whole

Value = str | int | float | None
#: Formats that are no numbers: text, and text that is typed somewhere.
TEXT, CODE = "text", "code"
_NONE = "\u2013"


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: of its files, and within the page.
        title: what it is of.
        columns: heads with the formats of their values, as those of Python; `TEXT` or `CODE`.
        rows: values, as many as columns; None where there is none.
        note: what must be known to read it.
        bad: (row, column) of values that show a fault.
    """

    name: str
    title: str
    columns: dict[str, str]
    rows: tuple[tuple[Value, ...], ...]
    note: str = ""
    bad: Collection[tuple[int, int]] = ()

    def texts_of(self, row: Sequence[Value]) -> list[str]:
        """Return the values of a row as they are shown."""
        return [_text(x, form) for x, form in zip(row, self.columns.values(), strict=True)]

    def csv(self) -> str:
        """Return it as CSV; an empty field where there is no value."""
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        forms = [form.replace(",", "") for form in self.columns.values()]
        for row in self.rows:
            writer.writerow(
                "" if x is None else _text(x, form) for x, form in zip(row, forms, strict=True)
            )
        return text.getvalue()

    def markdown(self) -> str:
        """Return it as Markdown, numbers to the right."""
        rule = ["---" if form in (TEXT, CODE) else "--:" for form in self.columns.values()]
        rows = [[text.replace("|", "\\|") for text in self.texts_of(row)] for row in self.rows]
        lines = [f"| {' | '.join(row)} |" for row in (list(self.columns), *rows)]
        return "\n".join([lines[0], f"|{'|'.join(rule)}|", *lines[1:], ""])

    def save(self, folder: Path) -> list[Path]:
        """Write it as CSV and as Markdown into a folder that is there; return the paths."""
        texts = {"csv": self.csv(), "md": self.markdown()}
        for kind, text in texts.items():
            write_whole(folder / f"{self.name}.{kind}", text.encode())
        return [folder / f"{self.name}.{kind}" for kind in texts]


def _text(value: Value, form: str) -> str:
    if value is None:
        return _NONE
    return str(value) if form in (TEXT, CODE) else format(value, form)
