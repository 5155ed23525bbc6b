"""A block of a ViT in float64 with the quantizers of the integer one, and what that loads."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import erf

from bitlog2.sim import AttentionConfig, LayerParams, attention, multiplier_and_shift
from bitlog2.sim.network import NetworkConfig
from bitlog2.sim.network.activation_table import activation_table
from bitlog2.sim.network.multiplier import (
    gain_and_shift,
    linear_bias,
    multipliers,
    norm_eps,
    scaled,
)
from bitlog2.sim.network.parameters import (
    ActivationParams,
    CodeParams,
    NormParams,
    ProductParams,
    ResidualParams,
)
from bitlog2.sim.network.program import (
    ActivationLinear,
    Attention,
    CodeLinear,
    Mlp,
    ResidualLinear,
)

EPS = 1e-6


@dataclass(frozen=True)
class Quantizer:
    """Codes of a tensor: real = scale * (code - zero)."""

    scale: float
    zero: int
    bits: int

    @classmethod
    def of(cls, values: np.ndarray, bits: int) -> "Quantizer":
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        scale = (high - low) / ((1 << bits) - 1)
        return cls(scale, math.floor(-low / scale + 0.5), bits)

    def codes(self, values: np.ndarray) -> np.ndarray:
        found = np.floor(values / self.scale + 0.5) + self.zero
        return np.clip(found, 0, (1 << self.bits) - 1).astype(np.int64)

    def real(self, codes: np.ndarray) -> np.ndarray:
        return (codes - self.zero) * self.scale


@dataclass(frozen=True)
class RealLinear:
    """Weights as codes less their zero point, a scale per output channel, and a real bias."""

    weights: np.ndarray
    scale: np.ndarray
    bias: np.ndarray

    @classmethod
    def random(cls, rng: np.random.Generator, outputs: int, inputs: int, bits: int) -> "RealLinear":
        real = rng.normal(0, inputs**-0.5, (outputs, inputs))
        scale = np.abs(real).max(axis=1) / ((1 << (bits - 1)) - 1)
        weights = np.rint(real / scale[:, None]).astype(int)
        return cls(weights, scale, rng.normal(0, 0.2, outputs))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return x @ (self.weights * self.scale[:, None]).T + self.bias

    def lowered(self, source: Quantizer) -> tuple[np.ndarray, ProductParams]:
        bias = (
            linear_bias(float(b), source.scale, float(s), 30)
            for b, s in zip(self.bias, self.scale, strict=True)
        )
        return self.weights.astype(np.int16), ProductParams(source.zero, tuple(bias))

    def ratios(self, source: Quantizer, unit: float) -> list[float]:
        return [source.scale * float(s) / unit for s in self.scale]


class RealBlock:
    """Random weights; quantizers of what a float64 pass over the tokens shows."""

    def __init__(
        self, seed: int, x: np.ndarray, fraction_bits: int, heads: int, bits: int, hidden: int
    ) -> None:
        rng, channels = np.random.default_rng(seed), x.shape[1]
        self.heads, self.bits, self.fraction_bits = heads, bits, fraction_bits
        self.gamma = rng.normal(1, 0.3, (2, channels))
        self.gamma[:, 3] = 0.0
        self.beta = rng.normal(0, 0.3, (2, channels))
        shapes = {"q": (channels, channels), "fc1": (hidden, channels), "fc2": (channels, hidden)}
        shapes |= dict.fromkeys(("k", "v", "proj"), shapes["q"])
        self.layers = {n: RealLinear.random(rng, *shape, bits) for n, shape in shapes.items()}
        self.quantizers: dict[str, Quantizer] = {}
        self.config = NetworkConfig(a_bits=bits, w_bits=bits)
        widths = {f"{name}_bits": bits for name in "qkvo"}
        self.attention_config = AttentionConfig("RowMax_16", **widths)
        self.run(x)

    def quantized(self, name: str, values: np.ndarray) -> np.ndarray:
        """Codes of a tensor; its quantizer is made of the first values seen."""
        quantizer = self.quantizers.setdefault(name, Quantizer.of(values, self.bits))
        return quantizer.codes(values)

    def norm(self, place: int, x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(axis=1, keepdims=True)
        z = centred / np.sqrt(x.var(axis=1, keepdims=True) + EPS)
        return z * self.gamma[place] + self.beta[place]

    def linear(self, name: str, source: str, codes: np.ndarray) -> np.ndarray:
        return self.layers[name](self.quantizers[source].real(codes))

    def activated(self, codes: np.ndarray) -> np.ndarray:
        u = self.linear("fc1", "norm2", codes)
        return u * (1 + erf(u / math.sqrt(2))) / 2

    def run(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """What leaves each stage for tokens x of the integer stream; the stream in its LSB."""
        lsb = 2.0**-self.fraction_bits
        stream = x * lsb
        found = {"norm1": self.quantized("norm1", self.norm(0, stream))}
        for name in "qkv":
            found[name] = self.quantized(name, self.linear(name, "norm1", found["norm1"]))
        if "o" not in self.quantizers:
            self.quantizers["o"] = self.quantizers["v"]
        found["o"] = self.attended(*(found[name] for name in "qkv"))
        stream = stream + self.linear("proj", "o", found["o"])
        found["middle"] = stream / lsb
        found["norm2"] = self.quantized("norm2", self.norm(1, stream))
        found["hidden"] = self.quantized("hidden", self.activated(found["norm2"]))
        stream = stream + self.linear("fc2", "hidden", found["hidden"])
        return found | {"residual": stream / lsb}

    def attention_params(self) -> LayerParams:
        q, k, v, o = (self.quantizers[name] for name in "qkvo")
        c = self.attention_config
        depth = self.layers["q"].weights.shape[0] // self.heads
        ratio = q.scale * k.scale * depth**-0.5 * math.log2(math.e) * 2**c.fraction_bits
        m, n = multiplier_and_shift(ratio, c.m_bits, c.max_n, "M")
        m2, n2 = multiplier_and_shift(v.scale / o.scale, c.m2_bits, c.max_layer_n2, "M2")
        return LayerParams(m, n, m2, n2, q.zero, k.zero, v.zero, o.zero)

    def attended(self, *codes: np.ndarray) -> np.ndarray:
        """Attention is the simulator's in both: it has tests of its own."""
        by_head = (x.reshape(len(x), self.heads, -1).transpose(1, 0, 2) for x in codes)
        o = attention(*by_head, self.attention_params(), self.attention_config)
        return o.transpose(1, 0, 2).reshape(codes[0].shape).astype(np.int64)

    def lowered(self) -> tuple[Attention, Mlp]:
        """The block in integers."""
        lsb, config, channels = 2.0**-self.fraction_bits, self.config, self.gamma.shape[1]

        def norm(place: int, name: str) -> NormParams:
            y, made = self.quantizers[name], []
            for gamma, beta in zip(self.gamma[place], self.beta[place], strict=True):
                gain = float(gamma) / (y.scale * 2**config.z_fraction_bits)
                g, n = gain_and_shift(gain, config.gain_bits - 1, config.max_gain_shift, "gain")
                offset = float(beta) / y.scale + y.zero
                made.append((g, scaled(offset, n, config.offset_bits, "offset"), n))
            eps = norm_eps(EPS, channels, self.fraction_bits, config.eps_bits)
            return NormParams(eps, *zip(*made, strict=True), self.bits)

        def layer(name: str, source: str, unit: float) -> tuple[tuple, tuple]:
            from_codes, linear = self.quantizers[source], self.layers[name]
            ratios = linear.ratios(from_codes, unit)
            return linear.lowered(from_codes), multipliers(ratios, 16, config.max_n, name)

        def coded(name: str) -> CodeLinear:
            y = self.quantizers[name]
            linear, loaded = layer(name, "norm1", y.scale)
            return CodeLinear(*linear, CodeParams(*loaded, y.zero, y.bits))

        def added(name: str, source: str) -> ResidualLinear:
            linear, loaded = layer(name, source, lsb)
            return ResidualLinear(*linear, ResidualParams(*loaded))

        linear, loaded = layer("fc1", "norm2", 2.0**-6)
        y = self.quantizers["hidden"]
        exact = y.scale.as_integer_ratio()
        t = activation_table("gelu", 6, exact, y.zero, u_bits=config.u_bits, bits=y.bits)
        fc1 = ActivationLinear(*linear, ActivationParams(*loaded, t))
        q, k, v = map(coded, "qkv")
        params, proj = self.attention_params(), added("proj", "o")
        attends = Attention(norm(0, "norm1"), q, k, v, self.heads, params, proj)
        return attends, Mlp(norm(1, "norm2"), fc1, added("fc2", "hidden"))
