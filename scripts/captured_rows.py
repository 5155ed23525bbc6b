"""`golden emit --source model`: rows captured from a quantized model, as a vector set."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitlog2.golden import Emission, Origin, RowCase, emit_rows
from bitlog2.golden.package.folder import check_replaceable
from bitlog2.golden.package.vector_manifest import VectorManifest

from .captured import add_model_options, capture_request, command_of, given_options
from .evaluate import MODELS
from .progress import progress
from .selection import Selection, selection

if TYPE_CHECKING:
    from bitlog2.models.watch.capture import LayerCapture

__all__ = ["add_row_options", "emit_model", "refuse_row_options", "row_cases"]

_DEFAULTS = {"layers": "0", "heads": "0", "images": "0", "windows": "0", "rows": "all"}
_HELP = {
    "layers": "attention layers in execution order, by number or name",
    "heads": "heads of each",
    "images": "validation images",
    "windows": "windows of an image in Swin",
    "rows": "queries",
}
_OPTIONS = ("model", *_DEFAULTS, "scheme", "w_bits", "a_bits", "calibration_images", "data")
_OPTIONS += ("checkpoint", "ema", "load")


def add_row_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `--source model`."""
    group = parser.add_argument_group(
        "--source model",
        "Rows of a quantized model's attention, with every register. Selections: all, 3, 0,2, 0-4.",
    )
    group.add_argument("--model", choices=MODELS, help="which model (default: digits)")
    for name, default in _DEFAULTS.items():
        group.add_argument(
            f"--{name}", type=selection, metavar="LIST", help=f"{_HELP[name]} (default: {default})"
        )
    add_model_options(group)


def refuse_row_options(args: argparse.Namespace) -> None:
    """Refuse the options of `--source model` beside another source.

    Raises:
        ValueError: one was given.
    """
    if given := given_options(args, _OPTIONS):
        raise ValueError(f"{given[0]} must go with --source model")


def emit_model(args: argparse.Namespace) -> Emission:
    """Carry out `golden emit --source model`.

    Raises:
        ValueError, OSError: as `Subject`, `capture`, `emit_rows`; a selection is out of range.
    """
    from bitlog2.models.watch.capture import Subject, capture, chosen_images

    check_replaceable(Path(args.out).resolve(), VectorManifest)
    subject = Subject(capture_request(args))
    names = tuple(subject.heads)
    layers = [names[number] for number in _chosen(args, "layers", len(names), names)]
    chosen = {
        "layers": tuple(names.index(layer) for layer in layers),
        "heads": _chosen(args, "heads", min(subject.heads[layer] for layer in layers)),
        "images": _chosen(args, "images", subject.images),
    }
    batches = chosen_images(subject.data, chosen["images"], progress)
    captured = capture(subject.quantized(), batches, layers)
    windows = min(part.windows for part in captured)
    if windows > 1 or args.windows is not None:
        chosen["windows"] = _chosen(args, "windows", windows)
    chosen["rows"] = _chosen(args, "rows", min(part.tokens for part in captured))
    command = command_of(
        subject, ["bitlog2", "golden", "emit", "--source", "model", "--model"], chosen
    )
    cases = list(row_cases(subject.request.model, captured, chosen, f"captured by: {command}"))
    return emit_rows(
        args.out, captured[0].config, cases, testbench=args.testbench, progress=progress
    )


def row_cases(
    model: str,
    captured: Sequence["LayerCapture"],
    chosen: dict[str, tuple[int, ...]],
    reason: str,
) -> Iterator[RowCase]:
    """Yield rows of captured layers: layer by layer, then image, window, head and row.

    Args:
        model: what their origin names.
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
        windows, heads = chosen.get("windows", range(part.windows)), range(part.heads)
        for place, image in enumerate(part.images):
            for window in windows:
                for head in chosen.get("heads", heads):
                    for row in chosen.get("rows", range(part.tokens)):
                        where = f"{part.layer} window {window}" if part.windows > 1 else part.layer
                        origin = Origin(model, where, head, image, row)
                        yield _row(part, (place, window, head, row), origin, reason)


def _row(
    part: "LayerCapture", at: tuple[int, int, int, int], origin: Origin, reason: str
) -> RowCase:
    _, window, head, row = at
    return RowCase(
        scores=part.score[at],
        v=part.v[at[:3]],
        params=part.params,
        masked=None if part.masked is None else part.masked[window, row],
        bias=None if part.bias is None else part.bias[head, row],
        reason=reason,
        origin=origin,
    )


def _chosen(
    args: argparse.Namespace, name: str, count: int, names: Sequence[str] = ()
) -> tuple[int, ...]:
    given: Any = getattr(args, name)
    chosen: Selection = selection(_DEFAULTS[name]) if given is None else given
    return chosen.resolve(f"--{name}", count, names)
