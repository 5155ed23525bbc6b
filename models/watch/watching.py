"""One way to watch the datapaths of a model: `watch` hands each of their runs to its watchers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from bitlog2.sim import HIDDEN_REGISTERS, AttentionConfig, LayerParams

from ..ptq.attention import CalibratedDatapath, ControlAttention, FloatAttention
from ..ptq.datapath import AttentionDatapath, DatapathRegisters

Mask = TypeVar("Mask")


def unobserved(register: str, masked: Mask | None) -> Mask | None:
    """Return the mask of those values of a register that nothing observes; None for none."""
    return masked if register in HIDDEN_REGISTERS else None


@dataclass(frozen=True, eq=False)
class Observation:
    """One run of a datapath: parameters, inputs and every register.

    B rows of heads (images times windows), H heads, R queries, N keys, D channels. No layer of
    these models writes into the inputs or registers of a datapath (tests/test_watch.py), so a
    watcher may keep all of them.

    Attributes:
        layer: name of the attention layer.
        config, params: the hardware, and the parameters of the layer.
        delta: () float64, the scale of the levels; None for a bare datapath.
        numbers: number of each image of the batch in the validation set.
        inputs: codes by name: q (B, H, R, D), k (B, H, N, D), v (B, H, N, D').
        masked: bool, broadcast to (B, H, R, N); None for none.
        bias: integers, broadcast to (B, H, R, N); None for none.
        registers: (B, H, ...) by the names of `bitlog2.sim.REGISTERS`.

    Raises:
        ValueError: the rows of heads are not as many for each image.
    """

    layer: str
    config: AttentionConfig
    params: LayerParams
    delta: Tensor | None
    numbers: tuple[int, ...]
    inputs: dict[str, Tensor]
    masked: Tensor | None
    bias: Tensor | None
    registers: dict[str, Tensor]

    def __post_init__(self) -> None:
        rows, images = len(self.inputs["q"]), len(self.numbers)
        if images == 0 or rows % images:
            raise ValueError(
                f"images must be of {rows} rows of heads, as many each, got {images} images"
            )

    @classmethod
    def of_run(
        cls,
        layer: str,
        config: AttentionConfig,
        inputs: tuple[Any, ...],
        output: DatapathRegisters,
        numbers: tuple[int, ...],
        delta: Tensor | None = None,
    ) -> "Observation":
        """Return the observation of a call of `AttentionDatapath`: its arguments and registers."""
        q, k, v, params, masked, bias = (*inputs, None, None)[:6]
        given = {"q": q, "k": k, "v": v}
        return cls(layer, config, params, delta, numbers, given, masked, bias, output.named())

    @property
    def windows(self) -> int:
        """Rows of heads per image: 1 but for Swin."""
        return len(self.inputs["q"]) // len(self.numbers)

    @property
    def grid(self) -> torch.Size:
        """(B, H, R, N)."""
        return self.registers["score"].shape


@dataclass(frozen=True, eq=False)
class MapObservation:
    """One run of the code of an attention map in float arithmetic.

    Attributes:
        layer: name of the attention layer.
        before, after: (B, H, N, N) values of the map before and after its code.
        v: (B, H, N, D) float32, what the map is multiplied with, in any unit.
    """

    layer: str
    before: Tensor
    after: Tensor
    v: Tensor


class Watcher:
    """Base of the watchers; one overrides the calls that it needs.

    Attributes:
        requires: name in errors of a watcher that needs a datapath; empty where it needs none.
    """

    requires = ""

    def attach(self, model: nn.Module, layers: Sequence[str]) -> None:
        """Learn the layers with a datapath, before any runs."""

    def begin(self, numbers: tuple[int, ...]) -> None:
        """Prepare for a batch of these images."""

    def take(self, seen: Observation) -> None:
        """Take in a run of a datapath."""

    def take_map(self, seen: MapObservation) -> None:
        """Take in a run of the code of a float attention map."""

    def cancel(self) -> None:
        """Drop all waiting work: the watching ended with an error."""


class Watched:
    """A model whose datapaths are watched."""

    def __init__(self, model: nn.Module, watchers: Sequence[Watcher]) -> None:
        self._model, self._watchers = model, watchers
        self._numbers: tuple[int, ...] = ()

    def run(self, images: Tensor, numbers: Sequence[int] | None = None) -> Tensor:
        """Return the output of the model for a batch.

        Args:
            images: (B, C, H, W) float32, on the model's device.
            numbers: number of each image in the validation set; None for their positions.
        """
        self.begin(range(len(images)) if numbers is None else numbers)
        with torch.inference_mode():
            output: Tensor = self._model(images)
        return output

    def begin(self, numbers: Sequence[int]) -> None:
        """Say of which images the next batch is, where the model is run without `run`."""
        self._numbers = tuple(numbers)
        for watcher in self._watchers:
            watcher.begin(self._numbers)

    def datapath_hook(self, layer: str, delta: Tensor | None) -> Callable[..., None]:
        """Return the hook that hands out the runs of a layer's datapath."""

        def hook(module: Any, inputs: tuple[Any, ...], output: DatapathRegisters) -> None:
            seen = Observation.of_run(layer, module.config, inputs, output, self._numbers, delta)
            for watcher in self._watchers:
                watcher.take(seen)

        return hook

    def map_hook(self, layer: str) -> Callable[..., None]:
        """Return the hook that hands out the runs of the code of a layer's float map."""

        def hook(module: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
            for watcher in self._watchers:
                watcher.take_map(MapObservation(layer, *inputs))

        return hook


def datapaths_of(model: nn.Module) -> dict[str, AttentionDatapath]:
    """Return the datapaths of a model by the names of their layers."""
    return {
        name.removesuffix(".datapath"): module
        for name, module in model.named_modules()
        if isinstance(module, AttentionDatapath)
    }


@contextmanager
def watch(model: nn.Module, *watchers: Watcher) -> Iterator[Watched]:
    """Hand every run of the model's datapaths to the watchers, to one after the other.

    Left by an exception, it cancels them.

    Raises:
        ValueError: a watcher needs a datapath and the model has none, or the watcher refuses it.
    """
    watched, handles = Watched(model, watchers), []
    modules, datapaths = dict(model.named_modules()), datapaths_of(model)
    for watcher in watchers:
        if watcher.requires and not datapaths:
            raise ValueError(f"{watcher.requires} must be of a model with an integer attention map")
        watcher.attach(model, tuple(datapaths))
    try:
        for layer, module in datapaths.items() if watchers else ():
            owner = modules.get(layer)
            delta = owner.delta if isinstance(owner, CalibratedDatapath) else None
            handles.append(module.register_forward_hook(watched.datapath_hook(layer, delta)))
        for layer, module in modules.items():
            if isinstance(module, FloatAttention | ControlAttention):
                handles.append(module.probe.register_forward_hook(watched.map_hook(layer)))
        yield watched
    except BaseException:
        for watcher in watchers:
            watcher.cancel()
        raise
    finally:
        for handle in handles:
            handle.remove()
