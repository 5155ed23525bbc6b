"""What the attention layers of a quantized model see and give for chosen images, as arrays."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bitlog2.sim import SCHEMES, AttentionConfig, LayerParams

from ..images.data import CALIBRATION_IMAGES, Batch, ImageData, Progress
from ..ptq.attention import SelfAttention
from ..ptq.quantize import QuantizationSpec, quantize
from ..ptq.supported import ATTENTIONS
from ..zoo.checkpoint import QuantizedModel, load_quantized
from ..zoo.task import DataSource, load_task
from .watching import Observation, Watcher, watch

_BATCH = 16


@dataclass(frozen=True)
class CaptureRequest:
    """Which quantized model is looked into; fields as the options of `evaluate`.

    Raises:
        ValueError: the scheme has no integer datapath, or a width is out of range.
    """

    model: str = "digits"
    spec: QuantizationSpec = field(default_factory=QuantizationSpec)
    seed: int = 0
    calibration_images: int = CALIBRATION_IMAGES
    source: DataSource = field(default_factory=DataSource)
    checkpoint: Path | None = None
    load: Path | None = None
    ema: bool = False

    def __post_init__(self) -> None:
        _require_datapath(self.spec)


@dataclass(frozen=True, eq=False)
class LayerCapture:
    """One attention layer: what its datapath loads, was given and gave.

    I images, W windows an image (1 but for Swin), H heads, N tokens of a window, D channels.

    Attributes:
        layer: module name.
        params, config: what the layer loads, and the hardware.
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
    """Return the images' arrays stacked; mask and bias are the same for every image."""
    if not runs:
        raise ValueError("images must hold at least one image")
    first, codes = runs[0], ("q", "k", "v", "score", "level", "nibble", "flag", "o")

    def stacked(name: str) -> NDArray[Any]:
        if name in first.inputs:
            return np.stack([run.inputs[name].to(torch.uint8).numpy() for run in runs])
        return np.stack([run.registers[name].numpy() for run in runs])

    arrays: dict[str, Any] = {
        **{name: stacked(name) for name in codes},
        "masked": None if first.masked is None else first.masked[:, 0].numpy(),
        "bias": None if first.bias is None else first.bias[0].int().numpy(),
    }
    numbers = tuple(number for run in runs for number in run.numbers)
    return LayerCapture(layer, first.params, first.config, numbers, **arrays)


class Subject:
    """A model to look into. Model and data are loaded when it is made; `quantized` comes later.

    Args:
        request: which one.

    Attributes:
        request: the request, with name, quantization and seed of the file where it loads one.
        heads: heads of each attention layer by module name, in execution order.
        data: the images.

    Raises:
        ValueError, OSError: model, weights or images are wrong or not there, or a loaded model
            has no integer datapath.
    """

    def __init__(self, request: CaptureRequest) -> None:
        self._loaded: QuantizedModel | None = None
        if request.load is not None:
            self._loaded = load_quantized(request.load)
            _require_datapath(self._loaded.spec)
            request = _as_loaded(request, self._loaded)
        model = None if self._loaded is None else self._loaded.model
        task = load_task(
            request.model, "cpu", request.source, request.checkpoint, model, ema=request.ema
        )
        self.request, self._task = request, task
        self.heads = attention_heads(task.model)
        self.data: ImageData = task.data

    @property
    def images(self) -> int:
        """Number of validation images."""
        return self.data.count(None)

    def quantized(self) -> nn.Module:
        """Return the quantized model: the loaded one, or one calibrated now.

        Raises:
            ValueError: as `quantize`.
        """
        if self._loaded is not None:
            return self._loaded.model
        request = self.request
        images = self._task.calibration_images(request.seed, request.calibration_images)
        return quantize(self._task.model, images, request.spec)


def attention_heads(model: nn.Module) -> dict[str, int]:
    """Return the heads of each attention layer by module name, in execution order.

    Works before and after quantization. The order is that in which timm's models hold their
    blocks, which is that in which they run them.
    """
    kinds = (*ATTENTIONS, SelfAttention)
    return {
        name: int(module.num_heads)
        for name, module in model.named_modules()
        if isinstance(module, kinds)
    }


def chosen_images(data: ImageData, numbers: Sequence[int], progress: Progress) -> Iterator[Batch]:
    """Yield the validation images of these numbers, one a batch, in their order in the set.

    Images before the last chosen one are read too, and an unreadable one among them is an error.

    Raises:
        ValueError, OSError: an image cannot be read.
    """
    end = max(numbers) + 1
    data.scan(end, progress)
    wanted = set(numbers)
    for batch in data.batches(_BATCH, end):
        for place, number in enumerate(batch.numbers.tolist()):
            if number in wanted:
                yield Batch(*(part[place : place + 1] for part in batch))


def capture(model: nn.Module, images: Iterable[Batch], layers: Sequence[str]) -> list[LayerCapture]:
    """Run images one by one and return what these attention layers saw and gave.

    An image runs alone: its codes do not depend on which others were chosen.

    Args:
        model: as `quantize` returns it, with an integer attention map.
        images: one image a batch, at least one; all of one size.
        layers: module names of attention layers.

    Raises:
        ValueError: a name is that of no layer with a datapath; no images.
    """
    captured = Capture(layers)
    with watch(model, captured) as watched:
        for batch in images:
            watched.run(batch.images, batch.numbers.tolist())
    return captured.captures()


def _require_datapath(spec: QuantizationSpec) -> None:
    if spec.scheme not in SCHEMES:
        raise ValueError(
            f"scheme must be one of {', '.join(SCHEMES)}, which have an integer datapath, "
            f"got {spec.scheme!r}"
        )
    if spec.arithmetic != "integer":
        raise ValueError(
            f"arithmetic must be integer, which has the datapath's registers, "
            f"got {spec.arithmetic!r}"
        )


def _as_loaded(request: CaptureRequest, loaded: QuantizedModel) -> CaptureRequest:
    return CaptureRequest(
        loaded.name,
        loaded.spec,
        loaded.seed,
        request.calibration_images,
        request.source,
        request.checkpoint,
        request.load,
        request.ema,
    )
