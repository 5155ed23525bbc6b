"""Verilator's `coverage.dat`: the points of line and toggle coverage and how often each was hit."""

import re
from collections.abc import Collection
from dataclasses import dataclass

__all__ = ["Point", "read_points"]

_LINE = re.compile(r"C '(.*)' (\d+)$")
_HEAD = "# SystemC::Coverage-3"
_KINDS = {"v_line": "line", "v_branch": "line", "v_toggle": "toggle"}


@dataclass(frozen=True, order=True)
class Point:
    """One point of coverage.

    Attributes:
        module: the module's name in its source.
        kind: line (blocks and branches) or toggle.
        line, column: where in its file.
        name: block, if, else, ..., or a signal's bit and direction: `d[3]:0->1`.
    """

    module: str
    kind: str
    line: int
    column: int
    name: str


def read_points(text: str, path: str, modules: Collection[str] = ()) -> dict[Point, int]:
    """Return the hits of each point, instances and sizes of a module added up.

    Args:
        text: of the file.
        path: its name, for errors.
        modules: names that are known; others have no two underscores.

    Raises:
        ValueError: it is no such file.
    """
    head, *lines = text.splitlines() or [""]
    if head != _HEAD:
        raise ValueError(f"{path} must begin with {_HEAD!r}, got {head[:60]!r}")
    points: dict[Point, int] = {}
    for number, line in enumerate(lines, 2):
        found = _LINE.match(line)
        fields = dict(_fields(found[1])) if found else {}
        page, _, module = fields.get("page", "").partition("/")
        if found is None or not {"l", "n", "o", "page"} <= fields.keys() or page not in _KINDS:
            raise ValueError(f"{path}: line {number} must be a point of line or toggle coverage, "
                             f"got {line[:80]!r}")  # fmt: skip
        # A size of a module has its own page, `name__W8`.
        sized = [each for each in modules if f"{module}__".startswith(f"{each}__")]
        name = max(sized, key=len, default=module.split("__")[0])
        point = Point(name, _KINDS[page], int(fields["l"]), int(fields["n"]), fields["o"])
        points[point] = points.get(point, 0) + int(found[2])
    return points


def _fields(text: str) -> list[tuple[str, str]]:
    """Return keys and values: 0x01 begins a key, 0x02 its value."""
    pairs = (part.partition("\x02") for part in text.split("\x01") if part)
    return [(key, value) for key, _, value in pairs]
