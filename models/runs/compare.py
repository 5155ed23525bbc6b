"""Comparison of two runs: images whose prediction changed, and the first register that differs."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
from torch import Tensor

from ..network.check import first_parting
from ..network.network import ImageNetwork
from ..watch.digest import pixel_digests
from ..watch.recorder import Parting, Recorder, first_difference
from ..watch.watching import watch
from ..zoo.checkpoint import QuantizedModel
from .folder import RunFolder
from .request import Cell
from .result import CellAnswers

#: Changed images that are listed.
_SHOWN = 10


@dataclass(frozen=True)
class Change:
    """An image that two cells give different classes.

    Attributes:
        number: position in the validation set.
        label: its class.
        a, b: the classes that the cells give.
    """

    number: int
    label: int
    a: int
    b: int


@dataclass(frozen=True)
class CellComparison:
    """Two cells side by side.

    Attributes:
        a, b: their names.
        images: number of images that both saw.
        changes: images that they give different classes.
        other_pixels, other_registers, other_logits: images whose digests differ; None where none
            were kept.
        digests: of all logits of each; empty where they are no integers, or images are missing.
        parting: where the registers part; None where they do not, or there are none.
    """

    a: str
    b: str
    images: int
    changes: tuple[Change, ...]
    other_pixels: int | None
    other_registers: int | None
    other_logits: int | None
    digests: tuple[str, str]
    parting: Parting | None

    @property
    def same(self) -> bool:
        """Whether predictions, pixels, registers and integer logits agree."""
        others = (self.other_pixels, self.other_registers, self.other_logits)
        return not (self.changes or any(others))

    def lines(self) -> list[str]:
        """Return the differences in words, of the first images alone."""
        title = self.a if self.a == self.b else f"{self.a} and {self.b}"
        lines = [
            f"{title}:",
            f"  {self.images:,} images, {len(self.changes):,} predictions changed",
            f"  pixels {_in_words(self.other_pixels)}",
            f"  attention registers {_in_words(self.other_registers)}",
            f"  logits {_in_words(self.other_logits)}",
        ]
        of_a, of_b = self.digests
        named = [(title, of_a)] if of_a == of_b else [(self.a, of_a), (self.b, of_b)]
        lines += [f"  logits of {name}: SHA-256 {digest}" for name, digest in named if digest]
        for change in self.changes[:_SHOWN]:
            lines.append(
                f"  image {change.number} (label {change.label}): {change.a} and {change.b}"
            )
        if len(self.changes) > _SHOWN:
            lines.append(f"  ... and {len(self.changes) - _SHOWN:,} more")
        return lines if self.parting is None else [*lines, f"  {self.parting}"]


def _in_words(differing: int | None) -> str:
    if differing is None:
        return "not kept"
    return f"DIFFERENT in {differing:,} images" if differing else "the same"


def compare_cells(
    a: RunFolder, b: RunFolder, names: tuple[str, str] | None = None
) -> Iterator[CellComparison]:
    """Yield the comparison of each cell that two runs have in common, or of two cells by name.

    Raises:
        ValueError: there is no such cell; else as `compare_runs`.
    """
    of_a, of_b = ({cell.name: cell for cell in run.request.cells()} for run in (a, b))
    pairs = [(name, name) for name in of_a if name in of_b] if names is None else [names]
    if not pairs:
        raise ValueError(f"runs must have a cell in common, got none in {a.path} and {b.path}")
    for pair in pairs:
        for name, known in zip(pair, (of_a, of_b), strict=True):
            if name not in known:
                raise ValueError(f"cell must be one of {', '.join(known)}, got {name!r}")
        yield compare_runs(a, b, of_a[pair[0]], of_b[pair[1]])


def compare_runs(a: RunFolder, b: RunFolder, cell_a: Cell, cell_b: Cell) -> CellComparison:
    """Compare a cell of one run with a cell of another, which may be the same run.

    Raises:
        ValueError: they are of different models, or saw no image in common.
        OSError: model, weights or images that are needed again are not there.
    """
    if cell_a.model != cell_b.model:
        raise ValueError(
            f"cells must be of one model to be compared, got {cell_a.name} and {cell_b.name}"
        )
    answers_a, answers_b = (
        CellAnswers(folder, cell) for folder, cell in ((a, cell_a), (b, cell_b))
    )
    both, at_a, at_b = np.intersect1d(
        answers_a.numbers, answers_b.numbers, assume_unique=True, return_indices=True
    )
    if both.size == 0:
        raise ValueError(f"{cell_a.name} and {cell_b.name} must have seen an image in common")
    top1_a, top1_b, labels = answers_a.top1[at_a], answers_b.top1[at_b], answers_a.labels[at_a]
    changed = np.flatnonzero(top1_a != top1_b)
    changes = tuple(
        Change(int(both[i]), int(labels[i]), int(top1_a[i]), int(top1_b[i])) for i in changed
    )
    pixels, registers, logits = (
        _differing(answers_a, answers_b, n) for n in ("pixels", "registers", "logits")
    )
    parting = None
    comparable = cell_a.has_registers and cell_b.has_registers
    comparable = comparable and cell_a.is_network == cell_b.is_network
    if comparable and (changes or logits or registers != []):
        wanted = [change.number for change in changes]
        wanted += registers or logits or [int(both[0])]
        image = image_of(a, answers_a, wanted[0], a.load_model(cell_a)[0])
        parting = _parting(a, b, cell_a, cell_b, wanted[0], image)
    return CellComparison(
        cell_a.name,
        cell_b.name,
        both.size,
        changes,
        None if pixels is None else len(pixels),
        None if registers is None else len(registers),
        None if logits is None else len(logits),
        (_logits_of(a, cell_a), _logits_of(b, cell_b)),
        parting,
    )


def _digests(answers: CellAnswers, which: str) -> dict[int, str]:
    """Return the digest of each image; empty where there are none."""
    return dict(zip(answers.numbers.tolist(), getattr(answers, which), strict=False))


def _differing(a: CellAnswers, b: CellAnswers, which: str) -> list[int] | None:
    """Return the images that both saw whose digests differ, in order; None without digests."""
    of_a, of_b = _digests(a, which), _digests(b, which)
    if not of_a or not of_b:
        return None
    return [number for number in of_a if number in of_b and of_a[number] != of_b[number]]


def _logits_of(run: RunFolder, cell: Cell) -> str:
    return run.logits_digest(cell) if run.is_finished(cell) else ""


def image_of(
    run: RunFolder, answers: CellAnswers, number: int, quantized: QuantizedModel
) -> Tensor:
    """Return an image that a cell of a run was run on, (1, C, H, W) float32.

    Args:
        run: the run.
        answers: those of the cell.
        number: of the image, in the validation set.
        quantized: the model of the cell, so that no weights are looked for.

    Raises:
        ValueError: the cell did not read it, or it is another one now.
        OSError: images are not there.
    """
    if number not in answers.numbers:
        raise ValueError(
            f"image must be one that {answers.cell.name} was run on, {len(answers.numbers):,} "
            f"from {answers.numbers.min()} to {answers.numbers.max()}, got {number}"
        )
    request = msgspec.structs.replace(run.request, device="cpu")
    data = request.task(answers.cell.model, quantized).data
    batches = data.batches(request.batch_size, request.limit, [number // request.batch_size])
    image = next((batch.images[batch.numbers == number] for batch in batches), None)
    if image is None or pixel_digests(image) != (_digests(answers, "pixels")[number],):
        raise ValueError(
            f"images must be those that {run.path} was run on, got another as image {number}"
        )
    return image


def _parting(
    a: RunFolder, b: RunFolder, cell_a: Cell, cell_b: Cell, number: int, image: Tensor
) -> Parting | None:
    """Run both models on an image again, and return where they part."""
    one, other = (
        folder.load_model(cell)[0].executed() for folder, cell in ((a, cell_a), (b, cell_b))
    )
    if isinstance(one, ImageNetwork) and isinstance(other, ImageNetwork):
        return first_parting(one, other, image, number)
    seen = []
    for model in (one, other):
        recorder = Recorder()
        with watch(model, recorder) as watched:
            watched.run(image, [number])
        seen.append(recorder.layers)
    return first_difference(*seen)
