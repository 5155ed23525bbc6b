"""`bitlog2 report`: runs as one HTML page, or as a LaTeX table."""

import argparse
from pathlib import Path
from typing import Any

from .arguments import HelpFormatter, output_file

_EXAMPLE = """examples:
  bitlog2 report RUN --out report.html
  bitlog2 report RUN1 RUN2 --out report.html --vectors build/vectors
  bitlog2 report RUN --latex table.tex"""


def add_parser(commands: Any) -> None:
    """Add `report` to the command's subparsers."""
    parser = commands.add_parser(
        "report",
        help="finished runs as one HTML page, or as a LaTeX table",
        description="Draw finished runs: accuracy, spread, comparisons, what each code does to the "
        "attention map, watermarks; one file that needs nothing else.",
        epilog=_EXAMPLE,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("--out", type=output_file, metavar="FILE", help="the page")
    parser.add_argument("--latex", type=output_file, metavar="FILE", help="the table alone")
    parser.add_argument(
        "--vectors", type=Path, metavar="DIR", help="show the coverage of this vector set too"
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from bitlog2.models.runs.result import latex_table, read_result
    from bitlog2.models.runs.sweep import read_gates
    from bitlog2.sim.files import write_whole

    if args.out is None and args.latex is None:
        raise ValueError("--out FILE or --latex FILE must be given, got neither")
    results = [read_result(path) for path in args.runs]
    if args.out is not None:
        from bitlog2.flow.evidence import evidence
        from bitlog2.models.report import render_page

        gates: dict[str, int] = {}
        for path, result in zip(args.runs, results, strict=True):
            gates |= read_gates(path, result)
        page = render_page(results, evidence(args.vectors), gates)
        write_whole(args.out, page.encode())
        print(f"{args.out}: {sum(len(result.cells) for result in results)} cells")
    if args.latex is not None:
        write_whole(args.latex, latex_table(results).encode())
        print(f"{args.latex}: the table")
    return 0
