"""`bitlog2 evaluate`: accuracy of a quantized model, every register checked."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from bitlog2.names import ARITHMETICS, CALIBRATIONS, DIGESTS, MODEL_SCHEMES

from .options import ModelData, QuantizationOptions, group, model_fields, refuse
from .terminal import command, progress
from .values import (
    SEED,
    CheckThreads,
    Limit,
    Model,
    Models,
    bits_pair,
    comma_list,
    integer,
    model_and_file,
    one_of,
    output_file,
    scheme_name,
    sha256,
    value,
)

EXAMPLES = """examples:
  bitlog2 evaluate --model digits
  bitlog2 evaluate --model digits --schemes all --check all --json result.json
  bitlog2 evaluate --run RUN --models vit_small,deit_small --data /imagenet --schemes all \\
      --arithmetic integer,float --bits 4/4,6/6 --seeds 0,1,2
  torchrun --nproc-per-node 4 -m bitlog2 -- evaluate --run RUN --model deit_small --data /imagenet
  bitlog2 evaluate --model deit_small --data /imagenet --scheme BitLog2_Half_17 --workers 8
  bitlog2 evaluate --model swin_tiny --data /imagenet --checkpoint swin_tiny.safetensors \\
      --schemes all --arithmetic float --seeds 0,1,2
  bitlog2 evaluate --model deit_small --data /imagenet --save q.safetensors
  bitlog2 evaluate --load q.safetensors --data /imagenet
  bitlog2 evaluate --model timm:vit_small_patch14_dinov2,img_size=224,num_classes=1000 \\
      --data /imagenet --checkpoint fine_tuned.safetensors
  bitlog2 evaluate --model digits --float-units each

data: a folder with train/ and val/, one folder of images per class in each, or train.tar and
val.tar, or ImageNet as it is downloaded: docs/models.md has the layouts

exit status: 0 every value compared agreed, 1 a register differed (written is a row of attention as
a vector set for `golden verify`, in integer a file for `bitlog2 replay`) or the digest of the
logits is not that of --expect, 2 wrong usage"""


def check_mode(text: str) -> str:
    """Parse none, sample, sample:K or all."""
    if not re.fullmatch("none|all|sample(:[1-9][0-9]{0,8})?", text):
        raise ValueError(
            f"must be none, sample, sample:K with K from 1 to 999999999, or all, got {text!r}"
        )
    return text


@group("reading of images", order=5)
@dataclass(frozen=True)
class Reading:
    """Reading of images."""

    workers: Annotated[int, value(integer(0, 256))] = 4
    """processes that read images"""
    skip_unreadable: bool = False
    """leave unreadable validation images out, and count them"""


@group("evaluation", order=6)
@dataclass(frozen=True)
class EvaluationOptions:
    """EvaluationOptions of an evaluation."""

    check: Annotated[str | None, value(check_mode)] = None
    """registers compared with the simulator: none, sample (one of eight heads, or images of a whole
    network), sample:K (K heads of each layer and batch, or K images of each batch, by the seed) or
    all (default: none for float, else all)"""
    float_units: Annotated[tuple[str, ...], value(comma_list(str))] = ()
    """units of integer arithmetic that are put in float, one after the other: a table of how the
    logits differ from those in integers, in place of an evaluation; names of SPEC.md, section 10,
    attention_row, layer_norm, all, none, or each for every one of them"""
    expect: Annotated[str | None, value(sha256)] = None
    """digest that the logits must have, of one cell in integer arithmetic"""
    check_threads: CheckThreads = None
    watermarks: bool = False
    """smallest and largest value, bits used and saturations of every register of attention, by
    layer"""
    limit: Limit = None
    batch_size: Annotated[int | None, value(integer(1, 4096))] = None
    """images per batch (default: 16 on the CPU, which keeps to its caches, else 128)"""
    device: str = "cpu"
    """cpu, cuda or cuda:N: where torch runs"""
    digest: Annotated[str, value(one_of(DIGESTS))] = "codes"
    """attention registers in the digest: levels and output codes, or every one"""
    threads: Annotated[int | None, value(integer(1, 256))] = None
    """torch's threads per process; part of what was asked for, as sums depend on them (default: 1
    with --run, else torch's own choice)"""


@group("files", order=7)
@dataclass(frozen=True)
class Files:
    """Files beside the run."""

    json: Annotated[Path | None, value(output_file)] = None
    """write everything there"""
    save: Annotated[Path | None, value(output_file)] = None
    """write the quantized model there"""
    dump_quantizers: Annotated[Path | None, value(output_file)] = None
    """write every scale, zero point and reparameterization there, by module name (.npz)"""
    mismatch_dir: Path | None = None
    """folder of what a mismatch leaves to replay (default: bitlog2-mismatch, or mismatch in the
    folder of --run)"""


@group(
    "grids",
    "Cells of models, schemes, seeds, bits and arithmetics; in a folder they can be stopped at any "
    "moment: `bitlog2 resume DIR` goes on after the last finished batch.",
    8,
)
@dataclass(frozen=True)
class Grid:
    """Lists that make an evaluation a grid."""

    run: Path | None = None
    """the folder"""
    models: Annotated[tuple[str, ...] | None, Models] = None
    """list as vit_small,deit_tiny; all: the pretrained"""
    schemes: Annotated[
        tuple[str, ...] | None, value(comma_list(scheme_name(MODEL_SCHEMES), "all", "normalized"))
    ] = None
    """list; all: every scheme and control of the arithmetic; normalized: RowMax_16 and the codes to
    hold it against, whose rows are divided by the sum of their values, in float or attention"""
    arithmetics: Annotated[
        tuple[str, ...] | None, value(comma_list(one_of(ARITHMETICS)), name="--arithmetic")
    ] = None
    """list; integer: the whole network, from pixels to logits; attention: linear products and
    attention in integers, the rest in float32; float: the published fake quantization (default:
    integer)"""
    bits: Annotated[tuple[tuple[int, int], ...] | None, value(comma_list(bits_pair))] = None
    """W/A pairs, as 4/4,6/6"""
    calibrations: Annotated[tuple[str, ...] | None, value(comma_list(one_of(CALIBRATIONS)))] = None
    """list, as repq,compensated,reconstructed"""
    seeds: Annotated[tuple[int, ...] | None, value(comma_list(integer(0, 2**31 - 1)))] = None
    """several, as 0,1,2: prints the spread too"""
    checkpoints: Annotated[tuple[tuple[str, str], ...], value(model_and_file, repeated=True)] = ()
    """MODEL=FILE, weights of one of several models; may be repeated"""


def grid_fields(
    model: str | None, data: ModelData, how: QuantizationOptions, seed: int | None, grid: Grid
) -> dict[str, Any]:
    """Return the arguments of `usual_request` for the models and their quantization.

    Raises:
        ValueError: options that do not go with one another.
    """
    if data.load is not None:
        refuse("with --load", grid, but=("--run",))
    for one, many, both in (
        ("--model", "--models", model and grid.models),
        ("--scheme", "--schemes", how.scheme and grid.schemes),
        ("--calibration", "--calibrations", how.calibration and grid.calibrations),
        ("--seed", "--seeds", None if seed is None else grid.seeds),
        ("--w-bits", "--bits", how.w_bits and grid.bits),
        ("--a-bits", "--bits", how.a_bits and grid.bits),
    ):
        refuse(f"with {many}", (one, both or None))
    lists = {name: chosen for name, chosen in vars(grid).items() if chosen}
    return model_fields(model, data, how, seed) | lists


def evaluate(
    model: Model = None,
    *,
    data: ModelData | None = None,
    reading: Reading | None = None,
    quantization: QuantizationOptions | None = None,
    seed: Annotated[int | None, value(SEED)] = None,
    how: EvaluationOptions | None = None,
    files: Files | None = None,
    grid: Grid | None = None,
) -> int:
    """Quantize a model, evaluate it, and compare every register with the simulator's.

    Args:
        seed: seed of the calibration (default: 0)
    """
    lists, kept, bits = grid or Grid(), files or Files(), quantization or QuantizationOptions()
    data, reading, how = data or ModelData(), reading or Reading(), how or EvaluationOptions()
    fields = grid_fields(model, data, bits, seed, lists)
    fields |= vars(reading) | vars(how)
    folder, check_threads = fields.pop("run", None), fields.pop("check_threads")
    expect, float_units = fields.pop("expect"), fields.pop("float_units")
    if float_units:
        _refuse_results(data, how, kept, folder)
        return ablation(fields, float_units, kept.json)
    from bitlog2.flow.evaluation import Outputs, evaluated
    from bitlog2.models.runs.request import usual_request

    request = usual_request(**fields, keep=folder is not None)
    outputs = Outputs(kept.json, kept.save, kept.dump_quantizers, kept.mismatch_dir)
    return evaluated(folder, request, check_threads, progress, outputs, expect)


def _refuse_results(
    data: ModelData, how: EvaluationOptions, files: Files, folder: Path | None
) -> None:
    """Refuse what goes with integers alone: a check, a digest, a run."""
    ours = ("--float-units", "--limit", "--batch-size", "--threads", "--json")
    refuse(
        "with --float-units, which gives no result in integers",
        ("--run", folder),
        ("--load", data.load),
        how,
        files,
        but=ours,
    )


def ablation(fields: dict[str, Any], units: tuple[str, ...], json: Path | None) -> int:
    """Print the table of units in float, and write it."""
    from bitlog2.flow.ablation import ablated, as_json
    from bitlog2.models.runs.request import usual_request
    from bitlog2.sim.files import write_whole

    table = ablated(usual_request(**fields | {"check": "none"}), units, progress)
    print("\n".join(table.lines()))
    if json is not None:
        write_whole(json, as_json([table]))
    return 0


app = command(evaluate, EXAMPLES)
