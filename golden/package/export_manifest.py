"""Manifest of an export: its model, layers and memories."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
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
from bitlog2.names import CALIBRATIONS
from bitlog2.sim import SCHEMES, AttentionConfig, LayerParams
from bitlog2.sim.checks import check_choice
from bitlog2.sim.declarations import name_schema
from bitlog2.sim.own_scheme import OWN_NAME

from ..words.fields import Field
from .manifest import (
    File,
    FolderManifest,
    LayerName,
    MemoryFile,
    Size,
    check_listed,
    common_fields,
    memory,
)

#: The numbers of a layer for Python, in each layer's folder.
ARRAYS_NAME = "arrays.npz"
#: In place of a command, of an export that a call in Python made.
EXPORTED_IN_PYTHON = "bitlog2.models.export"
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
            extra_json_schema=name_schema(tuple(SCHEMES), OWN_NAME),
        ),
    ]
    arithmetic: Annotated[
        Literal["attention"],
        of("Linear products and attention in integers; schema version 1 called it `integer`."),
    ]
    w_bits: Annotated[
        Bits | None,
        of(
            "Width of weight codes; null for attention alone in integers, linear layers in float32."
        ),
    ]
    a_bits: Annotated[Bits, of("Width of activation codes.")]
    calibration: Annotated[
        str,
        Meta(
            description="How scales, weight codes and biases were chosen.",
            extra_json_schema={"enum": list(CALIBRATIONS)},
        ),
    ] = CALIBRATIONS[0]
    seed: Annotated[
        Count | None, of("Seed of the calibration; null for images that were given in Python.")
    ]
    calibration_images: Annotated[
        Size | None,
        of("Training images that calibrated; null for a quantized model from a file or in Python."),
    ] = None

    def __post_init__(self) -> None:
        check_choice("calibration", self.calibration, CALIBRATIONS)


class Params(Document, frozen=True, kw_only=True):
    """Parameters that the datapath loads, as in params.mem."""

    m: Annotated[Count, of("M: multiplier of the scores.")]
    n: Annotated[Count, of("Shift of the scores.")]
    m2: Annotated[Count, of("M2: multiplier of the outputs.")]
    n2: Annotated[Count, of("Shift of the outputs.")]
    zq: Annotated[Count, of("Zero point of q.")]
    zk: Annotated[Count, of("Zero point of k.")]
    zv: Annotated[Count, of("Zero point of v.")]
    zo: Annotated[Count, of("Zero point of o.")]


class AttentionLayer(Document, tag_field="kind", tag="attention", frozen=True, kw_only=True):
    """Attention layer: parameters, codes in and out."""

    name: Annotated[LayerName, of("Module name, and that of its folder.")]
    windows: Annotated[Size, of("Windows per image: 1 but for Swin.")]
    heads: Annotated[Size, of("Heads.")]
    tokens: Annotated[Size, of("N: keys of a row, and rows of a window.")]
    head_dim: Annotated[Size, of("D: channels of q, k, v and o.")]
    masked: Annotated[bool, of("Whether keys are masked, the same for every image (mask.mem).")]
    biased: Annotated[bool, of("Whether scores have a bias (score_bias.mem).")]
    scaled: Annotated[
        bool,
        of("Whether a scale of o is given (o_scale.mem), where it is not that of a layer's input."),
    ] = False
    params: Params

    @property
    def loaded(self) -> LayerParams:
        """The parameters, checked."""
        return LayerParams(**to_builtins(self.params))

    def memories(self, config: AttentionConfig, images: int) -> list[MemoryFile]:
        """Return the layer's files in their order."""
        return [*self._constants(config), *self._codes(config, images)]

    def _constants(self, config: AttentionConfig) -> list[MemoryFile]:
        params = [_port(config, name) for name in Params.__struct_fields__]
        found = [_memory(self, "params", "what the datapath loads", _ONE, params)]
        found += [
            _scale(self, f"{name}_scale", f"real value of a step of {name}")
            for name in ("qkvo" if self.scaled else "qkv")
        ]
        what, scale = "value of a level that stands for the probability 1", _MAP_SCALE_BITS
        found.append(_memory(self, "map_scale", what, _ONE, [Field("map_scale", scale)]))
        keys = self.tokens
        if self.masked:
            what = "1 for a key that takes no part, the same for every image and head"
            axes, fields = {"window": self.windows, "row": keys}, [Field("mask", 1, lanes=keys)]
            found.append(_memory(self, "mask", what, axes, fields, "key"))
        if self.biased:
            field = Field("score_bias", config.t_bits, signed=True, lanes=keys)
            what = "score bias b, the same for every image and window"
            axes = {"head": self.heads, "row": keys}
            found.append(_memory(self, "score_bias", what, axes, [field], "key"))
        return found

    def _codes(self, config: AttentionConfig, images: int) -> list[MemoryFile]:
        def codes(name: str, what: str, row: str, lane: str, bits: int) -> MemoryFile:
            axes = {"image": images, "window": self.windows, "head": self.heads, row: self.tokens}
            lanes = self.head_dim if lane == "channel" else self.tokens
            return _memory(self, name, what, axes, [Field(name, bits, lanes=lanes)], lane)

        top = config.code.top_level.bit_length()
        flag = [codes("flag", "zero flags of the attention map", "row", "key", 1)]
        return [
            *(codes(n, f"codes of {n}", "token", "channel", config.width(n)) for n in "qkv"),
            codes("level", "levels of the attention map", "row", "key", top),
            codes("nibble", "4-bit codes of the attention map", "row", "key", 4),
            *(flag if config.code.zero_flag else []),
            codes("o", "output codes", "row", "channel", config.o_bits),
        ]


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

    def memories(self, config: AttentionConfig, images: int) -> list[MemoryFile]:
        """Return the layer's files in their order."""
        outputs = {"output": self.outputs}
        weight = [Field("weight", self.weight_bits, lanes=self.inputs)]
        zero = [Field("weight_zero", self.weight_bits)]
        input_zero = [Field("input_zero", self.input_bits)]
        found = [
            _memory(self, "weight", "codes of the weights", outputs, weight, "input"),
            _memory(self, "weight_zero", "zero points of the weights", outputs, zero),
            _scale(self, "weight_scale", "scales of the weights", outputs),
        ]
        if self.biased:
            found.append(_scale(self, "bias", "bias, real", outputs))
        return [
            *found,
            _scale(self, "input_scale", "real value of a step of the input"),
            _memory(self, "input_zero", "zero point of the input", _ONE, input_zero),
        ]


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


#: Axes of a memory with one word.
_ONE = {"layer": 1}


def _memory(
    layer: "ExportedLayer",
    name: str,
    what: str,
    axes: Mapping[str, int],
    fields: Sequence[Field],
    lane_axis: str | None = None,
) -> MemoryFile:
    """Return the entry of a layer's memory, its checksum empty."""
    return memory(f"{layer.name}/{name}.mem", layer.name, what, axes, fields, lane_axis)


def _scale(
    layer: "ExportedLayer", name: str, what: str, axes: Mapping[str, int] = _ONE
) -> MemoryFile:
    """Return the same of real numbers, one per word."""
    fields = [Field(name, _FLOAT_BITS)]
    return memory(f"{layer.name}/{name}.mem", layer.name, what, axes, fields, None, "float32")


def _port(config: AttentionConfig, name: str) -> Field:
    return Field(name, config.width(name))


#: What is held to something: its name, its value, and the value that it must have.
_Held = tuple[str, Any, Any]


class ExportManifest(FolderManifest, tag="bitlog2-export", frozen=True, kw_only=True):
    """Manifest of an export."""

    title = "export"
    schema_file = "export.schema.json"

    model: Annotated[Text, of("Name of the model.")]
    quantization: Quantization
    images: Images
    layers: Layers

    @classmethod
    def of(
        cls,
        model: str,
        quantization: Quantization,
        config: AttentionConfig,
        images: tuple[int, ...],
        layers: tuple[ExportedLayer, ...],
        command: str,
    ) -> "ExportManifest":
        """Return the manifest of an export that is not written: its checksums are empty.

        Args:
            model: name of the model.
            quantization: quantization of the model.
            config: configuration of the hardware.
            images: number of each image in the validation set.
            layers: layers in execution order.
            command: command that makes the export again.

        Raises:
            ValueError: a layer is named twice, its parameters do not fit the configuration, or
                scheme, widths, sizes or command contradict one another.
        """
        memories = [each for layer in layers for each in layer.memories(config, len(images))]
        others = [File(path=arrays_path(layer), bytes=0, sha256="") for layer in layers]
        return cls(
            **common_fields(config.as_dict(), command, __version__),
            files=(*memories, *others),
            model=model,
            quantization=quantization,
            images=images,
            layers=layers,
        )

    def __post_init__(self) -> None:
        check_once("images", self.images)
        check_once("layers", [layer.name for layer in self.layers])
        config = self.config
        for layer in self.attention:
            config.check_params(layer.loaded)
        if (self.quantization.seed is None) != (self.command == EXPORTED_IN_PYTHON):
            raise ValueError(
                f"seed must be null exactly where the command is {EXPORTED_IN_PYTHON}, "
                f"got {self.quantization.seed} with {self.command}"
            )
        for what, value, wanted in (*self._widths(config), *self._sizes(), *self._options()):
            if value != wanted:
                raise ValueError(f"{what} must be {wanted}, got {value}")
        super().__post_init__()
        memories = [
            each for layer in self.layers for each in layer.memories(config, len(self.images))
        ]
        check_listed(self.memories, memories)
        attached = [each.path for each in self.files if isinstance(each, File)]
        if attached != (paths := [arrays_path(layer) for layer in self.layers]):
            odd = min(set(attached) ^ set(paths), default="their order")
            raise ValueError(f"files must list {ARRAYS_NAME} of every layer, see {odd}")

    def _widths(self, config: AttentionConfig) -> Iterator[_Held]:
        """Yield (what, value, what it must be) of the scheme and the widths of codes."""
        quantization = self.quantization
        yield "scheme of the quantization", quantization.scheme, config.scheme
        for name in "qkvo":
            bits = getattr(config, f"{name}_bits")
            yield f"{name}_bits of the configuration", bits, quantization.a_bits
        for layer in self.layers:
            if isinstance(layer, LinearLayer):
                is_patch = isinstance(layer, ConvolutionLayer)
                input_bits = PIXEL_BITS if is_patch else quantization.a_bits
                if quantization.w_bits is None:
                    yield f"w_bits beside {layer.name}", None, layer.weight_bits
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
        """Yield the same of what the command names; one with --load leaves the quantization out.

        A call in Python names nothing.
        """
        if self.command == EXPORTED_IN_PYTHON:
            return
        try:
            words = shlex.split(self.command)[2:]
        except ValueError as error:
            raise ValueError(
                f"command must be a shell command, got {self.command}: {error}"
            ) from None
        usual = {"--calibration": CALIBRATIONS[0]}
        named = usual | dict(zip(words[1::2], words[2::2], strict=False))
        yield "model of the command", words[:1], [self.model]
        options = ("scheme", "w_bits", "a_bits", "seed", "calibration", "calibration_images")
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

    def owned(self, layer: ExportedLayer) -> tuple[MemoryFile, ...]:
        """Return the memories of a layer in their order."""
        return tuple(each for each in self.memories if each.owner == layer.name)


def ranges_of(numbers: Sequence[int]) -> str:
    """Return ascending numbers as a selection: (0, 1, 2, 5) is `0-2,5`."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(f"{low}" if low == high else f"{low}-{high}" for low, high in ranges)


def arrays_path(layer: ExportedLayer) -> str:
    """Return the path of a layer's numbers for Python in its export."""
    return f"{layer.name}/{ARRAYS_NAME}"
