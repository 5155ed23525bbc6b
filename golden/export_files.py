"""The folder of an export: written as a whole, and read file by file."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim.files import refuse_irregular

from .export_layers import ExportedLayer, Memory
from .export_manifest import (
    FORMAT,
    ExportManifest,
    memory_path,
    read_export_manifest,
)
from .fields import hex_digits, unpack, word_width
from .memfile import UNKNOWN, parse_mem
from .replace import MANIFEST_NAME
from .sums import SUMS_NAME, names_in_sums

__all__ = [
    "check_export_replaceable",
    "file_paths",
    "is_export",
    "open_export",
    "own_paths",
    "read_memory",
]

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
