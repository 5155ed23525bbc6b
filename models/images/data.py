"""Images that calibrate a model and images that it is evaluated on, of any source."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from bitlog2.names import CALIBRATION_IMAGES

#: Shows progress over items: (items, label, how many) -> items.
Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]


class ImageBatch(NamedTuple):
    """Validation images with their labels and numbers.

    Attributes:
        images: (B, C, H, W) float32, on the CPU.
        labels: (B,) int64.
        numbers: (B,) int64, position of each image in the whole validation set.
    """

    images: Tensor
    labels: Tensor
    numbers: Tensor


class ImageData(ABC):
    """A training set that calibrates a model, and a validation set that it is evaluated on.

    Attributes:
        classes: number of classes.
        complete: whether there are validation images of every class.
        notes: remarks for the user beside the number of images, a sentence each.
        skipped: names of the images left out so far because they can't be read, each once.
    """

    classes: int
    complete: bool
    notes: list[str]
    skipped: list[str]

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of validation images, readable or not."""

    @abstractmethod
    def calibration_images(self, seed: int, count: int = CALIBRATION_IMAGES) -> Tensor:
        """Return the first `count` training images of a shuffle: (count, C, H, W) float32."""

    @abstractmethod
    def batches(
        self, batch_size: int, limit: int | None, wanted: Sequence[int] | None = None
    ) -> Iterator[ImageBatch]:
        """Yield the first `limit` validation images in order, all for None.

        Of these the batches with the numbers `wanted`, counted from 0; all for None.

        Raises:
            ValueError: batch_size or limit is below 1.
        """

    @abstractmethod
    def scan(self, limit: int | None, progress: Progress) -> None:
        """Find unreadable images among the first `limit` validation images, before long work."""

    def name(self, position: int) -> str:
        """Return the name of a validation image."""
        return str(position)

    def end(self, limit: int | None) -> int:
        """Return how many validation images `limit` leaves, readable or not."""
        return len(self) if limit is None else min(limit, len(self))


@dataclass(frozen=True)
class TensorImages(ImageData):
    """Images held in memory.

    Attributes:
        train, test: images (n, C, H, W) float32 and labels (n,) int64.
    """

    train: TensorDataset
    test: TensorDataset
    classes: int
    complete: bool = True
    notes: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.test)

    def scan(self, limit: int | None, progress: Progress) -> None:
        """Find nothing: all images are in memory."""

    def calibration_images(self, seed: int, count: int = CALIBRATION_IMAGES) -> Tensor:
        """Return the first `count` training images of a shuffle; ValueError for too many."""
        images: Tensor = self.train[shuffled_positions(len(self.train), count, seed)][0]
        return images

    def batches(
        self, batch_size: int, limit: int | None, wanted: Sequence[int] | None = None
    ) -> Iterator[ImageBatch]:
        """Yield the first `limit` test images in order, all for None; of these `wanted` batches."""
        for numbers in chosen(position_batches(len(self.test), batch_size, limit), wanted):
            images, labels = self.test[numbers[0] : numbers[-1] + 1]
            yield ImageBatch(images, labels, torch.tensor(numbers))


def shuffled_positions(total: int, count: int, seed: int) -> list[int]:
    """Return the first `count` of `total` positions as a shuffling DataLoader draws them.

    These are the images of the published scripts, which take the first batch of
    `DataLoader(..., batch_size=count, shuffle=True, drop_last=True)` after
    `torch.manual_seed(seed)`. The random state of the process is left as it was.

    Raises:
        ValueError: count is not in 1..total.
    """
    if not 1 <= count <= total:
        raise ValueError(f"count must be 1 to the {total} training images, got {count}")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        positions = TensorDataset(torch.arange(total))
        loader = DataLoader(positions, batch_size=count, shuffle=True, drop_last=True)
        drawn: list[int] = next(iter(loader))[0].tolist()
    return drawn


def position_batches(total: int, batch_size: int, limit: int | None) -> list[range]:
    """Return the positions of each batch of the first `limit` of `total` images.

    Raises:
        ValueError: batch_size or limit is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, or None for all images, got {limit}")
    end = total if limit is None else min(limit, total)
    return [range(start, min(start + batch_size, end)) for start in range(0, end, batch_size)]


def chosen(batches: list[range], wanted: Sequence[int] | None) -> list[range]:
    """Return the batches with the numbers `wanted`, in their order; all for None."""
    return batches if wanted is None else [batches[number] for number in sorted(wanted)]
