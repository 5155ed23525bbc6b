"""Accuracy with its interval."""

import math
from dataclasses import dataclass

__all__ = ["Proportion"]

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
