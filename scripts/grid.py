"""`bitlog2 evaluate --run`, `status` and `resume`: grids in a folder, resumable by batch."""

import argparse
import json
import os
import warnings
from pathlib import Path
from typing import Any

from .arguments import HelpFormatter, integer

__all__ = ["add_check_threads", "add_parser", "print_result", "run"]

#: Hexadecimal digits of a digest that stand in a row of the table; all are in the result.
_DIGEST_SHOWN = 12

_RESUME_EXAMPLE = """examples:
  bitlog2 resume RUN
  torchrun --nproc-per-node 4 -m bitlog2 resume RUN     shared by four processes: the same bytes

Versions, weights and images must be those that the run began with."""


def add_parser(commands: Any) -> None:
    """Add `status` and `resume` to the command's subparsers."""
    status = commands.add_parser(
        "status",
        help="how far a run is",
        description="Show how far the cells of a run are, whether or not it is being run.",
        formatter_class=HelpFormatter,
    )
    status.add_argument("run_folder", type=Path, metavar="RUN", help="folder of the run")
    status.set_defaults(run=_status)
    resume = commands.add_parser(
        "resume",
        help="go on with a run that was stopped",
        description="Evaluate what is missing of a run; a finished one shows its result again.",
        epilog=_RESUME_EXAMPLE,
        formatter_class=HelpFormatter,
    )
    resume.add_argument("run_folder", type=Path, metavar="RUN", help="folder of the run")
    add_check_threads(resume)
    resume.set_defaults(run=lambda args: run(args.run_folder, None, args.check_threads))


def add_check_threads(parser: Any) -> None:
    """Add `--check-threads` to a parser or a group of its options."""
    parser.add_argument(
        "--check-threads",
        type=integer(1, 256),
        metavar="N",
        help="of each process, compare registers while the model goes on; nothing that is reported "
        "depends on them (default: the processors that torch leaves free, 1 to 4)",
    )


def run(path: Path, request: Any, check_threads: int | None) -> int:
    """Run a grid, or go on with it; print its result and return the exit status."""
    from bitlog2.models.runs.execution import run_grid

    from .progress import progress

    folder = run_grid(path, request, progress, check_threads)
    if os.environ.get("RANK", "0") != "0":
        return 0
    return print_result(json.loads(folder.result_file.read_bytes()), folder.result_file)


def print_result(result: dict[str, Any], path: Path) -> int:
    """Print a result's table; return 1 where a register differed, else 0."""
    from bitlog2.models.runs.result import warnings_of

    for told in warnings_of(result):
        warnings.warn(told, stacklevel=1)
    width = max(len(cell["name"]) for cell in result["cells"])
    print(
        f"{'cell':<{width}}  {'images':>7}  {'top-1 % [Wilson 95 %]':<23}{'published':>9}"
        f"{'agrees %':>10}{'compared':>16}{'mismatches':>12}  registers"
    )
    for cell in result["cells"]:
        print(_row(cell, width))
    for spread in result["spread"]:
        top1, how = spread["top1"], spread["quantization"]
        print(
            f"{spread['model']} {how['scheme']} {how['arithmetic']}: top-1 over {top1['seeds']} "
            f"seeds: mean {top1['mean']:.2f} %, {top1['least']:.2f} to {top1['most']:.2f}"
        )
    for model, notes in result.get("data", {}).items():
        print("\n".join(f"data of {model}: {note}" for note in notes))
    for model, digest in _pixels(result).items():
        print(f"pixels of {model}: SHA-256 {digest}")
    print(f"result in {path}; registers: the SHA-256 of the attention registers begins so")
    checks = [cell["check"] for cell in result["cells"] if cell["check"] is not None]
    for check in checks:
        for text in check["first_mismatches"]:
            print(f"MISMATCH {text}")
    if not all(check["passed"] for check in checks):
        print("check FAILED")
        return 1
    return 0


def _row(cell: dict[str, Any], width: int) -> str:
    agreement, check, published = (
        cell[name] for name in ("agreement_with_unquantized", "check", "published_top1")
    )
    low, high = cell["top1"]["wilson95"]
    top1 = f"{cell['top1']['percent']:6.2f} [{low:.2f}, {high:.2f}]"
    columns = (
        ("-" if published is None else f"{published:.2f}", 9),
        ("-" if agreement is None else f"{agreement['percent']:.2f}", 10),
        ("-" if check is None else f"{check['total_compared']:,}", 16),
        ("-" if check is None else f"{check['total_mismatched']:,}", 12),
    )
    rest = "".join(f"{text:>{size}}" for text, size in columns)
    registers = cell["digests"]["registers"][:_DIGEST_SHOWN] or "-"
    return f"{cell['name']:<{width}}  {cell['images']:>7,}  {top1:<23}{rest}  {registers}"


def _pixels(result: dict[str, Any]) -> dict[str, str]:
    """Return the digest of the input pixels of each model, the same for all of its cells."""
    return {cell["model"]: cell["digests"]["pixels"] for cell in result["cells"]}


def _status(args: argparse.Namespace) -> int:
    from bitlog2.models.runs.folder import RunFolder
    from bitlog2.models.runs.result import status_of

    folder = RunFolder.open(args.run_folder)
    cells = status_of(folder)
    width = max(len(cell.name) for cell in cells)
    for cell in cells:
        state = "finished" if cell.finished else "started" if cell.batches else "waiting"
        print(
            f"{cell.name:<{width}}  {state:<9}{cell.batches:>8,} batches{cell.images:>10,} images"
            f"{cell.mismatched:>8,} mismatches"
        )
    done = sum(cell.finished for cell in cells)
    written = f", result in {folder.result_file}" if folder.result_file.exists() else ""
    print(f"{done} of {len(cells)} cells finished{written}")
    return 0
