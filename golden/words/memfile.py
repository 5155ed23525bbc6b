"""Hexadecimal memory files: written for `$readmemh`, read in any simulator's `$writememh`."""

import codecs
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .fields import Field, blocks, hex_digits, pack, word_width

#: Digits from here on are no number: x, then z.
UNKNOWN = 16

_ALPHABET = np.frombuffer(b"0123456789abcdefxz", np.uint8)
_LINE_END = 254
_MALFORMED = 255
_DIGIT = np.full(256, _MALFORMED, np.uint8)
_DIGIT[_ALPHABET] = np.arange(_ALPHABET.size, dtype=np.uint8)
_DIGIT[np.frombuffer(b"ABCDEFXZ", np.uint8)] = np.arange(10, _ALPHABET.size, dtype=np.uint8)
#: The same for whole lines, for `bytes.translate`.
_CODE = bytes(_LINE_END if byte == ord("\n") else _DIGIT[byte] for byte in range(256))

#: Characters, up to the next line end, that are split into words at a time.
_CHUNK = 1 << 18

_COMMENT = re.compile(rb"//[^\n]*|/\*.*?\*/", re.DOTALL)
_ORIGIN = re.compile(rb"\A\s*@0[0_]*(?=\s)")
_ADDRESS = re.compile(rb"@[0-9a-fA-F][0-9a-fA-F_]*")
_PREFIXED = re.compile(rb"0[xX][0-9a-fA-F_]+")
#: What is seen in files that are written for something else, and what to say of it.
_HINTS = (
    (re.compile(rb"#.*"), "comments begin with //"),
    (_PREFIXED, "words have no prefix 0x"),
    (re.compile(rb"[0-9]*'[sS]?[hHdDbBoO].*"), "words have no size and base"),
    (re.compile(rb"@.*"), "an address is @ and hexadecimal digits, without a blank or 0x"),
    (re.compile(rb"-[0-9]+"), "negative numbers are two's complement in hexadecimal"),
)
#: Words of a file that are looked at in another base.
_TRIED = 1000
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
    """Return one word a line, in lower case, each line ended; `$readmemh` reads it.

    Args:
        digits: (words, digits) from 0 to 15.
    """
    return b"".join(_lines_of(digits[part]) for part in blocks(*digits.shape))


def render_stream(fields: Sequence[Field], columns: Mapping[str, NDArray[np.int64]]) -> bytes:
    """Return the file of a stream: `render_mem` of its words packed, a block at a time.

    Args:
        fields: from the most significant bits down.
        columns: values by field name, (words,) or (words, lanes).

    Raises:
        ValueError: a value does not fit its field.
    """
    words, count = len(columns[fields[0].name]), hex_digits(word_width(fields))
    file = io.BytesIO()
    for part in blocks(words, count):
        digits = pack(fields, {field.name: columns[field.name][part] for field in fields})
        file.write(_lines_of(digits))
    return file.getvalue()


def _lines_of(digits: NDArray[np.uint8]) -> bytes:
    """Return words as text: a digit from 10 on is that far past the letter a."""
    letters = (digits > 9).view(np.uint8)
    letters *= np.uint8(ord("a") - ord("9") - 1)
    letters += digits
    lines = np.full((digits.shape[0], digits.shape[1] + 1), ord("\n"), np.uint8)
    np.add(letters, np.uint8(ord("0")), out=lines[:, :-1])
    return lines.tobytes()


def parse_mem(data: bytes, name: str, width: int, count: int) -> MemoryImage:
    """Return the words of a memory file.

    Reads comments (`//`, `/* */`), `@address` (hexadecimal, in words), underscores, both cases,
    several words a line, leading digits left out or zero, and a byte order mark of UTF-8 in front.
    x and z digits are kept as unknown.

    Args:
        data: the file.
        name: what errors call it.
        width: bits of a word.
        count: words that the file should hold.

    Raises:
        ValueError: anything else, with file, line and text; an address that is given twice.
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError(f"{name} must be ASCII text, got UTF-16: write it as ASCII or UTF-8")
    if b"\0" in data[:_CHUNK]:
        raise ValueError(f"{name} must be ASCII text, got bytes of 0: binary, or UTF-16")
    digits = hex_digits(width)
    if _PREFIXED.match(data.lstrip()) and all(map(_PREFIXED.fullmatch, data.split())):
        return _tolerant(data, name, width, count, prefixed=True)
    image = _canonical(data, digits, count, _top_digit(width))
    if image is None:
        image = _canonical(_one_a_line(data), digits, count, _top_digit(width))
    return image if image is not None else _tolerant(data, name, width, count)


def _top_digit(width: int) -> int:
    return (1 << ((width - 1) % 4 + 1)) - 1


def _canonical(data: bytes, digits: int, count: int, top: int) -> MemoryImage | None:
    """Read a file as `render_mem` writes it, at the speed of numpy; None for any other.

    Letters may be capitals and digits unknown, but every line must be one whole word.
    """
    if len(data) % (digits + 1):
        return None
    words = len(data) // (digits + 1)
    found = np.zeros((count, digits), np.uint8)
    for part in blocks(words, digits):
        text = data[part.start * (digits + 1) : part.stop * (digits + 1)]
        codes = np.frombuffer(text.translate(_CODE), np.uint8).reshape(-1, digits + 1)
        block, leading = codes[:, :-1], codes[:, 0]
        legal = (codes[:, -1] == _LINE_END).all() and block.max() < _LINE_END
        if not legal or ((leading > top) & (leading < UNKNOWN)).any():
            return None
        kept = found[part]
        kept[:] = block[: len(kept)]
    present = np.zeros(count, np.bool_)
    present[:words] = True
    return MemoryImage(found, present, max(0, words - count))


def _one_a_line(data: bytes) -> bytes:
    """Return the words one a line, without comments and an address 0 in front.

    What else is in the file stays: so the result is `_canonical` only where that was all.
    """
    text = _ORIGIN.sub(b"", _without_comments(data), count=1)
    parts, start = [], 0
    while start < len(text):
        end = text.find(b"\n", start + _CHUNK) + 1 or len(text)
        parts.append(b"\n".join([*text[start:end].split(), b""]))
        start = end
    return b"".join(parts)


def _without_comments(data: bytes) -> bytes:
    """Return the text with a blank in the place of each comment, its line ends kept."""
    if b"/" not in data:
        return data
    return _COMMENT.sub(lambda match: b" " + b"\n" * match[0].count(b"\n"), data)


def _tolerant(
    data: bytes, name: str, width: int, count: int, prefixed: bool = False
) -> MemoryImage:
    digits = hex_digits(width)
    words, present = bytearray(b"0") * (count * digits), bytearray(count)
    surplus: set[int] = set()
    address = 0
    for number, line in enumerate(io.BytesIO(_without_comments(data)), start=1):
        for token in line.split():
            where = f"{name} line {number}"
            if _ADDRESS.fullmatch(token):
                address = int(token[1:].replace(b"_", b""), 16)
                continue
            _check_word(token, digits, where, prefixed)
            given = present[address] if address < count else address in surplus
            if given:
                raise ValueError(f"{where}: address {address:#x} is given twice")
            word = _fitted(token, width, digits, where)
            if address < count:
                words[address * digits : (address + 1) * digits] = word
                present[address] = True
            else:
                surplus.add(address)
            address += 1
    image = _DIGIT[np.frombuffer(words, np.uint8)].reshape(count, digits)
    return MemoryImage(image, np.frombuffer(present, np.bool_), len(surplus))


def _check_word(token: bytes, digits: int, where: str, prefixed: bool) -> None:
    """Refuse a token that is no word; 0x1f is a word where it has an x digit, not a prefix."""
    if not _WORD.fullmatch(token) or (
        _PREFIXED.fullmatch(token) and (prefixed or len(token) != digits)
    ):
        hint = next((f": {text}" for kind, text in _HINTS if kind.fullmatch(token)), "")
        raise ValueError(f"{where}: must be a hexadecimal word, got {_quoted(token)}{hint}")


def refuse_other_base(
    data: bytes, name: str, fields: Sequence[Field], columns: Mapping[str, NDArray[np.int64]]
) -> None:
    """Refuse a file whose first words are the numbers of a stream in decimal or binary.

    Raises:
        ValueError: they are; names the file.
    """
    first = {field.name: columns[field.name][:_TRIED] for field in fields}
    wanted = [int(bytes(word).hex()[1::2], 16) for word in pack(fields, first)]
    words, width = _without_comments(data).split()[:_TRIED], word_width(fields)
    for base, what in ((10, "decimal"), (2, "binary")):
        try:
            found = [int(word, base) % (1 << width) for word in words]
        except ValueError:
            continue
        if found and found == wanted[: len(found)] and max(found) >= base:
            raise ValueError(
                f"{name} must hold hexadecimal words of {hex_digits(width)} digits, got {what} ones"
            )


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
