"""Lines of a page of help: two columns of 80 characters, read on a terminal and in a file."""

from collections.abc import Iterable
from textwrap import wrap

HELP_FLAGS = ("--help", "-h")


def entry(left: str, text: str) -> list[str]:
    """Return the lines of an option or a command and what it is."""
    rest, left = wrap(text, 56), f"  {left}"
    if len(left) <= 22 and rest:
        left = f"{left:<24}{rest.pop(0)}"
    return [left, *(" " * 24 + line for line in rest)]


def section(title: str, entries: Iterable[list[str]], about: str = "") -> str:
    """Return the entries of one title, behind an empty line."""
    text = wrap(about, 78, initial_indent="  ", subsequent_indent="  ")
    return "\n".join(["", f"{title}:", *text, *(line for each in entries for line in each)])


def description(text: str) -> str:
    """Return what a command does, behind an empty line."""
    return "\n" + "\n".join(wrap(text, 80))
