"""A model with its data, by name."""

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bitlog2.names import CALIBRATION_IMAGES, canonical_model, zoo_model

from ..images.data import ImageData
from ..images.imagenet import ImageFolders
from ..images.pixels import Pixels
from .architectures import build_zoo_model, data_config, load_zoo_model, resized_side, transform
from .embedded import EMBEDDED, EmbeddedModel


@dataclass(frozen=True)
class DataSource:
    """Source of images.

    Attributes:
        root: folder with `train/` and `val/`, or as ImageNet is downloaded (`list_images`); None
            for an embedded model.
        workers: processes that read images.
        skip_unreadable: leave unreadable validation images out, and count them.
        classes: file of the model's class names, where those of the data are others.
    """

    root: Path | None = None
    workers: int = 0
    skip_unreadable: bool = False
    classes: Path | None = None


@dataclass(frozen=True)
class Task:
    """A trained model, and the images that may calibrate it and that it is evaluated on.

    Attributes:
        name: as `canonical_model` returns it.
        model: the network in eval mode, on its device.
        data: its images.
        device: torch device of the model.
    """

    name: str
    model: nn.Module
    data: ImageData
    device: str

    def calibration_images(self, seed: int, count: int = CALIBRATION_IMAGES) -> Tensor:
        """Return the first training images of a shuffle seeded with `seed`, on the device."""
        return self.data.calibration_images(seed, count).to(self.device)


def load_task(
    name: str,
    device: str = "cpu",
    source: DataSource | None = None,
    checkpoint: Path | None = None,
    model: nn.Module | None = None,
    *,
    ema: bool = False,
) -> Task:
    """Return the task of that name.

    Args:
        name: as `canonical_model` returns it.
        device: torch device.
        source: the images of a pretrained model; an embedded one has its own.
        checkpoint: the weights of a pretrained model; None takes the hub's.
        model: a model that is loaded already, quantized or not: no weights are looked for.
        ema: take the averaged weights of the checkpoint.

    Raises:
        ValueError: name, device, source or checkpoint do not go with one another, or are wrong.
        OSError: weights or images are not there.
    """
    source, name = source or DataSource(), canonical_model(name)
    _check_device(device)
    if ema and checkpoint is None:
        raise ValueError("ema must go with a checkpoint")
    if name in EMBEDDED:
        return _embedded(EMBEDDED[name], device, source, checkpoint, model)
    if source.root is None:
        raise ValueError(
            f"data must be given for {name}: a folder with train/ and val/ (or train.tar and "
            "val.tar), one folder of images per class, or ImageNet as downloaded"
        )
    data = ImageFolders(
        source.root,
        transform(zoo_model(name)),
        workers=source.workers,
        skip_unreadable=source.skip_unreadable,
        calibrates=model is None,
        classes=source.classes,
    )  # refused before weights are looked for
    model = model or load_zoo_model(name, checkpoint, ema=ema)
    data.require_classes(int(model.num_classes))  # type: ignore[arg-type]  # of any timm model
    return Task(name, model.to(device), data, device)


def _check_device(device: str) -> None:
    kind, _, number = device.partition(":")
    if not re.fullmatch(r"cpu|cuda(:(0|[1-9][0-9]?))?", device):
        raise ValueError(f"device must be cpu, cuda or cuda:N, got {device!r}")
    found = torch.cuda.device_count()
    if kind == "cuda" and int(number or 0) >= found:
        raise ValueError(
            f"device must be cpu where torch finds no such CUDA device ({found} found), "
            f"got {device!r}"
        )


def build_model(name: str, classes: int) -> nn.Module:
    """Return the architecture of that name with random weights, in eval mode."""
    return EMBEDDED[name].build().eval() if name in EMBEDDED else build_zoo_model(name, classes)


def pixels_of(name: str) -> Pixels:
    """Return what a pixel of the images of that model stands for."""
    if name in EMBEDDED:
        return EMBEDDED[name].pixels
    data = data_config(zoo_model(name))
    return Pixels(255, tuple(data["mean"]), tuple(data["std"]))


def resize_of(name: str) -> int | None:
    """Return the shorter side of an image file before its centre is cut out; None where none is."""
    return None if name in EMBEDDED else resized_side(zoo_model(name))


def _embedded(
    embedded: EmbeddedModel,
    device: str,
    source: DataSource,
    checkpoint: Path | None,
    model: nn.Module | None,
) -> Task:
    for argument, value in (
        ("data", source.root),
        ("classes", source.classes),
        ("checkpoint", checkpoint),
    ):
        if value is not None:
            raise ValueError(f"{argument} must be left out for {embedded.name}, got {value}")
    model = model or embedded.load()
    return Task(embedded.name, model.to(device), embedded.images(), device)
