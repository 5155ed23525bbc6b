"""Linear layers and the patch projection in integer arithmetic: codes times codes, one scale."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .exact import exact_linear
from .quantized_layer import QuantizedLayer
from .uniform import CodeUniform

__all__ = ["IntegerConv2d", "IntegerLinear"]


class IntegerLinear(QuantizedLayer):
    """A linear layer that multiplies centred integer codes exactly, then scales once.

    The accumulator is exact on any device: at most (2**a_bits - 1) * (2**w_bits - 1) * in_features
    in magnitude. Scale and bias are float32, as is what follows (LayerNorm, GELU, residuals).

    Args:
        weight, bias: (out, in) and (out,) float32.
        w_bits, a_bits: widths of weight codes (per output channel) and input codes (per tensor).

    Attributes:
        weight_codes: (out, in) int16, the weight's codes less their zero points; empty until
            calibrated.
    """

    late_buffers = (*QuantizedLayer.late_buffers, "weight_codes")
    input_quantizer: CodeUniform
    weight_quantizer: CodeUniform
    weight_codes: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None, w_bits: int, a_bits: int) -> None:
        own_weight = nn.Parameter(weight.detach(), requires_grad=False)
        own_bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)
        super().__init__(own_weight, own_bias, CodeUniform(a_bits), CodeUniform(w_bits, 0))

    def calibrate(self, x: Tensor) -> None:
        """Freeze what is not frozen, from this input; then the weight's codes."""
        super().calibrate(x)
        centred = self.weight_quantizer.centred(self.weight).flatten(1)
        self.weight_codes = centred.to(torch.int16)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output, (..., out) float32, of real inputs (..., in)."""
        return self.from_centred(self.input_quantizer.centred(x))

    def from_codes(self, codes: Tensor) -> Tensor:
        """Return the layer's output of input codes (..., in), as the datapath gives them."""
        return self.from_centred(codes.float() - self.input_quantizer.zero_point)

    def from_centred(self, centred: Tensor) -> Tensor:
        """Return the layer's output of centred input codes (..., in)."""
        maxima = self.input_quantizer.max_code, self.weight_quantizer.max_code
        acc = exact_linear(centred, self.weight_codes, *maxima)
        out = acc.mul_(self.input_quantizer.delta * self.weight_quantizer.delta.flatten())
        return out if self.bias is None else out.add_(self.bias)


class IntegerConv2d(IntegerLinear):
    """The patch projection: patches unfolded, then `IntegerLinear`."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int],
        w_bits: int,
        a_bits: int,
    ) -> None:
        super().__init__(weight, bias, w_bits, a_bits)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out, H', W') float32 of images (B, in, H, W)."""
        kernel = self.weight.shape[2:]
        patches = F.unfold(self.input_quantizer.centred(x), tuple(kernel), stride=self.stride)
        out = self.from_centred(patches.transpose(1, 2))  # (B, patches, out)
        rows = (x.shape[2] - kernel[0]) // self.stride[0] + 1
        return out.transpose(1, 2).reshape(len(x), len(self.weight), rows, -1)
