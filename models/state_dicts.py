"""Tensors of a file against those that a model wants: every difference, the first few by name."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from .naming import listed, shown

__all__ = ["Wanted", "differences", "kind"]


class Wanted(NamedTuple):
    """What one tensor must be.

    Attributes:
        shape: its shape.
        dtype: its type; None for whatever can be brought to the model's.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype | None = None


def differences(wanted: Mapping[str, Wanted], found: Mapping[str, Tensor]) -> str:
    """Return how tensors differ from what is wanted, "" where they don't.

    Numbers are looked at only where name, shape and type are right, and as float32: so a file that
    lies about sizes costs no more than the model.
    """
    known = {key: tensor for key, tensor in found.items() if key in wanted}
    shaped = {key: tensor for key, tensor in known.items() if tensor.shape == wanted[key].shape}
    typed = {k: t for k, t in shaped.items() if wanted[k].dtype in (None, t.dtype)}
    kinds: dict[str, Iterable[str]] = {
        "missing": (shown(key) for key in wanted if key not in found),
        "unexpected": (shown(key) for key in found if key not in wanted),
        "wrong shape": (
            f"{key} {tuple(tensor.shape)} for {wanted[key].shape}"
            for key, tensor in known.items()
            if key not in shaped
        ),
        "wrong type": (
            f"{key} {kind(tensor)} for {str(wanted[key].dtype).removeprefix('torch.')}"
            for key, tensor in shaped.items()
            if key not in typed
        ),
        "not finite": (
            f"{key} ({count} of {tensor.numel()} values)"
            for key, tensor in typed.items()
            if (count := _not_finite(tensor))
        ),
    }
    told = ((name, list(faults)) for name, faults in kinds.items())
    return "; ".join(f"{name}: {listed(faults)}" for name, faults in told if faults)


def kind(tensor: Tensor) -> str:
    """Return a tensor's type in a word, its layout or device where that is odd."""
    if tensor.layout is not torch.strided:
        return str(tensor.layout).removeprefix("torch.")
    if tensor.device.type != "cpu":
        return tensor.device.type
    return str(tensor.dtype).removeprefix("torch.")


def _not_finite(tensor: Tensor) -> int:
    if not tensor.is_floating_point():
        return 0
    return tensor.numel() - int(tensor.float().isfinite().sum())
