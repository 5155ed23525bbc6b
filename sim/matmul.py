"""The exact integer matrix product: the one function of `sim/` that computes in floats."""

from contextlib import AbstractContextManager
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

_FLOAT32_EXACT = 1 << 24


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas", internal_api="openblas")


def one_blas_thread() -> AbstractContextManager[object]:
    """Return a context in which numpy's BLAS runs serially: whoever enters it has threads already.

    Two levels of threads wait for one another: on two cores, twice the time.
    """
    context: AbstractContextManager[object] = _blas().limit(limits=1)
    return context


def exact_matmul(a: NDArray[np.generic], b: NDArray[np.generic], bound: int) -> NDArray[np.int32]:
    """Return the integer matrix product a @ b as int32, by floating-point BLAS.

    Exact: `bound` is the largest sum of |a_ij| * |b_jk| over j, proved by the caller from the
    widths of its registers. Every partial sum, in whatever order BLAS takes them, is an integer of
    at most that magnitude, and float32 holds all integers up to 2**24 (float64 up to 2**53), fused
    multiply-add or not. float32 is taken below 2**24, float64 below 2**31.

    Args:
        a: (..., I, J) integer values, of any dtype that holds them exactly.
        b: (..., J, K) likewise.
        bound: as above.

    Raises:
        ValueError: the bound does not fit int32.
    """
    if bound >= 1 << 31:
        raise ValueError(f"bound must be from 0 to {(1 << 31) - 1}, got {bound}")
    dtype = np.float32 if bound < _FLOAT32_EXACT else np.float64
    product = np.matmul(a.astype(dtype, copy=False), b.astype(dtype, copy=False))
    return product.astype(np.int32)
