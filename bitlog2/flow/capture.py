"""Rows of a quantized model's attention: captured, and written as a vector set."""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from bitlog2.golden import Emission, Origin, RowCase, emit_rows
from bitlog2.golden.package.export_manifest import ranges_of
from bitlog2.golden.package.folder import check_replaceable
from bitlog2.golden.package.vector_manifest import VectorManifest
from bitlog2.golden.stimulus.unit import Progress
from bitlog2.models.images.data import ImageBatch, ImageData
from bitlog2.models.ptq.quantize import QuantizationSpec, quantize
from bitlog2.models.runs.request import EvaluationRequest
from bitlog2.models.watch.capture import Capture, LayerCapture, attention_heads
from bitlog2.models.watch.watching import watch
from bitlog2.models.zoo.checkpoint import load_quantized
from bitlog2.names import CALIBRATIONS
from bitlog2.sim import SCHEMES
from bitlog2.sim.own_scheme import is_coded

from .selection import Selection

_BATCH = 16


def datapath_of(request: EvaluationRequest) -> tuple[str, QuantizationSpec, int]:
    """Return model, quantization and seed of a request for one quantized model.

    Raises:
        ValueError: it has several, or no integer datapath.
    """
    quantized = [cell for cell in request.cells() if cell.spec is not None]
    if len(quantized) != 1:
        raise ValueError(f"request must have one quantized model, got {len(quantized)}")
    model, spec, seed = quantized[0].model, quantized[0].spec, quantized[0].seed
    assert spec is not None
    assert seed is not None
    if not is_coded(spec.scheme):
        raise ValueError(
            f"scheme must be one of {', '.join(SCHEMES)}, which have an integer datapath, "
            f"got {spec.scheme!r}"
        )
    if spec.arithmetic == "float":
        raise ValueError(
            "arithmetic must be attention or integer, which have the datapath's registers, "
            "got 'float'"
        )
    return model, spec, seed


@dataclass(frozen=True)
class CaptureChoice:
    """The part of a model's attention that is taken.

    Attributes:
        layers: attention layers in execution order, by number or name.
        images: validation images.
        heads: heads of each layer; None for all.
        windows: windows of an image in Swin; None for the first, which need not be named.
        rows: queries; None for all.
    """

    layers: Selection
    images: Selection
    heads: Selection | None = None
    windows: Selection | None = None
    rows: Selection | None = None


@dataclass(frozen=True, eq=False)
class Captured:
    """Layers of a model as they ran on the chosen images.

    Attributes:
        request: request for the model.
        model: quantized.
        layers: captured attention layers.
        chosen: numbers by option: `layers`, `images`, and `heads` where there was a choice.
    """

    request: EvaluationRequest
    model: nn.Module
    layers: list[LayerCapture]
    chosen: dict[str, tuple[int, ...]]


def capture(request: EvaluationRequest, choice: CaptureChoice, progress: Progress) -> Captured:
    """Load or quantize a model and capture the chosen layers on the chosen images.

    What was chosen is checked before anything is quantized.

    Raises:
        ValueError, OSError: model, weights or images are wrong or not there, a loaded model has no
            integer datapath, or a selection is out of range.
    """
    name, spec, seed = datapath_of(request)
    loaded = None if request.load is None else load_quantized(Path(request.load), name)
    if loaded is not None and (loaded.name, loaded.spec, loaded.seed) != (name, spec, seed):
        raise ValueError(f"{request.load} must be what was asked for, got another model")
    given = None if loaded is None else loaded.model
    task = request.task(name, loaded)
    heads = attention_heads(task.model)
    names = tuple(heads)
    chosen = {"layers": choice.layers.resolve("--layers", len(names), names)}
    layers = [names[number] for number in chosen["layers"]]
    if choice.heads is not None:
        least = min(heads[layer] for layer in layers)
        chosen["heads"] = choice.heads.resolve("--heads", least)
    chosen["images"] = choice.images.resolve("--images", len(task.data))
    if given is None:
        images = task.calibration_images(seed, request.calibration_images)
        given = quantize(task.model, images, spec, progress=progress)
    batches = chosen_images(task.data, chosen["images"], progress)
    return Captured(request, given, capture_layers(given, batches, layers), chosen)


def chosen_images(
    data: ImageData, numbers: Sequence[int], progress: Progress
) -> Iterator[ImageBatch]:
    """Yield the validation images of these numbers, one per batch, in their order in the set.

    Images before the last chosen one are read too, and an unreadable one among them is an error.

    Raises:
        ValueError, OSError: an image cannot be read.
    """
    end = max(numbers) + 1
    data.scan(end, progress)
    wanted = set(numbers)
    for batch in data.batches(_BATCH, end):
        for place, number in enumerate(batch.numbers.tolist()):
            if number in wanted:
                yield ImageBatch(*(part[place : place + 1] for part in batch))


def capture_layers(
    model: nn.Module, images: Iterable[ImageBatch], layers: Sequence[str]
) -> list[LayerCapture]:
    """Run images one by one and return what these attention layers saw and gave.

    An image runs alone: its codes do not depend on which others were chosen.

    Args:
        model: as `quantize` returns it, with an integer attention map.
        images: one image per batch, at least one; all of one size.
        layers: module names of attention layers.

    Raises:
        ValueError: a name is that of no layer with a datapath; no images.
    """
    captured = Capture(layers)
    with watch(model, captured) as watched:
        for batch in images:
            watched.run(batch.images, batch.numbers.tolist())
    return captured.captures()


def command_of(
    request: EvaluationRequest, words: Sequence[str], chosen: Mapping[str, tuple[int, ...]]
) -> str:
    """Return the command that takes the same of the same model again, output folder left out.

    Paths are the user's, and stand as DIR and FILE.

    Args:
        request: the model.
        words: the command up to the model's name.
        chosen: numbers by option.
    """
    name, spec, seed = datapath_of(request)
    line = [*words, name]
    for option, numbers in chosen.items():
        line += [f"--{option}", ranges_of(numbers)]
    if request.load is not None:
        line += ["--load", "FILE"]
    else:
        line += ["--scheme", spec.scheme, "--w-bits", str(spec.w_bits)]
        line += ["--a-bits", str(spec.a_bits), "--seed", str(seed)]
        if spec.calibration != CALIBRATIONS[0]:
            line += ["--calibration", spec.calibration]
        line += ["--calibration-images", str(request.calibration_images)]
    if request.data is not None:
        line += ["--data", "DIR"]
    if request.classes is not None:
        line += ["--classes", "FILE"]
    if request.checkpoints:
        line += ["--checkpoint", "FILE", *["--ema"] * request.ema]
    return shlex.join(line)


def emit_captured(
    out: str | Path,
    request: EvaluationRequest,
    choice: CaptureChoice,
    *,
    testbench: bool,
    progress: Progress,
) -> Emission:
    """Capture rows of a model and write them as a vector set.

    Raises:
        ValueError, OSError: as `capture`, `row_cases`, `emit_rows`.
    """
    check_replaceable(Path(out).resolve(), VectorManifest)
    captured = capture(request, choice, progress)
    chosen, layers = captured.chosen, captured.layers
    windows, tokens = (min(getattr(part, of) for part in layers) for of in ("windows", "tokens"))
    if windows > 1 or choice.windows is not None:
        chosen["windows"] = (choice.windows or Selection.of("0")).resolve("--windows", windows)
    chosen["rows"] = (choice.rows or Selection.of("all")).resolve("--rows", tokens)
    words = ("bitlog2", "golden", "emit", "--source", "model", "--model")
    reason = f"captured by: {command_of(captured.request, words, chosen)}"
    cases = list(row_cases(datapath_of(request)[0], layers, chosen, reason))
    return emit_rows(out, layers[0].config, cases, testbench=testbench, progress=progress)


def origin_of(
    model: str, layer: str, window: int | None, head: int, image: int, row: int
) -> Origin:
    """Return where a row of a model comes from; `window` is None where an image is not divided."""
    return Origin(model, layer if window is None else f"{layer} window {window}", head, image, row)


def row_cases(
    model: str,
    captured: Sequence[LayerCapture],
    chosen: Mapping[str, Sequence[int]],
    reason: str,
) -> Iterator[RowCase]:
    """Yield rows of captured layers: layer by layer, then image, window, head and row.

    Args:
        model: the name in their origins.
        captured: the layers, all with the same images.
        chosen: `heads`, `windows` and `rows` of each image; a missing one means all.
        reason: why the rows are there.

    Raises:
        ValueError: the layers' heads do not all have the same number of channels.
    """
    dims = {part.layer: part.v.shape[4] for part in captured}
    if len(set(dims.values())) > 1:
        listed = ", ".join(f"{layer} has {dim}" for layer, dim in dims.items())
        raise ValueError(f"layers of one set must have heads of the same channels: {listed}")
    for part in captured:
        for place, image in enumerate(part.images):
            for window in chosen.get("windows", range(part.windows)):
                for head in chosen.get("heads", range(part.heads)):
                    for row in chosen.get("rows", range(part.tokens)):
                        named = window if part.windows > 1 else None
                        yield RowCase(
                            scores=part.score[place, window, head, row],
                            v=part.v[place, window, head],
                            params=part.params,
                            masked=None if part.masked is None else part.masked[window, row],
                            bias=None if part.bias is None else part.bias[head, row],
                            reason=reason,
                            origin=origin_of(model, part.layer, named, head, image, row),
                        )
