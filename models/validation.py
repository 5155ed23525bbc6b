"""The published validation loop: loss and precision, batch by batch, with running means."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import nn

from .evaluate import top5
from .task import Task

__all__ = ["Meter", "Validation", "validate"]


@dataclass
class Meter:
    """A value and its mean, weighted by images.

    Attributes:
        value: the last one.
        total, weight: sum of value * weight, and of weights.
    """

    value: float = 0.0
    total: float = 0.0
    weight: int = 0

    def add(self, value: float, weight: int) -> None:
        """Take in one value."""
        self.value = value
        self.total += value * weight
        self.weight += weight

    @property
    def mean(self) -> float:
        """The mean so far; 0 of nothing."""
        return self.total / self.weight if self.weight else 0.0


@dataclass
class Validation:
    """How far a validation is.

    Attributes:
        batch, batches: number of the batch just done, and how many there are.
        seconds: of a batch, mean over batches.
        loss: cross entropy, mean over images.
        top1, top5: percent of the images whose label is the first, or among the first five.
    """

    batches: int
    batch: int = -1
    seconds: Meter = field(default_factory=Meter)
    loss: Meter = field(default_factory=Meter)
    top1: Meter = field(default_factory=Meter)
    top5: Meter = field(default_factory=Meter)


def validate(task: Task, model: nn.Module, batch_size: int) -> Iterator[Validation]:
    """Yield the same `Validation` after each batch of the validation images, brought up to date."""
    so_far = Validation(-(-task.data.count(None) // batch_size))
    start = time.perf_counter()
    with torch.inference_mode():
        for images, labels, _ in task.data.batches(batch_size, None):
            logits = model(images.to(task.device)).cpu()
            _, hit = top5(logits, labels)
            size = len(labels)
            so_far.batch += 1
            so_far.loss.add(F.cross_entropy(logits, labels).item(), size)
            so_far.top1.add(100.0 * int(hit[:, 0].sum()) / size, size)
            so_far.top5.add(100.0 * int(hit.sum()) / size, size)
            now = time.perf_counter()
            so_far.seconds.add(now - start, 1)
            start = now
            yield so_far
