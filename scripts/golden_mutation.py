"""`bitlog2 golden mutation`: what the vectors catch of mutants of the reference RTL."""

import argparse
import tempfile
from pathlib import Path

from bitlog2.documents import render
from bitlog2.golden import emit
from bitlog2.golden.assurance.mutation import MOST_MUTANTS, SUBJECTS, TABLE, mutate
from bitlog2.sim.files import write_whole

from .arguments import integer, output_file
from .progress import progress

MUTATION_EXAMPLE = """\
example:
  bitlog2 golden mutation
  bitlog2 golden mutation vectors --module exp2 --module row_max --seed 1
  bitlog2 golden mutation --json mutation.json

Yosys puts up to 200 mutants of a module into one netlist, of which one is chosen at run time; a
bench compiled by Verilator runs the vectors against each. A survivor is proved equivalent under the
assumptions that are printed, or it is a gap; of row modules 2 % may stay undetermined.

exit status: 0 every mutant is caught or proved equivalent, 1 a gap is left, 2 wrong usage
"""


def add_mutation_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `mutation` and the function that runs it."""
    parser.add_argument(
        "set", nargs="?", metavar="SET", help="the vector set; without it the default one is made"
    )
    parser.add_argument(
        "--module", action="append", choices=tuple(SUBJECTS), help="may be repeated; all without it"
    )
    parser.add_argument(
        "--most",
        type=integer(1, 10000),
        default=MOST_MUTANTS,
        metavar="N",
        help="mutants of a module",
    )
    parser.add_argument(
        "--seed",
        type=integer(0, 2**31 - 1),
        default=0,
        metavar="S",
        help="of the choice of mutants, and of the pauses on streams",
    )
    parser.add_argument(
        "--processes", type=integer(1, 64), default=2, metavar="N", help="modules at a time"
    )
    parser.add_argument("--json", type=output_file, metavar="FILE", help="write everything there")
    parser.add_argument(
        "--keep", action="store_true", help="write the table that the package keeps, too"
    )
    parser.set_defaults(run=_mutation)


def _mutation(args: argparse.Namespace) -> int:
    if args.set is not None:
        return _tested(args, Path(args.set))
    with tempfile.TemporaryDirectory(prefix="bitlog2-mutation-") as folder:
        emit(Path(folder) / "set", progress=progress)
        return _tested(args, Path(folder) / "set")


def _tested(args: argparse.Namespace, vectors: Path) -> int:
    found = mutate(
        vectors,
        args.module,
        most=args.most,
        seed=args.seed,
        processes=args.processes,
        progress=progress,
    )
    for path in (args.json, TABLE if args.keep else None):
        if path is not None:
            write_whole(path, render(found))
    print("\n".join(found.lines()))
    return found.status
