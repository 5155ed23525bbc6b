"""What the rounding of each unit costs: a program with some of its units in float.

A unit in float gives the real number that its result stands for: with the real parameters of the
calibrated model in place of multiplier and shift, of the table or of the integer root, in float64,
neither rounded nor saturated. The next unit takes that number as it is and rounds what it gives.
Codes stay codes, since they are what a matrix product takes: a unit in float that gives one rounds
its real number to it, once. Attention in float is an exact softmax of the scores of its codes.

With no unit in float the network is `IntegerNetwork` to the bit; with all but attention it is what
the calibrated model is in the arithmetic `attention`, in float64.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from bitlog2.sim import LayerParams
from bitlog2.sim.network import NETWORK, NetworkConfig
from bitlog2.sim.network.parameters import (
    GateCodeParams,
    ImageParams,
    MeanParams,
    NormParams,
    StreamMeanParams,
    StreamNormParams,
)
from bitlog2.sim.network.program import (
    ActivationLinear,
    Attention,
    CodeLinear,
    GatedMlp,
    GateLinear,
    Head,
    HeadLinear,
    Linear,
    Merging,
    Mlp,
    NormedLinear,
    PatchEmbedding,
    Program,
    ResidualLinear,
)

from ..images.pixels import Pixels
from ..ptq.attention import IntegerAttention, of_every_window
from ..ptq.datapath import AttentionDatapath
from ..ptq.layers import IntegerLinear, exact_accumulators
from ..ptq.quantizers import CodeUniform
from .network import inner, integer_root, joined, leading_one, outer, partition
from .scales import ALL, UnitParameters

#: What may be in float: the units of the network, and attention as one.
UNITS = (*NETWORK, "attention_row")
#: Names of several of them.
GROUPS = {
    "layer_norm": ("norm_sums", "reciprocal_root", "normalizer", "norm_requantizer"),
    "all": UNITS,
    "none": (),
}
_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": nn.functional.gelu,
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "relu": torch.relu,
    "silu": nn.functional.silu,
}
_T = TypeVar("_T")


def units_of(names: Iterable[str]) -> frozenset[str]:
    """Return the units behind names of units and of groups.

    Raises:
        ValueError: a name is none of them.
    """
    found: set[str] = set()
    for name in names:
        if name not in GROUPS and name not in UNITS:
            legal = ", ".join((*UNITS, *GROUPS))
            raise ValueError(f"float units must be of {legal}, got {name!r}")
        found.update(GROUPS.get(name, (name,)))
    return frozenset(found)


# -- The real numbers ------------------------------------------------------------------------------


class RealParameters(UnitParameters):
    """Makes the parameters of each unit, and keeps the real numbers that they stand for."""

    def __init__(self, config: NetworkConfig, seen: Mapping[str, tuple[float, float]]) -> None:
        super().__init__(config, seen)
        self._kept: dict[int, tuple[Any, dict[str, Any]]] = {}
        self.tokens: dict[str, Tensor] = {}

    def of(self, made: Any) -> dict[str, Any]:
        """Return the real numbers of parameters that it made, float64."""
        return self._kept[id(made)][1]

    def _keep(self, made: _T, **real: Any) -> _T:
        self._kept[id(made)] = made, real
        return made

    def constants(self, name: str, values: Tensor, bits: int) -> Any:
        """Constants of the stream, which `tokens` holds by name."""
        self.tokens[name] = values.double() * 2.0**bits
        return super().constants(name, values, bits)

    def image(self, name: str, code: CodeUniform, pixels: Pixels) -> ImageParams:
        """Unit 21."""
        mean, step = (_column(x, 1, 1) for x in (pixels.mean, pixels.deviation))
        step = step * code.delta.item()
        real = {"gain": 1 / (step * pixels.largest), "offset": code.zero_point.item() - mean / step}
        return self._keep(super().image(name, code, pixels), **real)

    def to_codes(
        self, name: str, layer: IntegerLinear, rows: slice, target: CodeUniform, factor: float
    ) -> CodeLinear:
        """Units 22 and 23."""
        steps, bias = _steps(layer), _bias(layer)
        made = super().to_codes(name, layer, rows, target, factor)
        return self._keep(made, bias=bias[rows], gain=steps[rows] * factor / target.delta.double())

    def to_stream(
        self,
        name: str,
        layer: IntegerLinear,
        bits: int,
        gains: Tensor | None = None,
        rows: slice = ALL,
    ) -> ResidualLinear:
        """Units 22 and 24; the sign of a gain is in weights and bias."""
        gain = _steps(layer)[rows] * 2.0**bits
        gain = gain if gains is None else gain * gains.double()
        bias = torch.where(gain < 0, -1.0, 1.0) * _bias(layer)[rows]
        made = super().to_stream(name, layer, bits, gains, rows)
        return self._keep(made, bias=bias, gain=gain.abs())

    def norm(self, name: str, norm: nn.LayerNorm, bits: int, target: CodeUniform) -> NormParams:
        """Units 25 to 28."""
        real = self._real_norm(norm, bits, target.delta.item(), target.zero_point.item())
        return self._keep(super().norm(name, norm, bits, target), **real)

    def stream_norm(
        self, name: str, norm: nn.LayerNorm, bits: int, new_bits: int
    ) -> StreamNormParams:
        """Units 25 to 28 of the stream."""
        real = self._real_norm(norm, bits, 2.0**-new_bits, 0)
        return self._keep(super().stream_norm(name, norm, bits, new_bits), **real)

    def mean(
        self, name: str, norm: nn.LayerNorm, bits: int, target: CodeUniform, tokens: int
    ) -> MeanParams:
        """Units 25 to 27 and 30; the real terms are in steps of a code."""
        real = self._real_norm(norm, bits, target.delta.item(), target.zero_point.item())
        return self._keep(super().mean(name, norm, bits, target, tokens), **real)

    def _real_norm(self, norm: nn.LayerNorm, bits: int, step: float, zero: float) -> dict[str, Any]:
        """Return EPS, and G and H of a z in units of 2**-Z."""
        channels = norm.normalized_shape[0]
        return {
            "eps": norm.eps * channels * channels * 4.0**bits,
            "gain": norm.weight.double() / (step * 2**self.config.z_fraction_bits),
            "offset": norm.bias.double() / step + zero,
        }

    def activation(
        self, name: str, layer: IntegerLinear, function: str, target: CodeUniform
    ) -> ActivationLinear:
        """Units 22 and 29; u is the real input of the function."""
        made = super().activation(name, layer, function, target)
        of_codes = {"scale": target.delta.item(), "zero": target.zero_point.item()}
        return self._keep(
            made, bias=_bias(layer), gain=_steps(layer), function=_FUNCTIONS[function], **of_codes
        )

    def gated(
        self,
        name: str,
        layer: IntegerLinear,
        function: str,
        halves: tuple[slice, slice],
        target: CodeUniform,
    ) -> tuple[GateLinear, ResidualLinear, GateCodeParams]:
        """Units 22, 29 and 32, and 22 and 24; a real gate is in steps of its table."""
        gate, value, params = super().gated(name, layer, function, halves, target)
        bits, gates = self.choices.tables[-1].fraction_bits, halves[0]
        real = {"bias": _bias(layer)[gates], "gain": _steps(layer)[gates]}
        self._keep(gate, **real, function=_FUNCTIONS[function], bits=bits)
        unit = 2.0 ** -(bits + 2 + self.choices.streams[-1].fraction_bits)
        self._keep(params, gain=unit / target.delta.item())
        return gate, value, params

    def heads(self, layers: Mapping[str, IntegerLinear]) -> list[HeadLinear]:
        """Units 22 and 31 of each head."""
        made = super().heads(layers)
        unit = 2.0**self.choices.logit_bits / len(layers)
        for each, layer in zip(made, layers.values(), strict=True):
            self._keep(each, bias=_bias(layer), gain=_steps(layer) * unit)
        return made

    def attention(self, name: str, attention: IntegerAttention) -> LayerParams:
        """Units 1 to 12; the score bias is the coded one."""
        q, k, v = (
            each.delta.item()
            for each in (attention.q_quantizer, attention.k_quantizer, attention.v_quantizer)
        )
        bias = math.log(2) * 2.0**-attention.datapath.config.fraction_bits
        return self._keep(
            super().attention(name, attention),
            score=q * k * attention.score_scale,
            bias=bias,
            gain=v / attention.proj.input_quantizer.delta.item(),
        )


def _steps(layer: IntegerLinear) -> Tensor:
    """Return the real value of a step of each accumulator, (O,)."""
    scales = layer.weight_quantizer.delta.flatten().double()
    return scales * layer.input_quantizer.delta.double()


def _bias(layer: IntegerLinear) -> Tensor:
    """Return the bias in steps of the accumulators, (O,)."""
    steps = _steps(layer)
    return torch.zeros_like(steps) if layer.bias is None else layer.bias.double() / steps


def _column(values: Any, *axes: int) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(-1, *axes)


# -- The network -----------------------------------------------------------------------------------


class AblatedNetwork:
    """A program with some units in float, on the CPU.

    A tensor is int64 where it holds what integers make, and float64 behind a unit in float.

    Args:
        program: what the network loads.
        real: what made its parameters.
        in_float: some of `UNITS`.
    """

    def __init__(self, program: Program, real: RealParameters, in_float: Collection[str]) -> None:
        self.program, self.real, self.in_float = program, real, frozenset(in_float)
        self._datapath = AttentionDatapath(program.attention)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the logits, (B, classes) int64 or float64, of pixels (B, colour, line, column)."""
        steps: dict[type, Callable[[Any, Tensor], Tensor]] = {
            PatchEmbedding: self._embedding,
            Attention: self._attention,
            Mlp: self._mlp,
            GatedMlp: self._gated_mlp,
            Merging: self._merging,
        }
        x = pixels.long()
        with torch.inference_mode():
            for step in self.program.steps[: -len(self.program.heads)]:
                x = steps[type(step)](step, x)
            logits = [self._head(head, x) for head in self.program.heads]
            return torch.stack(logits).sum(dim=0)

    # -- Steps

    def _embedding(self, step: PatchEmbedding, pixels: Tensor) -> Tensor:
        p, config = step.image, self.program.network
        gain, shift, offset = (
            _int(each).view(-1, 1, 1) for each in (p.image_gain, p.image_shift, p.image_offset)
        )
        y = self._scaled("image_requantizer", p, pixels, gain, shift, offset)
        code = _code(y, config.outer_bits)  # (B, colour, line, column)
        parts = code.unfold(2, step.patch, step.patch).unfold(3, step.patch, step.patch)
        patches = parts.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)  # (B, patches, K)
        positions, prefix = _int(step.positions), _int(step.prefix)
        if "residual_adder" in self.in_float:
            positions, prefix = (self.real.tokens[x] for x in ("pos_embed", "cls_token"))
        x = self._added(step.linear, patches, positions, outer(config))  # (B, patches, C)
        x = torch.cat((prefix.expand(len(x), -1, -1), x), dim=1)  # (B, T, C)
        return x if step.norm is None else self._stream_norm(step.norm, x)

    def _attention(self, step: Attention, x: Tensor) -> Tensor:
        codes = self._norm(step.norm, x)  # (B, T, C)
        q, k, v = (
            self._by_head(step, self._projected(each, step.heads, codes))
            for each in (step.q, step.k, step.v)
        )
        masked = None if step.masked is None else torch.from_numpy(step.masked.copy())
        masked = None if masked is None else of_every_window(masked, len(q))
        bias = None if step.bias is None else torch.from_numpy(step.bias.copy())
        if "attention_row" in self.in_float:
            o = self._softmax(step.params, (q, k, v), masked, bias)  # (B W, H, N, D)
        else:
            found = self._datapath(q.float(), k.float(), v.float(), step.params, masked, bias)
            o = found.output.o
        rows = o.transpose(1, 2).flatten(2).to(torch.uint8)  # (B W, N, H D)
        tokens = rows if step.windows is None else joined(rows, step.windows, len(x))
        return self._added(step.proj, tokens, x, inner(self.program.network))

    def _projected(self, made: CodeLinear | NormedLinear, heads: int, codes: Tensor) -> Tensor:
        """Return codes (B, T, H D) of codes (B, T, C)."""
        if isinstance(made, CodeLinear):
            return self._to_codes(made, codes)
        zero = torch.zeros((), dtype=torch.int64)
        x = self._added(made.linear, codes, zero, inner(self.program.network))
        return self._norm(made.norm, x.view(len(x), -1, made.outputs // heads)).view(x.shape)

    def _by_head(self, step: Attention, codes: Tensor) -> Tensor:
        """Return (B W, H, N, D) of (B, T, H D)."""
        rows = codes if step.windows is None else partition(codes, step.windows)
        return rows.view(*rows.shape[:2], step.heads, -1).transpose(1, 2)

    def _softmax(
        self,
        params: LayerParams,
        codes: tuple[Tensor, Tensor, Tensor],
        masked: Tensor | None,
        bias: Tensor | None,
    ) -> Tensor:
        """Return the codes of an exact softmax of the scores, times v."""
        real, zeros = self.real.of(params), (params.zq, params.zk, params.zv)
        q, k, v = (each.double() - zero for each, zero in zip(codes, zeros, strict=True))
        score = q @ k.transpose(-2, -1) * real["score"]
        if bias is not None:
            score = score + bias * real["bias"]
        if masked is not None:
            score = score.masked_fill(masked, -math.inf)
        out = score.softmax(dim=-1) @ v * real["gain"] + params.zo
        return _code(out, self.program.attention.o_bits)

    def _mlp(self, step: Mlp, x: Tensor) -> Tensor:
        linear, config = step.fc1, self.program.network
        p = linear.params
        acc = self._accumulators(linear, self._norm(step.norm, x), inner(config))  # (B, T, O)
        if "activation" in self.in_float:
            real = self.real.of(linear)
            y = real["function"](acc.double() * real["gain"]) / real["scale"] + real["zero"]
            hidden = _code(y, config.a_bits)
        else:
            u = _rnd(acc * _int(p.activation_multiplier), _int(p.activation_shift)).long()
            hidden = _int(p.table)[u.clamp(config.u_min, config.u_max) - config.u_min]
        return self._added(step.fc2, hidden, x, inner(config))

    def _gated_mlp(self, step: GatedMlp, x: Tensor) -> Tensor:
        config, p = self.program.network, step.product
        codes, zero = self._norm(step.norm, x), torch.zeros((), dtype=torch.int64)
        gate = self._gates(step.gate, codes)  # (B, T, O)
        value = self._added(step.value, codes, zero, inner(config))  # (B, T, O)
        loaded = torch.tensor(p.gate_multiplier), torch.tensor(p.gate_shift)
        y = self._scaled("gate", p, gate * value, *loaded) + p.gate_zero
        return self._added(step.fc2, _code(y, p.y_bits), x, inner(config))

    def _gates(self, linear: GateLinear, codes: Tensor) -> Tensor:
        """Return g of codes (B, T, C); in float, of activation or gate, in steps of its table."""
        config, p = self.program.network, linear.params
        acc = self._accumulators(linear, codes, inner(config))  # (B, T, O)
        u = _rnd(acc * _int(p.activation_multiplier), _int(p.activation_shift))
        u = u.long().clamp(config.u_min, config.u_max)
        if not self.in_float & {"activation", "gate"}:
            return _int(p.gate_table)[u - config.u_min]
        real = self.real.of(linear)
        exact = "activation" in self.in_float
        inputs = acc.double() * real["gain"] if exact else u / 2.0 ** real["bits"]
        gate: Tensor = real["function"](inputs) * 2.0 ** (real["bits"] + 2)
        return gate if "gate" in self.in_float else torch.floor(gate + 0.5)

    def _merging(self, step: Merging, x: Tensor) -> Tensor:
        grid = x.view(len(x), step.height, step.width, -1)
        corners = [grid[:, i::2, j::2] for j in (0, 1) for i in (0, 1)]
        codes = self._norm(step.norm, torch.cat(corners, dim=-1).flatten(1, 2))
        zero = torch.zeros((), dtype=torch.int64)
        return self._added(step.reduction, codes, zero, inner(self.program.network))

    def _head(self, step: Head, x: Tensor) -> Tensor:
        linear, tokens = step.linear, x[:, step.first :]
        if isinstance(step.mean, MeanParams):
            codes = self._mean(step.mean, tokens)  # (B, 1, C)
        elif step.norm is not None:
            one = tokens[:, :1] if step.mean is None else self._stream_mean(step.mean, tokens)
            codes = self._norm(step.norm, one)
        acc = self._accumulators(linear, codes, outer(self.program.network))
        loaded = _int(linear.params.head_multiplier), _int(linear.params.head_shift)
        return self._scaled("head", linear, acc, *loaded)[:, 0]

    # -- Units

    def _scaled(
        self,
        unit: str,
        made: Any,
        x: Tensor,
        multiplier: Tensor,
        shift: Tensor,
        offset: Tensor | int = 0,
    ) -> Tensor:
        """Return what a unit makes of x: RND(x * M + H >> n), or in float its real number."""
        if unit in self.in_float:
            real = self.real.of(made)
            return x.double() * real["gain"] + real.get("offset", 0.0)
        return _rnd(x * multiplier + offset, shift)

    def _accumulators(self, linear: Linear, codes: Tensor, largest: tuple[int, int]) -> Tensor:
        """Unit 22."""
        weights = torch.from_numpy(linear.weights.astype(np.int16))
        product = exact_accumulators(codes, weights, *largest).long()
        product -= linear.product.zx * weights.sum(dim=1)
        if "linear_accumulator" in self.in_float:
            return product + self.real.of(linear)["bias"]
        return product + _int(linear.product.linear_bias)

    def _to_codes(self, linear: CodeLinear, codes: Tensor) -> Tensor:
        """Units 22 and 23."""
        p, acc = linear.params, self._accumulators(linear, codes, inner(self.program.network))
        loaded = _int(p.linear_multiplier), _int(p.linear_shift)
        y = self._scaled("linear_requantizer", linear, acc, *loaded)
        return _code(y + p.linear_zero, p.y_bits)

    def _added(
        self, linear: ResidualLinear, codes: Tensor, x: Tensor, largest: tuple[int, int]
    ) -> Tensor:
        """Units 22 and 24."""
        p, acc = linear.params, self._accumulators(linear, codes, largest)
        loaded = _int(p.residual_multiplier), _int(p.residual_shift)
        return self._stream(
            "residual_adder", self._scaled("residual_adder", linear, acc, *loaded) + x
        )

    def _stream(self, unit: str, x: Tensor) -> Tensor:
        """Return x in the range of the stream, where the unit is not in float."""
        config = self.program.network
        return x if unit in self.in_float else x.clamp(config.stream_min, config.stream_max)

    def _normalized(self, eps: int, made: Any, x: Tensor) -> Tensor:
        """Units 25 to 27."""
        config, channels = self.program.network, x.shape[-1]
        total, squares = x.sum(dim=-1, keepdim=True), (x * x).sum(dim=-1, keepdim=True)
        added = self.real.of(made)["eps"] if "norm_sums" in self.in_float else eps
        k, reciprocal = self._reciprocal(channels * squares - total * total + added)
        z = (channels * x - total) * reciprocal
        down = 2 * config.root_bits - 1 + k - config.z_fraction_bits
        return z / (1 << down) if "normalizer" in self.in_float else _rnd(z, down)

    def _reciprocal(self, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Unit 26: k and r, which is 2**(2 * bits - 1 + k) / sqrt(V) in float."""
        bits = self.program.network.root_bits
        exact = not variance.is_floating_point()
        power = leading_one(variance) if exact else torch.frexp(variance).exponent.long() - 1
        k = (power >> 1) - (bits - 1)
        left, right = (-2 * k).clamp(min=0), (2 * k).clamp(min=0)
        if "reciprocal_root" in self.in_float:
            argument = variance.double() * (1 << left) / (1 << right)
            return k, (1 << (2 * bits - 1)) / argument.sqrt()
        if exact:
            argument = (variance << left) >> right
        else:
            argument = (variance * (1 << left) / (1 << right)).long()
        return k, (1 << (2 * bits - 1)) // integer_root(argument)

    def _norm(self, p: NormParams, x: Tensor) -> Tensor:
        """Units 25 to 28."""
        z = self._normalized(p.norm_eps, p, x)
        loaded = _int(p.gain), _int(p.gain_shift), _int(p.offset)
        return _code(self._scaled("norm_requantizer", p, z, *loaded), p.y_bits)

    def _stream_norm(self, p: StreamNormParams, x: Tensor) -> Tensor:
        """Units 25 to 28 of the stream."""
        z = self._normalized(p.norm_eps, p, x)
        loaded = _int(p.gain), _int(p.gain_shift), _int(p.offset)
        y = self._scaled("norm_requantizer", p, z, *loaded)
        return self._stream("norm_requantizer", y)

    def _mean(self, p: MeanParams, x: Tensor) -> Tensor:
        """Units 25 to 27 and 30."""
        z = self._normalized(p.norm_eps, p, x)
        loaded = _int(p.mean_gain), _int(p.mean_shift), _int(p.mean_offset)
        term = self._scaled("token_mean", p, z, *loaded)  # (B, T, C)
        if "token_mean" in self.in_float:
            return _code(term.mean(dim=1, keepdim=True), p.y_bits)
        high = (1 << (self.program.network.mean_bits - 1)) - 1
        total = term.clamp(-high - 1, high).sum(dim=1, keepdim=True)  # (B, 1, C)
        return _code(_rnd(total * p.mean_multiplier, _int(p.mean_scale_shift)), p.y_bits)

    def _stream_mean(self, p: StreamMeanParams, x: Tensor) -> Tensor:
        """Unit 30 of the stream."""
        total = x.sum(dim=1, keepdim=True)  # (B, 1, C)
        if "token_mean" in self.in_float:
            return total / x.shape[1]
        mean = _rnd(total * p.mean_multiplier, _int(p.mean_scale_shift))
        return self._stream("token_mean", mean)


def _int(values: Any) -> Tensor:
    return torch.from_numpy(np.array(values, np.int64))


def _rnd(x: Tensor, shift: Tensor) -> Tensor:
    """Return RND(x / 2**shift), of int64 and of float64 in their own type."""
    if x.is_floating_point():
        return torch.floor(x / (1 << shift) + 0.5)
    return (x + ((1 << shift) >> 1)) >> shift


def _code(y: Tensor, bits: int) -> Tensor:
    """Return the code of y, uint8: rounded where it is not an integer, and saturated."""
    if y.is_floating_point():
        y = torch.floor(y + 0.5)
    return y.clamp(0, (1 << bits) - 1).to(torch.uint8)
