"""`bitlog2 selftest`: known answers that ship with the package."""

import argparse
from typing import Any

from .arguments import HelpFormatter

_EPILOG = """example:
  bitlog2 selftest

exit status: 0 every answer agreed, 1 one differed"""


def add_parser(commands: Any) -> None:
    """Add `selftest` to the command's subparsers."""
    parser = commands.add_parser(
        "selftest",
        help="compare specification and kernels with known answers",
        description="Compare specification and kernels with the known answers in the package.",
        epilog=_EPILOG,
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from bitlog2.sim.selftest import selftest

    report = selftest()
    print(report)
    return 0 if report.passed else 1
