"""Unit 4: 2**-d by a table and a rounding barrel shifter; with unit 5 by one table for a row.

A word of the table holds e and its logarithm, which unit 6 compares (`threshold_quantizer`). So a
key costs one look-up: e in the low `E_BITS` bits of the word, the logarithm, signed, above them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..declarations import Port, Stream, Unit
from ..expressions import parameter
from ..jit import borrowing_kernel as kernel
from ..rounding import leading_one_kernel, rnd, rnd_kernel
from ..scheme import QUOTIENT
from .row_max import D

if TYPE_CHECKING:
    from ..config import AttentionConfig

#: T[0] = 2**P is the largest entry, and shifting never enlarges.
E = Port("e", "key", 1 << parameter("table_bits"), register=True, dtype="int32", zero=("mask", 1))

EXP2 = Unit(
    "exp2",
    number=4,
    declares=(E,),
    streams=(
        Stream("stimulus", "input", "case", ("mask", "d")),
        Stream("expected", "output", "case", ("e",)),
    ),
    makes=(("exp2", "expected", "e"),),
    assumes=(D.bounded,),
    clocked=False,
    table=True,
    lane="exp2",
    families=(QUOTIENT,),
)


def exp2(d: int, masked: bool, config: AttentionConfig) -> int:
    """Return e = RND(T[d mod 2**F] >> (d div 2**F)), unsigned, at most 2**P; 0 for a masked key.

    A shift of P + 2 or more gives 0 (BL2-EXP2-02, -03). Within 0.75 LSB of 2**(P - d / 2**F):
    half from the table, shifted down, and half from the shifter (held by tests/test_units.py).
    """
    if masked:
        return 0
    entry = config.table[d % (1 << config.fraction_bits)]
    return rnd(entry, d >> config.fraction_bits)


#: Keys whose words are summed at once, as they are: 2**6 values of e of at most 2**20 fit E_BITS.
_CHUNK = 64
E_BITS = 29
_E_MASK = (1 << E_BITS) - 1
#: The logarithm of 0, in octaves: below every threshold of every scheme, which are above -20. It is
#: that of the bits of a float32, whose exponent is 0 there and 127 of 1.
_LOWEST = -127


@kernel
def exp2_of_every_distance(table, fraction_bits, shift_max, e):
    """Write e[d] = RND(T[d mod 2**F] >> (d div 2**F)) for every d from 0 to d_max.

    table: (2**F,) int32; e: (d_max + 1,) int32. The shift is limited to shift_max = P + 2, where
    the result is 0, as the barrel shifter does it.
    """
    fraction_mask = (np.int64(1) << fraction_bits) - np.int64(1)
    for d in range(e.size):
        distance = np.int64(d)
        entry = np.int64(table[distance & fraction_mask])
        e[d] = rnd_kernel(entry, min(distance >> fraction_bits, shift_max))


@kernel
def exp2_logarithm(e, fraction_bits):
    """Return the position of e's leading one and, as a fraction of P bits, the bits below it.

    e: int64, at most 2**P, P = fraction_bits. That of 0 is below every threshold of unit 6.
    """
    k = leading_one_kernel(e)
    logarithm = ((k - np.int64(1)) << fraction_bits) + ((e << fraction_bits) >> k)
    return logarithm if e > 0 else np.int64(_LOWEST) << fraction_bits


@kernel
def exp2_words(e, fraction_bits, words):
    """Write words[d] of every e[d], and after them the word of a masked key: e = 0.

    e: (d_max + 1,) int32, at most 2**P, P = fraction_bits; words: (d_max + 2,) int64.
    """
    for d in range(e.size):
        x = np.int64(e[d])
        words[d] = (exp2_logarithm(x, fraction_bits) << np.int64(E_BITS)) + x
    words[e.size] = exp2_logarithm(np.int64(0), fraction_bits) << np.int64(E_BITS)


@kernel
def exp2_kernel(d, masked, layer, e):
    """Write e[j] = e of d[j], 0 for a masked key: unit 4 alone.

    d: (N,) int16 or int32, at most d_max + 1; masked: (N,) uint8, or (0,) where no key is masked;
    e: (N,) int32. As unsigned indices the distances are not tested for a negative one.
    """
    for j in range(d.size):
        e[j] = layer.exp2_words[np.uint16(d[j])] & np.int64(_E_MASK)
    for j in range(masked.size):
        e[j] = e[j] if masked[j] == 0 else np.int32(0)


@kernel
def sum_of_exp2(d, layer, logarithm):
    """Write the logarithm of e of each d[j] and return the sum of e: units 4 and 5.

    d: (N,) int16, at most d_max, and d_max + 1 for a masked key; logarithm: (N,) int32. Words are
    summed as they are, _CHUNK at a time: their low fields reach 2**26, and the logarithms above
    them, 28 bits each, 2**62 in magnitude.
    """
    total = np.int64(0)
    keys, chunk = np.uint64(d.size), np.uint64(_CHUNK)
    for start in range(np.uint64(0), keys, chunk):
        part = np.int64(0)
        for j in range(start, min(start + chunk, keys)):
            word = layer.exp2_words[np.uint16(d[j])]
            part += word
            logarithm[j] = word >> np.int64(E_BITS)
        total += part & np.int64(_E_MASK)
    return total
