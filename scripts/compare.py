"""`bitlog2 compare`: where two runs part."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import HelpFormatter

if TYPE_CHECKING:
    from bitlog2.models.runs.compare import CellComparison
    from bitlog2.models.runs.folder import RunFolder
    from bitlog2.models.runs.request import Cell

_EXAMPLE = """examples:
  bitlog2 compare RUN_A RUN_B
  bitlog2 compare RUN RUN --cell digits-BitLog2_Half_16-integer-w4a4-seed0 \\
      digits-BitLog2_Half_17-integer-w4a4-seed0

exit status: 0 nothing differs, 1 something does, 2 they cannot be compared"""
_SHOWN = 10


def add_parser(commands: Any) -> None:
    """Add `compare` to the command's subparsers."""
    parser = commands.add_parser(
        "compare",
        help="which images two runs see differently, and where their registers part",
        description="Compare the cells that two runs have in common, or two cells by name: the "
        "images whose prediction changed, and the first layer and register that differs.",
        epilog=_EXAMPLE,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("a", type=Path, metavar="RUN_A", help="folder of a run")
    parser.add_argument("b", type=Path, metavar="RUN_B", help="folder of another, or the same")
    parser.add_argument("--cell", nargs=2, metavar=("NAME_A", "NAME_B"), help="two cells by name")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from bitlog2.models.runs.compare import compare_runs
    from bitlog2.models.runs.folder import RunFolder

    a, b = RunFolder.open(args.a), RunFolder.open(args.b)
    same = True
    for cell_a, cell_b in _pairs(a, b, args.cell):
        found = compare_runs(a, b, cell_a, cell_b)
        same = same and found.same
        print("\n".join(_lines(found)))
    return 0 if same else 1


def _pairs(a: "RunFolder", b: "RunFolder", names: list[str] | None) -> list[tuple["Cell", "Cell"]]:
    of_a, of_b = ({cell.name: cell for cell in run.request.cells()} for run in (a, b))
    if names is None:
        common = [(cell, of_b[name]) for name, cell in of_a.items() if name in of_b]
        if not common:
            raise ValueError(f"runs must have a cell in common, got none in {a.path} and {b.path}")
        return common
    for name, known in zip(names, (of_a, of_b), strict=True):
        if name not in known:
            raise ValueError(f"cell must be one of {', '.join(known)}, got {name!r}")
    return [(of_a[names[0]], of_b[names[1]])]


def _words(differing: int | None) -> str:
    if differing is None:
        return "not kept"
    return f"DIFFERENT in {differing:,} images" if differing else "the same"


def _lines(found: "CellComparison") -> list[str]:
    title = found.a if found.a == found.b else f"{found.a} and {found.b}"
    lines = [
        f"{title}: {found.images:,} images, {len(found.changes):,} predictions changed; pixels "
        f"{_words(found.other_pixels)}, attention registers {_words(found.other_registers)}"
    ]
    for change in found.changes[:_SHOWN]:
        lines.append(f"  image {change.number} (label {change.label}): {change.a} and {change.b}")
    if len(found.changes) > _SHOWN:
        lines.append(f"  ... and {len(found.changes) - _SHOWN:,} more")
    parting = found.parting
    if parting is not None:
        names = ("head", "row", "key or channel")
        place = " ".join(f"{n} {i}" for n, i in zip(names, parting.place, strict=False))
        values = "" if parting.a is None else f": {parting.a} and {parting.b}"
        lines.append(
            f"  image {parting.image} parts first at layer {parting.layer}, {parting.register} "
            f"{place}{values}"
        )
    return lines
