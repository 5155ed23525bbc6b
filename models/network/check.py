"""Every register of the torch network against the simulator's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bitlog2.sim.network.program import Program
from bitlog2.sim.network.simulator import Simulator

from ..watch.in_order import InOrder
from ..watch.recorder import Parting
from ..watch.registers import NETWORK, HeadChoice
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


#: A register of a part of the network: part, unit, name.
Key = tuple[str, str, str]


@dataclass
class Outcome:
    """What was compared.

    Attributes:
        counts, wrong: values of registers, and those of them that differ, by register.
        first: the first mismatches, in the order of the data.
        pixels: (1, colour, line, column), the image of the first one; None without any.
    """

    counts: dict[str, int] = field(default_factory=dict)
    wrong: dict[str, int] = field(default_factory=dict)
    first: list[Mismatch] = field(default_factory=list)
    pixels: Tensor | None = None

    def add(self, other: "Outcome") -> None:
        """Add what was compared behind this."""
        for total, new in ((self.counts, other.counts), (self.wrong, other.wrong)):
            for name, count in new.items():
                total[name] = total.get(name, 0) + count
        self.first += other.first[: _KEPT - len(self.first)]
        self.pixels = other.pixels if self.pixels is None else self.pixels


@dataclass
class Observed:
    """Images that the torch network ran on, and every register of theirs.

    Attributes:
        pixels: (B, colour, line, column) integers.
        numbers: of the images.
        registers: (B, ...), in the order of the data.
    """

    pixels: Tensor
    numbers: list[int]
    registers: dict[Key, Tensor] = field(default_factory=dict)

    def keep(self, part: str, unit: str, registers: dict[str, Tensor]) -> None:
        """Take the registers of a unit, which nobody changes any more."""
        self.registers |= {(part, unit, name): values for name, values in registers.items()}

    @property
    def values(self) -> int:
        """Number of values."""
        return sum(each.numel() for each in self.registers.values())

    def compared(self, simulator: Simulator) -> Outcome:
        """Run the simulator, and compare each register as it comes, by `==`.

        Raises:
            ValueError: a register is of one of them only, or has another shape.
        """
        found = Outcome()

        def compare(part: str, unit: str, registers: Mapping[str, NDArray[Any]]) -> None:
            for name, expected in registers.items():
                self._compare((part, unit, name), expected, found)

        simulator(self.pixels.cpu().numpy().astype(np.uint16), compare)
        for key in self.registers:
            raise ValueError(f"register {' '.join(key)} must be of both, the simulator has none")
        return found

    def _compare(self, key: Key, expected: NDArray[Any], found: Outcome) -> None:
        ours, name = self.registers.pop(key, None), key[2]
        if ours is None:
            raise ValueError(f"register {' '.join(key)} must be of both, torch has none")
        values = ours.cpu().numpy()
        if expected.shape != values.shape:
            raise ValueError(
                f"register {' '.join(key)} must have shape {expected.shape[1:]}, "
                f"got {values.shape[1:]}"
            )
        differ = expected != values
        wrong = int(np.count_nonzero(differ))
        found.counts[name] = found.counts.get(name, 0) + values.size
        found.wrong[name] = found.wrong.get(name, 0) + wrong
        if not wrong or len(found.first) == _KEPT:
            return
        for place in map(tuple, np.argwhere(differ)[: _KEPT - len(found.first)].tolist()):
            at = Place(self.numbers[place[0]], *key, place[1:])
            found.first.append(Mismatch(at, int(expected[place]), int(values[place])))
            if found.pixels is None:
                found.pixels = self.pixels[place[0] : place[0] + 1]


class NetworkChecker:
    """Runs the torch network on images and, behind it on another thread, the simulator.

    Args:
        program: what both load.
        loaded: network and simulator of that program, where they are there already.
    """

    def __init__(
        self, program: Program, loaded: tuple[IntegerNetwork, Simulator] | None = None
    ) -> None:
        self.program = program
        self.network, self._simulator = loaded or (IntegerNetwork(program), Simulator(program))
        self._work: InOrder[Outcome] = InOrder(threads=1, waiting=1)
        self._found = Outcome()
        self._replay: Replay | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Values of registers so far, by register; errors as `finish`."""
        return self.finish().counts

    @property
    def wrong(self) -> dict[str, int]:
        """Values that differ so far, by register; errors as `finish`."""
        return self.finish().wrong

    @property
    def first(self) -> list[Mismatch]:
        """The first mismatches, in the order of the data; errors as `finish`."""
        return self.finish().first

    @property
    def replay(self) -> Replay | None:
        """The file of the first one; None without any; errors as `finish`."""
        self.finish()
        return self._replay

    @property
    def compared(self) -> int:
        """Values of registers so far; errors as `finish`."""
        return sum(self.counts.values())

    @property
    def mismatched(self) -> int:
        """Values that differ so far; errors as `finish`."""
        return sum(self.wrong.values())

    def __call__(self, pixels: Tensor, numbers: Sequence[int] | None = None) -> Tensor:
        """Return the logits of the torch network, (B, classes) int32; the comparison goes on.

        Args:
            pixels: (B, colour, line, column) integers.
            numbers: of the images; None for their places.

        Raises:
            ValueError: as `finish`, of what was compared by now.
        """
        numbers, logits, start, step = numbers or range(len(pixels)), [], 0, 1
        while start < len(pixels):
            part = slice(start, start + step)
            seen = Observed(pixels[part], list(numbers[part]))
            self.network.observe = seen.keep
            try:
                with torch.inference_mode():
                    logits.append(IntegerNetwork.forward(self.network, seen.pixels))
            finally:
                self.network.observe = None
            start += step
            step = max(1, _VALUES * len(seen.pixels) // max(1, seen.values))
            self._merge(self._work.submit(partial(seen.compared, self._simulator)))
        return torch.cat(logits)

    def finish(self) -> Outcome:
        """Wait until all that was run has been compared, and return what was found.

        Raises:
            ValueError: a register is of one of both only, or has another shape there.
        """
        self._merge(self._work.drain())
        if self._found.first and self._replay is None:
            self._keep_inputs()
        return self._found

    def cancel(self) -> None:
        """Drop what waits to be compared. The thread ends."""
        self._work.cancel()

    def _merge(self, outcomes: list[Outcome]) -> None:
        for each in outcomes:
            self._found.add(each)

    def _keep_inputs(self) -> None:
        """Add its inputs to the first mismatch."""
        first, pixels = self._found.first[0], self._found.pixels
        assert pixels is not None
        inputs = inputs_of(self.network, pixels, first.place)
        self._replay = replay_of(first.place, first.expected, first.found, inputs, self.program)
        run = PartRun(self.program, first.place, inputs)
        self._found.first[0] = replace(first, inputs=run.values(run.simulator()))

    def lines(self) -> list[str]:
        """Return the report: the first mismatches, and the counts."""
        return [
            *map(str, self.first),
            f"registers: {self.compared:,} values compared, {self.mismatched:,} mismatches",
        ]


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
        found: compares, and counts.
    """

    def __init__(self, choice: HeadChoice, network: ImageNetwork, simulator: Simulator) -> None:
        self._choice, self._network = choice, network
        self.found = NetworkChecker(network.program, (network, simulator))

    def run(self, images: Tensor, numbers: list[int]) -> Tensor:
        """Return the logits (B, classes) int32 of a batch; the check of the chosen images goes on.

        Args:
            images: (B, colour, line, column) float32.
            numbers: number of each image in the validation set.

        Raises:
            ValueError: as `NetworkChecker.finish`, of what was compared by now.
        """
        pixels = self._network.normalization.of(images)
        chosen = self._choice.pairs(NETWORK, numbers, 1).tolist()
        found = self.found(pixels[chosen], [numbers[place] for place in chosen])
        left = sorted(set(range(len(images))) - set(chosen))
        logits = found.new_empty((len(images), found.shape[1]))
        logits[chosen] = found
        if left:
            with torch.inference_mode():
                logits[left] = IntegerNetwork.forward(self._network, pixels[left])
        return logits
