"""Unit 30: the mean over tokens, of normalized channels or of the stream itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from ...declarations import Port, Stream, Unit, ones
from ...expressions import number, parameter
from ...jit import borrowing_kernel as kernel
from ...rounding import rnd, rnd_kernel, sat
from .norm_requantizer import GAIN, OFFSET, SHIFT
from .normalizer import Z

if TYPE_CHECKING:
    from ..config import NetworkConfig

MEAN_GAIN = Port("mean_gain", "channel", GAIN.bound, signed=True)
MEAN_OFFSET = Port("mean_offset", "channel", OFFSET.bound, signed=True)
MEAN_SHIFT = Port("mean_shift", "channel", SHIFT.bound)
#: |z * G + H| plus the rounding constant 2**(n-1).
TERM_PRODUCT = Port(
    "mean_term_product",
    "channel",
    Z.bound * GAIN.bound + OFFSET.bound + (number(1) << SHIFT.bound >> 1),
    signed=True,
    register=True,
)
TERM = Port(
    "mean_term",
    "channel",
    ones("mean_bits") >> 1,
    signed=True,
    saturates=True,
    register=True,
    dtype="int32",
)
#: One of the largest terms, or of the largest values of the stream, from each token.
SUM = Port(
    "mean_sum",
    "channel",
    parameter("max_tokens") * parameter("largest_mean_term"),
    signed=True,
    register=True,
    dtype="int64",
)
MULTIPLIER = Port("mean_multiplier", "layer", ones("m_bits"), low=1)
SCALE_SHIFT = Port("mean_scale_shift", "layer", parameter("max_n"))
PRODUCT = Port(
    "mean_product",
    "channel",
    SUM.bound * MULTIPLIER.bound + (number(1) << SCALE_SHIFT.bound >> 1),
    signed=True,
    register=True,
)
CODE = Port("mean_code", "channel", ones("code_bits"), register=True, dtype="uint8")
STREAM_MEAN = Port(
    "stream_mean",
    "channel",
    ones("stream_bits") >> 1,
    signed=True,
    saturates=True,
    register=True,
    dtype="int32",
)

TOKEN_MEAN = Unit(
    "token_mean",
    number=30,
    declares=(
        *(MEAN_GAIN, MEAN_OFFSET, MEAN_SHIFT, TERM_PRODUCT, TERM),
        *(SUM, MULTIPLIER, SCALE_SHIFT, PRODUCT, CODE, STREAM_MEAN),
    ),
    streams=(
        Stream(
            "params",
            "input",
            "case",
            ("mean_gain", "mean_offset", "mean_shift", "mean_multiplier", "mean_scale_shift"),
        ),
        Stream("stimulus", "input", "beat", ("last", "z")),
        Stream("terms", "output", "beat", ("last", "mean_term")),
        Stream("expected", "output", "case", ("mean_sum", "mean_code")),
    ),
    makes=(
        ("token_mean", "terms", "mean_term"),
        ("token_mean", "expected", "mean_sum"),
        ("token_mean", "expected", "mean_code"),
    ),
    assumes=(SHIFT.bounded,),
    longest=parameter("max_tokens"),
    version=2,
)


def mean_term(z: int, gain: int, offset: int, shift: int, config: NetworkConfig) -> int:
    """Return p = SAT(RND(z * G + H >> n)), signed, `mean_bits` wide (BL2-MEAN-01)."""
    high = (1 << (config.mean_bits - 1)) - 1
    return sat(rnd(z * gain + offset, shift), -high - 1, high)


def mean_sum(terms: Iterable[int]) -> int:
    """Return P, the sum over the tokens of one channel, exact (BL2-MEAN-02)."""
    return sum(terms)


def mean_code(total: int, multiplier: int, shift: int, bits: int) -> int:
    """Return y = SAT(RND(P * M >> n), 0, 2**b - 1); the zero point is in every p (BL2-MEAN-03)."""
    return sat(rnd(total * multiplier, shift), 0, (1 << bits) - 1)


def stream_mean(total: int, multiplier: int, shift: int, config: NetworkConfig) -> int:
    """Return the mean of the stream, SAT(RND(P * M >> n)), `stream_bits` wide (BL2-MEAN-04)."""
    return sat(rnd(total * multiplier, shift), config.stream_min, config.stream_max)


@kernel
def mean_term_kernel(z, gain, offset, shift, high, term):
    """Write term[t, c] of z[t, c], limited to -high - 1 and high.

    z: (T, C) int32; gain, offset, shift: (C,) int64; high: int64; term: (T, C) int32.
    """
    for t in range(term.shape[0]):
        for c in range(term.shape[1]):
            value = rnd_kernel(np.int64(z[t, c]) * gain[c] + offset[c], shift[c])
            term[t, c] = min(max(value, -high - np.int64(1)), high)


@kernel
def token_mean_kernel(term, multiplier, shift, low, high, total, mean):
    """Write total[c], the sum of term[t, c] over t, and mean[c], limited to low and high.

    term: (T, C) int32, of `mean_term_kernel` or of the stream; multiplier, shift, low, high: int64;
    total: (C,) int64; mean: (C,) int32.
    """
    total[:] = 0
    for t in range(term.shape[0]):
        for c in range(term.shape[1]):
            total[c] += np.int64(term[t, c])
    for c in range(mean.size):
        mean[c] = min(max(rnd_kernel(total[c] * multiplier, shift), low), high)
