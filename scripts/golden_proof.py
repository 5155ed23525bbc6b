"""`bitlog2 golden proof`: the claims of SPEC.md proved, and the RTL against them."""

import argparse

from bitlog2.documents import render
from bitlog2.golden.assurance.table import Columns
from bitlog2.sim.files import write_whole
from bitlog2.sim.scheme import SCHEMES

from .arguments import integer, output_file

PROOF_EXAMPLE = """\
example:
  bitlog2 golden proof
  bitlog2 golden proof --claim comparing_counts --claim rtl_exp2 --scheme BitLog2_Half_17
  bitlog2 golden proof --json proof.json

exit status: 0 every claim is proved, 1 one is refuted or not proved, 2 wrong usage
"""


def add_proof_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `proof` and the function that runs it."""
    parser.add_argument(
        "--claim", action="append", metavar="NAME", help="may be repeated; all without it"
    )
    parser.add_argument(
        "--scheme", action="append", choices=tuple(SCHEMES), help="may be repeated; all without it"
    )
    parser.add_argument(
        "--timeout",
        type=integer(1, 86400),
        default=600,
        metavar="S",
        help="seconds of the solver for a claim",
    )
    parser.add_argument("--json", type=output_file, metavar="FILE", help="write the lines there")
    parser.set_defaults(run=_proof)


def _proof(args: argparse.Namespace) -> int:
    # The solver belongs to an extra: the other commands work without it.
    from bitlog2.golden.assurance.proof import CLAIMS, Lines, decide, selected

    chosen = selected(CLAIMS, args.claim, args.scheme or tuple(SCHEMES))
    lines = []
    head = ("claim", "scheme", "requirements", "over", "by", "result", "seconds")
    known = [
        (c.name, s.scheme.name, c.requirements, c.over(s), c.by, " " * 10, "") for c, s in chosen
    ]
    columns = Columns([head, *known], "<" * len(head))
    print(columns.line(head))
    for claim, setting in chosen:
        line = decide(claim, setting, args.timeout)
        lines.append(line)
        cells = (line.claim, line.scheme, line.requirements, line.over, line.by, line.result)
        print(columns.line((*cells, f"{line.seconds:.1f}")), flush=True)
        if line.detail:
            print(f"  {line.detail}", flush=True)
    if args.json is not None:
        write_whole(args.json, render(Lines(claims=tuple(lines))))
    held = sum(line.holds for line in lines)
    seconds = sum(line.seconds for line in lines)
    print(f"{held} of {len(lines)} claims hold, {seconds:.0f} seconds")
    return 0 if held == len(lines) else 1
