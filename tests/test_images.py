"""ImageNet and data of its shape: images, labels and calibration, however the files lie."""

import json
import os
import shutil
import signal
import tarfile
import time
import warnings
from collections import namedtuple
from pathlib import Path

import pyarrow.parquet
import pytest
import torch
from PIL import Image
from support.evaluations import quiet
from support.imagenet_folder import (
    CLASS_NAMES,
    TRANSFORM,
    flatten,
    folders,
    joined,
    make_imagenet,
    write_class_tars,
    write_devkit,
    write_parquet,
    write_shards,
    write_solution,
    write_tar,
    write_tar_of_tars,
)
from support.models import digits_task
from timm.data import ImageNetInfo
from torch.utils.data import DataLoader, _utils, get_worker_info
from torchvision import transforms
from torchvision.datasets import ImageFolder

from bitlog2 import extras
from bitlog2.models.images import imagenet
from bitlog2.models.images.centre import centre
from bitlog2.models.images.files import list_images
from bitlog2.models.images.imagenet import ImageFolders
from bitlog2.models.zoo.architectures import transform
from bitlog2.models.zoo.task import load_task
from bitlog2.names import ZOO


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_imagenet(tmp_path_factory.mktemp("imagenet"), 3, 12, 5, seed=1)


@pytest.fixture
def own(root, tmp_path):
    """A copy to damage."""
    return Path(shutil.copytree(root, tmp_path / "imagenet"))


def published_calibration(root: Path, seed: int, workers: int, change=TRANSFORM) -> torch.Tensor:
    """The published scripts, word for word."""
    dataset = ImageFolder(str(root / "train"), change)
    torch.manual_seed(seed)
    loader = DataLoader(
        dataset,
        batch_size=32,
        shuffle=True,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        drop_last=True,
    )
    return next(iter(loader))[0]


def truncate(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-60])
    return path


# Calibration


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("seed", [0, 1, 1005])
def test_imagenet_calibration_is_that_of_the_published_scripts(root, seed, workers):
    expected = published_calibration(root, seed, workers)
    before = torch.get_rng_state()
    assert torch.equal(folders(root, workers=workers).calibration_images(seed), expected)
    assert torch.equal(torch.get_rng_state(), before)


def test_imagenet_calibration_takes_a_models_preprocessing(root):
    change = transform(ZOO["vit_small"])
    expected = published_calibration(root, 0, 0, change)
    assert torch.equal(folders(root, change=change).calibration_images(0), expected)


def test_imagenet_calibration_of_fewer_images_is_the_start_of_the_same_shuffle(root):
    data = folders(root)
    assert torch.equal(data.calibration_images(4, 5), data.calibration_images(4)[:5])


def test_imagenet_calibration_with_too_few_images_says_how_many(root):
    with pytest.raises(ValueError, match=r"at least 37 images to .*, got 36 in .*train"):
        folders(root).calibration_images(0, 37)


@pytest.mark.parametrize("workers", [0, 2])
def test_imagenet_calibration_refuses_an_unreadable_image_whatever_the_options(own, workers):
    for path in (own / "train").rglob("*.*"):
        truncate(path)
    data = folders(own, workers=workers, skip=True)
    with pytest.raises(ValueError, match=r"calibration images must be readable, got /.*n0.*\(.*\)"):
        data.calibration_images(0)


# Validation


@pytest.mark.parametrize("workers", [0, 2])
def test_imagenet_batches_are_those_of_an_image_folder(root, workers):
    images, labels = next(iter(DataLoader(ImageFolder(root / "val", TRANSFORM), 15)))
    before = torch.get_rng_state()
    found = joined(folders(root, workers=workers))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(found[0], images)
    assert torch.equal(found[1], labels)
    assert torch.equal(found[2], torch.arange(15))


@pytest.mark.parametrize(("limit", "sizes"), [(None, [6, 6, 3]), (8, [6, 2]), (99, [6, 6, 3])])
def test_imagenet_batches_stop_at_the_limit(root, limit, sizes):
    data = folders(root)
    assert [len(batch.labels) for batch in data.batches(6, limit)] == sizes
    assert data.end(limit) == sum(sizes)


def test_imagenet_limit_takes_the_first_classes(root):
    assert joined(folders(root), limit=6)[1].tolist() == [0, 0, 0, 0, 0, 1]


def test_imagenet_nothing_is_skipped_in_a_sound_folder(root):
    data = folders(root, skip=True)
    data.scan(None, quiet)
    joined(data)
    assert data.skipped == []


@pytest.mark.parametrize(("size", "limit"), [(0, None), (4, 0)])
def test_imagenet_batches_of_nothing_are_refused(root, size, limit):
    with pytest.raises(ValueError, match="must be at least 1"):
        next(folders(root).batches(size, limit))


def test_imagenet_negative_workers_are_refused(root):
    with pytest.raises(ValueError, match="workers must be 0 or more, got -1"):
        folders(root, workers=-1)


class KillWorker:
    def __call__(self, image):
        if get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return TRANSFORM(image)


def test_imagenet_a_worker_that_dies_is_an_error(root):
    with pytest.raises(OSError, match="a process that reads images died"):
        joined(folders(root, workers=2, change=KillWorker()))


# Images that can't be read


def damage(root: Path, *positions: int) -> list[str]:
    """Empty some validation images; their names below root."""
    paths = [Path(path) for path, _ in ImageFolder(root / "val").samples]
    for position in positions:
        paths[position].write_bytes(b"")
    return [paths[position].relative_to(root).as_posix() for position in positions]


def test_imagenet_scan_with_skipping_notes_the_files_once(own):
    names = damage(own, 9, 4)
    data = folders(own, skip=True)
    data.scan(None, quiet)
    data.scan(None, quiet)
    joined(data)
    assert data.skipped == names[::-1]


@pytest.mark.parametrize("scanned", [False, True])
def test_imagenet_skipped_images_leave_the_batches_of_the_others_as_they_were(own, scanned):
    damage(own, 1, 4, 5, 6, 7)
    data = folders(own, skip=True)
    if scanned:
        data.scan(None, quiet)
    for _ in range(2):
        numbers = [batch.numbers.tolist() for batch in data.batches(4, None)]
        assert numbers == [[0, 2, 3], [8, 9, 10, 11], [12, 13, 14]]


@pytest.mark.parametrize("workers", [0, 2])
def test_imagenet_a_truncated_image_is_named_in_one_line(own, workers):
    path = truncate(next((own / "val" / CLASS_NAMES[0]).glob("*.jpg")))
    data = folders(own, workers=workers)
    data.scan(None, quiet)
    with pytest.raises(ValueError, match=rf"{path.name} \(image file is truncated.*\)") as caught:
        joined(data)
    assert "\n" not in str(caught.value)


def test_imagenet_an_image_that_vanishes_is_named(own):
    data = folders(own)
    next((own / "val").rglob("*.jpg")).unlink()
    with pytest.raises(ValueError, match=r"\.jpg \(No such file or directory\)"):
        joined(data)


def test_imagenet_no_readable_image_at_all_is_an_error(own):
    damage(own, *range(15))
    with pytest.raises(ValueError, match=r"val must hold images that can be read, got none in /"):
        joined(folders(own, skip=True))


def test_imagenet_scan_names_the_first_empty_files_and_how_many(own):
    names = damage(own, 1, 4, 7, 9)
    with pytest.raises(
        ValueError, match=rf"{names[0]} \(empty, or not an image\);.*, 4 in all; --s"
    ):
        folders(own).scan(None, quiet)
    folders(own).scan(1, quiet)


SYNSETS = ImageNetInfo().label_names()


def with_classes(root: Path, names: list[str]) -> Path:
    """Give the classes of both splits other names, in their order."""
    for split in ("train", "val"):
        for old, new in zip(CLASS_NAMES, names, strict=False):
            (root / split / old).rename(root / split / new)
    return root


def labels_by_name(data) -> dict[str, int]:
    return {data.name(n): label for n, label in enumerate(joined(data)[1].tolist())}


# Layouts


def solution(own):
    write_solution(own / "val", own / "LOC_val_solution.csv")
    flatten(own / "val")


def devkit(own, base="ILSVRC2012_devkit_t12/data"):
    """IDs in the reverse of the names' order: labels in their place would be wrong."""
    wnids = {**dict(enumerate(CLASS_NAMES[2::-1], 1)), 1001: "n00001740"}
    ids = {name: number for number, name in wnids.items()}
    images = sorted((own / "val").rglob("*.*"), key=lambda image: image.name)
    by_number = {int(image.stem[-8:]): ids[image.parent.name] for image in images}
    numbers = [by_number.get(number, 1) for number in range(1, max(by_number) + 1)]
    write_devkit(own / base, wnids, numbers)


def unpacked_devkit(own):
    devkit(own)
    flatten(own / "val")


def as_downloaded(own):
    """The three files of ImageNet's site, and nothing unpacked."""
    devkit(own)
    with tarfile.open(own / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as archive:
        archive.add(own / "ILSVRC2012_devkit_t12", "ILSVRC2012_devkit_t12")
    shutil.rmtree(own / "ILSVRC2012_devkit_t12")
    flatten(own / "val")
    write_tar(own / "val", own / "ILSVRC2012_img_val.tar")
    write_tar_of_tars(own / "train", own / "ILSVRC2012_img_train.tar")
    shutil.rmtree(own / "val")
    shutil.rmtree(own / "train")


def kaggle(own):
    solution(own)
    (own / "ILSVRC/Data/CLS-LOC").mkdir(parents=True)
    for split in ("train", "val"):
        (own / split).rename(own / "ILSVRC/Data/CLS-LOC" / split)


def hub_files(own):
    """Flat, the class in each name."""
    for image in list((own / "val").rglob("*.*")):
        image.rename(image.with_stem(f"{image.stem}_{image.parent.name}"))
    flatten(own / "val")
    (own / "val").rename(own / "validation")


def parquet(own):
    for split, name in (("train", "train"), ("val", "validation")):
        names = [own / "data" / f"{name}-0000{n}-of-00002.parquet" for n in (0, 1)]
        write_parquet(own / split, names)
        shutil.rmtree(own / split)


def shards(own):
    write_shards(own / "val", [own / "new" / f"{n:06}.tar" for n in range(3)])
    shutil.rmtree(own / "val")
    (own / "new").rename(own / "val")


def hub_shards(own):
    for split, name in (("train", "train"), ("val", "validation")):
        write_shards(own / split, [own / f"imagenet1k-{name}-{n:02}.tar" for n in range(2)])
        shutil.rmtree(own / split)


def tar_with_its_folder(own):
    solution(own)
    with tarfile.open(own / "val.tar", "w") as archive:
        archive.add(own / "val", "./val")
    shutil.rmtree(own / "val")


def tars(own):
    for split in ("train", "val"):
        write_tar(own / split, own / f"{split}.tar")
        shutil.rmtree(own / split)


def class_tars(own):
    for split in ("train", "val"):
        write_class_tars(own / split, own / "packed" / split)
        shutil.rmtree(own / split)
        (own / "packed" / split).rename(own / split)


LAYOUTS = [
    solution,
    unpacked_devkit,
    as_downloaded,
    kaggle,
    hub_files,
    parquet,
    shards,
    hub_shards,
    tar_with_its_folder,
    tars,
    class_tars,
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_imagenet_layout_gives_the_images_and_labels_of_class_folders_in_their_order(
    root, own, layout
):
    layout(own)
    data = folders(own)
    data.scan(None, quiet)
    for found, wanted in zip(joined(data), joined(folders(root)), strict=True):
        assert torch.equal(found, wanted)
    assert torch.equal(data.calibration_images(2), folders(root).calibration_images(2))
    assert data.notes == []


@pytest.mark.parametrize("layout", [parquet, shards, tars, as_downloaded, class_tars])
def test_imagenet_workers_read_archives_that_this_process_reads_too(root, own, layout):
    """Open files that forked processes share would share their position as well."""
    layout(own)
    data, expected = folders(own, workers=2), joined(folders(root))
    data.scan(None, quiet)
    for _ in range(3):
        for found, wanted in zip(joined(data, batch_size=1), expected, strict=True):
            assert torch.equal(found, wanted)
    calibration = folders(root).calibration_images(2)
    assert torch.equal(data.calibration_images(2), calibration)


def test_imagenet_kaggles_inner_folder_finds_the_solution_above_it(root, own):
    kaggle(own)
    data = folders(own / "ILSVRC/Data/CLS-LOC")
    assert torch.equal(joined(data)[1], joined(folders(root))[1])


def test_imagenet_compressed_training_images_are_refused_where_they_calibrate(own):
    """Calibration with a part of val is for those who have no others."""
    shutil.rmtree(own / "train")
    (own / "ILSVRC2012_img_train.tar.gz").touch()
    assert len(joined(folders(own, calibrates=False))[1]) == 15
    with pytest.raises(ValueError, match=r"train must be unpacked .*train\.tar\.gz"):
        folders(own)


# Webdataset shards and parquet files


def test_imagenet_a_missing_parquet_file_is_noted(own):
    parquet(own)
    (own / "data" / "validation-00001-of-00002.parquet").unlink()
    assert "val: 1 of 2 parquet files are there" in folders(own).notes


def test_imagenet_parquet_of_other_classes_goes_by_their_names(own):
    """Labels 0 to 2 of another data set are no indices of ImageNet's head."""
    names = ["spring", "dog", "church"]
    write_parquet(own / "val", [own / "validation-00000-of-00001.parquet"], names)
    shutil.rmtree(own / "val")
    shutil.rmtree(own / "train")
    with pytest.raises(ValueError, match=r"WordNet IDs for a model of 1000 .*, got spring, dog"):
        folders(own, classes=1000)
    assert set(joined(folders(own))[1].tolist()) == {0, 1, 2}
    by_name = list_images(own, "val")
    assert by_name.classes == names


def test_imagenet_parquet_without_pyarrow_says_what_to_install(own, monkeypatch):
    parquet(own)
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(
        ModuleNotFoundError, match=r"parquet needs the extra \[parquet\]: pip install"
    ):
        folders(own)


# Class names and the classes of the model


def test_imagenet_unpadded_integers_are_the_indices_themselves(own):
    with_classes(own, ["10", "2", "0"])
    found = labels_by_name(folders(own, classes=1000))
    assert {name.split("/")[1]: label for name, label in found.items()} == {
        "0": 0,
        "2": 2,
        "10": 10,
    }
    assert next(iter(found)).startswith("val/0/")


def test_imagenet_padded_integers_of_a_model_of_as_many_classes_are_in_their_order(own):
    """As Flowers-102 has 001 to 102; unpadded ones, or for ImageNet's head, are refused."""
    with_classes(own, ["001", "002", "003"])
    assert sorted(set(joined(folders(own))[1].tolist())) == [0, 1, 2]


def test_imagenet_wnids_of_a_subset_are_indices_of_the_head(own):
    with_classes(own, [SYNSETS[6], SYNSETS[207], SYNSETS[999]])
    data = folders(own, classes=1000)
    assert sorted(set(joined(data)[1].tolist())) == [6, 207, 999]
    assert data.classes == 1000
    assert not data.complete
    assert "val has 3 of the model's 1,000 classes" in data.notes[0]


def test_imagenet_subset_of_the_training_classes_has_their_places(own):
    shutil.rmtree(own / "val" / CLASS_NAMES[0])
    assert sorted(set(joined(folders(own))[1].tolist())) == [1, 2]


CLASS_FILES = {
    "lines.txt": "tench\nfish\ngold fish\nshark\n",
    "commas.txt": "tench, a b\nfish, c\ngold fish, d\nshark, e f\n",
    "words.txt": "tench a, b\nfish c\ngold fish\nshark d, e\n",
    "index.json": json.dumps({"0": ["n1", "tench"], "1": ["n2", "fish"], "3": ["n3", "shark"]}),
    "name.json": json.dumps({"fish": 1, "shark": 3}),
}


@pytest.mark.parametrize("name", CLASS_FILES)
def test_imagenet_class_file_gives_the_indices(own, tmp_path, name):
    shutil.rmtree(own / "val" / CLASS_NAMES[2])
    shutil.rmtree(own / "train" / CLASS_NAMES[2])
    with_classes(own, ["shark", "fish"])
    (tmp_path / name).write_text(CLASS_FILES[name])
    found = labels_by_name(folders(own, classes=4, names=tmp_path / name))
    assert {key.split("/")[1]: label for key, label in found.items()} == {"fish": 1, "shark": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fish\nshark\ncat\nfish\n", "got fish, whale in"),
        ("fish\nshark\n", "got whale in"),
        ("cat\nfish\nshark\nwhale\nmore\n", "indices from 0 to 3, .* got 4"),
        ("fish\n\nwhale\n", "lines of names or JSON .* an empty line"),
    ],
)
def test_imagenet_class_file_that_does_not_name_all_is_refused(own, tmp_path, text, message):
    with_classes(own, ["fish", "shark", "whale"])
    (tmp_path / "names.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        folders(own, classes=4, names=tmp_path / "names.txt")


def test_imagenet_root_of_class_folders_is_val(own):
    """As ImageNet-A, -R and -V2 come."""
    with_classes(own, ["0", "13", "999"])
    data = folders(own / "val", classes=1000, calibrates=False)
    assert sorted(set(joined(data)[1].tolist())) == [0, 13, 999]
    assert len(joined(data)[1]) == 15


# Images that are left out, and remarks


@pytest.mark.parametrize("name", [".ipynb_checkpoints/a.jpg", "@eaDir/a.jpg", "._a.JPEG"])
@pytest.mark.parametrize("packed", [False, True])
def test_imagenet_what_tools_leave_behind_is_no_image(root, own, name, packed):
    for folder in [*(own / "train").iterdir(), *(own / "val").iterdir()]:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"junk")
    if packed:
        write_tar(own / "val", own / "val.tar")
        shutil.rmtree(own / "val")
    data = folders(own)
    assert torch.equal(joined(data)[0], joined(folders(root))[0])
    assert torch.equal(data.calibration_images(1), folders(root).calibration_images(1))
    assert data.notes[0].startswith("val: 3 images of hidden names or folders left out (val")


def test_imagenet_hidden_images_of_a_flat_folder_are_noted(own):
    solution(own)
    (own / "val" / "._ILSVRC2012_val_00000001.JPEG").write_bytes(b"junk")
    (note,) = folders(own).notes
    assert note.startswith("val: 1 images of hidden names or folders left out (._ILSVRC2012")


def test_imagenet_a_hidden_folder_is_no_class(own):
    (own / "val" / ".ipynb_checkpoints").mkdir()
    (own / "val" / "@eaDir").mkdir()
    assert list_images(own, "val").classes == list(CLASS_NAMES[:3])


def test_imagenet_images_beside_the_class_folders_are_noted(own):
    shutil.copy(next((own / "val").rglob("*.jpg")), own / "val" / "stray.jpg")
    assert folders(own).notes == ["val: 1 images in no class folder left out (stray.jpg)"]


def test_imagenet_another_number_of_images_than_imagenets_is_noted(own):
    assert (
        "val holds 15 images, where ImageNet's has 150 of 3 classes"
        in folders(own, classes=1000).notes
    )


# Without training images


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A data set of val alone, 3 classes of 20 images."""
    root = make_imagenet(tmp_path_factory.mktemp("alone"), 3, 1, 20, seed=2)
    shutil.rmtree(root / "train")
    return root


def test_imagenet_without_train_each_tenth_image_calibrates_and_none_of_these_judges(alone):
    whole = joined(folders(alone, calibrates=False))
    data = folders(alone)
    judged = [position for position in range(60) if position % 10]
    for found, wanted in zip(joined(data)[:2], whole, strict=False):
        assert torch.equal(found, wanted[judged])
    drawn = {image.numpy().tobytes() for image in data.calibration_images(3, 6)}
    assert drawn == {whole[0][position].numpy().tobytes() for position in range(0, 60, 10)}
    assert data.notes[0].startswith(
        "no train is there: calibration draws from each tenth image of val, 6 of 60,"
    )


def test_imagenet_without_train_too_few_images_to_calibrate_say_why(alone):
    with pytest.raises(
        ValueError, match=r"val must hold at least 7 .* got 6 .*; of val each tenth"
    ):
        folders(alone).calibration_images(0, 7)


def test_imagenet_a_loaded_model_without_train_says_that_val_may_have_calibrated_it(alone):
    (note,) = folders(alone, calibrates=False).notes
    assert "if a part of val calibrated the model" in note


# Processes that read


def test_imagenet_workers_that_shared_memory_cannot_hold_are_refused_at_once(root, monkeypatch):
    """Docker gives a container 64 MB; processes would die there, or wait for ever."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(imagenet.shutil, "disk_usage", lambda path: usage(1, 1, 36_000))
    data = folders(root, workers=2)
    with pytest.raises(
        ValueError, match=r"got 2, .* of /dev/shm, .*--workers 0 needs none, docker run --shm-size"
    ):
        next(data.batches(4, None))
    with pytest.raises(ValueError, match="--workers 0 needs none"):
        data.calibration_images(0)
    assert len(joined(folders(root))[1]) == 15


class Hang:
    def __call__(self, image):
        if get_worker_info() is not None:
            time.sleep(60)
        return TRANSFORM(image)


def test_imagenet_a_worker_that_hangs_is_an_error(root, monkeypatch):
    monkeypatch.setattr(imagenet, "_LONGEST_WAIT", 1)
    monkeypatch.setattr(_utils, "MP_STATUS_CHECK_INTERVAL", 0.3)  # of stopping the worker
    with pytest.raises(OSError, match=r"died or hangs .*: --workers 0 reads in one process"):
        joined(folders(root, workers=1, change=Hang()))


def test_imagenet_more_workers_than_processors_are_named_once(root, recwarn):
    warnings.simplefilter("always")
    many = len(os.sched_getaffinity(0)) + 1
    joined(folders(root, workers=many))
    (message,) = [str(each.message) for each in recwarn]
    assert message.startswith(f"{many} processes (--workers) read images on {many - 1} processors")


def test_imagenet_a_tar_is_listed_without_a_file_beside_it(own):
    tars(own)
    folders(own)
    assert sorted(path.name for path in own.iterdir()) == ["train.tar", "val.tar"]


def test_imagenet_a_tar_knows_every_suffix_that_a_folder_knows(own, tmp_path):
    Image.new("RGB", (9, 9), "red").save(own / "val" / CLASS_NAMES[0] / "a.webp", "PNG")
    shutil.copytree(own / "train", tmp_path / "tar" / "train")
    write_tar(own / "val", tmp_path / "tar" / "val.tar")
    assert torch.equal(joined(folders(tmp_path / "tar"))[0], joined(folders(own))[0])


def test_imagenet_a_tar_cut_short_after_listing_names_the_image(own):
    tars(own)
    data = folders(own)
    with (own / "val.tar").open("r+b") as file:
        file.truncate(2000)
    with pytest.raises(ValueError, match=r"val\.tar/n0.*its tar ends \d+ bytes too early"):
        joined(data)


def test_imagenet_without_calibration_needs_no_training_images(own):
    shutil.rmtree(own / "train")
    data = ImageFolders(own, TRANSFORM, workers=0, skip_unreadable=False, calibrates=False)
    assert len(data) == 15
    with pytest.raises(ValueError, match="train must be there to calibrate with"):
        data.calibration_images(0)


# Folders that are not of the shape


def flat_tar(own, tar: Path, kind: str = "w") -> None:
    """Put the images of a class of val into a tar as they are, and take val away."""
    with tarfile.open(tar, kind) as archive:
        for image in sorted((own / "val" / CLASS_NAMES[0]).iterdir()):
            archive.add(image, image.name)
    shutil.rmtree(own / "val")


def text_tar(own) -> None:
    (own / "text").mkdir()
    (own / "text" / "a.txt").write_text("a")
    write_tar(own / "text", own / "val.tar")
    shutil.rmtree(own / "val")


def instead(own, name: str, content: bytes = b"") -> None:
    """Put a file in the place of val."""
    shutil.rmtree(own / "val")
    (own / name).write_bytes(content)


def fourth_class(own) -> None:
    for split in ("train", "val"):
        shutil.copytree(own / split / CLASS_NAMES[0], own / split / CLASS_NAMES[4])


def empty_class(own, split: str) -> None:
    shutil.rmtree(own / split / CLASS_NAMES[1])
    (own / split / CLASS_NAMES[1]).mkdir()


def short_solution(own) -> None:
    solution(own)
    lines = (own / "LOC_val_solution.csv").read_text().splitlines()
    (own / "LOC_val_solution.csv").write_text("\n".join(lines[:-2]))


def damaged_solution(own) -> None:
    solution(own)
    (own / "LOC_val_solution.csv").write_text("ImageId,Label\na,b\n")


def extra_in_shard(own, number: int, mode: str) -> None:
    """Its number is no class, though the others' classes are integers too."""
    shards(own)
    with tarfile.open(own / "val" / f"{number:06}.tar", mode) as archive:
        archive.add(next((own / "train").rglob("*.jpg")), "extra.jpg")


def shards_without_classes(own) -> None:
    for name in CLASS_NAMES[:3]:
        for image in list((own / "train" / name).iterdir()):
            image.with_suffix(".json").write_text("{}")
    shutil.rmtree(own / "val")
    write_class_tars(own / "train", own / "val")
    for number, tar in enumerate(sorted((own / "val").iterdir())):
        tar.rename(own / "val" / f"{number:06}.tar")


def parquet_of_a_test_set(own) -> None:
    write_parquet(own / "val", [own / "val-00000.parquet"], ["only"])
    shutil.rmtree(own / "val")


def parquet_of_other_columns(own) -> None:
    shutil.rmtree(own / "val")
    table = pyarrow.table({"img": [b"a"], "label": [1]})
    pyarrow.parquet.write_table(table, own / "val-00000.parquet")


def other_name(own, split: str, name: str) -> None:
    (own / split / CLASS_NAMES[1]).rename(own / split / name)


WNIDS = r"or ImageNet's WordNet IDs for a model of 1000 classes"
REFUSED = {
    "no val": (
        lambda own: (own / "val").rename(own / "other"),
        r"val/ or val\.tar, got .*other.* in",
    ),
    "flat": (lambda own: flatten(own / "val"), "hold a folder or a tar for each class, got ILS"),
    "four classes": (fourth_class, r"must have 3 classes as the model has, got 4 in /.*val"),
    "other classes": (
        lambda own: other_name(own, "val", CLASS_NAMES[5]),
        rf"{CLASS_NAMES[1]} in .*train alone and {CLASS_NAMES[5]}",
    ),
    "empty class of train": (lambda own: empty_class(own, "train"), rf"train .*{CLASS_NAMES[1]}"),
    "empty class of val": (lambda own: empty_class(own, "val"), rf"val must .*{CLASS_NAMES[1]}"),
    "no tar": (
        lambda own: instead(own, "val.tar", b"<html>" * 500),
        r"uncompressed tar, got .*l\.tar",
    ),
    "tar of texts": (text_tar, r"val must hold images, got none in .*val\.tar"),
    "flat tar": (
        lambda own: flat_tar(own, own / "val.tar"),
        "hold members class/image, got ILSVRC2",
    ),
    "gzip under a tar's name": (
        lambda own: flat_tar(own, own / "val.tar", "w:gz"),
        r"uncompressed tar, got .*val\.tar: gzip, gunzip it",
    ),
    "tar.gz": (lambda own: instead(own, "val.tar.gz"), r"got /.*val\.tar\.gz: unpack it first"),
    "more tar.gz": (
        lambda own: instead(own, "val_images.tar.gz"),
        r"uncompressed tar, .* unpack it",
    ),
    "zip": (lambda own: instead(own, "validation.zip"), r"got /.*validation\.zip: unpack it first"),
    "short solution": (short_solution, r"solution in /.* must have .*, got none of ILSVRC2012"),
    "damaged solution": (damaged_solution, "classes of val must be readable, got KeyError"),
    "image of a shard without class": (
        lambda own: extra_in_shard(own, 1, "a"),
        r"a \.cls beside each image .*, got none for extra\.jpg",
    ),
    "shard without a class": (
        lambda own: extra_in_shard(own, 7, "w"),
        r"got none for extra\.jpg in /.*000007\.tar",
    ),
    "shards without classes": (
        shards_without_classes,
        r"a \.cls beside each image of a webdataset",
    ),
    "parquet of a test set": (
        parquet_of_a_test_set,
        r"00000\.parquet: labels must be integers from 0",
    ),
    "parquet of other columns": (
        parquet_of_other_columns,
        r"columns must be image.bytes, image.path and label, got img",
    ),
    "an integer in train": (
        lambda own: other_name(own, "train", "7"),
        "integers all or none, got 7 beside n01440764",
    ),
    "an integer in val": (
        lambda own: other_name(own, "val", "7"),
        "all or none, got 7 beside n01440",
    ),
    "an integer twice": (
        lambda own: with_classes(own, ["1", "01", "2"]),
        "different integers, got 01, 1, 2",
    ),
    "integers from 1": (  # numbers of the development kit are others again
        lambda own: with_classes(own, ["1", "2", "3"]),
        r"integers from 0 to 2 for .* got 3 in .*--classes FILE",
    ),
    "names": (lambda own: with_classes(own, ["fish", "cat", "dog"]), WNIDS),
    "unknown WordNet ID": (
        lambda own: with_classes(own, [*CLASS_NAMES[:2], "n99999999"]),
        WNIDS,
    ),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_imagenet_folders_of_another_shape_are_refused(own, fault):
    change, message = REFUSED[fault]
    change(own)
    with pytest.raises(ValueError, match=message):
        folders(own, classes=1000 if message == WNIDS else 3)


def test_imagenet_a_root_that_is_no_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds train and val, got no .*nowhere"):
        folders(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"data must be a folder .*, got the file .*file"):
        folders(tmp_path / "file")


# Images of the embedded model, and models with their data


def test_task_calibration_is_that_of_a_shuffled_loader():
    """The first batch of a DataLoader with shuffle after torch.manual_seed(seed)."""
    task = digits_task()
    for seed in (0, 7):
        torch.manual_seed(seed)
        loader = DataLoader(task.data.train, 32, shuffle=True, drop_last=True)
        expected, state = next(iter(loader))[0], torch.get_rng_state()
        assert torch.equal(task.calibration_images(seed), expected)
        assert torch.equal(torch.get_rng_state(), state)
    assert expected.shape == (32, 1, 32, 32)


@pytest.mark.parametrize("count", [0, 1254])
def test_task_another_number_of_images_to_calibrate_with_is_refused(count):
    with pytest.raises(ValueError, match=f"count must be 1 to the 1253 training .*, got {count}"):
        digits_task().calibration_images(0, count)


@pytest.mark.parametrize(("limit", "sizes"), [(None, [200, 200, 144]), (250, [200, 50]), (3, [3])])
def test_task_batches_stop_at_the_limit_and_have_their_numbers(limit, sizes):
    data = digits_task().data
    batches = list(data.batches(200, limit))
    assert [len(batch.labels) for batch in batches] == sizes
    assert torch.equal(torch.cat([batch.numbers for batch in batches]), torch.arange(sum(sizes)))
    assert torch.equal(torch.cat([batch.images for batch in batches]), data.test[: sum(sizes)][0])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_task_missing_cuda_is_refused():
    with pytest.raises(ValueError, match="device must be cpu"):
        load_task("digits", "cuda")


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:1"])
def test_task_takes_a_cuda_device_by_number(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, where: self)
    assert load_task("digits", device).device == device


@pytest.mark.parametrize(
    ("name", "device", "message"),
    [
        ("resnet", "cpu", "model must be one of digits, fashion, .*swin_small, .*, got 'resnet'"),
        *(
            ("digits", device, "device must be cpu, cuda or cuda:N")
            for device in ("cuda:", "cuda:01", "cuda:-1", "cuda:x", "tpu", "mps:0")
        ),
    ],
)
def test_task_other_names_are_refused(name, device, message):
    with pytest.raises(ValueError, match=message):
        load_task(name, device)


@pytest.mark.parametrize("size", [(64, 64), (37, 91), (90, 41), (33, 34), (32, 500), (301, 47)])
def test_images_centre_equals_torchvision(size):
    """Pixels of every size of image, sides that are cut with ties included."""
    pixels = torch.randint(0, 256, (*size, 3), generator=torch.Generator().manual_seed(3))
    image = Image.fromarray(pixels.byte().numpy())
    for resize, height, width in ((32, 32, 32), (37, 32, 32), (35, 30, 33), (36, 33, 29)):
        interpolation = transforms.InterpolationMode.BICUBIC
        chain = [transforms.Resize(resize, interpolation), transforms.CenterCrop((height, width))]
        expected = transforms.Compose([*chain, transforms.PILToTensor()])(image)
        assert torch.equal(torch.from_numpy(centre(image, resize, height, width)), expected)
