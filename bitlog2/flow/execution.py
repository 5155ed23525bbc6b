"""A program executed: images, batch by batch, to logits in a file. No torch anywhere."""

import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim.checks import check_int
from bitlog2.sim.files import refuse_irregular, write_whole
from bitlog2.sim.network.digest import logits_digest
from bitlog2.sim.network.program import Program
from bitlog2.sim.network.program_file import read_program
from bitlog2.sim.network.simulator import Simulator, check_pixels

#: Suffixes of files of pixels.
SUFFIXES = (".npy", ".npz", ".raw")
#: Array of an .npz.
_ARRAY = "images"

#: Shows progress over items: (items, label, how many) -> items.
Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]


@dataclass(frozen=True)
class Execution:
    """What a program gave.

    Attributes:
        program: the digest of its file.
        images: how many there were.
        digest: of their logits.
        saturated: values of the residual stream that saturated.
        out: file of the logits.
    """

    program: str
    images: int
    digest: str
    saturated: int
    out: Path

    def lines(self) -> list[str]:
        """Return the report."""
        return [
            f"program {self.program}",
            f"images {self.images}, saturated values of the stream {self.saturated}",
            f"logits {self.out}: logits (images, classes), prediction (images)",
            f"digest {self.digest}",
        ]


def execute(
    program: Path,
    images: Path,
    out: Path,
    *,
    batch_size: int = 16,
    limit: int | None = None,
    threads: int | None = None,
    progress: Progress = lambda items, _label, _total: items,
) -> Execution:
    """Run a program on images, and write its logits.

    Args:
        program: its file.
        images: file of pixels, as `read_pixels` takes it, or folder of image files, as
            `CentrePixels` does.
        out: .npz with `logits` (images, classes) int32 and `prediction` (images) int64: the class
            of the largest logit, of equal ones the lowest (BL2-HEAD-03).
        batch_size: images that are computed at once.
        limit: the first images alone; None for all.
        threads: as a `Simulator` takes them.
        progress: shows the batches.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: a file is none of its kind, or the pixels are not the program's.
    """
    check_int("batch_size", batch_size, 1, 1 << 16)
    loaded, digest = read_program(program)
    pixels = _opened(images, loaded, limit, progress)
    count = len(pixels) if limit is None else min(limit, len(pixels))
    starts = range(0, count, batch_size)
    simulator, logits, saturated = Simulator(loaded, threads), [], 0
    for start in progress(starts, "images", len(starts)):
        found = simulator(np.array(pixels[start : min(start + batch_size, count)]))
        logits.append(found.logits)
        saturated += sum(found.saturated.values())
    whole = np.concatenate(logits)
    content = BytesIO()
    np.savez(content, logits=whole, prediction=whole.argmax(axis=1))
    write_whole(out, content.getvalue())
    return Execution(digest, len(whole), logits_digest(whole), saturated, out)


def _opened(images: Path, program: Program, limit: int | None, progress: Progress) -> Any:
    """Return what has a length, and pixels of a slice; its files are looked at already."""
    if not images.is_dir():
        return read_pixels(images, program)
    colours, height, width = program.image_shape
    if program.resize is None or colours != 3:
        raise ValueError(
            f"images must be a file of pixels, {', '.join(SUFFIXES)}, got the folder {images}: the "
            "program does not say how image files are resized"
        )
    from bitlog2.models.images.centre import CentrePixels

    found = CentrePixels(images, program.resize, height, width)
    found.scan(limit, progress)
    return found


def read_pixels(path: Path, program: Program) -> NDArray[Any]:
    """Return the pixels of a file: (images, colours, lines, columns) uint8 or uint16.

    A .npy, or a .npz with the array `images` or one array alone; a .raw holds nothing but pixels,
    image by image, in the order colour, line, column: bytes, or two each, little endian, where
    `pixel_bits` is above 8. Colours may come last in .npy and .npz.

    Raises:
        OSError: it cannot be read.
        ValueError: it is none of these, or its pixels are not such as the program takes.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(
            f"images must be a folder or a file of pixels, {', '.join(SUFFIXES)}, got {path}"
        )
    refuse_irregular(path)
    try:
        found = _raw(path, program) if path.suffix == ".raw" else _array(path)
        shape = program.image_shape
        last = (*shape[1:], shape[0])
        if found.ndim == 4 and found.shape[1:] == last != shape:
            found = found.transpose(0, 3, 1, 2)
        return check_pixels(program, found)
    except (TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"images {path}: {error}") from error


def _raw(path: Path, program: Program) -> NDArray[Any]:
    kind = np.dtype("<u2" if program.network.pixel_bits > 8 else "u1")
    shape = program.image_shape
    size = kind.itemsize * shape[0] * shape[1] * shape[2]
    held = path.stat().st_size
    if held == 0 or held % size:
        raise ValueError(f"size must be a multiple of an image's {size} bytes, got {held}")
    return np.fromfile(path, kind).reshape(-1, *shape)


def _array(path: Path) -> NDArray[Any]:
    found = np.load(path, mmap_mode="r", allow_pickle=False)
    if isinstance(found, np.ndarray):
        return found
    with found:
        names = found.files
        if _ARRAY not in names and len(names) != 1:
            raise ValueError(f"must hold the array {_ARRAY}, got {', '.join(names) or 'none'}")
        return np.asarray(found[_ARRAY if _ARRAY in names else names[0]])
