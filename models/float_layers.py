"""Linear layers and the patch projection in the published fake-quantized arithmetic."""

import torch.nn.functional as F
from torch import Tensor, nn

from .quantized_layer import QuantizedLayer
from .uniform import PublishedUniform

__all__ = ["FloatConv2d", "FloatLinear"]


class FloatLinear(QuantizedLayer):
    """A linear layer whose input and weight pass a fake-quantizer.

    Args:
        linear: the layer whose parameters it takes.
        w_bits: width of the weight codes, per output channel.
        a_bits: width of the input codes.
        per_channel: input quantized per channel, until reparameterization makes it per tensor.
    """

    def __init__(self, linear: nn.Linear, w_bits: int, a_bits: int, *, per_channel: bool) -> None:
        quantizer = PublishedUniform(a_bits, -1 if per_channel else None)
        super().__init__(linear.weight, linear.bias, quantizer, PublishedUniform(w_bits, 0))

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output, (..., out) float32."""
        return F.linear(self.input_quantizer(x), self.weight_quantizer(self.weight), self.bias)


class FloatConv2d(QuantizedLayer):
    """The patch projection, as `FloatLinear`, its input per tensor."""

    def __init__(self, conv: nn.Conv2d, w_bits: int, a_bits: int) -> None:
        quantizer = PublishedUniform(a_bits)
        super().__init__(conv.weight, conv.bias, quantizer, PublishedUniform(w_bits, 0))
        self.stride = conv.stride

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out, H / stride, W / stride) float32."""
        weight = self.weight_quantizer(self.weight)
        return F.conv2d(self.input_quantizer(x), weight, self.bias, self.stride)
