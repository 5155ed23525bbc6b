"""Rows of levels in memory: nibbles, and a plane of zero flags where there are 17 levels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import check_codes, check_int
from .kernel.constants import scheme_constants
from .scheme import Scheme
from .units.code_register import code_register_kernel, pack_row_kernel


def pack_levels(level: NDArray[Any], scheme: Scheme) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return rows of levels as they lie in memory: (nibble plane, flag plane).

    Args:
        level: (R, N) integers, 0 to the scheme's top level.
        scheme: the levels' scheme.

    Returns:
        (R, ceil(N / 2)) uint8, low nibble first, and (R, ceil(N / 8)) uint8, key j at bit j mod 8
        of byte j div 8; the latter is (R, 0) for 16 levels. Padding is 0.

    Raises:
        TypeError, ValueError: levels of a wrong type, shape or range.

    Source: SPEC.md BL2-CODE-01 to -04.
    """
    rows = check_codes("level", level, 0, scheme.top_level, 2).astype(np.uint8)
    keys = rows.shape[1]
    nibbles = np.zeros((len(rows), (keys + 1) // 2), np.uint8)
    flags = np.zeros((len(rows), (keys + 7) // 8 if scheme.zero_flag else 0), np.uint8)
    nibble, flag = np.empty(keys, np.uint8), np.empty(keys, np.uint8)
    constants = scheme_constants(scheme)
    for row in range(len(rows)):
        code_register_kernel(rows[row], constants, nibble, flag)
        pack_row_kernel(nibble, flag, nibbles[row], flags[row])
    return nibbles, flags


def unpack_levels(
    nibbles: NDArray[np.uint8], flags: NDArray[np.uint8], keys: int, scheme: Scheme
) -> NDArray[np.uint8]:
    """Return the levels of rows in memory: the inverse of `pack_levels`.

    Args:
        nibbles, flags: the planes.
        keys: N.
        scheme: the levels' scheme.

    Raises:
        TypeError, ValueError: `keys` is no positive integer, or a plane has another shape.
    """
    check_int("keys", keys, 1, 65536)
    rows = len(nibbles)
    want = ((rows, (keys + 1) // 2), (rows, (keys + 7) // 8 if scheme.zero_flag else 0))
    if (nibbles.shape, flags.shape) != want:
        raise ValueError(f"planes must have shapes {want}, got {nibbles.shape} and {flags.shape}")
    level = np.stack([nibbles & 15, nibbles >> 4], axis=2).reshape(rows, -1)[:, :keys]
    if not scheme.zero_flag:
        return level
    zero = np.unpackbits(flags, axis=1, bitorder="little")[:, :keys]
    return np.where(zero == 1, 0, level + 1).astype(np.uint8)
