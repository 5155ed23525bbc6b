"""Watermarks of the network around attention: of the registers that a calibrated range limits."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..watch.check import NETWORK
from ..watch.watermarks import Mark, join_marks
from .network import IntegerNetwork, MlpStep, ToStream


@contextmanager
def network_marks(model: nn.Module, layers: dict[str, dict[str, Mark]]) -> Iterator[None]:
    """Join the marks of the residual stream and of u into those by layer, as `NETWORK`.

    What they were before their limits is computed again from the accumulators.

    Args:
        model: a whole network as it runs; any other model is left alone.
        layers: marks by layer and register.
    """
    modules = model.modules() if isinstance(model, IntegerNetwork) else ()
    marks = layers.setdefault(NETWORK, {}) if isinstance(model, IntegerNetwork) else {}
    accumulators: dict[nn.Module, Tensor] = {}

    def keep(product: nn.Module, _: Any, acc: Tensor) -> None:
        accumulators[product] = acc

    def residual(module: Any, inputs: tuple[Any, ...], _: Tensor) -> None:
        acc = accumulators.pop(module.product)
        join_marks(marks, {"residual": _mark(module.scaling(acc) + inputs[1], *module.range)})

    def activation(module: Any, _: tuple[Any, ...], __: Tensor) -> None:
        acc = accumulators.pop(module.fc1)
        join_marks(marks, {"u": _mark(module.scaling(acc), *module.range)})

    handles = []
    for module in modules:
        if isinstance(module, ToStream):
            handles.append(module.product.register_forward_hook(keep))
            handles.append(module.register_forward_hook(residual))
        elif isinstance(module, MlpStep):
            handles.append(module.fc1.register_forward_hook(keep))
            handles.append(module.register_forward_hook(activation))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _mark(before: Tensor, low: int, high: int) -> Mark:
    """Return the mark of values that are limited."""
    ends = torch.aminmax(before.clamp(low, high))
    saturated = int(((before < low) | (before > high)).sum())
    return Mark(int(ends.min), int(ends.max), before.numel(), saturated)
