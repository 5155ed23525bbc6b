"""The int16 product of units 1 and 8, against plain integers."""

import numpy as np
import pytest

from bitlog2.sim.kernel.lane_product import (
    CHANNEL_LANES,
    DEPTH,
    KEY_LANES,
    channel_product,
    key_product,
    laid_out,
)

KERNELS = [(key_product, KEY_LANES), (channel_product, CHANNEL_LANES)]
SIZES = [(1, 1), (7, 3), (8, 128), (64, 197), (65, 64), (128, 129)]


def blocks_of(b: np.ndarray, lanes: int) -> np.ndarray:
    """A matrix (depth, columns) as `laid_out` wants it, filled up with zeros."""
    depth, columns = b.shape
    blocks, size = laid_out(depth, columns, lanes)
    filled = np.zeros((size // lanes, blocks * lanes), np.int16)
    filled[:depth, :columns] = b
    parts = [filled[:, i * lanes : (i + 1) * lanes].reshape(-1) for i in range(blocks)]
    return np.ascontiguousarray(parts)


def product(kernel, lanes: int, a: np.ndarray, b: np.ndarray) -> list[int]:
    blocks = blocks_of(b, lanes)
    row = np.zeros(blocks.shape[1] // lanes, np.int16)
    row[: a.size] = a
    out = np.full(len(blocks) * lanes, 77, np.int16)
    kernel(row, blocks, out)
    assert not out[b.shape[1] :].any()
    return out[: b.shape[1]].tolist()


@pytest.mark.parametrize(("depth", "columns"), SIZES)
@pytest.mark.parametrize(("kernel", "lanes"), KERNELS)
def test_lane_product_equals_the_integer_product(kernel, lanes, depth, columns):
    rng = np.random.default_rng(depth)
    a, b = rng.integers(-15, 16, depth), rng.integers(-15, 16, (depth, columns))
    assert product(kernel, lanes, a, b) == (a @ b).tolist()


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(("kernel", "lanes"), KERNELS)
def test_lane_product_holds_the_largest_score(kernel, lanes, sign):
    """15 * 15 * 128 = 28800, the bound of the default configuration, with either sign."""
    a, b = np.full(128, 15), np.full((128, 3), 15 * sign)
    assert product(kernel, lanes, a, b) == [28800 * sign] * 3


@pytest.mark.parametrize(("kernel", "lanes"), KERNELS)
def test_lane_product_holds_values_up_to_its_lane(kernel, lanes):
    """One product of 32767, and a sum that touches both limits on its way."""
    assert product(kernel, lanes, np.array([32767]), np.array([[1, -1]])) == [32767, -32767]
    up_and_down = np.array([[16383], [16384], [-32767], [-1]])
    assert product(kernel, lanes, np.ones(4, np.int64), up_and_down) == [-1]


@pytest.mark.parametrize(("depth", "columns"), SIZES)
def test_lane_product_layout_holds_every_column(depth, columns):
    blocks, size = laid_out(depth, columns, KEY_LANES)
    assert 0 <= blocks * KEY_LANES - columns < KEY_LANES
    assert 0 <= size // KEY_LANES - depth < DEPTH
