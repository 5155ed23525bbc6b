"""`bitlog2 golden cost`: what a choice of the design costs in gates and LUTs."""

import argparse

from bitlog2.documents import render
from bitlog2.golden.assurance.cost import CHOICES, TECHNOLOGIES, measure_cost
from bitlog2.sim.files import write_whole

from .arguments import output_file
from .progress import progress

COST_EXAMPLE = """\
example:
  bitlog2 golden cost --choice log2 --choice exp2
  bitlog2 golden cost --target ice40 --json cost.json
  bitlog2 golden cost --markdown

Everything takes some six minutes of one core.
"""


def add_cost_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `cost` and the function that runs it."""
    parser.add_argument(
        "--choice", action="append", choices=tuple(CHOICES), help="may be repeated; all without it"
    )
    parser.add_argument(
        "--target",
        action="append",
        choices=tuple(TECHNOLOGIES),
        help="gates or an FPGA; may be repeated; all without it",
    )
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    parser.add_argument("--json", type=output_file, metavar="FILE", help="write everything there")
    parser.set_defaults(run=_cost)


def _cost(args: argparse.Namespace) -> int:
    table = measure_cost(args.choice, args.target, progress=progress)
    if args.json is not None:
        write_whole(args.json, render(table))
    print("\n".join(table.markdown() if args.markdown else table.lines()))
    return 0
