"""The published command line: quantize a model and validate it on ImageNet.

python scripts/test_quant.py --model deit_small --dataset DIR --log_quant_scheme BitLog2_Half_17
"""

import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from bitlog2.names import ARITHMETICS, MODEL_SCHEMES, MODELS
from bitlog2.scripts.terminal import STYLE, command, progress, run
from bitlog2.scripts.values import SEED, integer, one_of, value

if TYPE_CHECKING:
    from torch import nn

    from bitlog2.models.zoo.task import Task

EXAMPLES = """examples:
  python scripts/test_quant.py --model deit_small --dataset /imagenet \\
      --log_quant_scheme BitLog2_Half_17
  python scripts/test_quant.py --model swin_tiny --dataset /imagenet --w_bit 6 --a_bit 6 \\
      --log_quant_scheme Sqrt2_17 --checkpoint swin_tiny.safetensors --device cpu

The arithmetic is the published fake quantization unless --arithmetic integer is given. For checked
registers, intervals and several schemes in one run: bitlog2 evaluate"""
_MANY = integer(1, 10**6)


def quantize_and_validate(
    *,
    model: Annotated[str, value(one_of(MODELS))] = "deit_small",
    dataset: Path | None = None,
    calib_batchsize: Annotated[int, value(_MANY)] = 32,
    val_batchsize: Annotated[int, value(_MANY)] = 200,
    print_freq: Annotated[int, value(_MANY)] = 100,
    num_workers: Annotated[int, value(integer(0, 256))] = 16,
    device: str | None = None,
    seed: Annotated[int, value(SEED)] = 0,
    w_bits: Annotated[int, value(integer(2, 8), name=("--w_bits", "--w_bit"))] = 4,
    a_bits: Annotated[int, value(integer(2, 8), name=("--a_bits", "--a_bit"))] = 4,
    log_quant_scheme: Annotated[
        str, value(one_of(MODEL_SCHEMES), name="--log_quant_scheme")
    ] = "BitLog2_Half_17",
    arithmetic: Annotated[str, value(one_of(ARITHMETICS))] = "float",
    classes: Path | None = None,
    checkpoint: Path | None = None,
    ema: bool = False,
    skip_unreadable: bool = False,
) -> int:
    """Quantize a vision transformer after training and validate it.

    Args:
        model: model
        dataset: folder with train/ and val/
        calib_batchsize: training images that calibrate
        val_batchsize: images per batch of the validation
        print_freq: batches between two lines
        num_workers: reading processes
        device: where torch runs (default: cuda if it is there)
        seed: seed of the calibration
        w_bits: width of weight codes
        a_bits: width of activation codes
        log_quant_scheme: code of the attention map
        arithmetic: arithmetic
        classes: the model's class names, as bitlog2 evaluate
        checkpoint: weights, not the hub's
        ema: the checkpoint's averaged weights
        skip_unreadable: leave unreadable validation images out
    """
    options = dict(locals())
    import torch

    from bitlog2.models.ptq.quantize import QuantizationSpec, quantize
    from bitlog2.models.runs.result import not_comparable
    from bitlog2.models.zoo.task import DataSource, load_task

    spec = QuantizationSpec(log_quant_scheme, arithmetic, w_bits, a_bits)
    print(" ".join(f"{name}={value}" for name, value in sorted(options.items())))
    _announce("Building dataloader and model")
    source = DataSource(dataset, num_workers, skip_unreadable, classes)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    task = load_task(model, device, source, checkpoint, ema=ema)
    for note in task.data.notes:
        _announce(f"Note: {note}")
    task.data.scan(None, progress)
    _announce("Reading calibration images")
    images = task.calibration_images(seed, calib_batchsize)
    quantized = quantize(task.model, images, spec, lambda stage: _announce(f"Performing {stage}"))
    _announce("Validating")
    start = time.perf_counter()
    images_seen, top1, top5 = _validate(task, quantized, val_batchsize, print_freq)
    seconds = time.perf_counter() - start
    if task.data.skipped:
        print(f"{len(task.data.skipped)} unreadable images left out")
    if why := not_comparable(task.published_top1, None, images_seen, None):
        warnings.warn(why, stacklevel=1)
    print(f" * Prec@1 {top1:.3f} Prec@5 {top5:.3f} Time {seconds:.3f}")
    return 0


def _announce(what: str) -> None:
    print(f"{what} ...", flush=True)


def _validate(
    task: "Task", model: "nn.Module", batch_size: int, print_freq: int
) -> tuple[int, float, float]:
    """Print the running figures; return the number of images, and top-1 and top-5 in percent."""
    import torch
    from torch.nn.functional import cross_entropy

    from bitlog2.models.runs.evaluation import top5

    batches = -(-task.data.count(None) // batch_size)
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


app = command(quantize_and_validate, EXAMPLES, name="test_quant.py", version_flags=(), **STYLE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run(app, "test_quant.py", argv)


if __name__ == "__main__":
    sys.exit(main())
