"""How many values a check compares: it follows from the shapes of a model's attention layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bitlog2.sim import REGISTERS

from .check_choice import HeadChoice
from .check_run import UNMASKED_ONLY
from .datapath import AttentionDatapath, Registers

__all__ = ["LayerShape", "layer_shapes", "values_compared"]


@dataclass(frozen=True)
class LayerShape:
    """What the datapath of one layer is given for an image.

    Attributes:
        heads: (window, head) pairs; window after window.
        sizes: values that a pair has, by register.
        masked: masked (row, key) pairs of each of these; empty where nothing is masked.
    """

    heads: int
    sizes: dict[str, int]
    masked: tuple[int, ...] = ()


def layer_shapes(model: nn.Module, image: Tensor) -> dict[str, LayerShape]:
    """Return the shape of each datapath by layer; empty for a model without any.

    Args:
        model: quantized.
        image: (1, C, H, W) float32, on the model's device.
    """
    found: dict[str, LayerShape] = {}
    handles = [
        module.register_forward_hook(partial(_take, found, name.removesuffix(".datapath")))
        for name, module in model.named_modules()
        if isinstance(module, AttentionDatapath)
    ]
    try:
        with torch.inference_mode():
            model(image)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _take(
    found: dict[str, LayerShape],
    layer: str,
    module: nn.Module,
    inputs: tuple[Any, ...],
    output: Registers,
) -> None:
    registers, masked = output.named(), (*inputs[4:], None)[0]
    grid = registers["score"].shape
    counts = () if masked is None else masked.expand(grid).sum((2, 3)).reshape(-1).tolist()
    sizes = {name: prod(values.shape[2:]) for name, values in registers.items()}
    found[layer] = LayerShape(grid[0] * grid[1], sizes, tuple(counts))


def values_compared(
    shapes: Mapping[str, LayerShape], choice: HeadChoice, images: Sequence[int]
) -> dict[str, int]:
    """Return how many values of each register are compared in a batch of these images."""
    counts = dict.fromkeys(REGISTERS, 0)
    for layer, shape in shapes.items():
        chosen = choice.pairs(layer, images, shape.heads)
        masked = int(np.array(shape.masked)[chosen % shape.heads].sum()) if shape.masked else 0
        for name, size in shape.sizes.items():
            counts[name] += len(chosen) * size - (masked if name in UNMASKED_ONLY else 0)
    return counts
