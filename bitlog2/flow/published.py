"""The published evaluation: quantize a model and validate it, with its lines as it goes on."""

import time
import warnings
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from bitlog2.models.images.data import Progress
from bitlog2.models.ptq.quantize import QuantizationSpec, quantize
from bitlog2.models.runs.evaluation import top5
from bitlog2.models.runs.result import RANDOM_WEIGHTS, is_comparable, not_comparable
from bitlog2.models.zoo.task import DataSource, Task, load_task
from bitlog2.names import ZOO, is_random


def quantize_and_validate(
    name: str,
    spec: QuantizationSpec,
    source: DataSource,
    *,
    checkpoint: Path | None,
    ema: bool,
    device: str | None,
    seed: int,
    calibration_images: int,
    batch_size: int,
    print_freq: int,
    progress: Progress,
) -> None:
    """Quantize a model, validate it, and print what the published script prints.

    Args:
        name, spec, source, checkpoint, ema, seed, calibration_images: as of an `EvaluationRequest`.
        device: torch's device; None for cuda where there is one.
        batch_size: images per batch of the validation.
        print_freq: batches between two lines.
        progress: shows progress.

    Raises:
        ValueError, OSError: as `load_task`.
    """
    _announce("Building dataloader and model")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    task = load_task(name, device, source, checkpoint, ema=ema)
    for note in task.data.notes:
        _announce(f"Note: {note}")
    task.data.scan(None, progress)
    _announce("Reading calibration images")
    images = task.calibration_images(seed, calibration_images)
    model = quantize(
        task.model, images, spec, lambda stage: _announce(f"Performing {stage}"), progress
    )
    _announce("Validating")
    start = time.perf_counter()
    images_seen, first, five = _validate(task, model, batch_size, print_freq)
    seconds = time.perf_counter() - start
    if task.data.skipped:
        print(f"{len(task.data.skipped)} unreadable images left out")
    published = ZOO[name].published_top1 if is_comparable(name, task.data) else None
    why = not_comparable(published, None, images_seen, None)
    if why := RANDOM_WEIGHTS if is_random(name) else why:
        warnings.warn(why, stacklevel=1)
    print(f" * Prec@1 {first:.3f} Prec@5 {five:.3f} Time {seconds:.3f}")


def _announce(what: str) -> None:
    print(f"{what} ...", flush=True)


def _validate(
    task: Task, model: nn.Module, batch_size: int, print_freq: int
) -> tuple[int, float, float]:
    """Print the running figures; return the number of images, and top-1 and top-5 in percent."""
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
