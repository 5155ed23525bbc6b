"""Selections such as `all`, `3`, `0,2`, `0-4`, `blocks.3.attn`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_PART = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*")


@dataclass(frozen=True)
class Selection:
    """Some of several things that have numbers, and may have names.

    Attributes:
        text: as it was typed.
        parts: (first, last) of each range, or a name; None for all.
    """

    text: str
    parts: tuple[tuple[int, int] | str, ...] | None

    @classmethod
    def of(cls, text: str) -> "Selection":
        """Parse a selection.

        Raises:
            ValueError: it is neither `all` nor a list of numbers, ranges and names.
        """
        if text == "all":
            return cls(text, None)
        return cls(text, tuple(_part(part, text) for part in text.split(",")))

    def resolve(self, option: str, count: int, names: Sequence[str] = ()) -> tuple[int, ...]:
        """Return the chosen numbers of 0 to count - 1 in ascending order.

        Args:
            option: what errors call it.
            count: how many there are.
            names: the things' names, where they have any.

        Raises:
            ValueError: a number is out of range, a name unknown, or something is named twice.
        """
        if self.parts is None:
            return tuple(range(count))
        numbers: list[int] = []
        for part in self.parts:
            if isinstance(part, str):
                numbers.append(_number_of(option, part, names))
            else:
                first, last = part
                if last >= count:
                    raise ValueError(f"{option} must be from 0 to {count - 1}, got {last}")
                numbers += range(first, last + 1)
        chosen = tuple(sorted(numbers))
        for number, following in pairwise(chosen):
            if number == following:
                raise ValueError(f"{option} must name each once, got {number} twice: {self.text}")
        return chosen


def _part(part: str, text: str) -> tuple[int, int] | str:
    match = _PART.fullmatch(part)
    if match is None:
        if _NAME.fullmatch(part) and part != "all":
            return part
        raise ValueError(
            f"must be all, or a list of numbers and ranges such as 0,2 or 0-4, got {text!r}"
        )
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
        raise ValueError(f"range must not run backwards, got {part!r}")
    return first, last


def _number_of(option: str, name: str, names: Sequence[str]) -> int:
    if not names:
        raise ValueError(f"{option} must be numbers, got {name!r}")
    if name not in names:
        raise ValueError(
            f"{option} must be from 0 to {len(names) - 1} or one of {', '.join(names)}, "
            f"got {name!r}"
        )
    return names.index(name)
