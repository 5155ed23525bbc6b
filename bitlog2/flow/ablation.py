"""What the rounding of each unit costs in the logits: one after the other in float."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from bitlog2.models.images.pixels import Pixels
from bitlog2.models.network.ablation import GROUPS, UNITS, AblatedNetwork, RealParameters, units_of
from bitlog2.models.network.lower import lower, require_form
from bitlog2.models.network.network import IntegerNetwork
from bitlog2.models.ptq.quantize import quantize
from bitlog2.models.runs.evaluation import exact_float32, torch_threads
from bitlog2.models.runs.request import EvaluationRequest
from bitlog2.models.zoo.task import pixels_of
from bitlog2.sim.network import NetworkConfig

from .capture import datapath_of
from .execution import Progress

#: What `each` stands for: every unit alone, those of a layer norm, and all.
EACH = (*UNITS, *(name for name in GROUPS if name != "none"))
_HEAD = (
    f"{'in float':<20}{'mean LSB':>14}{'largest LSB':>14}{'mean %':>9}{'agrees %':>10}"
    f"{'top-1 %':>9}"
)


@dataclass
class Difference:
    """The logits with some units in float, less those in integers.

    Attributes:
        units: the unit in float, or the group of them.
        mean, largest: magnitude of a logit's difference, in LSB of the logits.
        share: the mean, percent of the standard deviation of the logits.
        agrees: images whose prediction is that in integers, percent.
        top1: images whose prediction is the label, percent; None without labels.
    """

    units: str
    mean: float
    largest: float
    share: float
    agrees: float
    top1: float | None

    def line(self) -> str:
        """Return a line of the table."""
        top1 = "-" if self.top1 is None else f"{self.top1:.2f}"
        return (
            f"{self.units:<20}{self.mean:>14,.2f}{self.largest:>14,.1f}{self.share:>9.3f}"
            f"{self.agrees:>10.2f}{top1:>9}"
        )


@dataclass
class Ablation:
    """The differences of a model, on so many images.

    Attributes:
        model: its name, with its quantization.
        images: how many there were.
        deviation: of the logits in integers, in LSB.
        top1: of the network in integers, percent; None without labels.
        rows: in the order in which they were asked for.
    """

    model: str
    images: int
    deviation: float
    top1: float | None
    rows: list[Difference] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return the table."""
        title = f"{self.model}: {self.images} images"
        title += f", standard deviation of the logits {self.deviation:,.0f} LSB"
        if self.top1 is not None:
            title += f", in integers top-1 {self.top1:.2f} %"
        return [title, _HEAD, *(row.line() for row in self.rows)]


def named_units(names: Collection[str]) -> dict[str, frozenset[str]]:
    """Return the units of each row of a table, by its name.

    Args:
        names: units and groups of them, or `each`.

    Raises:
        ValueError: a name is none of them.
    """
    return {name: units_of((name,)) for name in (EACH if tuple(names) == ("each",) else names)}


def ablated(request: EvaluationRequest, names: Collection[str], progress: Progress) -> Ablation:
    """Quantize a model, and return its differences on the validation images.

    Args:
        request: one quantized model in the arithmetic `integer`, on the CPU.
        names: as `named_units`.
        progress: shows progress.

    Raises:
        ValueError, OSError: model, weights or images are wrong or not there, or a name is no unit.
    """
    if request.arithmetics != ("integer",):
        asked = ",".join(request.arithmetics)
        raise ValueError(f"arithmetic must be integer with float units, got {asked!r}")
    name, spec, seed = datapath_of(request)
    units, task = named_units(names), request.task(name, None)
    images = task.calibration_images(seed, request.calibration_images)
    exact_float32()
    require_form(task.model, images[:1], spec)
    with torch_threads(request.threads):
        model = quantize(task.model, images, spec, progress=progress)
        size, end = request.batch_size, task.data.end(request.limit)
        batches = task.data.batches(size, request.limit)
        pairs = ((batch.images, batch.labels) for batch in progress(batches, name, -(-end // size)))
        title = f"{name} {spec.scheme} {spec.form}"
        return differences(title, model, images, pixels_of(name), pairs, units)


def differences(
    title: str,
    model: nn.Module,
    calibration: Tensor,
    normalization: Pixels,
    batches: Iterable[tuple[Tensor, Tensor | None]],
    units: Mapping[str, Collection[str]],
) -> Ablation:
    """Return how the logits differ where some units, and no others, are in float.

    Args:
        title: name of the model.
        model: as `quantize` returns it, on the CPU.
        calibration: the images that calibrated it, (B, C, H, W) float32.
        normalization: what a pixel stands for.
        batches: images (B, C, H, W) float32, and their labels (B,) where they have any.
        units: those in float, by name of the row.

    Raises:
        TypeError, ValueError: as `lower`, or there is no image.
    """
    made: list[RealParameters] = []

    def parameters(config: NetworkConfig, seen: Any) -> RealParameters:
        made.append(RealParameters(config, seen))
        return made[-1]

    program = lower(model, calibration, normalization, parameters=parameters).program
    exact = IntegerNetwork(program)
    networks = {name: AblatedNetwork(program, made[-1], each) for name, each in units.items()}
    found: dict[str, list[Tensor]] = {name: [] for name in networks}
    integers, classes = [], []
    with torch.inference_mode():
        for images, labels in batches:
            pixels = normalization.of(images)
            integers.append(exact(pixels).double())
            classes.append(labels)
            for name, network in networks.items():
                found[name].append(network(pixels).double())
    if not integers:
        raise ValueError("data must hold at least one image that can be read")
    known = [each for each in classes if each is not None]
    return _ablation(
        title,
        torch.cat(integers),
        torch.cat(known) if known else None,
        {name: torch.cat(parts) for name, parts in found.items()},
    )


def _ablation(
    title: str, integers: Tensor, labels: Tensor | None, found: Mapping[str, Tensor]
) -> Ablation:
    """Return the differences of logits (N, classes) float64."""
    predicted, deviation = integers.argmax(dim=1), integers.std().item()
    table = Ablation(title, len(integers), deviation, _share(predicted, labels))
    for name, logits in found.items():
        off, classes = (logits - integers).abs(), logits.argmax(dim=1)
        mean, agrees = off.mean().item(), _share(classes, predicted)
        assert agrees is not None
        row = Difference(
            name,
            mean,
            off.max().item(),
            100 * mean / deviation,
            agrees,
            _share(classes, labels),
        )
        table.rows.append(row)
    return table


def _share(classes: Tensor, labels: Tensor | None) -> float | None:
    return None if labels is None else 100 * (classes == labels).double().mean().item()


def as_json(tables: Collection[Ablation]) -> bytes:
    """Return the content of a file of tables, figures rounded to six digits."""
    text = msgspec.to_builtins(list(tables))
    return msgspec.json.format(msgspec.json.encode(_rounded(text))) + b"\n"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
