"""The options of `bitlog2 evaluate` that make it a grid in a folder."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import integer

if TYPE_CHECKING:
    from bitlog2.models.runs.request import GridRequest

__all__ = ["add_grid_options", "grid_request"]

#: Options that a grid has no use for, with their usual values.
_NOT_IN_A_GRID: dict[str, Any] = {
    "save": None,
    "load": None,
    "dump_quantizers": None,
    "json": None,
    "ema": False,
}


def add_grid_options(parser: argparse.ArgumentParser, models: tuple[str, ...]) -> None:
    """Add the options to the parser of `evaluate`."""

    pretrained = tuple(name for name in models if name != "digits")

    def model_list(text: str) -> tuple[str, ...]:
        if text == "all":
            return pretrained
        names = tuple(text.split(","))
        for name in names:
            if name not in models or names.count(name) > 1:
                raise argparse.ArgumentTypeError(
                    f"must be 'all' or a list of {', '.join(models)}, each once, got {text!r}"
                )
        return names

    group = parser.add_argument_group(
        "grids",
        "cells of models, schemes, seeds, bits and arithmetics in a folder: stopped at any moment, "
        "`bitlog2 resume DIR` goes on after the last finished batch",
    )
    group.add_argument("--run", dest="folder", type=Path, metavar="DIR", help="the folder")
    group.add_argument(
        "--models",
        type=model_list,
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
        default=1,
        metavar="N",
        help="torch's, of each process of a grid; part of what was asked for, as sums depend on it",
    )


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


def grid_request(
    args: argparse.Namespace, schemes: tuple[str, ...], seeds: tuple[int, ...]
) -> "GridRequest | None":
    """Return the grid that was asked for, None where it was none.

    Raises:
        ValueError: lists without a folder, or options that a grid has no use for.
    """
    lists = args.models is not None or args.bits is not None or len(args.arithmetic) > 1
    if args.folder is None:
        if lists:
            raise ValueError("--run DIR must be given with --models, --bits or two arithmetics")
        return None
    for name, usual in _NOT_IN_A_GRID.items():
        if getattr(args, name) != usual:
            raise ValueError(f"--{name.replace('_', '-')} must be left out with --run")
    if args.models is not None and args.model is not None:
        raise ValueError("--model must be left out with --models")
    return _request(args, schemes, seeds)


def _request(
    args: argparse.Namespace, schemes: tuple[str, ...], seeds: tuple[int, ...]
) -> "GridRequest":
    from bitlog2.models.runs.request import GridRequest

    models = args.models or (args.model or "digits",)
    checkpoints = tuple(args.checkpoints)
    if args.checkpoint is not None:
        if len(models) > 1:
            raise ValueError("--checkpoints MODEL=FILE must be used for several models")
        checkpoints = ((models[0], str(args.checkpoint)),)
    checked = "integer" in args.arithmetic
    return GridRequest(
        models=models,
        schemes=schemes,
        arithmetics=args.arithmetic,
        bits=args.bits or ((args.w_bits, args.a_bits),),
        seeds=seeds,
        check=getattr(args, "check", "all" if checked else "none"),
        digest=args.digest,
        watermarks=args.watermarks,
        limit=args.limit,
        batch_size=args.batch_size or (16 if args.device == "cpu" else 128),
        calibration_images=args.calibration_images,
        threads=args.threads,
        device=args.device,
        data=None if args.data is None else str(args.data),
        workers=0 if args.data is None else args.workers,
        skip_unreadable=args.skip_unreadable,
        classes=None if args.classes is None else str(args.classes),
        checkpoints=checkpoints,
    )
