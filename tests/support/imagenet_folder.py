"""A small folder of image files in ImageNet's shape, and the tars that hold the same files."""

import json
import random
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import torch
from PIL import Image
from scipy.io import savemat
from torchvision import transforms

from bitlog2.models.images.imagenet import ImageFolders

CLASS_NAMES = ("n01440764", "n01443537", "n01484850", "n01491361", "n01494475", "n01496331")
#: Width, height, mode, format, suffix: among them an RGBA PNG under a JPEG's name, as ImageNet has.
KINDS = (
    (64, 48, "RGB", "JPEG", ".JPEG"),
    (45, 81, "RGB", "JPEG", ".JPEG"),
    (20, 30, "RGB", "JPEG", ".jpg"),
    (50, 50, "L", "PNG", ".png"),
    (61, 40, "CMYK", "JPEG", ".JPEG"),
    (40, 60, "RGBA", "PNG", ".JPEG"),
    (300, 257, "RGB", "JPEG", ".JPEG"),
)
#: Small, for speed.
TRANSFORM = transforms.Compose(
    [transforms.Resize(36, 3), transforms.CenterCrop(32), transforms.ToTensor()]
)


def make_imagenet(
    root: Path, classes: int, train_per_class: int, val_per_class: int, seed: int
) -> Path:
    """Write `root/train` and `root/val`; numbers of val run across the classes, as ImageNet's."""
    generator = np.random.default_rng(seed)
    for label, name in enumerate(CLASS_NAMES[:classes]):
        for split in ("train", "val"):
            (root / split / name).mkdir(parents=True)
        for number in range(1, train_per_class + 1):
            write_image(root / "train" / name / f"{name}_{number}", number + label, generator)
        for number in range(val_per_class):
            stem = f"ILSVRC2012_val_{number * classes + classes - label:08}"
            write_image(root / "val" / name / stem, number + label, generator)
    return root


def write_image(stem: Path, kind: int, generator: np.random.Generator) -> Path:
    """Write one random image; width, height, mode and format follow from `kind`."""
    width, height, mode, image_format, suffix = KINDS[kind % len(KINDS)]
    coarse = generator.integers(0, 256, (8, 8, 4), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height))
    if mode != "RGBA":
        image = image.convert("RGB").convert(mode)
    path = stem.with_name(stem.name + suffix)
    image.save(path, image_format)
    return path


def write_tar(folder: Path, tar: Path) -> None:
    """Write the class folders of a split as members class/image, in an order of its own."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    random.Random(5).shuffle(files)
    with tarfile.open(tar, "w") as archive:
        for file in files:
            archive.add(file, file.relative_to(folder).as_posix())


def write_class_tars(folder: Path, target: Path) -> None:
    """Write one tar a class, images alone in it, as ImageNet's training set comes."""
    target.mkdir(parents=True)
    for name in sorted(path.name for path in folder.iterdir()):
        with tarfile.open(target / f"{name}.tar", "w") as archive:
            for file in sorted((folder / name).iterdir(), reverse=True):
                archive.add(file, file.name)


def write_tar_of_tars(folder: Path, tar: Path) -> None:
    """Write the tars of `write_class_tars` into one."""
    parts = tar.with_suffix(".parts")
    write_class_tars(folder, parts)
    with tarfile.open(tar, "w") as archive:
        for part in sorted(parts.iterdir(), reverse=True):
            content = part.read_bytes()
            member = tarfile.TarInfo(part.name)
            member.size = len(content)
            archive.addfile(member, BytesIO(content))
            part.unlink()
    parts.rmdir()


def folders(root: Path, *, classes=3, workers=0, skip=False, change=TRANSFORM, names=None, **more):
    data = ImageFolders(root, change, workers=workers, skip_unreadable=skip, classes=names, **more)
    data.require_classes(classes)
    return data


def joined(data: ImageFolders, batch_size=4, limit=None):
    batches = list(data.batches(batch_size, limit))
    return tuple(torch.cat([batch[part] for batch in batches]) for part in range(3))


# As it is downloaded


def write_devkit(folder: Path, wnids: dict[int, str], numbers: list[int]) -> None:
    """Write ILSVRC2012_devkit_t12: IDs of their own order, and that of each image, by number."""
    folder.mkdir(parents=True)
    kind = [("ILSVRC2012_ID", "f8"), ("WNID", "O"), ("words", "O"), ("num_children", "f8")]
    synsets = np.array([(number, wnid, "", 0) for number, wnid in wnids.items()], dtype=kind)
    savemat(folder / "meta.mat", {"synsets": synsets.reshape(-1, 1)})
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text(
        "".join(f"{number}\n" for number in numbers)
    )


def write_solution(val: Path, path: Path) -> None:
    """Write Kaggle's LOC_val_solution.csv of sorted images, boxes and all."""
    lines = [
        f"{image.stem},{image.parent.name} 1 2 30 40 {image.parent.name} 5 6 7 8 \n"
        for image in sorted(val.rglob("*.*"), key=lambda image: image.name)
    ]
    path.write_text("ImageId,PredictionString\n" + "".join(lines))


def flatten(val: Path) -> None:
    """Move the images of class folders into the folder that holds these."""
    for image in list(val.rglob("*.*")):
        image.rename(val / image.name)
    for folder in list(val.iterdir()):
        if folder.is_dir():
            folder.rmdir()


def shuffled(split: Path) -> list[tuple[Path, int]]:
    """Return the images of class folders in an order of their own, with their labels."""
    classes = sorted(path.name for path in split.iterdir())
    files = sorted(path for path in split.rglob("*.*") if path.is_file())
    random.Random(6).shuffle(files)
    return [(file, classes.index(file.parent.name)) for file in files]


def write_shards(split: Path, names: list[Path]) -> None:
    """Write webdataset shards: image, .cls and .json of each sample."""
    files = shuffled(split)
    for number, path in enumerate(names):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w") as archive:
            for file, label in files[number :: len(names)]:
                for suffix, content in (
                    (".cls", str(label).encode()),
                    (file.suffix, file.read_bytes()),
                    (".json", b"{}"),
                ):
                    member = tarfile.TarInfo(file.stem + suffix)
                    member.size = len(content)
                    archive.addfile(member, BytesIO(content))


def write_parquet(split: Path, names: list[Path], classes: list[str] | None = None) -> None:
    """Write parquet files as the Hugging Face hub has them, four rows a row group."""
    files = shuffled(split)
    features = {"info": {"features": {"label": {"names": classes}}}} if classes else {}
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    schema = pyarrow.schema(
        [("image", kind), ("label", pyarrow.int64())], {"huggingface": json.dumps(features)}
    )
    for number, path in enumerate(names):
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [
            {"image": {"bytes": file.read_bytes(), "path": file.name}, "label": label}
            for file, label in files[number :: len(names)]
        ]
        table = pyarrow.Table.from_pylist(rows, schema)
        pyarrow.parquet.write_table(table, path, row_group_size=4)
