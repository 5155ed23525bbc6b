"""`bitlog2 bench`: speed as a ratio against a named peer."""

import argparse
import json
import statistics
from typing import TYPE_CHECKING, Any

from .arguments import HelpFormatter, integer, output_file

if TYPE_CHECKING:
    from bitlog2.flow.bench import Comparison, Throughput

_WORDS = 10_000_000
_EPILOG = """example:
  bitlog2 bench --json bench.json
  bitlog2 bench --rows attention --repetitions 31

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
        "--repetitions", metavar="N", type=integer(1, 1000), default=15, help="runs of each side"
    )
    parser.add_argument("--rows", metavar="TEXT", help="only the rows whose names hold this")
    parser.add_argument(
        "--words", metavar="N", type=integer(1, 10**8), default=_WORDS, help="of the vector set"
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from bitlog2.flow.bench import cases, machine, run_bench
    from bitlog2.sim.files import write_whole

    rows = []
    print(f"{'what':<60}{'ours ms':>10}{'peer ms':>10}{'ratio':>8}{'reach':>8}{'aim':>7}")
    wanted = args.rows or ""
    made = cases(args.words, args.repetitions, wanted)
    for row in run_bench(made, args.repetitions, wanted):
        print(_line(row), flush=True)
        rows.append(row.as_dict())
    if args.json is not None:
        content = json.dumps({**machine(), "rows": rows}, indent=2) + "\n"
        write_whole(args.json, content.encode())
    return 0


def _line(row: "Comparison | Throughput") -> str:
    from bitlog2.flow.bench import Throughput

    verdict = "met" if row.met else "NOT MET"
    if isinstance(row, Throughput):
        return f"{row.name:<60}{row.value:>28.1f} MB/s, to reach {row.target:.0f}  {verdict}"
    if row.met is None:
        return f"{row.name:<60}  not run: {row.note}"
    digits = 2 if row.aim >= 0.05 else 4
    note = f"; {row.note}" if row.note else ""
    ours, peer = (1000 * statistics.median(side) for side in (row.ours, row.peers))
    return (
        f"{row.name:<60}{ours:>10.2f}{peer:>10.2f}{row.value:>8.{digits}f}{row.target:>8.{digits}f}"
        f"{row.aim:>7.{digits}f}  {verdict}  (peer: {row.peer}){note}"
    )
