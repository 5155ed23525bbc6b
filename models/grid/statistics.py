"""What a code does to the attention map, layer by layer: histograms before and after, and error."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitlog2.sim.files import write_whole

from ..datapath import Registers
from ..float_attention import FloatAttention
from ..integer_attention import IntegerAttention

__all__ = ["OCTAVES", "LayerStatistics", "map_statistics", "read_statistics", "write_statistics"]

#: Bins of the histograms: half octaves from 2**-20 to 1; what is smaller, or 0, is counted apart.
OCTAVES = 20
_BINS = 2 * OCTAVES


@dataclass(frozen=True)
class LayerStatistics:
    """The attention map of a layer over some images.

    Attributes:
        before: values of the softmax before its code by half octave, the smallest first; the first
            entry counts what is below 2**-20.
        after: the same of the decoded values.
        error: squared error of the decoded map over the sum of squares of the map.
    """

    before: list[int]
    after: list[int]
    error: float


def map_statistics(model: nn.Module, images: Tensor) -> dict[str, LayerStatistics]:
    """Run a quantized model on images and return the statistics of each attention layer.

    Args:
        model: as `quantize` returns it.
        images: (B, C, H, W) float32, on the model's device.

    Returns:
        by layer; a layer whose map has no code shows an error of 0.
    """
    found: dict[str, list[tuple[NDArray[np.int64], NDArray[np.int64], float, float]]] = {}

    def keep(layer: str, before: Tensor, after: Tensor) -> None:
        before, after = before.double(), after.double()
        difference = float((after - before).square().sum())
        power = float(before.square().sum())
        found.setdefault(layer, []).append(
            (_histogram(before), _histogram(after), difference, power)
        )

    handles = _watch(model, keep)
    try:
        with torch.inference_mode():
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    return {layer: _joined(parts) for layer, parts in found.items()}


def _joined(
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64], float, float]],
) -> LayerStatistics:
    before, after = (np.sum([part[i] for part in parts], axis=0) for i in (0, 1))
    difference, power = (sum(part[i] for part in parts) for i in (2, 3))
    return LayerStatistics(before.tolist(), after.tolist(), difference / power if power else 0.0)


def _watch(model: nn.Module, keep: Callable[[str, Tensor, Tensor], None]) -> list[Any]:
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, IntegerAttention):
            hook = partial(_of_datapath, name, module, keep)
            handles.append(module.datapath.register_forward_hook(hook))
        elif isinstance(module, FloatAttention):
            handles.append(module.map.register_forward_hook(partial(_of_map, name, keep)))
    return handles


def _of_datapath(
    name: str,
    attention: IntegerAttention,
    keep: Callable[[str, Tensor, Tensor], None],
    datapath: Any,
    inputs: tuple[Any, ...],
    output: Registers,
) -> None:
    """Keep the exact softmax of t beside the decoded levels."""
    regs, masked = output.map, (*inputs[4:], None)[0]
    octaves = (regs.t - regs.row_max.unsqueeze(-1)).double() / (1 << datapath.config.fraction_bits)
    weight = torch.exp2(octaves)
    if masked is not None:
        weight = weight.masked_fill(masked, 0.0)
    levels = regs.level.reshape(-1).int()
    decoded = datapath.values.double().index_select(0, levels).view(regs.level.shape)
    keep(name, weight / weight.sum(dim=-1, keepdim=True), decoded / attention.delta)


def _of_map(
    name: str,
    keep: Callable[[str, Tensor, Tensor], None],
    module: Any,
    inputs: tuple[Any, ...],
    output: Tensor,
) -> None:
    keep(name, inputs[0], output)


def _histogram(values: Tensor) -> NDArray[np.int64]:
    """Return the counts by half octave of values in [0, 1] or a little above, (41,)."""
    bins = (values.log2() * 2).floor() + _BINS + 1
    index = bins.nan_to_num(neginf=0.0).clamp(0, _BINS).to(torch.int64)
    return torch.bincount(index.reshape(-1), minlength=_BINS + 1).cpu().numpy()


def write_statistics(path: Path, statistics: dict[str, LayerStatistics]) -> None:
    """Write the statistics as JSON, whole or not at all."""
    content = {layer: asdict(each) for layer, each in statistics.items()}
    write_whole(path, (json.dumps(content, sort_keys=True) + "\n").encode())


def read_statistics(path: Path) -> dict[str, Any]:
    """Return what `write_statistics` wrote, as JSON values; empty where there is no such file.

    Raises:
        ValueError: it is no JSON object.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold an object")
    return content
