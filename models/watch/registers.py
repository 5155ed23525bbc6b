"""Registers that are compared and marked, by name, and how many. Nothing here imports torch."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from bitlog2.documents import Count, Document, Exact, Positive, brief
from bitlog2.sim import HIDDEN_REGISTERS, REGISTERS
from bitlog2.sim.network.datapath import NETWORK_REGISTERS

#: Every register that is compared, of attention and of the network around it.
COMPARED = (*REGISTERS, *NETWORK_REGISTERS)
#: Numbers of values by register.
Counts = Annotated[
    dict[str, Exact], Meta(extra_json_schema={"propertyNames": {"enum": list(COMPARED)}})
]
#: In place of a layer's name, where images are chosen and not heads: a whole network.
NETWORK = "network"
#: Registers of every datapath in order, then those of the network around it; product and
#: out_product are those before the shifts.
WATERMARKED = ("score", "product", *REGISTERS[1:-1], "out_product", "o", *NETWORK_REGISTERS)
#: Pairs (image, head) of which a plain sample takes one.
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
        seed: seed of a sample.

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
            heads: heads per image; in Swin, of all of its windows.
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


class LayerShape(Document, frozen=True, kw_only=True):
    """Shape of a layer's datapath for one image.

    Attributes:
        heads: (window, head) pairs; window after window.
        sizes: values of a pair, by register.
        masked: masked (row, key) pairs of each of these; empty where nothing is masked.
    """

    heads: Positive
    sizes: Counts
    masked: tuple[Count, ...] = ()


def values_compared(
    shapes: Mapping[str, LayerShape], choice: HeadChoice, images: Sequence[int]
) -> dict[str, int]:
    """Return how many values of each register are compared in a batch of these images."""
    counts: dict[str, int] = {}
    for layer, shape in shapes.items():
        chosen = choice.pairs(layer, images, shape.heads)
        masked = int(np.array(shape.masked)[chosen % shape.heads].sum()) if shape.masked else 0
        for name, size in shape.sizes.items():
            hidden = masked if name in HIDDEN_REGISTERS else 0
            counts[name] = counts.get(name, 0) + len(chosen) * size - hidden
    return counts
