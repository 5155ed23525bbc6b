"""Every register of the torch network against the simulator's, image by image."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bitlog2.sim.network.program import Program
from bitlog2.sim.network.simulator import Simulator

from .network import IntegerNetwork

#: Mismatches that are kept; the others are counted.
_KEPT = 5
#: Names of the axes of a register by unit; those of others are token and channel.
_AXES = {
    "image_requantizer": ("colour", "line", "column"),
    "attention_row": ("group", "row", "key or channel"),
}


@dataclass(frozen=True)
class Mismatch:
    """A value of a register that is not the simulator's.

    Attributes:
        image: its number.
        part, unit, register: where, as a trace names them.
        place: token and channel, or what else the register has axes of.
        expected, found: of the simulator, and of the torch network.
    """

    image: int
    part: str
    unit: str
    register: str
    place: tuple[int, ...]
    expected: int
    found: int

    def __str__(self) -> str:
        axes = zip(_AXES.get(self.unit, ("token", "channel")), self.place, strict=False)
        place = " ".join(f"{name} {index}" for name, index in axes)
        return (
            f"image {self.image} {self.part} {self.unit} {self.register} {place}: expected "
            f"{self.expected} ({self.expected:#x}), got {self.found} ({self.found:#x})"
        )


@dataclass
class NetworkChecker:
    """Runs both on images, and compares.

    Args:
        program: what both load.

    Attributes:
        compared, mismatched: values of registers so far.
        first: the first mismatches, in the order of images and data.
    """

    program: Program
    compared: int = 0
    mismatched: int = 0
    first: list[Mismatch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._simulator = Simulator(self.program)
        self.network = IntegerNetwork(self.program, self._compare)
        self._expected: dict[tuple[str, str, str], NDArray[Any]] = {}
        self._image = 0

    def __call__(self, pixels: Tensor, numbers: list[int] | None = None) -> Tensor:
        """Return the logits of the torch network, (B, classes) int32, and compare all registers.

        Args:
            pixels: (B, colour, line, column) integers.
            numbers: of the images; None for their places.
        """
        logits = []
        for place, image in enumerate(pixels):
            self._image = place if numbers is None else numbers[place]
            self._simulator(image[None].cpu().numpy().astype(np.uint16), self._expect)
            with torch.inference_mode():
                logits.append(self.network(image[None]))
            for key in self._expected:
                raise ValueError(f"register {' '.join(key)} must be of both, torch has none")
        return torch.cat(logits)

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
            expected = self._expected.pop((part, unit, name), None)
            found = values[0].cpu().numpy()
            if expected is None or expected.shape[1:] != found.shape:
                shape = None if expected is None else expected.shape[1:]
                raise ValueError(
                    f"register {part} {unit} {name} must have shape {shape}, got {found.shape}"
                )
            self.compared += found.size
            wrong = np.argwhere(expected[0] != found)
            self.mismatched += len(wrong)
            for place in map(tuple, wrong[: _KEPT - len(self.first)].tolist()):
                values_there = int(expected[0][place]), int(found[place])
                self.first.append(Mismatch(self._image, part, unit, name, place, *values_there))
