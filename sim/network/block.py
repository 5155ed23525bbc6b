"""A block of a pre-norm ViT, token by token in the specification: how the units fit together.

x -> 25 26 27 28 norm -> 22 23 q, k, v -> attention -> 22 24 proj, added to x
  -> 25 26 27 28 norm -> 22 29 fc1 and activation   -> 22 24 fc2, added to that
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..config import AttentionConfig, LayerParams
from ..heads import attention
from .config import NetworkConfig
from .parameters import (
    ActivationParams,
    CodeParams,
    ImageParams,
    NormParams,
    ProductParams,
    ResidualParams,
)
from .spec import (
    activation,
    activation_input,
    image_requantizer,
    linear_accumulator,
    linear_requantizer,
    norm_requantizer,
    norm_sums,
    normalizer,
    reciprocal_root,
    residual_adder,
    residual_sum,
)

Row = Sequence[int]
#: A row of values per token.
Rows = list[list[int]]


@dataclass(frozen=True)
class Linear:
    """Weights of a linear layer, a row of K per output channel, and what unit 22 loads."""

    weights: tuple[tuple[int, ...], ...]
    product: ProductParams

    def check(self, name: str, config: NetworkConfig, bits: int) -> None:
        """Refuse a weight beyond codes of so many bits, a layer too long, and a wrong parameter."""
        self.product.check(config, len(self.weights))
        inputs, largest = len(self.weights[0]), (1 << bits) - 1
        if any(len(row) != inputs for row in self.weights) or inputs > config.max_inputs:
            raise ValueError(
                f"{name} must have rows of one length, at most {config.max_inputs}, got "
                f"{sorted({len(row) for row in self.weights})}"
            )
        worst = max((abs(w), w) for row in self.weights for w in row)[1]
        if abs(worst) > largest:
            raise ValueError(f"weight of {name} must be from {-largest} to {largest}, got {worst}")

    def __call__(self, codes: Row) -> list[int]:
        """Return the accumulator of each output channel."""
        zx, bias = self.product.zx, self.product.linear_bias
        return [
            linear_accumulator(codes, zx, w, b) for w, b in zip(self.weights, bias, strict=True)
        ]


@dataclass(frozen=True)
class Block:
    """What a block loads."""

    heads: int
    norm1: NormParams
    q: tuple[Linear, CodeParams]
    k: tuple[Linear, CodeParams]
    v: tuple[Linear, CodeParams]
    attention: LayerParams
    proj: tuple[Linear, ResidualParams]
    norm2: NormParams
    fc1: tuple[Linear, ActivationParams]
    fc2: tuple[Linear, ResidualParams]

    def check(self, config: NetworkConfig, attention: AttentionConfig) -> None:
        """Refuse what the hardware cannot hold, and codes that the next unit does not take.

        Raises:
            ValueError: names the layer and what is legal.
        """
        channels = len(self.norm1.gain)
        if channels > config.max_channels or channels % self.heads:
            raise ValueError(
                f"channels must be a multiple of {self.heads} heads, at most "
                f"{config.max_channels}, got {channels}"
            )
        for name in ("norm1", "norm2"):
            getattr(self, name).check(config, channels)
        for name in ("q", "k", "v", "proj", "fc1", "fc2"):
            linear, loaded = getattr(self, name)
            linear.check(name, config, config.w_bits)
            loaded.check(config, len(linear.weights))
        for name in ("q", "k", "v"):
            bits = getattr(self, name)[1].y_bits
            if bits != getattr(attention, f"{name}_bits"):
                raise ValueError(
                    f"y_bits of {name} must be {getattr(attention, f'{name}_bits')}, those of "
                    f"attention, got {bits}"
                )


@dataclass(frozen=True)
class BlockTrace:
    """What leaves the stages of a block, a row per token, and how many values saturated."""

    norm1: Rows
    q: Rows
    k: Rows
    v: Rows
    o: Rows
    middle: Rows
    norm2: Rows
    u: Rows
    hidden: Rows
    residual: Rows
    saturated: int


def patch_embedding(
    image: Sequence[Sequence[Row]],
    size: int,
    requantizer: ImageParams,
    linear: Linear,
    added: ResidualParams,
    positions: Sequence[Row],
    config: NetworkConfig,
) -> Rows:
    """Return the stream of the patches of an image: units 21, 22 and 24.

    Args:
        image: pixels by colour, line and column.
        size: lines and columns of a patch.
        requantizer, linear, added: what is loaded; inputs of a patch are in the order colour, line,
            column.
        positions: what stands in place of x: the position embedding, in units of the stream.
    """
    loaded = zip(
        requantizer.image_gain, requantizer.image_offset, requantizer.image_shift, strict=True
    )
    codes = [
        [[image_requantizer(p, *parameters, config) for p in line] for line in colour]
        for colour, parameters in zip(image, loaded, strict=True)
    ]
    patches = [
        [
            c
            for colour in codes
            for line in colour[top : top + size]
            for c in line[left : left + size]
        ]
        for top in range(0, len(codes[0]), size)
        for left in range(0, len(codes[0][0]), size)
    ]
    return [_added(linear(p), x, added, config)[0] for p, x in zip(patches, positions, strict=True)]


def layer_norm(x: Row, params: NormParams, config: NetworkConfig) -> list[int]:
    """Return the codes of a token: units 25 to 28."""
    total, _, variance = norm_sums(x, params.norm_eps)
    k, _, r = reciprocal_root(variance, config)
    z = (normalizer(value, total, len(x), k, r, config) for value in x)
    loaded = zip(z, params.gain, params.offset, params.gain_shift, strict=True)
    return [norm_requantizer(*each, params.y_bits) for each in loaded]


def block(
    x: Sequence[Row], params: Block, config: NetworkConfig, attention_config: AttentionConfig
) -> BlockTrace:
    """Return what a block makes of the stream.

    Args:
        x: C values of the stream per token.
        params: what the block loads.
        config, attention_config: the hardware.

    Raises:
        ValueError: as `Block.check`, or a value of x is out of the stream's range.
    """
    params.check(config, attention_config)
    norm1 = [layer_norm(token, params.norm1, config) for token in x]
    q, k, v = (_codes(norm1, *layer) for layer in (params.q, params.k, params.v))
    o = _attention(q, k, v, params, attention_config)
    middle, first = _residual(o, x, *params.proj, config)
    norm2 = [layer_norm(token, params.norm2, config) for token in middle]
    u = [_inputs(params.fc1[0](token), params.fc1[1], config) for token in norm2]
    hidden = [[activation(value, params.fc1[1].table) for value in token] for token in u]
    residual, second = _residual(hidden, middle, *params.fc2, config)
    return BlockTrace(norm1, q, k, v, o, middle, norm2, u, hidden, residual, first + second)


def _codes(tokens: Rows, linear: Linear, params: CodeParams) -> Rows:
    loaded = list(zip(params.linear_multiplier, params.linear_shift, strict=True))
    return [
        [
            linear_requantizer(acc, m, n, params.linear_zero, params.y_bits)
            for acc, (m, n) in zip(linear(token), loaded, strict=True)
        ]
        for token in tokens
    ]


def _inputs(acc: Row, params: ActivationParams, config: NetworkConfig) -> list[int]:
    loaded = zip(acc, params.activation_multiplier, params.activation_shift, strict=True)
    return [activation_input(*each, config) for each in loaded]


def _added(
    acc: Row, x: Row, params: ResidualParams, config: NetworkConfig
) -> tuple[list[int], int]:
    """Return the stream after a layer, and how many of its values saturated."""
    each = list(zip(acc, params.residual_multiplier, params.residual_shift, x, strict=True))
    added = [residual_adder(*values, config) for values in each]
    exact = (residual_sum(*values) for values in each)
    return added, sum(a != b for a, b in zip(added, exact, strict=True))


def _residual(
    codes: Rows, x: Sequence[Row], linear: Linear, params: ResidualParams, config: NetworkConfig
) -> tuple[Rows, int]:
    added = [
        _added(linear(token), row, params, config) for token, row in zip(codes, x, strict=True)
    ]
    return [row for row, _ in added], sum(count for _, count in added)


def _attention(q: Rows, k: Rows, v: Rows, params: Block, config: AttentionConfig) -> Rows:
    """Return the codes of the heads side by side, as they came."""

    def by_head(tokens: Rows) -> np.ndarray:
        rows = np.asarray(tokens, np.int32)
        return rows.reshape(len(rows), params.heads, -1).transpose(1, 0, 2)

    o = attention(by_head(q), by_head(k), by_head(v), params.attention, config)
    assert isinstance(o, np.ndarray)
    rows: Rows = o.transpose(1, 0, 2).reshape(len(q), -1).tolist()
    return rows
