"""A model with its data, by the name that a user types."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from .digits import digits_split, load_digits

__all__ = ["MODELS", "Task", "load_task"]

#: Names that `--model` takes.
MODELS = ("digits",)
#: Images that calibrate a model, as published.
CALIBRATION_IMAGES = 32


@dataclass(frozen=True)
class Task:
    """A trained model, the images that may calibrate it and those that judge it.

    Attributes:
        name: one of `MODELS`.
        model: in eval mode, on its device.
        train, test: images (B, C, H, W) float32 and labels (B,) int64.
        classes: number of classes.
    """

    name: str
    model: VisionTransformer
    train: TensorDataset
    test: TensorDataset
    classes: int
    device: str

    def calibration_images(self, seed: int) -> Tensor:
        """Return the first 32 images of the training set shuffled by `torch.manual_seed(seed)`.

        The random state of the process is left as it was.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            loader = DataLoader(self.train, CALIBRATION_IMAGES, shuffle=True, drop_last=True)
            images: Tensor = next(iter(loader))[0]
        return images.to(self.device)

    def batches(self, batch_size: int, limit: int | None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (images, labels) of the held-out set in order, the first `limit` of them."""
        count = self.count(limit)
        for start in range(0, count, batch_size):
            images, labels = self.test[start : min(start + batch_size, count)]
            yield images.to(self.device), labels

    def count(self, limit: int | None) -> int:
        """Return how many held-out images `limit` leaves."""
        return len(self.test) if limit is None else min(limit, len(self.test))


def load_task(name: str, device: str = "cpu") -> Task:
    """Return the task of that name.

    Raises:
        ValueError: the name is not one of `MODELS`, or the device is not to be had.
    """
    if name not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}, got {name!r}")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device must be cpu where torch finds no CUDA device, got {device!r}")
    split = digits_split()
    return Task(
        name=name,
        model=load_digits().to(device),
        train=TensorDataset(split.train_images, split.train_labels),
        test=TensorDataset(split.test_images, split.test_labels),
        classes=10,
        device=device,
    )
