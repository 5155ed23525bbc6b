"""Runs over a folder of ImageNet's shape: 1,000 classes, files of odd modes and sizes.

Killed, resumed on other numbers of processes, and the same bytes each time.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image, ImageOps
from safetensors.torch import load_file, save_file
from support.evaluations import batches, kill_after, resume, run, run_once
from support.imagenet_folder import KINDS, make_imagenet, write_image
from support.shared import made_once
from support.weights import random_checkpoint
from timm.data import ImageNetInfo

from bitlog2.models.report import make_report
from bitlog2.models.report.drawing import Picture
from bitlog2.models.runs import result
from bitlog2.models.runs.evaluation import versions
from bitlog2.models.runs.folder import RunFolder
from bitlog2.models.runs.request import EvaluationRequest
from bitlog2.models.runs.result import read_result
from bitlog2.scripts.cli import main

CLASSES = 1000


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One image per class in each split; the third of val cannot be read."""
    return made_once(tmp_path_factory, "imagenet", write_images)


def write_images(root: Path) -> None:
    generator = np.random.default_rng(6)
    for label, name in enumerate(ImageNetInfo().label_names()):
        for split in ("train", "val"):
            (root / split / name).mkdir(parents=True)
        stems = (f"train/{name}/{name}_{label}", f"val/{name}/ILSVRC2012_val_{CLASSES - label:08}")
        if label < len(KINDS):
            written = [write_image(root / stem, label + 3, generator) for stem in stems]
        else:  # no image of these is looked at
            for stem, image in zip(stems, written, strict=True):
                os.link(image, root / f"{stem}{image.suffix}")
        if label == 2:
            written[1].write_bytes(written[1].read_bytes()[:100])


@pytest.fixture(scope="module")
def request_of_it(images: Path, tmp_path_factory: pytest.TempPathFactory) -> EvaluationRequest:
    folder = made_once(
        tmp_path_factory, "weights", lambda path: random_checkpoint(path, "deit_tiny", CLASSES)
    )
    return EvaluationRequest(
        models=("digits", "deit_tiny"),
        schemes=("BitLog2_Half_17",),
        arithmetics=("attention",),
        check="sample",
        limit=12,
        batch_size=2,
        calibration_images=4,
        data=str(images),
        workers=1,
        skip_unreadable=True,
        checkpoints=(("deit_tiny", str(folder / "deit_tiny.safetensors")),),
    )


@pytest.fixture(scope="module")
def finished(
    request_of_it: EvaluationRequest, tmp_path_factory: pytest.TempPathFactory
) -> RunFolder:
    return run_once(tmp_path_factory, "imagenet_run", request_of_it)


def test_run_imagenet_result_says_what_it_saw(finished: RunFolder) -> None:
    cells = json.loads(finished.result_file.read_bytes())["cells"]
    assert [cell["model"] for cell in cells] == ["digits"] * 2 + ["deit_tiny"] * 2
    assert [cell["images"] for cell in cells] == [12] * 2 + [11] * 2  # one cannot be read
    for cell in cells[2:]:
        (skipped,) = cell["skipped"]
        assert "ILSVRC2012_val_00000998" in skipped
    assert cells[3]["check"]["passed"]
    assert len({cell["digests"]["pixels"] for cell in cells}) == 2
    assert cells[3]["published_top1"] is not None


def test_run_imagenet_result_says_what_to_know_of_the_images(finished: RunFolder) -> None:
    data = json.loads(finished.result_file.read_bytes())["data"]
    message = "val holds 1,000 images, where ImageNet's has 50,000 of 1,000 classes"
    assert data == {"deit_tiny": [message]}


@pytest.mark.long
@pytest.mark.parametrize(("first", "then"), [(1, 2), (2, 3), (3, 1)])
def test_run_imagenet_killed_and_resumed_on_other_processes(
    finished: RunFolder, request_of_it: EvaluationRequest, tmp_path: Path, first: int, then: int
) -> None:
    path = tmp_path / "run"
    RunFolder.create(path, request_of_it, versions())
    kill_after(path, 16, resume(path, first))
    assert 16 <= batches(path) < 24
    again = resume(path, then)
    _, message = again.communicate()
    assert again.returncode == 0, message
    assert (path / "result.json").read_bytes() == finished.result_file.read_bytes()


def test_run_imagenet_report_shows_published_and_measured(
    finished: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Picture, "svg", lambda picture: "")
    page = tmp_path / "report.html"
    assert main(["report", str(finished.path), "--out", str(page)]) == 0
    text = page.read_text()
    assert ">published</th>" in text
    assert "Accuracy of deit_tiny" in text


def test_run_of_a_subset_shows_nothing_published(
    request_of_it: EvaluationRequest, tmp_path: Path
) -> None:
    """Of a model of 1,000 classes, with images of three; val alone."""
    images = make_imagenet(tmp_path / "images", 3, 1, 7, seed=0)
    shutil.rmtree(images / "train")
    request = msgspec.structs.replace(
        request_of_it,
        models=("deit_tiny",),
        schemes=("none",),
        check="none",
        limit=2,
        calibration_images=2,
        data=str(images),
    )
    result = read_result(run(tmp_path / "run", request).path)
    assert [cell.published_top1 for cell in result.cells] == [None, None]
    assert [note.split(":")[0] for note in result.data["deit_tiny"]] == [
        "no train is there",
        "val has 3 of the model's 1,000 classes, all of which it chooses from",
        "val holds 21 images, where ImageNet's has 150 of 3 classes",
    ]


def small_run(tmp_path: Path) -> RunFolder:
    """A finished run of three classes, two batches of two images."""
    images = make_imagenet(tmp_path / "images", 3, 2, 1, seed=0)
    weights = random_checkpoint(tmp_path, "deit_tiny", 3)
    request = EvaluationRequest(
        models=("deit_tiny",),
        schemes=("none",),
        arithmetics=("attention",),
        check="none",
        limit=3,
        batch_size=2,
        calibration_images=2,
        data=str(images),
        checkpoints=(("deit_tiny", str(weights)),),
    )
    return run(tmp_path / "run", request)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return small_run(tmp_path_factory.mktemp("small"))


def test_run_of_a_part_warns_that_no_figure_can_be_compared(
    small: RunFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(result, "IMAGENET_CLASSES", 3)
    shutil.copytree(small.path, tmp_path / "run")
    assert main(["resume", str(tmp_path / "run")]) == 0
    message = "deit_tiny: published are figures of 50,000 images, these are of 3, so that no figure"
    assert f"warning: {message}" in capsys.readouterr().err
    assert message in make_report([read_result(tmp_path / "run")]).warnings[0]


def other_weights(root: Path) -> None:
    file = root / "deit_tiny.safetensors"
    tensors = load_file(file)
    tensors["head.bias"] += 1
    save_file(tensors, file)


def other_train(root: Path) -> None:
    _other_images(root / "images" / "train")


def other_val(root: Path) -> None:
    _other_images(root / "images" / "val")


def other_names(root: Path) -> None:
    for path in sorted((root / "images" / "val").rglob("*.*")):
        path.rename(path.with_stem(path.stem + "x"))


def _other_images(folder: Path) -> None:
    """Put other images under the same names."""
    for path in sorted(folder.rglob("*.*")):
        with Image.open(path) as image:
            other = ImageOps.invert(image.convert("RGB"))
        other.save(path, "JPEG")


@pytest.fixture
def given(small: RunFolder, tmp_path: Path) -> Iterator[Path]:
    """The folder of images and weights, which are put back."""
    root = small.path.parent
    shutil.copytree(root, tmp_path / "before")
    yield root
    shutil.rmtree(root)
    shutil.copytree(tmp_path / "before", root)


@pytest.mark.parametrize("cell", [0, 1])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_weights, "the weights that it began with"),
        (other_train, "the calibration images that it began with"),
        (other_val, "the images that it began with"),
        (other_names, "the names of validation images that it began with"),
    ],
)
def test_run_resumed_on_other_weights_or_images_is_refused(
    small: RunFolder, given: Path, change: Callable[[Path], None], message: str, cell: int
) -> None:
    """Stopped before the second batch of a cell."""
    for number, each in enumerate(small.request.cells()):
        (journal,) = small.cell_folder(each).glob("batches-*.jsonl")
        if number == cell:
            journal.write_bytes(journal.read_bytes().splitlines(keepends=True)[0])
        elif number > cell:
            journal.unlink()
    change(given)
    with pytest.raises(ValueError, match=message):
        run(small.path, None)
