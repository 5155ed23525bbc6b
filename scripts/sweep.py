"""`bitlog2 sweep`: what each choice of hardware brings and costs."""

import argparse
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitlog2.sim import SCHEMES, AttentionConfig

from .arguments import HelpFormatter, integer, output_file
from .evaluate import add_check_threads, run
from .progress import progress

if TYPE_CHECKING:
    from bitlog2.models.runs.request import EvaluationRequest

#: What can be varied, and the field of the configuration behind it.
_NAMES = AttentionConfig.swept()
_SCHEMES = tuple(SCHEMES)
_EXAMPLE = """examples:
  bitlog2 sweep --run sweep1 --vary F=4,5,6 --vary P=12,16
  bitlog2 sweep --run sweep2 --vary F=3,5 --vary scheme=BitLog2_Half_16,BitLog2_Half_17

A sweep is a run: `bitlog2 status`, `resume` and `report` take its folder."""


def add_parser(commands: Any) -> None:
    """Add `sweep` to the command's subparsers."""
    parser = commands.add_parser(
        "sweep",
        help="accuracy, error and cost over choices of the hardware",
        description="Evaluate a model with datapaths that differ, and say what each one costs.",
        epilog=_EXAMPLE,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--run", dest="folder", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--vary",
        action="append",
        required=True,
        type=_varied,
        metavar="NAME=LIST",
        help=f"one of {', '.join((*_NAMES, 'scheme'))}, with values; may be repeated",
    )
    parser.add_argument("--model", default="digits", help="model to evaluate")
    parser.add_argument("--data", metavar="DIR", help="images of a pretrained model")
    parser.add_argument("--checkpoint", metavar="FILE", help="its weights")
    parser.add_argument("--seed", type=integer(0, 2**31 - 1), default=0, metavar="S")
    parser.add_argument("--limit", type=integer(1, 10**9), metavar="N", help="images at most")
    parser.add_argument("--batch-size", type=integer(1, 4096), default=16, metavar="N")
    parser.add_argument("--threads", type=integer(1, 256), default=1, metavar="N", help="torch's")
    parser.add_argument(
        "--check", default="none", help="none, sample, sample:K or all: registers compared"
    )
    add_check_threads(parser)
    parser.add_argument(
        "--gates",
        action=argparse.BooleanOptionalAction,
        help="count gates by Yosys too, some seconds a datapath (default: where it is found; the "
        "extra [rtl])",
    )
    parser.add_argument("--csv", type=output_file, metavar="FILE", help="write the rows there")
    parser.set_defaults(run=_run)


def _varied(text: str) -> tuple[str, tuple[Any, ...]]:
    name, separator, values = text.partition("=")
    parts = tuple(values.split(","))
    if not separator or name not in (*_NAMES, "scheme") or len(set(parts)) != len(parts):
        raise argparse.ArgumentTypeError(
            f"must be NAME=V1,V2,... with NAME one of {', '.join((*_NAMES, 'scheme'))} and each "
            f"value once, got {text!r}"
        )
    if name == "scheme":
        for value in parts:
            if value not in _SCHEMES:
                raise argparse.ArgumentTypeError(
                    f"scheme must be of {', '.join(_SCHEMES)}, got {value!r}"
                )
        return name, parts
    return name, tuple(integer(0, 64)(part) for part in parts)


def _request(args: argparse.Namespace) -> "EvaluationRequest":
    from bitlog2.models.runs.request import EvaluationRequest

    names = [name for name, _ in args.vary]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"--vary must name {name} once, got it twice")
    varied = {name: values for name, values in args.vary if name != "scheme"}
    datapaths = tuple(
        tuple((_NAMES[name], value) for name, value in zip(varied, values, strict=True))
        for values in product(*varied.values())
    )
    return EvaluationRequest(
        models=(args.model,),
        schemes=dict(args.vary).get("scheme", ("BitLog2_Half_17",)),
        seeds=(args.seed,),
        datapaths=datapaths,
        check=args.check,
        limit=args.limit,
        batch_size=args.batch_size,
        threads=args.threads,
        data=args.data,
        checkpoints=() if args.checkpoint is None else ((args.model, args.checkpoint),),
    )


def _run(args: argparse.Namespace) -> int:
    from bitlog2.flow.sweep import gates
    from bitlog2.models.runs.result import read_result
    from bitlog2.models.runs.sweep import sweep_csv, sweep_rows
    from bitlog2.sim.files import write_whole

    status = run(args.folder, _request(args), args.check_threads)
    result = read_result(args.folder)
    counts, why_not = gates(args.folder, result, args.gates, progress)
    if why_not:
        print(f"gates not counted: {why_not}")
    rows = sweep_rows(result, counts)
    print(
        f"{'scheme':<19}{'F':>3}{'P':>4}{'top-1 %':>9}{'levels changed %':>18}"
        f"{'output error %':>16}{'map error %':>13}{'register bits':>15}{'map bits':>10}"
        f"{'gates':>8}"
    )
    for row in rows:
        print(
            f"{row.scheme:<19}{row.fraction_bits:>3}{row.table_bits:>4}{row.top1:>9.2f}"
            f"{row.changed_levels:>18.2f}{row.output_error:>16.2f}{row.map_error:>13.2f}"
            f"{row.register_bits:>15}{row.storage_bits:>10}"
            f"{'-' if row.gates is None else f'{row.gates:,}':>8}"
        )
    if args.csv is not None:
        write_whole(args.csv, sweep_csv(rows).encode())
    return status
