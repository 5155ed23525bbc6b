"""A quantized model that is given in Python: its layers as an export, its rows as vectors."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from bitlog2.documents import brief
from bitlog2.golden import Emission, ExportManifest, ExportReport, Quantization, emit_rows
from bitlog2.golden.package.export import write_export
from bitlog2.golden.package.export_manifest import EXPORTED_IN_PYTHON
from bitlog2.golden.package.folder import check_replaceable
from bitlog2.golden.package.vector_manifest import VectorManifest
from bitlog2.golden.stimulus.unit import Progress, no_progress
from bitlog2.models.images.data import ImageBatch
from bitlog2.models.ptq.quantize import QuantizationSpec
from bitlog2.models.trial import require_eval
from bitlog2.models.watch.capture import LayerCapture
from bitlog2.models.watch.watching import datapaths_of

from .capture import capture_layers, row_cases
from .export import export_of


def export(
    out: str | Path,
    model: nn.Module,
    images: Tensor,
    spec: QuantizationSpec | None = None,
    *,
    name: str = "model",
    layers: Sequence[str] | None = None,
    progress: Progress = no_progress,
) -> ExportReport:
    """Write what a quantized model's layers load and compute, as `bitlog2 export` does.

    Args:
        out: a new or empty folder, or one that holds an export, which is replaced as a whole.
        model: as `quantize` returns it, with an integer attention map.
        images: (n, C, H, W) float32, at least one: their codes are written, numbered from 0.
        spec: what the model was quantized by; None for one of `bitlog2.models.huggingface`, whose
            linear layers are float32, and are not written.
        name: of the model, for people.
        layers: attention layers by module name; None for all. Linear layers are all written.
        progress: shows how far it is.

    Returns:
        What was written; `bitlog2 golden verify OUT` feeds it to the simulator.

    Raises:
        TypeError, ValueError: the model has no datapath, the specification is that of another one,
            an argument is out of range, or `out` holds something else. Nothing is written.
        OSError: the folder cannot be written.
    """
    check_replaceable(Path(out).resolve(), ExportManifest)
    captured = _captured(model, images, layers)
    config = captured[0].config
    given = spec or QuantizationSpec(config.scheme, "attention", a_bits=config.q_bits)
    quantization = Quantization(
        scheme=given.scheme,
        arithmetic="attention",
        w_bits=None if spec is None else spec.w_bits,
        a_bits=given.a_bits,
        calibration=given.calibration,
        seed=None,
    )
    whole = export_of(model, captured, name, quantization, EXPORTED_IN_PYTHON)
    return write_export(out, *whole, progress=progress)


def vectors(
    out: str | Path,
    model: nn.Module,
    images: Tensor,
    *,
    name: str = "model",
    layers: Sequence[str] | None = None,
    windows: Sequence[int] = (0,),
    heads: Sequence[int] | None = None,
    rows: Sequence[int] | None = None,
    testbench: bool = False,
    progress: Progress = no_progress,
) -> Emission:
    """Write rows of a quantized model's attention as a vector set, every register with them.

    What `bitlog2 golden emit --source model` does.

    Args:
        out: a new or empty folder, or one that holds a vector set, which is replaced as a whole.
        model, images, name, progress: as of `export`.
        layers: attention layers by module name, whose heads have the same channels; None for all.
        windows: numbers of windows of an image in Swin, the first by default; an image that is not
            divided has one.
        heads, rows: numbers of heads, and of queries; None for all.
        testbench: whether to add self-checking testbenches, the reference RTL and a Makefile.

    Raises:
        TypeError, ValueError: the model has no datapath, an argument is out of range, or `out`
            holds something else. Nothing is written.
        OSError: the folder cannot be written.
    """
    check_replaceable(Path(out).resolve(), VectorManifest)
    captured = _captured(model, images, layers)
    given = {"windows": windows, "heads": heads, "rows": rows}
    chosen = _chosen({key: each for key, each in given.items() if each is not None}, captured)
    cases = list(row_cases(name, captured, chosen, "captured by: bitlog2.models.vectors"))
    config = captured[0].config
    return emit_rows(out, config, cases, testbench=testbench, progress=progress)


def _captured(model: nn.Module, images: Tensor, layers: Sequence[str] | None) -> list[LayerCapture]:
    """Return what attention layers saw and gave for images that run one by one."""
    require_eval(model)
    if not isinstance(images, Tensor) or images.ndim != 4 or not len(images):
        found = tuple(images.shape) if isinstance(images, Tensor) else brief(images)
        raise ValueError(f"images must be (n, C, H, W), at least one, got {found}")
    datapaths = datapaths_of(model)
    for datapath in datapaths.values():
        images = images.to(datapath.values.device)
    return capture_layers(model, _one_by_one(images), layers or tuple(datapaths))


def _one_by_one(images: Tensor) -> Iterator[ImageBatch]:
    for number, image in enumerate(torch.split(images, 1)):
        yield ImageBatch(image, torch.zeros(1, dtype=torch.int64), torch.tensor([number]))


def _chosen(
    given: Mapping[str, Sequence[int]], captured: Sequence[LayerCapture]
) -> dict[str, Sequence[int]]:
    """Return numbers of windows, heads and rows, each there in every layer."""
    sizes = {"windows": "windows", "heads": "heads", "rows": "tokens"}
    for name, numbers in given.items():
        count = min(getattr(part, sizes[name]) for part in captured)
        if not numbers or len(set(numbers)) < len(numbers) or not set(numbers) <= {*range(count)}:
            raise ValueError(
                f"{name} must be numbers from 0 to {count - 1}, each once, got {brief(numbers)}"
            )
    return dict(given)
