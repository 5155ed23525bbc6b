"""Read a vector set from its folder."""

from pathlib import Path

import numpy as np

from .fields import unpack, word_width
from .manifest import Manifest, read_manifest
from .memfile import UNKNOWN, MemoryImage, parse_mem
from .replace import MANIFEST_NAME
from .target import Target
from .unit import Stream, Tables, Unit

__all__ = ["open_set", "read_image", "read_inputs"]


def open_set(folder: Path) -> Manifest:
    """Return the manifest of the set in `folder`.

    Raises:
        ValueError: no folder, no set, or a manifest that cannot be used.
    """
    if not folder.is_dir():
        raise ValueError(f"vector set must be a folder, got {folder}")
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise ValueError(f"vector set {folder} must hold {MANIFEST_NAME}: it is missing")
    return read_manifest(path.read_bytes())


def read_image(path: Path, target: Target, stream: Stream, words: int) -> MemoryImage:
    """Return the words of a file that has the format of `stream` and should hold `words` of them.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is malformed.
    """
    return parse_mem(path.read_bytes(), str(path), word_width(stream.fields(target)), words)


def read_inputs(folder: Path, manifest: Manifest, unit: Unit) -> Tables:
    """Return the input streams of a unit.

    Raises:
        ValueError: a file is missing, malformed, has unknown digits, or not the words that the
            manifest counts.
    """
    tables: Tables = {}
    for stream in unit.inputs:
        path = folder / unit.file_name(stream)
        if not path.is_file():
            raise ValueError(f"vector set {folder} must hold {path.name}: it is missing")
        words = manifest.words[path.name]
        # A file has more bytes than words: so no count in a manifest can ask for all the memory.
        image = read_image(path, manifest.target, stream, min(words, path.stat().st_size))
        found = int(np.count_nonzero(image.present)) + image.surplus
        if found != words or not image.present.all():
            raise ValueError(
                f"{path.name} must hold {words} words, as the manifest counts, got {found}"
            )
        if (image.digits >= UNKNOWN).any():
            word = int(np.flatnonzero((image.digits >= UNKNOWN).any(axis=1))[0])
            raise ValueError(f"{path.name} must hold no x or z digits, got some in word {word}")
        tables[stream.name] = unpack(stream.fields(manifest.target), image.digits)
    return tables
