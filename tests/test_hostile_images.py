"""Images that hurt: read as the published loader reads them, or named in one line and counted."""

import json
import os
import re
import tarfile
import time
import warnings
from pathlib import Path

import pytest
import torch
from PIL import Image
from support.evaluations import quiet
from support.hostile_images import FAX, READABLE, UNREADABLE, write_hostile
from support.imagenet_folder import CLASS_NAMES, TRANSFORM, folders, joined, make_imagenet
from support.weights import random_checkpoint
from torchvision.datasets.folder import pil_loader

from bitlog2.models.images.decoding import decode
from bitlog2.models.images.files import list_images
from bitlog2.scripts.cli import main

FIRST = CLASS_NAMES[0]
READ = [name for name, content in READABLE.items() if content is not None]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two classes of one sound validation image each, and the first has the hostile ones too."""
    root = make_imagenet(tmp_path_factory.mktemp("hostile"), 2, 2, 1, seed=3)
    write_hostile(root / "val" / FIRST)
    return root


def path_of(name: str) -> str:
    return f"val/{FIRST}/{name}"


@pytest.mark.parametrize("name", READ)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_hostile_image_that_is_read_is_what_the_published_loader_gives(root, name):
    path = root / path_of(name)
    with path.open("rb") as file:
        found = decode(file)
    assert found.mode == "RGB"
    assert found.size == (50, 40)  # an orientation tag would make it 40, 50
    assert found.tobytes() == pil_loader(str(path)).tobytes()


@pytest.mark.parametrize("name", ["gif.jpg", "apng.jpg", "webp.jpeg", "pages.tif"])
def test_hostile_animation_gives_its_first_frame(root, name):
    with Image.open(root / path_of(name)) as image:
        assert getattr(image, "n_frames", 1) > 1
        image.seek(0)
        first = image.convert("RGB").tobytes()
    with (root / path_of(name)).open("rb") as file:
        assert decode(file).tobytes() == first


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("scanned", [False, True])
def test_hostile_images_are_counted_once_and_the_others_keep_their_place(
    root, workers, scanned, capfd, recwarn
):
    data = folders(root, classes=2, workers=workers, skip=True)
    if scanned:
        data.scan(None, quiet)
    images, labels, numbers = joined(data)
    assert capfd.readouterr() == ("", "")
    assert [str(each.message) for each in recwarn if "PIL" in each.filename] == []
    names = list_images(root, "val").names
    assert data.skipped == [path for path in names if Path(path).name in UNREADABLE]
    assert len(data.skipped) == len(UNREADABLE)
    assert len(images) == len(READ) + 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for image, number in zip(images, numbers.tolist(), strict=True):
            assert torch.equal(image, TRANSFORM(pil_loader(str(root / names[number]))))
    assert labels.tolist() == [0] * (len(READ) + 1) + [1]


def test_hostile_image_that_libtiff_complains_of_is_among_them(root, capfd):
    pil_loader(str(root / path_of(FAX)))
    assert "Fax4" in capfd.readouterr().err


@pytest.mark.parametrize("name", UNREADABLE)
def test_hostile_image_that_cannot_be_read_is_named_with_the_reason(root, name, tmp_path):
    own = make_imagenet(tmp_path / "own", 1, 1, 1, seed=4)
    bad = own / "val" / FIRST / name
    os.link(root / path_of(name), bad, follow_symlinks=False)
    with pytest.raises(ValueError, match="validation images must be readable") as caught:
        joined(folders(own, classes=1))
    named = re.search(rf"{re.escape(str(bad))} \(([^\n]*)\);", str(caught.value))
    assert named is not None
    assert re.search(UNREADABLE[name][1], named[1])


def test_hostile_image_of_many_pixels_is_read_without_a_warning(root, monkeypatch, recwarn):
    """Between Pillow's limit and twice that, where it warns."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)
    data = folders(root, classes=2, skip=True)
    data.scan(None, quiet)
    joined(data)
    assert path_of("cmyk.jpg") not in data.skipped
    assert [each for each in recwarn if issubclass(each.category, RuntimeWarning)] == []


def test_hostile_image_for_calibration_is_an_error_in_one_line(tmp_path):
    own = make_imagenet(tmp_path, 1, 1, 1, seed=4)
    content, reason = UNREADABLE["grey_16.png"]
    for path in (own / "train" / FIRST).iterdir():
        path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"calibration images must be readable, .*{reason}"):
        folders(own, classes=1).calibration_images(0, 1)


# Folders


@pytest.mark.parametrize("target", [".", "..", "../.."])
def test_hostile_link_to_a_folder_around_it_is_refused_at_once(tmp_path, target):
    """Two of them would make torchvision walk 2**40 folders."""
    own = make_imagenet(tmp_path, 1, 1, 1, seed=4)
    for name in ("a", "b"):
        (own / "val" / FIRST / name).symlink_to(target)
    start = time.monotonic()
    with pytest.raises(ValueError, match=r"val must hold no link to a folder around it, got /.*/a"):
        list_images(own, "val")
    assert time.monotonic() - start < 60


def test_hostile_links_that_lead_to_one_another_are_refused(tmp_path):
    own = make_imagenet(tmp_path, 2, 1, 1, seed=4)
    for name, other in zip(CLASS_NAMES[:2], CLASS_NAMES[1::-1], strict=True):
        (own / "val" / name / "other").symlink_to(own / "val" / other)
    with pytest.raises(ValueError, match=r"link to a folder around it, got /.*/other/other"):
        list_images(own, "val")


def test_hostile_link_to_a_folder_elsewhere_is_followed(tmp_path):
    own = make_imagenet(tmp_path / "own", 1, 1, 2, seed=4)
    (own / "val" / FIRST).rename(tmp_path / "elsewhere")
    (own / "val" / FIRST).symlink_to(tmp_path / "elsewhere")
    assert len(list_images(own, "val")) == 2


def test_hostile_pipe_in_place_of_a_class_tar_is_refused(tmp_path):
    (tmp_path / "val").mkdir()
    os.mkfifo(tmp_path / "val" / "n01.tar")
    with pytest.raises(ValueError, match=r"val must hold regular files, got /.*n01\.tar"):
        list_images(tmp_path, "val")


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("size", [1 << 62, 1 << 33, 5000, -512])
def test_hostile_tar_whose_header_lies_is_refused_at_once(tmp_path, size, nested):
    """timm's reader would skip 2**62 bytes that are not there, ten thousand at a time."""
    member = tarfile.TarInfo("n01/a.jpg")
    member.size = size
    content = member.tobuf(tarfile.GNU_FORMAT) + bytes(1024)
    if nested:
        outer = tarfile.TarInfo("n01.tar")
        outer.size = len(content)
        content = outer.tobuf() + content + bytes(1024)
    (tmp_path / "val.tar").write_bytes(content)
    with pytest.raises(ValueError, match=r"val must be an uncompressed tar, got /[^\n]*\.tar: "):
        list_images(tmp_path, "val")


def test_hostile_file_names_are_told_in_printable_characters(tmp_path):
    own = make_imagenet(tmp_path, 1, 1, 1, seed=4)
    (own / "val" / FIRST / "a\n\x1b[31m\udcff.jpg").write_bytes(b"")
    data = folders(own, classes=1, skip=True)
    joined(data)
    assert data.skipped == [rf"val/{FIRST}/a\n\x1b[31m\udcff.jpg"]
    with pytest.raises(ValueError, match=r"a\\n\\x1b\[31m\\udcff\.jpg \(empty"):
        joined(folders(own, classes=1))


# The command


@pytest.fixture(scope="module")
def evaluate(root, tmp_path_factory):
    """Return the status of an evaluation of the folder."""
    checkpoint = random_checkpoint(tmp_path_factory.mktemp("weights"), "deit_tiny", 2)

    def run(*more: str) -> int:
        images = ["--data", str(root), "--checkpoint", str(checkpoint), "--workers", "2"]
        how = ["--arithmetic", "float", "--scheme", "none", "--calibration-images", "1"]
        return main(["evaluate", "--model", "deit_tiny", *images, *how, *more])

    return run


def test_hostile_folder_is_evaluated_by_the_command_and_what_it_left_out_is_counted(
    evaluate, tmp_path, capfd
):
    status = evaluate("--skip-unreadable", "--json", str(tmp_path / "r.json"))
    out, err = capfd.readouterr()
    assert (status, err) == (0, "")
    assert f"{len(UNREADABLE)} unreadable images left out: val/{FIRST}/bomb.png, " in out
    document = json.loads((tmp_path / "r.json").read_text())
    assert [row["top1"]["total"] for row in document["cells"]] == [len(READ) + 2] * 2
    assert [len(row["skipped"]) for row in document["cells"]] == [len(UNREADABLE)] * 2


def test_hostile_folder_is_refused_by_the_command_in_one_line(evaluate, capfd):
    assert evaluate() == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(
        r"bitlog2: error: validation images must be readable, got [^\n]+, \d+ in all; "
        r"--skip-unreadable leaves such images out\n",
        err,
    )
