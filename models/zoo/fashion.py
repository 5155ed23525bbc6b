"""The images of the embedded network `fashion`: Fashion-MNIST.

Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine
Learning Algorithms", 2017; MIT licence, beside the files. The package ships the 10,000 test images,
as published, and the first `CALIBRATION_POOL` of the 60,000 training images.
"""

import gzip
import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import TensorDataset

from ..images.data import TensorImages
from ..images.pixels import Pixels

IMAGE_SIZE = 28
CLASSES = 10
#: `fashion_input` gives multiples of 1/128 in [-1, 1); the largest pixel of a file is 255.
PIXELS = Pixels(256, (0.5,), (0.5,))
CALIBRATION_POOL = 1024
DATA = Path(__file__).parent / "data" / "fashion"

_UNSIGNED_BYTE = 8


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Return the array of an idx file of bytes, compressed by gzip or not.

    Raises:
        OSError: no such file.
        ValueError: another type than unsigned bytes, or another number of bytes than its header
            gives.
    """
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError) as error:
            raise ValueError(f"idx file {path} must be whole gzip data: {error}") from error
    if len(content) < 4 or content[:3] != bytes((0, 0, _UNSIGNED_BYTE)):
        raise ValueError(
            f"idx file {path} must be of unsigned bytes, got magic {content[:4].hex()}"
        )
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise ValueError(f"idx file {path} must hold {content[3]} sizes, got {len(content)} bytes")
    shape = np.frombuffer(content[4:start], ">u4").astype(np.int64)
    values = np.frombuffer(content[start:], np.uint8)
    if values.size != math.prod(shape.tolist()):
        raise ValueError(
            f"idx file {path} must hold {shape.tolist()} bytes after its header, got {values.size}"
        )
    return values.reshape(shape)


def idx_images(folder: Path, part: str) -> TensorDataset:
    """Return the images and labels of `{part}-images-idx3-ubyte` and `{part}-labels-idx1-ubyte`.

    The names end in .gz, or do not.

    Raises:
        OSError: one of the two is missing.
        ValueError: as `read_idx`; they do not hold as many labels as images of 28 by 28.
    """
    pixels, labels = (
        read_idx(_either(folder / f"{part}-{kind}-ubyte"))
        for kind in ("images-idx3", "labels-idx1")
    )
    if labels.ndim != 1 or (labels >= CLASSES).any() or len(labels) != len(pixels):
        raise ValueError(
            f"{folder}/{part} must have a label from 0 to {CLASSES - 1} for each image, got labels "
            f"{labels.shape} and images {pixels.shape}"
        )
    return TensorDataset(fashion_input(pixels), torch.from_numpy(labels.astype(np.int64)))


def _either(path: Path) -> Path:
    compressed = path.with_name(path.name + ".gz")
    return compressed if compressed.exists() else path


def fashion_input(pixels: NDArray[np.uint8]) -> Tensor:
    """Return float32 images (n, 1, 28, 28) of uint8 pixels (n, 28, 28): x/128 - 1, exactly.

    Raises:
        ValueError: the shape or type is another.
    """
    if pixels.shape[1:] != (IMAGE_SIZE, IMAGE_SIZE) or pixels.dtype != np.uint8:
        raise ValueError(f"expected uint8 pixels (n, 28, 28), got {pixels.dtype} {pixels.shape}")
    return torch.from_numpy(pixels.astype(np.float32)).unsqueeze(1) / 128 - 1


def fashion_images() -> TensorImages:
    """Return the images that may calibrate, and the test images."""
    return TensorImages(idx_images(DATA, "calibration"), idx_images(DATA, "t10k"), CLASSES)
