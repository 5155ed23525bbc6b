"""Manifest of an export: its model, layers and memories."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Annotated, Any, Literal

from msgspec import Meta, to_builtins

from bitlog2 import __version__
from bitlog2.documents import (
    UNIQUE,
    Count,
    Document,
    Text,
    check_once,
    of,
)
from bitlog2.sim import SCHEMES, AttentionConfig, LayerParams

from ..words.fields import Field
from .manifest import (
    File,
    FolderManifest,
    LayerName,
    Memory,
    Size,
    check_listed,
    common_fields,
)

#: The numbers of a layer for Python, in each layer's folder.
ARRAYS_NAME = "arrays.npz"
#: Input codes of a patch projection: pixels.
PIXEL_BITS = 8
_FLOAT_BITS = 32
#: Bits of the attention map's scale: the largest A is 2**16.
_MAP_SCALE_BITS = 17

Bits = Annotated[int, Meta(ge=2, le=8)]
Images = Annotated[
    tuple[Count, ...],
    Meta(
        min_length=1,
        description="Numbers of the images in the validation set, in the order of the axis image.",
    ),
    UNIQUE,
]


class Quantization(Document, frozen=True, kw_only=True):
    """Quantization of the model."""

    scheme: Annotated[
        str,
        Meta(
            description="Code of the attention map, that of the configuration.",
            extra_json_schema={"enum": list(SCHEMES)},
        ),
    ]
    arithmetic: Literal["integer"]
    w_bits: Annotated[Bits, of("Width of weight codes.")]
    a_bits: Annotated[Bits, of("Width of activation codes.")]
    seed: Annotated[Count, of("Seed of the calibration.")]
    calibration_images: Annotated[
        Size | None, of("Training images that calibrated; null for a quantized model from a file.")
    ] = None


class Params(Document, frozen=True, kw_only=True):
    """Parameters that the datapath loads, as in params.mem."""

    m: Count
    n: Count
    m2: Count
    n2: Count
    zq: Count
    zk: Count
    zv: Count
    zo: Count


class AttentionLayer(Document, tag_field="kind", tag="attention", frozen=True, kw_only=True):
    """Attention layer: parameters, codes in and out."""

    name: Annotated[LayerName, of("Module name, and that of its folder.")]
    windows: Annotated[Size, of("Windows per image: 1 but for Swin.")]
    heads: Annotated[Size, of("Heads.")]
    tokens: Annotated[Size, of("N: keys of a row, and rows of a window.")]
    head_dim: Annotated[Size, of("D: channels of q, k, v and o.")]
    masked: Annotated[bool, of("Whether keys are masked, the same for every image (mask.mem).")]
    biased: Annotated[bool, of("Whether scores have a bias (score_bias.mem).")]
    params: Params

    @property
    def loaded(self) -> LayerParams:
        """The parameters, checked."""
        return LayerParams(**to_builtins(self.params))

    def memories(self, config: AttentionConfig, images: int) -> tuple[Memory, ...]:
        """Return the layer's files in their order."""
        return (*self._constants(config), *self._codes(config, images))

    def _constants(self, config: AttentionConfig) -> list[Memory]:
        found = [_params_memory(config)]
        for name in ("q", "k", "v"):
            found.append(_scale(f"{name}_scale", f"real value of a step of {name}"))
        what = "value of a level that stands for the probability 1"
        found.append(_one_word("map_scale", what, _MAP_SCALE_BITS))
        keys = self.tokens
        if self.masked:
            field = Field("mask", 1, lanes=keys)
            what = "1 for a key that takes no part, the same for every image and head"
            axes, shape = ("window", "row"), (self.windows, keys)
            found.append(Memory("mask", what, axes, shape, (field,), "key"))
        if self.biased:
            field = Field("score_bias", config.t_bits, signed=True, lanes=keys)
            what = "score bias b, the same for every image and window"
            axes, shape = ("head", "row"), (self.heads, keys)
            found.append(Memory("score_bias", what, axes, shape, (field,), "key"))
        return found

    def _codes(self, config: AttentionConfig, images: int) -> list[Memory]:
        grid = (images, self.windows, self.heads, self.tokens)
        found = []

        def add(name: str, what: str, row: str, lane: str, bits: int) -> None:
            lanes = self.head_dim if lane == "channel" else self.tokens
            axes, field = ("image", "window", "head", row), Field(name, bits, lanes=lanes)
            found.append(Memory(name, what, axes, grid, (field,), lane))

        for name in ("q", "k", "v"):
            add(name, f"codes of {name}", "token", "channel", getattr(config, f"{name}_bits"))
        top = config.code.top_level.bit_length()
        add("level", "levels of the attention map", "row", "key", top)
        add("nibble", "4-bit codes of the attention map", "row", "key", 4)
        if config.code.zero_flag:
            add("flag", "zero flags of the attention map", "row", "key", 1)
        add("o", "output codes", "row", "channel", config.o_bits)
        return found


class LinearLayer(Document, tag_field="kind", tag="linear", frozen=True, kw_only=True):
    """Linear layer: weights and the quantizer of its input.

    A weight is (code - zero point) * scale of its output channel, an input likewise.
    """

    name: Annotated[LayerName, of("Module name, and that of its folder.")]
    outputs: Annotated[Size, of("Output channels.")]
    inputs: Annotated[Size, of("Weights of an output channel.")]
    biased: Annotated[bool, of("Whether it has a bias (bias.mem).")]
    weight_bits: Annotated[Bits, of("Width of the codes of weights.")]
    input_bits: Annotated[Bits, of("Width of the codes of inputs.")]

    def memories(self, config: AttentionConfig, images: int) -> tuple[Memory, ...]:
        """Return the layer's files in their order."""
        output, shape = ("output",), (self.outputs,)
        weight = Field("weight", self.weight_bits, lanes=self.inputs)
        zero = Field("weight_zero", self.weight_bits)
        scale = Field("weight_scale", _FLOAT_BITS)
        found = [
            Memory("weight", "codes of the weights", output, shape, (weight,), "input"),
            Memory("weight_zero", "zero points of the weights", output, shape, (zero,)),
            Memory(
                "weight_scale", "scales of the weights", output, shape, (scale,), None, "float32"
            ),
        ]
        if self.biased:
            bias = Field("bias", _FLOAT_BITS)
            found.append(Memory("bias", "bias, real", output, shape, (bias,), None, "float32"))
        found.append(_scale("input_scale", "real value of a step of the input"))
        found.append(_one_word("input_zero", "zero point of the input", self.input_bits))
        return tuple(found)


class ConvolutionLayer(LinearLayer, tag_field="kind", tag="convolution", frozen=True, kw_only=True):
    """Patch projection: a linear layer on patches that do not overlap."""

    kernel: Annotated[
        tuple[Size, Size, Size],
        of("Channels, height, width: the inputs are in this order, the last axis fastest."),
    ]
    stride: Annotated[tuple[Size, Size], of("Down, across.")]


ExportedLayer = AttentionLayer | LinearLayer | ConvolutionLayer
Layers = Annotated[
    tuple[ExportedLayer, ...],
    Meta(min_length=1, description="In execution order; each has the folder of its name."),
]


def _params_memory(config: AttentionConfig) -> Memory:
    fields = (
        Field("m", config.m_bits),
        Field("n", max(1, config.max_n.bit_length())),
        Field("m2", config.m2_bits),
        Field("n2", max(1, config.max_n2.bit_length())),
        Field("zq", config.q_bits),
        Field("zk", config.k_bits),
        Field("zv", config.v_bits),
        Field("zo", config.o_bits),
    )
    return Memory("params", "what the datapath loads", ("layer",), (1,), fields)


def _one_word(name: str, what: str, bits: int) -> Memory:
    return Memory(name, what, ("layer",), (1,), (Field(name, bits),))


def _scale(name: str, what: str) -> Memory:
    return Memory(name, what, ("layer",), (1,), (Field(name, _FLOAT_BITS),), None, "float32")


#: What is held to something: its name, its value, and the value that it must have.
_Held = tuple[str, Any, Any]


@dataclass(frozen=True)
class Export:
    """Content of an export, its numbers left out.

    Attributes:
        model: name of the model.
        quantization: of the model.
        config: what the hardware is built with.
        images: number of each image in the validation set.
        layers: in execution order.
        command: that makes the export again.
        package_version: of the package that made it.

    Raises:
        ValueError: a layer is named twice, its parameters do not fit the configuration, or scheme,
            widths, sizes or command contradict one another.
    """

    model: str
    quantization: Quantization
    config: AttentionConfig
    images: tuple[int, ...]
    layers: tuple[ExportedLayer, ...]
    command: str
    package_version: str = __version__

    def __post_init__(self) -> None:
        check_once("images", self.images)
        check_once("layers", [layer.name for layer in self.layers])
        for layer in self.attention:
            self.config.check_params(layer.loaded)
        for what, value, wanted in (*self._widths(), *self._sizes(), *self._options()):
            if value != wanted:
                raise ValueError(f"{what} must be {wanted}, got {value}")

    def _widths(self) -> Iterator[_Held]:
        """Yield (what, value, what it must be) of the scheme and the widths of codes."""
        quantization, config = self.quantization, self.config
        yield "scheme of the quantization", quantization.scheme, config.scheme
        for name in "qkvo":
            bits = getattr(config, f"{name}_bits")
            yield f"{name}_bits of the configuration", bits, quantization.a_bits
        for layer in self.layers:
            if isinstance(layer, LinearLayer):
                is_patch = isinstance(layer, ConvolutionLayer)
                input_bits = PIXEL_BITS if is_patch else quantization.a_bits
                yield f"weight_bits of {layer.name}", layer.weight_bits, quantization.w_bits
                yield f"input_bits of {layer.name}", layer.input_bits, input_bits

    def _sizes(self) -> Iterator[_Held]:
        """Yield the same of sizes: patches do not overlap, q, k and v come from one layer."""
        heads = {f"{layer.name}.qkv": 3 * layer.heads * layer.head_dim for layer in self.attention}
        for layer in self.layers:
            if isinstance(layer, ConvolutionLayer):
                yield f"inputs of {layer.name}", layer.inputs, prod(layer.kernel)
                yield f"stride of {layer.name}", layer.stride, layer.kernel[1:]
            elif isinstance(layer, LinearLayer):
                wanted = heads.get(layer.name, layer.outputs)
                yield f"outputs of {layer.name}", layer.outputs, wanted

    def _options(self) -> Iterator[_Held]:
        """Yield the same of what the command names; one with --load leaves the quantization out."""
        try:
            words = shlex.split(self.command)[2:]
        except ValueError as error:
            raise ValueError(
                f"command must be a shell command, got {self.command}: {error}"
            ) from None
        named = dict(zip(words[1::2], words[2::2], strict=False))
        yield "model of the command", words[:1], [self.model]
        options = ("scheme", "w_bits", "a_bits", "seed", "calibration_images")
        for name in options if "--load" not in named else ():
            option = f"--{name.replace('_', '-')}"
            yield (
                f"{option} of the command",
                named.get(option),
                str(getattr(self.quantization, name)),
            )
        yield "--images of the command", named.get("--images"), ranges_of(self.images)

    @property
    def attention(self) -> tuple[AttentionLayer, ...]:
        """The attention layers."""
        return tuple(layer for layer in self.layers if isinstance(layer, AttentionLayer))

    def memories(self, layer: ExportedLayer) -> tuple[Memory, ...]:
        """Return the files of a layer in their order."""
        return layer.memories(self.config, len(self.images))

    def manifest(self, sums: Mapping[str, File]) -> "ExportManifest":
        """Return the manifest of the export, its files known: no clock, no folder."""
        memories = tuple(
            memory.listed(path, layer.name, sums[path].sha256)
            for layer in self.layers
            for memory in self.memories(layer)
            for path in [memory_path(layer, memory)]
        )
        return ExportManifest(
            **common_fields(self.config.as_dict(), self.command, self.package_version),
            files=(*memories, *(sums[arrays_path(layer)] for layer in self.layers)),
            model=self.model,
            quantization=self.quantization,
            images=self.images,
            layers=self.layers,
        )


class ExportManifest(FolderManifest, tag="bitlog2-export", frozen=True, kw_only=True):
    """Manifest of an export."""

    model: Annotated[Text, of("Name of the model.")]
    quantization: Quantization
    images: Images
    layers: Layers

    def __post_init__(self) -> None:
        super().__post_init__()
        export, listed = self.export, {each.path: each.sha256 for each in self.files}
        wanted = [
            memory.listed(path, layer.name, listed.get(path, ""))
            for layer in export.layers
            for memory in export.memories(layer)
            for path in [memory_path(layer, memory)]
        ]
        check_listed(self.memories, wanted)
        attached = [each.path for each in self.files if isinstance(each, File)]
        if attached != (paths := [arrays_path(layer) for layer in self.layers]):
            odd = min(set(attached) ^ set(paths), default="their order")
            raise ValueError(f"files must list {ARRAYS_NAME} of every layer, see {odd}")

    @property
    def export(self) -> Export:
        """What is exported, checked."""
        return Export(
            model=self.model,
            quantization=self.quantization,
            config=self.config,
            images=self.images,
            layers=self.layers,
            command=self.command,
            package_version=self.package_version,
        )


def ranges_of(numbers: Sequence[int]) -> str:
    """Return ascending numbers as a selection: (0, 1, 2, 5) is `0-2,5`."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(f"{low}" if low == high else f"{low}-{high}" for low, high in ranges)


def memory_path(layer: ExportedLayer, memory: Memory) -> str:
    """Return the path of a memory file in its export."""
    return f"{layer.name}/{memory.name}.mem"


def arrays_path(layer: ExportedLayer) -> str:
    """Return the path of a layer's numbers for Python in its export."""
    return f"{layer.name}/{ARRAYS_NAME}"
