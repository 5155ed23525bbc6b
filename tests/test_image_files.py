"""The files of ImageNet: tars in the order of folders, and folders of another shape."""

import shutil
from pathlib import Path

import pytest
import torch
from imagenet_folder import (
    CLASS_NAMES,
    TRANSFORM,
    folders,
    joined,
    make_imagenet,
    quiet,
    write_class_tars,
    write_tar,
    write_tar_of_tars,
)
from PIL import Image

from bitlog2.models.images.imagenet import ImageFolders


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_imagenet(tmp_path_factory.mktemp("imagenet"), 3, 12, 5, seed=1)


@pytest.fixture
def own(root, tmp_path):
    """A copy to damage."""
    return Path(shutil.copytree(root, tmp_path / "imagenet"))


@pytest.fixture(scope="module")
def tars(root, tmp_path_factory):
    """The same images in tars, by how the training images are packed."""
    packed = {}
    for kind, pack in (("tar", write_tar), ("tar_of_tars", write_tar_of_tars)):
        packed[kind] = tmp_path_factory.mktemp(kind)
        pack(root / "train", packed[kind] / "train.tar")
        write_tar(root / "val", packed[kind] / "val.tar")
    packed["class_tars"] = tmp_path_factory.mktemp("class_tars")
    write_class_tars(root / "train", packed["class_tars"] / "train")
    write_class_tars(root / "val", packed["class_tars"] / "val")
    return packed


TAR_KINDS = ("tar", "tar_of_tars", "class_tars")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", TAR_KINDS)
def test_imagenet_a_tar_calibrates_with_the_images_of_the_folder(root, tars, kind, workers):
    expected = folders(root).calibration_images(2)
    assert torch.equal(folders(tars[kind], workers=workers).calibration_images(2), expected)


@pytest.mark.parametrize("kind", TAR_KINDS)
def test_imagenet_workers_read_a_tar_that_this_process_reads_too(root, tars, kind):
    """Open files that forked processes share would share their position as well."""
    data = folders(tars[kind], workers=2)
    data.scan(None, quiet)
    expected = joined(folders(root))
    for _ in range(3):
        for found, wanted in zip(joined(data, batch_size=1), expected, strict=True):
            assert torch.equal(found, wanted)


def test_imagenet_a_tar_is_listed_without_a_file_beside_it(tars):
    folders(tars["tar"])
    assert sorted(path.name for path in tars["tar"].iterdir()) == ["train.tar", "val.tar"]


def test_imagenet_a_tar_knows_every_suffix_that_a_folder_knows(own, tmp_path):
    Image.new("RGB", (9, 9), "red").save(own / "val" / CLASS_NAMES[0] / "a.webp", "PNG")
    shutil.copytree(own / "train", tmp_path / "tar" / "train")
    write_tar(own / "val", tmp_path / "tar" / "val.tar")
    assert torch.equal(joined(folders(tmp_path / "tar"))[0], joined(folders(own))[0])


def test_imagenet_a_tar_cut_short_after_listing_names_the_image(tars, tmp_path):
    root = Path(shutil.copytree(tars["tar"], tmp_path / "cut"))
    data = folders(root)
    with (root / "val.tar").open("r+b") as file:
        file.truncate(2000)
    with pytest.raises(ValueError, match=r"val\.tar/n0.*its tar ends \d+ bytes too early"):
        joined(data)


def test_imagenet_a_tar_that_is_none_is_refused(tars, tmp_path):
    root = Path(shutil.copytree(tars["tar"], tmp_path / "none"))
    (root / "val.tar").write_bytes(b"<html>" * 500)
    with pytest.raises(ValueError, match=r"val must be an uncompressed tar, got .*val\.tar"):
        folders(root)


def test_imagenet_a_tar_without_images_is_refused(tars, tmp_path):
    root = Path(shutil.copytree(tars["tar"], tmp_path / "none"))
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("a")
    write_tar(tmp_path / "text", root / "val.tar")
    with pytest.raises(ValueError, match=r"val must hold images, got none in .*val\.tar"):
        folders(root)


def test_imagenet_a_tar_without_class_folders_is_refused(root, tars, tmp_path):
    flat = Path(shutil.copytree(tars["tar"], tmp_path / "flat"))
    write_tar(root / "val" / CLASS_NAMES[0], flat / "val.tar")
    with pytest.raises(ValueError, match=r"val must hold members class/image, got ILSVRC2012"):
        folders(flat)


# Folders that are not of the shape


def test_imagenet_a_missing_root_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds train and val, got no .*nowhere"):
        folders(tmp_path / "nowhere")


def test_imagenet_a_file_as_root_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"data must be a folder .*, got the file .*file"):
        folders(tmp_path / "file")


def test_imagenet_a_missing_val_tells_what_was_found(own):
    (own / "val").rename(own / "other")
    with pytest.raises(ValueError, match=r"must hold val/ or val\.tar, got .*other.* in /"):
        folders(own)


def test_imagenet_images_without_class_folders_are_refused(own):
    for path in list((own / "val").rglob("*.*")):
        path.rename(own / "val" / path.name)
    for name in CLASS_NAMES[:3]:
        (own / "val" / name).rmdir()
    with pytest.raises(ValueError, match="val must hold a folder or a tar for each class, got ILS"):
        folders(own)


def test_imagenet_another_number_of_classes_than_the_models_is_refused(own):
    for split in ("train", "val"):
        shutil.copytree(own / split / CLASS_NAMES[0], own / split / CLASS_NAMES[4])
    with pytest.raises(
        ValueError, match=r"val must have 3 classes as the model has, got 4 in /.*val"
    ):
        folders(own)


def test_imagenet_without_calibration_needs_no_training_images(own):
    shutil.rmtree(own / "train")
    data = ImageFolders(own, TRANSFORM, workers=0, skip_unreadable=False, calibrates=False)
    assert data.count(None) > 0
    with pytest.raises(ValueError, match="train must be there to calibrate with"):
        data.calibration_images(0)


def test_imagenet_different_classes_in_train_and_val_are_named(own):
    (own / "val" / CLASS_NAMES[2]).rename(own / "val" / CLASS_NAMES[5])
    with pytest.raises(
        ValueError, match=rf"{CLASS_NAMES[2]} in .*train alone and {CLASS_NAMES[5]}"
    ):
        folders(own)


@pytest.mark.parametrize("split", ["train", "val"])
def test_imagenet_an_empty_class_folder_is_named(own, split):
    shutil.rmtree(own / split / CLASS_NAMES[1])
    (own / split / CLASS_NAMES[1]).mkdir()
    with pytest.raises(ValueError, match=rf"{split} must hold images of every .*{CLASS_NAMES[1]}"):
        folders(own)
