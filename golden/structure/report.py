"""Structural coverage of the reference RTL under a vector set: counts, and what is not reached."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .bits import collapse
from .dat import Point
from .reasons import Reason, text_of

__all__ = ["Missed", "StructureReport", "judge"]


@dataclass(frozen=True)
class Missed:
    """A point that is not reached.

    Attributes:
        point: the point.
        text: what identifies it, without line numbers.
        reason: why; None where no reason fits.
    """

    point: Point
    text: str
    reason: Reason | None


@dataclass(frozen=True)
class StructureReport:
    """What a set reaches.

    Attributes:
        counts: (module, line or toggle) -> (points reached, points).
        missed: every point that is not reached.
        idle: reasons of the modules that were judged which fit no such point.
        simulator: Verilator's version.
        files: module -> name of its file, where that is another than the module's.
    """

    counts: Mapping[tuple[str, str], tuple[int, int]]
    missed: tuple[Missed, ...]
    idle: tuple[Reason, ...]
    simulator: str
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def unexplained(self) -> tuple[Missed, ...]:
        """The points that are not reached and have no reason."""
        return tuple(each for each in self.missed if each.reason is None)

    @property
    def status(self) -> int:
        """1 where a point lacks a reason or a reason its point, else 0."""
        return 1 if self.unexplained or self.idle else 0

    def lines(self) -> list[str]:
        """Return what a person wants to read."""
        modules = list(dict.fromkeys(module for module, _ in self.counts))
        width = max(map(len, modules), default=0)
        lines = [self.simulator, f"{'module':<{width}}  {'lines':>13}  {'toggles':>13}"]
        for module in modules:
            cells = (self._cell(module, kind) for kind in ("line", "toggle"))
            lines.append(f"{module:<{width}}  {'  '.join(cells)}".rstrip())
        lines.append(f"{'all':<{width}}  {self._sum('line')}  {self._sum('toggle')}")
        lines += self._explained()
        places: dict[str, list[str]] = {}
        for each in self.unexplained:
            file = self.files.get(each.point.module, f"{each.point.module}.sv")
            place = f"{file}:{each.point.line} {each.point.kind}"
            places.setdefault(place, []).append(each.text)
        for place, texts in places.items():
            lines += [f"no reason: {place} {text}" for text in collapse(texts)]
        for reason in self.idle:
            lines.append(f"reason without a point: {reason.module} {reason.kind} {reason.pattern}")
        explained = len(self.missed) - len(self.unexplained)
        lines.append(
            f"{len(self.missed)} points not reached: {explained} with a reason, "
            f"{len(self.unexplained)} without; {len(self.idle)} reasons without a point"
        )
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Return everything as it stands in JSON."""
        return {
            "simulator": self.simulator,
            "counts": [
                {"module": module, "kind": kind, "reached": reached, "points": points}
                for (module, kind), (reached, points) in self.counts.items()
            ],
            "missed": [
                {
                    **each.point.__dict__,
                    "text": each.text,
                    "reason": each.reason.reason if each.reason else None,
                    "requirement": each.reason.requirement if each.reason else None,
                }
                for each in self.missed
            ],
            "reasons_without_a_point": [reason.__dict__["pattern"] for reason in self.idle],
        }

    def _explained(self) -> list[str]:
        """Return the points that have a reason, by reason."""
        found: dict[Reason, list[Missed]] = {}
        for each in self.missed:
            if each.reason is not None:
                found.setdefault(each.reason, []).append(each)
        lines = []
        for reason, points in found.items():
            known = f" ({reason.requirement})" if reason.requirement else ""
            lines.append(f"{reason.module}, {len(points)} x {reason.kind}: {reason.reason}{known}")
            lines += [f"    {text}" for text in collapse([each.text for each in points])]
        return lines

    def _cell(self, module: str, kind: str) -> str:
        reached, points = self.counts.get((module, kind), (0, 0))
        return f"{reached:>6}/{points:<6}"

    def _sum(self, kind: str) -> str:
        found = [counts for (_, each), counts in self.counts.items() if each == kind]
        return f"{sum(r for r, _ in found):>6}/{sum(p for _, p in found):<6}".rstrip()


def judge(
    points: Mapping[Point, int],
    sources: Mapping[str, Sequence[str]],
    reasons: Sequence[Reason],
    simulator: str,
    files: Mapping[str, str] | None = None,
) -> StructureReport:
    """Return the report of points and their hits.

    Args:
        points: of the modules that are judged.
        sources: module -> lines of its file.
        reasons: those of other modules are left alone.
        simulator: its version.
        files: module -> name of its file; None where each has its own.
    """
    counts: dict[tuple[str, str], tuple[int, int]] = {}
    missed = []
    for point in sorted(points):
        reached, total = counts.get((point.module, point.kind), (0, 0))
        counts[point.module, point.kind] = (reached + (points[point] > 0), total + 1)
        if points[point] == 0:
            text = text_of(point, sources)
            why = next((reason for reason in reasons if reason.fits(point, text)), None)
            missed.append(Missed(point, text, why))
    used = {each.reason for each in missed}
    modules = {module for module, _ in counts}
    idle = tuple(each for each in reasons if each.module in modules and each not in used)
    return StructureReport(counts, tuple(missed), idle, simulator, files or {})
