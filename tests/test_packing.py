"""Rows of levels in memory: BL2-CODE-03, BL2-CODE-04."""

import numpy as np
import pytest

from bitlog2.sim import SCHEMES, pack_levels, scheme_named, unpack_levels
from bitlog2.sim.spec import pack_row

LENGTHS = (1, 2, 7, 8, 9, 15, 16, 17, 65, 300)


def random_levels(scheme, keys):
    return np.random.default_rng(keys).integers(0, scheme.levels, (5, keys))


def test_packing_by_hand():
    """Half_17, levels 0 3 16 1 0: nibbles 0 2 f 0 0, zero flags at keys 0 and 4."""
    nibbles, flags = pack_levels(np.array([[0, 3, 16, 1, 0]]), scheme_named("BitLog2_Half_17"))
    assert (nibbles.tolist(), flags.tolist()) == ([[0x20, 0x0F, 0x00]], [[0b10001]])


def test_packing_sixteen_levels_store_no_flag():
    nibbles, flags = pack_levels(np.array([[15, 0, 7]]), scheme_named("BitLog2_Half_16"))
    assert (nibbles.tolist(), flags.shape) == ([[0x0F, 0x07]], (1, 0))


@pytest.mark.parametrize("keys", LENGTHS)
@pytest.mark.parametrize("name", SCHEMES)
def test_packing_equals_the_specification(name, keys):
    scheme = scheme_named(name)
    level = random_levels(scheme, keys)
    nibbles, flags = pack_levels(level, scheme)
    rows = [(a.tobytes(), b.tobytes()) for a, b in zip(nibbles, flags, strict=True)]
    assert rows == [pack_row(row.tolist(), scheme) for row in level]


@pytest.mark.parametrize("keys", LENGTHS)
@pytest.mark.parametrize("name", SCHEMES)
def test_packing_is_undone(name, keys):
    scheme = scheme_named(name)
    level = random_levels(scheme, keys)
    assert np.array_equal(unpack_levels(*pack_levels(level, scheme), keys, scheme), level)


def test_packing_level_above_the_top_is_refused():
    with pytest.raises(ValueError, match="level must be from 0 to 15, got 16"):
        pack_levels(np.array([[16]]), scheme_named("BitLog2_Half_16"))


def test_packing_plane_of_another_shape_is_refused():
    scheme = scheme_named("BitLog2_Half_17")
    nibbles, flags = pack_levels(np.array([[1, 2, 3]]), scheme)
    with pytest.raises(ValueError, match="planes must have shapes"):
        unpack_levels(nibbles, flags, 5, scheme)
