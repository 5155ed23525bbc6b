"""Hexadecimal digits as 64-bit limbs and back, by shifts over whole arrays.

A limb holds sixteen digits; limb 0 has the lowest bits of a word.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["LIMB_BITS", "digits_of_limbs", "limb_count", "limbs_of_digits"]

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
