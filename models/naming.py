"""Names out of files, as they may be printed."""

__all__ = ["listed", "printable", "shown"]

_SHOWN = 10


def printable(text: str) -> str:
    """Return a name without control characters, line breaks and bytes that are no UTF-8."""
    return text if text.isprintable() else repr(text)[1:-1]


def shown(text: str, longest: int = 100) -> str:
    """Return a printable name or message, cut after so many characters."""
    text = printable(text)
    return text if len(text) <= longest else f"{text[:longest]}..."


def listed(items: list[str]) -> str:
    """Return the first ten, and how many there are."""
    more = len(items) - _SHOWN
    few = ", ".join(items[:_SHOWN])
    return f"{few} and {more} more, {len(items)} in all" if more > 0 else few
