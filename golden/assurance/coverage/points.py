"""Points of coverage and the reasons why some cannot be hit."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bitlog2.documents import Document, Text, from_json, plain

from ...testbench import reference_files

_BIT = re.compile(r"(.*)\[(\d+)\]:(0->1|1->0)")
_BOTH = ("0->1", "1->0")


def collapse(texts: Sequence[str]) -> list[str]:
    """Return the texts of points, with bits of a signal that are missed alike as one range.

    `d[0]:0->1`, `d[0]:1->0`, `d[1]:0->1`, `d[1]:1->0` become `d[0-1]`, and `d[2]:0->1` stays.
    """
    seen: dict[str, dict[int, tuple[str, ...]]] = {}
    others = []
    for text in sorted(texts):
        found = _BIT.fullmatch(text)
        if found is None:
            others.append(text)
            continue
        bits = seen.setdefault(found[1], {})
        bits[int(found[2])] = (*bits.get(int(found[2]), ()), found[3])
    return [each for signal, bits in seen.items() for each in _ranges(signal, bits)] + others


def _ranges(signal: str, bits: dict[int, tuple[str, ...]]) -> list[str]:
    """Return runs of neighbouring bits with the same directions."""
    runs: list[list[int]] = []
    for bit in sorted(bits):
        if runs and bit == runs[-1][-1] + 1 and bits[bit] == bits[runs[-1][0]]:
            runs[-1].append(bit)
        else:
            runs.append([bit])
    texts = []
    for run in runs:
        span = str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}"
        directions = bits[run[0]]
        texts.append(f"{signal}[{span}]" + ("" if directions == _BOTH else f":{directions[0]}"))
    return texts


_LINE = re.compile(r"C '(.*)' (\d+)$")
_HEAD = "# SystemC::Coverage-3"
_KINDS = {"v_line": "line", "v_branch": "line", "v_toggle": "toggle"}


@dataclass(frozen=True, order=True)
class CodePoint:
    """One point of coverage.

    Attributes:
        module: the module's name in its source.
        kind: line (blocks and branches) or toggle.
        line, column: place in its file.
        name: block, if, else, ..., or a signal's bit and direction: `d[3]:0->1`.
    """

    module: str
    kind: str
    line: int
    column: int
    name: str


def read_points(text: str, path: str, modules: Collection[str] = ()) -> dict[CodePoint, int]:
    """Return the hits of each point, instances and sizes of a module added up.

    Args:
        text: text of the file.
        path: its name, for errors.
        modules: names that are known; others have no two underscores.

    Raises:
        ValueError: it is no such file.
    """
    head, *lines = text.splitlines() or [""]
    if head != _HEAD:
        raise ValueError(f"{path} must begin with {_HEAD!r}, got {head[:60]!r}")
    points: dict[CodePoint, int] = {}
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
        point = CodePoint(name, _KINDS[page], int(fields["l"]), int(fields["n"]), fields["o"])
        points[point] = points.get(point, 0) + int(found[2])
    return points


def _fields(text: str) -> list[tuple[str, str]]:
    """Return keys and values: 0x01 begins a key, 0x02 its value."""
    pairs = (part.partition("\x02") for part in text.split("\x01") if part)
    return [(key, value) for key, _, value in pairs]


#: In a file of RTL, at its end: kind, pattern, reason, requirement.
_COMMENT = re.compile(
    r'^// not reached: (line|toggle) "(.+)"\n//   (.+) \((BL2-\S+)\)$', re.MULTILINE
)


class Reason(Document, frozen=True, kw_only=True):
    """Why points of a module are not reached.

    Attributes:
        module: the module.
        kind: line or toggle.
        pattern: regular expression of the whole text of a point, see `text_of`.
        reason: in words.
        requirement: the requirement that says so, or an empty string.
    """

    module: str
    kind: Literal["line", "toggle"]
    pattern: str
    reason: Text
    requirement: str

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"pattern must be a regular expression: {error}") from None

    def fits(self, point: CodePoint, text: str) -> bool:
        """Whether it is the reason of a point with this text."""
        here = (self.module, self.kind) == (point.module, point.kind)
        return here and re.fullmatch(self.pattern, text) is not None


def read_reasons(data: bytes, path: str) -> tuple[Reason, ...]:
    """Return the reasons of a file.

    Raises:
        ValueError: it is no list of objects with exactly these fields, or a pattern is malformed.
    """
    entries = plain(data, path)
    if not isinstance(entries, list):
        raise ValueError(f"{path} must be a list of reasons, got {type(entries).__name__}")
    return tuple(
        from_json(entry, Reason, f"{path}, reason {number}") for number, entry in enumerate(entries)
    )


def load_reasons() -> tuple[Reason, ...]:
    """Return the reasons that stand in the reference RTL, for the default set."""
    return tuple(
        Reason(module=path.stem, kind=kind, pattern=pattern, reason=reason, requirement=requirement)
        for path in reference_files()
        for kind, pattern, reason, requirement in _COMMENT.findall(path.read_text(encoding="utf-8"))
    )


def text_of(point: CodePoint, sources: Mapping[str, Sequence[str]]) -> str:
    """Return what a pattern is held to: a bit and its direction, or a branch and its source line.

    Args:
        point: the point.
        sources: module -> lines of its file.
    """
    if point.kind == "toggle":
        return point.name
    return f"{point.name}: {sources[point.module][point.line - 1].strip()}"
