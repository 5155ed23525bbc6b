"""A whole evaluation: the unquantized model, then one row a scheme."""

import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bitlog2 import SPEC_VERSION, __version__

from .checkpoint import save_quantized
from .evaluate import CellResult, Progress, evaluate_quantized, evaluate_unquantized
from .quantize import QuantizationSpec, quantize
from .task import load_task

__all__ = ["RunRequest", "run_evaluation", "versions"]


@dataclass(frozen=True)
class RunRequest:
    """What `bitlog2 evaluate` was asked for; fields as its options."""

    model: str
    schemes: tuple[str, ...]
    arithmetic: str
    check: str
    w_bits: int
    a_bits: int
    seed: int
    limit: int | None
    batch_size: int
    device: str
    save: Path | None = None

    def __post_init__(self) -> None:
        if self.check != "none" and self.arithmetic != "integer":
            raise ValueError(f"check must be none for float arithmetic, got {self.check!r}")
        if self.check != "none" and self.schemes == ("none",):
            raise ValueError(f"check must be none for the float map of none, got {self.check!r}")
        if self.save is not None and len(self.schemes) != 1:
            raise ValueError(f"save must go with one scheme, got {len(self.schemes)}")

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {**asdict(self), "save": None if self.save is None else str(self.save)}

    def specs(self) -> list[QuantizationSpec]:
        """Return how the model is quantized, scheme by scheme."""
        return [
            QuantizationSpec(scheme, self.arithmetic, self.w_bits, self.a_bits)
            for scheme in self.schemes
        ]


def run_evaluation(request: RunRequest, progress: Progress) -> Iterator[CellResult]:
    """Yield the row of the unquantized model, then one a scheme.

    A scheme whose map is float has no registers: its row comes unchecked, `checker` None.

    Raises:
        ValueError: as `quantize`.
    """
    specs = request.specs()
    task = load_task(request.model, request.device)
    cell, reference = evaluate_unquantized(task, request.batch_size, request.limit, progress)
    yield cell
    images = task.calibration_images(request.seed)
    for spec in specs:
        model = quantize(task.model, images, spec)
        if request.save is not None:
            save_quantized(request.save, model, request.model, spec)
        yield evaluate_quantized(
            task,
            model,
            spec,
            reference,
            check="none" if spec.scheme == "none" else request.check,
            batch_size=request.batch_size,
            limit=request.limit,
            seed=request.seed,
            progress=progress,
        )


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    packages = ("numpy", "numba", "torch", "timm", "scikit-learn")
    return {
        "bitlog2": __version__,
        "specification": str(SPEC_VERSION),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }
