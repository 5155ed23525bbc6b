"""Statistics of an evaluation: proportions with their intervals, spreads, McNemar's test."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from scipy.stats import binomtest

__all__ = [
    "Proportion",
    "Spread",
    "mcnemar",
]

_Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Proportion:
    """`hits` of `total`, as a percentage with its Wilson 95 % interval.

    Source: Wilson (1927), score interval without continuity correction.
    """

    hits: int
    total: int

    @property
    def percent(self) -> float:
        """100 * hits / total."""
        return 100.0 * self.hits / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end of the Wilson 95 % interval, percent."""
        n, share, z2 = self.total, self.hits / self.total, _Z_95**2
        centre = (share + z2 / (2 * n)) / (1 + z2 / n)
        half = _Z_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
        low = 0.0 if self.hits == 0 else 100 * (centre - half)
        high = 100.0 if self.hits == n else 100 * (centre + half)
        return low, high

    def as_dict(self) -> dict[str, float | int | list[float]]:
        """Return hits, total, percent and interval."""
        return {
            "hits": self.hits,
            "total": self.total,
            "percent": self.percent,
            "wilson95": list(self.interval),
        }


@dataclass(frozen=True)
class Spread:
    """An accuracy over several calibration seeds, percent.

    Attributes:
        mean, least, most: of the seeds.
        deviation: sample standard deviation (n - 1), 0 of one seed.
        seeds: how many.
    """

    mean: float
    least: float
    most: float
    deviation: float
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of values, at least one.

        Raises:
            ValueError: there is none.
        """
        if not values:
            raise ValueError("values must hold at least one, got none")
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        return cls(statistics.fmean(values), min(values), max(values), deviation, len(values))

    def as_dict(self) -> dict[str, float | int]:
        """Return all of it."""
        return asdict(self)


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the two-sided p value of the exact test.

    Args:
        only_a, only_b: images that one of the two got right and the other wrong.

    Source: McNemar (1947); the exact binomial form, which needs no large counts.
    """
    discordant = only_a + only_b
    return 1.0 if discordant == 0 else float(binomtest(only_a, discordant, 0.5).pvalue)
