"""Exported layers of a model: manifest, files, writing, reading, verification."""

import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from bitlog2 import SPEC_VERSION, __version__
from bitlog2.sim import AttentionConfig, LayerParams, config_from_mapping
from bitlog2.sim.files import refuse_irregular

from ..words.fields import Columns, Field, hex_digits, shaped, unpack, word_width
from ..words.memfile import UNKNOWN, parse_mem
from ..words.npz import smallest_dtype
from .folder import MANIFEST_NAME, SUMS_NAME, names_in_sums
from .schema import read_json, render_json, shortened

__all__ = [
    "ARRAYS_NAME",
    "FORMAT",
    "PIXEL_BITS",
    "Arrays",
    "AttentionLayer",
    "Export",
    "ExportManifest",
    "ExportedLayer",
    "LinearLayer",
    "Memory",
    "arrays_path",
    "check_export_replaceable",
    "file_paths",
    "is_export",
    "memory_path",
    "open_export",
    "own_paths",
    "ranges_of",
    "read_export_manifest",
    "read_memory",
    "render_export_manifest",
]

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


FORMAT = "bitlog2-export"
#: The numbers of a layer for Python, in each layer's folder.
ARRAYS_NAME = "arrays.npz"
_SCHEMA_VERSION = 1
_SCHEMA = "export.schema.json"
#: What is held to something: its name, its value, and the value that it must have.
_Held = tuple[str, Any, Any]


@dataclass(frozen=True)
class Export:
    """What is exported, its numbers left out.

    Attributes:
        model: its name.
        quantization: scheme, arithmetic, widths, seed: as the manifest names them.
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
    quantization: dict[str, Any]
    config: AttentionConfig
    images: tuple[int, ...]
    layers: tuple[ExportedLayer, ...]
    command: str
    package_version: str = __version__

    def __post_init__(self) -> None:
        names = [layer.name for layer in self.layers]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"layers must be named once each, got {name} twice")
        for layer in self.attention:
            self.config.check_params(layer.params)
        for what, value, wanted in (*self._widths(), *self._sizes(), *self._options()):
            if value != wanted:
                raise ValueError(f"{what} must be {wanted}, got {value}")

    def _widths(self) -> Iterator[_Held]:
        """Yield (what, value, what it must be) of the scheme and the widths of codes."""
        quantization, config = self.quantization, self.config
        w_bits, a_bits = quantization["w_bits"], quantization["a_bits"]
        yield "scheme of the quantization", quantization["scheme"], config.scheme
        for name in "qkvo":
            yield f"{name}_bits of the configuration", getattr(config, f"{name}_bits"), a_bits
        for layer in self.layers:
            if isinstance(layer, LinearLayer):
                input_bits = PIXEL_BITS if layer.kind == "convolution" else a_bits
                yield f"weight_bits of {layer.name}", layer.weight_bits, w_bits
                yield f"input_bits of {layer.name}", layer.input_bits, input_bits

    def _sizes(self) -> Iterator[_Held]:
        """Yield the same of sizes: patches do not overlap, q, k and v come from one layer."""
        heads = {f"{layer.name}.qkv": 3 * layer.heads * layer.head_dim for layer in self.attention}
        for layer in self.layers:
            if isinstance(layer, LinearLayer) and layer.kernel is not None:
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
            yield f"{option} of the command", named.get(option), str(self.quantization.get(name))
        yield "--images of the command", named.get("--images"), ranges_of(self.images)

    @property
    def attention(self) -> tuple[AttentionLayer, ...]:
        """The attention layers."""
        return tuple(layer for layer in self.layers if isinstance(layer, AttentionLayer))

    def memories(self, layer: ExportedLayer) -> tuple[Memory, ...]:
        """Return the files of a layer in their order."""
        return layer.memories(self.config, len(self.images))

    def files(self) -> Iterator[tuple[ExportedLayer, Memory]]:
        """Yield every memory file."""
        for layer in self.layers:
            for memory in self.memories(layer):
                yield layer, memory


@dataclass(frozen=True)
class ExportManifest:
    """What a manifest says, checked.

    Attributes:
        export: what is exported.
        sha256: checksum of each file but the manifest and the sums, by its path.
    """

    export: Export
    sha256: dict[str, str]


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


def render_export_manifest(export: Export, sums: Mapping[str, str]) -> bytes:
    """Return the manifest of an export whose files have these SHA-256: no clock, no folder."""
    manifest = {
        "format": FORMAT,
        "schema_version": _SCHEMA_VERSION,
        "specification_version": SPEC_VERSION,
        "package_version": export.package_version,
        "command": export.command,
        "model": export.model,
        "quantization": export.quantization,
        "configuration": export.config.as_dict(),
        "images": list(export.images),
        "layers": [layer.as_dict() for layer in export.layers],
        "files": [_file_entry(layer, memory, sums) for layer, memory in export.files()],
        "attachments": [
            {"path": arrays_path(layer), "sha256": sums[arrays_path(layer)]}
            for layer in export.layers
        ],
    }
    return render_json(manifest, _SCHEMA)


def read_export_manifest(data: bytes) -> ExportManifest:
    """Return what a manifest says.

    Raises:
        ValueError: it is not JSON, breaks the schema, follows another specification version, or
            contradicts itself: one line that says where.
    """
    values = read_json(data, _SCHEMA)
    try:
        return _manifest_of(values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{MANIFEST_NAME}: {shortened(str(error), 500)}") from None


def _file_entry(layer: ExportedLayer, memory: Memory, sums: Mapping[str, str]) -> dict[str, Any]:
    path = memory_path(layer, memory)
    return {**_described(layer, memory), "sha256": sums[path]}


def _described(layer: ExportedLayer, memory: Memory) -> dict[str, Any]:
    """Return the entry of a file, its checksum left out."""
    lanes = {} if memory.lane_axis is None else {"lane_axis": memory.lane_axis}
    return {
        "path": memory_path(layer, memory),
        "layer": layer.name,
        "what": memory.what,
        "number": memory.number,
        "axes": list(memory.axes),
        "shape": list(memory.shape),
        **lanes,
        "width": word_width(memory.fields),
        "fields": [asdict(field) for field in memory.fields],
        "words": memory.words,
        "count": memory.count,
    }


def _manifest_of(values: dict[str, Any]) -> ExportManifest:
    export = Export(
        model=values["model"],
        quantization=values["quantization"],
        config=config_from_mapping(values["configuration"], complete=True),
        images=tuple(values["images"]),
        layers=tuple(_layer_of(entry) for entry in values["layers"]),
        command=values["command"],
        package_version=values["package_version"],
    )
    sums = {}
    for name in ("files", "attachments"):
        paths = [entry["path"] for entry in values[name]]
        if twice := sorted({path for path in paths if paths.count(path) > 1}):
            raise ValueError(f"{name} must list each path once, got {twice[0]} twice")
    listed = {entry["path"]: entry for entry in values["files"]}
    for layer, memory in export.files():
        path = memory_path(layer, memory)
        entry = dict(listed.pop(path, {}))
        sums[path] = entry.pop("sha256", "")
        if entry != _described(layer, memory):
            raise ValueError(f"files must list {path} as its layer and the configuration give it")
    if listed:
        raise ValueError(f"files must belong to a layer, got {next(iter(listed))}")
    attached = {entry["path"]: entry["sha256"] for entry in values["attachments"]}
    wanted = {arrays_path(layer) for layer in export.layers}
    if set(attached) != wanted:
        odd = min(set(attached) ^ wanted)
        raise ValueError(f"attachments must be {ARRAYS_NAME} of every layer, see {odd}")
    return ExportManifest(export, sums | attached)


def _layer_of(entry: dict[str, Any]) -> ExportedLayer:
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()
    }
    if entry["kind"] == "attention":
        del fields["kind"]
        fields["params"] = LayerParams(**entry["params"])
        return AttentionLayer(**fields)
    return LinearLayer(**fields)


_FORMAT = re.compile(rb'"format"\s*:\s*"' + FORMAT.encode() + rb'"')
#: Bytes of a manifest in which its format stands.
_HEAD = 1000


def is_export(folder: str | Path) -> bool:
    """Whether a folder holds an export rather than a vector set, by the format in its manifest."""
    path = Path(folder) / MANIFEST_NAME
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _FORMAT.search(file.read(_HEAD)) is not None


def open_export(root: Path) -> ExportManifest:
    """Return the manifest of the export in `root`.

    Raises:
        ValueError: no folder, no export, or a manifest that cannot be used.
    """
    if not root.is_dir():
        raise ValueError(f"export must be a folder, got {root}")
    path = root / MANIFEST_NAME
    refuse_irregular(path)
    if not path.is_file():
        raise ValueError(f"export {root} must hold {MANIFEST_NAME}: it is missing")
    return read_export_manifest(path.read_bytes())


def file_paths(root: Path) -> set[str]:
    """Return the paths, with `/`, of all files below `root`, empty folders and links to folders.

    Raises:
        ValueError, OSError: a pipe, a device, or a link that leads to no file.
    """
    found = set()
    for path in root.rglob("*"):
        refuse_irregular(path)
        if path.is_symlink() or not path.is_dir() or not any(path.iterdir()):
            found.add(path.relative_to(root).as_posix())
    return found


def own_paths(manifest: ExportManifest) -> set[str]:
    """Return the paths of every file of an export."""
    return {MANIFEST_NAME, SUMS_NAME, *manifest.sha256}


def read_memory(root: Path, layer: ExportedLayer, memory: Memory) -> dict[str, NDArray[Any]]:
    """Return the numbers of a memory file of an export, by field.

    Raises:
        OSError: it cannot be read.
        ValueError: it is missing, malformed, or of another size than its manifest says.
    """
    name = memory_path(layer, memory)
    path = root / name
    refuse_irregular(path)
    if not path.is_file():
        raise ValueError(f"export {root} must hold {name}: it is missing")
    data, width = path.read_bytes(), word_width(memory.fields)
    size = memory.words * (hex_digits(width) + 1)
    if len(data) != size:
        raise ValueError(
            f"{name} must hold {memory.words} words of {hex_digits(width)} digits, one a line: "
            f"{size} bytes, got {len(data)}"
        )
    image = parse_mem(data, name, width, memory.words)
    if image.surplus or not image.present.all():
        raise ValueError(f"{name} must hold {memory.words} words")
    if image.digits.max() >= UNKNOWN:
        word = int(np.flatnonzero((image.digits >= UNKNOWN).any(axis=1))[0])
        raise ValueError(f"{name} must hold no x or z digits, got some in word {word}")
    return memory.arrays(unpack(memory.fields, image.digits))


def check_export_replaceable(folder: Path) -> None:
    """Refuse a folder that holds anything but an export.

    Raises:
        ValueError: it is no folder, or holds a file that no export lists.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ValueError(f"output must be a folder, got the file {folder}")
    found = file_paths(folder)
    if not found:
        return
    if not is_export(folder):
        raise ValueError(
            f"output must be a new folder or an export, got {folder}: it is not empty and has no "
            f"{MANIFEST_NAME} of an export"
        )
    sums = folder / SUMS_NAME
    own = {MANIFEST_NAME, SUMS_NAME}
    own |= names_in_sums(sums.read_bytes()) if sums.is_file() else set()
    if strangers := sorted(found - own):
        raise ValueError(
            f"output {folder} would be replaced, but {strangers[0]} is no part of the export in "
            "it: move it away or choose another folder"
        )
