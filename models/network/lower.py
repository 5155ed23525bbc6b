"""Lowering: from a calibrated model to a program, integers that a network loads.

timm's ViT, DeiT and Swin are walked from pixels to logits. A part that the network has no unit for
is refused by name. What calibration has not kept, the ranges of the residual stream and of the
activations' inputs, is observed on the calibration images.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bitlog2.sim.network import NetworkConfig
from bitlog2.sim.network.parameters import (
    MeanParams,
    NormParams,
    StreamMeanParams,
    StreamNormParams,
)
from bitlog2.sim.network.program import (
    Attention,
    GatedMlp,
    Head,
    Merging,
    Mlp,
    NormedLinear,
    PatchEmbedding,
    Program,
    Step,
    Windows,
)
from bitlog2.sim.network.simulator import Simulator

from ..images.pixels import Pixels
from ..ptq.attention import IntegerAttention
from ..ptq.layers import IntegerConv2d, IntegerLinear
from ..ptq.quantize import QuantizationSpec, integer_path, uncalibrated
from ..ptq.specification import NETWORK_FIELDS
from ..ptq.supported import check_images, refusal
from ..zoo.task import pixels_of, resize_of
from .scales import Choices, UnitParameters

#: Calibration images that a program is tried out on at once.
_BATCH = 8


class Lowered(NamedTuple):
    """A program, and what was chosen for it."""

    program: Program
    choices: Choices


def lower(
    model: nn.Module,
    images: Tensor,
    pixels: Pixels,
    *,
    source: str = "",
    seed: int | None = None,
    resize: int | None = None,
    hardware: Mapping[str, int] | None = None,
    parameters: Callable[
        [NetworkConfig, Mapping[str, tuple[float, float]]], UnitParameters
    ] = UnitParameters,
) -> Lowered:
    """Return the program of a calibrated model.

    Args:
        model: as `quantize` returns it for a scheme of the datapath, not in float arithmetic.
        images: (B, C, H, W) float32, those that calibrated it, on the model's device.
        pixels: what a pixel of these images stands for.
        source: what the program is made from, for people.
        seed: of the calibration.
        resize: the shorter side to which an image file is resized, before its centre is cut out;
            None where images are not made of image files.
        hardware: fields of `NetworkConfig` that differ from what the model needs.
        parameters: what makes the parameters of units.

    Raises:
        TypeError, ValueError: names the part that the network has no unit for, or the layer whose
            numbers its hardware cannot hold.
    """
    check_images(images)
    walk = _walk_of(model)
    first = next((each for each in model.modules() if isinstance(each, IntegerAttention)), None)
    if first is None:
        raise refusal("", model, "must have an integer datapath in its attention")
    bits = first.qkv.input_quantizer.bits
    fields = {
        "a_bits": bits,
        "w_bits": first.qkv.weight_quantizer.bits,
        "pixel_bits": pixels.largest.bit_length(),
    }
    config = NetworkConfig(**{**fields, **(hardware or {})})
    seen, output = observe(model, images)
    units = parameters(config, seen)
    steps = walk(model, units, pixels, (images.shape[2], images.shape[3]))
    program = Program(config, first.datapath.config, steps, source, seed, resize)
    _try_out(program, pixels.of(images), output, units.choices)
    return Lowered(program, units.choices)


def lower_named(
    name: str, model: nn.Module, images: Tensor, spec: QuantizationSpec, seed: int
) -> Lowered:
    """Return the program of one of the models by name.

    Args:
        name: as `canonical_model` returns it.
        model: as `quantize` returns it.
        images: those that calibrated it.
        spec: its quantization.
        seed: of the calibration.

    Raises:
        TypeError, ValueError: as `lower`.
    """
    source = f"{name} {spec.scheme} {spec.form}"
    about: dict[str, Any] = {"source": source, "seed": seed, "resize": resize_of(name)}
    hardware = spec.hardware(NETWORK_FIELDS)
    return lower(model, images, pixels_of(name), hardware=hardware, **about)


def require_form(model: nn.Module, images: Tensor, spec: QuantizationSpec) -> None:
    """Refuse a model that has no form in an arithmetic, before anything is calibrated.

    Args:
        model: as `quantize` takes it.
        images: as `quantize` takes them; one is enough.
        spec: its quantization.

    Raises:
        TypeError, ValueError: names the part that has no quantized form, or that the network has no
            unit for.
    """
    path, spec = uncalibrated(model, images, spec)
    if spec.arithmetic == "integer":
        parts: Any = _NoNumbers()
        size = (images.shape[2], images.shape[3])
        _walk_of(path)(integer_path(path, spec), parts, Pixels(1, (), ()), size)


class _NoNumbers:
    """Parameters without a number, for a walk that looks at the parts of a model alone."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        kind: Any = {"norm": NormParams, "mean": MeanParams, "stream_mean": StreamMeanParams}.get(
            name, object
        )
        if name == "heads":
            return list
        if name == "gated":
            return lambda *_: (object(),) * 3
        constants = np.zeros((0, 0), np.int32)
        return lambda *_, **__: constants if name == "constants" else kind.__new__(kind)


def _try_out(program: Program, pixels: Tensor, output: Tensor, choices: Choices) -> None:
    """Take down how a program does on images of which the calibrated model's output is known."""
    simulator, predicted = Simulator(program), output.argmax(dim=1)
    for start in range(0, len(pixels), _BATCH):
        batch = pixels[start : start + _BATCH].cpu().numpy().astype(np.uint16)
        expected = predicted[start : start + _BATCH].cpu().numpy()
        found = simulator(batch)
        choices.images += len(batch)
        choices.agreeing += int((found.logits.argmax(axis=1) == expected).sum())
        choices.saturated += sum(found.saturated.values())


Walk = Callable[[Any, UnitParameters, Pixels, tuple[int, int]], tuple[Step, ...]]


def _walk_of(model: nn.Module) -> Walk:
    from timm.models.deit import VisionTransformerDistilled
    from timm.models.swin_transformer import SwinTransformer
    from timm.models.vision_transformer import VisionTransformer

    walks: dict[type[nn.Module], Walk] = {
        VisionTransformer: _vit,
        VisionTransformerDistilled: _vit,
        SwinTransformer: _swin,
    }
    for kind, walk in walks.items():
        if _runs_as(model, kind):
            return walk
    raise refusal("", model, "must be timm's VisionTransformer or SwinTransformer")


#: Methods of timm's modules that compute; a class that has one of its own computes something else.
_METHODS = ("forward", "forward_features", "forward_head", "_pos_embed", "pool", "_attn")


def _runs_as(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a module computes what that class does: it is one, and overrides nothing of it."""
    own = type(module)
    return isinstance(module, kind) and all(
        getattr(own, name, None) is getattr(kind, name, None) for name in _METHODS
    )


@lru_cache(maxsize=1)
def _blocks() -> tuple[Any, ...]:
    from timm.models.swin_transformer import SwinTransformerBlock
    from timm.models.vision_transformer import Block

    return Block, SwinTransformerBlock


def _activation(module: nn.Module) -> str | None:
    """Return by which name the table of a module's function is made; None where none is."""
    from timm.layers.activations import GELU, QuickGELU

    if isinstance(module, nn.GELU) and module.approximate != "none":
        return None
    known = {
        nn.GELU: "gelu",
        GELU: "gelu",
        QuickGELU: "quick_gelu",
        nn.ReLU: "relu",
        nn.SiLU: "silu",
    }
    return known.get(type(module))


def _halves(module: Any) -> tuple[int, int]:
    """Return which half of the outputs of fc1 is the gate of a GluMlp, and which its value."""
    return (1, 0) if module.gate_last else (0, 1)


def observe(model: nn.Module, images: Tensor) -> tuple[dict[str, tuple[float, float]], Tensor]:
    """Return the smallest and largest value at places of a model, and its output.

    Of layer norms and activations it is their input, by the module's name; of blocks their output,
    as `NAME.output`, of a gated MLP what its gate is multiplied by, as `NAME.value`.
    """
    from timm.layers.mlp import GluMlp

    seen: dict[str, tuple[float, float]] = {}

    def note(place: str) -> Callable[..., None]:
        def hook(_module: Any, inputs: tuple[Tensor, ...], output: Tensor | None = None) -> None:
            low, high = torch.aminmax(inputs[0] if output is None else output)
            seen[place] = float(low), float(high)

        return hook

    def note_value(name: str, half: int) -> Callable[..., None]:
        hook = note(f"{name}.value")
        return lambda module, inputs, output: hook(module, inputs, output.chunk(2, dim=-1)[half])

    handles = []
    for name, module in model.named_modules():
        if isinstance(module, nn.LayerNorm) or _activation(module):
            handles.append(module.register_forward_pre_hook(note(name)))
        elif isinstance(module, _blocks()):
            handles.append(module.register_forward_hook(note(f"{name}.output")))
        elif isinstance(module, GluMlp):
            value = note_value(name, _halves(module)[1])
            handles.append(module.fc1.register_forward_hook(value))
    try:
        with torch.no_grad():
            output = model(images)
    finally:
        for handle in handles:
            handle.remove()
    return seen, output


# -- ViT and DeiT ----------------------------------------------------------------------------------


def _vit(
    model: Any, units: UnitParameters, pixels: Pixels, size: tuple[int, int]
) -> tuple[Step, ...]:
    """Embedding, an attention and an MLP per block, head or heads: one stream."""
    for part in ("patch_drop", "pos_drop", "head_drop"):
        _require_nothing(part, getattr(model, part))
    if model.attn_pool is not None:
        raise refusal("attn_pool", model.attn_pool, "must be left out: tokens are pooled by a mean")
    bits = units.stream("blocks", _places("blocks", model.blocks))
    steps: list[Step] = [_vit_embedding(model, units, pixels, size, bits)]
    for place, block in enumerate(model.blocks):
        steps += _block(units, f"blocks.{place}", block, bits)
    return *steps, *_vit_heads(model, units, bits)


def _vit_embedding(
    model: Any, units: UnitParameters, pixels: Pixels, size: tuple[int, int], bits: int
) -> PatchEmbedding:
    patch = model.patch_embed
    _require_nothing("patch_embed.norm", patch.norm)
    # A distilled model has registers of its class, but runs without them.
    others = getattr(model, "dist_token", model.reg_token)
    tokens = [each[0] for each in (model.cls_token, others) if each is not None]
    weight = patch.proj.weight
    prefix = torch.cat(tokens) if tokens else weight.new_zeros(0, len(weight))
    positions = weight.new_zeros(patch.num_patches, len(weight))
    if model.pos_embed is not None:
        positions = model.pos_embed[0]
        if not model.no_embed_class:
            prefix = prefix.double() + positions[: len(prefix)].double()
            positions = positions[len(prefix) :]
    before, norm = bits, None
    if not isinstance(model.norm_pre, nn.Identity):
        layer = _layer_norm("norm_pre", model.norm_pre)
        before = units.stream("norm_pre", ["norm_pre"])
        norm = units.stream_norm("norm_pre", layer, before, bits)
    return _embedding(units, patch, pixels, size, before, positions, prefix, norm)


def _vit_heads(model: Any, units: UnitParameters, bits: int) -> tuple[Head, ...]:
    norms = [name for name in ("norm", "fc_norm") if getattr(model, name, None) is not None]
    norms = [name for name in norms if not isinstance(getattr(model, name), nn.Identity)]
    if len(norms) != 1:
        raise refusal("", model, f"must have one norm in front of its head, got {len(norms)}")
    norm = _layer_norm(norms[0], getattr(model, norms[0]))
    names = [name for name in ("head", "head_dist") if hasattr(model, name)]
    if len(names) > 1 and norms[0] != "norm":
        raise refusal("", model, "must have its norm in front of its pooling, with two heads")
    layers = {name: _integer(name, getattr(model, name)) for name in names}
    made = units.heads(layers)
    if model.global_pool == "token":
        targets = [each.input_quantizer for each in layers.values()]
        return tuple(
            Head(linear, norm=units.norm(norms[0], norm, bits, target), first=token)
            for token, (linear, target) in enumerate(zip(made, targets, strict=True))
        )
    (linear,), target = made, layers["head"].input_quantizer
    if model.global_pool != "avg":
        raise refusal("", model, f"global_pool must be token or avg, got {model.global_pool!r}")
    first = 0 if model.pool_include_prefix else model.num_prefix_tokens
    tokens = model.patch_embed.num_patches + model.num_prefix_tokens - first
    if norms[0] == "norm":
        return (Head(linear, mean=units.mean("norm", norm, bits, target, tokens), first=first),)
    after = units.norm("fc_norm", norm, bits, target)
    return (Head(linear, norm=after, mean=units.stream_mean(tokens), first=first),)


# -- Swin ------------------------------------------------------------------------------------------


def _swin(
    model: Any, units: UnitParameters, pixels: Pixels, size: tuple[int, int]
) -> tuple[Step, ...]:
    """Embedding with its norm, then by stage a merging and the blocks, head: a stream per stage."""
    steps: list[Step] = []
    _layer_norm("patch_embed.norm", model.patch_embed.norm)
    bits = units.stream("patch_embed", ["patch_embed.norm"])
    for place, stage in enumerate(model.layers):
        name = f"layers.{place}"
        places = _places(f"{name}.blocks", stage.blocks)
        before, bits = bits, units.stream(name, places)
        if place == 0:
            _require_nothing(f"{name}.downsample", stage.downsample)
            steps.append(_swin_embedding(model, units, pixels, size, (before, bits)))
        else:
            steps.append(_merging(units, f"{name}.downsample", stage, (before, bits)))
        for number, block in enumerate(stage.blocks):
            steps += _block(units, f"{name}.blocks.{number}", block, bits)
    return *steps, _swin_head(model, units, bits)


def _swin_embedding(
    model: Any, units: UnitParameters, pixels: Pixels, size: tuple[int, int], bits: tuple[int, int]
) -> PatchEmbedding:
    patch = model.patch_embed
    norm = units.stream_norm("patch_embed.norm", _layer_norm("patch_embed.norm", patch.norm), *bits)
    weight = patch.proj.weight
    positions = weight.new_zeros(patch.num_patches, len(weight))
    prefix = weight.new_zeros(0, len(weight))
    return _embedding(units, patch, pixels, size, bits[0], positions, prefix, norm)


def _merging(units: UnitParameters, name: str, stage: Any, bits: tuple[int, int]) -> Merging:
    from timm.models.swin_transformer import PatchMerging

    module = stage.downsample
    if not _runs_as(module, PatchMerging):
        raise refusal(name, module, "must be timm's PatchMerging")
    height, width = stage.input_resolution
    if height % 2 or width % 2:
        raise refusal(name, module, f"must be of an even grid, got {height} by {width}")
    norm, reduction = _layer_norm(f"{name}.norm", module.norm), module.reduction
    reduction = _integer(f"{name}.reduction", reduction)
    return Merging(
        height=height,
        width=width,
        norm=units.norm(f"{name}.norm", norm, bits[0], reduction.input_quantizer),
        reduction=units.to_stream(f"{name}.reduction", reduction, bits[1]),
    )


def _swin_head(model: Any, units: UnitParameters, bits: int) -> Head:
    from timm.layers.classifier import ClassifierHead

    head = model.head
    if not _runs_as(head, ClassifierHead):
        raise refusal("head", head, "must be timm's ClassifierHead")
    _require_nothing("head.drop", head.drop)
    _require_nothing("head.flatten", head.flatten)
    if head.global_pool.pool_type != "avg":
        pooling = head.global_pool.pool_type
        raise refusal("head", head, f"its pooling must be avg, got {pooling!r}")
    norm, fc = _layer_norm("norm", model.norm), _integer("head.fc", head.fc)
    height, width = model.layers[-1].output_resolution
    mean = units.mean("norm", norm, bits, fc.input_quantizer, height * width)
    (linear,) = units.heads({"head.fc": fc})
    return Head(linear, mean=mean)


# -- What they share -------------------------------------------------------------------------------


def _places(name: str, blocks: Any) -> list[str]:
    """Return where the stream of some blocks is seen; refuse other blocks."""
    places = []
    for number, block in enumerate(blocks):
        each = f"{name}.{number}"
        if not any(_runs_as(block, kind) for kind in _blocks()):
            raise refusal(each, block, "must be timm's Block or SwinTransformerBlock")
        for part in ("norm1", "norm2"):
            _layer_norm(f"{each}.{part}", getattr(block, part))
        places += [f"{each}.norm1", f"{each}.norm2", f"{each}.output"]
    return places


def _embedding(
    units: UnitParameters,
    patch: Any,
    pixels: Pixels,
    size: tuple[int, int],
    bits: int,
    positions: Tensor,
    prefix: Tensor,
    norm: StreamNormParams | None,
) -> PatchEmbedding:
    """Pixels to the stream, and in front of the patches' tokens the constant ones."""
    from timm.layers.patch_embed import PatchEmbed

    proj = patch.proj
    if not _runs_as(patch, PatchEmbed) or patch.dynamic_img_pad:
        raise refusal("patch_embed", patch, "must be timm's PatchEmbed, without padding")
    if not isinstance(proj, IntegerConv2d):
        raise refusal("patch_embed.proj", proj, "must be calibrated in integer arithmetic")
    kernel = tuple(proj.weight.shape[2:])
    if kernel != proj.stride or kernel[0] != kernel[1]:
        raise refusal("patch_embed.proj", proj, f"must be of square patches, got {kernel}")
    return PatchEmbedding(
        height=size[0],
        width=size[1],
        patch=kernel[0],
        image=units.image("patch_embed.proj", proj.input_quantizer, pixels),
        linear=units.to_stream("patch_embed.proj", proj, bits),
        positions=units.constants("pos_embed", positions, bits),
        prefix=units.constants("cls_token", prefix, bits),
        norm=norm,
    )


def _block(
    units: UnitParameters, name: str, block: Any, bits: int
) -> tuple[Attention, Mlp | GatedMlp]:
    """An attention and an MLP, each behind its norm and with the scale of its branch."""
    for part in ("drop_path1", "drop_path2"):
        _require_nothing(f"{name}.{part}", getattr(block, part))
    return _attention(units, name, block, bits), _mlp(units, name, block, bits)


def _attention(units: UnitParameters, name: str, block: Any, bits: int) -> Attention:
    module = block.attn
    if not isinstance(module, IntegerAttention):
        raise refusal(f"{name}.attn", module, "must have an integer datapath")
    q, k, v = (_projection(units, f"{name}.attn", module, place) for place in range(3))
    gains = _layer_scale(f"{name}.ls1", block)
    bias, masked = module.score_bias, getattr(block, "attn_mask", None)
    return Attention(
        norm=units.norm(f"{name}.norm1", block.norm1, bits, module.qkv.input_quantizer),
        q=q,
        k=k,
        v=v,
        heads=module.num_heads,
        params=units.attention(f"{name}.attn", module),
        proj=units.to_stream(f"{name}.attn.proj", module.proj, bits, gains),
        bias=None if bias is None else bias[0].cpu().numpy(),
        masked=None if masked is None else (masked < 0).cpu().numpy(),
        windows=_windows(name, block),
    )


def _projection(units: UnitParameters, name: str, module: Any, place: int) -> Any:
    """Return q, k or v of an attention: its part of qkv, and its norm where it has one."""
    part, width = "qkv"[place], len(module.qkv.weight) // 3
    rows, target = slice(place * width, (place + 1) * width), getattr(module, f"{part}_quantizer")
    norm = getattr(module, f"{part}_norm", nn.Identity())
    if isinstance(norm, nn.Identity):
        factor = module.query_scale if part == "q" else 1.0
        return units.to_codes(f"{name}.qkv", module.qkv, rows, target, factor)
    layer, stream = _layer_norm(f"{name}.{part}_norm", norm), f"{name}.{part}_norm"
    bits = units.stream(stream, [stream])
    linear = units.to_stream(f"{name}.qkv", module.qkv, bits, rows=rows)
    return NormedLinear(linear, units.norm(stream, layer, bits, target))


def _windows(name: str, block: Any) -> Windows | None:
    if not hasattr(block, "window_size"):
        return None
    if block.dynamic_mask:
        raise refusal(name, block, "must have a mask of its own, not one made for each image")
    return Windows(*block.input_resolution, *block.window_size, *block.shift_size)


def _mlp(units: UnitParameters, name: str, block: Any, bits: int) -> Mlp | GatedMlp:
    from timm.layers.mlp import GluMlp
    from timm.layers.mlp import Mlp as Perceptron

    module = block.mlp
    if not _runs_as(module, Perceptron) and not _runs_as(module, GluMlp):
        raise refusal(f"{name}.mlp", module, "must be timm's Mlp or GluMlp")
    for part in ("drop1", "norm", "drop2"):
        _require_nothing(f"{name}.mlp.{part}", getattr(module, part))
    function = _activation(module.act)
    if function is None:
        raise refusal(f"{name}.mlp.act", module.act, "must be GELU, QuickGELU, ReLU or SiLU")
    fc1, fc2 = (_integer(f"{name}.mlp.{part}", getattr(module, part)) for part in ("fc1", "fc2"))
    norm = units.norm(f"{name}.norm2", block.norm2, bits, fc1.input_quantizer)
    to_stream = units.to_stream(f"{name}.mlp.fc2", fc2, bits, _layer_scale(f"{name}.ls2", block))
    if isinstance(module, GluMlp):
        width = len(fc1.weight) // 2
        gates, values = (slice(half * width, (half + 1) * width) for half in _halves(module))
        made = f"{name}.mlp", fc1, function, (gates, values), fc2.input_quantizer
        return GatedMlp(norm, *units.gated(*made), to_stream)
    return Mlp(norm, units.activation(f"{name}.mlp", fc1, function, fc2.input_quantizer), to_stream)


def _layer_scale(name: str, block: Any) -> Tensor | None:
    from timm.models.vision_transformer import LayerScale  # type: ignore[attr-defined]  # any timm

    module = getattr(block, name.rpartition(".")[2], None)
    if module is None or isinstance(module, nn.Identity):
        return None
    if not _runs_as(module, LayerScale):
        raise refusal(name, module, "must be timm's LayerScale")
    gamma: Tensor = module.gamma
    return gamma


def _layer_norm(name: str, module: nn.Module) -> nn.LayerNorm:
    if not isinstance(module, nn.LayerNorm) or module.weight is None or module.bias is None:
        raise refusal(name, module, "must be a LayerNorm of weight and bias")
    return module


def _integer(name: str, module: nn.Module) -> IntegerLinear:
    if not isinstance(module, IntegerLinear):
        raise refusal(name, module, "must be calibrated in integer arithmetic")
    return module


def _require_nothing(name: str, module: nn.Module) -> None:
    """Refuse a part that changes its input in eval mode."""
    from timm.layers.drop import DropPath
    from timm.layers.patch_dropout import PatchDropout

    if not isinstance(module, nn.Identity | nn.Dropout | DropPath | PatchDropout):
        raise refusal(name, module, "must be left out: the network has no unit for it")
