"""`bitlog2 export`: parameters and integer codes of a model's layers, as memory files."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitlog2.golden import (
    AttentionLayer,
    ConvolutionLayer,
    Export,
    LinearLayer,
    Params,
    Quantization,
    write_export,
)
from bitlog2.golden.package.export_manifest import ExportManifest
from bitlog2.golden.package.folder import check_replaceable

from .arguments import HelpFormatter, integer
from .captured import LARGEST_SEED, add_model_options, capture_request, command_of
from .evaluate import MODELS
from .progress import progress
from .selection import selection

if TYPE_CHECKING:
    from torch import nn

    from bitlog2.models.export import LinearCodes
    from bitlog2.models.watch.capture import CaptureRequest, LayerCapture

__all__ = ["add_parser", "export_of"]

_EPILOG = """examples:
  bitlog2 export digits --out digits
  bitlog2 export digits --out digits --images 0-15 --layers 0,3 --scheme BitLog2_Single_16
  bitlog2 export deit_small --out deit --data /imagenet --images 0
  bitlog2 golden run digits --out results       feeds the exported q, k, v to the simulator
  bitlog2 golden verify digits                  checks every file, and that this gives the same

files: manifest.json, SHA256SUMS, and a folder a layer with memories (.mem, hexadecimal, one word a
line, for $readmemh) and the same numbers for Python (arrays.npz). The manifest has the axes, the
fields and the widths of each file. Words run over the axes, the last one fastest; lane 0 is in the
lowest bits of a word."""


def add_parser(commands: Any) -> None:
    """Add `export` to the command's subparsers."""
    parser = commands.add_parser(
        "export",
        help="parameters and integer codes of a model's layers, .mem and .npz",
        description="Quantize a model and write what its layers load and compute: parameters of "
        "every attention layer, weight codes of every linear layer, and for chosen images the "
        "codes of q, k, v, the attention map and the output.",
        epilog=_EPILOG,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("model", choices=MODELS, metavar="MODEL", help=f"{', '.join(MODELS)}")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the export")
    parser.add_argument(
        "--images",
        type=selection,
        metavar="LIST",
        default="0",
        help="validation images: all, 3, 0,2 or 0-4",
    )
    parser.add_argument(
        "--layers",
        type=selection,
        metavar="LIST",
        default="all",
        help="attention layers, by number or name; linear layers are all written",
    )
    group = parser.add_argument_group("weights, images, quantization: as evaluate")
    add_model_options(group)
    group.add_argument(
        "--seed", metavar="S", type=integer(0, LARGEST_SEED), default=0, help="of the calibration"
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from bitlog2.models.export import linear_codes
    from bitlog2.models.watch.capture import Subject, capture, chosen_images

    check_replaceable(Path(args.out).resolve(), ExportManifest)
    subject = Subject(capture_request(args))
    names = tuple(subject.heads)
    chosen = {
        "images": args.images.resolve("--images", subject.images),
        "layers": args.layers.resolve("--layers", len(names), names),
    }
    command = command_of(subject, ["bitlog2", "export"], chosen)
    batches = chosen_images(subject.data, chosen["images"], progress)
    model = subject.quantized()
    captured = capture(model, batches, [names[layer] for layer in chosen["layers"]])
    export, arrays = export_of(model, subject.request, captured, linear_codes(model), command)
    report = write_export(args.out, export, arrays, progress=progress)
    print("\n".join(report.lines()))
    return 0


def export_of(
    model: "nn.Module",
    request: "CaptureRequest",
    captured: Sequence["LayerCapture"],
    linear: Sequence["LinearCodes"],
    command: str,
) -> tuple[Export, dict[str, Mapping[str, Any]]]:
    """Return an export and its arrays by layer, from what was captured of a quantized model.

    Args:
        model: the quantized model.
        request: its name and quantization.
        captured: attention layers, all with the same images.
        linear: linear layers.
        command: that makes the export again.
    """
    from bitlog2.models.export import attention_scales

    order = [name for name, _ in model.named_modules()]
    arrays: dict[str, Mapping[str, Any]] = {codes.name: codes.arrays for codes in linear}
    for part in captured:
        arrays[part.layer] = _attention_arrays(part) | attention_scales(model, part.layer)
    layers = [*map(_attention_layer, captured), *map(_linear_layer, linear)]
    layers.sort(key=lambda layer: order.index(layer.name))
    export = Export(
        model=request.model,
        quantization=_quantization(request),
        config=captured[0].config,
        images=captured[0].images,
        layers=tuple(layers),
        command=command,
    )
    return export, arrays


def _quantization(request: "CaptureRequest") -> Quantization:
    spec = request.spec
    return Quantization(
        scheme=spec.scheme,
        arithmetic="integer",
        w_bits=spec.w_bits,
        a_bits=spec.a_bits,
        seed=request.seed,
        calibration_images=None if request.load else request.calibration_images,
    )


def _attention_layer(part: "LayerCapture") -> AttentionLayer | LinearLayer:
    return AttentionLayer(
        name=part.layer,
        windows=part.windows,
        heads=part.heads,
        tokens=part.tokens,
        head_dim=part.q.shape[4],
        masked=part.masked is not None,
        biased=part.bias is not None,
        params=Params(**part.params.as_dict()),
    )


def _attention_arrays(part: "LayerCapture") -> dict[str, Any]:
    import numpy as np

    arrays: dict[str, Any] = {
        name: getattr(part, name) for name in ("q", "k", "v", "level", "nibble", "flag", "o")
    }
    arrays |= {name: np.array([value]) for name, value in part.params.as_dict().items()}
    return arrays | {"mask": part.masked, "score_bias": part.bias}


def _linear_layer(codes: "LinearCodes") -> AttentionLayer | LinearLayer:
    outputs, inputs = codes.arrays["weight"].shape
    values: dict[str, Any] = {
        "name": codes.name,
        "outputs": outputs,
        "inputs": inputs,
        "biased": "bias" in codes.arrays,
        "weight_bits": codes.weight_bits,
        "input_bits": codes.input_bits,
    }
    if codes.kernel is None or codes.stride is None:
        return LinearLayer(**values)
    return ConvolutionLayer(**values, kernel=codes.kernel, stride=codes.stride)
