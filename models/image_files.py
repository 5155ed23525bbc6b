"""The image files of an ImageNet-shaped folder: found, named, labelled, opened."""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from posixpath import normpath
from stat import S_ISREG
from typing import IO, Any, BinaryIO

import numpy as np
from timm.data.readers import img_extensions
from timm.data.readers.reader_image_in_tar import ReaderImageInTar
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS

from .naming import printable, shown

__all__ = ["ImageFiles", "check_no_empty_class", "check_same_classes", "list_images"]

_SHOWN = 3
#: What tarfile raises on headers that lie, besides its own error.
_TAR_FAILS = (ValueError, EOFError, ArithmeticError, MemoryError, RecursionError)


@dataclass(frozen=True)
class ImageFiles:
    """The images of one split in the order of torchvision's ImageFolder: by class, then by path.

    Attributes:
        split: train or val.
        path: its folder or tar.
        names: path of each image below the data folder; a tar counts as a folder.
        labels: (n,) int64, index into `classes`.
        classes: sorted names.
        tars: the tars that hold the images; empty where they lie in folders.
        spans: (n, 3) int64 for tars: index into `tars`, first byte, number of bytes.
    """

    split: str
    path: Path
    names: list[str]
    labels: np.ndarray
    classes: list[str]
    tars: list[Path]
    spans: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def open(self, position: int) -> BinaryIO:
        """Open one image for reading.

        Nothing stays open between calls, so threads and forked processes may share this object.

        Raises:
            OSError: as `open`; it is no regular file (a pipe would wait for its writer); the tar
                ends before the image does.
        """
        if not self.tars:
            path = self.path.parent / self.names[position]
            if not S_ISREG(path.stat().st_mode):
                raise OSError("no regular file")
            return path.open("rb")
        tar, start, size = self.spans[position].tolist()
        with self.tars[tar].open("rb") as file:
            file.seek(start)
            content = file.read(size)
        if len(content) < size:
            raise OSError(f"its tar ends {size - len(content)} bytes too early")
        return BytesIO(content)


def list_images(root: Path, split: str) -> ImageFiles:
    """List `root/split/` (a folder of images a class, or a tar a class) or `root/split.tar`.

    Where there are both, the folder is taken. A tar holds its members as class/image, or is a tar
    of tars, one a class. It is read from end to end to list it, and nothing is written beside it.

    Args:
        root: holds `split`.
        split: train or val.

    Raises:
        FileNotFoundError: no root.
        ValueError: root is no folder, or holds no such split; the split holds no images, or a
            link to a folder around it.
    """
    if not root.exists():
        raise FileNotFoundError(f"data must be a folder that holds train and val, got no {root}")
    if not root.is_dir():
        raise ValueError(f"data must be a folder that holds train and val, got the file {root}")
    folder, tar = root / split, root / f"{split}.tar"
    if folder.is_dir():
        return _list_folder(split, folder)
    if tar.is_file():
        return _list_tars(split, tar, [tar])
    held = sorted(entry.name for entry in root.iterdir())
    raise ValueError(f"data must hold {split}/ or {split}.tar, got {_few(held)} in {root}")


def _list_folder(split: str, folder: Path) -> ImageFiles:
    entries = sorted(folder.iterdir())
    if not any(entry.is_dir() for entry in entries):
        tars = [entry for entry in entries if entry.suffix.lower() == ".tar"]
        for tar in tars:
            if not tar.is_file():
                raise ValueError(f"{split} must hold regular files, got {printable(str(tar))}")
        if tars:
            return _list_tars(split, folder, tars)
        raise ValueError(
            f"{split} must hold a folder or a tar for each class, got "
            f"{_few([entry.name for entry in entries])} in {folder}"
        )
    _refuse_loops(split, folder)
    found = ImageFolder(str(folder), allow_empty=True)
    start = len(str(folder.parent / "_")) - 1
    return ImageFiles(
        split,
        folder,
        names=[path[start:] for path, _ in found.samples],
        labels=np.array(found.targets, dtype=np.int64),
        classes=found.classes,
        tars=[],
        spans=np.empty((0, 3), np.int64),
    )


def _refuse_loops(split: str, folder: Path) -> None:
    """Refuse a link to a folder that it lies in: torchvision follows links, round and round.

    Raises:
        ValueError: names the link.
        OSError: a folder can't be read; torchvision would leave it out.
    """
    for link in _linked_folders(folder):
        target = link.resolve()
        if any(parent.resolve().is_relative_to(target) for parent in link.parents):
            raise ValueError(
                f"{split} must hold no link to a folder around it, got {printable(str(link))}"
            )


def _linked_folders(folder: Path) -> Iterator[Path]:
    """Yield the links to folders below a folder, before they are followed."""

    def fail(error: OSError) -> None:
        raise error

    for root, inner, _ in os.walk(folder, onerror=fail, followlinks=True):
        for name in sorted(inner):
            path = Path(root, name)
            if path.is_symlink():
                yield path


def _list_tars(split: str, path: Path, tars: list[Path]) -> ImageFiles:
    members: dict[tuple[str, str], tuple[str, int, int, int]] = {}
    for number, tar in enumerate(tars):
        shown = f"{split}/{tar.name}" if path.is_dir() else tar.name
        for label, name, start, size in _tar_members(split, tar):
            label = label or (tar.stem if path.is_dir() else "")
            members[label, name] = (f"{shown}/{name}", number, start, size)
    order = sorted(members)
    if not order[0][0]:
        raise ValueError(f"{split} must hold members class/image, got {order[0][1]} in {path}")
    classes = sorted({label for label, _ in order})
    index = {label: number for number, label in enumerate(classes)}
    return ImageFiles(
        split,
        path,
        names=[members[key][0] for key in order],
        labels=np.array([index[label] for label, _ in order], dtype=np.int64),
        classes=classes,
        tars=tars,
        spans=np.array([members[key][1:] for key in order], dtype=np.int64),
    )


def _check_tar(split: str, tar: Path) -> None:
    """Refuse a tar whose headers lie about sizes: timm's reader would skip bytes for years.

    Raises:
        ValueError: it is no tar, or a member of it, or of a tar in it, does not lie in it.
    """
    try:
        with tar.open("rb") as file:
            _check_sizes(file, tar.stat().st_size)
    except (tarfile.TarError, *_TAR_FAILS) as error:
        reason = shown(str(error) or type(error).__name__)
        raise ValueError(f"{split} must be an uncompressed tar, got {tar}: {reason}") from error


def _check_sizes(file: IO[bytes], size: int) -> None:
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for member in archive:
            if not 0 <= member.size <= size - member.offset_data or member.issparse():
                raise ValueError(f"{member.name} is said to have {member.size} bytes")
            nested = member.name.lower().endswith(".tar")
            inner = archive.extractfile(member) if nested else None
            if inner is not None:
                _check_sizes(inner, member.size)


def _tar_members(split: str, tar: Path) -> list[tuple[str, str, int, int]]:
    """List the images of a tar: class or "", path in the tar, first byte, number of bytes."""
    _check_tar(split, tar)
    listing: Any = img_extensions  # untyped, as the reader is
    make_reader: Any = ReaderImageInTar
    extensions = listing.get_img_extensions()
    listing.set_img_extensions(IMG_EXTENSIONS)
    try:
        reader = make_reader(str(tar), cache_tarfiles=False, cache_tarinfo=False)
    except tarfile.TarError as error:
        raise ValueError(f"{split} must be an uncompressed tar, got {tar}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{split} must hold images, got none in {tar}") from error
    finally:
        listing.set_img_extensions(extensions)
    members = []
    for (member, _, inner), target in zip(reader.samples, reader.targets, strict=True):
        name = member.name if inner is None else f"{inner.name}/{member.name}"
        start = member.offset_data + (0 if inner is None else inner.offset_data)
        label = reader.class_idx_to_name[target]
        members.append((label, normpath(name), start, member.size))
    return members


def check_no_empty_class(files: ImageFiles) -> None:
    """Refuse a split with a class that holds no image.

    Raises:
        ValueError: names a few such classes.
    """
    counts = np.bincount(files.labels, minlength=len(files.classes))
    empty = [files.classes[label] for label in np.flatnonzero(counts == 0)]
    if empty:
        raise ValueError(
            f"{files.split} must hold images of every class, got none of {_few(empty)} "
            f"in {files.path}"
        )


def check_same_classes(train: ImageFiles, val: ImageFiles) -> None:
    """Refuse splits whose classes have different names.

    Raises:
        ValueError: names a few that only one of them has.
    """
    if train.classes != val.classes:
        only_train = sorted(set(train.classes) - set(val.classes))
        only_val = sorted(set(val.classes) - set(train.classes))
        raise ValueError(
            f"train and val must have the same classes, got {_few(only_train)} in {train.path} "
            f"alone and {_few(only_val)} in {val.path} alone"
        )


def _few(names: list[str]) -> str:
    if not names:
        return "nothing"
    more = len(names) - _SHOWN
    names = [printable(name) for name in names]
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
