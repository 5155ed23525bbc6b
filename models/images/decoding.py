"""One image file: decoded as torchvision's ImageFolder decodes it, or refused with a reason.

The published accuracies come from images read by `PIL.Image.open(file).convert("RGB")`. So does
every image here: the first frame of an animation, transparency dropped, palettes, grey and CMYK
brought to RGB, orientation tags not looked at, embedded colour profiles not applied, damage that
Pillow decodes over (pixels of a JPEG, checksums of a PNG's pixel data) decoded over.

Refused, where that loader would give something that is not the image, or fill the memory: numbers
of more than 8 bits in one channel (it clips them, a 16-bit grey image turns white), formats
that ImageNet-shaped folders don't hold (PostScript, say, would run another program), more pixels
than Pillow takes for an attack, and sides so unlike that the resized image would be enormous.
"""

import logging
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

#: Recognized by their content, not by the suffix.
_FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")
#: Largest ratio of the sides: at a shorter side of 256, 65 million pixels.
_LARGEST_RATIO = 1000

#: Errors of the versions of Pillow on files that are no images, or damaged ones.
_PILLOW_FAILS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    LookupError,
    ArithmeticError,
    EOFError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Keep Pillow's warnings and log off the terminal: an image is read, or refused with a reason.

    Filters belong to the process: threads that read images need this around them, not in them.
    """
    log, silent = logging.getLogger("PIL"), logging.NullHandler()
    log.addHandler(silent)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.removeHandler(silent)


def check_header(file: BinaryIO) -> None:
    """Look at an image's header; damage further on is not seen.

    Raises:
        ValueError: the reason why it can't be read.
    """
    try:
        _open(file)
    except _PILLOW_FAILS as error:
        raise ValueError(_reason(error)) from error


def decode(file: BinaryIO) -> Image.Image:
    """Return an image in mode RGB.

    Raises:
        ValueError: the reason why it can't be read.
    """
    try:
        image = _open(file)
        with _quiet_libtiff() if image.format == "TIFF" else nullcontext():
            return image.convert("RGB")
    except _PILLOW_FAILS as error:
        raise ValueError(_reason(error)) from error


def _open(file: BinaryIO) -> Image.Image:
    image = Image.open(file, formats=_FORMATS)
    short, long = sorted(image.size)
    if short < 1 or long > _LARGEST_RATIO * short:
        width, height = image.size
        raise ValueError(f"sides must be within 1 to {_LARGEST_RATIO}, got {width} x {height}")
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"channels must have 8 bits, got Pillow's mode {image.mode}")
    return image


@contextmanager
def _quiet_libtiff() -> Iterator[None]:
    """Keep off standard error what libtiff writes there itself, in C, before Pillow raises."""
    try:
        kept = os.dup(2)
    except OSError:  # closed: nothing can appear there
        yield
        return
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "empty, or not an image"
    if isinstance(error, MemoryError):
        return "more memory than there is"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).rstrip(".") or type(error).__name__
