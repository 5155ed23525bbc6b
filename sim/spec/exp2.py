"""Unit 4: 2**-d by a table and a rounding barrel shifter."""

from ..config import AttentionConfig
from .rounding import rnd

__all__ = ["exp2"]


def exp2(d: int, masked: bool, config: AttentionConfig) -> int:
    """Return e = RND(T[d mod 2**F] >> (d div 2**F)), unsigned, at most 2**P; 0 for a masked key.

    A shift of P + 2 or more gives 0 (BL2-EXP2-02, -03). Within 0.75 LSB of 2**(P - d / 2**F):
    half from the table, shifted down, and half from the shifter (held by tests/test_exp2.py).
    """
    if masked:
        return 0
    entry = config.table[d % (1 << config.fraction_bits)]
    return rnd(entry, d >> config.fraction_bits)
