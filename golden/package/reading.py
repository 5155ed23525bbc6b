"""Streams of vector sets, read from their files."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from bitlog2.sim.declarations import Stream
from bitlog2.sim.files import read_regular

from ..stimulus.unit import GoldenUnit, Tables, Target
from ..words.fields import unpack, word_width
from ..words.memfile import MemoryImage, parse_mem
from .folder import open_folder
from .manifest import check_known, columns_of
from .vector_manifest import VectorManifest


def open_set(folder: Path) -> VectorManifest:
    """Return the manifest of the set in `folder`.

    Raises:
        ValueError: no folder, no set, or a manifest that cannot be used.
    """
    manifest = open_folder(folder, VectorManifest).manifest
    assert isinstance(manifest, VectorManifest)
    return manifest


def image_of(data: bytes, path: Path, target: Target, stream: Stream, words: int) -> MemoryImage:
    """Return the words of a file that has the format of `stream` and should hold `words` of them.

    Raises:
        ValueError: it is malformed; names `path`.
    """
    return parse_mem(data, str(path), word_width(target.fields(stream)), words)


def read_tables(
    folder: Path, manifest: VectorManifest, unit: GoldenUnit, streams: Iterable[Stream]
) -> Tables:
    """Return streams of a unit, read from a set's folder.

    Raises:
        OSError: a file cannot be read.
        ValueError: it is missing, malformed, has unknown digits, or not the words that the manifest
            counts.
    """
    tables: Tables = {}
    for stream in streams:
        path = folder / unit.file_name(stream)
        if not (path.exists() or path.is_symlink()):
            raise ValueError(f"vector set {folder} must hold {path.name}: it is missing")
        memory = manifest.memory(path.name)
        tables[stream.name] = columns_of(memory, read_regular(path), path)
    return tables


def read_stimulus(folder: Path, target: Target, unit: GoldenUnit) -> Tables:
    """Return the input streams of a unit as a user wrote them: as many words as the files hold.

    Raises:
        OSError: a file is missing or cannot be read.
        ValueError: it is malformed, has no words, unknown digits, or a gap between addresses.
    """
    tables: Tables = {}
    for stream in unit.inputs:
        path = folder / unit.file_name(stream)
        data = read_regular(path)
        image = image_of(data, path, target, stream, len(data.split()))
        words = int(np.count_nonzero(image.present))
        if words == 0 or image.surplus or not image.present[:words].all():
            raise ValueError(f"{path} must hold words at the addresses from 0 on, without a gap")
        check_known(image, path.name)
        tables[stream.name] = unpack(target.fields(stream), image.digits[:words])
    return tables
