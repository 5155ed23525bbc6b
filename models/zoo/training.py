"""Training of the embedded networks, from scratch and on the CPU.

The attention maps of `digits` are to use every code of the attention quantizers, from one-hot rows
down to elements below 2**-16. The recipe helps them there by widening the query and key rows of
every block's `qkv` weight once, at initialisation, by one factor per head (`Recipe.qk_gains`).
Logits are products of a query and a key, so they start wider by the square of the factor; heads
start at different sharpness and the loss decides where they end. In a shorter trial with a higher
learning rate, gains of 4, 7 and 10 gave sharper maps than needed. Nothing in the loss or after
training touches the attention; nothing at all does in `fashion`, whose accuracy ranks schemes.

The held-out images steer nothing during a run: no early stopping, and the last step's weights are
kept. Those of digits were in view when the recipe's settings were chosen; those of fashion were
not: its recipe was fixed before the one run that gave the shipped weights.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save
from timm.models.vision_transformer import VisionTransformer
from timm.optim import param_groups_weight_decay  # type: ignore[attr-defined]  # any timm
from torch import Tensor
from torch.utils.data import TensorDataset

from bitlog2.sim.files import write_whole

from .embedded import ARCHITECTURE, EMBEDDED

#: Called with an epoch, from 1, and its mean training loss.
EpochDone = Callable[[int, float], None]


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run; the defaults are those of the shipped weights of digits.

    Attributes:
        epochs: passes over the training images, where none are given.
        qk_gains: factor on the initial query and key weights of head 0, 1 and 2 of every block.
        flip: mirror every other image, drawn at random, left to right.
        max_degrees, max_scaling, max_shift: half-widths of the uniform augmentation ranges:
            rotation in degrees, zoom as a fraction, shift in half image sides.
        threads: CPU threads; the order of float additions, hence the result, depends on it.
    """

    epochs: int = 80
    batch_size: int = 32
    learning_rate: float = 1e-3
    warmup_epochs: int = 5
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    qk_gains: tuple[float, float, float] = (2.0, 4.0, 7.0)
    flip: bool = False
    max_degrees: float = 10.0
    max_scaling: float = 0.1
    max_shift: float = 0.08
    threads: int = 2


#: By name of the embedded network.
RECIPES = {
    "digits": Recipe(),
    "fashion": Recipe(
        epochs=30,
        batch_size=128,
        learning_rate=1.5e-3,
        warmup_epochs=2,
        qk_gains=(1.0, 1.0, 1.0),
        flip=True,
        max_degrees=5.0,
        max_shift=0.07,
        threads=1,
    ),
}


def train(
    name: str,
    images: TensorDataset,
    epochs: int,
    seed: int,
    recipe: Recipe,
    progress: EpochDone | None = None,
) -> VisionTransformer:
    """Train an embedded network on images and labels; return it rounded to half.

    AdamW with decay on the matrices only, linear warm-up and cosine decay to zero, label smoothing
    and random affine augmentation. The result is in eval mode, float32, every parameter exactly
    representable in float16. `progress` gets the epoch (from 1) and its mean training loss. The
    global random state and thread count are left as found. Equal arguments give equal weights on
    one machine with one set of library versions.
    """
    with _reproducible(seed, recipe.threads):
        model = EMBEDDED[name].build()
        _widen_attention(model, recipe.qk_gains)
        _fit(model, images, epochs, seed, recipe, progress)
    round_to_half(model)
    return model.eval()


def augment(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Rotate, zoom and shift each image by its own random amounts.

    `images` is float32 (n, 1, H, W) in [-1, 1]; so is the result. What comes in over the border
    is background (-1). Draws 4 * n numbers from `generator`, and n more to mirror images.
    """
    count = images.shape[0]
    if recipe.flip:
        mirrored = torch.rand(count, generator=generator) < 0.5
        images = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)
    draws = torch.rand((4, count), generator=generator) * 2 - 1
    angle = draws[0] * math.radians(recipe.max_degrees)
    zoom = 1 + draws[1] * recipe.max_scaling
    shift_x, shift_y = draws[2] * recipe.max_shift, draws[3] * recipe.max_shift
    cos, sin = zoom * torch.cos(angle), zoom * torch.sin(angle)
    theta = torch.stack((cos, -sin, shift_x, sin, cos, shift_y), dim=1).view(count, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    # grid_sample pads with 0, and the background is -1.
    return F.grid_sample(images + 1, grid, align_corners=False) - 1


def learning_rate_factor(step: int, warmup_steps: int, total_steps: int) -> float:
    """Return the factor in [0, 1] on the peak learning rate at `step` (from 0).

    It rises linearly over `warmup_steps`, then falls to 0 at `total_steps` along half a cosine.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * done))


def round_to_half(model: VisionTransformer) -> None:
    """Round every parameter of a float32 `model`, in place, to the nearest float16 value."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half())


def top1(model: VisionTransformer, images: Tensor, labels: Tensor) -> float:
    """Return the share, in [0, 1], of `images` (n, 1, H, W) that get their `labels` (n,).

    An image's class is its largest logit. `model` should be in eval mode.
    """
    with torch.inference_mode():
        predicted: Tensor = model(images).argmax(dim=1)
    return int((predicted == labels).sum()) / len(labels)


def save_weights(model: VisionTransformer, path: Path, name: str, about: dict[str, Any]) -> None:
    """Write `model`'s parameters to `path` as float16 safetensors, atomically.

    `about` goes into the metadata as JSON under one key, the network's name: the format stores
    several keys in an order that changes from run to run, and equal weights should give equal
    files.

    Raises:
        ValueError: a parameter is not exactly a finite float16 value.
        OSError: the folder cannot be written to.
    """
    halves = {key: tensor.half().contiguous() for key, tensor in model.state_dict().items()}
    for key, tensor in model.state_dict().items():
        if not (torch.equal(halves[key].float(), tensor) and bool(tensor.isfinite().all())):
            raise ValueError(f"{key} is not exactly representable in float16")
    data = save(halves, metadata={name: json.dumps(about, sort_keys=True)})
    write_whole(path, data)


def train_and_save(
    name: str,
    path: Path,
    images: TensorDataset | None = None,
    epochs: int | None = None,
    seed: int = 0,
    progress: EpochDone | None = None,
) -> dict[str, Any]:
    """Train with the recipe of that name, write the weights to `path`, return the file's metadata.

    The metadata has the architecture, the training command and the held-out top-1 (percent) of the
    rounded weights. `images` None takes those that the package ships.

    Raises:
        ValueError, OSError: as `save_weights`.
    """
    recipe, embedded = RECIPES[name], EMBEDDED[name]
    shipped = embedded.images()
    epochs = recipe.epochs if epochs is None else epochs
    model = train(name, images or shipped.train, epochs, seed, recipe, progress)
    held_out, labels = shipped.test.tensors
    shape = {"img_size": embedded.image_size, "num_classes": embedded.classes, **ARCHITECTURE}
    about = {
        "architecture": {"class": "timm.models.vision_transformer.VisionTransformer", **shape},
        "command": f"python scripts/train_embedded.py {name} --epochs {epochs} --seed {seed}",
        "held_out_images": str(len(labels)),
        "held_out_top1_percent": f"{100 * top1(model, held_out, labels):.2f}",
    }
    save_weights(model, path, name, about)
    return about


@contextmanager
def _reproducible(seed: int, threads: int) -> Iterator[None]:
    """Seed torch's global generator and fix its CPU threads for the time of the block."""
    threads_before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads_before)


def _widen_attention(model: VisionTransformer, gains: tuple[float, float, float]) -> None:
    """Scale each head's query and key rows of every `qkv` weight by that head's gain."""
    for name, module in model.named_modules():
        if name.endswith("attn.qkv") and isinstance(module, torch.nn.Linear):
            width = module.out_features // 3
            per_row = torch.tensor(gains).repeat_interleave(width // len(gains))
            with torch.no_grad():
                module.weight[: 2 * width] *= per_row.repeat(2).unsqueeze(1)


def _fit(
    model: VisionTransformer,
    images: TensorDataset,
    epochs: int,
    seed: int,
    recipe: Recipe,
    progress: EpochDone | None,
) -> None:
    """Run the optimisation in place."""
    pixels, labels = images.tensors
    count, batch = len(labels), recipe.batch_size
    steps = count // batch
    optimizer = _optimizer(model, recipe)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda done: learning_rate_factor(done, recipe.warmup_epochs * steps, epochs * steps),
    )
    generator = torch.Generator().manual_seed(seed)
    model.train()
    for epoch in range(1, epochs + 1):
        order = torch.randperm(count, generator=generator)
        total = 0.0
        # An incomplete last batch is left out; the next epoch's order differs.
        for step in range(steps):
            chosen = order[step * batch : (step + 1) * batch]
            shown = augment(pixels[chosen], recipe, generator)
            loss = F.cross_entropy(
                model(shown), labels[chosen], label_smoothing=recipe.label_smoothing
            )
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            total += loss.item()
        if progress is not None:
            progress(epoch, total / steps)


def _optimizer(model: VisionTransformer, recipe: Recipe) -> torch.optim.AdamW:
    """Return AdamW with decay on weight matrices, none on biases, norms and embeddings."""
    groups = param_groups_weight_decay(
        model, recipe.weight_decay, no_weight_decay_list=model.no_weight_decay()
    )
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)
