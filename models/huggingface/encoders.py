"""The attention `bitlog2` of transformers' models: the integer datapath, and its calibration."""

import copy
from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from bitlog2.documents import brief
from bitlog2.sim import AttentionConfig

from ..ptq.attention import in_float32
from ..ptq.dot_product import DotProductAttention
from ..ptq.quantize import calibrate_on
from ..ptq.supported import check_images, check_numbers, refusal
from ..watch.check import attention_beside
from ..watch.watching import datapaths_of

#: Name of the attention, and of what `quantize` adds to each layer that goes through it.
NAME = "bitlog2"
#: Arguments of the library's attention that the datapath has no form of.
_NONE_OF = ("dropout", "softcap", "position_bias", "s_aux", "output_attentions")


def quantize(
    model: PreTrainedModel, images: Tensor, config: AttentionConfig | None = None
) -> PreTrainedModel:
    """Return a copy of a trained encoder whose attention layers run the integer datapath.

    `check`, `watermarks`, `export` and `vectors` of `bitlog2.models` take it as they take a model
    of timm's; a layer is named by the module that runs it, `layers.0.attention.bitlog2`.

    Args:
        model: encoder that takes images as `pixel_values` and attends through the library's
            attention interface (ViT, DeiT, and the vision encoders of CLIP and SigLIP), float32,
            run as in eval mode; left as it is.
        images: (B, C, H, W) float32 calibration batch, finite, at least one image.
        config: what the hardware is built with; None for the default one of RowMax_16.

    Raises:
        TypeError, ValueError: images or model are of another kind; no attention goes through the
            interface, or one does not; its values cannot be quantized, or the hardware is too small
            for them. Names the layer.
    """
    check_images(images)
    check_numbers(model)
    if not isinstance(model, PreTrainedModel):
        raise TypeError(f"model must be a transformers.PreTrainedModel, got {brief(model)}")
    config = AttentionConfig("RowMax_16") if config is None else config
    result = copy.deepcopy(model).eval().requires_grad_(False).double().to(images.device)
    result.set_attn_implementation(NAME)
    for module in list(result.modules()):
        if hasattr(module, "config") and not isinstance(module, PreTrainedModel):
            module.add_module(NAME, DotProductAttention(config).to(images.device))
    calibrate_on(result, images.double())
    for module in list(result.modules()):
        child = getattr(module, NAME, None)
        if isinstance(child, DotProductAttention) and not child.o_quantizer.frozen:
            delattr(module, NAME)
    layers = tuple(datapaths_of(result))
    if not layers:
        raise refusal("", model, "must have an attention that goes through AttentionInterface")
    if beside := attention_beside(result, layers):
        raise refusal(*beside, "must go through AttentionInterface, or be left out")
    in_float32(result)
    return result


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Return the output (B, N, H, D) of an attention layer, as `AttentionInterface` asks for it.

    Raises:
        RuntimeError: the model is not one that `quantize` returned.
        ValueError: an argument that the datapath has no form of.
    """
    layer = getattr(module, NAME, None)
    if not isinstance(layer, DotProductAttention):
        raise RuntimeError(
            f"{type(module).__name__} must be calibrated by bitlog2.models.huggingface.quantize"
        )
    for name, asked in {"dropout": dropout or None, **more}.items():
        if name in _NONE_OF and asked is not None and asked is not False:
            raise ValueError(f"{name} must be left out: the datapath has none, got {brief(asked)}")
    causal = (
        getattr(module, "is_causal", True) if is_causal is None else is_causal
    )  # as sdpa has it
    output = layer(
        query,
        key,
        value,
        attention_mask,
        is_causal=bool(causal) and attention_mask is None and query.shape[2] > 1,
        scale=scaling,
        enable_gqa=getattr(module, "num_key_value_groups", 1) > 1,
    )
    return output.transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
