"""`bitlog2 evaluate`: accuracy of a quantized model, every register checked."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import HelpFormatter, integer, output_file

if TYPE_CHECKING:
    from bitlog2.models.evaluate import CellResult

__all__ = ["add_parser"]

_EPILOG = """examples:
  bitlog2 evaluate --model digits
  bitlog2 evaluate --model digits --scheme BitLog2_Single_16 --arithmetic float --check none
  bitlog2 evaluate --model digits --schemes all --check all --json result.json

exit status: 0 every value compared agreed, 1 a register differed (its row is written as a vector
set to replay), 2 wrong usage"""

_SCHEMES = (
    "BitLog2_Single_16",
    "BitLog2_Single_17",
    "BitLog2_Half_16",
    "BitLog2_Half_17",
    "none",
)


def add_parser(commands: Any) -> None:
    """Add `evaluate` to the command's subparsers."""
    parser = commands.add_parser(
        "evaluate",
        help="accuracy of a quantized model, registers checked against the simulator",
        description="Quantize a model, evaluate it, and compare every register of its attention "
        "with the simulator.",
        epilog=_EPILOG,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--model", choices=("digits",), default="digits", help="model to evaluate")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--scheme", choices=_SCHEMES, default="BitLog2_Half_17", help="code of the attention map"
    )
    which.add_argument(
        "--schemes", metavar="LIST", type=_scheme_list, help="'all', or a comma-separated list"
    )
    parser.add_argument(
        "--arithmetic",
        choices=("integer", "float"),
        default="integer",
        help="the datapath's integers, or the published fake quantization",
    )
    parser.add_argument(
        "--check",
        choices=("none", "sample", "all"),
        help="registers compared with the simulator (default: all for integer, none for float)",
        default=argparse.SUPPRESS,
    )
    parser.add_argument(
        "--w-bits", metavar="BITS", type=integer(2, 8), default=4, help="width of weight codes"
    )
    parser.add_argument(
        "--a-bits", metavar="BITS", type=integer(2, 8), default=4, help="width of activation codes"
    )
    parser.add_argument(
        "--seed", metavar="S", type=integer(0, 2**31 - 1), default=0, help="of the calibration"
    )
    parser.add_argument(
        "--limit", metavar="N", type=integer(1, 10**9), help="evaluate the first N images only"
    )
    parser.add_argument(
        "--batch-size", metavar="N", type=integer(1, 4096), default=64, help="images a batch"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where torch runs")
    parser.add_argument("--json", type=output_file, metavar="FILE", help="write everything there")
    parser.add_argument(
        "--mismatch-dir",
        type=Path,
        default=Path("bitlog2-mismatch"),
        metavar="DIR",
        help="where the row of a mismatch is written",
    )
    parser.add_argument(
        "--save", type=output_file, metavar="FILE", help="write the quantized model there"
    )
    parser.set_defaults(run=_run)


def _scheme_list(text: str) -> tuple[str, ...]:
    names = _SCHEMES if text == "all" else tuple(text.split(","))
    for name in names:
        if name not in _SCHEMES:
            raise argparse.ArgumentTypeError(
                f"must be 'all' or a list of {', '.join(_SCHEMES)}, got {name!r}"
            )
    return names


def _default_check(arithmetic: str, schemes: tuple[str, ...]) -> str:
    return "all" if arithmetic == "integer" and schemes != ("none",) else "none"


def _run(args: argparse.Namespace) -> int:
    from bitlog2.models.run import RunRequest, run_evaluation

    from . import evaluate_report as report
    from .progress import progress

    schemes = args.schemes or (args.scheme,)
    request = RunRequest(
        model=args.model,
        schemes=schemes,
        arithmetic=args.arithmetic,
        check=getattr(args, "check", _default_check(args.arithmetic, schemes)),
        w_bits=args.w_bits,
        a_bits=args.a_bits,
        seed=args.seed,
        limit=args.limit,
        batch_size=args.batch_size,
        device=args.device,
        save=args.save,
    )
    report.print_header(request)
    cells: list[CellResult] = []
    for cell in run_evaluation(request, progress):
        report.print_row(cell)
        cells.append(cell)
    if args.json is not None:
        report.write_json(args.json, request, cells)
    return report.print_check(cells, args.mismatch_dir)
