"""A whole evaluation: the unquantized model, then one row a scheme and a seed."""

import platform
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bitlog2 import SPEC_VERSION, __version__

from .check_threads import check_threads
from .checkpoint import QuantizedModel, load_quantized, save_quantized
from .dump import dump_quantizers
from .evaluate import (
    CellResult,
    Loop,
    evaluate_quantized,
    evaluate_unquantized,
    not_comparable,
)
from .image_data import CALIBRATION_IMAGES, Progress
from .map_schemes import CONTROLS
from .quantize import QuantizationSpec, quantize
from .task import DataSource, Task, load_task

__all__ = ["Evaluation", "RunRequest", "versions"]


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
