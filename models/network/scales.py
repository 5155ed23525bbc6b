"""The parameters of each unit of a network, from the scales of a calibrated model's layers.

Every real number is taken as the model has it, in float64, and rounded once (SPEC.md, section 10,
"Parameters from real numbers").
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from bitlog2.sim import LayerParams
from bitlog2.sim.network import NetworkConfig
from bitlog2.sim.network.activation_table import activation_table, gate_table
from bitlog2.sim.network.multiplier import (
    gain_and_shift,
    linear_bias,
    multipliers,
    norm_eps,
    scaled,
    stream_fraction_bits,
)
from bitlog2.sim.network.parameters import (
    ActivationParams,
    CodeParams,
    GateCodeParams,
    GateParams,
    HeadParams,
    ImageParams,
    MeanParams,
    NormParams,
    ProductParams,
    ResidualParams,
    StreamMeanParams,
    StreamNormParams,
)
from bitlog2.sim.network.program import (
    ActivationLinear,
    CodeLinear,
    GateLinear,
    HeadLinear,
    ResidualLinear,
)

from ..images.pixels import Pixels
from ..ptq.attention import IntegerAttention
from ..ptq.layers import IntegerLinear
from ..ptq.quantizers import CodeUniform

#: Fraction bits of the terms of a mean of normalized tokens, in steps of a code.
_MEAN_BITS = 8
#: Every row of a linear layer.
ALL = slice(None)
#: Fraction bits of the logits are looked for from here downwards.
_MOST_LOGIT_BITS = 24


@dataclass(frozen=True)
class StreamChoice:
    """The format of a residual stream: its LSB is 2**-fraction_bits, `largest` was seen in it."""

    name: str
    largest: float
    fraction_bits: int


@dataclass(frozen=True)
class TableChoice:
    """The range of an activation's table; beyond it codes no longer change, or no input was seen.

    Attributes:
        layer: the MLP.
        low, high: inputs that were seen.
        fraction_bits: of u, whose LSB is 2**-fraction_bits.
        reach: the table is of inputs from -reach to reach.
    """

    layer: str
    low: float
    high: float
    fraction_bits: int
    reach: float


@dataclass
class Choices:
    """What lowering chose from what calibration images showed, and what it gives on these.

    Attributes:
        streams: format of each residual stream.
        tables: range of each activation's table.
        logit_bits: fraction bits of the logits, whose LSB is 2**-logit_bits.
        images: how many there were.
        agreeing: images of which the program's prediction is the calibrated model's.
        saturated: values of the streams that saturate.
    """

    streams: list[StreamChoice] = field(default_factory=list)
    tables: list[TableChoice] = field(default_factory=list)
    logit_bits: int = 0
    images: int = 0
    agreeing: int = 0
    saturated: int = 0

    def lines(self) -> list[str]:
        """Return a line per choice."""
        streams = (
            f"stream {each.name}: LSB 2^-{each.fraction_bits}, largest seen {each.largest:.3f}"
            for each in self.streams
        )
        tables = (
            f"table {each.layer}: LSB 2^-{each.fraction_bits}, of {-each.reach:g} to "
            f"{each.reach:g}, inputs seen {each.low:.2f} to {each.high:.2f}"
            for each in self.tables
        )
        return [
            *streams,
            *tables,
            f"logits: LSB 2^-{self.logit_bits}",
            f"calibration images: {self.agreeing} of {self.images} predictions as before, "
            f"{self.saturated} values of the stream saturate",
        ]


@contextmanager
def named(name: str) -> Iterator[None]:
    """Name the layer in an error of its numbers."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"layer {name}: {error}") from error


class UnitParameters:
    """Makes the parameters of each unit.

    Args:
        config: the hardware.
        seen: smallest and largest value by place, as `observe` returns them.

    Attributes:
        choices: what was chosen so far.
    """

    def __init__(self, config: NetworkConfig, seen: Mapping[str, tuple[float, float]]) -> None:
        self.config, self.choices = config, Choices()
        self._seen = seen

    def stream(self, name: str, places: list[str]) -> int:
        """Return the fraction bits of the stream that is seen in these places."""
        largest = max(abs(end) for place in places for end in self._seen[place])
        with named(name):
            bits = stream_fraction_bits(largest, self.config.stream_bits)
        self.choices.streams.append(StreamChoice(name, largest, bits))
        return bits

    def constants(self, name: str, values: Tensor, bits: int) -> NDArray[np.int32]:
        """Return values (tokens, C) in the stream's LSB."""
        width = self.config.stream_bits
        with named(name):
            rows = [
                [scaled(value, bits, width, "constant of the stream") for value in row]
                for row in values.double().tolist()
            ]
        return np.array(rows, np.int32).reshape(values.shape)

    def image(self, name: str, code: CodeUniform, pixels: Pixels) -> ImageParams:
        """Unit 21: the normalization of pixels, and the codes of the patch projection's input."""
        config = self.config
        steps = [each * _scale(code) for each in pixels.deviation]
        with named(name):
            gain, shift = multipliers(
                (1.0 / (pixels.largest * each) for each in steps),
                config.m_bits,
                config.max_n,
                "image scale",
            )
            offset = tuple(
                scaled(_zero(code) - mean / step, n, config.offset_bits, "image offset")
                for mean, step, n in zip(pixels.mean, steps, shift, strict=True)
            )
        return ImageParams(gain, offset, shift)

    def to_codes(
        self, name: str, layer: IntegerLinear, rows: slice, target: CodeUniform, factor: float
    ) -> CodeLinear:
        """Units 22 and 23: some rows of a linear layer, whose outputs times a factor are coded."""
        config = self.config
        with named(name):
            ratios = (factor * each / _scale(target) for each in _product_scales(layer)[rows])
            m, n = multipliers(ratios, config.m_bits, config.max_n, "code scale")
            params = CodeParams(m, n, _zero(target), target.bits)
            return CodeLinear(_weights(layer)[rows], self._product(layer, rows), params)

    def to_stream(
        self,
        name: str,
        layer: IntegerLinear,
        bits: int,
        gains: Tensor | None = None,
        rows: slice = ALL,
    ) -> ResidualLinear:
        """Units 22 and 24: some rows of a linear layer, their outputs times a gain each added."""
        config = self.config
        with named(name):
            scales = np.array(_product_scales(layer)[rows]) * 2.0**bits
            if gains is not None:
                scales = scales * gains.detach().double().cpu().numpy()
            made = [
                gain_and_shift(each, config.m_bits, config.max_n, "residual scale")
                for each in scales.tolist()
            ]
            params = ResidualParams(tuple(abs(m) for m, _ in made), tuple(n for _, n in made))
            signs, product = np.where(scales < 0, -1, 1), self._product(layer, rows)
            bias, weights = np.array(product.linear_bias) * signs, _weights(layer)[rows]
            weights = (weights * signs[:, None]).astype(weights.dtype)
            product = ProductParams(product.zx, tuple(bias.tolist()))
            return ResidualLinear(weights, product, params)

    def norm(self, name: str, norm: nn.LayerNorm, bits: int, target: CodeUniform) -> NormParams:
        """Units 25 to 28: a layer norm of the stream, whose outputs are coded."""
        with named(name):
            affine = self._affine(norm, _scale(target), _zero(target))
            return NormParams(self._eps(norm, bits), *affine, target.bits)

    def stream_norm(
        self, name: str, norm: nn.LayerNorm, bits: int, new_bits: int
    ) -> StreamNormParams:
        """Units 25 to 28: a layer norm of the stream, whose outputs are a new stream."""
        with named(name):
            return StreamNormParams(self._eps(norm, bits), *self._affine(norm, 2.0**-new_bits, 0))

    def activation(
        self, name: str, layer: IntegerLinear, function: str, target: CodeUniform
    ) -> ActivationLinear:
        """Units 22 and 29: a linear layer, and the table of the function of its outputs."""
        config, scale, zero = self.config, _scale(target).as_integer_ratio(), _zero(target)

        def table(bits: int) -> tuple[int, ...]:
            widths = {"u_bits": config.u_bits, "bits": target.bits}
            return activation_table(function, bits, scale, zero, **widths)

        with named(f"{name}.fc1"):
            m, n, made = self._table(name, function, layer, ALL, table, (zero, target.max_code))
            params = ActivationParams(m, n, made)
            return ActivationLinear(_weights(layer), self._product(layer), params)

    def gated(
        self,
        name: str,
        layer: IntegerLinear,
        function: str,
        halves: tuple[slice, slice],
        target: CodeUniform,
    ) -> tuple[GateLinear, ResidualLinear, GateCodeParams]:
        """Units 22, 29 and 32, and 22 and 24: a linear layer whose outputs are gates and values.

        Args:
            name: of the MLP.
            layer: of both.
            function: of the gates.
            halves: rows of the gates, and of the values.
            target: codes of what both make.
        """
        config, (gates, values) = self.config, halves
        with named(f"{name}.fc1"):
            m, n, table = self._table(
                *(name, function, layer, gates),
                lambda bits: gate_table(function, bits, u_bits=config.u_bits),
                (0, (1 << config.u_bits + 1) - 1),
            )
            own = self._product(layer, gates)
            gate = GateLinear(_weights(layer)[gates], own, GateParams(m, n, table))
        bits = self.stream(f"{name}.value", [f"{name}.value"])
        value = self.to_stream(f"{name}.fc1", layer, bits, rows=values)
        unit = 2.0 ** -(self.choices.tables[-1].fraction_bits + 2 + bits)
        with named(f"{name}.fc2"):
            m, n = multipliers([unit / _scale(target)], config.m_bits, config.max_n, "gate scale")
            params = GateCodeParams(m[0], n[0], _zero(target), target.bits)
        return gate, value, params

    def mean(
        self, name: str, norm: nn.LayerNorm, bits: int, target: CodeUniform, tokens: int
    ) -> MeanParams:
        """Units 25 to 27 and 30: the coded mean of tokens behind a layer norm."""
        one, config = 1 << _MEAN_BITS, self.config
        with named(name):
            affine = self._affine(norm, _scale(target) / one, _zero(target) * one)
            m, n = multipliers([1.0 / (tokens * one)], config.m_bits, config.max_n, "mean")
            return MeanParams(self._eps(norm, bits), *affine, m[0], n[0], target.bits)

    def stream_mean(self, tokens: int) -> StreamMeanParams:
        """Unit 30: the mean of tokens of the stream itself."""
        m, n = multipliers([1.0 / tokens], self.config.m_bits, self.config.max_n, "mean")
        return StreamMeanParams(m[0], n[0])

    def heads(self, layers: Mapping[str, IntegerLinear]) -> list[HeadLinear]:
        """Units 22 and 31: heads by name, whose mean the logits are.

        Their LSB is the finest in which no logit can overflow.
        """
        for bits in range(_MOST_LOGIT_BITS, -1, -1):
            try:
                found = self._heads(layers, 2.0**bits / len(layers))
            except ValueError:
                if bits == 0:
                    raise
            else:
                break
        self.choices.logit_bits = bits
        return found

    def _heads(self, layers: Mapping[str, IntegerLinear], unit: float) -> list[HeadLinear]:
        config, found, largest = self.config, [], None
        for name, layer in layers.items():
            with named(name):
                ratios = (each * unit for each in _product_scales(layer))
                params = HeadParams(
                    *multipliers(ratios, config.m_bits, config.max_n, "logit scale")
                )
                made = HeadLinear(_weights(layer), self._product(layer), params)
                largest = params.check_logits(config, made.inputs, made.product, largest)
                found.append(made)
        return found

    def attention(self, name: str, attention: IntegerAttention) -> LayerParams:
        """Units 1 to 12: an attention."""
        with named(name):
            return attention.params()

    def _product(self, layer: IntegerLinear, rows: slice = ALL) -> ProductParams:
        scales = _weight_scales(layer)[rows]
        biases = [0.0] * len(scales) if layer.bias is None else layer.bias[rows].double().tolist()
        x = layer.input_quantizer
        bias = (
            linear_bias(each, _scale(x), scale, self.config.bias_bits)
            for each, scale in zip(biases, scales, strict=True)
        )
        return ProductParams(_zero(x), tuple(bias))

    def _eps(self, norm: nn.LayerNorm, bits: int) -> int:
        return norm_eps(norm.eps, norm.normalized_shape[0], bits, self.config.eps_bits)

    def _affine(
        self, norm: nn.LayerNorm, step: float, zero: int
    ) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Return G, H and n per channel of what a layer norm gives, in steps from a zero point."""
        config, made = self.config, []
        affine = (norm.weight.double().tolist(), norm.bias.double().tolist())
        for gamma, beta in zip(*affine, strict=True):
            gain = gamma / (step * 2**config.z_fraction_bits)
            g, n = gain_and_shift(gain, config.gain_bits - 1, config.max_gain_shift, "gain")
            made.append((g, scaled(beta / step + zero, n, config.offset_bits, "offset"), n))
        gains, offsets, shifts = zip(*made, strict=True)
        return gains, offsets, shifts

    def _table(
        self,
        name: str,
        function: str,
        layer: IntegerLinear,
        rows: slice,
        table: Callable[[int], tuple[int, ...]],
        ends: tuple[int, int],
    ) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Return M, n and T of the finest u whose table is long enough.

        At each end it reaches all inputs that were seen, or the entry of all inputs beyond: above
        the largest one, below that of 0; every function is past its minimum at -2.

        Args:
            name: of the MLP.
            function: of the table.
            layer, rows: what gives the inputs.
            table: T by F_u.
            ends: its entry of 0, and the largest that there is.
        """
        low, high = self._seen[f"{name}.act"]
        config, (zero, top) = self.config, ends
        for bits in range(config.u_bits - 1, -1, -1):
            made = table(bits)
            reach = 2.0 ** (config.u_bits - 1 - bits)
            above = high <= reach - 2.0**-bits or made[-1] == top
            below = -low <= reach or (made[0] == zero and reach >= 2)
            if above and below:
                self.choices.tables.append(TableChoice(name, low, high, bits, reach))
                ratios = (each * 2.0**bits for each in _product_scales(layer)[rows])
                return *multipliers(ratios, config.m_bits, config.max_n, "table scale"), made
        raise ValueError(
            f"inputs of {function} must be from {-reach:.0f} to {reach - 1:.0f}, where its codes "
            f"change, got {low:.1f} to {high:.1f}"
        )


def _scale(quantizer: CodeUniform) -> float:
    return quantizer.delta.item()


def _zero(quantizer: CodeUniform) -> int:
    return int(quantizer.zero_point)


def _weights(layer: IntegerLinear) -> NDArray[np.int16]:
    """Return the weight codes less their zero points, (O, K), in the narrowest type."""
    codes: NDArray[np.int16] = layer.weight_codes.cpu().numpy()
    narrow = layer.weight_quantizer.max_code <= np.iinfo(np.int8).max
    return codes.astype(np.int8) if narrow else codes


def _weight_scales(layer: IntegerLinear) -> list[float]:
    scales: list[float] = layer.weight_quantizer.delta.flatten().double().tolist()
    return scales


def _product_scales(layer: IntegerLinear) -> list[float]:
    """Return the real value of a step of each output channel's accumulator."""
    return [_scale(layer.input_quantizer) * each for each in _weight_scales(layer)]
