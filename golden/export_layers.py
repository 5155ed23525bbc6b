"""The layers of an exported model: which memories each has, and what a word of them holds."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import AttentionConfig, LayerParams

from .fields import Columns, Field, shaped
from .npz import smallest_dtype

__all__ = ["PIXEL_BITS", "Arrays", "AttentionLayer", "ExportedLayer", "LinearLayer", "Memory"]

#: The numbers of a layer by field name.
Arrays = Mapping[str, NDArray[Any]]

#: Input codes of a patch projection: pixels.
PIXEL_BITS = 8
_FLOAT_BITS = 32
#: Bits of the attention map's scale: the largest A is 2**16.
_MAP_SCALE_BITS = 17


@dataclass(frozen=True)
class Memory:
    """One memory file: its words, in the order of `axes` with the last axis fastest.

    Attributes:
        name: the file is `<name>.mem`.
        what: what it holds, in words.
        axes, shape: the words' axes and their sizes.
        fields: of a word, from the most significant bits down.
        lane_axis: what the lanes of a word stand for, lane 0 in the lowest bits; None for one.
        number: `integer`, or `float32`: the bits of an IEEE 754 number.
    """

    name: str
    what: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    fields: tuple[Field, ...]
    lane_axis: str | None = None
    number: Literal["integer", "float32"] = "integer"

    @property
    def words(self) -> int:
        """Words of the file."""
        return math.prod(self.shape)

    @property
    def count(self) -> int:
        """Values in it."""
        return self.words * sum(field.lanes for field in self.fields)

    def array_shape(self, field: Field) -> tuple[int, ...]:
        """Return the shape of a field's array: that of the words, and the lanes where it has."""
        return self.shape if self.lane_axis is None else (*self.shape, field.lanes)

    def columns(self, arrays: Arrays) -> Columns:
        """Return the columns of the file from the layer's numbers.

        Raises:
            TypeError, ValueError: an array is missing, has another kind of numbers, or another
                shape.
        """
        columns: Columns = {}
        for field in self.fields:
            if field.name not in arrays:
                raise ValueError(f"{field.name} must be among the layer's arrays: it is missing")
            array = arrays[field.name]
            _check_array(field.name, array, self.array_shape(field), self.number)
            if self.number == "float32":
                array = np.ascontiguousarray(array).view(np.uint32)
            columns[field.name] = array
        return shaped(self.fields, columns)

    def arrays(self, columns: Columns) -> dict[str, NDArray[Any]]:
        """Return the numbers that columns hold, in their smallest type: as `.npz` has them."""
        found = {}
        for field in self.fields:
            values = columns[field.name].astype(smallest_dtype(field))
            if self.number == "float32":
                values = values.view(np.dtype("<f4"))
            found[field.name] = values.reshape(self.array_shape(field))
        return found


def _check_array(name: str, array: NDArray[Any], shape: tuple[int, ...], number: str) -> None:
    real = array.dtype == np.float32
    if real != (number == "float32") or (not real and array.dtype.kind not in "iub"):
        kind = "float32" if number == "float32" else "integers"
        raise TypeError(f"{name} must hold {kind}, got dtype {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")


@dataclass(frozen=True)
class AttentionLayer:
    """An attention layer: parameters, codes in and out, for I images.

    Attributes:
        name: module name, and that of its folder.
        windows: W, windows an image: 1 but for Swin.
        heads, tokens, head_dim: H, N and D.
        masked: whether keys are masked, the same for every image.
        biased: whether scores have a bias.
        params: what the datapath loads.
    """

    kind: ClassVar[str] = "attention"
    name: str
    windows: int
    heads: int
    tokens: int
    head_dim: int
    masked: bool
    biased: bool
    params: LayerParams

    def as_dict(self) -> dict[str, Any]:
        """Return the layer as JSON values."""
        return {"kind": self.kind, **asdict(self)}

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
        add(
            "level", "levels of the attention map", "row", "key", config.code.top_level.bit_length()
        )
        add("nibble", "4-bit codes of the attention map", "row", "key", 4)
        if config.code.zero_flag:
            add("flag", "zero flags of the attention map", "row", "key", 1)
        add("o", "output codes", "row", "channel", config.o_bits)
        return found


@dataclass(frozen=True)
class LinearLayer:
    """A linear layer, or the patch projection: weights and the quantizer of its input.

    A weight is (code - zero point) * scale of its output channel, an input likewise.

    Attributes:
        name: module name, and that of its folder.
        kind: `linear` or `convolution`.
        outputs, inputs: output channels, and weights of each.
        biased: whether it has a bias.
        weight_bits, input_bits: widths of the codes.
        kernel: (channels, height, width) of a convolution: inputs are in this order, the last axis
            fastest; None for a linear layer.
        stride: (down, across) of a convolution, None for a linear layer.
    """

    name: str
    kind: Literal["linear", "convolution"]
    outputs: int
    inputs: int
    biased: bool
    weight_bits: int
    input_bits: int
    kernel: tuple[int, int, int] | None = None
    stride: tuple[int, int] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the layer as JSON values."""
        values = asdict(self)
        for name in ("kernel", "stride"):
            size = values.pop(name)
            if size is not None:
                values[name] = list(size)
        return values

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


ExportedLayer = AttentionLayer | LinearLayer


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
