"""The exact integer matrix product."""

import numpy as np
import pytest

from bitlog2.sim.matmul import exact_matmul


def integer_loop(a: np.ndarray, b: np.ndarray) -> list[list[int]]:
    rows, columns = a.tolist(), b.T.tolist()
    return [[sum(x * y for x, y in zip(r, c, strict=True)) for c in columns] for r in rows]


def test_matmul_worked_by_hand():
    a, b = np.array([[1, -2], [3, 4]]), np.array([[5, 6], [7, -8]])
    assert exact_matmul(a, b, 53).tolist() == [[-9, 22], [43, -14]]


@pytest.mark.parametrize(("bits", "inner"), [(4, 128), (6, 64), (8, 257), (8, 1024), (15, 1)])
def test_matmul_equals_the_integer_loop(bits: int, inner: int):
    """Below and beyond 2**24: float32 and float64."""
    rng = np.random.default_rng(bits)
    top = (1 << bits) - 1
    a = rng.integers(-top, top + 1, (17, inner))
    b = rng.integers(-top, top + 1, (inner, 9))
    assert exact_matmul(a, b, top * top * inner).tolist() == integer_loop(a, b)


@pytest.mark.parametrize("bound", [(1 << 24) - 1, 1 << 24, (1 << 24) + 1, (1 << 31) - 1])
def test_matmul_is_exact_at_its_bound(bound: int):
    """A sum that passes through every magnitude up to the bound, odd numbers included."""
    a = np.array([[bound - 1, 1, 1 - bound, -1], [1, -bound, 0, 0], [bound, 0, 0, 0]])
    b = np.ones((4, 1), np.int64)
    assert exact_matmul(a, b, bound).tolist() == [[0], [1 - bound], [bound]]


@pytest.mark.parametrize("bound", [1 << 31, 1 << 40])
def test_matmul_refuses_beyond_int32(bound: int):
    with pytest.raises(ValueError, match=f"^bound must be from 0 to 2147483647, got {bound}$"):
        exact_matmul(np.ones((1, 1)), np.ones((1, 1)), bound)


def test_matmul_takes_batches():
    rng = np.random.default_rng(7)
    a, b = rng.integers(-15, 16, (3, 4, 5)), rng.integers(-15, 16, (3, 5, 6))
    product = exact_matmul(a, b, 15 * 15 * 5)
    assert product.dtype == np.int32
    assert [m.tolist() for m in product] == [integer_loop(x, y) for x, y in zip(a, b, strict=True)]
