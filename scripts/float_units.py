"""Measure what the rounding of each unit of the whole network costs in the logits.

python scripts/float_units.py --json models/zoo/float_units.json
"""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

from bitlog2.scripts.attention_error import crops
from bitlog2.scripts.terminal import STYLE, command, progress, run
from bitlog2.scripts.values import Json, comma_list, integer, value

EXAMPLES = "example: python scripts/float_units.py --bits 4,8 --json models/zoo/float_units.json"
#: Architectures that run with random weights: those of DeiT-S and Swin-T.
_RANDOM = ("deit_small", "swin_tiny")
_SCHEME = "BitLog2_Half_17"
#: Crops that calibrate a network of random weights; the others are what it runs on.
_CALIBRATION = 8


def float_units(
    *,
    bits: Annotated[tuple[int, ...], value(comma_list(integer(2, 8)))] = (4, 8),
    json: Json = None,
    seed: int = 0,
) -> int:
    """Put one unit after the other in float, and show how the logits differ from those in integers.

    Of digits on all its images; of the architectures of DeiT-S and Swin-T, with random weights, on
    eight crops of scikit-learn's photographs. `bitlog2 evaluate --float-units each` is the same of
    any model with its own images.

    Args:
        bits: widths of weight and activation codes
        seed: of the calibration, of random weights, and of the crops
    """
    from bitlog2.flow.ablation import ablated, as_json
    from bitlog2.models.runs.request import usual_request
    from bitlog2.sim.files import write_whole

    tables = []
    for width in bits:
        request = usual_request(bits=((width, width),), seeds=(seed,), keep=True)
        tables.append(ablated(request, ("each",), progress))
        print("\n".join(tables[-1].lines()), flush=True)
        for name in _RANDOM:
            tables.append(of_random_weights(name, width, seed))
            print("\n".join(tables[-1].lines()), flush=True)
    if json is not None:
        write_whole(json, as_json(tables))
    return 0


def of_random_weights(name: str, width: int, seed: int) -> Any:
    """Return the table of an architecture with random weights."""
    import torch

    from bitlog2.flow.ablation import differences, named_units
    from bitlog2.models.ptq.quantize import QuantizationSpec, quantize
    from bitlog2.models.zoo.task import build_model, pixels_of

    images = crops(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(name, 1000)
    calibration, others = images[:_CALIBRATION], images[_CALIBRATION:]
    spec = QuantizationSpec(_SCHEME, "attention", width, width)
    quantized = quantize(model, calibration, spec)
    batches = progress([(each, None) for each in others.split(4)], name, 2)
    title = f"{name}, random weights {_SCHEME} W{width}A{width}"
    units = named_units(("each",))
    return differences(title, quantized, calibration, pixels_of(name), batches, units)


app = command(float_units, EXAMPLES, name="float_units.py", version_flags=(), **STYLE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run(app, "float_units.py", argv)


if __name__ == "__main__":
    sys.exit(main())
