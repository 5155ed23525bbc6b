"""Classes of images: the name in a listing, and the index in a model's head."""

import csv
import json
import re
import tarfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..naming import first_three

#: Classes of ImageNet: published accuracies are of models with that number.
IMAGENET_CLASSES = 1000
#: Names of a split: unpacked, on the Hugging Face hub, and as ImageNet's site packs it.
SPLITS = {
    "train": ("train", "ILSVRC2012_img_train"),
    "val": ("val", "validation", "ILSVRC2012_img_val"),
}
_SOLUTION = "LOC_val_solution.csv"
_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
_DEVKIT = "ILSVRC2012_devkit_t12"


class Entry(NamedTuple):
    """An image of an archive or a flat folder.

    Attributes:
        label: name of its class; empty where it has none.
        key: sorting key within a class.
        name, span: as in `ImageFiles`.
    """

    label: str
    key: str
    name: str
    span: tuple[int, int, int]


class Listing(NamedTuple):
    """Images of archives, with remarks, and the classes in order where they are known."""

    entries: list[Entry]
    notes: tuple[str, ...] = ()
    classes: list[str] | None = None


#: Suffixes that torchvision's ImageFolder takes.
_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def is_image(name: str) -> bool:
    """Whether torchvision's ImageFolder takes a file of that name."""
    return name.lower().endswith(_SUFFIXES)


def is_hidden(path: str) -> bool:
    """Whether a path is hidden, or in a folder that Synology, macOS or a file system makes."""
    return re.search(r"(^|/)(\.|[@#][^/]*/|__MACOSX/|lost\+found/)", path) is not None


def is_number(name: str) -> bool:
    """Whether a class name is an integer."""
    return re.fullmatch("[0-9]{1,9}", name) is not None


def is_wnid(name: str) -> bool:
    """Whether a class name is a WordNet ID."""
    return re.fullmatch("n[0-9]{8}", name) is not None


def ordered(names: Iterable[str]) -> list[str]:
    """Return class names in the order of torchvision's ImageFolder, integers as numbers.

    Raises:
        ValueError: some are integers and others are not, or two are the same integer.
    """
    names = sorted(names)
    numbers = [name for name in names if is_number(name)]
    if not numbers:
        return names
    if len(numbers) < len(names):
        others = [name for name in names if not is_number(name)]
        raise ValueError(
            f"classes must be integers all or none, got {first_three(numbers)} beside "
            f"{first_three(others)}"
        )
    if len({int(name) for name in names}) < len(names):
        raise ValueError(f"classes must be different integers, got {first_three(names)}")
    return sorted(names, key=int)


def left_out(
    split: str, names: list[str], why: str = "of hidden names or folders"
) -> tuple[str, ...]:
    """Return the remark on images that are left out: nothing where there are none."""
    return (
        (f"{split}: {len(names):,} images {why} left out ({first_three(names)})",) if names else ()
    )


def flat_classes(split: str, path: Path, names: list[str]) -> list[str]:
    """Return the class of each image of a flat folder or tar: its WordNet ID.

    It is in the names of the hub's files (..._n01440764.JPEG); for val else in Kaggle's
    LOC_val_solution.csv, or the ground truth of ILSVRC2012_devkit_t12 (unpacked or .tar.gz),
    which are looked for in the folder and up to four folders around it.

    Raises:
        ValueError: nothing of that is there, it is damaged, or an image is not in it.
    """
    matches = [re.search(r"(?:^|_)(n[0-9]{8})[_.]", name.rpartition("/")[2]) for name in names]
    if all(matches):
        return [found[1] for found in matches if found]
    stems = [Path(name).stem for name in names]
    folders = [path, *path.absolute().parents[:4]]
    for folder in folders if split == "val" else ():
        try:
            truth = _solution(folder / _SOLUTION) or _devkit(folder)
        except (KeyError, TypeError, ValueError, IndexError, tarfile.TarError, EOFError) as error:
            raise ValueError(
                f"the classes of val must be readable, got {error!r} in {folder}"
            ) from error
        if truth:
            unknown = [stem for stem in stems if stem not in truth]
            if unknown:
                raise ValueError(
                    f"the solution in {folder} must have every image of val, got none of "
                    f"{first_three(unknown)}"
                )
            return [truth[stem] for stem in stems]
    wanted = "members class/image" if path.is_file() else "a folder or a tar for each class"
    raise ValueError(
        f"{split} must hold {wanted}, got {first_three(names)} in {path}, and no {_SOLUTION} "
        f"or {_DEVKIT} near it that names the classes"
    )


def _solution(path: Path) -> dict[str, str]:
    """Return WordNet IDs by image from Kaggle's file: ImageId, then ID and box, box by box."""
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        return {row["ImageId"]: row["PredictionString"].split()[0] for row in csv.DictReader(file)}


def _devkit(folder: Path) -> dict[str, str]:
    """Return WordNet IDs by image from the development kit, by the number in the image's name."""
    for base in (folder, folder / "data", folder / _DEVKIT, folder / _DEVKIT / "data"):
        if (base / _TRUTH).is_file():
            return _truth((base / _TRUTH).read_bytes(), (base / "meta.mat").read_bytes())
    packed = folder / f"{_DEVKIT}.tar.gz"
    if not packed.is_file():
        return {}
    with tarfile.open(packed) as archive:
        parts = [archive.extractfile(f"{_DEVKIT}/data/{name}") for name in (_TRUTH, "meta.mat")]
        return _truth(*(part.read() if part is not None else b"" for part in parts))


def _truth(lines: bytes, meta: bytes) -> dict[str, str]:
    from scipy.io import loadmat

    synsets = loadmat(BytesIO(meta), squeeze_me=True)["synsets"]
    wnids = {
        int(number): str(wnid)
        for number, wnid in zip(synsets["ILSVRC2012_ID"], synsets["WNID"], strict=True)
    }
    return {
        f"ILSVRC2012_val_{number:08}": wnids[int(line)]
        for number, line in enumerate(lines.split(), 1)
    }


def read_classes(path: Path) -> dict[str, int]:
    """Return the head's index of each class name in a file that a user gives.

    Lines in the order of the head, the name the whole line, its first word (as in Kaggle's
    LOC_synset_mapping.txt) or what stands before a comma; or .json: {"name": index}, or
    {"index": name or names}. A name that two indices have (crane, maillot) gets -1.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not of that form.
    """
    if not path.is_file():
        raise FileNotFoundError(f"classes must be a file that exists, got {path}")
    try:
        text = path.read_text("utf-8")
        pairs = _json_pairs(text) if path.suffix == ".json" else _line_pairs(text)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f'classes must be lines of names or JSON as {{"name": index}}, got {path}: {error}'
        ) from error
    found: dict[str, int] = {}
    for name, index in pairs:
        if found.setdefault(name, index) != index:
            found[name] = -1
    return found


def _line_pairs(text: str) -> list[tuple[str, int]]:
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if not all(lines) or not lines:
        raise ValueError("an empty line, or none")
    return [
        (name, index)
        for index, line in enumerate(lines)
        for name in (line, line.split()[0], line.split(",")[0])
    ]


def _json_pairs(text: str) -> list[tuple[str, int]]:
    pairs: list[tuple[str, int]] = []
    for key, value in json.loads(text).items():
        names = [value] if isinstance(value, str) else value
        pairs += [(key, names)] if isinstance(names, int) else [(name, int(key)) for name in names]
    return pairs


def head_indices(
    names: list[str], order: list[str], classes: int, given: dict[str, int] | None, where: Path
) -> NDArray[np.int64]:
    """Return the index in the head of each class of the validation images.

    By the file that was given; integers are the index itself; WordNet IDs by timm's list for a
    head of as many classes. For a head that timm has no list for, names stand in their order.

    Args:
        names: the class names in order.
        order: those of the whole data set.
        classes: number of classes of the head.
        given: indices by name as `read_classes` returns them, or None.
        where: folder or tar of the images, for the message.

    Raises:
        ValueError: the classes can't be those of the head.
    """
    synsets = _synsets(classes)
    padded = len({len(name) for name in names}) == 1 and len(order) == classes
    legal = f"integers from 0 to {classes - 1}" + " or ImageNet's WordNet IDs" * bool(synsets)
    if given is not None:
        if given and max(given.values()) >= classes:
            raise ValueError(
                f"classes must have indices from 0 to {classes - 1}, as the model has, got "
                f"{max(given.values())}"
            )
        known, legal = given, "names of --classes"
    elif all(map(is_number, names)) and (synsets or not (padded and names[0].startswith("0"))):
        known = {name: int(name) for name in names}
    elif set(names) <= set(synsets) or classes == IMAGENET_CLASSES:
        known = _places(synsets)
    elif len(order) == classes:
        known = _places(order)
    else:
        raise ValueError(
            f"val must have {classes} classes as the model has, got {len(order)} in {where}; "
            "--classes FILE names those of the model"
        )
    wrong = [name for name in names if not 0 <= known.get(name, -1) < classes]
    if wrong:
        raise ValueError(
            f"val must name classes by {legal} for a model of {classes} classes, got "
            f"{first_three(wrong)} in {where}"
            + "; --classes FILE maps other names"
            * (given is None)
        )
    return np.array([known[name] for name in names], dtype=np.int64)


def _places(names: list[str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(names)}


def _synsets(classes: int) -> list[str]:
    """Return the WordNet IDs of a head of `classes` classes; empty where timm has no list."""
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset({"num_classes": classes})
    info: Any = ImageNetInfo  # untyped
    return list(info(subset).label_names()) if subset else []
