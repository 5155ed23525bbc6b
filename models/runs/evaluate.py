"""Accuracy of a model, unquantized and quantized, with its registers checked."""

import platform
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitlog2 import SPEC_VERSION, __version__

from ..images.data import CALIBRATION_IMAGES, Progress
from ..ptq.attention import IntegerAttention
from ..ptq.quantize import QuantizationSpec, quantize
from ..ptq.quantizers import CONTROLS
from ..watch.check import Checker, check_threads
from ..watch.digest import RegisterDigest, digest_of_digests, pixel_digests
from ..watch.dump import dump_quantizers
from ..watch.watching import watch
from ..watch.watermarks import Watermarks
from ..zoo.architectures import published
from ..zoo.checkpoint import QuantizedModel, load_quantized, save_quantized
from ..zoo.task import DataSource, Task, load_task
from .statistics import Proportion

__all__ = [
    "CellResult",
    "Evaluation",
    "Loop",
    "Meter",
    "Predictions",
    "RunRequest",
    "Validation",
    "evaluate_quantized",
    "evaluate_unquantized",
    "not_comparable",
    "top5",
    "validate",
    "versions",
]

#: Points by which the unquantized model may miss its published top-1.
_LARGEST_DEVIATION = 0.3
#: Images that published accuracies are of.
_PUBLISHED_IMAGES = 50_000


@dataclass(frozen=True)
class Predictions:
    """What a model said of each held-out image.

    Attributes:
        top1: (n,) int64, the most likely class.
        numbers: (n,) int64, which images of the validation set these are.
        hits1, hits5: images whose label is first, or among the first five.
        seconds: wall time of the loop, checking included.
        digests: SHA-256 of `pixels` (as the model got them) and attention `registers` (levels and
            output codes; empty for a model without any), image by image.
    """

    top1: Tensor
    numbers: Tensor
    hits1: int
    hits5: int
    seconds: float
    digests: dict[str, str]

    @property
    def total(self) -> int:
        """Number of images."""
        return self.top1.numel()


@dataclass(frozen=True)
class CellResult:
    """One row of the table: a model under one scheme.

    Attributes:
        spec: how it was quantized, None for the unquantized model.
        seed: of the calibration, None for the unquantized model.
        published_top1: published accuracy, percent, or None where there is none for this.
        top1, top5, agreement: shares of the images; agreement is with the unquantized model, None
            where that was not evaluated.
        images_per_second: of the whole loop, checking included.
        checker: counts and mismatches, None where nothing was checked.
        layers: parameters that each layer's datapath loads, by layer.
        digests: as `Predictions`.
        watermarks: ranges of the registers, None where they were not asked for.
    """

    spec: QuantizationSpec | None
    seed: int | None
    published_top1: float | None
    top1: Proportion
    top5: Proportion
    agreement: Proportion | None
    images_per_second: float
    checker: Checker | None
    layers: dict[str, dict[str, int]]
    digests: dict[str, str]
    watermarks: Watermarks | None = None

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
                "unchecked_layers": self.checker.unchecked,
                "passed": self.checker.passed,
                "first_mismatches": [str(mismatch) for mismatch in self.checker.mismatches],
            }
        return {
            "name": self.name,
            "quantization": None if self.spec is None else asdict(self.spec),
            "seed": self.seed,
            "published_top1": self.published_top1,
            "top1": self.top1.as_dict(),
            "top5": self.top5.as_dict(),
            "agreement_with_unquantized": self.agreement and self.agreement.as_dict(),
            "images_per_second": self.images_per_second,
            "check": check,
            "digests": self.digests,
            "layer_params": self.layers,
            "watermarks": self.watermarks and self.watermarks.as_dict(),
        }


@dataclass(frozen=True)
class Loop:
    """How images are run.

    Attributes:
        batch_size: images a batch.
        limit: how many images at most, the first of them; None for all.
        progress: shows progress.
        check_threads: threads that compare registers beside inference.
    """

    batch_size: int
    limit: int | None
    progress: Progress
    check_threads: int = 1


def evaluate_unquantized(task: Task, loop: Loop) -> tuple[CellResult, Predictions]:
    """Return the row of the trained model itself, and its predictions."""
    said = _predict(task, task.model, loop, "unquantized")
    cell = CellResult(
        spec=None,
        seed=None,
        published_top1=task.published_top1,
        **_shares(said, said),
        checker=None,
        layers={},
    )
    return cell, said


def evaluate_quantized(
    task: Task,
    quantized: QuantizedModel,
    reference: Predictions | None,
    loop: Loop,
    *,
    check: str,
    watermarks: bool = False,
) -> CellResult:
    """Return the row of a quantized model.

    Args:
        task: its data.
        quantized: model, scheme and seed.
        reference: predictions of the unquantized model on the same images, or None.
        loop: how images are run.
        check: one of `CHECKS`; all but `none` need an integer attention map.
        watermarks: collect the ranges of the registers; needs one too.

    Raises:
        ValueError: there is nothing to check in this model.
    """
    model, spec = quantized.model, quantized.spec
    checker = (
        None if check == "none" else Checker(check, quantized.seed, threads=loop.check_threads)
    )
    marks = Watermarks() if watermarks else None
    digest = RegisterDigest("codes")
    said = _predict(task, model, loop, spec.scheme, checker, marks, digest)
    layers = {
        name: module.params().as_dict()
        for name, module in model.named_modules()
        if isinstance(module, IntegerAttention)
    }
    return CellResult(
        spec=spec,
        seed=quantized.seed,
        published_top1=_published(task, spec),
        **_shares(said, reference),
        checker=checker,
        layers=layers,
        watermarks=marks,
    )


def not_comparable(
    published: float | None, reached: float | None, images: int, limit: int | None
) -> str | None:
    """Return why no figure can be compared with a published one; None where there is no reason.

    Args:
        published: top-1 of the unquantized model, percent; None where nothing was published.
        reached: what it reaches here; None where it was not evaluated.
        images: that were evaluated.
        limit: how many were asked for at most; None for all.
    """
    if published is None:
        return None
    if reached is None:
        why = "the unquantized model was not evaluated: data, weights or preprocessing may differ"
    elif limit is not None and images < _PUBLISHED_IMAGES:
        why = f"published are figures of {_PUBLISHED_IMAGES:,} images, these are of {images:,}"
    elif abs(reached - published) > _LARGEST_DEVIATION:
        why = (
            f"the unquantized model reaches {reached:.2f} % top-1, published are "
            f"{published:.2f} %: data, weights or preprocessing differ"
        )
    else:
        return None
    return f"{why}, so that no figure here can be compared with a published one"


def _published(task: Task, spec: QuantizationSpec) -> float | None:
    if task.published_top1 is None or (spec.w_bits, spec.a_bits) != (4, 4):
        return None
    found = published(spec.scheme, task.name)
    return None if found is None else found[0]


def _predict(
    task: Task,
    model: nn.Module,
    loop: Loop,
    label: str,
    checker: Checker | None = None,
    marks: Watermarks | None = None,
    digest: RegisterDigest | None = None,
) -> Predictions:
    top1: list[Tensor] = []
    seen: list[Tensor] = []
    pixels: list[str] = []
    registers: list[str] = []
    hits1 = hits5 = 0
    start = time.perf_counter()
    count = -(-task.data.count(loop.limit) // loop.batch_size)
    batches = task.data.batches(loop.batch_size, loop.limit)
    with watch(model, *filter(None, (checker, marks, digest))) as watched:
        for images, labels, numbers in loop.progress(batches, label, count):
            logits = watched.run(images.to(task.device), numbers.tolist()).cpu()
            best, hit = top5(logits, labels)
            top1.append(best[:, 0])
            seen.append(numbers)
            hits1 += int(hit[:, 0].sum())
            hits5 += int(hit.sum())
            pixels += pixel_digests(images)
            registers += digest.digests if digest is not None else ()
        if checker is not None:
            checker.finish()
    if not top1:
        raise ValueError("data must hold at least one image that can be read")
    seconds = time.perf_counter() - start
    digests = {"pixels": digest_of_digests(pixels), "registers": digest_of_digests(registers)}
    return Predictions(torch.cat(top1), torch.cat(seen), hits1, hits5, seconds, digests)


def top5(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the five likeliest classes (B, 5) int64 of logits (B, classes), and where they hit.

    With fewer than five classes, all of them.
    """
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices
    return best, best == labels.unsqueeze(1)


def _shares(said: Predictions, reference: Predictions | None) -> dict[str, Any]:
    agreement = None
    if reference is not None:
        if not torch.equal(said.numbers, reference.numbers):
            raise ValueError(
                "data must stay as it is while it is evaluated: other images were read"
            )
        agreement = Proportion(int((said.top1 == reference.top1).sum()), said.total)
    return {
        "top1": Proportion(said.hits1, said.total),
        "top5": Proportion(said.hits5, said.total),
        "agreement": agreement,
        "images_per_second": said.total / said.seconds,
        "digests": said.digests,
    }


@dataclass
class Meter:
    """A value and its mean, weighted by images.

    Attributes:
        value: the last one.
        total, weight: sum of value * weight, and of weights.
    """

    value: float = 0.0
    total: float = 0.0
    weight: int = 0

    def add(self, value: float, weight: int) -> None:
        """Take in one value."""
        self.value = value
        self.total += value * weight
        self.weight += weight

    @property
    def mean(self) -> float:
        """The mean so far; 0 of nothing."""
        return self.total / self.weight if self.weight else 0.0


@dataclass
class Validation:
    """How far a validation is.

    Attributes:
        batch, batches: number of the batch just done, and how many there are.
        seconds: of a batch, mean over batches.
        loss: cross entropy, mean over images.
        top1, top5: percent of the images whose label is the first, or among the first five.
    """

    batches: int
    batch: int = -1
    seconds: Meter = field(default_factory=Meter)
    loss: Meter = field(default_factory=Meter)
    top1: Meter = field(default_factory=Meter)
    top5: Meter = field(default_factory=Meter)


def validate(task: Task, model: nn.Module, batch_size: int) -> Iterator[Validation]:
    """Yield the same `Validation` after each batch of the validation images, brought up to date."""
    so_far = Validation(-(-task.data.count(None) // batch_size))
    start = time.perf_counter()
    with torch.inference_mode():
        for images, labels, _ in task.data.batches(batch_size, None):
            logits = model(images.to(task.device)).cpu()
            _, hit = top5(logits, labels)
            size = len(labels)
            so_far.batch += 1
            so_far.loss.add(F.cross_entropy(logits, labels).item(), size)
            so_far.top1.add(100.0 * int(hit[:, 0].sum()) / size, size)
            so_far.top5.add(100.0 * int(hit.sum()) / size, size)
            now = time.perf_counter()
            so_far.seconds.add(now - start, 1)
            start = now
            yield so_far


@dataclass(frozen=True)
class RunRequest:
    """What `bitlog2 evaluate` was asked for; fields as its options.

    Raises:
        ValueError: options that do not go with one another.
    """

    model: str
    schemes: tuple[str, ...]
    arithmetic: str
    check: str
    watermarks: bool = False
    w_bits: int = 4
    a_bits: int = 4
    seeds: tuple[int, ...] = (0,)
    limit: int | None = None
    batch_size: int = 16
    calibration_images: int = CALIBRATION_IMAGES
    device: str = "cpu"
    source: DataSource = field(default_factory=DataSource)
    checkpoint: Path | None = None
    save: Path | None = None
    load: Path | None = None
    dump_quantizers: Path | None = None
    check_threads: int | None = None
    ema: bool = False

    def __post_init__(self) -> None:
        for name, none in (("check", "none"), ("watermarks", False)):
            asked = getattr(self, name)
            if asked != none and self.arithmetic != "integer":
                raise ValueError(f"{name} must be {none} for float arithmetic, got {asked!r}")
            if asked != none and set(self.schemes) <= set(CONTROLS):
                raise ValueError(
                    f"{name} must be {none} for {', '.join(self.schemes)}, which has no registers, "
                    f"got {asked!r}"
                )
        cells = len(self.schemes) * len(self.seeds)
        for name in ("save", "dump_quantizers"):
            if getattr(self, name) is not None and cells != 1:
                raise ValueError(f"{name} must go with one scheme and one seed, got {cells} cells")
        self.specs()

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        fields = {**asdict(self), "source": asdict(self.source)}
        fields["source"] = {
            name: str(value) if isinstance(value, Path) else value
            for name, value in fields["source"].items()
        }
        return {
            name: str(value) if isinstance(value, Path) else value for name, value in fields.items()
        }

    def specs(self) -> list[QuantizationSpec]:
        """Return how the model is quantized, scheme by scheme."""
        return [
            QuantizationSpec(scheme, self.arithmetic, self.w_bits, self.a_bits)
            for scheme in self.schemes
        ]


class Evaluation:
    """A request being carried out. Model and data are loaded when it is made.

    Args:
        request: what to do.
        progress: shows progress.

    Attributes:
        task: the model with its data.

    Raises:
        ValueError, OSError: model, weights or images are wrong or not there.
    """

    def __init__(self, request: RunRequest, progress: Progress) -> None:
        self.request = request
        threads = check_threads(request.device, request.check_threads)
        self._loop = Loop(request.batch_size, request.limit, progress, threads)
        self._loaded: QuantizedModel | None = None
        if request.load is not None:
            self._loaded = load_quantized(request.load)
        model = None if self._loaded is None else self._loaded.model
        self.task: Task = load_task(
            request.model,
            request.device,
            request.source,
            request.checkpoint,
            model,
            ema=request.ema,
        )
        self.task.data.scan(request.limit, progress)

    def cells(self) -> Iterator[CellResult]:
        """Yield the row of the unquantized model, then one a seed and a scheme.

        Where a quantized model was loaded, yield its row alone. A scheme whose map is float or
        uniform has no registers: its row comes unchecked, `checker` None.

        Raises:
            ValueError: as `quantize`.
        """
        if self._loaded is not None:
            cell = self._evaluate(self._loaded, None)
            self._warn(None, cell.top1.total)
            yield cell
            return
        cell, reference = evaluate_unquantized(self.task, self._loop)
        self._warn(cell.top1.percent, cell.top1.total)
        yield cell
        for seed in self.request.seeds:
            images = self.task.calibration_images(seed, self.request.calibration_images)
            for spec in self.request.specs():
                model = quantize(self.task.model, images, spec)
                name, classes = self.task.name, self.task.data.classes
                quantized = QuantizedModel(model, name, classes, spec, seed)
                self._write(quantized)
                yield self._evaluate(quantized, reference)

    def _evaluate(self, quantized: QuantizedModel, reference: Any) -> CellResult:
        spec = quantized.spec
        registers = spec.arithmetic == "integer" and spec.scheme not in CONTROLS
        return evaluate_quantized(
            self.task,
            quantized,
            reference,
            self._loop,
            check=self.request.check if registers else "none",
            watermarks=self.request.watermarks and registers,
        )

    def _warn(self, reached: float | None, images: int) -> None:
        """Warn where no figure can be compared with a published one."""
        limit = self.request.limit
        if why := not_comparable(self.task.published_top1, reached, images, limit):
            warnings.warn(why, stacklevel=3)

    def _write(self, quantized: QuantizedModel) -> None:
        if self.request.save is not None:
            save_quantized(self.request.save, quantized)
        if self.request.dump_quantizers is not None:
            dump_quantizers(self.request.dump_quantizers, quantized)


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    packages = ("numpy", "numba", "torch", "torchvision", "timm", "scikit-learn")
    return {
        "bitlog2": __version__,
        "specification": str(SPEC_VERSION),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }
