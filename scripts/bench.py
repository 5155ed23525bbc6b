"""`bitlog2 bench`: speed as a ratio against a named peer."""

import argparse
import json
import statistics
from typing import Any

from .arguments import HelpFormatter, integer, output_file

__all__ = ["add_parser"]

_EPILOG = """example:
  bitlog2 bench --json bench.json

A target that is missed prints NOT MET; the exit status is 0 all the same: speed is a report."""


def add_parser(commands: Any) -> None:
    """Add `bench` to the command's subparsers."""
    parser = commands.add_parser(
        "bench",
        help="speed against named peers, as ratios",
        description="Time the simulator against named peers, alternating, medians, as ratios.",
        epilog=_EPILOG,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--json", type=output_file, metavar="FILE", help="write raw samples there")
    parser.add_argument(
        "--repetitions", metavar="N", type=integer(1, 1000), default=7, help="runs of each side"
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from bitlog2.models.bench import machine, run_bench
    from bitlog2.sim.files import write_whole

    rows = []
    print(f"{'what':<58}{'ours ms':>9}{'peer ms':>9}{'ratio':>7}{'target':>8}")
    for row in run_bench(args.repetitions):
        rows.append(row.as_dict())
        ours, peer = (1000 * statistics.median(side) for side in (row.ours, row.peers))
        verdict = "met" if row.met else "NOT MET"
        print(
            f"{row.name:<58}{ours:>9.2f}{peer:>9.2f}{row.ratio:>7.2f}{row.target:>8.2f}  {verdict}"
            f"  (peer: {row.peer})",
            flush=True,
        )
    if args.json is not None:
        content = json.dumps({**machine(), "rows": rows}, indent=2) + "\n"
        write_whole(args.json, content.encode())
    return 0
