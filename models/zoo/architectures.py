"""The pretrained models: architecture, weights and preprocessing."""

import csv
import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from bitlog2.names import ZOO, ZooModel

from .weights import fit_weights, head_classes, hub_file, read_weights

IMAGE_SIZE = 224
#: Published results of the six schemes at 4-bit weights and activations, one calibration seed:
#: a rerun of the baseline moves by up to 0.56 points.
_PUBLISHED = Path(__file__).parent / "published_accuracy.csv"


def resized_side(model: ZooModel) -> int:
    """Return the shorter side of an image in front of the centre crop: floor(224/crop)."""
    return math.floor(IMAGE_SIZE / model.crop)


def transform(model: ZooModel) -> Callable[[Image.Image], Tensor]:
    """Return the published preprocessing: an RGB image to a float32 tensor (3, 224, 224).

    Bicubic resize of the shorter side to floor(224/crop), centre crop, scale to [0, 1], normalize.
    """
    from torchvision import transforms

    chain: Callable[[Image.Image], Tensor] = transforms.Compose(
        [
            transforms.Resize(
                resized_side(model),
                interpolation=transforms.InterpolationMode.BICUBIC,
            ),
            transforms.CenterCrop(IMAGE_SIZE),
            transforms.ToTensor(),
            transforms.Normalize(model.mean, model.std),
        ]
    )
    return chain


def published(scheme: str, model: str) -> tuple[float, float] | None:
    """Return the published (top-1, top-5) in percent at W4A4, None where none was published."""
    return _published_table().get((scheme, model))


@lru_cache(maxsize=1)
def _published_table() -> dict[tuple[str, str], tuple[float, float]]:
    with _PUBLISHED.open(newline="", encoding="utf-8") as file:
        return {
            (row["scheme"], row["model"]): (float(row["top1"]), float(row["top5"]))
            for row in csv.DictReader(file)
        }


def load_zoo_model(name: str, checkpoint: Path | None = None, *, ema: bool = False) -> nn.Module:
    """Return a pretrained model: eval mode, float32, on the CPU, no gradients.

    The random state of the process is left as it was.

    Args:
        name: a key of `ZOO`.
        checkpoint: weights as `read_weights` takes them; None takes them from the cache of the
            Hugging Face hub, or downloads them into it. A fine-tuned model may have any number of
            classes, which its head gives. A ViT and a DeiT of one size have tensors of the same
            names and shapes: only the accuracy distinguishes their files.
        ema: take the averaged weights of the checkpoint.

    Raises:
        ValueError: no such model; a checkpoint that is not one of this model, names the file.
        OSError: no such file; the hub can't be reached, with what to give instead.
    """
    path = hub_file(name, _entry(name).timm_name) if checkpoint is None else checkpoint
    weights = read_weights(path, ema=ema)
    model = build_zoo_model(name, head_classes(weights))
    fit_weights(model, weights, name, path)
    return model


def build_zoo_model(name: str, classes: int) -> nn.Module:
    """Return the architecture with random weights: eval mode, float32, on the CPU, no gradients.

    The random state of the process is left as it was.

    Raises:
        ValueError: `name` is no key of `ZOO`.
    """
    import timm

    with torch.random.fork_rng(devices=[]):
        model: nn.Module = timm.create_model(_entry(name).timm_name, num_classes=classes)
    return model.eval().requires_grad_(False)


def _entry(name: str) -> ZooModel:
    if name not in ZOO:
        raise ValueError(f"model must be one of {', '.join(ZOO)}, got {name!r}")
    return ZOO[name]
