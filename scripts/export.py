"""`bitlog2 export`: parameters and integer codes of a model's layers, as memory files."""

import argparse
from typing import Any

from bitlog2.names import LARGEST_SEED, MODELS

from .arguments import HelpFormatter, integer, selection
from .captured import add_model_options, capture_request
from .progress import progress

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
    from bitlog2.flow.capture import CaptureChoice
    from bitlog2.flow.export import export_model

    choice = CaptureChoice(args.layers, args.images)
    report = export_model(args.out, capture_request(args), choice, progress)
    print("\n".join(report.lines()))
    return 0
