"""Buffers that are empty until calibration, and take the stored shape when a model is loaded."""

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["LateBuffers"]


class LateBuffers(nn.Module):
    """A module with buffers of a shape that is not known when it is made.

    Attributes:
        late_buffers: their names; each is registered as an empty tensor.
    """

    late_buffers: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        for name in self.late_buffers:
            self.register_buffer(name, torch.empty(0))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        for name in self.late_buffers:
            stored = state_dict.get(prefix + name)
            if stored is not None:
                device = getattr(self, name).device
                setattr(self, name, torch.empty_like(stored, device=device))
        super()._load_from_state_dict(state_dict, prefix, *args)
