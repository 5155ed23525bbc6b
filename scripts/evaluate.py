"""`bitlog2 evaluate`: accuracy of a quantized model, every register checked."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitlog2.names import CODED, CONTROLS, LARGEST_SEED, MODELS
from bitlog2.names import MODEL_SCHEMES as SCHEMES

from . import grid
from .arguments import HelpFormatter, integer, output_file
from .grid_options import add_grid_options, grid_request

if TYPE_CHECKING:
    from bitlog2.models.runs.evaluate import RunRequest

__all__ = ["CLASSES_HELP", "MODELS", "SCHEMES", "add_parser"]

_EPILOG = """examples:
  bitlog2 evaluate --model digits
  bitlog2 evaluate --model digits --schemes all --check all --json result.json
  bitlog2 evaluate --run RUN --models vit_small,deit_small --data /imagenet --schemes all \\
      --arithmetic integer,float --bits 4/4,6/6 --seeds 0,1,2
  torchrun --nproc-per-node 4 -m bitlog2 -- evaluate --run RUN --model deit_small --data /imagenet
  bitlog2 evaluate --model deit_small --data /imagenet --scheme BitLog2_Half_17 --workers 8
  bitlog2 evaluate --model swin_tiny --data /imagenet --checkpoint swin_tiny.safetensors \\
      --schemes all --arithmetic float --seeds 0,1,2
  bitlog2 evaluate --model deit_small --data /imagenet --save q.safetensors
  bitlog2 evaluate --load q.safetensors --data /imagenet

data: a folder with train/ and val/, one folder of images a class in each, or train.tar and val.tar,
or ImageNet as it is downloaded: README.md has the layouts

exit status: 0 every value compared agreed, 1 a register differed (its row is written as a vector
set to replay), 2 wrong usage"""

CLASSES_HELP = (
    "the model's class names in order, one a line (or .json), where the folders' names are neither "
    "WordNet IDs nor indices"
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
    parser.add_argument(
        "--model", choices=MODELS, help="model to evaluate (default: digits, or that of --load)"
    )
    _add_data(parser)
    _add_quantization(parser)
    _add_run(parser)
    add_grid_options(parser, MODELS)
    parser.set_defaults(run=_run)


def _add_data(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("weights and images (digits ships its own)")
    group.add_argument(
        "--data", type=Path, metavar="DIR", help="ImageNet-shaped folder, or tars in a folder"
    )
    group.add_argument("--classes", type=Path, metavar="FILE", help=CLASSES_HELP)
    group.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="weights, .safetensors, .pth or .npz (default: the Hugging Face hub's)",
    )
    group.add_argument(
        "--ema",
        action="store_true",
        help="take the averaged weights that the checkpoint has beside others",
    )
    group.add_argument(
        "--workers", metavar="N", type=integer(0, 256), default=4, help="processes that read images"
    )
    group.add_argument(
        "--skip-unreadable",
        action="store_true",
        help="leave unreadable validation images out, and count them",
    )


def _add_quantization(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("quantization")
    which = group.add_mutually_exclusive_group()
    which.add_argument(
        "--scheme", choices=SCHEMES, default="BitLog2_Half_17", help="code of the attention map"
    )
    which.add_argument(
        "--schemes",
        metavar="LIST",
        type=_scheme_list,
        help="a comma-separated list, or 'all': every scheme and control of the arithmetic",
    )
    group.add_argument(
        "--arithmetic",
        type=_arithmetic_list,
        metavar="{integer,float}",
        default="integer",
        help="the datapath's integers, or the published fake quantization; both, as "
        "integer,float, in a grid",
    )
    group.add_argument(
        "--w-bits", metavar="BITS", type=integer(2, 8), default=4, help="width of weight codes"
    )
    group.add_argument(
        "--a-bits", metavar="BITS", type=integer(2, 8), default=4, help="width of activation codes"
    )
    seeds = group.add_mutually_exclusive_group()
    seeds.add_argument(
        "--seed", metavar="S", type=integer(0, LARGEST_SEED), default=0, help="of the calibration"
    )
    seeds.add_argument(
        "--seeds", metavar="LIST", type=_seed_list, help="several, as 0,1,2: prints the spread too"
    )
    group.add_argument(
        "--calibration-images",
        metavar="N",
        type=integer(1, 10**6),
        default=32,
        help="training images that calibrate",
    )
    group.add_argument(
        "--save", type=output_file, metavar="FILE", help="write the quantized model there"
    )
    group.add_argument(
        "--load",
        type=Path,
        metavar="FILE",
        help="evaluate a quantized model that --save wrote; its quantization is in the file",
    )
    group.add_argument(
        "--dump-quantizers",
        type=output_file,
        metavar="FILE",
        help="write every scale, zero point and reparameterization there, by module name (.npz)",
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("evaluation")
    group.add_argument(
        "--check",
        type=_check_mode,
        metavar="{none,sample,sample:K,all}",
        help="registers compared with the simulator; a sample takes one of eight heads, or K heads "
        "of each layer and batch, by the seed (default: all for integer, none for float)",
        default=argparse.SUPPRESS,
    )
    grid.add_check_threads(group)
    group.add_argument(
        "--watermarks",
        action="store_true",
        help="smallest and largest value, bits used and saturations of every register, by layer",
    )
    group.add_argument(
        "--limit",
        metavar="N",
        type=integer(1, 10**9),
        help="evaluate the first N images only (an ImageNet folder is sorted by class)",
    )
    group.add_argument(
        "--batch-size",
        metavar="N",
        type=integer(1, 4096),
        help="images a batch (default: 16 on the CPU, which keeps to its caches, else 128)",
    )
    group.add_argument(
        "--device",
        metavar="{cpu,cuda,cuda:N}",
        default="cpu",
        help="where torch runs",
    )
    group.add_argument("--json", type=output_file, metavar="FILE", help="write everything there")
    group.add_argument(
        "--mismatch-dir",
        type=Path,
        default=Path("bitlog2-mismatch"),
        metavar="DIR",
        help="where the row of a mismatch is written",
    )


def _check_mode(text: str) -> str:
    size = text.removeprefix("sample:")
    if text not in ("none", "sample", "all") and not (
        size != text and re.fullmatch("[1-9][0-9]{0,8}", size)
    ):
        raise argparse.ArgumentTypeError(
            f"must be none, sample, sample:K with K from 1 to 999999999, or all, got {text!r}"
        )
    return text


def _arithmetic_list(text: str) -> tuple[str, ...]:
    names = _once(tuple(text.split(",")))
    for name in names:
        if name not in ("integer", "float"):
            raise argparse.ArgumentTypeError(f"must be of integer, float, got {name!r}")
    return names


def _scheme_list(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in SCHEMES and text != "all":
            raise argparse.ArgumentTypeError(
                f"must be 'all' or a list of {', '.join(SCHEMES)}, got {name!r}"
            )
    return _once(names)


def _seed_list(text: str) -> tuple[int, ...]:
    parse = integer(0, LARGEST_SEED)
    return _once(tuple(parse(part) for part in text.split(",")))


def _once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    for value in values:
        if values.count(value) > 1:
            raise argparse.ArgumentTypeError(f"must name each once, got {value!r} twice")
    return values


def _schemes(args: argparse.Namespace) -> tuple[str, ...]:
    if args.schemes is None:
        return (args.scheme,)
    if args.schemes == ("all",):
        return SCHEMES if "float" in args.arithmetic else (*CODED, *CONTROLS)
    chosen: tuple[str, ...] = args.schemes
    return chosen


def _request(args: argparse.Namespace) -> "RunRequest":
    from bitlog2.models.runs.evaluate import RunRequest
    from bitlog2.models.zoo.checkpoint import quantized_about
    from bitlog2.models.zoo.task import DataSource

    how = {
        "model": args.model or "digits",
        "schemes": _schemes(args),
        "arithmetic": args.arithmetic[0],
        "w_bits": args.w_bits,
        "a_bits": args.a_bits,
        "seeds": args.seeds or (args.seed,),
    }
    if args.load is not None:
        how = quantized_about(args.load, args.model)
    checked = how["arithmetic"] == "integer" and not set(how["schemes"]) <= set(CONTROLS)
    return RunRequest(
        **how,
        check=getattr(args, "check", "all" if checked else "none"),
        watermarks=args.watermarks,
        limit=args.limit,
        batch_size=args.batch_size or (16 if args.device == "cpu" else 128),
        calibration_images=args.calibration_images,
        device=args.device,
        source=DataSource(args.data, args.workers, args.skip_unreadable, args.classes),
        checkpoint=args.checkpoint,
        ema=args.ema,
        save=args.save,
        load=args.load,
        dump_quantizers=args.dump_quantizers,
        check_threads=args.check_threads,
    )


def _run(args: argparse.Namespace) -> int:
    from bitlog2.models.runs.evaluate import Evaluation
    from bitlog2.models.watch.digest import exact_float32

    from .evaluate_report import Report
    from .progress import progress

    request = grid_request(args, _schemes(args), args.seeds or (args.seed,))
    if request is not None:
        return grid.run(args.folder, request, args.check_threads)
    exact_float32()
    evaluation = Evaluation(_request(args), progress)
    report = Report(evaluation)
    report.print_header()
    for cell in evaluation.cells():
        report.print_row(cell)
    report.print_spread()
    report.print_watermarks()
    report.print_digests()
    if args.json is not None:
        report.write_json(args.json)
    return report.print_check(args.mismatch_dir)
