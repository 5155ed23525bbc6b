"""Training through the integers: a quantized model whose roundings let gradients pass.

Forwards a trainable model computes the integers of the model that it was made of, bit for bit: it
runs the same layers and the same datapath. Backwards each of these stands for its real function
(straight-through estimator; Bengio et al., 2013), at the values that it gave:

- a code is x / scale; one that saturates is a constant;
- a linear layer is a product of dequantized inputs and weights;
- the values of a coded attention map are the softmax of the dequantized scores;
- LayerNorm, activations and residuals are float32 in both directions.

Weights, biases and norms are trained, as float32 parameters that each pass rounds as `quantize`
does; zero points stay as calibrated, and so do scales unless `trainable` is asked for those of
activations.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bitlog2.sim.checks import check_int
from bitlog2.sim.network.simulator import Simulator

from .images.pixels import Pixels
from .network.check import NetworkCheck
from .network.lower import Lowered, lower
from .network.network import ImageNetwork
from .ptq import trainable as layers
from .ptq.trainable import trainable as trainable
from .ptq.trainable import valued
from .watch.check import Checker
from .watch.registers import HeadChoice
from .watch.watching import Observation, Watcher, watch


def frozen(model: nn.Module) -> nn.Module:
    """Return the quantized model of a trainable one, as `quantize` returns it, without hooks.

    Args:
        model: as `trainable` returns it, trained or not, or a `TrainableNetwork`; left as it is.

    Raises:
        ValueError: names a parameter that is not finite.
    """
    return layers.frozen(model.model if isinstance(model, TrainableNetwork) else model)


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
