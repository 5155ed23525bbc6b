"""Pixels of image files as the published preprocessing has them: resized, the centre cut out."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..naming import printable
from .decoding import check_header, decode, quiet_pillow
from .files import ImageFiles, has_split, list_images
from .labels import is_hidden, is_image


def centre(image: Image.Image, resize: int, height: int, width: int) -> NDArray[np.uint8]:
    """Return the pixels of an RGB image, (3, height, width).

    The shorter side is resized to `resize`, bicubic, the longer one in proportion, rounded down;
    then the centre is cut out. Equal to torchvision's Resize and CenterCrop of a Pillow image
    (tests/test_images.py).
    """
    short, long = sorted(image.size)
    sides = resize, resize * long // short
    size = sides if image.size[0] == short else sides[::-1]
    if size != image.size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    top, left = (
        _half(whole - part) for whole, part in zip(size[::-1], (height, width), strict=True)
    )
    pixels = np.asarray(image.crop((left, top, left + width, top + height)))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _half(count: int) -> int:
    """Return count / 2, ties to even."""
    return count // 2 + (count % 4 == 3)


class CentrePixels:
    """The pixels of an image folder's files, decoded when they are asked for: [start:stop].

    Args:
        folder: one of classes, or as `list_images` takes it (of a split val); or image files alone,
            which are sorted by name.
        resize, height, width: as `centre` takes them.

    Raises:
        OSError, ValueError: it holds no images.
    """

    def __init__(self, folder: Path, resize: int, height: int, width: int) -> None:
        self._files = list_images(folder, "val") if has_split(folder, "val") else _flat(folder)
        self._size = resize, height, width

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, part: slice) -> NDArray[np.uint8]:
        positions = range(len(self))[part]
        with quiet_pillow():
            return np.stack([self._pixels(position) for position in positions])

    def scan(self, limit: int | None, progress: Callable[..., Iterable[Any]]) -> None:
        """Look at the headers of the first `limit` files, all for None, before long work.

        Raises:
            ValueError: names the first that cannot be read.
        """
        positions = range(len(self))[:limit]
        with quiet_pillow():
            for position in progress(positions, "headers", len(positions)):
                self._read(position, check_header)

    def _pixels(self, position: int) -> NDArray[np.uint8]:
        return centre(self._read(position, decode), *self._size)

    def _read(self, position: int, reader: Callable[[Any], Any]) -> Any:
        try:
            with self._files.open(position) as file:
                return reader(file)
        except (OSError, ValueError) as error:
            name = printable(str(self._files.path.parent / self._files.names[position]))
            raise ValueError(f"image {name} must be one that can be read: {error}") from error


def _flat(folder: Path) -> ImageFiles:
    """Return the image files of a folder without classes."""
    names = sorted(
        entry.name
        for entry in folder.iterdir()
        if is_image(entry.name) and not is_hidden(entry.name) and entry.is_file()
    )
    if not names:
        raise ValueError(f"images must be a folder that holds image files, got none in {folder}")
    return ImageFiles(
        "val",
        folder,
        names=[f"{folder.name}/{name}" for name in names],
        labels=np.zeros(len(names), np.int64),
        classes=[""],
        archives=[],
        spans=np.zeros((len(names), 3), np.int64),
    )
