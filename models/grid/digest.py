"""Digests: what two runs, machines or devices can be compared by without keeping any register."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bitlog2.sim import REGISTERS

from ..datapath import AttentionDatapath, Registers

__all__ = [
    "RegisterDigest",
    "digest_of_digests",
    "exact_float32",
    "model_digest",
    "pixel_digest",
]

#: Registers that go into a digest, each in one little-endian type whatever the device holds.
_TYPES = dict.fromkeys(REGISTERS, "<i4") | {
    "row_sum": "<i8",
    "level": "u1",
    "nibble": "u1",
    "flag": "u1",
    "o": "u1",
}
_CHOSEN = {"codes": ("level", "o"), "all": REGISTERS}


def pixel_digest(images: Tensor) -> str:
    """Return the SHA-256 of a batch as the model gets it: (B, C, H, W) float32, little-endian."""
    values = np.ascontiguousarray(images.detach().cpu().numpy().astype("<f4", copy=False))
    return hashlib.sha256(values.data).hexdigest()


class RegisterDigest:
    """The SHA-256 of a model's attention registers over one batch, layer by layer.

    Args:
        which: `codes` (level and o, which the rest of the model sees) or `all`.
    """

    def __init__(self, which: str) -> None:
        self._names = _CHOSEN[which]
        self._hash = hashlib.sha256()

    def watch(self, model: nn.Module) -> list[Any]:
        """Take in every datapath of `model` whenever it runs; return the hooks' handles."""
        return [
            module.register_forward_hook(self._take)
            for module in model.modules()
            if isinstance(module, AttentionDatapath)
        ]

    def _take(self, module: Any, inputs: tuple[Any, ...], output: Registers) -> None:
        registers = output.named()
        for name in self._names:
            values = registers[name].detach().to("cpu", copy=False).contiguous().numpy()
            self._hash.update(np.ascontiguousarray(values.astype(_TYPES[name], copy=False)).data)

    def hexdigest(self) -> str:
        """Return 64 hexadecimal digits."""
        return self._hash.hexdigest()


def model_digest(model: nn.Module) -> str:
    """Return the SHA-256 of a model's tensors: names, types, shapes and bytes, sorted by name."""
    total = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        values = np.ascontiguousarray(tensor.detach().cpu().numpy())
        total.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        total.update(values.tobytes())
    return total.hexdigest()


def digest_of_digests(digests: Iterable[str]) -> str:
    """Return the SHA-256 of the digests of all batches in order; empty where there are none."""
    parts = list(digests)
    if not any(parts):
        return ""
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def exact_float32() -> None:
    """Keep reduced precision off for good: float32 products are then float32 on every device."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
