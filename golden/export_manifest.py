"""`manifest.json` of an export: what the folder holds, rendered and read back."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

from bitlog2 import SPEC_VERSION, __version__
from bitlog2.sim import AttentionConfig, LayerParams, config_from_mapping

from .export_layers import PIXEL_BITS, AttentionLayer, ExportedLayer, LinearLayer, Memory
from .fields import word_width
from .replace import MANIFEST_NAME
from .schema import read_json, render_json, shortened

__all__ = [
    "ARRAYS_NAME",
    "FORMAT",
    "Export",
    "ExportManifest",
    "arrays_path",
    "memory_path",
    "ranges_of",
    "read_export_manifest",
    "render_export_manifest",
]

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
