"""What a linear layer and a convolution have in common when they are quantized."""

from torch import Tensor

from .late_buffers import LateBuffers
from .uniform import UniformQuantizer

__all__ = ["QuantizedLayer"]


class QuantizedLayer(LateBuffers):
    """A weight, a bias, and a quantizer for the input and for the weight.

    Attributes:
        weight: (out, ...) float32, quantized per output channel.
        bias: (out,) float32 or None, not quantized. Parameters, both.
        reparam_r, reparam_b: (in,) float32, what reparameterization divided the LayerNorm before
            this layer by and took away from it; empty where there was none.
    """

    late_buffers: tuple[str, ...] = ("reparam_r", "reparam_b")
    reparam_r: Tensor
    reparam_b: Tensor

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        input_quantizer: UniformQuantizer,
        weight_quantizer: UniformQuantizer,
    ) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias
        self.input_quantizer = input_quantizer
        self.weight_quantizer = weight_quantizer

    def calibrate(self, x: Tensor) -> None:
        """Freeze what is not frozen, from this input."""
        if not self.input_quantizer.frozen:
            self.input_quantizer.observe(x)
        if not self.weight_quantizer.frozen:
            self.weight_quantizer.observe(self.weight)
