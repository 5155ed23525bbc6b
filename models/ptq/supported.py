"""Refusal, by name, of the parts of a model that have no quantized form."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from torch.utils._python_dispatch import TorchDispatchMode

from bitlog2.documents import brief

#: Layers that have a quantized form, beside the attentions.
_LAYERS = (nn.Linear, nn.Conv2d)

#: Operators that sum products; "attention" is in the fused ones' names.
_PRODUCTS = re.compile(
    r"mm|mv|dot|conv(?!ert)|(?<!upsample_bi)(?<!upsample_tri)linear|attention|einsum|transformer|"
    r"rnn|lstm|gru|fft|cdist"
)


@lru_cache(maxsize=1)
def attentions() -> tuple[Any, ...]:
    """Return the classes of attention that have a quantized form; timm takes seconds to import."""
    from timm.models.swin_transformer import WindowAttention
    from timm.models.vision_transformer import Attention  # type: ignore[attr-defined]  # any timm

    return Attention, WindowAttention


class Heads(NamedTuple):
    """Sizes that an attention layer needs of the datapath: keys of a row, channels of a head."""

    max_tokens: int
    max_head_dim: int


def check_images(images: Tensor) -> None:
    """Refuse images that cannot calibrate a model.

    Raises:
        TypeError, ValueError: not (B, C, H, W) float32 of at least one image, all finite; or this
            is within torch.autocast.
    """
    if not isinstance(images, Tensor):
        raise TypeError(f"calibration images must be a torch tensor, got {type(images).__name__}")
    if images.ndim != 4 or images.dtype != torch.float32 or images.is_meta:
        kind = "meta" if images.is_meta else str(images.dtype).removeprefix("torch.")
        raise ValueError(
            f"calibration images must be (B, C, H, W) float32, got {tuple(images.shape)} {kind}"
        )
    if images.numel() == 0:
        raise ValueError(
            f"calibration images must be at least one, got the empty batch {tuple(images.shape)}"
        )
    if torch.is_autocast_enabled(images.device.type):
        raise ValueError("calibration images must be run outside of torch.autocast")
    if not bool(images.isfinite().all()):
        raise ValueError("calibration images must be finite, got NaN or infinity")


def check_numbers(model: nn.Module) -> None:
    """Refuse other parameters than float32, buffers of half precision, and compiled models.

    Raises:
        TypeError, ValueError: names the first layer that is compiled, or whose parameters are half
            precision, without data, or on another device than the first one's.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {brief(model)}")
    device = None
    for name, module in model.named_modules():
        compiled = hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None)
        if compiled or isinstance(module, torch.jit.ScriptModule):
            raise refusal(name, module, "must be as it was before torch.compile or torch.jit")
        own = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
        for part, tensor in own:
            found = "meta" if tensor.is_meta else str(tensor.dtype).removeprefix("torch.")
            wrong = isinstance(tensor, nn.Parameter) or found in ("meta", "float16", "bfloat16")
            if wrong and found != "float32":
                raise ValueError(f"layer {name or 'model'}: {part} must be float32, got {found}")
            device = device or tensor.device
            if tensor.device != device:
                raise ValueError(
                    f"layer {name or 'model'}: {part} must be on {device} as the others, "
                    f"got {tensor.device}"
                )


def replaced_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Return what has a quantized form, by module name.

    Raises:
        ValueError: one of them does more than its quantized form would (a forward method of its
            own, hooks, a parametrized weight), or is in two places.
    """
    found: dict[str, nn.Module] = {}
    places: dict[nn.Module, str] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        kind = next((kind for kind in (*attentions(), *_LAYERS) if isinstance(module, kind)), None)
        if kind is None or not (is_parametrized(module) or type(module).forward is kind.forward):
            continue  # refused as any other module, if it takes part
        if not name:
            raise refusal(name, module, "must be a part of a model")
        if module in places:
            raise refusal(name, module, f"must be in one place, it is {places[module]} too")
        if is_parametrized(module) or module._forward_hooks or module._forward_pre_hooks:
            raise refusal(name, module, "must have no hooks and no parametrization")
        found[name], places[module] = module, name
    for name, module in found.items():
        for part in ("qkv", "proj") if isinstance(module, attentions()) else ():
            if not isinstance(found.get(f"{name}.{part}"), nn.Linear):
                raise refusal(name, module, f"its {part} must be a Linear")
    return found


def refusal(name: str, module: nn.Module, must: str) -> ValueError:
    """Return the error that names a module by path and class."""
    return ValueError(f"layer {name or 'model'} ({type(module).__name__}): {must}")


def require_supported(model: nn.Module, images: Tensor) -> dict[str, Heads]:
    """Run a model on one image; refuse it where it computes products outside of `replaced_modules`.

    The operators that torch carries out are seen, with any caller. Operations element by element
    (norms, activations, gates, residuals) are free: they stay float32 in both arithmetics.

    Args:
        model: a network in eval mode; left as it is.
        images: a batch as for `check_images`, on the model's device; the first image is run.

    Returns:
        What each attention layer that ran asks of a datapath, by module name.

    Raises:
        ValueError: names module and class of what has no quantized form, of an attention that does
            not take part, or of the layer that refuses such images.
    """
    replaced = replaced_modules(model)
    stack: list[tuple[str, nn.Module]] = [("", model)]
    heads: dict[str, Heads] = {}
    with _stacked(model, stack, heads), torch.no_grad(), _Watch(stack, set(replaced)):
        try:
            model(images[:1])
        except (RuntimeError, AssertionError, IndexError, TypeError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            shape = tuple(images.shape)
            raise refusal(*stack[-1], f"calibration images {shape} must fit: {reason}") from error
    for name, module in replaced.items():
        if isinstance(module, attentions()) and name not in heads:
            raise refusal(name, module, "must take part when the model runs")
    if not heads:
        raise refusal("", model, "must have an attention layer that has a quantized form")
    return heads


@contextmanager
def _stacked(
    model: nn.Module, stack: list[tuple[str, nn.Module]], heads: dict[str, Heads]
) -> Iterator[None]:
    """Keep on the stack which modules are running, and note what attention is given."""
    handles: list[Any] = []

    def entering(name: str) -> Any:
        def enter(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            stack.append((name, module))
            if isinstance(module, attentions()) and inputs:
                tokens = max(inputs[0].shape[1], heads.get(name, (0,))[0])
                heads[name] = Heads(tokens, module.qkv.out_features // (3 * module.num_heads))

        return enter

    def leave(_module: nn.Module, _inputs: tuple[Any, ...], _output: Any) -> None:
        stack.pop()

    try:
        for name, module in model.named_modules():
            handles.append(module.register_forward_pre_hook(entering(name)))
            handles.append(module.register_forward_hook(leave))
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses products that run while none of some modules is on the stack."""

    def __init__(self, stack: list[tuple[str, nn.Module]], covered: set[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._stack, self._covered = stack, covered

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        operator = func._schema.name.removeprefix("aten::")
        if not any(name in self._covered for name, _ in self._stack) and (
            _PRODUCTS.search(operator) or _sums_later(operator, args, output)
        ):
            raise refusal(*self._stack[-1], f"has no quantized form: it computes {operator}")
        return output


def _sums_later(operator: str, args: tuple[Any, ...], output: Any) -> bool:
    """Whether this is part of an attention that is written element by element.

    A softmax over tokens, not over the classes of (B, classes); or every value times every other.
    """
    if operator in ("_softmax", "_safe_softmax"):
        return args[0].ndim > 2
    if operator.rstrip("_") != "mul" or not all(isinstance(arg, Tensor) for arg in args[:2]):
        return False
    return output.numel() > max(arg.numel() for arg in args[:2])
