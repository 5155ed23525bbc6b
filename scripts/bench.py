"""`bitlog2 bench`: speed as a ratio against a named peer."""

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from .arguments import HelpFormatter, integer, output_file

if TYPE_CHECKING:
    from bitlog2.golden.simulation.throughput import RtlSeconds
    from bitlog2.models.bench import Comparison, Throughput, ThroughputCase

__all__ = ["add_parser"]

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
    from bitlog2.models.bench import CASES, machine, run_bench
    from bitlog2.sim.files import write_whole

    rows = []
    print(f"{'what':<60}{'ours ms':>10}{'peer ms':>10}{'ratio':>8}{'reach':>8}{'aim':>7}")
    wanted = args.rows or ""
    cases = (*CASES, lambda: _files(args.words), *_rtl_cases(args.repetitions, wanted))
    for row in run_bench(cases, args.repetitions, wanted):
        print(_line(row), flush=True)
        rows.append(row.as_dict())
    if args.json is not None:
        content = json.dumps({**machine(), "rows": rows}, indent=2) + "\n"
        write_whole(args.json, content.encode())
    return 0


def _files(words: int) -> "ThroughputCase":
    from bitlog2.golden import emit_and_verify_seconds
    from bitlog2.models.bench import ThroughputCase

    def run() -> tuple[tuple[float, ...], int]:
        emitted, verified, size = emit_and_verify_seconds(words)
        return (emitted, verified), size

    names = (f"golden emit, {words:,} words", f"golden verify, {words:,} words")
    return ThroughputCase(names, run, target=50.0)


def _rtl_cases(repetitions: int, wanted: str) -> "Iterator[Callable[[], Comparison]]":
    """Yield the rows that need the extra [rtl]: their builds take long, so only those wanted."""
    from bitlog2.golden.simulation import throughput as rtl

    lanes = rtl.ATTENTION_ROW_LANES
    rows: list[tuple[str, str, Callable[[Path, int], rtl.RtlSeconds], float, float]] = [
        (
            f"attention_row, D = 64, {lanes} lanes: the simulator, 1 thread",
            "Verilator on the reference RTL",
            rtl.attention_row_seconds,
            0.01,
            0.001,
        ),
        (
            "row_max, default set, no stalls: plain testbench",
            "cocotb, both in Verilator",
            rtl.testbench_seconds,
            0.1,
            0.01,
        ),
    ]
    for row in rows:
        if wanted in row[0]:
            yield partial(_rtl_row, *row, repetitions=repetitions)


def _rtl_row(
    name: str,
    peer: str,
    seconds: "Callable[[Path, int], RtlSeconds]",
    target: float,
    aim: float,
    repetitions: int,
) -> "Comparison":
    from bitlog2.golden.simulation import ToolError
    from bitlog2.models.bench import Comparison

    try:
        with TemporaryDirectory() as folder:
            found = seconds(Path(folder), repetitions)
    except ToolError as error:
        return Comparison(name, peer, [], [], target, aim, str(error))
    ours, peers = (
        f"{found.keys / statistics.median(side):,.0f}" for side in (found.ours, found.peers)
    )
    note = f"{ours} keys a second, peer {peers}"
    return Comparison(name, peer, found.ours, found.peers, target, aim, note)


def _line(row: "Comparison | Throughput") -> str:
    from bitlog2.models.bench import Throughput

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
