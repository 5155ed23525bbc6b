"""What `golden emit --source model` and `export` share: which model, and what is taken of it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitlog2.flow.selection import Selection
from bitlog2.golden import Emission
from bitlog2.names import LARGEST_SEED, MODELS
from bitlog2.names import MODEL_SCHEMES as SCHEMES

from .arguments import integer, selection
from .evaluate import CLASSES_HELP
from .progress import progress

if TYPE_CHECKING:
    from bitlog2.flow.capture import CaptureRequest

_QUANTIZATION = ("scheme", "w_bits", "a_bits", "calibration_images")
_MODEL_OPTIONS = (*_QUANTIZATION, "data", "classes", "checkpoint", "ema", "load")


def add_model_options(group: Any) -> None:
    """Add weights, data and quantization, as `evaluate` takes them, to an argument group."""
    group.add_argument(
        "--data", type=Path, metavar="DIR", help="ImageNet-shaped folder (digits ships its own)"
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
        default=None,
        help="take the averaged weights that the checkpoint has beside others",
    )
    group.add_argument(
        "--load",
        type=Path,
        metavar="FILE",
        help="a quantized model that `evaluate --save` wrote; its quantization is in the file",
    )
    group.add_argument(
        "--scheme", choices=SCHEMES, help="code of the attention map (default: BitLog2_Half_17)"
    )
    group.add_argument(
        "--w-bits", metavar="BITS", type=integer(2, 8), help="width of weight codes (default: 4)"
    )
    group.add_argument(
        "--a-bits",
        metavar="BITS",
        type=integer(2, 8),
        help="width of activation codes (default: 4)",
    )
    group.add_argument(
        "--calibration-images",
        metavar="N",
        type=integer(1, 10**6),
        help="training images that calibrate (default: 32)",
    )


def given_options(args: argparse.Namespace, names: tuple[str, ...]) -> list[str]:
    """Return those of these options that were given, as they are typed."""
    return [f"--{name.replace('_', '-')}" for name in names if getattr(args, name) is not None]


def capture_request(args: argparse.Namespace) -> "CaptureRequest":
    """Return the request that these options make.

    Raises:
        ValueError: options that do not go with one another, or a scheme without registers.
    """
    from bitlog2.flow.capture import CaptureRequest
    from bitlog2.models.images.data import CALIBRATION_IMAGES
    from bitlog2.models.ptq.quantize import QuantizationSpec
    from bitlog2.models.zoo.checkpoint import quantized_about
    from bitlog2.models.zoo.task import DataSource

    name, source = args.model, DataSource(args.data, classes=args.classes)
    if args.load is not None:
        _refuse_beside_load(args)
        name = quantized_about(args.load, name)[0]
        return CaptureRequest(name, source=source, load=args.load)
    if args.seed > LARGEST_SEED:
        raise ValueError(f"--seed must be from 0 to {LARGEST_SEED} for a model, got {args.seed}")
    spec = QuantizationSpec(
        scheme=args.scheme or "BitLog2_Half_17", w_bits=args.w_bits or 4, a_bits=args.a_bits or 4
    )
    count = args.calibration_images or CALIBRATION_IMAGES
    name = name or MODELS[0]
    return CaptureRequest(name, spec, args.seed, count, source, args.checkpoint, ema=bool(args.ema))


def _refuse_beside_load(args: argparse.Namespace) -> None:
    options = given_options(args, (*_QUANTIZATION, "checkpoint", "ema"))
    options += ["--seed"] if args.seed else []
    if options:
        raise ValueError(
            f"{options[0]} must be left out with --load, whose file says how it was quantized"
        )


_DEFAULTS = {"layers": "0", "heads": "0", "images": "0", "windows": "0", "rows": "all"}
_HELP = {
    "layers": "attention layers in execution order, by number or name",
    "heads": "heads of each",
    "images": "validation images",
    "windows": "windows of an image in Swin",
    "rows": "queries",
}
_ROW_OPTIONS = ("model", *_DEFAULTS, *_MODEL_OPTIONS)


def add_row_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `--source model`."""
    group = parser.add_argument_group(
        "--source model",
        "Rows of a quantized model's attention, with every register. Selections: all, 3, 0,2, 0-4.",
    )
    group.add_argument("--model", choices=MODELS, help="which model (default: digits)")
    for name, default in _DEFAULTS.items():
        group.add_argument(
            f"--{name}", type=selection, metavar="LIST", help=f"{_HELP[name]} (default: {default})"
        )
    add_model_options(group)


def refuse_row_options(args: argparse.Namespace) -> None:
    """Refuse the options of `--source model` beside another source.

    Raises:
        ValueError: one was given.
    """
    if given := given_options(args, _ROW_OPTIONS):
        raise ValueError(f"{given[0]} must go with --source model")


def emit_model(args: argparse.Namespace) -> Emission:
    """Carry out `golden emit --source model`.

    Raises:
        ValueError, OSError: as `emit_captured`.
    """
    from bitlog2.flow.capture import CaptureChoice, emit_captured

    given = {name: getattr(args, name) or Selection.of(text) for name, text in _DEFAULTS.items()}
    choice = CaptureChoice(**{**given, "windows": args.windows})
    request = capture_request(args)
    return emit_captured(args.out, request, choice, testbench=args.testbench, progress=progress)
