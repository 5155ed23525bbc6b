"""An exported model: its layers' codes and parameters written, and fed back to the simulator."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import AttentionTrace, attention
from bitlog2.sim.files import write_whole

from .export_files import (
    check_export_replaceable,
    open_export,
    read_memory,
)
from .export_layers import Arrays, AttentionLayer, Memory
from .export_manifest import (
    Export,
    arrays_path,
    memory_path,
    render_export_manifest,
)
from .memfile import render_stream
from .npz import render_npz
from .replace import MANIFEST_NAME, replace_folder
from .sums import SUMS_NAME, render_checksums, sha256
from .unit import Progress, no_progress

__all__ = [
    "OUTPUTS",
    "ExportReport",
    "fed_back",
    "layer_arrays",
    "run_export",
    "write_export",
]

#: What feeding back gives, in datapath order.
OUTPUTS = ("level", "nibble", "flag", "o")


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    Attributes:
        folder: where.
        export: what.
        sizes: bytes of each file by its path.
    """

    folder: Path
    export: Export
    sizes: dict[str, int]

    def lines(self) -> list[str]:
        """Return what a person wants to read."""
        attention, images = self.export.attention, len(self.export.images)
        lines = [
            f"{self.export.model}: {len(attention)} attention and "
            f"{len(self.export.layers) - len(attention)} linear layers, "
            f"{images} image{'s' * (images != 1)}"
        ]
        for layer in attention:
            windows = f"{layer.windows} windows, " if layer.windows > 1 else ""
            bias = ", score bias" * layer.biased + ", masked keys" * layer.masked
            size = sum(n for path, n in self.sizes.items() if path.startswith(f"{layer.name}/"))
            lines.append(
                f"  {layer.name}: {windows}{layer.heads} heads, {layer.tokens} tokens, "
                f"{layer.head_dim} channels{bias}, {size} bytes"
            )
        lines.append(f"{len(self.sizes)} files, {sum(self.sizes.values())} bytes in {self.folder}")
        lines.append(f"feed it back: bitlog2 golden run {self.folder} --out results")
        lines.append(f"check it:     bitlog2 golden verify {self.folder}")
        return lines


def write_export(
    out: str | Path,
    export: Export,
    arrays: Mapping[str, Arrays],
    *,
    progress: Progress = no_progress,
) -> ExportReport:
    """Write an export into the folder `out`; the same bytes every time.

    Args:
        out: a new or empty folder, or one that holds an export, which is replaced as a whole.
        export: what it is.
        arrays: the numbers of each layer by its name and by field.
        progress: shows how far it is.

    Raises:
        TypeError, ValueError: an array is missing, mistyped, misshapen or out of range, or `out`
            holds something else than an export. Nothing is written.
        OSError: the folder cannot be written.
    """
    folder = Path(out).resolve()
    check_export_replaceable(folder)
    sizes = replace_folder(folder, _files(export, arrays, progress))
    return ExportReport(folder, export, sizes)


def run_export(
    folder: str | Path, out: str | Path, *, progress: Progress = no_progress
) -> dict[str, Path]:
    """Write what the simulator makes of an export's q, k, v; return the files by layer.

    Each is `<layer>/o.mem`, written whole or not at all, in the format of the export's own: the
    two are the same file where simulator and model agree.

    Args:
        folder: the export; its manifest and the memories that go into the datapath are read.
        out: folder for the results, which may exist but must be neither export nor vector set.
        progress: shows how far it is.

    Raises:
        ValueError: `folder` is no usable export, or `out` is one.
        OSError: a file cannot be read or written.
    """
    root, results = Path(folder), Path(out)
    export = open_export(root).export
    if (results / MANIFEST_NAME).exists():
        raise ValueError(f"output must be neither an export nor a vector set, got {results}")
    written = {}
    for layer in progress(export.attention, "feed back", len(export.attention)):
        numbers = layer_arrays(root, export, layer, outputs=False)
        memory = next(each for each in export.memories(layer) if each.name == "o")
        path = results / memory_path(layer, memory)
        data = _rendered(memory, fed_back(export, layer, numbers))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
        written[layer.name] = path
    return written


def layer_arrays(
    root: Path, export: Export, layer: AttentionLayer, *, outputs: bool = True
) -> dict[str, NDArray[Any]]:
    """Return the numbers of an attention layer by field, read from its memories.

    Args:
        root: the export.
        export, layer: what its manifest says.
        outputs: read what the datapath gives, too.

    Raises:
        ValueError: a file is missing or malformed, or params.mem is not what the manifest says.
        OSError: a file cannot be read.
    """
    numbers: dict[str, NDArray[Any]] = {}
    for memory in export.memories(layer):
        if outputs or memory.name not in OUTPUTS:
            numbers |= read_memory(root, layer, memory)
    for name, value in layer.params.as_dict().items():
        if (found := int(numbers[name][0])) != value:
            raise ValueError(
                f"{layer.name}/params.mem must give {name} = {value}, as {MANIFEST_NAME} does, "
                f"got {found}"
            )
    return numbers


def fed_back(export: Export, layer: AttentionLayer, numbers: Arrays) -> dict[str, NDArray[Any]]:
    """Return what the simulator makes of q, k and v of a layer: `OUTPUTS` by name.

    Args:
        export: configuration and images.
        layer: parameters and sizes.
        numbers: q, k, v, and mask and score_bias where the layer has them.

    Raises:
        ValueError: a row is fully masked; names the layer.
    """
    grid = (layer.windows, layer.heads)
    mask = bias = None
    if layer.masked:
        mask = numbers["mask"].astype(np.bool_).repeat(layer.heads, axis=0)
    if layer.biased:
        bias = np.tile(numbers["score_bias"], (layer.windows, 1, 1))
    found: dict[str, list[NDArray[Any]]] = {name: [] for name in OUTPUTS}
    for image in range(len(export.images)):
        q, k, v = (numbers[name][image].reshape(-1, layer.tokens, layer.head_dim) for name in "qkv")
        try:
            trace = attention(
                q, k, v, layer.params, export.config, masked=mask, bias=bias, trace=True
            )
        except ValueError as error:
            raise ValueError(f"layer {layer.name}: {error}") from None
        assert isinstance(trace, AttentionTrace)
        for name in OUTPUTS:
            values = getattr(trace, name)
            found[name].append(values.reshape(*grid, *values.shape[1:]))
    return {name: np.stack(values) for name, values in found.items()}


def _files(
    export: Export, arrays: Mapping[str, Arrays], progress: Progress
) -> Iterator[tuple[str, bytes]]:
    """Yield every file of an export by its path, the manifest and the sums last."""
    sums = {}
    for layer in progress(export.layers, "export", len(export.layers)):
        numbers: dict[str, NDArray[Any]] = {}
        for memory in export.memories(layer):
            path = memory_path(layer, memory)
            try:
                data = _rendered(memory, arrays[layer.name])
            except (TypeError, ValueError) as error:
                raise type(error)(f"{path}: {error}") from None
            numbers |= memory.arrays(memory.columns(arrays[layer.name]))
            sums[path] = sha256(data)
            yield path, data
        data = render_npz(numbers.items())
        sums[arrays_path(layer)] = sha256(data)
        yield arrays_path(layer), data
    manifest = render_export_manifest(export, sums)
    sums[MANIFEST_NAME] = sha256(manifest)
    yield MANIFEST_NAME, manifest
    yield SUMS_NAME, render_checksums(sums)


def _rendered(memory: Memory, arrays: Arrays) -> bytes:
    return render_stream(memory.fields, memory.columns(arrays))
