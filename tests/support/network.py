"""The kernels of the network as tests call them, and tokens that hurt."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bitlog2.sim.network import NetworkConfig
from bitlog2.sim.network.parameters import ProductParams
from bitlog2.sim.network.product import ByteProduct, WordProduct
from bitlog2.sim.network.program import Linear
from bitlog2.sim.network.units import (
    activation,
    gate,
    head,
    image_requantizer,
    linear_accumulator,
    linear_requantizer,
    norm_requantizer,
    norm_sums,
    normalizer,
    reciprocal_root,
    residual_adder,
    token_mean,
)


def _tile(values: ArrayLike, dtype: Any) -> np.ndarray:
    return np.atleast_2d(np.asarray(values, dtype))


def _each(*values: ArrayLike, size: int) -> list[np.ndarray]:
    """Parameters per channel: one number stands for all channels."""
    return [np.array(np.broadcast_to(np.asarray(x, np.int64), (size,))) for x in values]


def image_codes(pixel: ArrayLike, gain: int, offset: int, shift: int, bits: int) -> list[int]:
    """Codes of pixels of one colour."""
    pixels = _tile(pixel, np.uint16)
    code = np.empty(pixels.shape, np.uint8)
    loaded = _each(gain, offset, shift, size=1)
    image_requantizer.image_requantizer_kernel(pixels, *loaded, (1 << bits) - 1, code)
    return code[0].tolist()


def accumulators(codes: ArrayLike, zero: int, weights: ArrayLike, bias: ArrayLike) -> np.ndarray:
    """acc (T, O) of codes (T, K) and weights (O, K)."""
    codes, weights = _tile(codes, np.uint8), _tile(weights, np.int16)
    acc = np.empty((len(codes), len(weights)), np.int32)
    loaded = _each(bias, size=len(weights))
    linear_accumulator.linear_accumulator_kernel(codes, zero, weights, *loaded, acc)
    return acc


def products(
    form: Any, codes: ArrayLike, zero: int, weights: ArrayLike, bias: ArrayLike
) -> np.ndarray:
    """The same by a product whose weights are laid out."""
    codes, weights = _tile(codes, np.uint8), _tile(weights, np.int16)
    loaded = ProductParams(zero, tuple(_each(bias, size=len(weights))[0].tolist()))
    acc = np.empty((len(codes), len(weights)), np.int32)
    form.of(Linear(weights, loaded))(codes, acc)
    return acc


words = partial(products, WordProduct)
#: Of weights from -127 to 127.
bytewise = partial(products, ByteProduct)


def linear_codes(acc: ArrayLike, m: ArrayLike, n: ArrayLike, zero: int, bits: int) -> list[int]:
    """Codes of accumulators, each with its own M and n."""
    acc = _tile(acc, np.int32)
    code = np.empty(acc.shape, np.uint8)
    loaded = _each(m, n, size=acc.shape[1])
    linear_requantizer.linear_requantizer_kernel(acc, *loaded, zero, (1 << bits) - 1, code)
    return code[0].tolist()


def residuals(
    acc: ArrayLike, m: ArrayLike, n: ArrayLike, x: ArrayLike, config: NetworkConfig
) -> tuple[list[int], int]:
    """The stream after each accumulator, and how many values saturated."""
    acc = _tile(acc, np.int32)
    x = np.array(np.broadcast_to(_tile(x, np.int32), acc.shape))
    loaded = _each(m, n, size=acc.shape[1])
    low, high = config.stream_min, config.stream_max
    count = residual_adder.residual_adder_kernel(acc, *loaded, low, high, x)
    return x[0].tolist(), int(count)


def sums(x: ArrayLike, eps: int) -> list[tuple[int, int, int]]:
    """(S, Q, V) of each token of x (T, C)."""
    x = _tile(x, np.int32)
    found = np.empty((3, len(x)), np.int64)
    norm_sums.norm_sums_kernel(x, eps, *found)
    return list(zip(*found.tolist(), strict=True))


def roots(variance: ArrayLike, config: NetworkConfig) -> list[tuple[int, int, int]]:
    """(k, root, r) of each variance."""
    variance = np.atleast_1d(np.asarray(variance, np.int64))
    k, found, r = (np.empty(variance.size, kind) for kind in (np.int8, np.int32, np.int32))
    reciprocal_root.reciprocal_root_kernel(variance, config.root_bits, k, found, r)
    return list(zip(k.tolist(), found.tolist(), r.tolist(), strict=True))


def normalized(
    x: ArrayLike, total: ArrayLike, k: ArrayLike, r: ArrayLike, config: NetworkConfig
) -> np.ndarray:
    """z of tokens x (T, C)."""
    x = _tile(x, np.int32)
    z = np.empty(x.shape, np.int32)
    total, k, r = (np.atleast_1d(np.asarray(each, np.int64)) for each in (total, k, r))
    down = 2 * config.root_bits - 1 - config.z_fraction_bits
    normalizer.normalizer_kernel(x, total, k.astype(np.int8), r.astype(np.int32), down, z)
    return z


def norm_codes(z: ArrayLike, gain: ArrayLike, offset: ArrayLike, n: ArrayLike, bits: int) -> Any:
    """Codes of normalized channels, each with its own G, H and n."""
    z = _tile(z, np.int32)
    code = np.empty(z.shape, np.uint8)
    loaded = _each(gain, offset, n, size=z.shape[1])
    norm_requantizer.norm_requantizer_kernel(z, *loaded, (1 << bits) - 1, code)
    return code.tolist()


def stream_norms(
    z: ArrayLike, gain: ArrayLike, offset: ArrayLike, n: ArrayLike, config: NetworkConfig
) -> Any:
    """The stream of normalized channels, each with its own G, H and n."""
    z = _tile(z, np.int32)
    x = np.empty(z.shape, np.int32)
    loaded = _each(gain, offset, n, size=z.shape[1])
    norm_requantizer.stream_norm_kernel(z, *loaded, config.stream_min, config.stream_max, x)
    return x.tolist()


def activations(
    acc: ArrayLike, m: ArrayLike, n: ArrayLike, table: Sequence[int]
) -> tuple[list[int], list[int]]:
    """(u, code) of each accumulator."""
    acc = _tile(acc, np.int32)
    u, code = np.empty(acc.shape, np.int16), np.empty(acc.shape, np.uint8)
    loaded = _each(m, n, size=acc.shape[1])
    activation.activation_kernel(acc, *loaded, np.array(table, np.uint8), u, code)
    return u[0].tolist(), code[0].tolist()


def gate_codes(g: ArrayLike, x: ArrayLike, m: int, n: int, zero: int, bits: int) -> list[list[int]]:
    """Codes (T, O) of g and x (T, O)."""
    g, x = _tile(g, np.int16), _tile(x, np.int32)
    code = np.empty(g.shape, np.uint8)
    gate.gate_kernel(g, x, m, n, zero, (1 << bits) - 1, code)
    return code.tolist()


def mean_terms(
    z: ArrayLike, gain: ArrayLike, offset: ArrayLike, n: ArrayLike, bits: int
) -> np.ndarray:
    """p (T, C) of z (T, C)."""
    z = _tile(z, np.int32)
    term = np.empty(z.shape, np.int32)
    loaded = _each(gain, offset, n, size=z.shape[1])
    token_mean.mean_term_kernel(z, *loaded, (1 << (bits - 1)) - 1, term)
    return term


def means(terms: ArrayLike, m: int, n: int, low: int, high: int) -> tuple[list[int], list[int]]:
    """(P, mean) of each channel of terms (T, C)."""
    terms = _tile(terms, np.int32)
    total, mean = np.empty(terms.shape[1], np.int64), np.empty(terms.shape[1], np.int32)
    token_mean.token_mean_kernel(terms, m, n, low, high, total, mean)
    return total.tolist(), mean.tolist()


def logits(acc: ArrayLike, m: ArrayLike, n: ArrayLike, before: ArrayLike = 0) -> list[int]:
    """Logits of accumulators, each with its own M and n, added to those before."""
    acc = _tile(acc, np.int32)
    found = np.array(np.broadcast_to(_tile(before, np.int32), acc.shape))
    head.head_kernel(acc, *_each(m, n, size=acc.shape[1]), found)
    return found[0].tolist()


def outlier_tokens(seed: int, tokens: int, channels: int, high: int) -> np.ndarray:
    """Tokens whose outlier channels are a thousand times their median, and shifted ones."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 20, (tokens, channels))
    x[:, rng.integers(0, channels, 3)] *= 1000
    x[::3] += rng.integers(-high // 4, high // 4, (len(x[::3]), 1))
    return np.clip(np.rint(x), -high - 1, high).astype(np.int32)
