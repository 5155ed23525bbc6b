"""Every register of the torch network against the simulator's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bitlog2.sim.network.program import Program
from bitlog2.sim.network.simulator import Simulator

from ..watch.check import NETWORK, HeadChoice
from ..watch.recorder import Parting
from .network import ImageNetwork, IntegerNetwork
from .replay import PartRun, Place, Replay, axes_of, in_hex, inputs_of, replay_of

#: Mismatches that are kept; the others are counted.
_KEPT = 5
#: Values of registers that are held at once, of as many images as have no more.
_VALUES = 1 << 25


@dataclass(frozen=True)
class Mismatch:
    """A value of a register that is not the simulator's.

    Attributes:
        place: where.
        expected, found: of the simulator, and of the torch network.
        inputs: what the unit computes it from, as far as that is one value each; of the first
            mismatch alone.
    """

    place: Place
    expected: int
    found: int
    inputs: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        inputs = ", ".join(f"{name} {value}" for name, value in self.inputs.items())
        return (
            f"{self.place}: expected {in_hex(self.expected)}, got {in_hex(self.found)}"
            f"{'; inputs: ' * bool(inputs)}{inputs}"
        )


@dataclass
class NetworkChecker:
    """Runs both on images, and compares.

    Args:
        program: what both load.
        loaded: network and simulator of that program, where they are there already.

    Attributes:
        counts, wrong: values of registers compared so far, and those that differ, by register.
        first: the first mismatches, in the order of the data.
        replay: the file of the first one; None without any.
    """

    program: Program
    loaded: tuple[IntegerNetwork, Simulator] | None = None
    counts: dict[str, int] = field(default_factory=dict)
    wrong: dict[str, int] = field(default_factory=dict)
    first: list[Mismatch] = field(default_factory=list)
    replay: Replay | None = None

    def __post_init__(self) -> None:
        self.network, self._simulator = self.loaded or (
            IntegerNetwork(self.program),
            Simulator(self.program),
        )
        self._expected: dict[tuple[str, str, str], NDArray[Any]] = {}
        self._numbers: list[int] = []

    @property
    def compared(self) -> int:
        """Values of registers so far."""
        return sum(self.counts.values())

    @property
    def mismatched(self) -> int:
        """Values that differ so far."""
        return sum(self.wrong.values())

    def __call__(self, pixels: Tensor, numbers: Sequence[int] | None = None) -> Tensor:
        """Return the logits of the torch network, (B, classes) int32, and compare all registers.

        Args:
            pixels: (B, colour, line, column) integers.
            numbers: of the images; None for their places.
        """
        numbers, logits, start, step = numbers or range(len(pixels)), [], 0, 1
        while start < len(pixels):
            part = slice(start, start + step)
            self._numbers, before = list(numbers[part]), self.compared
            logits.append(self._run(pixels[part]))
            start += step
            step = max(1, _VALUES * step // max(1, self.compared - before))
        return torch.cat(logits)

    def _run(self, pixels: Tensor) -> Tensor:
        """Return the logits of some images whose registers memory holds at once."""
        self._simulator(pixels.cpu().numpy().astype(np.uint16), self._expect)
        self.network.observe = self._compare
        try:
            with torch.inference_mode():
                logits: Tensor = IntegerNetwork.forward(self.network, pixels)
        finally:
            self.network.observe = None
        for key in self._expected:
            raise ValueError(f"register {' '.join(key)} must be of both, torch has none")
        if self.first and self.replay is None:
            self._keep_inputs(pixels)
        return logits

    def _keep_inputs(self, pixels: Tensor) -> None:
        """Add its inputs to the first mismatch, which is on one of these images."""
        first = self.first[0]
        image = self._numbers.index(first.place.image)
        inputs = inputs_of(self.network, pixels[image : image + 1], first.place)
        self.replay = replay_of(first.place, first.expected, first.found, inputs, self.program)
        run = PartRun(self.program, first.place, inputs)
        self.first[0] = replace(first, inputs=run.values(run.simulator()))

    def lines(self) -> list[str]:
        """Return the report: the first mismatches, and the counts."""
        return [
            *map(str, self.first),
            f"registers: {self.compared:,} values compared, {self.mismatched:,} mismatches",
        ]

    def _expect(self, part: str, unit: str, registers: Mapping[str, NDArray[Any]]) -> None:
        self._expected |= {(part, unit, name): values for name, values in registers.items()}

    def _compare(self, part: str, unit: str, registers: dict[str, Tensor]) -> None:
        for name, values in registers.items():
            expected, found = self._expected.pop((part, unit, name), None), values.cpu().numpy()
            if expected is None or expected.shape != found.shape:
                shape = None if expected is None else expected.shape[1:]
                raise ValueError(
                    f"register {part} {unit} {name} must have shape {shape}, got {found.shape[1:]}"
                )
            differ = expected != found
            self.counts[name] = self.counts.get(name, 0) + found.size
            self.wrong[name] = self.wrong.get(name, 0) + int(np.count_nonzero(differ))
            if not self.wrong[name] or len(self.first) == _KEPT:
                continue
            for place in map(tuple, np.argwhere(differ)[: _KEPT - len(self.first)].tolist()):
                there = int(expected[place]), int(found[place])
                number = self._numbers[place[0]]
                found_at = Place(number, part, unit, name, place[1:])
                self.first.append(Mismatch(found_at, *there))


def first_parting(a: ImageNetwork, b: ImageNetwork, image: Tensor, number: int) -> Parting | None:
    """Return the first register, in the order of the data, at which two networks part on an image.

    Args:
        a, b: the networks.
        image: (1, colour, line, column) float32.
        number: of the image.

    Returns:
        None where they do not.
    """
    of_a, of_b = _registers_of(a, image), _registers_of(b, image)
    for (part, unit, name), ours in of_a.items():
        theirs = of_b.get((part, unit, name))
        if theirs is None or theirs.shape != ours.shape:
            return Parting(number, f"{part} {unit}", name)
        if not torch.equal(ours, theirs):
            where = tuple((ours != theirs).nonzero()[0].tolist())
            values = int(ours[where]), int(theirs[where])
            return Parting(number, f"{part} {unit}", name, where[1:], *values, axes_of(unit))
    return None


def _registers_of(network: ImageNetwork, image: Tensor) -> dict[tuple[str, str, str], Tensor]:
    found: dict[tuple[str, str, str], Tensor] = {}

    def keep(part: str, unit: str, registers: dict[str, Tensor]) -> None:
        found.update({(part, unit, name): values for name, values in registers.items()})

    network.observe = keep
    with torch.inference_mode():
        network(image)
    network.observe = None
    return found


class NetworkCheck:
    """The check of a batch of a whole network: all of it, or the chosen images.

    Args:
        choice: chooses images as it chooses the heads of a layer, with one head each.
        network, simulator: of one program.

    Attributes:
        found: what was compared.
    """

    def __init__(self, choice: HeadChoice, network: ImageNetwork, simulator: Simulator) -> None:
        self._choice, self._network = choice, network
        self.found = NetworkChecker(network.program, (network, simulator))

    def run(self, images: Tensor, numbers: list[int], logits: Tensor) -> None:
        """Compare the registers of the chosen images; their logits must be those of the batch.

        Args:
            images: (B, colour, line, column) float32.
            numbers: number of each in the validation set.
            logits: (B, classes) int32, what the network gave the batch.
        """
        chosen = self._choice.pairs(NETWORK, numbers, 1).tolist()
        found = self.found(
            self._network.normalization.of(images[chosen]), [numbers[place] for place in chosen]
        )
        if not torch.equal(found, logits[chosen]):
            raise ValueError("logits must not depend on the batch: those of the check are others")
