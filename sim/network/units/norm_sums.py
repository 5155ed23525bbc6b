"""Unit 25: the sums of a token from which its mean and variance follow, without a division."""

from collections.abc import Sequence

import numpy as np

from ...declarations import Port, Stream, Unit, ones
from ...expressions import parameter
from ...jit import borrowing_kernel as kernel
from .residual_adder import STREAM

CHANNELS = Port("channels", "layer", parameter("max_channels"), low=1)
EPS = Port("norm_eps", "layer", ones("eps_bits"), low=1)
_C, _LARGEST = parameter("max_channels"), STREAM.bound + 1
#: C values of at most 2**(stream_bits-1), and C squares of them.
SUM = Port("stream_sum", "row", _C * _LARGEST, signed=True, register=True, dtype="int64")
SQUARES = Port("square_sum", "row", _C * _LARGEST * _LARGEST, register=True, dtype="int64")
#: C times the sum of squares.
PRODUCT = Port("square_product", "row", _C * SQUARES.bound, register=True)
#: Two values differ by at most 2**stream_bits - 1; half of them at each end make C*C / 4 pairs.
VARIANCE = Port(
    "variance",
    "row",
    (_C * _C >> 2) * ones("stream_bits") * ones("stream_bits") + EPS.bound,
    low=1,
    register=True,
    dtype="int64",
)

NORM_SUMS = Unit(
    "norm_sums",
    number=25,
    declares=(CHANNELS, EPS, SUM, SQUARES, PRODUCT, VARIANCE),
    streams=(
        Stream("params", "input", "case", ("channels", "norm_eps")),
        Stream("stimulus", "input", "beat", ("last", "x")),
        Stream("expected", "output", "case", ("stream_sum", "square_sum", "variance")),
    ),
    makes=(
        ("norm_sums", "expected", "stream_sum"),
        ("norm_sums", "expected", "square_sum"),
        ("norm_sums", "expected", "variance"),
    ),
    longest=parameter("max_channels"),
    version=2,
)


def norm_sums(x: Sequence[int], eps: int) -> tuple[int, int, int]:
    """Return (S, Q, V) of a token: sum x, sum x**2, and V = C * Q - S**2 + EPS, all exact.

    Args:
        x: C values of the stream.
        eps: EPS, at least 1.

    V is C**2 times the variance, so that its root turns C * x - S into the normalized x. At least
    1: C * Q - S**2 is the sum of (x_i - x_j)**2 over all pairs (BL2-NORM-01 to -03).
    """
    total, squares = sum(x), sum(value * value for value in x)
    return total, squares, len(x) * squares - total * total + eps


@kernel
def norm_sums_kernel(x, eps, total, squares, variance):
    """Write the sums of each token of a tile.

    x: (T, C) int32; eps: int64; total, squares, variance: (T,) int64, which hold C * Q too: the
    register has at most 62 bits.
    """
    for t in range(x.shape[0]):
        s, q = np.int64(0), np.int64(0)
        for c in range(x.shape[1]):
            value = np.int64(x[t, c])
            s += value
            q += value * value
        total[t], squares[t] = s, q
        variance[t] = np.int64(x.shape[1]) * q - s * s + eps
