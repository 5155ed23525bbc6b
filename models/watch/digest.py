"""Digests of images and registers, by which runs, machines and devices can be compared."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from torch import Tensor

from bitlog2.sim import REGISTERS

from .watching import Observation, Watcher

#: Registers that go into a digest, each in one little-endian type on every device.
_TYPES = dict.fromkeys(REGISTERS, "<i4") | {
    "n2_row": "u1",
    "row_sum": "<i8",
    "level": "u1",
    "nibble": "u1",
    "flag": "u1",
    "o": "u1",
}
_CHOSEN = {"codes": ("level", "o"), "all": REGISTERS}


def pixel_digests(images: Tensor) -> tuple[str, ...]:
    """Return the SHA-256 of each image as the model gets it.

    Args:
        images: (B, C, H, W) float32; hashed as little-endian bytes.
    """
    values = np.ascontiguousarray(images.detach().cpu().numpy().astype("<f4", copy=False))
    return tuple(hashlib.sha256(image.data).hexdigest() for image in values)


class RegisterDigest(Watcher):
    """The SHA-256 of a model's attention registers, image by image, in the order of its layers.

    It does not depend on which images share a batch.

    Args:
        which: `codes` (level and o, which the rest of the model sees) or `all`.
    """

    def __init__(self, which: str) -> None:
        self._names = _CHOSEN[which]
        self._hashes: list[Any] = []
        self._ran = False

    @property
    def digests(self) -> tuple[str, ...]:
        """64 hexadecimal digits per image of the batch; none if no datapath ran."""
        return tuple(each.hexdigest() for each in self._hashes) if self._ran else ()

    def begin(self, numbers: tuple[int, ...]) -> None:
        """Forget the batch before."""
        self._hashes, self._ran = [hashlib.sha256() for _ in numbers], False

    def take(self, seen: Observation) -> None:
        """Take in the registers of a layer."""
        self._ran = True
        for name in (name for name in self._names if name in seen.registers):
            values = seen.registers[name].detach().to("cpu").numpy()
            values = values.astype(_TYPES[name], copy=False)
            rows = np.ascontiguousarray(values).reshape(len(self._hashes), -1)
            for each, row in zip(self._hashes, rows, strict=True):
                each.update(row.data)


def digest_of_digests(digests: Iterable[str]) -> str:
    """Return the SHA-256 of the digests of all images in order; empty where there are none."""
    parts = list(digests)
    if not parts:
        return ""
    return hashlib.sha256("".join(parts).encode()).hexdigest()
