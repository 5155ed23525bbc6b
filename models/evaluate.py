"""Accuracy of a model, unquantized and quantized, with its registers checked."""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .check import Checker
from .integer_attention import IntegerAttention
from .metrics import Proportion
from .quantize import QuantizationSpec
from .task import Task

__all__ = ["CellResult", "Predictions", "evaluate_quantized", "evaluate_unquantized"]

#: Shows progress over batches: (batches, label, how many) -> batches.
Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]


@dataclass(frozen=True)
class Predictions:
    """What a model said of each held-out image.

    Attributes:
        top1: (n,) int64, the most likely class.
        hits1, hits5: images whose label is first, or among the first five.
        seconds: wall time of the loop, checking included.
    """

    top1: Tensor
    hits1: int
    hits5: int
    seconds: float

    @property
    def total(self) -> int:
        """Number of images."""
        return self.top1.numel()


@dataclass(frozen=True)
class CellResult:
    """One row of the table: a model under one scheme.

    Attributes:
        spec: how it was quantized, None for the unquantized model.
        top1, top5, agreement: shares of the images; agreement is with the unquantized model.
        images_per_second: of the whole loop, checking included.
        checker: counts and mismatches, None where nothing was checked.
        layers: parameters that each layer's datapath loads, by layer.
    """

    spec: QuantizationSpec | None
    top1: Proportion
    top5: Proportion
    agreement: Proportion
    images_per_second: float
    checker: Checker | None
    layers: dict[str, dict[str, int]]

    @property
    def name(self) -> str:
        """The scheme, or `unquantized`."""
        return "unquantized" if self.spec is None else self.spec.scheme

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        check = None
        if self.checker is not None:
            check = {
                "mode": self.checker.mode,
                "compared": self.checker.compared,
                "mismatched": self.checker.mismatched,
                "total_compared": self.checker.total_compared,
                "total_mismatched": self.checker.total_mismatched,
                "passed": self.checker.passed,
                "first_mismatches": [str(mismatch) for mismatch in self.checker.mismatches],
            }
        return {
            "name": self.name,
            "quantization": None if self.spec is None else asdict(self.spec),
            "top1": self.top1.as_dict(),
            "top5": self.top5.as_dict(),
            "agreement_with_unquantized": self.agreement.as_dict(),
            "images_per_second": self.images_per_second,
            "check": check,
            "layer_params": self.layers,
        }


def evaluate_unquantized(
    task: Task, batch_size: int, limit: int | None, progress: Progress
) -> tuple[CellResult, Predictions]:
    """Return the row of the trained model itself, and its predictions."""
    said = _predict(task, task.model, batch_size, limit, progress, "unquantized", None)
    return _cell(None, said, said, None, {}), said


def evaluate_quantized(
    task: Task,
    model: nn.Module,
    spec: QuantizationSpec,
    reference: Predictions,
    *,
    check: str,
    batch_size: int,
    limit: int | None,
    seed: int,
    progress: Progress,
) -> CellResult:
    """Return the row of a quantized model.

    Args:
        task: its data.
        model: as `quantize` returns it.
        spec: how it was quantized.
        reference: predictions of the unquantized model on the same images.
        check: one of `CHECKS`; `sample` and `all` need an integer attention map.
        batch_size, limit: images a batch, and how many at most.
        seed: of the sample.
        progress: shows progress.

    Raises:
        ValueError: there is nothing to check in this model.
    """
    checker = None if check == "none" else Checker(check, seed)
    handles = [] if checker is None else checker.watch(model)
    try:
        said = _predict(task, model, batch_size, limit, progress, spec.scheme, checker)
    finally:
        for handle in handles:
            handle.remove()
    layers = {
        name: module.params().as_dict()
        for name, module in model.named_modules()
        if isinstance(module, IntegerAttention)
    }
    return _cell(spec, said, reference, checker, layers)


def _predict(
    task: Task,
    model: nn.Module,
    batch_size: int,
    limit: int | None,
    progress: Progress,
    label: str,
    checker: Checker | None,
) -> Predictions:
    top1, hits1, hits5 = [], 0, 0
    start = time.perf_counter()
    count = -(-task.count(limit) // batch_size)
    with torch.inference_mode():
        for number, (images, labels) in enumerate(
            progress(task.batches(batch_size, limit), label, count)
        ):
            if checker is not None:
                checker.first_image = number * batch_size
            best = model(images).topk(min(5, task.classes), dim=1).indices.cpu()
            hit = best == labels.unsqueeze(1)
            top1.append(best[:, 0])
            hits1 += int(hit[:, 0].sum())
            hits5 += int(hit.sum())
    return Predictions(torch.cat(top1), hits1, hits5, time.perf_counter() - start)


def _cell(
    spec: QuantizationSpec | None,
    said: Predictions,
    reference: Predictions,
    checker: Checker | None,
    layers: dict[str, dict[str, int]],
) -> CellResult:
    same = int((said.top1 == reference.top1).sum())
    return CellResult(
        spec=spec,
        top1=Proportion(said.hits1, said.total),
        top5=Proportion(said.hits5, said.total),
        agreement=Proportion(same, said.total),
        images_per_second=said.total / said.seconds,
        checker=checker,
        layers=layers,
    )
