"""The images of a split of ImageNet in any packing: found, named, labelled, opened."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..naming import first_three, printable
from .archives import list_parquet, list_tars, read_member
from .labels import (
    SPLITS,
    Entry,
    Listing,
    flat_classes,
    is_hidden,
    is_image,
    is_number,
    is_wnid,
    left_out,
    ordered,
)

#: Folders below the root that hold the splits: itself, the hub's, Kaggle's.
_BELOW = (".", "data", "ILSVRC/Data/CLS-LOC")


@dataclass(frozen=True)
class ImageFiles:
    """The images of one split in the order of torchvision's ImageFolder: by class, then by path.

    Attributes:
        split: train or val.
        path: its folder or tar.
        names: path of each image below the folder that holds `path`; an archive counts as a folder.
        labels: (n,) int64, index into `classes`.
        classes: names, sorted; integers as numbers.
        archives: the tars or parquet files that hold the images; empty where they lie in folders.
        spans: (n, 3) int64: index into `archives`, then first byte and number of bytes of a tar,
            or row group and row of a parquet file; zeros for folders.
        notes: remarks for the user, a sentence each.
    """

    split: str
    path: Path
    names: list[str]
    labels: NDArray[np.int64]
    classes: list[str]
    archives: list[Path]
    spans: NDArray[np.int64]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def part(self, positions: NDArray[np.int64]) -> "ImageFiles":
        """Return the images of these positions alone."""
        names = [self.names[position] for position in positions.tolist()]
        return replace(
            self, names=names, labels=self.labels[positions], spans=self.spans[positions]
        )

    def open(self, position: int) -> BinaryIO:
        """Open one image for reading.

        Nothing stays open between calls, so threads and forked processes may share this object.

        Raises:
            OSError: as `open`; it is no regular file (a pipe would wait for its writer); its
                archive ends before the image does.
        """
        if not self.archives:
            path = self.path.parent / self.names[position]
            if not S_ISREG(path.stat().st_mode):
                raise OSError("no regular file")
            return path.open("rb")
        archive, start, size = self.spans[position].tolist()
        return BytesIO(read_member(self.archives[archive], start, size))


def list_images(root: Path, split: str) -> ImageFiles:
    """List a split: folders of images, a flat folder with its solution, tars, or parquet files.

    In `root`, `root/data` or `root/ILSVRC/Data/CLS-LOC` are looked for, the first found taken: a
    folder val, validation or ILSVRC2012_img_val; a tar of one of these names; shards whose names
    hold one of them and a number. A root that holds class folders itself is val.

    A tar holds members class/image, is a tar of tars, one per class, or a webdataset shard (.cls
    beside each image). Flat images get their classes from files near them (`flat_classes`). A tar
    is read from end to end to list it, and nothing is written beside it.

    Args:
        root: holds `split`.
        split: train or val.

    Raises:
        FileNotFoundError: no root.
        ValueError: root is no folder, or holds no such split; the split holds no images, or a
            link to a folder around it; the classes are not known.
    """
    if not root.exists():
        raise FileNotFoundError(f"data must be a folder that holds train and val, got no {root}")
    if not root.is_dir():
        raise ValueError(f"data must be a folder that holds train and val, got the file {root}")
    found = _find(root, split)
    if found is None:
        check_not_packed(root, split)
        held = sorted(entry.name for entry in root.iterdir())
        raise ValueError(
            f"data must hold {split}/ or {split}.tar, got {first_three(held)} in {root}"
        )
    path, shards = found
    if path.is_dir() and not shards:
        return _list_folder(split, path)
    return _list_archives(split, path, shards or [path])


def has_split(root: Path, split: str) -> bool:
    """Whether `list_images` finds such a split, sound or not."""
    return root.is_dir() and _find(root, split) is not None


def _find(root: Path, split: str) -> tuple[Path, list[Path]] | None:
    """Return the folder or tar of a split, and its shards where they lie among other files."""
    bases = [base for base in (root / below for below in _BELOW) if base.is_dir()]
    for path in (base / name for base in bases for name in SPLITS[split]):
        tar = path.with_name(f"{path.name}.tar")
        if path.is_dir() or tar.is_file():
            return (path if path.is_dir() else tar), []
    names = "|".join(SPLITS[split])
    for base in bases:
        files = sorted(entry for entry in base.iterdir() if not is_hidden(entry.name))
        for suffix in ("parquet", "tar"):
            shard = re.compile(rf"(.*[-_])?({names})[-_][0-9].*\.{suffix}")
            shards = [file for file in files if shard.fullmatch(file.name)]
            if shards:
                return base, shards
    folders = [entry.name for entry in root.iterdir() if entry.is_dir()]
    folders = [name for name in folders if not is_hidden(f"{name}/")]
    if split == "val" and folders and all(is_wnid(name) or is_number(name) for name in folders):
        return root.absolute(), []
    return None


def check_not_packed(root: Path, split: str) -> None:
    """Refuse a split that is there, but compressed.

    Raises:
        ValueError: names the file.
    """
    packed = re.compile(rf"(.*[-_])?({'|'.join(SPLITS[split])})([-_].*)?\.(tar\.\w+|tgz|zip)")
    for base in (root / below for below in _BELOW):
        files = sorted(base.iterdir()) if base.is_dir() else []
        _refuse_packed(split, [file for file in files if packed.fullmatch(file.name)])


def _refuse_packed(split: str, files: list[Path]) -> None:
    packed = [file for file in files if re.search(r"\.(tar\.\w+|t[gx]z|zip)$", file.name)]
    if packed:
        raise ValueError(
            f"{split} must be unpacked or an uncompressed tar, as images are read in any order, "
            f"got {printable(str(packed[0]))}: unpack it first (gunzip makes a .tar of a .tar.gz)"
        )


def _list_archives(split: str, path: Path, files: list[Path]) -> ImageFiles:
    for file in files:
        if not file.is_file():
            raise ValueError(f"{split} must hold regular files, got {printable(str(file))}")
    listed = list_parquet if files[0].suffix.lower() == ".parquet" else list_tars
    entries, notes, classes = listed(split, path, files)
    loose = [entry.key for entry in entries if not entry.label]
    if len(loose) == len(entries):
        labels = flat_classes(split, path, [entry.key for entry in entries])
        entries = [entry._replace(label=name) for entry, name in zip(entries, labels, strict=True)]
    elif loose:
        raise ValueError(f"{split} must hold members class/image, got {min(loose)} in {path}")
    return _assembled(split, path, Listing(entries, notes, classes), files)


def _list_folder(split: str, folder: Path) -> ImageFiles:
    entries = sorted(folder.iterdir())
    hidden = [entry.name for entry in entries if is_hidden(entry.name) and is_image(entry.name)]
    entries = [entry for entry in entries if not is_hidden(entry.name)]
    if any(entry.is_dir() and not is_hidden(f"{entry.name}/") for entry in entries):
        loose = [entry.name for entry in entries if is_image(entry.name) and entry.is_file()]
        return _list_class_folders(split, folder, loose)
    for suffix in (".tar", ".parquet"):
        files = [entry for entry in entries if entry.suffix.lower() == suffix]
        if files:
            return _list_archives(split, folder, files)
    _refuse_packed(split, entries)
    names = [entry.name for entry in entries if is_image(entry.name)]
    if not names:
        raise ValueError(
            f"{split} must hold a folder or a tar for each class, got "
            f"{first_three([entry.name for entry in entries])} in {folder}"
        )
    labels = flat_classes(split, folder, names)
    listed = [
        Entry(label, name, f"{folder.name}/{name}", (0, 0, 0))
        for label, name in zip(labels, names, strict=True)
    ]
    return _assembled(split, folder, Listing(listed, left_out(split, hidden)), [])


def _list_class_folders(split: str, folder: Path, loose: list[str]) -> ImageFiles:
    _refuse_loops(split, folder)
    held = [entry.name for entry in os.scandir(folder) if entry.is_dir()]
    classes = ordered({name for name in held if not is_hidden(f"{name}/")})
    start = len(str(folder.parent / "_")) - 1
    held_by = [[path[start:] for path in _images_below(folder / name)] for name in classes]
    names = [name for each in held_by for name in each]
    labels = np.repeat(np.arange(len(classes), dtype=np.int64), [len(each) for each in held_by])
    hidden = [name for name in names if is_hidden(name[len(folder.name) + 1 :])]
    notes = left_out(split, hidden) + left_out(split, loose, "in no class folder")
    without = set(hidden)
    kept = [position for position, name in enumerate(names) if name not in without]
    files = ImageFiles(
        split,
        folder,
        names=names,
        labels=labels,
        classes=classes,
        archives=[],
        spans=np.zeros((len(names), 3), np.int64),
        notes=notes,
    )
    return files.part(np.array(kept, dtype=np.int64))


def _images_below(folder: Path) -> Iterator[str]:
    """Yield the paths of the images of a class in torchvision's order, links followed."""
    for root, _, names in sorted(os.walk(folder, followlinks=True)):
        yield from (os.path.join(root, name) for name in sorted(names) if is_image(name))


def _assembled(split: str, path: Path, found: Listing, archives: list[Path]) -> ImageFiles:
    present = {entry.label for entry in found.entries}
    classes = ordered(present) if found.classes is None else found.classes
    classes = [name for name in classes if name in present]
    index = {label: number for number, label in enumerate(classes)}
    entries = sorted(found.entries, key=lambda entry: (index[entry.label], entry.key, entry.name))
    return ImageFiles(
        split,
        path,
        names=[entry.name for entry in entries],
        labels=np.array([index[entry.label] for entry in entries], dtype=np.int64),
        classes=classes,
        archives=archives,
        spans=np.array([entry.span for entry in entries], dtype=np.int64),
        notes=found.notes,
    )


def _refuse_loops(split: str, folder: Path) -> None:
    """Refuse a link to a folder around it: torchvision would follow it without end.

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


def check_no_empty_class(files: ImageFiles) -> None:
    """Refuse a split with a class that holds no image.

    Raises:
        ValueError: names such classes.
    """
    counts = np.bincount(files.labels, minlength=len(files.classes))
    empty = [files.classes[label] for label in np.flatnonzero(counts == 0)]
    if empty:
        raise ValueError(
            f"{files.split} must hold images of every class, got none of {first_three(empty)} "
            f"in {files.path}"
        )


def check_same_classes(train: ImageFiles, val: ImageFiles) -> None:
    """Refuse a val with classes that train has not; integers are not compared with other names.

    Raises:
        ValueError: names those that only one of them has.
    """
    if is_number(train.classes[0]) != is_number(val.classes[0]):
        return
    only_val = sorted(set(val.classes) - set(train.classes))
    if only_val:
        only_train = sorted(set(train.classes) - set(val.classes))
        raise ValueError(
            f"train and val must have the same classes, got {first_three(only_train)} in "
            f"{train.path} alone and {first_three(only_val)} in {val.path} alone"
        )
