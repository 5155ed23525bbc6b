"""Unit 21: pixels as codes; normalization and the scale of the codes are one multiplication."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...declarations import Port, Stream, Unit, ones
from ...expressions import number, parameter
from ...jit import borrowing_kernel as kernel
from ...rounding import rnd, rnd_kernel, sat

if TYPE_CHECKING:
    from ..config import NetworkConfig

_OFFSET = ones("offset_bits") >> 1

PIXEL = Port("pixel", "channel", ones("pixel_bits"))
GAIN = Port("image_gain", "channel", ones("m_bits"), low=1)
OFFSET = Port("image_offset", "channel", _OFFSET, signed=True)
SHIFT = Port("image_shift", "channel", parameter("max_n"))
#: p * G + H plus the rounding constant 2**(n-1).
PRODUCT = Port(
    "image_product",
    "channel",
    PIXEL.bound * GAIN.bound + OFFSET.bound + (number(1) << SHIFT.bound >> 1),
    signed=True,
    register=True,
)
CODE = Port("image_code", "channel", ones("outer_bits"), register=True, dtype="uint8")

IMAGE_REQUANTIZER = Unit(
    "image_requantizer",
    number=21,
    declares=(PIXEL, GAIN, OFFSET, SHIFT, PRODUCT, CODE),
    streams=(
        Stream("stimulus", "input", "case", ("pixel", "image_gain", "image_offset", "image_shift")),
        Stream("expected", "output", "case", ("image_code",)),
    ),
    makes=(("image_requantizer", "expected", "image_code"),),
    assumes=(SHIFT.bounded,),
    clocked=False,
    version=2,
)


def image_requantizer(pixel: int, gain: int, offset: int, shift: int, config: NetworkConfig) -> int:
    """Return c = SAT(RND(p * G + H >> n), 0, 2**outer_bits - 1) (BL2-IMAGE-01).

    Args:
        pixel: p, 0 to 2**pixel_bits - 1.
        gain, offset, shift: G, H and n of the colour channel; H holds mean and zero point.
        config: gives the bits of the code.
    """
    return sat(rnd(pixel * gain + offset, shift), 0, (1 << config.outer_bits) - 1)


@kernel
def image_requantizer_kernel(pixel, gain, offset, shift, top, code):
    """Write code[c, i] of pixel[c, i].

    pixel: (C, I) integers, I pixels of each of C colours; gain, offset, shift: (C,) int64; top: the
    largest code, int64; code: (C, I) uint8.
    """
    for c in range(code.shape[0]):
        for i in range(code.shape[1]):
            value = rnd_kernel(np.int64(pixel[c, i]) * gain[c] + offset[c], shift[c])
            code[c, i] = min(max(value, np.int64(0)), top)
