"""Weights of ViT, DeiT and Swin under the names of other libraries, brought to timm's names."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["from_flax", "with_timm_names"]

_Renames = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]


def _next_stage(match: re.Match[str]) -> str:
    """Downsampling ends a stage where timm's begins the next."""
    return f"layers.{int(match[1]) + 1}.downsample."


_BLOCKS_OF_TRANSFORMERS: _Renames = (
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.attention\.(?:attention|self)\.", ".attn."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
)

#: By a name that only this layout has: each pattern and what stands in its place, in order.
_LAYOUTS: dict[str, _Renames] = {
    # Hugging Face transformers: ViT and DeiT
    r"(?:(?:vit|deit)\.)?encoder\.layer\.0\.layernorm_before\.weight": (
        (r"^(?:vit|deit)\.", ""),
        (r"^embeddings\.position_embeddings$", "pos_embed"),
        (r"^embeddings\.distillation_token$", "dist_token"),
        (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
        (r"^embeddings\.", ""),
        (r"^encoder\.layer\.", "blocks."),
        *_BLOCKS_OF_TRANSFORMERS,
        (r"^layernorm\.", "norm."),
        (r"^(?:cls_)?classifier\.", "head."),
        (r"^distillation_classifier\.", "head_dist."),
    ),
    # Hugging Face transformers: Swin
    r"(?:swin\.)?encoder\.layers\.0\.blocks\.0\.layernorm_before\.weight": (
        (r"^swin\.", ""),
        (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
        (r"^embeddings\.norm\.", "patch_embed.norm."),
        (r"^encoder\.", ""),
        (r"^layers\.(\d+)\.downsample\.", _next_stage),
        *_BLOCKS_OF_TRANSFORMERS,
        (r"^layernorm\.", "norm."),
        (r"^classifier\.", "head.fc."),
    ),
    # torchvision: VisionTransformer
    r"encoder\.layers\.encoder_layer_0\.ln_1\.weight": (
        (r"^class_token$", "cls_token"),
        (r"^encoder\.pos_embedding$", "pos_embed"),
        (r"^conv_proj\.", "patch_embed.proj."),
        (r"^encoder\.layers\.encoder_layer_", "blocks."),
        (r"\.ln_([12])\.", r".norm\1."),
        (r"\.self_attention\.in_proj_", ".attn.qkv."),
        (r"\.self_attention\.out_proj\.", ".attn.proj."),
        (r"\.mlp\.(?:0|linear_1)\.", ".mlp.fc1."),
        (r"\.mlp\.(?:3|linear_2)\.", ".mlp.fc2."),
        (r"^encoder\.ln\.", "norm."),
        (r"^heads\.head\.", "head."),
    ),
    # torchvision: SwinTransformer
    r"features\.1\.0\.attn\.relative_position_bias_table": (
        (r"^features\.0\.0\.", "patch_embed.proj."),
        (r"^features\.0\.2\.", "patch_embed.norm."),
        (r"^features\.(\d*[13579])\.", lambda match: f"layers.{int(match[1]) // 2}.blocks."),
        (r"^features\.(\d+)\.", lambda match: f"layers.{int(match[1]) // 2}.downsample."),
        (r"\.mlp\.0\.", ".mlp.fc1."),
        (r"\.mlp\.3\.", ".mlp.fc2."),
        (r"^head\.", "head.fc."),
    ),
    # Swin's own repository
    r"layers\.0\.downsample\.reduction\.weight": (
        (r"^layers\.(\d+)\.downsample\.", _next_stage),
        (r"^head\.(?!fc\.)", "head.fc."),
    ),
}


def with_timm_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights under timm's names, q, k and v joined; as they are where no layout is known.

    Nothing is dropped: a name that a layout lacks stays, and so does one whose place is taken.
    """
    for mark, renames in _LAYOUTS.items():
        if any(re.fullmatch(mark, name) for name in weights):
            renamed: dict[str, Tensor] = {}
            for name, tensor in weights.items():
                new = _renamed(name, renames)
                renamed[name if new in renamed else new] = tensor
            return _joined(renamed)
    return dict(weights)


def _renamed(name: str, renames: _Renames) -> str:
    for pattern, replacement in renames:
        name = re.sub(pattern, replacement, name)
    return name


def _joined(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Make one tensor of query, key and value where all three are there and alike."""
    joined = dict(weights)
    for name in weights:
        if match := re.fullmatch(r"(.*\.attn\.)query(\.weight|\.bias)", name):
            names = [f"{match[1]}{part}{match[2]}" for part in ("query", "key", "value")]
            parts = [weights[each] for each in names if each in weights]
            if len({(part.shape, part.dtype) for part in parts}) == 1 and len(parts) == 3:
                joined[f"{match[1]}qkv{match[2]}"] = torch.cat(parts)
                for each in names:
                    del joined[each]
    return joined


#: Names of the ViT of Google's repository, in Flax; `kernel` is told from `scale` by `from_flax`.
_FLAX: _Renames = (
    (r"^(?:opt/target/|params/)", ""),
    (r"^cls$", "cls_token"),
    (r"^Transformer/posembed_input/pos_embedding$", "pos_embed"),
    (r"^embedding/", "patch_embed/proj/"),
    (r"^Transformer/encoder_norm/", "norm/"),
    (r"^Transformer/encoderblock_(\d+)/", r"blocks/\1/"),
    (r"/LayerNorm_0/", "/norm1/"),
    (r"/LayerNorm_2/", "/norm2/"),
    (r"/MultiHeadDotProductAttention_1/out/", "/attn/proj/"),
    (r"/MultiHeadDotProductAttention_1/", "/attn/"),
    (r"/MlpBlock_3/Dense_0/", "/mlp/fc1/"),
    (r"/MlpBlock_3/Dense_1/", "/mlp/fc2/"),
    (r"/(?:kernel|scale)$", "/weight"),
    (r"/", "."),
)


def from_flax(arrays: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the arrays of a ViT in Flax under timm's names, in torch's order of axes.

    Raises:
        TypeError: an array is of a type that torch lacks.
    """
    weights = {}
    for name, array in arrays.items():
        tensor = torch.from_numpy(np.asarray(array))
        new = _renamed(name, _FLAX)
        weights[name if new in weights else new] = _in_torchs_order(name, tensor)
    return _joined(weights)


def _in_torchs_order(name: str, tensor: Tensor) -> Tensor:
    if name.endswith("/kernel") and tensor.ndim == 4:  # (height, width, in, out)
        return tensor.permute(3, 2, 0, 1).contiguous()
    if name.endswith("/kernel") and tensor.ndim in (2, 3):  # heads are an axis of their own
        heads_first = name.endswith("/out/kernel")
        matrix = tensor.flatten(0, -2) if heads_first else tensor.flatten(1)
        return matrix.t().contiguous()
    if re.search(r"/(?:query|key|value)/bias$", name):
        return tensor.flatten()
    return tensor
