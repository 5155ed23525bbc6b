"""The exp2 table: BL2-EXP2-01."""

from itertools import pairwise

import pytest

from bitlog2.sim import exp2_table


def test_table_of_two_fraction_bits_worked_by_hand():
    """16 * (1, 0.8409, 0.7071, 0.5946) = 16, 13.45, 11.31, 9.51."""
    assert exp2_table(2, 4) == (16, 13, 11, 10)


def test_table_default_ends_and_middle():
    """65536, 65536 * 2**-0.5 = 46340.95, 65536 * 2**(-31/32) = 33485.6."""
    table = exp2_table(5, 16)
    assert (table[0], table[16], table[31]) == (65536, 46341, 33486)


@pytest.mark.requirement("BL2-EXP2-01")
@pytest.mark.parametrize("fraction_bits", range(1, 9))
def test_table_is_the_nearest_integer_for_every_configuration(fraction_bits: int):
    """2T - 1 <= 2**(P + 1 - f/K) < 2T + 1, K = 2**F, as powers of integers."""
    size = 1 << fraction_bits
    for table_bits in range(4, 21):
        table = exp2_table(fraction_bits, table_bits)
        assert len(table) == size
        for f, entry in enumerate(table):
            real = 1 << ((table_bits + 1) * size)
            assert (2 * entry - 1) ** size << f <= real < (2 * entry + 1) ** size << f


def test_table_falls_strictly_at_the_default():
    table = exp2_table(5, 16)
    assert all(a > b for a, b in pairwise(table))
