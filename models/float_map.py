"""The attention map in the published float arithmetic: a BitLog2 code, or none."""

import torch
from torch import Tensor, nn

from bitlog2.sim import Scheme

from .levels import level_of, value_of
from .map_scale import best_delta

__all__ = ["FloatMap", "Log2Map"]


class FloatMap(nn.Module):
    """The control `none`: the map stays as it is."""

    frozen = True

    def observe(self, x: Tensor) -> None:
        """Nothing to freeze."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x."""
        return x


class Log2Map(nn.Module):
    """A BitLog2 code as published: p = floor(x * A) in float32, clamped to A - 1.

    Attributes:
        delta: () float32, the integer scale; empty until calibrated.
    """

    delta: Tensor

    def __init__(self, scheme: Scheme) -> None:
        super().__init__()
        self.scheme = scheme
        self.register_buffer("delta", torch.zeros(()))

    def codes(self, x: Tensor) -> Tensor:
        """Return p of each value of x in [0, 1], float32 integers from 0 to A - 1."""
        return (x * self.scheme.int_max).floor_().clamp_(0, self.scheme.int_max - 1)

    @property
    def frozen(self) -> bool:
        """Whether delta is known."""
        return bool(self.delta != 0)

    def observe(self, x: Tensor) -> None:
        """Freeze delta from the attention map of the calibration batch."""
        level = level_of(self.codes(x), self.scheme)
        delta = best_delta(level, x, self.scheme, largest=self.scheme.int_max - 1)
        self.delta = torch.tensor(float(delta), device=x.device)

    def forward(self, x: Tensor) -> Tensor:
        """Return the dequantized map, value / delta, the shape of x."""
        if not self.frozen:
            raise RuntimeError("quantizer is not calibrated: run a calibration pass first")
        return value_of(self.codes(x), self.scheme).div_(self.delta)
