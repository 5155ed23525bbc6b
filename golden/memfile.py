"""Hexadecimal memory files: written for `$readmemh`, read in any simulator's `$writememh`."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .fields import hex_digits

__all__ = ["UNKNOWN", "MemoryImage", "parse_mem", "render_mem"]

#: Digits from here on are no number: x, then z.
UNKNOWN = 16

_ALPHABET = np.frombuffer(b"0123456789abcdefxz", np.uint8)
_MALFORMED = 255
_DIGIT = np.full(256, _MALFORMED, np.uint8)
_DIGIT[_ALPHABET] = np.arange(_ALPHABET.size, dtype=np.uint8)
_DIGIT[np.frombuffer(b"ABCDEFXZ", np.uint8)] = np.arange(10, _ALPHABET.size, dtype=np.uint8)

_COMMENT = re.compile(rb"//[^\n]*|/\*.*?\*/", re.DOTALL)
_ADDRESS = re.compile(rb"@[0-9a-fA-F][0-9a-fA-F_]*")
_WORD = re.compile(rb"[0-9a-fA-FxXzZ][0-9a-fA-FxXzZ_]*")


@dataclass(frozen=True)
class MemoryImage:
    """The words of a memory file at the addresses 0 to count - 1.

    Attributes:
        digits: (count, digits) uint8, 0 to 15, or `UNKNOWN` (x) and above (z); 0 where missing.
        present: (count,) bool, False for an address that the file does not give.
        surplus: words at addresses from `count` on.
    """

    digits: NDArray[np.uint8]
    present: NDArray[np.bool_]
    surplus: int


def render_mem(digits: NDArray[np.uint8]) -> bytes:
    """Return one word a line, in lower case, each line ended; `$readmemh` reads it."""
    lines = np.full((digits.shape[0], digits.shape[1] + 1), ord("\n"), np.uint8)
    lines[:, :-1] = _ALPHABET[digits]
    return lines.tobytes()


def parse_mem(data: bytes, name: str, width: int, count: int) -> MemoryImage:
    """Return the words of a memory file.

    Reads comments (`//`, `/* */`), `@address` (hexadecimal, in words), underscores, both cases,
    several words a line, leading digits left out or zero. x and z digits are kept as unknown.

    Args:
        data: the file.
        name: what errors call it.
        width: bits of a word.
        count: words that the file should hold.

    Raises:
        ValueError: anything else, with file, line and text; an address that is given twice.
    """
    digits = hex_digits(width)
    image = _canonical(data, digits, count, _top_digit(width))
    return image if image is not None else _tolerant(data, name, width, count)


def _top_digit(width: int) -> int:
    return (1 << ((width - 1) % 4 + 1)) - 1


def _place(
    words: NDArray[np.uint8], addresses: NDArray[np.int64], surplus: int, count: int
) -> MemoryImage:
    digits = np.zeros((count, words.shape[1]), np.uint8)
    present = np.zeros(count, np.bool_)
    digits[addresses] = words
    present[addresses] = True
    return MemoryImage(digits, present, surplus)


def _canonical(data: bytes, digits: int, count: int, top: int) -> MemoryImage | None:
    """Read a file as `render_mem` writes it, at the speed of numpy; None for any other."""
    if len(data) % (digits + 1):
        return None
    lines = np.frombuffer(data, np.uint8).reshape(-1, digits + 1)
    words = _DIGIT[lines[:, :-1]]
    leading = words[:, 0]
    legal = (lines[:, -1] == ord("\n")).all() and (words != _MALFORMED).all()
    if not legal or ((leading > top) & (leading < UNKNOWN)).any():
        return None
    kept = min(count, len(words))
    return _place(words[:kept], np.arange(kept), len(words) - kept, count)


def _tolerant(data: bytes, name: str, width: int, count: int) -> MemoryImage:
    text = _COMMENT.sub(lambda match: b" " + b"\n" * match[0].count(b"\n"), data)
    digits = hex_digits(width)
    found: dict[int, bytes] = {}
    surplus: set[int] = set()
    address = 0
    for number, line in enumerate(text.split(b"\n"), start=1):
        for token in line.split():
            where = f"{name} line {number}"
            if _ADDRESS.fullmatch(token):
                address = int(token[1:].replace(b"_", b""), 16)
                continue
            if not _WORD.fullmatch(token):
                raise ValueError(f"{where}: must be a hexadecimal word, got {_quoted(token)}")
            if address in found or address in surplus:
                raise ValueError(f"{where}: address {address:#x} is given twice")
            word = _fitted(token, width, digits, where)
            if address < count:
                found[address] = word
            else:
                surplus.add(address)
            address += 1
    words = _DIGIT[np.frombuffer(b"".join(found.values()), np.uint8)].reshape(-1, digits)
    return _place(words, np.array(list(found), np.int64), len(surplus), count)


def _fitted(token: bytes, width: int, digits: int, where: str) -> bytes:
    """Return exactly `digits` digits of a word; an unknown digit in front stays unknown."""
    word = token.replace(b"_", b"").lower().rjust(digits, b"0")
    front, word = word[: len(word) - digits], word[len(word) - digits :]
    too_wide = front.strip(b"0xz") or UNKNOWN > _DIGIT[word[0]] > _top_digit(width)
    if too_wide:
        raise ValueError(f"{where}: must be a word of {width} bits, got {_quoted(token)}")
    return b"x" + word[1:] if front.strip(b"0") else word


def _quoted(token: bytes) -> str:
    text = repr(token.decode("latin-1"))
    return text if len(text) <= 60 else text[:57] + "...'"
