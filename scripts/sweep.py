"""`bitlog2 sweep`: what each choice of hardware brings and costs."""

import argparse
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import HelpFormatter, integer, output_file
from .evaluate import add_check_threads, run

if TYPE_CHECKING:
    from bitlog2.models.runs.request import EvaluationRequest
    from bitlog2.models.runs.result import Result

#: The units whose gates a sweep counts: one key's lane.
_UNITS = (
    "score_requantizer",
    "distance",
    "exp2",
    "log2_quantizer",
    "shift_add_lane",
    "output_requantizer",
)
#: What can be varied, and the field of the configuration behind it.
_NAMES = {
    "F": "fraction_bits",
    "P": "table_bits",
    "I": "distance_int_bits",
    "m_bits": "m_bits",
    "max_n": "max_n",
    "m2_bits": "m2_bits",
    "max_n2": "max_n2",
    "t_bits": "t_bits",
}
_SCHEMES = ("BitLog2_Single_16", "BitLog2_Single_17", "BitLog2_Half_16", "BitLog2_Half_17")
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
    from bitlog2.models.runs.result import read_result
    from bitlog2.models.runs.sweep import sweep_csv, sweep_rows
    from bitlog2.sim.files import write_whole

    status = run(args.folder, _request(args), args.check_threads)
    result = read_result(args.folder)
    rows = sweep_rows(result, _gates(args.folder, result, args.gates))
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


def _gates(run_folder: Path, result: "Result", wanted: bool | None) -> dict[str, int]:
    """Return the gates of the datapaths of a run: counted now, or those that were before.

    Where nothing is said of them, they are counted if Yosys is there.
    """
    from bitlog2.golden.simulation import ToolError
    from bitlog2.models.runs.sweep import read_gates

    if wanted is False:
        return read_gates(run_folder, result)
    try:
        return _count_gates(run_folder, result)
    except ToolError as error:
        if wanted:
            raise
        print(f"gates not counted: {error}")
        return read_gates(run_folder, result)


def _count_gates(run_folder: Path, result: "Result") -> dict[str, int]:
    """Return the gates of every datapath of a run: of one key's lane and an output channel.

    What this Yosys counted before is kept, and each count as soon as it is made.
    """
    from bitlog2.golden.assurance.cost import yosys_version
    from bitlog2.golden.assurance.cost.measure import synthesize
    from bitlog2.golden.stimulus.unit import Target
    from bitlog2.models.runs.sweep import is_datapath, read_gates, write_gates

    from .progress import progress

    tool = f"Yosys {yosys_version()}, generic gates of {', '.join(_UNITS)}"
    gates = read_gates(run_folder, result, tool)
    cells = [c for c in result.cells if is_datapath(c) and c.name not in gates]
    for cell in progress(cells, "gates", len(cells)):
        target = Target.of(cell.config)
        gates[cell.name] = sum(synthesize(target, unit, {}, "generic").cells for unit in _UNITS)
        write_gates(run_folder, result, gates, tool)
    return gates
