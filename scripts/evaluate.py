"""`bitlog2 evaluate`: accuracy of a quantized model, every register checked."""

import argparse
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitlog2.names import CODED, CONTROLS, LARGEST_SEED, MODELS
from bitlog2.names import MODEL_SCHEMES as SCHEMES

from .arguments import HelpFormatter, integer, output_file

if TYPE_CHECKING:
    from bitlog2.models.runs.request import EvaluationRequest
    from bitlog2.models.zoo.checkpoint import QuantizedModel

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
    _add_evaluation(parser)
    _add_grid(parser)
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
        help="the datapath's integers, or the published fake quantization; both as integer,float",
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


def _add_evaluation(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("evaluation")
    group.add_argument(
        "--check",
        type=_check_mode,
        metavar="{none,sample,sample:K,all}",
        help="registers compared with the simulator; a sample takes one of eight heads, or K heads "
        "of each layer and batch, by the seed (default: all for integer, none for float)",
        default=argparse.SUPPRESS,
    )
    add_check_threads(group)
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
        metavar="DIR",
        help="where the row of a mismatch is written (default: bitlog2-mismatch, or mismatch in "
        "the folder of --run)",
    )


def add_check_threads(parser: Any) -> None:
    """Add `--check-threads` to a parser or a group of its options."""
    parser.add_argument(
        "--check-threads",
        type=integer(1, 256),
        metavar="N",
        help="of each process, compare registers while the model goes on; nothing that is reported "
        "depends on them (default: the processors that torch leaves free, 1 to 4)",
    )


def _add_grid(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "grids",
        "cells of models, schemes, seeds, bits and arithmetics; in a folder they can be stopped at "
        "any moment: `bitlog2 resume DIR` goes on after the last finished batch",
    )
    group.add_argument("--run", dest="folder", type=Path, metavar="DIR", help="the folder")
    group.add_argument(
        "--models",
        type=_model_list,
        metavar="LIST",
        help="as vit_small,deit_tiny; all: the pretrained",
    )
    group.add_argument("--bits", type=_bits_list, metavar="LIST", help="W/A pairs, as 4/4,6/6")
    group.add_argument(
        "--checkpoints",
        type=_checkpoint,
        action="append",
        default=[],
        metavar="MODEL=FILE",
        help="weights of one of several models; may be repeated",
    )
    group.add_argument(
        "--digest",
        choices=("none", "codes", "all"),
        default="codes",
        help="attention registers in the digest: levels and output codes, or every one",
    )
    group.add_argument(
        "--threads",
        type=integer(1, 256),
        metavar="N",
        help="torch's, of each process; part of what was asked for, as sums depend on it (default: "
        "1 with --run, else torch's own choice)",
    )


def _model_list(text: str) -> tuple[str, ...]:
    if text == "all":
        return tuple(name for name in MODELS if name != "digits")
    names = tuple(text.split(","))
    for name in names:
        if name not in MODELS or names.count(name) > 1:
            raise argparse.ArgumentTypeError(
                f"must be 'all' or a list of {', '.join(MODELS)}, each once, got {text!r}"
            )
    return names


def _bits_list(text: str) -> tuple[tuple[int, int], ...]:
    parse, pairs = integer(2, 8), []
    for part in text.split(","):
        w_bits, separator, a_bits = part.partition("/")
        if not separator:
            raise argparse.ArgumentTypeError(f"must be W/A pairs as 4/4,6/6, got {text!r}")
        pairs.append((parse(w_bits), parse(a_bits)))
    return tuple(pairs)


def _checkpoint(text: str) -> tuple[str, str]:
    model, separator, file = text.partition("=")
    if not separator or not file:
        raise argparse.ArgumentTypeError(f"must be MODEL=FILE, got {text!r}")
    return model, file


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


def request_of(args: argparse.Namespace) -> "EvaluationRequest":
    """Return the request that the options make.

    Raises:
        TypeError, ValueError: options that do not go with one another.
    """
    from bitlog2.models.runs.request import EvaluationRequest

    cells = _loaded(args) if args.load is not None else _cells(args)
    coded = "integer" in cells["arithmetics"] and set(cells["schemes"]) & set(CODED)
    return EvaluationRequest(
        **cells,
        check=getattr(args, "check", "all" if coded else "none"),
        digest=args.digest,
        watermarks=args.watermarks,
        statistics=args.folder is not None,
        limit=args.limit,
        batch_size=args.batch_size or (16 if args.device == "cpu" else 128),
        calibration_images=args.calibration_images,
        threads=args.threads or _threads(args.folder),
        device=args.device,
        data=None if args.data is None else str(args.data),
        workers=0 if args.data is None else args.workers,
        skip_unreadable=args.skip_unreadable,
        classes=None if args.classes is None else str(args.classes),
        ema=args.ema,
    )


def _cells(args: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of a request that say which models are quantized, and how."""
    if args.models is not None and args.model is not None:
        raise ValueError("--model must be left out with --models")
    models = args.models or (args.model or "digits",)
    checkpoints = tuple(args.checkpoints)
    if args.checkpoint is not None:
        if len(models) > 1:
            raise ValueError("--checkpoints MODEL=FILE must be used for several models")
        checkpoints = ((models[0], str(args.checkpoint)),)
    return {
        "models": models,
        "schemes": _schemes(args),
        "arithmetics": args.arithmetic,
        "bits": args.bits or ((args.w_bits, args.a_bits),),
        "seeds": args.seeds or (args.seed,),
        "checkpoints": checkpoints,
    }


def _loaded(args: argparse.Namespace) -> dict[str, Any]:
    """Return the same fields of a quantized model's file."""
    from bitlog2.models.zoo.checkpoint import quantized_about

    for name in ("models", "bits", "checkpoint"):
        if getattr(args, name) is not None:
            raise ValueError(f"--{name} must be left out with --load")
    name, spec, seed = quantized_about(args.load, args.model)
    return {
        "models": (name,),
        "schemes": (spec.scheme,),
        "arithmetics": (spec.arithmetic,),
        "bits": ((spec.w_bits, spec.a_bits),),
        "datapaths": (spec.datapath,),
        "seeds": (seed,),
        "load": str(args.load),
    }


def _threads(folder: Path | None) -> int:
    """Return torch's threads where none are asked for: a run gives the same on every machine."""
    import torch

    return torch.get_num_threads() if folder is None else 1


def _run(args: argparse.Namespace) -> int:
    request = request_of(args)
    keep = [(args.save, "save"), (args.dump_quantizers, "dump_quantizers")]
    cells = sum(cell.spec is not None for cell in request.cells())
    for file, name in keep:
        if file is not None and cells != 1:
            raise ValueError(f"{name} must go with one scheme and one seed, got {cells} cells")

    def write(quantized: "QuantizedModel") -> None:
        from bitlog2.models.zoo.checkpoint import dump_quantizers, save_quantized

        if args.save is not None:
            save_quantized(args.save, quantized)
        if args.dump_quantizers is not None:
            dump_quantizers(args.dump_quantizers, quantized)

    wanted = any(file is not None for file, _ in keep)
    mismatch_dir = args.mismatch_dir or (args.folder or Path()) / "mismatch"
    if args.mismatch_dir is None and args.folder is None:
        mismatch_dir = Path("bitlog2-mismatch")
    return run(
        args.folder,
        request,
        args.check_threads,
        mismatch_dir=mismatch_dir,
        json=args.json,
        model=write if wanted else None,
    )


def run(
    folder: Path | None,
    request: "EvaluationRequest | None",
    check_threads: int | None,
    *,
    mismatch_dir: Path | None = None,
    json: Path | None = None,
    model: Callable[["QuantizedModel"], None] | None = None,
) -> int:
    """Evaluate, or go on with a run; print its table and return the exit status.

    Args:
        folder: of the run; None for one that is gone afterwards.
        request: what is evaluated; None for what the run was asked for.
        check_threads: that compare registers; None for a number by the processors.
        mismatch_dir: where rows that differ are written; None for `mismatch` in the folder.
        json: file that the result is written to as well, with its timings.
        model: is called with each quantized model.
    """
    from dataclasses import replace

    import msgspec

    from bitlog2.models.runs.evaluation import evaluate
    from bitlog2.models.runs.folder import RunFolder
    from bitlog2.models.runs.result import write_result

    from .progress import progress
    from .table import Table

    if folder is not None:
        mismatch_dir = mismatch_dir or folder / "mismatch"
        request = request or RunFolder.open(folder).request
    assert request is not None
    assert mismatch_dir is not None
    table = Table(request, mismatch_dir)
    result = evaluate(folder, request, progress, replace(table.events, model=model), check_threads)
    if os.environ.get("RANK", "0") != "0":
        return 0
    status = table.finish(result)
    if folder is not None:
        print(f"result in {folder / 'result.json'}")
    if json is not None:
        write_result(json, msgspec.structs.replace(result, timings=table.timings))
    return status
