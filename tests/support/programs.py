"""Small random programs of every shape: a ViT, one with a mean, a Swin; and their images."""

from dataclasses import replace
from typing import Any

import numpy as np

from bitlog2.sim import SCHEMES, AttentionConfig, LayerParams
from bitlog2.sim.network import NetworkConfig
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
    Attention,
    CodeLinear,
    GatedMlp,
    GateLinear,
    Head,
    HeadLinear,
    Merging,
    Mlp,
    NormedLinear,
    PatchEmbedding,
    Program,
    ResidualLinear,
    Windows,
)

_CLASSES = 5


class Maker:
    """Parameters that use the range of the codes, drawn from a seed."""

    def __init__(self, seed: int, bits: int, scheme: str, **network: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.network = NetworkConfig(a_bits=bits, w_bits=bits, **network)
        widths = {f"{name}_bits": bits for name in "qkvo"}
        self.attention = AttentionConfig(scheme, **widths)
        self.bits, self.top = bits, (1 << bits) - 1

    def integers(self, low: int, high: int, size: Any) -> Any:
        """Uniform from low to high."""
        return self.rng.integers(low, high + 1, size)

    def ratios(self, size: int, ratio: float) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """M and n of about a ratio, another n for some."""
        n = 15 - int(np.log2(ratio)) + self.integers(0, 1, size)
        return tuple(self.integers(1 << 15, (1 << 16) - 1, size).tolist()), tuple(n.tolist())

    def linear(self, outputs: int, inputs: int, code_top: int, target: float) -> dict[str, Any]:
        """Weights, zx and B; `last` is M and n that bring accumulators to about `target`."""
        kind = np.int8 if self.bits < 8 else np.int16
        weights = self.integers(-self.top, self.top, (outputs, inputs)).astype(kind)
        bias = tuple(
            self.integers(-self.top * code_top // 2, self.top * code_top // 2, outputs).tolist()
        )
        self.last = self.ratios(outputs, target / (inputs**0.5 * self.top * code_top / 4))
        return {
            "weights": weights,
            "product": ProductParams(int(self.integers(code_top // 3, code_top // 2, None)), bias),
        }

    def codes(self, outputs: int, inputs: int) -> CodeLinear:
        made = self.linear(outputs, inputs, self.top, self.top / 5)
        return CodeLinear(**made, params=CodeParams(*self.last, self.top // 2, self.bits))

    def added(self, outputs: int, inputs: int, code_top: int | None = None) -> ResidualLinear:
        made = self.linear(outputs, inputs, code_top or self.top, 400)
        return ResidualLinear(**made, params=ResidualParams(*self.last))

    def activated(self, outputs: int, inputs: int) -> ActivationLinear:
        made = self.linear(outputs, inputs, self.top, 150)
        table = tuple(self.integers(0, self.top, 1 << self.network.u_bits).tolist())
        return ActivationLinear(**made, params=ActivationParams(*self.last, table))

    def gains(self, channels: int, gain: float, centre: int) -> dict[str, Any]:
        """G, H and n around a gain of either sign, one of them 0."""
        n = 14 - int(np.floor(np.log2(gain)))
        g = self.integers(1 << 13, (1 << 15) - 1, channels) * self.rng.choice([-1, 1], channels)
        g[0] = 0
        h = (centre << n) + self.integers(-(1 << n), 1 << n, channels)
        return {"g": tuple(g.tolist()), "h": tuple(h.tolist()), "n": (n,) * channels}

    def norm(self, channels: int, bits: int | None = None) -> NormParams:
        """z has 10 fraction bits: two deviations reach the ends of the codes."""
        top = (1 << (bits or self.bits)) - 1
        made = self.gains(channels, top / 4 / 1024, top // 2)
        return NormParams(777, made["g"], made["h"], made["n"], bits or self.bits)

    def stream_norm(self, channels: int) -> StreamNormParams:
        made = self.gains(channels, 0.5, 3)
        return StreamNormParams(1, made["g"], made["h"], made["n"])

    def layer(self) -> LayerParams:
        """Parameters of attention by which levels differ, and outputs too."""
        zeros = self.integers(self.top // 3, self.top // 2, 4).tolist()
        n2 = 14 if SCHEMES[self.attention.scheme].row_max else 22
        return LayerParams(40000, 13 if self.bits == 4 else 21, 41000, n2, *zeros)

    def embedding(
        self,
        channels: int,
        prefix: int,
        *,
        norm: bool = False,
        side: int = 8,
        colours: int = 2,
        patch: int = 2,
    ) -> PatchEmbedding:
        gain = tuple(self.integers(28000, 40000, colours).tolist())
        offset = tuple(self.integers(-1 << 17, 1 << 17, colours).tolist())
        patches, inputs = (side // patch) ** 2, colours * patch * patch
        return PatchEmbedding(
            side,
            side,
            patch,
            ImageParams(gain, offset, (15,) * colours),
            self.added(channels, inputs, 255),
            self.integers(-99, 99, (patches, channels)).astype(np.int32),
            self.integers(-99, 99, (prefix, channels)).astype(np.int32),
            self.stream_norm(channels) if norm else None,
        )

    def attends(
        self, channels: int, heads: int, windows: Windows | None = None, *, tables: bool = False
    ) -> Attention:
        q, k, v = (self.codes(channels, channels) for _ in range(3))
        masked = bias = None
        if tables:
            assert windows is not None
            keys = windows.tokens
            bias = self.integers(-90, 90, (heads, keys, keys)).astype(np.int32)
            if windows.row_shift:
                masked = self.rng.random((windows.count, keys, keys)) < 0.3
                masked[:, range(keys), range(keys)] = False
        return Attention(
            self.norm(channels), q, k, v, heads, self.layer(), self.added(channels, channels),
            bias, masked, windows,
        )  # fmt: skip

    def normed(self, step: Attention) -> Attention:
        """The same with a norm of q and of k."""
        channels, depth = step.proj.outputs, step.q.outputs // step.heads
        q, k = (NormedLinear(self.added(step.q.outputs, channels), self.norm(depth)) for _ in "qk")
        return replace(step, q=q, k=k)

    def mlp(self, channels: int, hidden: int) -> Mlp:
        fc1 = self.activated(hidden, channels)
        return Mlp(self.norm(channels), fc1, self.added(channels, hidden))

    def gated_mlp(self, channels: int, hidden: int) -> GatedMlp:
        made, largest = self.linear(hidden, channels, self.top, 150), 4 * self.network.u_max
        table = self.integers(-largest, largest, 1 << self.network.u_bits)
        gate = GateLinear(**made, params=GateParams(*self.last, tuple(table.tolist())))
        ((m,), (n,)) = self.ratios(1, self.top / (300 * largest))
        product = GateCodeParams(m, n, self.top // 2, self.bits)
        value, fc2 = self.added(hidden, channels), self.added(channels, hidden)
        return GatedMlp(self.norm(channels), gate, value, product, fc2)

    def merging(self, height: int, width: int, channels: int, outputs: int) -> Merging:
        return Merging(height, width, self.norm(4 * channels), self.added(outputs, 4 * channels))

    def mean(self, channels: int, tokens: int) -> MeanParams:
        """p has 8 fraction bits."""
        made = self.gains(channels, self.top / 4 / 1024 * 256, self.top // 2 * 256)
        g, h, n = made["g"], made["h"], made["n"]
        return MeanParams(5, g, h, n, 65536 // tokens, 24, self.bits)

    def head(self, channels: int, **pooling: Any) -> Head:
        made = self.linear(_CLASSES, channels, self.top, 1000)
        return Head(HeadLinear(**made, params=HeadParams(*self.last)), **pooling)

    def program(self, *steps: Any) -> Program:
        return Program(self.network, self.attention, steps, "random", 7)


def vit(bits: int = 4, scheme: str = "RowMax_16", **network: int) -> Program:
    """A class token, two registers, 16 patches; two heads of six channels, three of four."""
    m = Maker(1, bits, scheme, **network)
    return m.program(
        m.embedding(12, prefix=3), m.attends(12, 2), m.mlp(12, 20), m.attends(12, 3),
        m.mlp(12, 16), m.head(12, norm=m.norm(12)),
    )  # fmt: skip


def averaged(bits: int = 4, scheme: str = "BitLog2_Half_17", **network: int) -> Program:
    """A register, a norm behind the patches, the mean of the stream in front of the last norm."""
    m = Maker(2, bits, scheme, **network)
    mean = StreamMeanParams(65536 // 16, 16)
    return m.program(
        m.embedding(10, prefix=1, norm=True), m.mlp(10, 14), m.attends(10, 1),
        m.head(10, norm=m.norm(10), mean=mean, first=1),
    )  # fmt: skip


def swin(bits: int = 4, scheme: str = "RowMax_16", **network: int) -> Program:
    """Windows of 2 by 4 of a grid of 4 by 4, one turned and masked; merging; a mean of the norm."""
    m = Maker(3, bits, scheme, **network)
    plain, turned = Windows(4, 4, 2, 4), Windows(4, 4, 2, 2, 1, 1)
    return m.program(
        m.embedding(8, prefix=0, norm=True), m.attends(8, 2, plain, tables=True), m.mlp(8, 12),
        m.attends(8, 2, turned, tables=True), m.mlp(8, 12), m.merging(4, 4, 8, 12),
        m.attends(12, 3, Windows(2, 2, 2, 2), tables=True), m.mlp(12, 20),
        m.head(12, mean=m.mean(12, 4)),
    )  # fmt: skip


def distilled(bits: int = 4, scheme: str = "BitLog2_Half_17", **network: int) -> Program:
    """A class and a distillation token, each with a head; q and k normalized; a gated MLP."""
    m = Maker(6, bits, scheme, **network)
    return m.program(
        m.embedding(8, prefix=2), m.normed(m.attends(8, 2)), m.gated_mlp(8, 12),
        m.head(8, norm=m.norm(8)), m.head(8, norm=m.norm(8), first=1),
    )  # fmt: skip


def photo() -> Program:
    """Of three colours, made of image files."""
    m = Maker(4, 4, "RowMax_16")
    steps = m.embedding(8, prefix=1, colours=3), m.mlp(8, 12), m.head(8, norm=m.norm(8))
    return Program(m.network, m.attention, steps, "photo", resize=9)


def deit_base() -> Program:
    """The shape of DeiT-B: 197 tokens of 768 channels, twelve blocks, five classes."""
    m = Maker(8, 4, "RowMax_16")
    blocks = [step for _ in range(12) for step in (m.attends(768, 12), m.mlp(768, 3072))]
    embedding = m.embedding(768, prefix=1, side=224, colours=3, patch=16)
    return m.program(embedding, *blocks, m.head(768, norm=m.norm(768)))


PROGRAMS = {"vit": vit, "averaged": averaged, "swin": swin, "distilled": distilled}


def images(program: Program, count: int, seed: int = 11) -> np.ndarray:
    """Random pixels, the first image black and the second white."""
    rng = np.random.default_rng(seed)
    high = (1 << program.network.pixel_bits) - 1
    pixels = rng.integers(0, high + 1, (count, *program.image_shape))
    pixels[:1], pixels[1:2] = 0, high
    return pixels.astype(np.uint8 if high < 256 else np.uint16)
