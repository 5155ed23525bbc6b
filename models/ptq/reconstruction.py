"""Reconstructed calibration: weights, biases and scales trained towards the unquantized network.

Hardware stays as it is: these are numbers that it loads.
"""

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..images.data import Progress
from .attention import SelfAttention
from .trainable import TrainableUniform, frozen, trainable

#: Steps, and images of each.
STEPS, BATCH = 400, 16
#: Steps in which the rates rise; afterwards they fall to zero along a cosine.
_RISE = 20
#: Largest step of a parameter as a share of its root mean square: the first, or the second over the
#: channels, if that is less. What was tried: 2e-3 is better than 1e-2 for a ViT-S of 384 channels
#: (40 steps), 1e-2 better than 3e-3 for `fashion`, of 96.
_RATE, _RATE_OF_CHANNELS = 1e-2, 1.0
#: Largest step of a scale as a share of it: all steps together take less than the whole of it, so
#: that it stays positive.
_SCALE_RATE = 3e-3
_BETAS = (0.9, 0.99)
#: Least variance that an error is divided by, as a share of the mean square: images may be alike.
_LEAST = 1e-3


def reconstructed(
    quantized: nn.Module, model: nn.Module, images: Tensor, progress: Progress
) -> nn.Module:
    """Return a quantized model whose blocks and logits are nearer to the unquantized model's.

    Weights, biases, norms, embeddings and the scales of activations are trained with
    straight-through gradients; scales of weights, zero points and the levels of the attention map
    stay. The forward pass is that of the integers. No labels are used.

    Args:
        quantized: calibrated, in float32, not in float arithmetic; left as it is.
        model: what it was made of; left as it is.
        images: (n, C, H, W) float32, n at least 1. Which of them a step takes is drawn from a seed
            of its own: the same arguments give the same bits on one machine and thread count.
        progress: shows the steps.

    Source: the straight-through estimator and learnt scales are LSQ's (Esser et al., 2020), the
        outputs of blocks as the goal BRECQ's (Li et al., 2021), here of all blocks at once.
    """
    with torch.inference_mode(False), torch.enable_grad():
        student, images = trainable(quantized, scales=True), images.clone()
        teacher = copy.deepcopy(model).eval().requires_grad_(False).to(images.device)
        optimizer = torch.optim.Adam(_groups(student), betas=_BETAS)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _share)
        names = [
            name.rpartition(".")[0]
            for name, module in student.named_modules()
            if isinstance(module, SelfAttention)
        ]
        with outputs(student, names) as found, outputs(teacher, names) as wanted:
            for chosen in progress(_batches(len(images)), "reconstruction", STEPS):
                shown = images[chosen]
                with torch.no_grad():
                    wanted[""] = teacher(shown)
                found[""] = student(shown)
                optimizer.zero_grad()
                error(found, wanted).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
        return frozen(student)


def error(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
    """Return the squared error of the logits, "", plus the mean one of the blocks' outputs.

    Each in terms of the variance of what is wanted, around the mean of each channel.

    Args:
        found, wanted: by name; (B, ..., C) float32.
    """
    parts = {name: _relative(found[name], each) for name, each in wanted.items()}
    logits = parts.pop("")
    return logits + torch.stack(list(parts.values())).mean() if parts else logits


def _relative(found: Tensor, wanted: Tensor) -> Tensor:
    spread = wanted - wanted.flatten(0, -2).mean(dim=0)
    least = _LEAST * wanted.square().mean() + torch.finfo(torch.float32).tiny
    return (found - wanted).square().mean() / spread.square().mean().maximum(least)


@contextmanager
def outputs(model: nn.Module, names: list[str]) -> Iterator[dict[str, Tensor]]:
    """Yield what holds the last outputs of some modules of a model, by their names."""
    held: dict[str, Tensor] = {}

    def holder(name: str):  # type: ignore[no-untyped-def]
        return lambda _module, _inputs, output: held.__setitem__(name, output)

    handles = [model.get_submodule(each).register_forward_hook(holder(each)) for each in names]
    try:
        yield held
    finally:
        for handle in handles:
            handle.remove()


def _groups(model: nn.Module) -> list[dict[str, object]]:
    """Return the parameters of a trainable model, each with its largest step; zeros stay."""
    scales = {each.delta for each in model.modules() if isinstance(each, TrainableUniform)}
    widths = [
        each.proj.weight.shape[0] for each in model.modules() if isinstance(each, SelfAttention)
    ]
    rate = min(_RATE, _RATE_OF_CHANNELS / max(widths, default=1))
    return [
        {
            "params": [each],
            "lr": (_SCALE_RATE if each in scales else rate)
            * float(each.detach().square().mean().sqrt()),
        }
        for each in model.parameters()
    ]


def _share(step: int) -> float:
    """Return the share of the largest step that a step takes."""
    return min(1.0, (step + 1) / _RISE) * (1 + math.cos(math.pi * step / STEPS)) / 2


def _batches(count: int) -> Iterator[Tensor]:
    """Yield the positions of the images of each step: one shuffle of all after the other."""
    generator, order = torch.Generator().manual_seed(0), torch.empty(0, dtype=torch.int64)
    for _ in range(STEPS):
        while len(order) < BATCH:
            order = torch.cat((order, torch.randperm(count, generator=generator)))
        yield order[:BATCH]
        order = order[BATCH:]
