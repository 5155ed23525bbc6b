"""Layers of a model written as an export, read back, and fed back to the simulator."""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import AttentionTrace, attention
from bitlog2.sim.files import write_whole

from ..stimulus.unit import Progress, no_progress
from ..words.memfile import render_stream
from ..words.npz import render_npz
from .export_manifest import AttentionLayer, ExportedLayer, ExportManifest, arrays_path
from .folder import Folder, check_replaceable, rendered, replace_folder
from .manifest import MANIFEST_NAME, Arrays, columns_of

#: Registers that feeding back gives, in datapath order.
OUTPUTS = ("level", "nibble", "flag", "o")


@dataclass(frozen=True)
class ExportReport:
    """Report of a written export.

    Attributes:
        folder: folder of the export.
        export: manifest of the export, without checksums.
        sizes: bytes of each file by its path.
    """

    folder: Path
    export: ExportManifest
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
    export: ExportManifest,
    arrays: Mapping[str, Arrays],
    *,
    progress: Progress = no_progress,
) -> ExportReport:
    """Write an export into the folder `out`; the same bytes every time.

    Args:
        out: a new or empty folder, or one that holds an export, which is replaced as a whole.
        export: its model, layers and images.
        arrays: the numbers of each layer by its name and by field.
        progress: shows how far it is.

    Raises:
        TypeError, ValueError: an array is missing, mistyped, misshapen or out of range, or `out`
            holds something else than an export. Nothing is written.
        OSError: the folder cannot be written.
    """
    folder = Path(out).resolve()
    check_replaceable(folder, ExportManifest)
    files = rendered(_files(export, arrays, progress), export.sealed)
    return ExportReport(folder, export, replace_folder(folder, files))


def _files(
    export: ExportManifest, arrays: Mapping[str, Arrays], progress: Progress
) -> Iterator[tuple[str, bytes]]:
    """Yield the files of every layer by their paths."""
    for layer in progress(export.layers, "export", len(export.layers)):
        numbers: dict[str, NDArray[Any]] = {}
        for memory in export.owned(layer):
            try:
                columns = memory.columns(arrays[layer.name])
                yield memory.path, render_stream(memory.word, columns)
            except (TypeError, ValueError) as error:
                raise type(error)(f"{memory.path}: {error}") from None
            numbers |= memory.arrays(columns)
        yield arrays_path(layer), render_npz(numbers.items())


def layer_memories(
    folder: Folder, export: ExportManifest, layer: ExportedLayer, left_out: Container[str] = ()
) -> dict[str, NDArray[Any]]:
    """Return the numbers that the memories of a layer hold, by field.

    Args:
        folder: folder of the export.
        export, layer: what its manifest says.
        left_out: names of memories that are not read.

    Raises:
        OSError: a file cannot be read.
        ValueError: it is missing, malformed, or of another size than its manifest gives.
    """
    numbers: dict[str, NDArray[Any]] = {}
    for memory in export.owned(layer):
        if memory.name not in left_out:
            columns = columns_of(memory, folder.read(memory.path), memory.path)
            numbers |= memory.arrays(columns)
    return numbers


def run_export(
    folder: Folder, export: ExportManifest, out: Path, progress: Progress
) -> dict[str, Path]:
    """Write what the simulator makes of an export's q, k, v; return `<layer>/o.mem` by layer."""
    written = {}
    for layer in progress(export.attention, "feed back", len(export.attention)):
        numbers = attention_arrays(folder, export, layer, outputs=False)
        memory = next(each for each in export.owned(layer) if each.name == "o")
        columns = memory.columns(fed_back(export, layer, numbers))
        path = out / memory.path
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, render_stream(memory.word, columns))
        written[layer.name] = path
    return written


def attention_arrays(
    folder: Folder, export: ExportManifest, layer: AttentionLayer, *, outputs: bool = True
) -> dict[str, NDArray[Any]]:
    """Return the numbers of an attention layer by field, read from its memories.

    Args:
        folder, export, layer: as of `layer_memories`.
        outputs: read what the datapath gives, too.

    Raises:
        ValueError, OSError: as `layer_memories`, or params.mem is not what the manifest says.
    """
    numbers = layer_memories(folder, export, layer, () if outputs else OUTPUTS)
    for name, value in layer.loaded.as_dict().items():
        if (found := int(numbers[name][0])) != value:
            raise ValueError(
                f"{layer.name}/params.mem must give {name} = {value}, as {MANIFEST_NAME} does, "
                f"got {found}"
            )
    return numbers


def fed_back(
    export: ExportManifest, layer: AttentionLayer, numbers: Arrays
) -> dict[str, NDArray[Any]]:
    """Return what the simulator makes of q, k and v of a layer: `OUTPUTS` by name.

    Args:
        export: configuration and images.
        layer: parameters and sizes.
        numbers: q, k, v, and mask and score_bias where the layer has them.

    Raises:
        ValueError: a row is fully masked; names the layer.
    """
    grid, config = (layer.windows, layer.heads), export.config
    mask = bias = None
    if layer.masked:
        mask = numbers["mask"].astype(np.bool_).repeat(layer.heads, axis=0)
    if layer.biased:
        bias = np.tile(numbers["score_bias"], (layer.windows, 1, 1))
    found: dict[str, list[NDArray[Any]]] = {name: [] for name in OUTPUTS}
    for image in range(len(export.images)):
        q, k, v = (numbers[name][image].reshape(-1, layer.tokens, layer.head_dim) for name in "qkv")
        try:
            trace = attention(q, k, v, layer.loaded, config, masked=mask, bias=bias, trace=True)
        except ValueError as error:
            raise ValueError(f"layer {layer.name}: {error}") from None
        assert isinstance(trace, AttentionTrace)
        for name in OUTPUTS:
            values = getattr(trace, name)
            found[name].append(values.reshape(*grid, *values.shape[1:]))
    return {name: np.stack(values) for name, values in found.items()}
