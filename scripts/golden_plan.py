"""`bitlog2 golden plan`: what a vector set will hold, without writing it."""

import argparse
import json

from bitlog2.golden import PRESETS, SOURCES, UNITS, Plan, generate, load_config
from bitlog2.sim.files import write_whole

from .arguments import integer, output_file
from .progress import progress

PLAN_EXAMPLE = """\
example:
  bitlog2 golden plan
  bitlog2 golden plan --config BitLog2_Single_16 --unit exp2 --json plan.json

exit status: 0 every declared coverage bin is filled, 1 some stay empty, 2 wrong usage
"""


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `plan` and the function that runs it."""
    parser.add_argument(
        "--config",
        default="default",
        metavar="FILE|PRESET",
        help=f"JSON file of fields, a manifest, or one of {', '.join(PRESETS)}",
    )
    parser.add_argument(
        "--unit", action="append", choices=tuple(UNITS), help="may be repeated; all without it"
    )
    parser.add_argument("--source", default="all", choices=(*SOURCES, "all"), help="of the cases")
    parser.add_argument(
        "--seed", type=integer(0, 2**63 - 1), default=0, metavar="S", help="of what is random"
    )
    parser.add_argument(
        "--head-dim",
        type=integer(1, 1024),
        metavar="D",
        help="lanes of v; 64 or the largest that fits",
    )
    parser.add_argument("--json", type=output_file, metavar="FILE", help="write everything there")
    parser.set_defaults(run=_plan)


def _plan(args: argparse.Namespace) -> int:
    vectors = generate(
        load_config(args.config),
        head_dim=args.head_dim,
        units=args.unit,
        sources=SOURCES if args.source == "all" else (args.source,),
        seed=args.seed,
        progress=progress,
    )
    found = Plan(vectors)
    if args.json is not None:
        write_whole(args.json, (json.dumps(found.as_dict(), indent=2) + "\n").encode())
    print("\n".join(found.lines()))
    return found.status
