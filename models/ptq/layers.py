"""Quantized linear layers and convolutions, in float and in integers."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .compensation import compensated, refitted
from .quantizers import CodeUniform, LateBuffers, PublishedUniform, UniformQuantizer

_INT8_MAX, _UINT8_MAX, _INT16_MAX = 127, 255, 32767
#: Multiplications from which on a product of one head in int8 is faster than a batch in float32.
_LARGE_PRODUCT = 1 << 20


def exact_matmul(a: Tensor, b: Tensor, bound: int) -> Tensor:
    """Return a @ b of integers held in float32, exact, as float32 (float64 from 2**24 on).

    Every partial sum, in any order, is an integer of magnitude at most `bound`, which float32
    holds up to 2**24. Reduced-precision multipliers (TF32, bfloat16) do no harm: operands are
    codes less zero points or level values, at most 8 significant bits, which these formats hold,
    and sums stay float32.

    Args:
        a, b: (..., I, J) and (..., J, K) integers in float32.
        bound: the largest sum of |a| * |b| over J, proved by the caller from its widths.

    Raises:
        ValueError: the bound is 2**53 or more.
    """
    if bound >= 1 << 53:
        raise ValueError(f"bound must be below 2**53 for an exact product, got {bound}")
    dtype = torch.float32 if bound < 1 << 24 else torch.float64
    with torch.autocast(a.device.type, enabled=False):
        return torch.matmul(a.to(dtype), b.to(dtype))


def exact_scores(
    q: Tensor, k: Tensor, zeros: tuple[int, int], largest: tuple[int, int], bound: int
) -> Tensor:
    """Return (q - zq) (k - zk)^T of codes, (B, H, R, N), exact, in a type that holds every sum.

    On the CPU each large head is a product in int8, as `exact_accumulators` takes it.

    Args:
        q, k: (B, H, R, D) and (B, H, N, D) integers of any type.
        zeros, largest: zero point and largest code, of q and of k.
        bound: the largest sum of |q - zq| * |k - zk|.
    """
    (zq, zk), narrow = zeros, q.device.type == "cpu" and int8_product_is_safe(*largest)
    large = q.shape[-2] * k.shape[-2] * q.shape[-1] >= _LARGE_PRODUCT
    if not (large and narrow and _int8_product_works()):
        return exact_matmul(q.float() - zq, (k.float() - zk).transpose(-2, -1), bound)
    score = torch.empty(*q.shape[:-1], k.shape[-2], dtype=torch.int32)
    q, k = (_as_int8(q) - zq).flatten(0, 1), (_as_int8(k) - zk).flatten(0, 1)
    for rows, keys, out in zip(q, k, score.flatten(0, 1), strict=True):
        torch._int_mm(rows, keys.t(), out=out)
    return score


def exact_linear(x: Tensor, weight: Tensor, x_max: int, weight_max: int) -> Tensor:
    """Return x @ weight^T of integers, exact in the accumulator, then in the type of x.

    In float32 an accumulator of 2**24 or more is rounded once, to the nearest. Arguments are those
    of `exact_accumulators`, x of a float type.
    """
    return exact_accumulators(x, weight, x_max, weight_max).to(x.dtype)


def exact_accumulators(
    x: Tensor, weight: Tensor, x_max: int, weight_max: int, bound: int | None = None
) -> Tensor:
    """Return x @ weight^T of integers, exact, in a type that holds every sum.

    On the CPU the product is taken in int8 with int32 accumulators where the widths prove it safe
    (several times as fast as float32), else as `exact_matmul`.

    Args:
        x: (..., K) integers of any type, at most `x_max` in magnitude.
        weight: (N, K) int8 or int16 integers, at most `weight_max` in magnitude.
        x_max, weight_max: proved by the caller from its widths.
        bound: the largest sum of |x| * |weight| over K, where the weights prove a smaller one.
    """
    narrow = x.device.type == "cpu" and int8_product_is_safe(x_max, weight_max)
    if narrow and _int8_product_works():
        rows = _as_int8(x.reshape(-1, x.shape[-1]))
        product = torch._int_mm(rows, weight.to(torch.int8).t())
        return product.view(*x.shape[:-1], len(weight))
    if bound is None:
        bound = x_max * weight_max * weight.shape[1]
    return exact_matmul(x, weight.t(), bound)


def _as_int8(x: Tensor) -> Tensor:
    """Return integers that int8 holds as int8."""
    return x.view(torch.int8) if x.dtype == torch.uint8 else x.to(torch.int8)


def int8_product_is_safe(x_max: int, weight_max: int) -> bool:
    """Whether no int8 product of such operands can saturate on any processor.

    Processors without VNNI multiply unsigned by signed bytes and add pairs in int16, which
    saturates. A library makes x unsigned by adding 128: so 2 * (128 + x_max) * weight_max must fit
    int16. True up to 6 by 6 bits.
    """
    fits = max(x_max, weight_max) <= _INT8_MAX
    return fits and 2 * (128 + x_max) * weight_max <= _INT16_MAX


@lru_cache(maxsize=1)
def _int8_product_works() -> bool:
    """Whether this torch has the int8 product, and gives the exact sums of extreme operands."""
    signs = torch.tensor([1, 1, 1, -1, -1]).repeat(13)
    x = torch.stack([signs * 63, -signs * 63, signs.roll(1) * 63])
    weight = torch.stack([signs * 63, signs.roll(2) * 63])
    try:
        product = torch._int_mm(x.to(torch.int8), weight.to(torch.int8).t())
    except (AttributeError, RuntimeError):
        return False
    return torch.equal(product.long(), x @ weight.t())


class PackedLinear:
    """x @ weight^T + constant of codes, exact, in float32: the int8 product of oneDNN.

    The weights are laid out for the processor once, and sums leave it as float32: twice as fast as
    `exact_accumulators`. On the CPU alone, and where `is_exact` says so.

    Args:
        weight: (N, K) int8.
        constant: (N,) integers below 2**24.
    """

    def __init__(self, weight: Tensor, constant: Tensor) -> None:
        self._made_of, self._versions = (weight, constant), _versions(weight, constant)
        self._weight = torch.ops.onednn.qlinear_prepack(weight, None)
        self._constant = constant.float()
        self._ones = torch.ones(len(weight))
        self._zeros = torch.zeros(len(weight), dtype=torch.int64)

    def __reduce__(self) -> tuple[type["PackedLinear"], tuple[Tensor, Tensor]]:
        return PackedLinear, self._made_of

    def __call__(self, codes: Tensor) -> Tensor:
        """Return it, (..., N) float32, of codes (..., K) uint8."""
        rows = codes.reshape(-1, codes.shape[-1])
        weight = self._weight, self._ones, self._zeros, self._constant
        product = torch.ops.onednn.qlinear_pointwise  # scales of 1, zero points of 0
        made: Tensor = product(rows, 1.0, 0, *weight, 1.0, 0, torch.float32, "none", [], "")
        return made.view(*codes.shape[:-1], made.shape[-1])

    def is_of(self, weight: Tensor, constant: Tensor) -> bool:
        """Whether it was made of these tensors, and they have not changed since."""
        same = weight is self._made_of[0] and constant is self._made_of[1]
        return same and self._versions == _versions(weight, constant)

    @staticmethod
    def is_exact(x_max: int, weight_max: int, bound: int) -> bool:
        """Whether every sum is exact here: of up to 8 by 8 bits where the processor saturates none.

        Args:
            x_max, weight_max: the largest code, and weight in magnitude.
            bound: the largest sum of x * |weight|, plus the largest constant in magnitude.
        """
        fits = x_max <= _UINT8_MAX and weight_max <= _INT8_MAX and bound < 1 << 24
        if not fits or int8_product_is_safe(x_max, weight_max):
            return fits and _packed_linear_works()
        return _packed_linear_works(_UINT8_MAX, _INT8_MAX)


def _versions(*tensors: Tensor) -> list[int]:
    """Return how often each was changed in place; tensors of inference mode do not count it."""
    return [0 if each.is_inference() else each._version for each in tensors]


@lru_cache(maxsize=2)
def _packed_linear_works(x_max: int = 63, weight_max: int = 63) -> bool:
    """Whether this torch has `PackedLinear`, and gives the exact sums of extreme operands.

    Without VNNI, pairs of the largest 8-bit operands of one sign saturate: here in every second
    sum, of rows and columns enough for the product that a layer takes.
    """
    signs = torch.tensor([1, 1, 1, -1, -1]).repeat(51)
    x = torch.stack([signs.clamp(min=0) * x_max, torch.full_like(signs, x_max)]).repeat(16, 1)
    rows = signs * weight_max, torch.full_like(signs, weight_max)
    weight = torch.stack([*rows, -rows[0], -rows[1]]).repeat(16, 1)
    largest = int((x @ weight[0]).max())
    constant = torch.tensor([(1 << 24) - 1 - largest, -65, 65, 1]).repeat(16)
    try:
        made = PackedLinear(weight.to(torch.int8), constant)(x.to(torch.uint8))
    except (AttributeError, RuntimeError):
        return False
    return torch.equal(made.long(), x @ weight.t() + constant)


class QuantizedLayer(LateBuffers):
    """A weight, a bias, and a quantizer for the input and for the weight.

    Attributes:
        weight: (out, ...) float32, quantized per output channel.
        bias: (out,) float32 or None, not quantized. Parameters, both.
        reparam_r, reparam_b: (in,) float32, what reparameterization divided the LayerNorm before
            this layer by and took away from it; empty where there was none.
        compensates: whether calibration fits weight codes and bias to the layer's output.
    """

    compensates = False
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
            if self.compensates:
                self._compensate(self.rows(x), self.rows(self.input_quantizer.quantized(x)))
            else:
                self.weight_quantizer.observe(self.weight)

    def rows(self, x: Tensor) -> Tensor:
        """Return inputs as rows that the weight is multiplied by, (n, in)."""
        return x.reshape(-1, x.shape[-1])

    def _compensate(self, x: Tensor, coded: Tensor) -> None:
        """Fit weight and bias, the weight rounded to codes, to inputs (n, in) and their codes."""
        mean = self.weight.flatten(1).double() @ x.double().mean(dim=0)
        weight = refitted(self.weight, x, coded)
        self.weight_quantizer.observe(weight)
        weight = compensated(weight, coded, self.weight_quantizer)
        mean -= weight.flatten(1).double() @ coded.double().mean(dim=0)
        bias = mean.to(weight.dtype) if self.bias is None else (self.bias + mean).to(weight.dtype)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)


def patches(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Return the patches of images (B, in, H, W), (B, patches, in * kernel)."""
    return F.unfold(x, kernel, stride=stride).transpose(1, 2)


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

    def rows(self, x: Tensor) -> Tensor:
        """Return the patches of images (B, in, H, W), (n, in * kernel)."""
        return patches(x, self.weight.shape[2:], self.stride).flatten(0, 1)


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
        return self.from_centred(codes - self.input_quantizer.zero_point)

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
        out = self.from_centred(patches(self.input_quantizer.centred(x), kernel, self.stride))
        lines = (x.shape[2] - kernel[0]) // self.stride[0] + 1
        return out.transpose(1, 2).reshape(len(x), len(self.weight), lines, -1)

    def rows(self, x: Tensor) -> Tensor:
        """Return the patches of images (B, in, H, W), (n, in * kernel)."""
        return patches(x, self.weight.shape[2:], self.stride).flatten(0, 1)
