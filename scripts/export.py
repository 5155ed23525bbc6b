"""`bitlog2 export`: parameters and integer codes of a model's layers, as memory files."""

from pathlib import Path
from typing import Annotated

from .options import ModelData, QuantizationOptions, model_fields, selection
from .terminal import command, progress, write_json
from .values import SEED, Json, model_name, value

EXAMPLES = """examples:
  bitlog2 export digits --out digits
  bitlog2 export digits --out digits --images 0-15 --layers 0,3 --scheme BitLog2_Single_16
  bitlog2 export deit_small --out deit --data /imagenet --images 0
  bitlog2 golden run digits --out results       feeds the exported q, k, v to the simulator
  bitlog2 golden verify digits                  checks every file, and that this gives the same

files: manifest.json, SHA256SUMS, and a folder per layer with memories (.mem, hexadecimal, a word
per line, for $readmemh) and the same numbers for Python (arrays.npz). The manifest has the axes,
the fields and the widths of each file. Words run over the axes, the last one fastest; lane 0 is in
the lowest bits of a word."""


def export(
    model: Annotated[str, value(model_name)],
    *,
    out: Path,
    images: Annotated[str, value(selection)] = "0",
    layers: Annotated[str, value(selection)] = "all",
    data: ModelData | None = None,
    quantization: QuantizationOptions | None = None,
    seed: Annotated[int | None, value(SEED)] = None,
    json: Json = None,
) -> int:
    """Quantize a model and write what its layers load and compute.

    Written are the parameters of every attention layer, the weight codes of every linear layer, and
    for chosen images the codes of q, k, v, the attention map and the output. What is between them,
    LayerNorm, GELU and residuals, is float32 (arithmetic attention), and not exported: `bitlog2
    lower` writes the whole network in integers.

    Args:
        model: model
        out: folder of the export
        images: validation images: all, 3, 0,2 or 0-4
        layers: attention layers, by number or name; linear layers are all written
        seed: seed of the calibration (default: 0)
    """
    from bitlog2.flow.capture import CaptureChoice
    from bitlog2.flow.export import export_model
    from bitlog2.flow.selection import Selection
    from bitlog2.models.runs.request import usual_request

    choice = CaptureChoice(Selection.of(layers), Selection.of(images))
    given = model_fields(model, data or ModelData(), quantization or QuantizationOptions(), seed)
    request = usual_request(**given, arithmetics=("attention",), check="none", keep=True)
    report = export_model(out, request, choice, progress)
    write_json(json, report)
    print("\n".join(report.lines()))
    return 0


app = command(export, EXAMPLES)
