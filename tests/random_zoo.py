"""Checkpoints of the pretrained models with random weights, as a user would give them."""

from pathlib import Path

import timm
import torch
from safetensors.torch import save_file
from timm.models.swin_transformer import WindowAttention

from bitlog2.models.zoo.architectures import ZOO


def random_checkpoint(folder: Path, name: str, classes: int) -> Path:
    """Write random weights, Swin's position bias of a size that matters; return the file."""
    path = folder / f"{name}.safetensors"
    if not path.exists():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = timm.create_model(ZOO[name].timm_name, num_classes=classes)
            for module in model.modules():
                if isinstance(module, WindowAttention):
                    torch.nn.init.normal_(module.relative_position_bias_table)
        save_file(model.state_dict(), path)
    return path
