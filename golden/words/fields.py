"""The fields of a word: packed into hexadecimal digits, and out of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..threads import parts_of

LIMB_BITS = 64


def _steps(*pairs: tuple[int, int]) -> tuple[tuple[np.uint64, np.uint64], ...]:
    return tuple((np.uint64(shift), np.uint64(mask)) for shift, mask in pairs)


#: (shift, mask) of the three steps that take eight digits, one a byte, to 32 bits, and back.
_GATHER = _steps((4, 0x00FF00FF00FF00FF), (8, 0x0000FFFF0000FFFF), (16, 0x00000000FFFFFFFF))
_SPREAD = _steps((16, 0x0000FFFF0000FFFF), (8, 0x00FF00FF00FF00FF), (4, 0x0F0F0F0F0F0F0F0F))
_HALF_MASK = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def limb_count(width: int) -> int:
    """Return the limbs of a word of `width` bits."""
    return -(-width // LIMB_BITS)


def limbs_of_digits(digits: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the limbs of words, (limbs, words).

    Args:
        digits: (words, digits) from 0 to 15, the most significant digit first.
    """
    words, count = digits.shape
    halves_each = -(-count // 8)
    bytes_of = np.zeros((words, 8 * halves_each), np.uint8)
    bytes_of[:, 8 * halves_each - count :] = digits
    halves = bytes_of.view(">u8").astype(np.uint64)
    for shift, mask in _GATHER:
        halves |= halves >> shift
        halves &= mask
    limbs = np.zeros((limb_count(4 * count), words), np.uint64)
    for place in range(halves_each):
        half = halves[:, halves_each - 1 - place]
        limbs[place // 2] |= half << _HALF if place % 2 else half
    return limbs


def digits_of_limbs(limbs: NDArray[np.uint64], count: int) -> NDArray[np.uint8]:
    """Return the lowest `count` digits of words: the inverse of `limbs_of_digits`."""
    halves_each = -(-count // 8)
    halves = np.empty((limbs.shape[1], halves_each), np.uint64)
    for place in range(halves_each):
        limb = limbs[place // 2]
        halves[:, halves_each - 1 - place] = limb >> _HALF if place % 2 else limb
    halves &= _HALF_MASK
    for shift, mask in _SPREAD:
        halves |= halves << shift
        halves &= mask
    return halves.astype(">u8").view(np.uint8)[:, 8 * halves_each - count :]


#: The values of a stream: field name -> (words,) int64, or (words, lanes) where it has lanes.
Columns = dict[str, NDArray[np.int64]]

#: Digits of a block of words: with its limbs and lines it stays in a core's second-level cache.
_BLOCK_DIGITS = 1 << 18


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


def blocks(words: int, digits: int) -> list[slice]:
    """Return the words of a stream in parts whose digits stay in the cache."""
    return parts_of(words, max(1, _BLOCK_DIGITS // digits))


def pack(fields: Sequence[Field], columns: Mapping[str, NDArray[np.int64]]) -> NDArray[np.uint8]:
    """Return the words of a stream as hexadecimal digits, (words, digits) uint8 from 0 to 15.

    Args:
        fields: from the most significant bits down.
        columns: values by field name, (words,) or (words, lanes).

    Raises:
        ValueError: a value does not fit its field.
    """
    words, count = len(columns[fields[0].name]), hex_digits(word_width(fields))
    digits = np.empty((words, count), np.uint8)
    for part in blocks(words, count):
        limbs = _packed(fields, {field.name: columns[field.name][part] for field in fields})
        digits[part] = digits_of_limbs(limbs, count)
    return digits


def unpack(fields: Sequence[Field], digits: NDArray[np.uint8]) -> Columns:
    """Return the values of a stream from its digits: the inverse of `pack`."""
    words, count = digits.shape
    columns: Columns = {field.name: np.empty((words, field.lanes), np.int64) for field in fields}
    for part in blocks(words, count):
        limbs = limbs_of_digits(digits[part])
        for field, first_bit in first_bits(fields):
            values = columns[field.name][part]
            for lane in range(field.lanes):
                values[:, lane] = _extracted(limbs, first_bit + lane * field.bits, field)
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


def first_bits(fields: Sequence[Field]) -> Iterator[tuple[Field, int]]:
    """Yield each field with the number of its lowest bit, bit 0 being the word's lowest."""
    bit = 0
    for field in reversed(fields):
        yield field, bit
        bit += field.width


def _packed(
    fields: Sequence[Field], columns: Mapping[str, NDArray[np.int64]]
) -> NDArray[np.uint64]:
    """Return the limbs of a block of words, (limbs, words)."""
    words = len(columns[fields[0].name])
    limbs = np.zeros((limb_count(word_width(fields)), words), np.uint64)
    for field, first_bit in first_bits(fields):
        _check_fit(field, columns[field.name])
        lanes = columns[field.name].reshape(words, field.lanes)
        for lane in range(field.lanes):
            values = lanes[:, lane].astype(np.uint64) & _mask(field)
            limb, shift = divmod(first_bit + lane * field.bits, LIMB_BITS)
            limbs[limb] |= values << np.uint64(shift)
            if shift + field.bits > LIMB_BITS:
                limbs[limb + 1] |= values >> np.uint64(LIMB_BITS - shift)
    return limbs


def _extracted(limbs: NDArray[np.uint64], bit: int, field: Field) -> NDArray[np.int64]:
    """Return the lane of `field` that begins at `bit`."""
    limb, shift = divmod(bit, LIMB_BITS)
    values = limbs[limb] >> np.uint64(shift)
    if shift + field.bits > LIMB_BITS:
        values |= limbs[limb + 1] << np.uint64(LIMB_BITS - shift)
    plain = (values & _mask(field)).astype(np.int64)
    sign = np.int64(1 << (field.bits - 1))
    return (plain ^ sign) - sign if field.signed else plain


def _mask(field: Field) -> np.uint64:
    return np.uint64((1 << field.bits) - 1)
