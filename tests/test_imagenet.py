"""ImageNet from folders: the published calibration images, batches, and damaged files."""

import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from imagenet_folder import CLASS_NAMES, TRANSFORM, folders, joined, make_imagenet, quiet
from PIL import Image
from torch.utils.data import DataLoader, get_worker_info
from torchvision.datasets import ImageFolder

from bitlog2.models.zoo.architectures import ZOO, transform


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


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_imagenet(tmp_path_factory.mktemp("imagenet"), 3, 12, 5, seed=1)


@pytest.fixture
def own(root, tmp_path):
    """A copy to damage."""
    return Path(shutil.copytree(root, tmp_path / "imagenet"))


# Calibration


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("seed", [0, 1, 1005])
def test_imagenet_calibration_is_that_of_the_published_scripts(root, seed, workers):
    expected = published_calibration(root, seed, workers)
    assert torch.equal(folders(root, workers=workers).calibration_images(seed), expected)


def test_imagenet_calibration_takes_a_models_preprocessing(root):
    change = transform(ZOO["vit_small"])
    expected = published_calibration(root, 0, 0, change)
    assert torch.equal(folders(root, change=change).calibration_images(0), expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_imagenet_calibration_leaves_the_random_state(root, workers):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    folders(root, workers=workers).calibration_images(0)
    assert torch.equal(torch.get_rng_state(), before)


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
    found = joined(folders(root, workers=workers))
    assert torch.equal(found[0], images)
    assert torch.equal(found[1], labels)
    assert torch.equal(found[2], torch.arange(15))


@pytest.mark.parametrize(("limit", "sizes"), [(None, [6, 6, 3]), (8, [6, 2]), (99, [6, 6, 3])])
def test_imagenet_batches_stop_at_the_limit(root, limit, sizes):
    data = folders(root)
    assert [len(batch.labels) for batch in data.batches(6, limit)] == sizes
    assert data.count(limit) == sum(sizes)


def test_imagenet_limit_takes_the_first_classes(root):
    assert joined(folders(root), limit=6)[1].tolist() == [0, 0, 0, 0, 0, 1]


def test_imagenet_batches_leave_the_random_state(root):
    before = torch.get_rng_state()
    joined(folders(root, workers=2))
    assert torch.equal(torch.get_rng_state(), before)


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


def test_imagenet_scan_names_the_first_empty_files_and_how_many(own):
    names = damage(own, 1, 4, 7, 9)
    with pytest.raises(ValueError, match=rf"{names[0]} \(empty, or not an image\);.*; 4 in all"):
        folders(own).scan(None, quiet)


def test_imagenet_scan_tells_of_the_option(own):
    damage(own, 2)
    with pytest.raises(ValueError, match="--skip-unreadable leaves such images out"):
        folders(own).scan(None, quiet)


def test_imagenet_scan_looks_no_further_than_the_limit(own):
    damage(own, 5)
    folders(own).scan(5, quiet)


def test_imagenet_scan_with_skipping_notes_the_files_once(own):
    names = damage(own, 9, 4)
    data = folders(own, skip=True)
    data.scan(None, quiet)
    data.scan(None, quiet)
    joined(data)
    assert data.skipped == names[::-1]


def test_imagenet_skipped_images_are_not_counted(own):
    damage(own, 1, 9)
    data = folders(own, skip=True)
    data.scan(None, quiet)
    assert (data.count(None), data.count(9)) == (13, 8)


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
def test_imagenet_skipped_images_leave_labels_and_images_right(own, root, workers):
    damage(own, 0, 5, 14)
    kept = [position for position in range(15) if position not in (0, 5, 14)]
    whole = joined(folders(root))
    for found, wanted in zip(joined(folders(own, workers=workers, skip=True)), whole, strict=True):
        assert torch.equal(found, wanted[kept])


@pytest.mark.parametrize("workers", [0, 2])
def test_imagenet_a_truncated_image_is_named_in_one_line(own, workers):
    path = truncate(next((own / "val" / CLASS_NAMES[0]).glob("*.jpg")))
    data = folders(own, workers=workers)
    data.scan(None, quiet)
    with pytest.raises(ValueError, match=rf"{path.name} \(image file is truncated.*\)") as caught:
        joined(data)
    assert "\n" not in str(caught.value)


def test_imagenet_a_truncated_image_is_skipped_and_noted_once(own):
    path = truncate(next((own / "val" / CLASS_NAMES[0]).glob("*.jpg")))
    data = folders(own, workers=2, skip=True)
    for _ in range(2):
        assert len(joined(data)[1]) == 14
    assert data.skipped == [path.relative_to(own).as_posix()]


def test_imagenet_a_broken_png_is_named(own):
    path = next((own / "val").rglob("*.png"))
    content = bytearray(path.read_bytes())
    content[33:37] = (100).to_bytes(4, "big")  # the image data is said to end where it does not
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{path.name} \(broken PNG file"):
        joined(folders(own))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_imagenet_a_decompression_bomb_is_named(root, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30_000)
    with pytest.raises(ValueError, match=r"got /.*ILSVRC.* \(Image size .* exceeds limit"):
        joined(folders(root))


def test_imagenet_an_image_that_vanishes_is_named(own):
    data = folders(own)
    next((own / "val").rglob("*.jpg")).unlink()
    with pytest.raises(ValueError, match=r"\.jpg \(No such file or directory\)"):
        joined(data)


def test_imagenet_no_readable_image_at_all_is_an_error(own):
    damage(own, *range(15))
    with pytest.raises(ValueError, match=r"val must hold images that can be read, got none in /"):
        joined(folders(own, skip=True))
