"""Unit 27: a channel of a token, normalized: its distance to the mean over the deviation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...declarations import Port, Stream, Unit, ones
from ...expressions import number, parameter
from ...jit import borrowing_kernel as kernel
from ...rounding import rnd, rnd_kernel
from .reciprocal_root import RECIPROCAL

if TYPE_CHECKING:
    from ..config import NetworkConfig

#: The sum of C - 1 differences of two values of the stream.
CENTRED = Port(
    "centred",
    "channel",
    (parameter("max_channels") - 1) * ones("stream_bits"),
    signed=True,
    register=True,
    dtype="int64",
)
#: |N| * r plus the rounding constant of the largest shift.
PRODUCT = Port(
    "norm_product",
    "channel",
    CENTRED.bound * RECIPROCAL.bound + (number(1) << parameter("largest_norm_shift") >> 1),
    signed=True,
    register=True,
)
#: |N| / sqrt(V) is at most sqrt(C - 1).
Z = Port("z", "channel", parameter("largest_z"), signed=True, register=True, dtype="int32")

NORMALIZER = Unit(
    "normalizer",
    number=27,
    declares=(CENTRED, PRODUCT, Z),
    streams=(
        Stream(
            "stimulus",
            "input",
            "case",
            ("channels", "x", "stream_sum", "root_shift", "reciprocal"),
        ),
        Stream("expected", "output", "case", ("centred", "z")),
    ),
    makes=(("normalizer", "expected", "centred"), ("normalizer", "expected", "z")),
    assumes=(RECIPROCAL.bounded,),
    version=2,
)


def centred(x: int, total: int, channels: int) -> int:
    """Return N = C * x - S, exact: C times the distance to the token's mean (BL2-NORM-04)."""
    return channels * x - total


def normalizer(
    x: int, total: int, channels: int, shift: int, reciprocal: int, config: NetworkConfig
) -> int:
    """Return z = RND(N * r >> (2 * B - 1 + k - Z)), N = C * x - S, B = root_bits (BL2-NORM-05).

    Args:
        x: of the stream.
        total: S of the token.
        channels: C.
        shift, reciprocal: k and r of the token.
        config: gives B and Z, the fraction bits of z.

    Cannot overflow: |N| / sqrt(V) <= sqrt(C - 1) (BL2-NORM-06). The shift is at least B - Z.
    """
    down = 2 * config.root_bits - 1 + shift - config.z_fraction_bits
    return rnd(centred(x, total, channels) * reciprocal, down)


@kernel
def normalizer_kernel(x, total, shift, reciprocal, down, z):
    """Write z[t, c] of x[t, c].

    x: (T, C) int32; total: (T,) int64; shift, reciprocal: (T,), k and r; down: int64, by which a
    token of k = 0 is shifted, 2 * B - 1 - Z; z: (T, C) int32.
    """
    channels = np.int64(x.shape[1])
    for t in range(x.shape[0]):
        r, places = np.int64(reciprocal[t]), down + np.int64(shift[t])
        for c in range(x.shape[1]):
            z[t, c] = rnd_kernel((channels * np.int64(x[t, c]) - total[t]) * r, places)
