"""Post-training quantization: from a trained timm model to its float or integer path."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from bitlog2.names import (
    CALIBRATION_IMAGES,
    FLOAT_ONLY,
    NORMALIZED,
    UNIFORM_BITS,
)
from bitlog2.sim import scheme_named
from bitlog2.sim.own_scheme import is_coded

from ..images.data import Progress
from .attention import (
    ControlAttention,
    FloatAttention,
    IntegerAttention,
    ScoreForm,
    in_float32,
    score_form,
)
from .layers import FloatConv2d, FloatLinear, IntegerConv2d, IntegerLinear, QuantizedLayer
from .quantizers import (
    CodeUniform,
    FloatMap,
    Log2Map,
    NormalizedMap,
    PublishedUniform,
    Sqrt2Map,
    UniformQuantizer,
    normalized_map,
)
from .reconstruction import reconstructed
from .reparameterize import norm_and_linear, reparameterize
from .specification import QuantizationSpec as QuantizationSpec
from .supported import (
    Heads,
    attentions,
    check_images,
    check_numbers,
    refusal,
    replaced_modules,
    require_supported,
)


def calibrated_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the layers of a model that have a `calibrate` method, by module name."""
    return {
        name: module
        for name, module in model.named_modules()
        if callable(getattr(module, "calibrate", None))
    }


def calibrate(model: nn.Module, images: Tensor) -> None:
    """Run one explicit pass over a calibration batch.

    Before a layer runs, it observes its input and freezes; its output is then quantized already.
    Frozen quantizers stay as they are. Nothing is learnt outside of this function.

    Args:
        model: a model with quantized layers.
        images: (B, C, H, W) float32, finite, at least one image.

    Raises:
        TypeError, ValueError: the images are others, or a layer's values cannot be quantized; the
            message names the layer.
    """
    check_images(images)
    calibrate_on(model, images)


def calibrate_on(model: nn.Module, images: Tensor) -> None:
    """Run the pass of `calibrate` on images that were checked, of any float type."""
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


#: The stages of `quantize`, in order; the last one of the calibration `reconstructed` alone.
STAGES = ("initial quantization", "scale reparameterization", "re-calibration", "reconstruction")
#: Bits of the patch projection's input, as published.
_IMAGE_BITS = 8


def quantize(
    model: nn.Module,
    images: Tensor,
    spec: QuantizationSpec,
    stage: Callable[[str], None] = lambda name: None,
    progress: Progress = lambda items, _label, _total: items,
) -> nn.Module:
    """Return a quantized copy of a trained model.

    The published flow: calibrate, reparameterize the inputs of qkv, fc1 and reduction, calibrate
    again. The integer path takes the reparameterized weights, rounds the reparameterized zero
    points, and is then calibrated in its own arithmetic. For `integer` it is what lowering takes
    (`models/network/lower.py`): run itself, it computes as in `attention`.

    The published path is calibrated in float32, as published; the others in float64, and what they
    froze is rounded to float32 at the end: processors and libraries add in other orders, and in
    float32 that moves a value across the edge of a code, and with it what is calibrated behind it.
    `reconstructed` begins with what `compensated` makes of the first `CALIBRATION_IMAGES` images,
    and trains it on all of them, in float32.

    Args:
        model: timm ViT, DeiT or Swin, float32, run as in eval mode; left as it is.
        images: (B, C, H, W) float32 calibration batch, finite, at least one image.
        spec: how.
        stage: called with the name of each stage before it begins, one of `STAGES`.
        progress: shows the steps of a reconstruction, which takes minutes.

    Raises:
        TypeError, ValueError: images or the model's parameters are of another kind; a layer has no
            quantized form, or its values cannot be quantized; the model has more tokens or wider
            heads than the datapath may be built for. Names the layer.
    """
    integer, trains = spec.arithmetic != "float", spec.calibration == "reconstructed"
    stage(STAGES[0])
    quantized, spec = uncalibrated(model, images, spec)
    first = images[:CALIBRATION_IMAGES] if trains else images
    if integer:
        quantized, first = quantized.double(), first.double()
    calibrate_on(quantized, first)
    stage(STAGES[1])
    reparameterize(quantized, round_zero_point=integer)
    stage(STAGES[2])
    if integer:
        quantized = integer_path(quantized, spec).to(first.device, first.dtype)
    if spec.calibration != "repq":
        _compensate(quantized)
    calibrate_on(quantized, first)
    quantized = in_float32(quantized)
    if not trains:
        return quantized
    stage(STAGES[3])
    return reconstructed(quantized, model, images, progress)


def uncalibrated(
    model: nn.Module, images: Tensor, spec: QuantizationSpec
) -> tuple[nn.Module, QuantizationSpec]:
    """Return the float path of a model and the spec whose datapath holds it; nothing is long.

    Args:
        model, images, spec: as of `quantize`.

    Raises:
        TypeError, ValueError: as `quantize`, but for the values of a layer.
    """
    check_images(images)
    check_numbers(model)
    replaced_modules(model)  # what copying would lose or trip over
    result = copy.deepcopy(model).eval().requires_grad_(False).to(images.device)
    spec = _fitting(spec, require_supported(result, images))
    _to_float_path(result, spec)
    return result, spec


def _compensate(model: nn.Module) -> None:
    """Let the next calibration fit all but the quantizers of reparameterized inputs."""
    kept = set()
    for layer in model.modules():
        if isinstance(layer, QuantizedLayer):
            layer.compensates = True
            if layer.reparam_r.numel():
                kept.add(layer.input_quantizer)
    for each in model.modules():
        if isinstance(each, UniformQuantizer) and each not in kept:
            each.thaw()


def _fitting(spec: QuantizationSpec, heads: dict[str, Heads]) -> QuantizationSpec:
    """Return the spec whose datapath holds a model's rows and heads; the default if that does."""
    if spec.arithmetic == "float" or not is_coded(spec.scheme):
        return spec
    for field in Heads._fields:
        layer = max(heads, key=lambda name: getattr(heads[name], field), default=None)
        wanted = 0 if layer is None else getattr(heads[layer], field)
        if wanted > getattr(spec.attention_config(), field):
            given = dict(spec.datapath).get(field)
            if given is not None:
                raise ValueError(f"layer {layer}: {field} must be at least {wanted}, got {given}")
            try:
                datapath = (*spec.datapath, (field, wanted))
                spec = msgspec.structs.replace(spec, datapath=datapath)
            except ValueError as error:
                raise ValueError(f"layer {layer}: {error}") from error
    return spec


def float_path(model: nn.Module, spec: QuantizationSpec) -> nn.Module:
    """Return a copy of the model with the published fake-quantized layers, not calibrated.

    Raises:
        ValueError: a layer is not supported (named).
    """
    result = copy.deepcopy(model).eval().requires_grad_(False)
    _to_float_path(result, spec)
    return result


def _to_float_path(result: nn.Module, spec: QuantizationSpec) -> None:
    from timm.models.swin_transformer import SwinTransformerBlock

    w_bits, a_bits = spec.w_bits, spec.a_bits
    per_channel = {name for name, _, _ in norm_and_linear(result)}
    replaced = replaced_modules(result)
    convolutions = [name for name, module in replaced.items() if isinstance(module, nn.Conv2d)]
    for name, module in replaced.items():
        if isinstance(module, nn.Conv2d):
            _refuse_odd_conv(name, module, convolutions[0])
            _replace(result, name, FloatConv2d(module, w_bits, _IMAGE_BITS))
        elif isinstance(module, nn.Linear):
            layer = FloatLinear(module, w_bits, a_bits, per_channel=name in per_channel)
            _replace(result, name, layer)
    for name, module in list(result.named_modules()):
        if isinstance(module, SwinTransformerBlock):
            _refuse_padded_windows(name, module)
        elif name in replaced and isinstance(module, attentions()):
            parts: Any = module
            form = score_form(name, module)
            attention = FloatAttention(parts.qkv, parts.proj, _float_map(spec), form, a_bits)
            _replace(result, name, attention)


def integer_path(model: nn.Module, spec: QuantizationSpec) -> nn.Module:
    """Return the integer form of a calibrated and reparameterized float path, not calibrated.

    Of the float path's parameters it keeps those of the reparameterized inputs.
    """
    result = copy.deepcopy(model)
    per_channel = {name for name, _, _ in norm_and_linear(result)}
    for name, module in list(result.named_modules()):
        if isinstance(module, FloatConv2d):
            _replace(result, name, _integer_conv(module, spec))
        elif isinstance(module, FloatLinear):
            linear = IntegerLinear(module.weight, module.bias, spec.w_bits, spec.a_bits)
            source = module.input_quantizer
            if name in per_channel and source.frozen:
                linear.input_quantizer.freeze(source.delta, source.zero_point)
            linear.reparam_r, linear.reparam_b = module.reparam_r, module.reparam_b
            _replace(result, name, linear)
    for name, module in list(result.named_modules()):
        if isinstance(module, FloatAttention):
            _replace(result, name, _integer_attention(module, spec))
    return result


def _float_map(
    spec: QuantizationSpec,
) -> FloatMap | Log2Map | NormalizedMap | Sqrt2Map | PublishedUniform:
    if spec.scheme in FLOAT_ONLY:
        return Sqrt2Map(spec.a_bits, seventeen=spec.scheme == "Sqrt2_17")
    if spec.scheme == "uniform_4":
        return PublishedUniform(UNIFORM_BITS)
    if spec.scheme == "none":
        return FloatMap()
    if spec.scheme in NORMALIZED or scheme_named(spec.scheme).row_max:
        return normalized_map(spec.scheme)
    return Log2Map(scheme_named(spec.scheme))


def _integer_conv(conv: FloatConv2d, spec: QuantizationSpec) -> IntegerConv2d:
    stride = (conv.stride[0], conv.stride[1])
    return IntegerConv2d(conv.weight, conv.bias, stride, spec.w_bits, _IMAGE_BITS)


def _integer_attention(module: FloatAttention, spec: QuantizationSpec) -> nn.Module:
    qkv: Any = module.qkv  # replaced by its integer form
    proj: Any = module.proj
    form = ScoreForm(
        *(module.num_heads, module.query_scale, module.score_scale, module.position_bias),
        *(module.q_norm, module.k_norm),
    )
    if is_coded(spec.scheme):
        return IntegerAttention(qkv, proj, form, spec.attention_config())
    if spec.scheme == "uniform_4":
        return ControlAttention(qkv, proj, form, spec.a_bits, CodeUniform(UNIFORM_BITS))
    control = FloatMap() if spec.scheme == "none" else normalized_map(spec.scheme)
    return ControlAttention(qkv, proj, form, spec.a_bits, control)


def _replace(model: nn.Module, name: str, new: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, new)


def _refuse_odd_conv(name: str, conv: nn.Conv2d, first: str) -> None:
    plain = conv.groups == 1 and conv.padding == (0, 0) and conv.dilation == (1, 1)
    if not plain or name != first:
        must = "must be the patch projection, with no padding, dilation or groups"
        raise refusal(name, conv, must)


def _refuse_padded_windows(name: str, block: Any) -> None:
    """Padding comes after norm1, where reparameterization would have to move its zeros too."""
    for size, window in zip(block.input_resolution, block.window_size, strict=True):
        if size % window:
            raise ValueError(
                f"layer {name}: feature map must be a multiple of the window, "
                f"got {size} for windows of {window}"
            )
