"""One batch through a model, with all that is kept of it."""

from typing import Any

import torch
from torch import nn

from ..check import Checker
from ..digest import RegisterDigest, pixel_digests
from ..evaluate import top5
from ..image_data import Batch
from ..watermarks import Watermarks
from .record import BatchRecord

__all__ = ["BatchRun"]


class BatchRun:
    """A batch being evaluated: `start` runs the model, `finish` waits for the checks.

    The two are apart so that the registers of a batch are checked while the next one is computed.

    Args:
        number: of the batch.
        skipped: names of its images that could not be read.
        check: how registers are checked.
        threads: that check beside inference.
        seed: of a sample of them.
        digest: which registers are digested.
        watermarks: collect the range of every register.
    """

    def __init__(
        self,
        number: int,
        skipped: tuple[str, ...],
        *,
        check: str,
        threads: int,
        seed: int,
        digest: str,
        watermarks: bool,
    ) -> None:
        self._about: dict[str, Any] = {"batch": number, "skipped": skipped}
        self._checker = None if check == "none" else Checker(check, seed, threads=threads)
        self._digest = None if digest == "none" else RegisterDigest(digest)
        self._marks = Watermarks() if watermarks else None

    def start(self, model: nn.Module, batch: Batch, device: str) -> None:
        """Run the model on the batch."""
        if self._checker is not None:
            self._checker.images = batch.numbers.tolist()
        if self._digest is not None:
            self._digest.begin(len(batch.images))
        watching = (self._checker, self._digest, self._marks)
        handles = [handle for part in watching if part for handle in part.watch(model)]
        done = False
        try:
            with torch.inference_mode():
                logits = model(batch.images.to(device)).cpu()
            done = True
        finally:
            for handle in handles:
                handle.remove()
            if not done and self._checker is not None:
                self._checker.cancel()
        best, hit = top5(logits, batch.labels)
        self._about |= {
            "numbers": tuple(batch.numbers.tolist()),
            "labels": tuple(batch.labels.tolist()),
            "top1": tuple(best[:, 0].tolist()),
            "hits5": tuple(int(any(row)) for row in hit.tolist()),
            "pixels": pixel_digests(batch.images),
        }

    def finish(self) -> BatchRecord:
        """Return the record, once the registers have been checked."""
        kept = dict(self._about)
        if self._digest is not None:
            kept["registers"] = self._digest.end()
        if self._checker is not None:
            self._checker.finish()
            if self._checker.unchecked:
                raise ValueError(
                    f"check must see every attention layer: {', '.join(self._checker.unchecked)} "
                    "did not run"
                )
            kept["compared"] = dict(self._checker.compared)
            kept["mismatched"] = dict(self._checker.mismatched)
            kept["mismatches"] = tuple(str(each) for each in self._checker.mismatches)
        if self._marks is not None:
            kept["watermarks"] = {
                layer: {
                    name: (mark.smallest, mark.largest, mark.values, mark.saturated)
                    for name, mark in marks.items()
                }
                for layer, marks in self._marks.layers.items()
            }
        return BatchRecord(**kept)
