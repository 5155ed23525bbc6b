"""Uniform quantizers: the published fake-quantizer, and the integer one."""

from torch import Tensor

from .late_buffers import LateBuffers
from .ranges import search_range

__all__ = ["CodeUniform", "PublishedUniform", "UniformQuantizer"]


class UniformQuantizer(LateBuffers):
    """What both have: bits, a channel axis or none, and frozen `delta` and `zero_point` buffers.

    Attributes:
        bits: width of the codes.
        axis: channel axis of the tensor, or None for one range for all of it.
        delta, zero_point: () or broadcastable along `axis`, float32; empty until frozen.
    """

    late_buffers = ("delta", "zero_point")
    #: Whether ranges are widened to contain zero.
    contain_zero = False

    delta: Tensor
    zero_point: Tensor

    def __init__(self, bits: int, axis: int | None = None) -> None:
        super().__init__()
        self.bits = bits
        self.axis = axis

    @property
    def frozen(self) -> bool:
        """Whether the quantizer has its parameters."""
        return self.delta.numel() > 0

    @property
    def max_code(self) -> int:
        """The largest code."""
        return (1 << self.bits) - 1

    def observe(self, x: Tensor) -> None:
        """Freeze scale and zero point from one batch of values.

        Raises:
            ValueError: as `search_range`.
        """
        axis = self.axis
        rows = x.reshape(1, -1) if axis is None else x.movedim(axis, 0).reshape(x.shape[axis], -1)
        low, high = search_range(rows, self.bits, contain_zero=self.contain_zero)
        delta = (high - low) / self.max_code
        self.freeze(delta, (-low / delta).round(), x.ndim)

    def freeze(self, delta: Tensor, zero_point: Tensor, ndim: int = 0) -> None:
        """Set the parameters, (C,) each, for tensors of `ndim` axes."""
        shape: list[int] = []
        if self.axis is not None:
            shape = [1] * ndim
            shape[self.axis] = delta.numel()
        self.delta = delta.reshape(shape)
        self.zero_point = zero_point.reshape(shape)

    def thaw(self) -> None:
        """Forget the parameters, so that the next calibration pass observes anew."""
        self.delta = self.delta.new_empty(0)
        self.zero_point = self.zero_point.new_empty(0)

    def require_frozen(self) -> None:
        """Raise RuntimeError unless the quantizer is frozen."""
        if not self.frozen:
            raise RuntimeError("quantizer is not calibrated: run a calibration pass first")


class PublishedUniform(UniformQuantizer):
    """The published arithmetic: values in, dequantized values out; ties to even (torch.round).

    The zero point may lie outside of the codes, and after reparameterization need not be an
    integer: then the clamped codes are no integers either. Source: RepQ-ViT.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return x quantized and dequantized, the shape of x."""
        self.require_frozen()
        code = ((x / self.delta).round() + self.zero_point).clamp(0, self.max_code)
        return (code - self.zero_point) * self.delta


class CodeUniform(UniformQuantizer):
    """The integer arithmetic: values in, codes out; RND, and a zero point that is a code."""

    contain_zero = True

    def forward(self, x: Tensor) -> Tensor:
        """Return the codes of x, 0 to 2**bits - 1, as float32 integers of the shape of x."""
        return self.centred(x).add_(self.zero_point)

    def centred(self, x: Tensor) -> Tensor:
        """Return codes less the zero point: integers in [-(2**bits - 1), 2**bits - 1]."""
        self.require_frozen()
        rounded = (x / self.delta).add_(0.5).floor_()
        return rounded.clamp_(-self.zero_point, self.max_code - self.zero_point)
