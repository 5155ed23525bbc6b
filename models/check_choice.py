"""Which heads a check compares: every one, or some that a seed chooses image by image."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim.checks import brief

__all__ = ["CHECKS", "HeadChoice"]

#: What `--check` takes: nothing, a seeded sample of heads, or every layer, head and row.
CHECKS = ("none", "sample", "sample:K", "all")
#: Of how many (image, head) pairs a plain sample takes one.
_SAMPLE_EVERY = 8
_MODE = re.compile(r"all|sample(?::([1-9][0-9]{0,8}))?")


@dataclass(frozen=True)
class HeadChoice:
    """Chooses (image, head) pairs of one layer in one batch.

    A sample takes the pairs with the smallest of some numbers. Those follow from the seed, the
    layer and the number of the image alone: not from the order of images or batches, nor from what
    was chosen before, so that a run that is resumed or shared out checks the same pairs.

    Args:
        mode: `all`; `sample`, one pair of eight, at least one; or `sample:K`, K pairs, or all where
            there are fewer. K is 1 to 999999999.
        seed: of a sample.

    Raises:
        ValueError: the mode is another.
    """

    mode: str
    seed: int = 0

    def __post_init__(self) -> None:
        if _MODE.fullmatch(self.mode) is None:
            raise ValueError(
                "check must be all, sample or sample:K, K from 1 to 999999999, got "
                f"{brief(self.mode)}"
            )

    def pairs(self, layer: str, images: Sequence[int], heads: int) -> NDArray[np.int64]:
        """Return positions of the chosen pairs, rising: image after image, `heads` pairs each.

        Args:
            layer: its name.
            images: number of each image of the batch.
            heads: heads an image; in Swin, of all of its windows.
        """
        total = len(images) * heads
        size = self._size(total)
        if size >= total:
            return np.arange(total)
        numbers = np.concatenate([self._numbers(layer, image, heads) for image in images])
        return np.sort(np.argsort(numbers, kind="stable")[:size])

    def _size(self, total: int) -> int:
        match = _MODE.fullmatch(self.mode)
        if self.mode == "all" or match is None:
            return total
        return -(-total // _SAMPLE_EVERY) if match[1] is None else int(match[1])

    def _numbers(self, layer: str, image: int, heads: int) -> NDArray[np.uint64]:
        """Return a number of 64 bits for each head of an image: SHAKE-128 of what names it."""
        name = f"{self.seed} {image} {layer}".encode()
        return np.frombuffer(hashlib.shake_128(name).digest(8 * heads), "<u8")
