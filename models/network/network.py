"""The whole network in torch: from pixels to int32 logits, in integers alone.

Written from SPEC.md, section 10, without the simulator's kernels; attention is
`models/ptq/datapath.py`. Exact on any device, for any batch and number of threads: what is scaled
is int64, and a matrix product goes through int8, float32 or float64 only where the widths of the
configuration prove that its sums are exact (`exact_accumulators`).

Shapes: B images, T tokens, C channels, K inputs and O outputs of a linear layer, H heads of D
channels, W windows of N tokens.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bitlog2.sim.network import NetworkConfig
from bitlog2.sim.network.parameters import (
    MeanParams,
    NormParams,
    StreamMeanParams,
    StreamNormParams,
)
from bitlog2.sim.network.program import (
    Attention,
    CodeLinear,
    Head,
    Linear,
    Merging,
    Mlp,
    PatchEmbedding,
    Program,
    ResidualLinear,
    Windows,
)

from ..images.pixels import Pixels
from ..ptq.attention import of_every_window
from ..ptq.datapath import AttentionDatapath
from ..ptq.layers import exact_accumulators

#: Takes the registers of a unit: part of the network, unit, registers by name. Parts, units, names
#: and axes are those of `bitlog2.sim.network.program.Trace`.
Observe = Callable[[str, str, dict[str, Tensor]], None]


class Part(NamedTuple):
    """Where a module stands, and who takes its registers."""

    name: str
    observe: Observe | None

    def of(self, name: str) -> "Part":
        """Return a part of this part."""
        return Part(f"{self.name}.{name}", self.observe)

    def keep(self, unit: str, **registers: Tensor) -> None:
        """Hand out the registers of a unit."""
        if self.observe is not None:
            self.observe(self.name, unit, registers)


class IntegerNetwork(nn.Module):
    """A program as a torch module, to be moved to a device like any other.

    Args:
        program: what the network loads.
        observe: is handed the registers of every unit, in the order of the data.
    """

    def __init__(self, program: Program, observe: Observe | None = None) -> None:
        super().__init__()
        self.program, self.observe = program, observe
        self.steps = nn.ModuleList(_MODULES[type(each)](each, program) for each in program.steps)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the logits, (B, classes) int32, of pixels (B, colour, line, column), integers."""
        x = pixels.long()
        for place, step in enumerate(self.steps):
            x = step(x, Part(f"steps.{place}", self.observe))
        return x.int()


class ImageNetwork(IntegerNetwork):
    """A program that takes normalized images, as the model that it was lowered from.

    Args:
        program: what the network loads.
        normalization: what a pixel of these images stands for.
    """

    def __init__(self, program: Program, normalization: Pixels) -> None:
        super().__init__(program)
        self.normalization = normalization

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (B, classes) int32, of images (B, colour, line, column) float32."""
        return super().forward(self.normalization.of(images))


class Integers(nn.Module):
    """Base of what follows: integers that it loads are int64 buffers, named as in the program."""

    def load(self, **values: Any) -> None:
        """Register each of them."""
        for name, each in values.items():
            self.register_buffer(name, torch.from_numpy(np.array(each, np.int64)))


class Product(nn.Module):
    """Unit 22, the linear accumulator: A = x w^T + (B - zx * sum(w)) = (x - zx) w^T + B."""

    weights: Tensor
    constant: Tensor

    def __init__(self, linear: Linear, largest: tuple[int, int]) -> None:
        super().__init__()
        self.largest = largest
        bias = np.array(linear.product.linear_bias, np.int64)
        constant = bias - linear.product.zx * linear.weights.sum(axis=1, dtype=np.int64)
        self.register_buffer("weights", torch.from_numpy(linear.weights.astype(np.int16)))
        self.register_buffer("constant", torch.from_numpy(constant.astype(np.int32)))

    def forward(self, codes: Tensor, part: Part) -> Tensor:
        """Return A, (..., O) int32, of codes (..., K)."""
        product = exact_accumulators(codes, self.weights, *self.largest)  # (..., O)
        acc = product.int() + self.constant
        part.keep("linear_accumulator", linear_acc=acc)
        return acc


class ToCodes(Integers):
    """Units 22 and 23: a linear layer whose outputs are codes."""

    linear_multiplier: Tensor
    linear_shift: Tensor

    def __init__(self, linear: CodeLinear, largest: tuple[int, int]) -> None:
        super().__init__()
        self.product, params = Product(linear, largest), linear.params
        self.zero, self.top = params.linear_zero, (1 << params.y_bits) - 1
        self.load(linear_multiplier=params.linear_multiplier, linear_shift=params.linear_shift)

    def forward(self, codes: Tensor, part: Part) -> Tensor:
        """Return codes (..., O) of codes (..., K)."""
        acc = self.product(codes, part)  # (..., O)
        y = scaled(acc, self.linear_multiplier, self.linear_shift)
        y = y.add_(self.zero).clamp_(0, self.top).to(torch.uint8)
        part.keep("linear_requantizer", linear_code=y)
        return y


class ToStream(Integers):
    """Units 22 and 24: a linear layer whose outputs are added to the residual stream."""

    residual_multiplier: Tensor
    residual_shift: Tensor

    def __init__(
        self, linear: ResidualLinear, largest: tuple[int, int], config: NetworkConfig
    ) -> None:
        super().__init__()
        self.product, params = Product(linear, largest), linear.params
        self.range = (config.stream_min, config.stream_max)
        self.load(
            residual_multiplier=params.residual_multiplier, residual_shift=params.residual_shift
        )

    def forward(self, codes: Tensor, x: Tensor, part: Part) -> Tensor:
        """Return the stream (..., O) behind codes (..., K); x (..., O) is what they add to."""
        acc = self.product(codes, part)  # (..., O)
        added = scaled(acc, self.residual_multiplier, self.residual_shift)
        residual = added.add_(x).clamp_(*self.range)
        part.keep("residual_adder", residual=residual)
        return residual


class Normalizer(Integers):
    """Units 25 to 27: z, the stream's channels less their mean over their deviation."""

    def __init__(self, norm_eps: int, config: NetworkConfig) -> None:
        super().__init__()
        self.eps, self.bits, self.fraction = norm_eps, config.root_bits, config.z_fraction_bits

    def forward(self, x: Tensor, part: Part) -> Tensor:
        """Return z, (..., C), of the stream (..., C)."""
        channels = x.shape[-1]
        total = x.sum(dim=-1, keepdim=True)  # (..., 1)
        squares = (x * x).sum(dim=-1, keepdim=True)  # (..., 1)
        variance = channels * squares - total * total + self.eps  # (..., 1)
        k = (leading_one(variance) >> 1) - (self.bits - 1)  # (..., 1)
        argument = (variance << (-2 * k).clamp(min=0)) >> (2 * k).clamp(min=0)
        root = integer_root(argument)  # (..., 1)
        reciprocal = (1 << (2 * self.bits - 1)) // root  # (..., 1)
        centred = channels * x - total  # (..., C)
        z = scaled(centred, reciprocal, 2 * self.bits - 1 + k - self.fraction)
        sums = {"stream_sum": total, "square_sum": squares, "variance": variance}
        roots = {"root_shift": k, "root": root, "reciprocal": reciprocal}
        for unit, each in (("norm_sums", sums), ("reciprocal_root", roots)):
            part.keep(unit, **{name: value.squeeze(-1) for name, value in each.items()})
        part.keep("normalizer", centred=centred, z=z)
        return z


class Norm(Integers):
    """Units 25 to 28: a layer norm of the stream whose outputs are codes, or a new stream."""

    gain: Tensor
    offset: Tensor
    gain_shift: Tensor

    def __init__(self, params: NormParams | StreamNormParams, config: NetworkConfig) -> None:
        super().__init__()
        self.normalizer = Normalizer(params.norm_eps, config)
        self.load(gain=params.gain, offset=params.offset, gain_shift=params.gain_shift)
        self.codes = isinstance(params, NormParams)
        self.range = (config.stream_min, config.stream_max)
        if isinstance(params, NormParams):
            self.range = (0, (1 << params.y_bits) - 1)

    def forward(self, x: Tensor, part: Part) -> Tensor:
        """Return codes, or the new stream, (..., C), of the stream (..., C)."""
        z = self.normalizer(x, part)  # (..., C)
        y = scaled(z, self.gain, self.gain_shift, self.offset).clamp_(*self.range)
        if not self.codes:
            part.keep("norm_requantizer", stream_norm=y)
            return y
        code = y.to(torch.uint8)
        part.keep("norm_requantizer", norm_code=code)
        return code


class EmbeddingStep(Integers):
    """Units 21, 22 and 24: pixels to tokens, constant ones in front; and the stream's norm."""

    image_gain: Tensor
    image_offset: Tensor
    image_shift: Tensor
    positions: Tensor
    prefix: Tensor

    def __init__(self, step: PatchEmbedding, program: Program) -> None:
        super().__init__()
        config = program.network
        self.patch, self.top = step.patch, (1 << config.outer_bits) - 1
        colours = {
            name: np.reshape(each, (-1, 1, 1)) for name, each in vars(step.image).items()
        }  # (colour, 1, 1)
        self.load(**colours, positions=step.positions, prefix=step.prefix)
        self.linear = ToStream(step.linear, outer(config), config)
        self.norm = None if step.norm is None else Norm(step.norm, config)

    def forward(self, pixels: Tensor, part: Part) -> Tensor:
        """Return the stream (B, T, C) of pixels (B, colour, line, column)."""
        code = scaled(pixels, self.image_gain, self.image_shift, self.image_offset)
        code = code.clamp_(0, self.top).to(torch.uint8)  # (B, colour, line, column)
        part.of("image").keep("image_requantizer", image_code=code)
        parts = code.unfold(2, self.patch, self.patch).unfold(3, self.patch, self.patch)
        patches = parts.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)  # (B, patches, K)
        x = self.linear(patches, self.positions, part.of("linear"))  # (B, patches, C)
        x = torch.cat((self.prefix.expand(len(x), -1, -1), x), dim=1)  # (B, T, C)
        return x if self.norm is None else self.norm(x, part.of("norm"))


class AttentionStep(Integers):
    """Units 25 to 28, 22 and 23, attention, 22 and 24."""

    bias: Tensor | None
    masked: Tensor | None

    def __init__(self, step: Attention, program: Program) -> None:
        super().__init__()
        config, largest = program.network, inner(program.network)
        self.heads, self.windows, self.params = step.heads, step.windows, step.params
        self.norm = Norm(step.norm, config)
        self.q, self.k, self.v = (ToCodes(each, largest) for each in (step.q, step.k, step.v))
        self.datapath = AttentionDatapath(program.attention)
        self.proj = ToStream(step.proj, largest, config)
        for name in ("bias", "masked"):
            table = getattr(step, name)
            self.register_buffer(name, None if table is None else torch.from_numpy(table.copy()))

    def forward(self, x: Tensor, part: Part) -> Tensor:
        """Return the stream (B, T, C) behind the stream (B, T, C)."""
        codes = self.norm(x, part.of("norm"))  # (B, T, C)
        q = self._by_head(self.q(codes, part.of("q")))  # (B W, H, N, D)
        k = self._by_head(self.k(codes, part.of("k")))  # (B W, H, N, D)
        v = self._by_head(self.v(codes, part.of("v")))  # (B W, H, N, D)
        masked = None if self.masked is None else of_every_window(self.masked, len(q))
        found = self.datapath(q, k, v, self.params, masked, self.bias)
        registers = {  # (B, W H, N, ...)
            name: each.reshape(len(x), -1, *each.shape[2:]) for name, each in found.named().items()
        }
        part.of("attention").keep("attention_row", **registers)
        o = self._by_token(found.output.o, len(x))  # (B, T, H D)
        return self.proj(o, x, part.of("proj"))  # (B, T, C)

    def _by_head(self, codes: Tensor) -> Tensor:
        """Return (B W, H, N, D) float32 of (B, T, H D)."""
        if self.windows is not None:
            codes = partition(codes, self.windows)  # (B W, N, H D)
        return codes.float().view(*codes.shape[:2], self.heads, -1).transpose(1, 2)

    def _by_token(self, o: Tensor, images: int) -> Tensor:
        """Return (B, T, H D) of (B W, H, N, D)."""
        rows = o.transpose(1, 2).flatten(2)  # (B W, N, H D)
        return rows if self.windows is None else joined(rows, self.windows, images)


class MlpStep(Integers):
    """Units 25 to 28, 22 and 29, 22 and 24."""

    activation_multiplier: Tensor
    activation_shift: Tensor
    table: Tensor

    def __init__(self, step: Mlp, program: Program) -> None:
        super().__init__()
        config, params = program.network, step.fc1.params
        self.range = (config.u_min, config.u_max)
        self.load(
            activation_multiplier=params.activation_multiplier,
            activation_shift=params.activation_shift,
        )
        self.register_buffer("table", torch.tensor(params.table, dtype=torch.uint8))
        self.norm = Norm(step.norm, config)
        self.fc1 = Product(step.fc1, inner(config))
        self.fc2 = ToStream(step.fc2, inner(config), config)

    def forward(self, x: Tensor, part: Part) -> Tensor:
        """Return the stream (B, T, C) behind the stream (B, T, C)."""
        codes = self.norm(x, part.of("norm"))  # (B, T, C)
        acc = self.fc1(codes, part.of("fc1"))  # (B, T, O)
        u = scaled(acc, self.activation_multiplier, self.activation_shift).clamp_(*self.range)
        places = (u - self.range[0]).flatten()
        hidden = self.table.index_select(0, places).view(u.shape)  # (B, T, O)
        part.of("fc1").keep("activation", u=u, activation_code=hidden)
        return self.fc2(hidden, x, part.of("fc2"))  # (B, T, C)


class MergingStep(Integers):
    """Units 25 to 28, 22 and 24: two by two tokens as one, in a new stream."""

    def __init__(self, step: Merging, program: Program) -> None:
        super().__init__()
        config = program.network
        self.grid = (step.height, step.width)
        self.norm = Norm(step.norm, config)
        self.reduction = ToStream(step.reduction, inner(config), config)

    def forward(self, x: Tensor, part: Part) -> Tensor:
        """Return the stream (B, T / 4, C') behind the stream (B, T, C)."""
        grid = x.view(len(x), *self.grid, -1)  # (B, height, width, C)
        corners = [grid[:, i::2, j::2] for j in (0, 1) for i in (0, 1)]
        merged = torch.cat(corners, dim=-1).flatten(1, 2)  # (B, T / 4, 4 C)
        codes = self.norm(merged, part.of("norm"))  # (B, T / 4, 4 C)
        zero = torch.zeros((), dtype=torch.int64, device=x.device)
        return self.reduction(codes, zero, part.of("reduction"))  # (B, T / 4, C')


class HeadStep(Integers):
    """Units 25 to 28 of one token, or with 30 of their mean; then 22 and 31."""

    head_multiplier: Tensor
    head_shift: Tensor
    mean: "Mean | StreamMean | None"

    def __init__(self, step: Head, program: Program) -> None:
        super().__init__()
        config, params = program.network, step.linear.params
        self.first = step.first
        self.norm = None if step.norm is None else Norm(step.norm, config)
        self.mean = None
        if isinstance(step.mean, MeanParams):
            self.mean = Mean(step.mean, config)
        elif step.mean is not None:
            self.mean = StreamMean(step.mean, config)
        self.linear = Product(step.linear, outer(config))
        self.load(head_multiplier=params.head_multiplier, head_shift=params.head_shift)

    def forward(self, x: Tensor, part: Part) -> Tensor:
        """Return the logits (B, O) of the stream (B, T, C)."""
        x = x[:, :1] if self.mean is None else self.mean(x[:, self.first :], part.of("mean"))
        codes = x if self.norm is None else self.norm(x, part.of("norm"))  # (B, 1, C)
        acc = self.linear(codes, part.of("linear"))  # (B, 1, O)
        logit = scaled(acc, self.head_multiplier, self.head_shift)
        part.of("linear").keep("head", logit=logit)
        return logit[:, 0]


class Mean(Integers):
    """Units 25 to 27 and 30: the coded mean of normalized tokens."""

    mean_gain: Tensor
    mean_offset: Tensor
    mean_shift: Tensor
    mean_multiplier: Tensor
    mean_scale_shift: Tensor

    def __init__(self, params: MeanParams, config: NetworkConfig) -> None:
        super().__init__()
        self.normalizer = Normalizer(params.norm_eps, config)
        self.load(
            mean_gain=params.mean_gain,
            mean_offset=params.mean_offset,
            mean_shift=params.mean_shift,
            mean_multiplier=params.mean_multiplier,
            mean_scale_shift=params.mean_scale_shift,
        )
        self.high, self.top = (1 << (config.mean_bits - 1)) - 1, (1 << params.y_bits) - 1

    def forward(self, x: Tensor, part: Part) -> Tensor:
        """Return codes (B, 1, C) of the stream (B, T, C)."""
        z = self.normalizer(x, part)  # (B, T, C)
        term = scaled(z, self.mean_gain, self.mean_shift, self.mean_offset)
        term = term.clamp_(-self.high - 1, self.high)
        total = term.sum(dim=1, keepdim=True)  # (B, 1, C)
        code = scaled(total, self.mean_multiplier, self.mean_scale_shift)
        code = code.clamp_(0, self.top).to(torch.uint8)
        part.keep("token_mean", mean_term=term, mean_sum=total, mean_code=code)
        return code


class StreamMean(Integers):
    """Unit 30: the mean of tokens of the stream itself."""

    mean_multiplier: Tensor
    mean_scale_shift: Tensor

    def __init__(self, params: StreamMeanParams, config: NetworkConfig) -> None:
        super().__init__()
        self.load(mean_multiplier=params.mean_multiplier, mean_scale_shift=params.mean_scale_shift)
        self.range = (config.stream_min, config.stream_max)

    def forward(self, x: Tensor, part: Part) -> Tensor:
        """Return the stream's mean (B, 1, C) of the stream (B, T, C)."""
        total = x.sum(dim=1, keepdim=True)  # (B, 1, C)
        mean = scaled(total, self.mean_multiplier, self.mean_scale_shift).clamp_(*self.range)
        part.keep("token_mean", mean_sum=total, stream_mean=mean)
        return mean


_MODULES: dict[type, Callable[[Any, Program], nn.Module]] = {
    PatchEmbedding: EmbeddingStep,
    Attention: AttentionStep,
    Mlp: MlpStep,
    Merging: MergingStep,
    Head: HeadStep,
}


def inner(config: NetworkConfig) -> tuple[int, int]:
    """Return the largest code and weight between embedding and head."""
    return (1 << config.a_bits) - 1, (1 << config.w_bits) - 1


def outer(config: NetworkConfig) -> tuple[int, int]:
    """Return the largest code and weight of embedding and head."""
    return (1 << config.code_bits) - 1, (1 << config.weight_bits) - 1


def scaled(x: Tensor, multiplier: Tensor, shift: Tensor, offset: Tensor | int = 0) -> Tensor:
    """Return RND(x * M + H >> n), int64, whose registers have at most 62 bits."""
    constant = offset + ((1 << shift) >> 1)  # H, and half of what is shifted out
    return torch.addcmul(constant, x.long(), multiplier).bitwise_right_shift_(shift)


def leading_one(x: Tensor) -> Tensor:
    """Return floor(log2 x) of x from 1 to 2**62: the exponent of a float64, which may round up."""
    exponent = torch.frexp(x.double()).exponent.long() - 1
    return exponent - (torch.bitwise_left_shift(torch.ones_like(x), exponent) > x).long()


def integer_root(x: Tensor) -> Tensor:
    """Return floor(sqrt(x)) of x below 2**48.

    A float64 holds x, and its root is rounded correctly: the root of (r + 1)**2 - 1 misses r + 1 by
    more than 2**-26, which is above half of what a float64 below 2**24 resolves.
    """
    return x.double().sqrt().long()


def partition(x: Tensor, windows: Windows) -> Tensor:
    """Return tokens by window, (B W, N, C), of (B, T, C)."""
    grid = x.view(len(x), windows.height, windows.width, -1)
    turned = grid.roll((-windows.row_shift, -windows.column_shift), dims=(1, 2))
    down, across = windows.height // windows.rows, windows.width // windows.columns
    parts = turned.view(len(x), down, windows.rows, across, windows.columns, -1)
    return parts.transpose(2, 3).flatten(3, 4).flatten(0, 2)


def joined(rows: Tensor, windows: Windows, images: int) -> Tensor:
    """Return tokens in their order, (B, T, C), of (B W, N, C)."""
    down, across = windows.height // windows.rows, windows.width // windows.columns
    parts = rows.view(images, down, across, windows.rows, windows.columns, -1)
    turned = parts.transpose(2, 3).flatten(3, 4).flatten(1, 2)  # (B, height, width, C)
    return turned.roll((windows.row_shift, windows.column_shift), dims=(1, 2)).flatten(1, 2)
