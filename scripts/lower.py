"""`bitlog2 lower`: a calibrated model as a program of integers."""

from pathlib import Path
from typing import Annotated

from .options import ModelData, QuantizationOptions, model_fields, refuse
from .terminal import command, progress, report
from .values import SEED, Json, Limit, integer, model_name, output_file, value

EXAMPLES = """examples:
  bitlog2 lower digits --out digits.bitlog2 --pixels digits.npz --check 2
  bitlog2 run digits.bitlog2 --images digits.npz --out logits.npz
  bitlog2 lower deit_small --out deit.bitlog2 --data /imagenet --scheme RowMax_16

The program holds everything that the network computes with: weight codes, biases, multipliers and
shifts, tables, constants of the residual stream.

exit status: 0 done, 1 a register differs (OUT.mismatch.json is written for `bitlog2 replay`), 2
wrong usage"""


def lower(
    model: Annotated[str, value(model_name)],
    *,
    out: Annotated[Path, value(output_file)],
    pixels: Annotated[Path | None, value(output_file)] = None,
    limit: Limit = None,
    check: Annotated[int, value(integer(0, 10**6))] = 0,
    data: ModelData | None = None,
    quantization: QuantizationOptions | None = None,
    seed: Annotated[int | None, value(SEED)] = None,
    json: Json = None,
) -> int:
    """Quantize a model and write it as a program, integers from pixels to logits.

    What lowering chooses is printed: the LSB of each residual stream, the range of each table of an
    activation, and what the program makes of the calibration images.

    Args:
        model: model
        out: file of the program
        pixels: .npz of the validation images as pixels, to be written too
        check: calibration images on which every register of the torch network is compared with the
            simulator's
        seed: seed of the calibration (default: 0)
    """
    data = data or ModelData()
    refuse("by lower, which observes the images that it calibrates with", ("--load", data.load))
    from bitlog2.flow.lower import lower_model
    from bitlog2.models.runs.request import usual_request

    given = model_fields(model, data, quantization or QuantizationOptions(), seed)
    request = usual_request(**given, limit=limit, check="none", keep=True)
    return report(lower_model(out, request, progress, pixels, check), json)


app = command(lower, EXAMPLES)
