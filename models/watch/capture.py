"""Inputs and registers of attention layers on some images, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitlog2.sim import AttentionConfig, LayerParams

from ..ptq.attention import SelfAttention
from ..ptq.supported import attentions
from .watching import Observation, Watcher


@dataclass(frozen=True, eq=False)
class LayerCapture:
    """One attention layer: what its datapath loads, was given and gave.

    I images, W windows per image (1 but for Swin), H heads, N tokens of a window, D channels.

    Attributes:
        layer: module name.
        params, config: parameters of the layer, and the hardware.
        images: number of each image in the validation set.
        q, k, v: (I, W, H, N, D) uint8 codes.
        score: (I, W, H, N, N) int32 or int64, rows are queries.
        level, nibble, flag: (I, W, H, N, N) uint8.
        o: (I, W, H, N, D) uint8 codes.
        masked: (W, N, N) bool, True for a key that takes no part; None for none.
        bias: (H, N, N) int32 score bias; None for none.
    """

    layer: str
    params: LayerParams
    config: AttentionConfig
    images: tuple[int, ...]
    q: NDArray[np.uint8]
    k: NDArray[np.uint8]
    v: NDArray[np.uint8]
    score: NDArray[Any]
    level: NDArray[np.uint8]
    nibble: NDArray[np.uint8]
    flag: NDArray[np.uint8]
    o: NDArray[np.uint8]
    masked: NDArray[np.bool_] | None
    bias: NDArray[np.int32] | None

    @property
    def windows(self) -> int:
        """W."""
        return self.q.shape[1]

    @property
    def heads(self) -> int:
        """H."""
        return self.q.shape[2]

    @property
    def tokens(self) -> int:
        """N."""
        return self.q.shape[3]


class Capture(Watcher):
    """Keeps what the datapaths of some layers saw and gave, one image per batch.

    Args:
        layers: module names of attention layers.
    """

    requires = "capture"

    def __init__(self, layers: Sequence[str]) -> None:
        self._runs: dict[str, list[Observation]] = {name: [] for name in layers}

    def attach(self, model: nn.Module, layers: Sequence[str]) -> None:
        """Refuse a name that is that of no layer with a datapath."""
        for name in self._runs:
            if name not in layers:
                raise ValueError(f"layer must be one of {', '.join(layers)}, got {name!r}")

    def take(self, seen: Observation) -> None:
        """Keep a run of one of the layers."""
        if seen.layer in self._runs:
            self._runs[seen.layer].append(seen)

    def captures(self) -> list[LayerCapture]:
        """Return what each layer saw and gave, in the order in which they were named.

        Raises:
            ValueError: none has run.
        """
        return [_joined(name, runs) for name, runs in self._runs.items()]


def _joined(layer: str, runs: list[Observation]) -> LayerCapture:
    """Return the images' arrays stacked."""
    if not runs:
        raise ValueError("images must hold at least one image")
    first, codes = runs[0], ("q", "k", "v", "score", "level", "nibble", "flag", "o")

    def stacked(name: str) -> NDArray[Any]:
        if name in first.inputs:
            return np.stack([run.inputs[name].to(torch.uint8).cpu().numpy() for run in runs])
        return np.stack([run.registers[name].cpu().numpy() for run in runs])

    masked = _shared([run.masked for run in runs], first.grid, 1, f"layer {layer}: masked keys")
    bias = _shared([run.bias for run in runs], first.grid, 0, f"layer {layer}: score biases")
    arrays: dict[str, Any] = {
        **{name: stacked(name) for name in codes},
        "masked": None if masked is None else masked.numpy(),
        "bias": None if bias is None else bias.int().numpy(),
    }
    numbers = tuple(number for run in runs for number in run.numbers)
    return LayerCapture(layer, first.params, first.config, numbers, **arrays)


def _shared(
    given: Sequence[Tensor | None], grid: torch.Size, axis: int, what: str
) -> Tensor | None:
    """Return what is the same for every image, and along an axis of it, which is taken away.

    Args:
        given: of each image, broadcast to `grid`; None for none.
        grid: (windows, heads, rows, keys).
        axis: of the heads for masks, of the windows for biases.
        what: name in the error.

    Raises:
        ValueError: it is not the same.
    """
    each = [None if one is None else one.expand(grid).cpu() for one in given]
    first = None if each[0] is None else each[0].select(axis, 0)
    for one in each:
        same = one is first if one is None or first is None else one.eq(first.unsqueeze(axis)).all()
        if not same:
            raise ValueError(f"{what} must be the same for all images, heads and windows")
    return first


def attention_heads(model: nn.Module) -> dict[str, int]:
    """Return the heads of each attention layer by module name, in execution order.

    Works before and after quantization. The order is that in which timm's models hold their
    blocks, which is that in which they run them.
    """
    kinds = (*attentions(), SelfAttention)
    return {
        name: int(module.num_heads)
        for name, module in model.named_modules()
        if isinstance(module, kinds)
    }
