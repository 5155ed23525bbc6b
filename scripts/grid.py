"""`bitlog2 status` and `resume`: how far a run in a folder is, and going on with it."""

import argparse
from pathlib import Path
from typing import Any

from .arguments import HelpFormatter
from .evaluate import add_check_threads, run

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


def _status(args: argparse.Namespace) -> int:
    from bitlog2.models.runs.folder import RunFolder

    folder = RunFolder.open(args.run_folder)
    cells = folder.status()
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
