"""Printable forms of names from files, and names of files."""

import hashlib
import re
from collections.abc import Sequence


def printable(text: str) -> str:
    """Return a name without control characters, line breaks and bytes that are no UTF-8."""
    return text if text.isprintable() else repr(text)[1:-1]


def shown(text: str, longest: int = 100) -> str:
    """Return a printable name or message, cut after `longest` characters."""
    text = printable(text)
    return text if len(text) <= longest else f"{text[:longest]}..."


def listed(items: Sequence[str], most: int = 10, between: str = ", ") -> str:
    """Return the first `most` items, and how many there are; "nothing" where there are none."""
    text, more = between.join(items[:most]), len(items) - most
    return f"{text} and {more} more, {len(items)} in all" if more > 0 else text or "nothing"


def first_three(names: Sequence[str]) -> str:
    """Return the first three names, printable, and how many there are."""
    return listed([printable(name) for name in names], most=3)


def file_name(name: str) -> str:
    """Return a legal and short name of a file for any name: another one for each."""
    if re.fullmatch(r"[\w.-]{1,200}", name, re.ASCII):
        return name
    legal = re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII)
    return f"{legal[:100]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
