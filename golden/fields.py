"""Fields of a word, packed most significant bit first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Columns",
    "Field",
    "field_slices",
    "hex_digits",
    "pack",
    "shaped",
    "unpack",
    "word_width",
]

#: The values of a stream: field name -> (words,) int64, or (words, lanes) where it has lanes.
Columns = dict[str, NDArray[np.int64]]

_CHUNK = 4096


@dataclass(frozen=True)
class Field:
    """A field of a word.

    Attributes:
        name: the register's name.
        bits: width of one lane, 1 to 62.
        signed: two's complement, or unsigned.
        lanes: values side by side; the highest lane comes first, lane 0 in the lowest bits.
    """

    name: str
    bits: int
    signed: bool = False
    lanes: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 62:
            raise ValueError(f"bits of field {self.name} must be from 1 to 62, got {self.bits}")
        if self.lanes < 1:
            raise ValueError(f"lanes of field {self.name} must be at least 1, got {self.lanes}")

    @property
    def width(self) -> int:
        """Bits of all lanes."""
        return self.bits * self.lanes

    @property
    def low(self) -> int:
        """The smallest value of a lane."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """The largest value of a lane."""
        return (1 << (self.bits - self.signed)) - 1


def word_width(fields: Sequence[Field]) -> int:
    """Return the bits of a word of these fields."""
    return sum(field.width for field in fields)


def hex_digits(width: int) -> int:
    """Return the hexadecimal digits that a word of `width` bits takes."""
    return -(-width // 4)


def field_slices(fields: Sequence[Field]) -> dict[str, slice]:
    """Return the bits of each field in a word of whole digits, bit 0 being the most significant."""
    width = word_width(fields)
    start = 4 * hex_digits(width) - width
    slices = {}
    for field in fields:
        slices[field.name] = slice(start, start + field.width)
        start += field.width
    return slices


def pack(fields: Sequence[Field], columns: Mapping[str, NDArray[np.int64]]) -> NDArray[np.uint8]:
    """Return the words of a stream as hexadecimal digits, (words, digits) uint8 from 0 to 15.

    Args:
        fields: from the most significant bits down.
        columns: values by field name, (words,) or (words, lanes).

    Raises:
        ValueError: a value does not fit its field.
    """
    for field in fields:
        _check_fit(field, columns[field.name])
    words = len(columns[fields[0].name])
    slices = field_slices(fields)
    digits = np.empty((words, hex_digits(word_width(fields))), np.uint8)
    for start in range(0, words, _CHUNK):
        part = slice(start, start + _CHUNK)
        bits = np.zeros((len(digits[part]), 4 * digits.shape[1]), np.uint8)
        for field in fields:
            bits[:, slices[field.name]] = _bits_of(field, columns[field.name][part])
        digits[part] = _digits_of(bits)
    return digits


def unpack(fields: Sequence[Field], digits: NDArray[np.uint8]) -> Columns:
    """Return the values of a stream from its digits: the inverse of `pack`."""
    slices = field_slices(fields)
    words = len(digits)
    columns: Columns = {field.name: np.empty((words, field.lanes), np.int64) for field in fields}
    for start in range(0, words, _CHUNK):
        part = slice(start, start + _CHUNK)
        bits = _digit_bits(digits[part])
        for field in fields:
            columns[field.name][part] = _values_of(field, bits[:, slices[field.name]])
    return shaped(fields, columns)


def shaped(fields: Sequence[Field], columns: Mapping[str, NDArray[Any]]) -> Columns:
    """Return the columns as int64 in the order of the fields, (words, lanes) or (words,)."""
    return {
        field.name: columns[field.name]
        .astype(np.int64, copy=False)
        .reshape((-1, field.lanes) if field.lanes > 1 else -1)
        for field in fields
    }


def _check_fit(field: Field, values: NDArray[np.int64]) -> None:
    if values.size == 0:
        return
    smallest, largest = int(values.min()), int(values.max())
    if smallest < field.low or largest > field.high:
        wrong = smallest if smallest < field.low else largest
        raise ValueError(f"{field.name} must be from {field.low} to {field.high}, got {wrong}")


def _bits_of(field: Field, values: NDArray[np.int64]) -> NDArray[np.int64]:
    lanes = values.reshape(len(values), field.lanes)[:, ::-1, None]
    bits = (lanes >> np.arange(field.bits - 1, -1, -1)) & 1
    return bits.reshape(len(values), field.width)


def _digits_of(bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    quads = bits.reshape(len(bits), bits.shape[1] // 4, 4)
    digits = quads[..., 0] << 3 | quads[..., 1] << 2 | quads[..., 2] << 1 | quads[..., 3]
    return digits.astype(np.uint8)


def _digit_bits(digits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    bits = (digits[:, :, None] >> np.arange(3, -1, -1, dtype=np.uint8)) & 1
    return bits.reshape(len(digits), 4 * digits.shape[1]).astype(np.uint8)


def _values_of(field: Field, bits: NDArray[np.uint8]) -> NDArray[np.int64]:
    weights = np.int64(1) << np.arange(field.bits - 1, -1, -1, dtype=np.int64)
    if field.signed:
        weights[0] = -weights[0]
    lanes = bits.reshape(len(bits), field.lanes, field.bits).astype(np.int64)
    return (lanes @ weights)[:, ::-1]
