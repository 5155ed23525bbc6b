"""ImageNet as it is downloaded, and other data of its classes: the images and labels of folders."""

import json
import os
import shutil
import tarfile
import time
import warnings
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from imagenet_folder import (
    CLASS_NAMES,
    TRANSFORM,
    flatten,
    folders,
    joined,
    make_imagenet,
    quiet,
    write_class_tars,
    write_devkit,
    write_parquet,
    write_shards,
    write_solution,
    write_tar,
    write_tar_of_tars,
)
from timm.data import ImageNetInfo
from torch.utils.data import _utils, get_worker_info

from bitlog2 import extras
from bitlog2.models.images import imagenet
from bitlog2.models.images.files import list_images

SYNSETS = ImageNetInfo().label_names()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_imagenet(tmp_path_factory.mktemp("imagenet"), 3, 12, 5, seed=1)


@pytest.fixture
def own(root, tmp_path):
    """A copy to damage."""
    return Path(shutil.copytree(root, tmp_path / "imagenet"))


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


@pytest.mark.parametrize("layout", [parquet, shards])
def test_imagenet_workers_read_archives_that_this_process_reads_too(root, own, layout):
    layout(own)
    data = folders(own, workers=2)
    data.scan(None, quiet)
    assert torch.equal(joined(data, batch_size=2)[0], joined(folders(root))[0])


def test_imagenet_kaggles_inner_folder_finds_the_solution_above_it(root, own):
    kaggle(own)
    data = folders(own / "ILSVRC/Data/CLS-LOC")
    assert torch.equal(joined(data)[1], joined(folders(root))[1])


def test_imagenet_flat_images_that_a_solution_lacks_are_refused(own):
    solution(own)
    lines = (own / "LOC_val_solution.csv").read_text().splitlines()
    (own / "LOC_val_solution.csv").write_text("\n".join(lines[:-2]))
    with pytest.raises(ValueError, match=r"solution in /.* must have .*, got none of ILSVRC2012"):
        folders(own)


def test_imagenet_a_damaged_solution_is_refused(own):
    solution(own)
    (own / "LOC_val_solution.csv").write_text("ImageId,Label\na,b\n")
    with pytest.raises(ValueError, match="classes of val must be readable, got KeyError"):
        folders(own)


@pytest.mark.parametrize("name", ["val.tar.gz", "val_images.tar.gz", "validation.zip"])
def test_imagenet_a_compressed_split_is_refused_with_what_to_do(own, name):
    shutil.rmtree(own / "val")
    (own / name).touch()
    with pytest.raises(ValueError, match=rf"uncompressed tar, .* got /.*{name}: unpack it first"):
        folders(own)


def test_imagenet_compressed_training_images_are_refused_where_they_calibrate(own):
    """Calibration with a part of val is for those who have no others."""
    shutil.rmtree(own / "train")
    (own / "ILSVRC2012_img_train.tar.gz").touch()
    assert len(joined(folders(own, calibrates=False))[1]) == 15
    with pytest.raises(ValueError, match=r"train must be unpacked .*train\.tar\.gz"):
        folders(own)


def test_imagenet_a_compressed_tar_under_a_tars_name_is_refused(own):
    with tarfile.open(own / "val.tar", "w:gz") as archive:
        archive.add(own / "val", ".")
    shutil.rmtree(own / "val")
    with pytest.raises(ValueError, match=r"uncompressed tar, got .*val\.tar: gzip, gunzip it"):
        folders(own)


# Webdataset shards and parquet files


def test_imagenet_a_shard_image_without_its_class_is_refused(own):
    shards(own)
    with tarfile.open(own / "val" / "000001.tar", "a") as archive:
        archive.add(next((own / "train").rglob("*.jpg")), "extra.jpg")
    with pytest.raises(ValueError, match=r"a \.cls beside each image .*, got none for extra\.jpg"):
        folders(own)


def test_imagenet_a_shard_without_any_class_is_refused(own):
    """Its number is no class, though the others' classes are integers too."""
    shards(own)
    with tarfile.open(own / "val" / "000007.tar", "w") as archive:
        archive.add(next((own / "train").rglob("*.jpg")), "extra.jpg")
    with pytest.raises(ValueError, match=r"got none for extra\.jpg in /.*000007\.tar"):
        folders(own)


def test_imagenet_a_parquet_file_of_a_test_set_is_refused(own):
    write_parquet(own / "val", [own / "val-00000.parquet"], ["only"])
    shutil.rmtree(own / "val")
    with pytest.raises(ValueError, match=r"00000\.parquet: labels must be integers from 0, got"):
        folders(own)


def test_imagenet_shards_without_classes_are_no_class_tars(own):
    shutil.rmtree(own / "val")
    for name in CLASS_NAMES[:3]:
        for image in list((own / "train" / name).iterdir()):
            image.with_suffix(".json").write_text("{}")
    write_class_tars(own / "train", own / "val")
    for number, tar in enumerate(sorted((own / "val").iterdir())):
        tar.rename(own / "val" / f"{number:06}.tar")
    with pytest.raises(ValueError, match=r"a \.cls beside each image of a webdataset shard"):
        list_images(own, "val")


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


def test_imagenet_parquet_with_other_columns_is_refused(own):
    import pyarrow.parquet

    shutil.rmtree(own / "val")
    table = pyarrow.table({"img": [b"a"], "label": [1]})
    pyarrow.parquet.write_table(table, own / "val-00000.parquet")
    with pytest.raises(
        ValueError, match=r"columns must be image.bytes, image.path and label, got img"
    ):
        folders(own)


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


@pytest.mark.parametrize("split", ["train", "val"])
def test_imagenet_integers_among_other_names_are_refused(own, split):
    (own / split / CLASS_NAMES[1]).rename(own / split / "7")
    with pytest.raises(ValueError, match="integers all or none, got 7 beside n01440764"):
        list_images(own, split)


def test_imagenet_two_names_of_one_integer_are_refused(own):
    with_classes(own, ["1", "01", "2"])
    with pytest.raises(ValueError, match="different integers, got 01, 1, 2"):
        folders(own)


def test_imagenet_integers_from_one_are_refused(own):
    """The model's classes count from 0; numbers of the development kit are others again."""
    with_classes(own, ["1", "2", "3"])
    with pytest.raises(ValueError, match=r"integers from 0 to 2 for .* got 3 in .*--classes FILE"):
        folders(own)


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


@pytest.mark.parametrize("names", [["fish", "cat", "dog"], ["n01440764", "n01443537", "n99999999"]])
def test_imagenet_names_that_the_head_has_not_are_refused(own, names):
    with_classes(own, names)
    with pytest.raises(ValueError, match=r"or ImageNet's WordNet IDs for a model of 1000 classes"):
        folders(own, classes=1000)


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
    ("text", "told"),
    [
        ("fish\nshark\ncat\nfish\n", "got fish, whale in"),
        ("fish\nshark\n", "got whale in"),
        ("cat\nfish\nshark\nwhale\nmore\n", "indices from 0 to 3, .* got 4"),
        ("fish\n\nwhale\n", "lines of names or JSON .* an empty line"),
    ],
)
def test_imagenet_class_file_that_does_not_say_all_is_refused(own, tmp_path, text, told):
    with_classes(own, ["fish", "shark", "whale"])
    (tmp_path / "names.txt").write_text(text)
    with pytest.raises(ValueError, match=told):
        folders(own, classes=4, names=tmp_path / "names.txt")


def test_imagenet_root_of_class_folders_is_val(own):
    """As ImageNet-A, -R and -V2 come."""
    with_classes(own, ["0", "13", "999"])
    data = folders(own / "val", classes=1000, calibrates=False)
    assert sorted(set(joined(data)[1].tolist())) == [0, 13, 999]
    assert len(joined(data)[1]) == 15


# What is left out, and what is said


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


def test_imagenet_another_number_of_images_than_imagenets_is_said(own):
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


def test_imagenet_more_workers_than_processors_are_said_once(root, recwarn):
    warnings.simplefilter("always")
    many = len(os.sched_getaffinity(0)) + 1
    joined(folders(root, workers=many))
    (told,) = [str(each.message) for each in recwarn]
    assert told.startswith(f"{many} processes (--workers) read images on {many - 1} processors")
