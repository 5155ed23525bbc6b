"""Exports fed back to the simulator."""

from collections.abc import Iterator, Mapping
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
from .comparison import SHOWN, hex_of
from .export import (
    Arrays,
    AttentionLayer,
    Export,
    ExportedLayer,
    ExportManifest,
    Memory,
    arrays_path,
    check_export_replaceable,
    file_paths,
    memory_path,
    open_export,
    own_paths,
    read_memory,
    render_export_manifest,
)
from .folder import MANIFEST_NAME, SUMS_NAME, render_checksums, replace_folder, sha256

__all__ = [
    "OUTPUTS",
    "ExportMismatch",
    "ExportReport",
    "ExportVerification",
    "fed_back",
    "layer_arrays",
    "run_export",
    "verify_export",
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


@dataclass(frozen=True)
class ExportMismatch:
    """The first value of a memory that is not what the simulator gives.

    `window` is None where an image has one; `place` says what `index` counts, channel or key.
    """

    layer: str
    register: str
    image: int
    window: int | None
    head: int
    row: int
    place: str
    index: int
    expected: int
    actual: int
    bits: int
    differing: int

    def __str__(self) -> str:
        window = "" if self.window is None else f" window {self.window}"
        expected, actual = (hex_of(value, 0, self.bits) for value in (self.expected, self.actual))
        return (
            f"{self.layer} {self.register}: image {self.image}{window} head {self.head} row "
            f"{self.row} {self.place} {self.index}: expected 0x{expected} ({self.expected}), "
            f"actual 0x{actual} ({self.actual}); {self.differing} differ in this memory"
        )


@dataclass(frozen=True)
class ExportVerification:
    """What was compared, and what came of it.

    Attributes:
        folder: the export.
        failures: what is wrong with its files, one sentence each; then nothing is fed back.
        compared: values compared, by register.
        mismatches: one a memory that differs, in execution order.
    """

    folder: Path
    failures: tuple[str, ...]
    compared: dict[str, int]
    mismatches: tuple[ExportMismatch, ...]

    @property
    def ok(self) -> bool:
        """Whether every file is as it was written and every value agreed."""
        return not self.failures and not self.mismatches

    @property
    def status(self) -> int:
        """Exit status: 0 when `ok`, else 1."""
        return 0 if self.ok else 1

    def lines(self) -> list[str]:
        """Return the report."""
        lines = [f"{self.folder}: {failure}" for failure in self.failures[:SHOWN]]
        if len(self.failures) > SHOWN:
            lines.append(f"  ... {len(self.failures)} in all")
        for name, count in self.compared.items():
            wrong = sum(each.differing for each in self.mismatches if each.register == name)
            lines.append(f"fed back: {name}: {count} values compared, {wrong} differ")
        lines += [f"  {mismatch}" for mismatch in self.mismatches[:SHOWN]]
        return [*lines, "agrees" if self.ok else "DIFFERS"]


def verify_export(folder: str | Path, *, progress: Progress = no_progress) -> ExportVerification:
    """Check the files of an export, feed it back, and compare every output with the simulator's.

    In this order, and no further than the first stage that finds something: checksums, missing
    and unknown files; `arrays.npz` against the memories, and parameters against the manifest;
    levels, nibbles, flags and output codes against the simulator. Weights, scales and biases are
    held to checksums and to `arrays.npz` alone: nothing in an export says what they should be.

    Args:
        folder: the export.
        progress: shows how far it is.

    Raises:
        ValueError: `folder` holds no export, or its manifest cannot be used.
        OSError: a file cannot be read.
    """
    root = Path(folder)
    manifest = open_export(root)
    compared: dict[str, int] = {}
    found: list[ExportMismatch] = []
    failures = _check_files(root, manifest) or _check_arrays(root, manifest.export)
    if not failures:
        layers = manifest.export.attention
        for layer in progress(layers, "feed back", len(layers)):
            try:
                found += _compared(root, manifest.export, layer, compared)
            except ValueError as error:
                failures.append(str(error))
    return ExportVerification(root, tuple(failures), compared, tuple(found))


def _check_files(root: Path, manifest: ExportManifest) -> list[str]:
    """Return what names and checksums find."""
    there, own = file_paths(root), own_paths(manifest)
    failures = [f"{name} is missing" for name in sorted(own - there)]
    failures += [f"{name} is no file of this export" for name in sorted(there - own)]
    if failures:
        return failures
    sums = {name: sha256((root / name).read_bytes()) for name in sorted(own - {SUMS_NAME})}
    found, expected = (root / SUMS_NAME).read_bytes(), render_checksums(sums)
    listed = set(found.decode("utf-8", "replace").split("\n"))
    for name, value in sums.items():
        if f"{value}  {name}" not in listed:
            failures.append(f"{name} has not the checksum that {SUMS_NAME} gives")
        elif manifest.sha256.get(name, value) != value:
            failures.append(f"{name} has not the checksum that {MANIFEST_NAME} gives")
    if not failures and found != expected:
        failures.append(f"{SUMS_NAME} must list every other file once, sorted by name")
    return failures


def _check_arrays(root: Path, export: Export) -> list[str]:
    """Return the layers whose `arrays.npz` holds other numbers than their memories."""
    failures = []
    for layer in export.layers:
        numbers: dict[str, NDArray[Any]] = {}
        try:
            for memory in export.memories(layer):
                numbers |= read_memory(root, layer, memory)
        except ValueError as error:
            failures.append(str(error))
            continue
        if (root / arrays_path(layer)).read_bytes() != render_npz(numbers.items()):
            failures.append(f"{arrays_path(layer)} is not what the memories of its layer give")
    return failures


def _compared(
    root: Path, export: Export, layer: AttentionLayer, compared: dict[str, int]
) -> Iterator[ExportMismatch]:
    """Yield the first mismatch of each output memory of a layer; count into `compared`."""
    numbers = layer_arrays(root, export, layer)
    expected = fed_back(export, layer, numbers)
    for memory in export.memories(layer):
        name = memory.name
        if name not in OUTPUTS:
            continue
        differ = expected[name] != numbers[name]
        compared[name] = compared.get(name, 0) + differ.size
        if differ.any():
            yield _mismatch(export, layer, memory, differ, expected[name], numbers[name])


def _mismatch(
    export: Export,
    layer: ExportedLayer,
    memory: Memory,
    differ: NDArray[np.bool_],
    expected: NDArray[Any],
    actual: NDArray[Any],
) -> ExportMismatch:
    where = tuple(int(place) for place in np.argwhere(differ)[0])
    image, window, head, row, index = where
    return ExportMismatch(
        layer=layer.name,
        register=memory.name,
        image=export.images[image],
        window=window if differ.shape[1] > 1 else None,
        head=head,
        row=row,
        place=memory.lane_axis or "",
        index=index,
        expected=int(expected[where]),
        actual=int(actual[where]),
        bits=memory.fields[0].bits,
        differing=int(differ.sum()),
    )
