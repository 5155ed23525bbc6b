"""The calibration pass: layers in execution order, each observes its input and freezes."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .supported import check_images

__all__ = ["calibrate", "calibrated_layers"]


def calibrated_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the layers of a model that have a `calibrate` method, by module name."""
    return {
        name: module
        for name, module in model.named_modules()
        if callable(getattr(module, "calibrate", None))
    }


def calibrate(model: nn.Module, images: Tensor) -> None:
    """Run one explicit pass over a calibration batch.

    Before a layer runs, it observes what it is about to be given and freezes; what it passes on is
    quantized already. What is frozen stays. Nothing is learnt outside of this function.

    Args:
        model: a model with quantized layers.
        images: (B, C, H, W) float32, finite, at least one image.

    Raises:
        TypeError, ValueError: the images are others, or a layer's values cannot be quantized; the
            message names the layer.
    """
    check_images(images)
    handles = [
        layer.register_forward_pre_hook(_observer(name), with_kwargs=True)
        for name, layer in calibrated_layers(model).items()
    ]
    try:
        with torch.no_grad():
            model(images)
    finally:
        for handle in handles:
            handle.remove()


def _observer(name: str) -> Callable[[Any, tuple[Any, ...], dict[str, Any]], None]:
    def observe(layer: Any, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                layer.calibrate(*inputs, **keywords)
            except ValueError as error:
                raise ValueError(f"layer {name}: {error}") from error
        for warning in caught:
            warnings.warn(f"layer {name}: {warning.message}", warning.category, stacklevel=2)

    return observe
