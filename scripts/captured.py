"""What `golden emit --source model` and `export` share: which model, and what is taken of it."""

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitlog2.golden.package.export_manifest import ranges_of

from .arguments import integer
from .evaluate import CLASSES_HELP, MODELS, SCHEMES

if TYPE_CHECKING:
    from bitlog2.models.watch.capture import CaptureRequest, Subject

__all__ = [
    "LARGEST_SEED",
    "add_model_options",
    "capture_request",
    "command_of",
    "given_options",
]

#: The largest seed of a calibration.
LARGEST_SEED = 2**31 - 1
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


def given_options(args: argparse.Namespace, names: tuple[str, ...] = _MODEL_OPTIONS) -> list[str]:
    """Return those of these options that were given, as they are typed."""
    return [f"--{name.replace('_', '-')}" for name in names if getattr(args, name) is not None]


def capture_request(args: argparse.Namespace) -> "CaptureRequest":
    """Return the request that these options make.

    Raises:
        ValueError: options that do not go with one another, or a scheme without registers.
    """
    from bitlog2.models.images.data import CALIBRATION_IMAGES
    from bitlog2.models.ptq.quantize import QuantizationSpec
    from bitlog2.models.watch.capture import CaptureRequest
    from bitlog2.models.zoo.checkpoint import quantized_about
    from bitlog2.models.zoo.task import DataSource

    name, source = args.model, DataSource(args.data, classes=args.classes)
    if args.load is not None:
        _refuse_beside_load(args)
        name = quantized_about(args.load, name)["model"]
        return CaptureRequest(name, source=source, load=args.load)
    if args.seed > LARGEST_SEED:
        raise ValueError(f"--seed must be from 0 to {LARGEST_SEED} for a model, got {args.seed}")
    spec = QuantizationSpec(
        scheme=args.scheme or "BitLog2_Half_17", w_bits=args.w_bits or 4, a_bits=args.a_bits or 4
    )
    count = args.calibration_images or CALIBRATION_IMAGES
    name = name or MODELS[0]
    return CaptureRequest(name, spec, args.seed, count, source, args.checkpoint, ema=bool(args.ema))


def command_of(subject: "Subject", words: list[str], chosen: dict[str, tuple[int, ...]]) -> str:
    """Return the command that takes the same of the same model again, output folder left out.

    Paths are the user's, and stand as DIR and FILE.

    Args:
        subject: the model.
        words: the command up to the model's name.
        chosen: numbers by option.
    """
    request = subject.request
    line = [*words, request.model]
    for option, numbers in chosen.items():
        line += [f"--{option}", ranges_of(numbers)]
    if request.load is not None:
        line += ["--load", "FILE"]
    else:
        spec = request.spec
        line += ["--scheme", spec.scheme, "--w-bits", str(spec.w_bits)]
        line += ["--a-bits", str(spec.a_bits), "--seed", str(request.seed)]
        line += ["--calibration-images", str(request.calibration_images)]
    if request.source.root is not None:
        line += ["--data", "DIR"]
    if request.source.classes is not None:
        line += ["--classes", "FILE"]
    if request.checkpoint is not None:
        line += ["--checkpoint", "FILE", *["--ema"] * request.ema]
    return shlex.join(line)


def _refuse_beside_load(args: argparse.Namespace) -> None:
    options = given_options(args, (*_QUANTIZATION, "checkpoint", "ema"))
    options += ["--seed"] if args.seed else []
    if options:
        raise ValueError(
            f"{options[0]} must be left out with --load, whose file says how it was quantized"
        )
