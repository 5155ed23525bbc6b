"""A model quantized, lowered and written as a program; and pixels for it."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from bitlog2.models.network.check import NetworkChecker
from bitlog2.models.network.lower import lower_named, require_form
from bitlog2.models.network.replay import write_replay
from bitlog2.models.network.scales import Choices
from bitlog2.models.ptq.quantize import quantize
from bitlog2.models.runs.evaluation import exact_float32, torch_threads
from bitlog2.models.runs.request import EvaluationRequest
from bitlog2.models.zoo.task import pixels_of
from bitlog2.sim.files import write_whole
from bitlog2.sim.network.program_file import write_program

from .capture import datapath_of
from .execution import Progress

_BATCH = 64


@dataclass(frozen=True)
class LowerReport:
    """What was written.

    Attributes:
        out: file of the program.
        digest: of that file.
        choices: what lowering chose.
        pixels: file of pixels, and how many images it holds; None where none was asked for.
        checker: what compared the torch network with the simulator; None where none did.
    """

    out: Path
    digest: str
    choices: Choices
    pixels: tuple[Path, int] | None
    checker: NetworkChecker | None

    @property
    def status(self) -> int:
        """1 where a register differed, else 0."""
        return int(self.checker is not None and self.checker.mismatched > 0)

    @property
    def mismatch(self) -> Path:
        """The file of the first register that differs; it is there where one does."""
        return self.out.with_name(f"{self.out.name}.mismatch.json")

    def as_dict(self) -> dict[str, Any]:
        """Return the same for a program."""
        found = {"status": self.status, "out": self.out, "digest": self.digest}
        found |= {"choices": self.choices, "pixels": self.pixels}
        if self.checker is None:
            return found
        return found | {"compared": self.checker.compared, "mismatched": self.checker.mismatched}

    def lines(self) -> list[str]:
        """Return the report."""
        lines = self.choices.lines()
        if self.pixels is not None:
            lines.append(f"pixels {self.pixels[0]}: {self.pixels[1]} images")
        if self.checker is not None:
            lines += self.checker.lines()
        if self.status:
            lines.append(f"the first one, again: bitlog2 replay {self.mismatch}")
        return [*lines, f"program {self.out}: {self.digest}"]


def lower_model(
    out: Path,
    request: EvaluationRequest,
    progress: Progress,
    pixels: Path | None = None,
    check: int = 0,
) -> LowerReport:
    """Quantize a model, and write its program.

    Args:
        out: file of the program.
        request: one quantized model with an integer datapath.
        progress: shows the batches of pixels.
        pixels: .npz to be written with the validation images, as many as the request's limit
            leaves, in the order of the data set: what `bitlog2 run` takes.
        check: on how many of the calibration images every register of the torch network is compared
            with the simulator's.

    Raises:
        ValueError, OSError: model, weights or images are wrong or not there; the network has no
            unit for a part of the model, or a file cannot be written.
    """
    name, spec, seed = datapath_of(request)
    task, normalization = request.task(name, None), pixels_of(name)
    images = task.calibration_images(seed, request.calibration_images)
    exact_float32()
    require_form(task.model, images[:1], spec)
    with torch_threads(request.threads):  # as in a run of `evaluate`
        model = quantize(task.model, images, spec, progress=progress)
        program, choices = lower_named(name, model, images, spec, seed)
    digest, written = write_program(out, program), None
    if pixels is not None:
        task.data.scan(request.limit, progress)
        batches = task.data.batches(_BATCH, request.limit)
        count = -(-task.data.end(request.limit) // _BATCH)
        kind = np.uint8 if normalization.largest < 1 << 8 else np.uint16
        parts = [
            normalization.of(batch.images).numpy().astype(kind)
            for batch in progress(batches, "images", count)
        ]
        written = pixels, _write_pixels(pixels, np.concatenate(parts))
    checker = NetworkChecker(program) if check else None
    if checker is not None:
        checker(normalization.of(images[:check]))
    report = LowerReport(out, digest, choices, written, checker)
    if checker is not None and checker.replay is not None:
        write_replay(report.mismatch, checker.replay)
    return report


def _write_pixels(path: Path, images: np.ndarray) -> int:
    content = BytesIO()
    np.savez_compressed(content, images=images)
    write_whole(path, content.getvalue())
    return len(images)
