"""The images of the embedded network `fashion`: Fashion-MNIST.

Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine
Learning Algorithms", 2017; MIT licence, beside the files. The package ships the 10,000 test images,
as published, and the first `CALIBRATION_POOL` of the 60,000 training images.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import TensorDataset

from ..images.data import TensorImages
from ..images.idx import read_idx
from ..images.pixels import Pixels

IMAGE_SIZE = 28
CLASSES = 10
#: `fashion_input` gives multiples of 1/128 in [-1, 1); the largest pixel of a file is 255.
PIXELS = Pixels(256, (0.5,), (0.5,))
CALIBRATION_POOL = 1024
DATA = Path(__file__).parent / "data" / "fashion"


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
