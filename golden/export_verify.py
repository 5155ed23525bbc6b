"""Verify an export: its files are what was written, and the simulator gives what it holds."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .export_files import file_paths, open_export, own_paths, read_memory
from .export_layers import AttentionLayer, ExportedLayer, Memory
from .export_manifest import Export, ExportManifest, arrays_path
from .exported import OUTPUTS, fed_back, layer_arrays
from .npz import render_npz
from .replace import MANIFEST_NAME
from .report import SHOWN, hex_of
from .sums import SUMS_NAME, render_checksums, sha256
from .unit import Progress, no_progress

__all__ = ["ExportMismatch", "ExportVerification", "verify_export"]


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
