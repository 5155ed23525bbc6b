"""The images of the embedded network `digits`, which are part of the package.

Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", the test part, UCI Machine
Learning Repository; CC BY 4.0, beside the files. scikit-learn has the same as `load_digits`.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import TensorDataset

from ..images.data import TensorImages
from ..images.idx import read_idx
from ..images.pixels import Pixels

IMAGE_SIZE = 32
CLASSES = 10
#: `digits_input` gives multiples of 1/512 in [-1, 1].
PIXELS = Pixels(1024, (0.5,), (0.5,))
DATA = Path(__file__).parent / "data" / "digits"

_UPSAMPLE = 4
_HELD_OUT_PERIOD = 10
_HELD_OUT_RESIDUES = (0, 3, 6)


def digits_pixels() -> tuple[np.ndarray, np.ndarray]:
    """Return all digits: uint8 pixels (1797, 8, 8) in 0..16 and int64 labels (1797,) in 0..9."""
    labels = read_idx(DATA / "labels-idx1-ubyte.gz").astype(np.int64)
    return read_idx(DATA / "images-idx3-ubyte.gz"), labels


def held_out_mask(labels: np.ndarray) -> np.ndarray:
    """Return which samples are held out: bool, of the shape of the integer array `labels` (n,).

    A sample is held out when its index within its own class, in data-set order, leaves 0, 3 or 6
    modulo 10. This is stratified by construction and uses no random generator, so no version of
    any library can change it. The data set is ordered by writer, so every writer is in both parts:
    the held-out figure is of new samples of known writers.
    """
    mask = np.zeros(labels.shape, dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        chosen = np.isin(np.arange(members.size) % _HELD_OUT_PERIOD, _HELD_OUT_RESIDUES)
        mask[members[chosen]] = True
    return mask


def digits_input(pixels: np.ndarray) -> Tensor:
    """Return float32 images (n, 1, 32, 32) in [-1, 1] of uint8 pixels (n, 8, 8) in 0..16.

    Bilinear upsampling by 4 without aligned corners weighs source pixels by odd multiples of 1/8
    per axis, that is by multiples of 1/64. Sums of integer pixels under these weights and the
    normalisation x/8 - 1 (which is (x/16 - 0.5)/0.5) need at most 11 significant bits, so the
    result is exact in float32 in any order of additions: the same on every machine.

    Raises:
        ValueError: the shape or type is another, or a pixel is above 16.
    """
    if pixels.ndim != 3 or pixels.shape[1:] != (8, 8) or pixels.dtype != np.uint8:
        raise ValueError(f"expected uint8 pixels (n, 8, 8), got {pixels.dtype} {pixels.shape}")
    if pixels.size and int(pixels.max()) > 16:
        raise ValueError(f"pixels must be in 0..16, got {int(pixels.max())}")
    images = torch.from_numpy(pixels.astype(np.float32)).unsqueeze(1)
    enlarged = F.interpolate(images, scale_factor=_UPSAMPLE, mode="bilinear", align_corners=False)
    return enlarged / 8 - 1


def digits_images() -> TensorImages:
    """Return the fixed split: 1253 training and 544 held-out images of the 1797 digits.

    See `held_out_mask` for the rule and `digits_input` for shapes, dtypes and the exact
    preprocessing. Both parts keep the data-set order. Labels are int64 (n,) in 0..9.
    """
    pixels, labels = digits_pixels()
    held_out = held_out_mask(labels)
    train, test = (
        TensorDataset(digits_input(pixels[mask]), torch.from_numpy(labels[mask]))
        for mask in (~held_out, held_out)
    )
    return TensorImages(train, test, CLASSES)
