"""What `bitlog2 evaluate` prints and writes."""

import json
from pathlib import Path
from typing import Any

from bitlog2.flow.replay import write_replay
from bitlog2.models.ptq.quantizers import map_bits
from bitlog2.models.runs.evaluate import CellResult, Evaluation, versions
from bitlog2.models.runs.statistics import Proportion, Spread
from bitlog2.sim import REGISTERS
from bitlog2.sim.files import write_whole

from .watermark_table import watermark_lines

__all__ = ["Report"]

_SKIPPED_SHOWN = 5


class Report:
    """The table of an evaluation, row by row, and what follows it.

    Args:
        evaluation: what is being carried out.
    """

    def __init__(self, evaluation: Evaluation) -> None:
        self.request, self.task = evaluation.request, evaluation.task
        self.cells: list[CellResult] = []
        self._seeds = len(self.request.seeds) > 1
        self._published = self.task.published_top1 is not None

    def print_header(self) -> None:
        """Print what is evaluated, and the table's head."""
        request = self.request
        seeds = ", ".join(str(seed) for seed in request.seeds)
        print(
            f"{request.model}: W{request.w_bits}A{request.a_bits}, {request.arithmetic} "
            f"arithmetic, seed{'s' * self._seeds} {seeds}, check {request.check}, "
            f"{self.task.data.count(request.limit):,} images of {self.task.data.classes} classes"
        )
        for note in self.task.data.notes:
            print(f"data: {note}")
        print(
            f"{'scheme':<19}{'map':>5}{'  seed' * self._seeds}  "
            f"{'top-1 % [Wilson 95 %]':<23}{'published  ' * self._published}"
            f"{'top-5 % [Wilson 95 %]':<24}{'agrees %':>9}{'images/s':>10}"
            f"{'compared':>16}{'mismatches':>12}",
            flush=True,
        )

    def print_row(self, cell: CellResult) -> None:
        """Print one row of the table."""
        self.cells.append(cell)
        bits = None if cell.spec is None else map_bits(cell.spec.scheme, cell.spec.a_bits)
        compared = mismatched = "-"
        if cell.checker is not None:
            compared = f"{cell.checker.total_compared:,}"
            mismatched = f"{cell.checker.total_mismatched:,}"
        seed = f"{'-' if cell.seed is None else cell.seed:>6}" if self._seeds else ""
        agrees = "-" if cell.agreement is None else f"{cell.agreement.percent:.2f}"
        print(
            f"{cell.name:<19}{'-' if bits is None else f'{bits}b':>5}{seed}  "
            f"{_share(cell.top1):<23}{self._published_column(cell)}{_share(cell.top5):<24}"
            f"{agrees:>9}{cell.images_per_second:>10.1f}{compared:>16}{mismatched:>12}",
            flush=True,
        )

    def _published_column(self, cell: CellResult) -> str:
        if not self._published:
            return ""
        return f"{'-' if cell.published_top1 is None else f'{cell.published_top1:.2f}':>9}  "

    def spreads(self) -> dict[str, Spread]:
        """Return top-1 over the seeds, by scheme; empty for one seed."""
        if not self._seeds:
            return {}
        values: dict[str, list[float]] = {}
        for cell in self.cells:
            if cell.spec is not None:
                values.setdefault(cell.name, []).append(cell.top1.percent)
        return {name: Spread.of(shares) for name, shares in values.items()}

    def print_spread(self) -> None:
        """Print the spread of top-1 over the seeds, where there are several."""
        for name, spread in self.spreads().items():
            print(
                f"{name:<19} top-1 over {spread.seeds} seeds: mean {spread.mean:.2f} %, "
                f"{spread.least:.2f} to {spread.most:.2f}, "
                f"standard deviation {spread.deviation:.2f}"
            )

    def print_watermarks(self) -> None:
        """Print the watermarks of each row that has them."""
        for cell in self.cells:
            if cell.watermarks is not None:
                seed = f", seed {cell.seed}" if self._seeds else ""
                print("\n".join(watermark_lines(cell.name + seed, cell.watermarks)))

    def print_digests(self) -> None:
        """Print the digests of the pixels, and of the attention registers of each row."""
        print(f"pixels: SHA-256 {self.cells[0].digests['pixels']}")
        for cell in self.cells:
            if cell.digests["registers"]:
                seed = f", seed {cell.seed}" if self._seeds else ""
                print(f"registers of {cell.name}{seed}: SHA-256 {cell.digests['registers']}")

    def print_check(self, mismatch_dir: Path) -> int:
        """Print values compared by register, and mismatches; return the exit status."""
        print("map: bits that the code of one attention value takes, a zero flag counted")
        self._print_skipped()
        checkers = [(cell, cell.checker) for cell in self.cells if cell.checker is not None]
        if not checkers:
            print("no register was compared (check none, or a map that has no registers)")
            return 0
        total = 0
        for name in REGISTERS:
            compared = sum(checker.compared[name] for _, checker in checkers)
            differing = sum(checker.mismatched[name] for _, checker in checkers)
            total += differing
            print(f"  {name:<8}{compared:>17,} compared{differing:>12,} mismatches")
        everything = sum(checker.total_compared for _, checker in checkers)
        print(f"{everything:,} values compared, {total:,} mismatches")
        for cell, checker in checkers:
            if checker.unchecked:
                print(f"NOT CHECKED {cell.name}: layers {', '.join(checker.unchecked)} did not run")
            for mismatch in checker.mismatches:
                print(f"MISMATCH {cell.name}: {mismatch}")
            if checker.mismatches:
                folder = mismatch_dir / cell.name
                write_replay(folder, self.request.model, checker.mismatches[0])
                print(f"the first one's row is a vector set: bitlog2 golden verify {folder}")
        if not all(checker.passed for _, checker in checkers):
            print("check FAILED")
            return 1
        return 0

    def _print_skipped(self) -> None:
        skipped = self.task.data.skipped
        if skipped:
            more = len(skipped) - _SKIPPED_SHOWN
            names = ", ".join(skipped[:_SKIPPED_SHOWN]) + (f", and {more} more" * (more > 0))
            print(f"{len(skipped)} unreadable images left out: {names}")

    def write_json(self, path: Path) -> None:
        """Write request, versions and results to a file, whole or not at all."""
        content: dict[str, Any] = {
            "schema": "bitlog2-evaluation-2",
            "request": self.request.as_dict(),
            "versions": versions(),
            "images": self.cells[0].top1.total,
            "classes": self.task.data.classes,
            "data": self.task.data.notes,
            "skipped": self.task.data.skipped,
            "results": [cell.as_dict() for cell in self.cells],
            "spread": {name: spread.as_dict() for name, spread in self.spreads().items()},
        }
        write_whole(path, (json.dumps(content, indent=2) + "\n").encode())


def _share(share: Proportion) -> str:
    low, high = share.interval
    return f"{share.percent:6.2f} [{low:.2f}, {high:.2f}]"
