"""`bitlog2 golden coverage`: which lines and bits of RTL a vector set reaches."""

import argparse
import json
from pathlib import Path

from bitlog2.golden.assurance.coverage import measure_structure, read_reasons
from bitlog2.golden.cosim import DEVICES
from bitlog2.sim.files import write_whole

from .arguments import integer, output_file
from .progress import progress
from .rtl_options import add_rtl_options, rtl_of

COVERAGE_EXAMPLE = """\
example:
  bitlog2 golden emit --out vectors
  bitlog2 golden coverage vectors
  bitlog2 golden coverage vectors --unit exp2 --json coverage.json
  bitlog2 golden coverage vectors --unit exp2 --rtl my.sv --top my --reasons my_reasons.json

exit status: 0 every point is reached or has its reason, 1 a point lacks one, or a reason its
point, 2 the set cannot be used
"""


def add_coverage_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `coverage` and the function that runs it."""
    parser.add_argument("set", metavar="DIR", help="the vector set")
    parser.add_argument(
        "--unit", action="append", choices=tuple(DEVICES), help="may be repeated; all without it"
    )
    add_rtl_options(parser)
    parser.add_argument("--lanes", type=integer(1, 64), metavar="N", help="its parameter LANES")
    parser.add_argument(
        "--reasons", metavar="FILE", help="JSON list of reasons why points are not reached"
    )
    parser.add_argument("--json", type=output_file, metavar="FILE", help="write everything there")
    parser.set_defaults(run=_coverage)


def _coverage(args: argparse.Namespace) -> int:
    rtl = rtl_of(args)
    if rtl is None and args.lanes is not None:
        raise ValueError("--lanes must go with --rtl or -f")
    reasons = None
    if args.reasons is not None:
        reasons = read_reasons(Path(args.reasons).read_bytes(), args.reasons)
    report = measure_structure(
        args.set, args.unit, rtl=rtl, lanes=args.lanes, reasons=reasons, progress=progress
    )
    if args.json is not None:
        write_whole(args.json, (json.dumps(report.as_dict(), indent=2) + "\n").encode())
    print("\n".join(report.lines()))
    return report.status
