"""`bitlog2 golden coverage`: which lines and bits of the reference RTL a vector set reaches."""

import argparse
import json

from bitlog2.golden import UNITS
from bitlog2.golden.structure import measure_structure
from bitlog2.sim.files import write_whole

from .arguments import output_file
from .progress import progress

__all__ = ["COVERAGE_EXAMPLE", "add_coverage_options"]

COVERAGE_EXAMPLE = """\
example:
  bitlog2 golden emit --out vectors
  bitlog2 golden coverage vectors
  bitlog2 golden coverage vectors --unit exp2 --json coverage.json

exit status: 0 every point is reached or has its reason, 1 a point lacks one, or a reason its
point, 2 the set cannot be used
"""


def add_coverage_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `coverage` and the function that runs it."""
    parser.add_argument("set", metavar="DIR", help="the vector set")
    parser.add_argument(
        "--unit", action="append", choices=tuple(UNITS), help="may be repeated; all without it"
    )
    parser.add_argument("--json", type=output_file, metavar="FILE", help="write everything there")
    parser.set_defaults(run=_coverage)


def _coverage(args: argparse.Namespace) -> int:
    report = measure_structure(args.set, args.unit, progress=progress)
    if args.json is not None:
        write_whole(args.json, (json.dumps(report.as_dict(), indent=2) + "\n").encode())
    print("\n".join(report.lines()))
    return report.status
