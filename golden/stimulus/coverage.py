"""Coverage points: what a bin is called, which requirement it belongs to, what hits it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .unit import Tables, Target

#: What points look at, by name: one entry for each case, beat or lane.
Signals = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Point:
    """A coverage bin: hit by every entry of a signal that has one value.

    Attributes:
        name: of the bin, lower case.
        requirement: the id of SPEC.md that it belongs to.
        signal: what it looks at.
        value: what hits it; 1 is also True.
        reachable: whether some legal input of the configuration hits it.
    """

    name: str
    requirement: str
    signal: str
    value: int = 1
    reachable: bool = True


@dataclass(frozen=True)
class Coverage:
    """The bins of a unit, and how they are counted.

    Attributes:
        points: (target) -> every point, also those that this target cannot reach.
        signals: (target, all streams) -> what the points look at.
    """

    points: Callable[[Target], Iterable[Point]]
    signals: Callable[[Target, Tables], Signals]

    def declared(self, target: Target) -> tuple[Point, ...]:
        """Return the points that the target can reach."""
        return tuple(point for point in self.points(target) if point.reachable)

    def bins(self, target: Target) -> tuple[str, ...]:
        """Return their names."""
        return tuple(point.name for point in self.declared(target))

    def requirements(self, target: Target) -> dict[str, str]:
        """Return the requirement of each declared bin."""
        return {point.name: point.requirement for point in self.declared(target)}

    def hits(self, target: Target, tables: Tables) -> dict[str, int]:
        """Return how many entries hit each declared bin."""
        signals = self.signals(target, tables)
        return {
            point.name: int(np.count_nonzero(signals[point.signal] == point.value))
            for point in self.declared(target)
        }
