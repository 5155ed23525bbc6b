"""Why a point is not reached: a table in `reasons.json`, for the default configuration."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from .dat import Point

__all__ = ["Reason", "load_reasons", "read_reasons", "text_of"]

_FILE = Path(__file__).parent / "reasons.json"
_FIELDS = ("module", "kind", "pattern", "reason", "requirement")


@dataclass(frozen=True)
class Reason:
    """Why points of a module are not reached.

    Attributes:
        module: the module.
        kind: line or toggle.
        pattern: regular expression of the whole text of a point, see `text_of`.
        reason: in words.
        requirement: the requirement that says so, or an empty string.
    """

    module: str
    kind: str
    pattern: str
    reason: str
    requirement: str

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern)

    def fits(self, point: Point, text: str) -> bool:
        """Whether it is the reason of a point with this text."""
        return (self.module, self.kind) == (point.module, point.kind) and (
            self._compiled.fullmatch(text) is not None
        )


def read_reasons(data: bytes, path: str) -> tuple[Reason, ...]:
    """Return the reasons of a file.

    Raises:
        ValueError: it is no list of objects with exactly these fields, or a pattern is malformed.
    """
    try:
        entries = json.loads(data)
    except ValueError as error:
        raise ValueError(f"{path} must be JSON: {error}") from None
    if not isinstance(entries, list):
        raise ValueError(f"{path} must be a list of reasons, got {type(entries).__name__}")
    return tuple(_reason(entry, number, path) for number, entry in enumerate(entries))


def load_reasons() -> tuple[Reason, ...]:
    """Return the reasons that belong to the reference RTL and the default set."""
    return read_reasons(_FILE.read_bytes(), _FILE.name)


def text_of(point: Point, sources: Mapping[str, Sequence[str]]) -> str:
    """Return what a pattern is held to: a bit and its direction, or a branch and its source line.

    Args:
        point: the point.
        sources: module -> lines of its file.
    """
    if point.kind == "toggle":
        return point.name
    return f"{point.name}: {sources[point.module][point.line - 1].strip()}"


def _reason(entry: object, number: int, path: str) -> Reason:
    where = f"{path}, reason {number}"
    if not isinstance(entry, dict) or set(entry) != set(_FIELDS):
        raise ValueError(f"{where} must have the fields {', '.join(_FIELDS)}, got {entry!r}")
    if not all(isinstance(value, str) for value in entry.values()):
        raise ValueError(f"{where} must hold strings, got {entry!r}")
    if entry["kind"] not in ("line", "toggle"):
        raise ValueError(f"{where}: kind must be line or toggle, got {entry['kind']!r}")
    if not entry["reason"]:
        raise ValueError(f"{where}: reason must not be empty")
    try:
        re.compile(entry["pattern"])
    except re.error as error:
        raise ValueError(f"{where}: pattern must be a regular expression: {error}") from None
    return Reason(**entry)
