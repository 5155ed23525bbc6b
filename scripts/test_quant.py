"""The published command line: quantize a model and validate it on ImageNet.

python scripts/test_quant.py --model deit_small --dataset DIR --log_quant_scheme BitLog2_Half_17
"""

import argparse
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bitlog2.names import MODEL_SCHEMES as SCHEMES
from bitlog2.names import MODELS
from bitlog2.scripts.arguments import HelpFormatter, integer
from bitlog2.scripts.cli import check_alone, guarded
from bitlog2.scripts.evaluate import CLASSES_HELP
from bitlog2.scripts.progress import progress

if TYPE_CHECKING:
    from torch import nn

    from bitlog2.models.zoo.task import Task

_EPILOG = """examples:
  python scripts/test_quant.py --model deit_small --dataset /imagenet \\
      --log_quant_scheme BitLog2_Half_17
  python scripts/test_quant.py --model swin_tiny --dataset /imagenet --w_bit 6 --a_bit 6 \\
      --log_quant_scheme Sqrt2_17 --checkpoint swin_tiny.safetensors --device cpu

The arithmetic is the published fake quantization unless --arithmetic integer is given. For checked
registers, intervals and several schemes in one run: bitlog2 evaluate"""


def parser() -> argparse.ArgumentParser:
    """Return the parser: the published options under their published names, and three more."""
    top = argparse.ArgumentParser(
        prog="test_quant.py",
        description="Quantize a vision transformer after training and validate it.",
        epilog=_EPILOG,
        formatter_class=HelpFormatter,
    )
    top.add_argument("--model", choices=MODELS, default="deit_small", help="model")
    top.add_argument("--dataset", type=Path, metavar="DIR", help="folder with train/ and val/")
    for name, default, text in (
        ("--calib-batchsize", 32, "training images that calibrate"),
        ("--val-batchsize", 200, "images a batch of the validation"),
        ("--print-freq", 100, "batches between two lines"),
    ):
        top.add_argument(name, metavar="N", type=integer(1, 10**6), default=default, help=text)
    top.add_argument(
        "--num-workers", metavar="N", type=integer(0, 256), default=16, help="reading processes"
    )
    top.add_argument("--device", metavar="NAME", help="default: cuda where there is one")
    top.add_argument(
        "--seed", metavar="S", type=integer(0, 2**31 - 1), default=0, help="of the calibration"
    )
    for kind, text in (("w", "weight"), ("a", "activation")):
        top.add_argument(
            f"--{kind}_bits",
            f"--{kind}_bit",
            dest=f"{kind}_bits",
            metavar="BITS",
            type=integer(2, 8),
            default=4,
            help=f"width of {text} codes",
        )
    top.add_argument(
        "--log_quant_scheme",
        choices=SCHEMES,
        default="BitLog2_Half_17",
        help="code of the attention map",
    )
    top.add_argument("--arithmetic", choices=("float", "integer"), default="float", help="which")
    top.add_argument("--classes", type=Path, metavar="FILE", help=CLASSES_HELP)
    top.add_argument("--checkpoint", type=Path, metavar="FILE", help="weights, not the hub's")
    top.add_argument("--ema", action="store_true", help="the checkpoint's averaged weights")
    top.add_argument(
        "--skip-unreadable", action="store_true", help="leave unreadable validation images out"
    )
    return top


def run(args: argparse.Namespace) -> int:
    """Quantize, validate, print."""
    check_alone("test_quant.py")
    import torch

    from bitlog2.models.ptq.quantize import QuantizationSpec, quantize
    from bitlog2.models.runs.result import not_comparable
    from bitlog2.models.zoo.task import DataSource, load_task

    spec = QuantizationSpec(args.log_quant_scheme, args.arithmetic, args.w_bits, args.a_bits)
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    print(" ".join(f"{name}={value}" for name, value in sorted(vars(args).items())))
    _say("Building dataloader and model")
    source = DataSource(args.dataset, args.num_workers, args.skip_unreadable, args.classes)
    task = load_task(args.model, device, source, args.checkpoint, ema=args.ema)
    for note in task.data.notes:
        _say(f"Note: {note}")
    task.data.scan(None, progress)
    _say("Reading calibration images")
    images = task.calibration_images(args.seed, args.calib_batchsize)
    model = quantize(task.model, images, spec, lambda stage: _say(f"Performing {stage}"))
    _say("Validating")
    start = time.perf_counter()
    images_seen, top1, top5 = _validate(task, model, args.val_batchsize, args.print_freq)
    seconds = time.perf_counter() - start
    if task.data.skipped:
        print(f"{len(task.data.skipped)} unreadable images left out")
    if why := not_comparable(task.published_top1, None, images_seen, None):
        warnings.warn(why, stacklevel=1)
    print(f" * Prec@1 {top1:.3f} Prec@5 {top5:.3f} Time {seconds:.3f}")
    return 0


def _say(what: str) -> None:
    print(f"{what} ...", flush=True)


def _validate(
    task: "Task", model: "nn.Module", batch_size: int, print_freq: int
) -> tuple[int, float, float]:
    """Print the running figures; return the number of images, and top-1 and top-5 in percent."""
    import torch
    from torch.nn.functional import cross_entropy

    from bitlog2.models.runs.evaluation import top5

    batches = -(-len(task.data) // batch_size)
    images, elapsed, loss, hits1, hits5 = 0, 0.0, 0.0, 0, 0
    start = time.perf_counter()
    for number, batch in enumerate(task.data.batches(batch_size, None)):
        with torch.inference_mode():
            logits = model(batch.images.to(task.device)).cpu()
        _, hit = top5(logits, batch.labels)
        size, here1, here5 = len(batch.labels), int(hit[:, 0].sum()), int(hit.sum())
        here = cross_entropy(logits, batch.labels).item()
        images, loss, hits1, hits5 = images + size, loss + size * here, hits1 + here1, hits5 + here5
        now = time.perf_counter()
        seconds, elapsed, start = now - start, elapsed + now - start, now
        if number % print_freq == 0:
            print(
                f"Test: [{number}/{batches}]\tTime {seconds:.3f} ({elapsed / (number + 1):.3f})\t"
                f"Loss {here:.4f} ({loss / images:.4f})\t"
                f"Prec@1 {100 * here1 / size:.3f} ({100 * hits1 / images:.3f})\t"
                f"Prec@5 {100 * here5 / size:.3f} ({100 * hits5 / images:.3f})",
                flush=True,
            )
    return images, 100 * hits1 / max(images, 1), 100 * hits5 / max(images, 1)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    args = parser().parse_args(argv)
    return guarded(lambda: run(args), "test_quant.py")


if __name__ == "__main__":
    sys.exit(main())
