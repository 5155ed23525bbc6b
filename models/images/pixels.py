"""What a pixel stands for: integers in front of the normalization."""

from dataclasses import dataclass

import torch
from torch import Tensor

#: Largest distance of a normalized image from the pixels that it must be made of.
_TOLERANCE = 1e-2


@dataclass(frozen=True)
class Pixels:
    """The normalization of images: real = (pixel / largest - mean) / deviation, colour by colour.

    Attributes:
        largest: the largest pixel; pixels are integers from 0.
        mean, deviation: by colour channel.
    """

    largest: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def of(self, images: Tensor) -> Tensor:
        """Return the pixels of normalized images, (B, colour, line, column) int32.

        Raises:
            ValueError: the images have other colours, or are no normalized pixels.
        """
        if images.ndim != 4 or images.shape[1] != len(self.mean):
            raise ValueError(
                f"images must be (B, {len(self.mean)}, lines, columns), got {tuple(images.shape)}"
            )
        mean, deviation = (
            torch.tensor(each, dtype=torch.float64, device=images.device).view(1, -1, 1, 1)
            for each in (self.mean, self.deviation)
        )
        real = (images.double() * deviation + mean) * self.largest
        pixels = (real + 0.5).floor()
        off = (real - pixels).abs()
        wrong = ~(off <= _TOLERANCE) | (pixels < 0) | (pixels > self.largest)
        if bool(wrong.any()):
            raise ValueError(
                f"images must be normalized integers from 0 to {self.largest}, got "
                f"{float(real[wrong][0]):.4f}"
            )
        return pixels.int()
