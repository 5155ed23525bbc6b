"""Training through the integers: a quantized model whose roundings let gradients pass.

Forwards a trainable model computes the integers of the model that it was made of, bit for bit: it
runs the same layers and the same datapath. Backwards each of these stands for its real function
(straight-through estimator; Bengio et al., 2013), at the values that it gave:

- a code is x / scale; one that saturates is a constant;
- a linear layer is a product of dequantized inputs and weights;
- the values of a coded attention map are the softmax of the dequantized scores;
- LayerNorm, activations and residuals are float32 in both directions.

Weights, biases and norms are trained, as float32 parameters that each pass rounds as `quantize`
does; scales and zero points stay as calibrated.
"""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitlog2.sim.checks import check_int
from bitlog2.sim.network.simulator import Simulator

from .images.pixels import Pixels
from .network.check import NetworkCheck
from .network.lower import Lowered, lower
from .network.network import ImageNetwork
from .ptq.attention import IntegerAttention, masked_keys, raw_bias
from .ptq.layers import IntegerConv2d, IntegerLinear
from .ptq.quantizers import CodeUniform, NormalizedMap
from .ptq.supported import refusal
from .watch.check import Checker
from .watch.registers import HeadChoice
from .watch.watching import Observation, Watcher, watch


class _Valued(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, exact: Tensor, surrogate: Tensor) -> Tensor:
        return exact.view_as(exact)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:  # type: ignore[override]
        return None, gradient


def valued(exact: Tensor, surrogate: Tensor) -> Tensor:
    """Return the first with the gradient of the second; both of one shape and type."""
    result: Tensor = _Valued.apply(exact, surrogate)  # type: ignore[no-untyped-call]
    return result


class TrainableUniform(CodeUniform):
    """Codes whose gradient is that of x / scale where they do not saturate, else 0."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the codes of x, as `CodeUniform`."""
        return self.centred(x) + self.zero_point

    def centred(self, x: Tensor) -> Tensor:
        """Return codes less the zero point, as `CodeUniform`."""
        centred = super().centred(x.detach())
        if not torch.is_grad_enabled():
            return centred
        real = x / self.delta
        inside = (real.detach() - centred).abs_() <= 0.5
        return valued(centred, real * inside)

    def dequantized(self, codes: Tensor) -> Tensor:
        """Return the real values of codes."""
        return (codes - self.zero_point) * self.delta


class TrainableLinear(IntegerLinear):
    """A linear layer of exact integers, with the gradient of that of dequantized operands."""

    input_quantizer: TrainableUniform
    weight_quantizer: TrainableUniform

    def from_centred(self, centred: Tensor) -> Tensor:
        """Return the layer's output of centred input codes (..., in), its weight coded anew.

        Raises:
            RuntimeError: this is within torch.autocast, whose sums are others.
        """
        if torch.is_autocast_enabled(centred.device.type):
            raise RuntimeError("a trainable model must be run outside of torch.autocast")
        weight = self.weight_quantizer.centred(self.weight)
        with torch.no_grad():
            self.weight_codes = weight.flatten(1).to(torch.int16)
            exact = super().from_centred(centred)
        if not torch.is_grad_enabled():
            return exact
        x, scale = centred * self.input_quantizer.delta, self.weight_quantizer.delta
        return valued(exact, F.linear(x, (weight * scale).flatten(1), self.bias))


class TrainableConv2d(TrainableLinear, IntegerConv2d):
    """The patch projection: patches unfolded, then `TrainableLinear`."""


class TrainableAttention(IntegerAttention):
    """Attention through the integer datapath, with the gradient of a softmax of real scores.

    Attributes:
        position_bias: (1, H, N, N) float32, of which each pass makes the score bias, or None; at
            first what the score bias of the quantized model stands for.
    """

    proj: TrainableLinear
    q_quantizer: TrainableUniform
    k_quantizer: TrainableUniform
    v_quantizer: TrainableUniform
    position_bias: nn.Parameter | None

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = self.q_quantizer(q), self.k_quantizer(k), self.v_quantizer(v)
        masked = masked_keys(mask, len(q))
        with torch.no_grad():
            self.score_bias = raw_bias(self.position_bias, self.datapath.config)
            regs = self.datapath(q, k, v, self.params(), masked, self.score_bias)
        o = regs.output.o.transpose(1, 2).flatten(2).to(q.dtype)  # (B, N, C)
        if torch.is_grad_enabled():
            values = self.datapath.values[regs.map.level.int()]
            sums = regs.map.weight_sum
            scale = self.delta if sums is None else sums.unsqueeze(-1)
            coded = valued((values / scale).to(q.dtype), self._softmax(q, k, masked))
            out = (coded @ self.v_quantizer.dequantized(v)).transpose(1, 2).flatten(2)
            o = valued(o, self.proj.input_quantizer(out))
        return self.proj.from_codes(o)

    def _softmax(self, q: Tensor, k: Tensor, masked: Tensor | None) -> Tensor:
        """Return the map (B, H, N, N) of codes q and k (B, H, N, D), in real numbers."""
        q, k = self.q_quantizer.dequantized(q), self.k_quantizer.dequantized(k)
        scores = (q @ k.transpose(-2, -1)) * self.score_scale
        if self.position_bias is not None:
            scores = scores + self.position_bias
        if masked is not None:
            scores = scores.masked_fill(masked, float("-inf"))
        return scores.softmax(dim=-1)


#: A trainable class adds what a module does, and but for the position bias no state: so a module
#: changes over by its class, and keeps its names in the state of the model.
_TRAINABLE: dict[type[nn.Module], type[nn.Module]] = {
    CodeUniform: TrainableUniform,
    IntegerLinear: TrainableLinear,
    IntegerConv2d: TrainableConv2d,
    IntegerAttention: TrainableAttention,
}
_QUANTIZED = {new: old for old, new in _TRAINABLE.items()}


def trainable(quantized: nn.Module) -> nn.Module:
    """Return a trainable copy of a quantized model; every parameter of it takes gradients.

    Dropout and stochastic depth act in train mode as they do in the unquantized model.

    Args:
        quantized: as `quantize` returns it or `load_quantized` has it, not in float arithmetic:
            for `integer` see `TrainableNetwork`. Left as it is.

    Raises:
        TypeError, ValueError: the model is not quantized in integers, or its map is a normalized
            code, which has no gradient.
    """
    if not isinstance(quantized, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(quantized).__name__}")
    if not any(isinstance(each, IntegerLinear) for each in quantized.modules()):
        raise refusal("", quantized, "must be quantized, in the arithmetic attention or integer")
    model = copy.deepcopy(quantized).requires_grad_(True)
    for name, module in model.named_modules():
        if isinstance(module, NormalizedMap):
            raise refusal(name, module, "has no gradient: only maps of the datapath are trained")
        module.__class__ = _TRAINABLE.get(type(module), type(module))
        if isinstance(module, TrainableAttention):
            raw = module.score_bias
            unit = math.log(2.0) / 2.0**module.datapath.config.fraction_bits
            real = None if raw is None else nn.Parameter(raw * unit)
            module.register_parameter("position_bias", real)
    return model


def frozen(model: nn.Module) -> nn.Module:
    """Return the quantized model of a trainable one, as `quantize` returns it, without hooks.

    Args:
        model: as `trainable` returns it, trained or not, or a `TrainableNetwork`; left as it is.

    Raises:
        ValueError: names a parameter that is not finite.
    """
    model = model.model if isinstance(model, TrainableNetwork) else model
    for name, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            raise ValueError(f"parameter {name} must be finite, got NaN or infinity")
    result = copy.deepcopy(model).eval().requires_grad_(False)
    for module in result.modules():
        if isinstance(module, TrainableLinear):
            codes = module.weight_quantizer.centred(module.weight)
            module.weight_codes = codes.flatten(1).to(torch.int16)
        elif isinstance(module, TrainableAttention):
            module.score_bias = raw_bias(module.position_bias, module.datapath.config)
            del module.position_bias
    for module in result.modules():
        module.__class__ = _QUANTIZED.get(type(module), type(module))
        module._forward_pre_hooks.clear()
        module._forward_hooks.clear()  # of `checked`, inside of which this may be
    return result


class TrainableNetwork(nn.Module):
    """The whole network in integers: the program of a trainable model, made anew in each pass.

    Forwards the logits are the program's, in real numbers: int32 times the value of their LSB, as
    float32. Backwards they are those of the trainable model.

    Args:
        quantized: as `trainable` takes it, with an integer attention map.
        images: those that calibrated it; they choose the formats of the program.
        pixels: what a pixel of images stands for; a pass takes images of whole pixels alone.
        hardware: as `lower` takes it.

    Attributes:
        model: what is trained; `frozen` makes the quantized model of it.
        lowered: program of the last pass, and what was chosen for it; None before.

    Raises:
        TypeError, ValueError: as `trainable`, and `lower` in each pass.
    """

    images: Tensor

    def __init__(
        self,
        quantized: nn.Module,
        images: Tensor,
        pixels: Pixels,
        hardware: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.model = trainable(quantized)
        self.register_buffer("images", images, persistent=False)
        self.pixels, self.hardware = pixels, hardware
        self.lowered: Lowered | None = None

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, classes) float32 of images (B, colour, line, column)."""
        with torch.no_grad():
            model = frozen(self.model)
            self.lowered = lower(model, self.images, self.pixels, hardware=self.hardware)
            program, choices = self.lowered
            logits = ImageNetwork(program, self.pixels).to(images.device)(images)
            real = (logits.double() / 2.0**choices.logit_bits).float()
        return valued(real, self.model(images)) if torch.is_grad_enabled() else real


class _Check(Watcher):
    """Compares one pass of so many, and raises what it finds."""

    requires = "check"

    def __init__(self, every: int, mode: str, seed: int) -> None:
        self.compared: dict[str, int] = {}
        self._every, self._choice = every, HeadChoice(mode, seed)
        self._heads = Checker(mode, seed, keep=1, threads=0)
        self._passes, self._due, self._numbers = 0, False, range(0)

    def enter(self, images: Tensor) -> range:
        """Begin a pass; return the numbers of its images."""
        training = torch.is_grad_enabled()
        self._due = training and self._passes % self._every == 0
        self._passes += training
        self._numbers = range(self._numbers.stop, self._numbers.stop + len(images))
        return self._numbers

    def attach(self, model: nn.Module, layers: Sequence[str]) -> None:
        """Refuse a model with another attention than that of a datapath."""
        self._heads.attach(model, layers)

    def take(self, seen: Observation) -> None:
        """Compare some heads of a datapath."""
        if self._due:
            self._heads.take(seen)
            self._keep(self._heads.compared, self._heads.mismatches)

    def network(self, module: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        """Compare some images of the program that a pass made."""
        if self._due:
            assert isinstance(module, TrainableNetwork)
            assert module.lowered is not None
            program = module.lowered.program
            network = ImageNetwork(program, module.pixels).to(inputs[0].device)
            check = NetworkCheck(self._choice, network, Simulator(program))
            check.run(inputs[0], list(self._numbers))
            before, new = self.compared, check.found.counts
            counts = {name: before.get(name, 0) + count for name, count in new.items()}
            self._keep(counts, check.found.first)

    def _keep(self, counts: Mapping[str, int], mismatches: Sequence[object]) -> None:
        self.compared.update(counts)
        if mismatches:
            raise RuntimeError(f"a pass must be that of the simulator: {mismatches[0]}")


@contextmanager
def checked(
    model: nn.Module, every: int = 50, mode: str = "sample:4", seed: int = 0
) -> Iterator[dict[str, int]]:
    """Compare the registers of a training model with the simulator's, in one pass of `every`.

    A pass is a forward call with gradients enabled; the first one is compared. It stands around a
    training loop: `with checked(model) as compared: ...`.

    Args:
        model: as `trainable` returns it, or a `TrainableNetwork`.
        every: 1 or more.
        mode: as `HeadChoice` takes it: heads of each layer; of a `TrainableNetwork` images, with
            every register of the network.
        seed: of that choice.

    Yields:
        values compared so far, by register.

    Raises:
        TypeError, ValueError: an argument is out of range, or the model has no integer attention.
        RuntimeError: from the forward call: a register differs. Names layer, image (by its number
            since the beginning), place and inputs.
    """
    check_int("every", every, 1, 1 << 31)
    check = _Check(every, mode, seed)
    whole = isinstance(model, TrainableNetwork)
    with watch(model, *(() if whole else (check,))) as watched:
        handles: list[Any] = [
            model.register_forward_pre_hook(lambda _, given: watched.begin(check.enter(given[0])))
        ]
        if whole:
            handles.append(model.register_forward_hook(check.network))
        try:
            yield check.compared
        finally:
            for handle in handles:
                handle.remove()
