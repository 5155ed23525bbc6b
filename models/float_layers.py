"""Linear layers and the patch projection in the published fake-quantized arithmetic."""

import torch.nn.functional as F
from torch import Tensor, nn

from .uniform import PublishedUniform

__all__ = ["FloatConv2d", "FloatLinear"]


class FloatLinear(nn.Module):
    """A linear layer whose input and weight pass a fake-quantizer.

    Args:
        linear: the layer whose parameters it takes.
        w_bits: width of the weight codes, per output channel.
        a_bits: width of the input codes.
        per_channel: input quantized per channel, until reparameterization makes it per tensor.
    """

    def __init__(self, linear: nn.Linear, w_bits: int, a_bits: int, *, per_channel: bool) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.input_quantizer = PublishedUniform(a_bits, -1 if per_channel else None)
        self.weight_quantizer = PublishedUniform(w_bits, 0)

    def calibrate(self, x: Tensor) -> None:
        """Freeze what is not frozen, from this input."""
        if not self.input_quantizer.frozen:
            self.input_quantizer.observe(x)
        if not self.weight_quantizer.frozen:
            self.weight_quantizer.observe(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output, (..., out) float32."""
        return F.linear(self.input_quantizer(x), self.weight_quantizer(self.weight), self.bias)


class FloatConv2d(nn.Module):
    """The patch projection, as `FloatLinear`, its input per tensor."""

    def __init__(self, conv: nn.Conv2d, w_bits: int, a_bits: int) -> None:
        super().__init__()
        self.weight, self.bias, self.stride = conv.weight, conv.bias, conv.stride
        self.input_quantizer = PublishedUniform(a_bits)
        self.weight_quantizer = PublishedUniform(w_bits, 0)

    def calibrate(self, x: Tensor) -> None:
        """Freeze what is not frozen, from this input."""
        if not self.input_quantizer.frozen:
            self.input_quantizer.observe(x)
        if not self.weight_quantizer.frozen:
            self.weight_quantizer.observe(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out, H / stride, W / stride) float32."""
        weight = self.weight_quantizer(self.weight)
        return F.conv2d(self.input_quantizer(x), weight, self.bias, self.stride)
