"""`bitlog2 report`: runs as one HTML page, or as a LaTeX table."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import HelpFormatter, output_file

if TYPE_CHECKING:
    from bitlog2.models.report.page import Evidence

__all__ = ["add_parser"]

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
    from bitlog2.models.runs.result import read_result
    from bitlog2.models.runs.sweep import read_gates
    from bitlog2.sim.files import write_whole

    if args.out is None and args.latex is None:
        raise ValueError("--out FILE or --latex FILE must be given, got neither")
    results = [read_result(path) for path in args.runs]
    if args.out is not None:
        from bitlog2.models.report import render_page

        gates: dict[str, int] = {}
        for path, result in zip(args.runs, results, strict=True):
            gates |= read_gates(path, result)
        page = render_page(results, _evidence(args.vectors), gates)
        write_whole(args.out, page.encode())
        print(f"{args.out}: {sum(len(result['cells']) for result in results)} cells")
    if args.latex is not None:
        from bitlog2.models.report.latex import latex_table

        write_whole(args.latex, latex_table(results).encode())
        print(f"{args.latex}: the table")
    return 0


def _evidence(vectors: Path | None) -> list["Evidence"]:
    """Return what is known of the vectors: coverage of a set, and the mutation table."""
    import bitlog2.golden.assurance.mutation
    from bitlog2.golden.package.reading import open_set
    from bitlog2.models.report.page import Evidence

    found = []
    if vectors is not None:
        coverage = [
            (each.unit, f"{each.declared:,}", f"{each.reached:,}")
            for each in open_set(vectors).coverage
        ]
        heads = ("unit", "bins", "reached")
        found.append(Evidence("Coverage of the vectors", heads, tuple(coverage)))
    kept = Path(bitlog2.golden.assurance.mutation.__file__).with_name("table.json")
    if kept.is_file():
        columns = ("module", "mutants", "caught", "equivalent", "gaps", "undetermined")
        rows = [
            tuple(str(module[column]) for column in columns)
            for module in json.loads(kept.read_bytes())["modules"]
        ]
        found.append(Evidence("Mutation of the reference RTL", columns, tuple(rows)))
    return found
