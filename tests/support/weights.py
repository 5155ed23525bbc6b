"""Random weights of the pretrained models, and files that hold them."""

from functools import lru_cache
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models.swin_transformer import WindowAttention

from bitlog2.models.zoo.architectures import load_zoo_model
from bitlog2.names import ZOO

#: Larger models are the same code with more of it.
LARGE = ("vit_small", "vit_base", "deit_small", "deit_base", "swin_small")
MODELS = [pytest.param(n, marks=pytest.mark.long if n in LARGE else ()) for n in ZOO]


@lru_cache(maxsize=2)
def weights(name: str, classes: int = 1000) -> dict[str, torch.Tensor]:
    """Random weights of the true shapes, unlike those that a new model gets."""
    with torch.device("meta"):
        shapes = timm.create_model(ZOO[name].timm_name, num_classes=classes).state_dict()
    generator = torch.Generator().manual_seed(17)
    return {key: torch.rand(value.shape, generator=generator) for key, value in shapes.items()}


def write(path: Path, content) -> Path:
    """Write weights, or what else a file may hold, in the format of its suffix."""
    if path.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in content.items()}, path)
    else:
        torch.save(content, path)
    return path


def assert_loads(name: str, path: Path, expected: dict[str, torch.Tensor]):
    state = load_zoo_model(name, path).state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in state)


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
