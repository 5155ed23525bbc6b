"""Unit 28: a normalized channel as a code: gain, offset and scale in one multiplication.

Behind the patch embedding a norm may make the stream itself, in place of codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...declarations import Port, Stream, Unit, ones
from ...expressions import number, parameter
from ...jit import borrowing_kernel as kernel
from ...rounding import rnd, rnd_kernel, sat
from .normalizer import Z

if TYPE_CHECKING:
    from ..config import NetworkConfig

GAIN = Port("gain", "channel", ones("gain_bits") >> 1, signed=True)
OFFSET = Port("offset", "channel", ones("offset_bits") >> 1, signed=True)
SHIFT = Port("gain_shift", "channel", parameter("max_gain_shift"))
#: |z * G + H| plus the rounding constant 2**(n-1).
PRODUCT = Port(
    "gain_product",
    "channel",
    Z.bound * GAIN.bound + OFFSET.bound + (number(1) << SHIFT.bound >> 1),
    signed=True,
    register=True,
)
CODE = Port("norm_code", "channel", ones("code_bits"), register=True, dtype="uint8")
STREAM_NORM = Port(
    "stream_norm",
    "channel",
    ones("stream_bits") >> 1,
    signed=True,
    saturates=True,
    register=True,
    dtype="int32",
)

NORM_REQUANTIZER = Unit(
    "norm_requantizer",
    number=28,
    declares=(GAIN, OFFSET, SHIFT, PRODUCT, CODE, STREAM_NORM),
    streams=(
        Stream("params", "input", "case", ("y_bits",)),
        Stream("stimulus", "input", "case", ("z", "gain", "offset", "gain_shift")),
        Stream("expected", "output", "case", ("norm_code",)),
    ),
    makes=(("norm_requantizer", "expected", "norm_code"),),
    assumes=(SHIFT.bounded,),
    clocked=False,
    version=2,
)


def norm_requantizer(z: int, gain: int, offset: int, shift: int, bits: int) -> int:
    """Return y = SAT(RND(z * G + H >> n), 0, 2**b - 1): rounded once (BL2-NORMREQ-01).

    Args:
        z: the normalized channel.
        gain, offset, shift: G, H and n of the channel; H holds the zero point.
        bits: b of the layer's codes.
    """
    return sat(rnd(z * gain + offset, shift), 0, (1 << bits) - 1)


def stream_norm(z: int, gain: int, offset: int, shift: int, config: NetworkConfig) -> int:
    """Return x = SAT(RND(z * G + H >> n)), signed, `stream_bits` wide (BL2-NORMREQ-02)."""
    return sat(rnd(z * gain + offset, shift), config.stream_min, config.stream_max)


@kernel
def norm_requantizer_kernel(z, gain, offset, shift, top, code):
    """Write code[t, c] of z[t, c].

    z: (T, C) int32; gain, offset, shift: (C,) int64; top: the largest code, int64; code: (T, C)
    uint8.
    """
    for t in range(code.shape[0]):
        for c in range(code.shape[1]):
            value = rnd_kernel(np.int64(z[t, c]) * gain[c] + offset[c], shift[c])
            code[t, c] = min(max(value, np.int64(0)), top)


@kernel
def stream_norm_kernel(z, gain, offset, shift, low, high, x):
    """Write x[t, c] of z[t, c].

    z: (T, C) int32; gain, offset, shift: (C,) int64; low, high: int64, the range of the stream;
    x: (T, C) int32.
    """
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            value = rnd_kernel(np.int64(z[t, c]) * gain[c] + offset[c], shift[c])
            x[t, c] = min(max(value, low), high)
