"""Templates: text with `@name@` marks."""

import re
from functools import cache
from pathlib import Path

__all__ = ["fill", "template"]

_FOLDER = Path(__file__).parent / "templates"
_MARK = re.compile(r"@([a-z_]+)@")


@cache
def template(name: str) -> str:
    """Return the text of a template."""
    return (_FOLDER / name).read_text(encoding="utf-8").rstrip("\n")


def fill(text: str, **values: object) -> str:
    """Return the text with each mark replaced; a line that is a mark without a value goes.

    Raises:
        KeyError: a mark has no value.
    """
    lines = []
    for line in text.split("\n"):
        alone = _MARK.fullmatch(line.strip())
        if alone and values[alone[1]] == "":
            continue
        lines.append(_MARK.sub(lambda mark: str(values[mark[1]]), line))
    return "\n".join(lines)
