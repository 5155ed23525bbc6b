"""The published baseline: the attention map in a base-sqrt(2) logarithmic code, in floats."""

import math

import torch
from torch import Tensor, nn

from .ranges import PERCENTILES, percentile

__all__ = ["Sqrt2Map"]


class Sqrt2Map(nn.Module):
    """RepQ-ViT's log-sqrt(2) code: code = round(-2 log2(x / delta)), ties to even.

    Codes of 2**bits and more are zero. With 16 levels (at 4 bits) there is one nonzero value less,
    and the last code, 2**bits - 1, is not sent to zero but up to the level before it: the published
    quirk. Values: 2**-(c / 2) * delta for even c; for odd c sqrt(2) * 2**-((c + 1) / 2) * delta.

    Args:
        bits: width of activation codes: 2**bits codes.
        seventeen: 2**bits nonzero values and zero (17 levels at 4 bits), or one value less.

    Attributes:
        delta: () float32, the percentile of the calibration batch's map; 0 until calibrated.

    Source: RepQ-ViT (Li et al., 2023), log-sqrt(2) quantizer with its scale kept apart.
    """

    delta: Tensor

    def __init__(self, bits: int, *, seventeen: bool) -> None:
        super().__init__()
        self.codes = 1 << bits
        self.top = self.codes - 1 if seventeen else self.codes - 2
        self.register_buffer("delta", torch.zeros(()))

    @property
    def frozen(self) -> bool:
        """Whether delta is known."""
        return bool(self.delta != 0)

    def observe(self, x: Tensor) -> None:
        """Freeze delta: the upper percentile of x with the least squared error.

        Raises:
            ValueError: a value is not finite, or so many are zero that every percentile is.
        """
        best_error = math.inf
        for fraction in PERCENTILES:
            delta = percentile(x.reshape(1, -1), fraction).reshape(())
            error = float((self._quantized(x, delta) - x).square().mean(dtype=torch.float64))
            if error < best_error and delta > 0:
                self.delta, best_error = delta, error
        if best_error == math.inf:
            raise ValueError("attention map must be finite and hold values above zero")

    def forward(self, x: Tensor) -> Tensor:
        """Return x quantized and dequantized, the shape of x."""
        if not self.frozen:
            raise RuntimeError("quantizer is not calibrated: run a calibration pass first")
        return self._quantized(x, self.delta)

    def _quantized(self, x: Tensor, delta: Tensor) -> Tensor:
        code = (-1 * (x / delta).log2() * 2).round()
        kept = code.clamp(0, self.top)
        factor = (kept % 2) * (math.sqrt(2) - 1) + 1
        value = 2 ** (-1 * (kept / 2).ceil()) * factor * delta
        return value.masked_fill(code >= self.codes, 0.0)
