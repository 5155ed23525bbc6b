"""The whole network in torch: from pixels to int32 logits, in integers alone.

Written from SPEC.md, section 10, without the simulator's kernels; attention is
`models/ptq/datapath.py`. Exact on any device, for any batch and number of threads: what is scaled
is float64 where the widths of the configuration prove that this holds every register exactly, else
int64 (`kind_of`), and a matrix product goes through int8, float32 or float64 only where its sums
are exact (`exact_accumulators`).

Shapes: B images, T tokens, C channels, K inputs and O outputs of a linear layer, H heads of D
channels, W windows of N tokens.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bitlog2.sim.network import NetworkConfig
from bitlog2.sim.network.parameters import (
    ActivationParams,
    GateCodeParams,
    GateParams,
    MeanParams,
    NormParams,
    StreamMeanParams,
    StreamNormParams,
)
from bitlog2.sim.network.program import (
    Attention,
    CodeLinear,
    GatedMlp,
    GateLinear,
    Head,
    Linear,
    Merging,
    Mlp,
    NormedLinear,
    PatchEmbedding,
    Program,
    ResidualLinear,
    Windows,
)

from ..images.pixels import Pixels
from ..ptq.attention import of_every_window
from ..ptq.datapath import AttentionDatapath, DatapathRegisters, looked_up
from ..ptq.layers import PackedLinear, exact_accumulators

#: Values of the widest layer that images of a CPU have at once, so that its caches hold them.
_CACHED = 5 << 17
#: Takes the registers of a unit: part of the network, unit, registers by name. Parts, units, names
#: and axes are those of `bitlog2.sim.network.program.Trace`.
Observe = Callable[[str, str, dict[str, Tensor]], None]
#: Takes what a register that saturates would hold without its limits: part of the network, register
#: by name, values, and the limits.
Limit = Callable[[str, str, Tensor, int, int], None]


class Part(NamedTuple):
    """Where a module stands, who takes its registers, and those that are wider than int32.

    What a register that saturates holds without its limits is handed out where it is asked for.
    """

    name: str
    observe: Observe | None
    wide: frozenset[str]
    limit: Limit | None = None

    def of(self, name: str) -> "Part":
        """Return a part of this part."""
        return self._replace(name=f"{self.name}.{name}")

    def keep(self, unit: str, **registers: Tensor) -> None:
        """Hand out the registers of a unit, as integers."""
        if self.observe is not None:
            held = {name: self._integers(name, each) for name, each in registers.items()}
            self.observe(self.name, unit, held)

    def limited(self, register: str, values: Tensor, low: int, high: int) -> Tensor:
        """Return SAT(values, low, high) for a register; the values are lost."""
        if self.limit is not None:
            self.limit(self.name, register, values, low, high)
        return values.clamp_(low, high)

    def places(self, register: str, values: Tensor, low: int, high: int) -> Tensor:
        """Return SAT(TRN(values), low, high) - low for a register, int32, of values less `low`.

        The values, as `rescaled` returns them, are lost.
        """
        if self.limit is not None:
            self.limit(self.name, register, values.floor().add_(low), low, high)
        return values.clamp_(0, high - low).int()  # drops the fraction: TRN, as none is negative

    def coded(self, register: str, values: Tensor, top: int) -> Tensor:
        """Return SAT(TRN(values), 0, top) for a register, uint8; the values are lost."""
        places = self.places(register, values, 0, top)
        return places.to(torch.uint8)  # several times as fast as from float64 at once

    def _integers(self, name: str, values: Tensor) -> Tensor:
        if not values.is_floating_point():
            return values
        return values.long() if name in self.wide else values.int()


class IntegerNetwork(nn.Module):
    """A program as a torch module, to be moved to a device like any other.

    Args:
        program: what the network loads.
        observe: is handed the registers of every unit, in the order of the data.
        limit: is handed the values of every register that saturates, before its limits.
    """

    def __init__(
        self, program: Program, observe: Observe | None = None, limit: Limit | None = None
    ) -> None:
        super().__init__()
        self.program, self.observe, self.limit = program, observe, limit
        self.steps = nn.ModuleList(_MODULES[type(each)](each, program) for each in program.steps)
        self.images = max(1, _CACHED // largest_values(program))
        registers, largest = program.network.registers.items(), torch.iinfo(torch.int32).max
        self.wide = frozenset(name for name, each in registers if each.bound > largest)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the logits, (B, classes) int32, of pixels (B, colour, line, column), integers.

        On a CPU each thread takes a few images at a time, so that what a layer makes is still in
        cache for the next; an observer, and a hook of a part, gets all images at once.
        """
        watched = self.observe is not None or any(each._forward_hooks for each in self.modules())
        if watched or pixels.device.type != "cpu":
            return self._logits(pixels)
        return torch.cat(in_parts(self._logits, pixels, self.images))

    def _logits(self, x: Tensor) -> Tensor:
        logits = x.new_zeros(len(x), 1, self.program.classes)
        for place, step in enumerate(self.steps):
            part = Part(f"steps.{place}", self.observe, self.wide, self.limit)
            if isinstance(step, HeadStep):
                logits = step(x, part, logits)
            else:
                x = step(x, part)
        return logits[:, 0].int()


class ImageNetwork(IntegerNetwork):
    """A program that takes normalized images, as the model that it was lowered from.

    Args:
        program: what the network loads.
        normalization: what a pixel of these images stands for.
    """

    def __init__(self, program: Program, normalization: Pixels) -> None:
        super().__init__(program)
        self.normalization = normalization
        self.eval()  # nothing in it computes otherwise while it trains

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (B, classes) int32, of images (B, colour, line, column) float32."""
        return super().forward(self.normalization.of(images))


class Scaling(nn.Module):
    """RND(x * M + H >> n) + above, a channel each, in the type that holds every register."""

    multiplier: Tensor
    constant: Tensor
    shift: Tensor

    def __init__(
        self, config: NetworkConfig, multiplier: Any, shift: Any, offset: Any = 0, above: int = 0
    ) -> None:
        """Take M, n and H, one each or one per channel, and what is added behind the shift."""
        super().__init__()
        m, n, h = (torch.from_numpy(np.array(each)).long() for each in (multiplier, shift, offset))
        given = factors(m, n, h + (above << n), kind_of(config))
        for name, each in zip(("multiplier", "constant", "shift"), given, strict=True):
            self.register_buffer(name, each)

    def rescaled(self, x: Tensor) -> Tensor:
        """Return it of integers x, (..., C), as `rescaled`; a float64 x is lost."""
        return rescaled(x.to(self.multiplier.dtype), self.multiplier, self.constant, self.shift)

    def forward(self, x: Tensor) -> Tensor:
        """Return it of integers x, (..., C), in float64 or int64; a float64 x is lost."""
        return whole(self.rescaled(x))


class Product(nn.Module):
    """Unit 22, the linear accumulator: A = x w^T + (B - zx * sum(w)) = (x - zx) w^T + B."""

    weights: Tensor
    constant: Tensor
    packed: PackedLinear | None

    def __init__(self, linear: Linear, largest: tuple[int, int]) -> None:
        super().__init__()
        weights, bias = linear.weights, np.array(linear.product.linear_bias, np.int64)
        constant = bias - linear.product.zx * weights.sum(axis=1, dtype=np.int64)
        self.largest = largest
        self.bound = largest[0] * int(np.abs(weights.astype(np.int64)).sum(axis=1).max())
        kind = np.int8 if largest[1] <= np.iinfo(np.int8).max else np.int16
        self.register_buffer("weights", torch.from_numpy(weights.astype(kind)))
        self.register_buffer("constant", torch.from_numpy(constant.astype(np.int32)))
        bound = self.bound + int(np.abs(constant).max())
        self.packable = PackedLinear.is_exact(*largest, bound)
        self.packed = None

    def forward(self, codes: Tensor, part: Part) -> Tensor:
        """Return A, (..., O) int32, or float32 where this holds it, of codes (..., K)."""
        if self.packable and codes.device.type == "cpu":
            if self.packed is None or not self.packed.is_of(self.weights, self.constant):
                self.packed = PackedLinear(self.weights, self.constant)
            acc = self.packed(codes.to(torch.uint8))  # (..., O)
        else:
            product = exact_accumulators(codes, self.weights, *self.largest, self.bound)
            acc = product.int().add_(self.constant)  # (..., O)
        part.keep("linear_accumulator", linear_acc=acc)
        return acc


class ToCodes(nn.Module):
    """Units 22 and 23: a linear layer whose outputs are codes."""

    def __init__(self, linear: CodeLinear, config: NetworkConfig) -> None:
        super().__init__()
        self.product, params = Product(linear, inner(config)), linear.params
        self.top = (1 << params.y_bits) - 1
        self.scaling = Scaling(
            config, params.linear_multiplier, params.linear_shift, above=params.linear_zero
        )

    def forward(self, codes: Tensor, part: Part) -> Tensor:
        """Return codes (..., O) of codes (..., K)."""
        acc = self.product(codes, part)  # (..., O)
        y = part.coded("linear_code", self.scaling.rescaled(acc), self.top)
        part.keep("linear_requantizer", linear_code=y)
        return y


class ToStream(nn.Module):
    """Units 22 and 24: a linear layer whose outputs are added to the residual stream."""

    def __init__(
        self, linear: ResidualLinear, largest: tuple[int, int], config: NetworkConfig
    ) -> None:
        super().__init__()
        self.product, params = Product(linear, largest), linear.params
        self.range = (config.stream_min, config.stream_max)
        self.scaling = Scaling(config, params.residual_multiplier, params.residual_shift)

    def forward(self, codes: Tensor, x: Tensor, part: Part) -> Tensor:
        """Return the stream (..., O) behind codes (..., K); x (..., O) is what they add to."""
        acc = self.product(codes, part)  # (..., O)
        residual = part.limited("residual", self.scaling(acc).add_(x), *self.range)
        part.keep("residual_adder", residual=residual)
        return residual


class Normalizer(nn.Module):
    """Units 25 to 27: z, the stream's channels less their mean over their deviation."""

    def __init__(self, norm_eps: int, config: NetworkConfig) -> None:
        super().__init__()
        self.eps, self.bits, self.fraction = norm_eps, config.root_bits, config.z_fraction_bits

    def forward(self, x: Tensor, part: Part) -> Tensor:
        """Return z, (..., C), of the stream (..., C)."""
        channels = x.shape[-1]
        total = x.sum(dim=-1, keepdim=True).long()  # (..., 1)
        squares = (x * x).sum(dim=-1, keepdim=True).long()  # (..., 1)
        variance = channels * squares - total * total + self.eps  # (..., 1)
        k = (leading_one(variance) >> 1) - (self.bits - 1)  # (..., 1)
        argument = (variance << (-2 * k).clamp(min=0)) >> (2 * k).clamp(min=0)
        root = integer_root(argument)  # (..., 1)
        reciprocal = (1 << (2 * self.bits - 1)) // root  # (..., 1)
        sums = {"stream_sum": total, "square_sum": squares, "variance": variance}
        roots = {"root_shift": k, "root": root, "reciprocal": reciprocal}
        for unit, each in (("norm_sums", sums), ("reciprocal_root", roots)):
            part.keep(unit, **{name: value.squeeze(-1) for name, value in each.items()})
        if part.observe is not None:
            part.keep("normalizer", centred=channels * x - total)  # (..., C)
        shift = 2 * self.bits - 1 + k - self.fraction  # (..., 1)
        # centred * r is x * (C r) - S r: so no pass over the stream is spent on centred
        given = factors(channels * reciprocal, shift, -total * reciprocal, x.dtype)
        z = scaled(x, *given)  # (..., C)
        part.keep("normalizer", z=z)
        return z


class Norm(nn.Module):
    """Units 25 to 28: a layer norm of the stream whose outputs are codes, or a new stream."""

    def __init__(self, params: NormParams | StreamNormParams, config: NetworkConfig) -> None:
        super().__init__()
        self.normalizer = Normalizer(params.norm_eps, config)
        self.scaling = Scaling(config, params.gain, params.gain_shift, params.offset)
        self.range = (config.stream_min, config.stream_max)
        self.top = (1 << params.y_bits) - 1 if isinstance(params, NormParams) else None

    def forward(self, x: Tensor, part: Part) -> Tensor:
        """Return codes, or the new stream, (..., C), of the stream (..., C)."""
        z = self.normalizer(x, part)  # (..., C)
        if self.top is None:
            y = part.limited("stream_norm", self.scaling(z), *self.range)  # (..., C)
            part.keep("norm_requantizer", stream_norm=y)
            return y
        code = part.coded("norm_code", self.scaling.rescaled(z), self.top)  # (..., C)
        part.keep("norm_requantizer", norm_code=code)
        return code


class ToNormedCodes(nn.Module):
    """Units 22 and 24, then 25 to 28: q or k with a norm of the channels of each head."""

    def __init__(self, made: NormedLinear, heads: int, config: NetworkConfig) -> None:
        super().__init__()
        self.depth = made.outputs // heads
        self.linear = ToStream(made.linear, inner(config), config)
        self.norm = Norm(made.norm, config)

    def forward(self, codes: Tensor, part: Part) -> Tensor:
        """Return codes (B, T, H D) of codes (B, T, K)."""
        zero = torch.zeros((), dtype=torch.int64, device=codes.device)
        x = self.linear(codes, zero, part.of("linear"))  # (B, T, H D)
        heads = x.view(len(x), -1, self.depth)  # (B, T H, D)
        return self.norm(heads, part.of("norm")).view(x.shape)


class EmbeddingStep(nn.Module):
    """Units 21, 22 and 24: pixels to tokens, constant ones in front; and the stream's norm."""

    positions: Tensor
    prefix: Tensor

    def __init__(self, step: PatchEmbedding, program: Program) -> None:
        super().__init__()
        config, image = program.network, step.image
        self.patch, self.top = step.patch, (1 << config.outer_bits) - 1
        given = (image.image_gain, image.image_shift, image.image_offset)
        gain, shift, offset = (np.reshape(each, (-1, 1, 1)) for each in given)  # (colour, 1, 1)
        self.scaling = Scaling(config, gain, shift, offset)
        for name in ("positions", "prefix"):
            tokens = torch.from_numpy(np.array(getattr(step, name)))
            self.register_buffer(name, tokens.to(kind_of(config)))
        self.linear = ToStream(step.linear, outer(config), config)
        self.norm = None if step.norm is None else Norm(step.norm, config)

    def forward(self, pixels: Tensor, part: Part) -> Tensor:
        """Return the stream (B, T, C) of pixels (B, colour, line, column)."""
        image = part.of("image")
        y = self.scaling.rescaled(pixels)  # (B, colour, line, column)
        code = image.coded("image_code", y, self.top)
        image.keep("image_requantizer", image_code=code)
        parts = code.unfold(2, self.patch, self.patch).unfold(3, self.patch, self.patch)
        patches = parts.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)  # (B, patches, K)
        x = self.linear(patches, self.positions, part.of("linear"))  # (B, patches, C)
        x = torch.cat((self.prefix.expand(len(x), -1, -1), x), dim=1)  # (B, T, C)
        return x if self.norm is None else self.norm(x, part.of("norm"))


class AttentionStep(nn.Module):
    """Units 25 to 28, 22 and 23 or 24 to 28, attention, 22 and 24."""

    bias: Tensor | None
    masked: Tensor | None

    def __init__(self, step: Attention, program: Program) -> None:
        super().__init__()
        config = program.network
        self.heads, self.windows, self.params = step.heads, step.windows, step.params
        self.norm = Norm(step.norm, config)
        self.q, self.k, self.v = (
            ToNormedCodes(each, step.heads, config)
            if isinstance(each, NormedLinear)
            else ToCodes(each, config)
            for each in (step.q, step.k, step.v)
        )
        self.datapath = AttentionDatapath(program.attention)
        self.proj = ToStream(step.proj, inner(config), config)
        for name in ("bias", "masked"):
            table = getattr(step, name)
            self.register_buffer(name, None if table is None else torch.from_numpy(table.copy()))

    def forward(self, x: Tensor, part: Part) -> Tensor:
        """Return the stream (B, T, C) behind the stream (B, T, C)."""
        codes = self.norm(x, part.of("norm"))  # (B, T, C)
        q = self._by_head(self.q(codes, part.of("q")))  # (B W, H, N, D)
        k = self._by_head(self.k(codes, part.of("k")))  # (B W, H, N, D)
        v = self._by_head(self.v(codes, part.of("v")))  # (B W, H, N, D)
        o = self._attended(q, k, v, len(x), part.of("attention"))  # (B W, H, N, D)
        return self.proj(self._by_token(o, len(x)), x, part.of("proj"))  # (B, T, C)

    def _attended(self, q: Tensor, k: Tensor, v: Tensor, images: int, part: Part) -> Tensor:
        """Return o, (B W, H, N, D) uint8."""
        masked = None if self.masked is None else of_every_window(self.masked, len(q))
        given = q, k, v, self.params, masked, self.bias
        if part.observe is None:
            return self.datapath.codes(*given)
        found: DatapathRegisters = self.datapath(*given)
        registers = {  # (B, W H, N, ...)
            name: each.reshape(images, -1, *each.shape[2:]) for name, each in found.named().items()
        }
        part.keep("attention_row", **registers)
        return found.output.o

    def _by_head(self, codes: Tensor) -> Tensor:
        """Return (B W, H, N, D) of (B, T, H D)."""
        if self.windows is not None:
            codes = partition(codes, self.windows)  # (B W, N, H D)
        heads = codes.view(*codes.shape[:2], self.heads, -1).transpose(1, 2)
        return heads.contiguous()

    def _by_token(self, o: Tensor, images: int) -> Tensor:
        """Return (B, T, H D) of (B W, H, N, D)."""
        rows = o.transpose(1, 2).flatten(2)  # (B W, N, H D)
        return rows if self.windows is None else joined(rows, self.windows, images)


class Lookup(nn.Module):
    """Unit 29: u of accumulators, and its entries of a table."""

    table: Tensor

    def __init__(
        self, params: ActivationParams | GateParams, table: Tensor, config: NetworkConfig
    ) -> None:
        super().__init__()
        self.range = (config.u_min, config.u_max)
        given = params.activation_multiplier, params.activation_shift
        self.scaling = Scaling(config, *given, above=-config.u_min)
        self.register_buffer("table", table)

    def forward(self, acc: Tensor, part: Part) -> tuple[Tensor, Tensor]:
        """Return places, and of the table's type its entries there, (B, T, O) each."""
        places = part.places("u", self.scaling.rescaled(acc), *self.range)  # (B, T, O)
        return places, looked_up(self.table, places)

    def u(self, places: Tensor) -> Tensor:
        """Return u of places, int32."""
        return places + self.range[0]


class MlpStep(nn.Module):
    """Units 25 to 28, 22 and 29, 22 and 24."""

    def __init__(self, step: Mlp, program: Program) -> None:
        super().__init__()
        config, params = program.network, step.fc1.params
        self.lookup = Lookup(params, torch.tensor(params.table, dtype=torch.uint8), config)
        self.norm = Norm(step.norm, config)
        self.fc1 = Product(step.fc1, inner(config))
        self.fc2 = ToStream(step.fc2, inner(config), config)

    def forward(self, x: Tensor, part: Part) -> Tensor:
        """Return the stream (B, T, C) behind the stream (B, T, C)."""
        codes = self.norm(x, part.of("norm"))  # (B, T, C)
        fc1 = part.of("fc1")
        places, hidden = self.lookup(self.fc1(codes, fc1), fc1)  # (B, T, O)
        if fc1.observe is not None:
            fc1.keep("activation", u=self.lookup.u(places), activation_code=hidden)
        return self.fc2(hidden, x, part.of("fc2"))  # (B, T, C)


class ToGates(nn.Module):
    """Units 22 and 29, and T of 32."""

    def __init__(self, linear: GateLinear, config: NetworkConfig) -> None:
        super().__init__()
        self.product, params = Product(linear, inner(config)), linear.params
        self.lookup = Lookup(params, torch.tensor(params.gate_table, dtype=torch.int16), config)

    def forward(self, codes: Tensor, part: Part) -> Tensor:
        """Return g (B, T, O) int16 of codes (B, T, K)."""
        places, gate = self.lookup(self.product(codes, part), part)  # (B, T, O)
        if part.observe is not None:
            part.keep("activation", u=self.lookup.u(places))
            part.keep("gate", gate=gate)
        return gate


class GateProduct(nn.Module):
    """Unit 32: g times a value of a stream of its own, as codes."""

    def __init__(self, params: GateCodeParams, config: NetworkConfig) -> None:
        super().__init__()
        self.zero, self.top = params.gate_zero, (1 << params.y_bits) - 1
        self.scaling = Scaling(config, params.gate_multiplier, params.gate_shift)

    def forward(self, gate: Tensor, x: Tensor, part: Part) -> Tensor:
        """Return codes (B, T, O) of g and x (B, T, O)."""
        code = part.coded("gate_code", self.scaling(gate * x).add_(self.zero), self.top)
        part.keep("gate", gate_code=code)
        return code


class GatedMlpStep(nn.Module):
    """Units 25 to 28; 22, 29 and T of 32, and 22 and 24; 32, 22 and 24."""

    def __init__(self, step: GatedMlp, program: Program) -> None:
        super().__init__()
        config = program.network
        self.norm = Norm(step.norm, config)
        self.gate = ToGates(step.gate, config)
        self.value = ToStream(step.value, inner(config), config)
        self.product = GateProduct(step.product, config)
        self.fc2 = ToStream(step.fc2, inner(config), config)

    def forward(self, x: Tensor, part: Part) -> Tensor:
        """Return the stream (B, T, C) behind the stream (B, T, C)."""
        codes = self.norm(x, part.of("norm"))  # (B, T, C)
        gate = self.gate(codes, part.of("gate"))  # (B, T, O)
        zero = torch.zeros((), dtype=x.dtype, device=x.device)
        value = self.value(codes, zero, part.of("value"))  # (B, T, O)
        hidden = self.product(gate, value, part.of("product"))  # (B, T, O)
        return self.fc2(hidden, x, part.of("fc2"))  # (B, T, C)


class MergingStep(nn.Module):
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
        zero = torch.zeros((), dtype=x.dtype, device=x.device)
        return self.reduction(codes, zero, part.of("reduction"))  # (B, T / 4, C')


class HeadStep(nn.Module):
    """Units 25 to 28 of one token, or with 30 of the mean of several; then 22 and 31."""

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
        self.scaling = Scaling(config, params.head_multiplier, params.head_shift)

    def forward(self, x: Tensor, part: Part, before: Tensor) -> Tensor:
        """Return the logits (B, 1, O) of the stream (B, T, C), added to those of a head before."""
        x = x[:, self.first :]
        x = x[:, :1] if self.mean is None else self.mean(x, part.of("mean"))
        codes = x if self.norm is None else self.norm(x, part.of("norm"))  # (B, 1, C)
        acc = self.linear(codes, part.of("linear"))  # (B, 1, O)
        logit = self.scaling(acc).add_(before)
        part.of("linear").keep("head", logit=logit)
        return logit


class Mean(nn.Module):
    """Units 25 to 27 and 30: the coded mean of normalized tokens."""

    def __init__(self, params: MeanParams, config: NetworkConfig) -> None:
        super().__init__()
        self.normalizer = Normalizer(params.norm_eps, config)
        self.terms = Scaling(config, params.mean_gain, params.mean_shift, params.mean_offset)
        self.scaling = Scaling(config, params.mean_multiplier, params.mean_scale_shift)
        self.high, self.top = (1 << (config.mean_bits - 1)) - 1, (1 << params.y_bits) - 1

    def forward(self, x: Tensor, part: Part) -> Tensor:
        """Return codes (B, 1, C) of the stream (B, T, C)."""
        z = self.normalizer(x, part)  # (B, T, C)
        term = part.limited("mean_term", self.terms(z), -self.high - 1, self.high)
        total = term.sum(dim=1, keepdim=True)  # (B, 1, C)
        part.keep("token_mean", mean_term=term, mean_sum=total)
        code = part.coded("mean_code", self.scaling.rescaled(total), self.top)
        part.keep("token_mean", mean_code=code)
        return code


class StreamMean(nn.Module):
    """Unit 30: the mean of tokens of the stream itself."""

    def __init__(self, params: StreamMeanParams, config: NetworkConfig) -> None:
        super().__init__()
        self.scaling = Scaling(config, params.mean_multiplier, params.mean_scale_shift)
        self.range = (config.stream_min, config.stream_max)

    def forward(self, x: Tensor, part: Part) -> Tensor:
        """Return the stream's mean (B, 1, C) of the stream (B, T, C)."""
        total = x.sum(dim=1, keepdim=True)  # (B, 1, C)
        part.keep("token_mean", mean_sum=total)
        mean = part.limited("stream_mean", self.scaling(total), *self.range)
        part.keep("token_mean", stream_mean=mean)
        return mean


_MODULES: dict[type, Callable[[Any, Program], nn.Module]] = {
    PatchEmbedding: EmbeddingStep,
    Attention: AttentionStep,
    Mlp: MlpStep,
    GatedMlp: GatedMlpStep,
    Merging: MergingStep,
    Head: HeadStep,
}


def in_parts(work: Callable[[Tensor], Tensor], pixels: Tensor, images: int) -> list[Tensor]:
    """Return the work of parts of a batch of at most so many images, a part on one thread each."""
    threads, inference = torch.get_num_threads(), torch.is_inference_mode_enabled()
    size = max(1, min(images, -(-len(pixels) // threads)))
    parts = [pixels[start : start + size] for start in range(0, len(pixels), size)]
    if min(threads, len(parts)) == 1:
        return [work(part) for part in parts]

    def on_this_thread(part: Tensor) -> Tensor:
        with torch.inference_mode(inference):
            return work(part)

    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(on_this_thread, parts))
    finally:
        torch.set_num_threads(threads)


def largest_values(program: Program) -> int:
    """Return the most values that one image has between two operations."""
    embedding = program.embedding
    most = embedding.height * embedding.width * len(embedding.image.image_gain)
    tokens = len(embedding.positions) + len(embedding.prefix)
    for step in program.blocks:
        if isinstance(step, Mlp):
            most = max(most, tokens * step.fc1.outputs)
        elif isinstance(step, GatedMlp):
            most = max(most, tokens * step.gate.outputs)
        elif isinstance(step, Merging):
            tokens //= 4
    return most


def inner(config: NetworkConfig) -> tuple[int, int]:
    """Return the largest code and weight between embedding and head."""
    return (1 << config.a_bits) - 1, (1 << config.w_bits) - 1


def outer(config: NetworkConfig) -> tuple[int, int]:
    """Return the largest code and weight of embedding and head."""
    return (1 << config.code_bits) - 1, (1 << config.weight_bits) - 1


def kind_of(config: NetworkConfig) -> torch.dtype:
    """Return float64 where it holds the registers of every unit exactly, else int64.

    A float64 holds the integers below 2**53, in any power of two as their unit. The products that
    make V of unit 25 alone are wider, and are int64. What is added behind a shift, in its unit, is
    at most `highest`; a sum that passes 2**53 with it saturates, rounded or not.
    """
    bounds = (
        register.bound
        for name, register in config.registers.items()
        if name not in ("square_product", "variance")
    )
    highest = 1 << config.max_n + max(config.code_bits, config.u_bits)
    return torch.float64 if max(*bounds, highest) < 1 << 53 else torch.int64


def factors(
    multiplier: Tensor, shift: Tensor, offset: Tensor, kind: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `scaled` takes for M, n and H, int64: in float64, M and H in units of 2**n."""
    constant = offset + ((1 << shift) >> 1)  # H, and half of what is shifted out
    if kind == torch.int64:
        return multiplier, constant, shift
    unit = (1023 - shift << 52).view(torch.float64)  # 2**-n, by the bits of its exponent
    return multiplier * unit, constant * unit, shift


def rescaled(x: Tensor, multiplier: Tensor, constant: Tensor, shift: Tensor) -> Tensor:
    """Return x * M + H >> n and half an LSB more, exact as `kind_of` proves: `whole` rounds it.

    In float64 the fraction is there still; int64 has dropped it.

    Args:
        x: integers, float64 or int64, lost where they are float64 and the factors of channels.
        multiplier, constant, shift: as `factors` returns them: of channels, (C,), or of rows.
    """
    if not x.is_floating_point():
        return torch.addcmul(constant, x, multiplier).bitwise_right_shift_(shift)
    if multiplier.dim() <= 1:
        return torch.addcmul(constant, x, multiplier, out=x)
    return (x * multiplier).add_(constant)  # twice as fast as addcmul of rows


def whole(x: Tensor) -> Tensor:
    """Return TRN(x), of what `rescaled` returned, which is lost."""
    return x.floor_() if x.is_floating_point() else x


def scaled(x: Tensor, multiplier: Tensor, constant: Tensor, shift: Tensor) -> Tensor:
    """Return RND(x * M + H >> n) in the type of x; arguments as `rescaled`."""
    return whole(rescaled(x, multiplier, constant, shift))


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
