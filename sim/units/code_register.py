"""Unit 7: a level as four bits, with a zero flag where there are 17 levels; rows in memory."""

from collections.abc import Sequence

import numpy as np

from ..declarations import Port, Stream, Unit
from ..expressions import number, parameter, port
from ..jit import borrowing_kernel as kernel
from ..scheme import Scheme
from .log2_quantizer import LEVEL

#: A flag comes with nibble 0 (BL2-CODE-02).
FLAG_ALONE = port("flag").equals(0) | port("nibble").equals(0)

NIBBLE = Port("nibble", "key", number(15), dtype="uint8")
FLAG = Port("flag", "key", parameter("code.zero_flag"), dtype="uint8")
#: A byte of each plane of memory, where the beat writes one.
NIBBLE_WRITE = Port("nibble_write", "beat", number(1))
NIBBLE_BYTE = Port("nibble_byte", "beat", number(255), hidden=("nibble_write", 0))
FLAG_WRITE = Port("flag_write", "beat", number(1))
FLAG_BYTE = Port("flag_byte", "beat", number(255), hidden=("flag_write", 0))

CODE_REGISTER = Unit(
    "code_register",
    number=7,
    declares=(NIBBLE, FLAG, NIBBLE_WRITE, NIBBLE_BYTE, FLAG_WRITE, FLAG_BYTE),
    streams=(
        Stream("stimulus", "input", "beat", ("last", "level")),
        Stream("expected", "output", "beat", ("nibble", "flag")),
        Stream(
            "memory",
            "output",
            "beat",
            ("nibble_write", "nibble_byte", "flag_write", "flag_byte"),
        ),
    ),
    makes=(
        ("code_register", "expected", "nibble"),
        ("code_register", "expected", "flag"),
        ("pack_row", "memory", "nibble_write"),
        ("pack_row", "memory", "nibble_byte"),
        ("pack_row", "memory", "flag_write"),
        ("pack_row", "memory", "flag_byte"),
    ),
    assumes=(LEVEL.bounded, FLAG_ALONE),
    longest=parameter("max_tokens"),
    clocked=False,
)


def code_register(level: int, scheme: Scheme) -> tuple[int, int]:
    """Return (nibble, zero flag) of a level (BL2-CODE-01, -02).

    16 levels: nibble = level, the flag is 0 and not stored. 17 levels: nibble = level - 1 and
    flag = 0; level 0 is nibble 0 and flag 1.
    """
    if not scheme.zero_flag:
        return level, 0
    if level == 0:
        return 0, 1
    return level - 1, 0


def level_of_code(nibble: int, flag: int, scheme: Scheme) -> int:
    """Return the level of a code register: the inverse of `code_register`."""
    if not scheme.zero_flag:
        return nibble
    return 0 if flag else nibble + 1


def pack_row(levels: Sequence[int], scheme: Scheme) -> tuple[bytes, bytes]:
    """Return a row in memory: (nibble plane, flag plane), the latter empty for 16 levels.

    Low nibble first; key j's flag is bit j mod 8 of byte j div 8; the row starts on a byte and
    padding is 0 (BL2-CODE-03, -04).
    """
    nibbles = bytearray((len(levels) + 1) // 2)
    flags = bytearray((len(levels) + 7) // 8 if scheme.zero_flag else 0)
    for j, level in enumerate(levels):
        nibble, flag = code_register(level, scheme)
        nibbles[j // 2] |= nibble << (4 * (j % 2))
        if flag:
            flags[j // 8] |= 1 << (j % 8)
    return bytes(nibbles), bytes(flags)


def unpack_row(nibbles: bytes, flags: bytes, keys: int, scheme: Scheme) -> list[int]:
    """Return the levels of a row of `keys` keys from its planes: the inverse of `pack_row`."""
    levels = []
    for j in range(keys):
        nibble = (nibbles[j // 2] >> (4 * (j % 2))) & 15
        flag = (flags[j // 8] >> (j % 8)) & 1 if scheme.zero_flag else 0
        levels.append(level_of_code(nibble, flag, scheme))
    return levels


@kernel
def code_register_kernel(level, scheme, nibble, flag):
    """Write nibble[j] and flag[j] of level[j]. All (N,) uint8."""
    for j in range(level.size):
        value = np.int64(level[j])
        zero = np.int64(value == 0) * scheme.zero_flag
        flag[j] = zero
        nibble[j] = value - scheme.zero_flag + zero


@kernel
def pack_row_kernel(nibble, flag, nibbles, flags):
    """Write a row in memory order: low nibble first; flag j at bit j mod 8 of byte j div 8.

    nibble, flag: (N,) uint8. nibbles: (ceil(N / 2),) uint8; flags: (ceil(N / 8),) uint8, or
    (0,) where no flag is stored. Padding is 0.
    """
    nibbles[:] = 0
    flags[:] = 0
    for j in range(nibble.size):
        nibbles[j // 2] |= np.uint8(nibble[j] << (4 * (j % 2)))
    if flags.size > 0:
        for j in range(flag.size):
            flags[j // 8] |= np.uint8(flag[j] << (j % 8))
