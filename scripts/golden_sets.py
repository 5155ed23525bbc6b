"""`bitlog2 golden emit`, `plan`, `run`, `verify`: vector sets, and a device held to them."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from bitlog2.names import LARGEST_SEED, MOST_CASES, SOURCES
from bitlog2.sim.datapath import ATTENTION

from .options import (
    ModelData,
    QuantizationOptions,
    given,
    group,
    model_fields,
    refuse,
    selection,
)
from .terminal import command, progress, report, show, write_json
from .values import (
    LONG_SEED,
    Config,
    HeadDim,
    Json,
    Junit,
    Model,
    integer,
    mapping,
    one_of,
    output_file,
    pair,
    several,
    value,
)

if TYPE_CHECKING:
    from bitlog2.golden import Emission

Units = Annotated[
    tuple[str, ...],
    several(one_of(tuple(ATTENTION)), help="units; list, or repeated (default: all)"),
]


@group("vector set")
@dataclass(frozen=True)
class Cases:
    """Contents of a vector set."""

    config: Config = "default"
    unit: Units = ()
    source: Annotated[str, value(one_of((*SOURCES, "all", "model")))] = "all"
    """cases (corners: every input of a narrow unit; model: rows captured from a model)
    """
    seed: Annotated[int, value(LONG_SEED)] = 0
    """seed of random cases"""
    count: Annotated[int | None, value(integer(1, MOST_CASES))] = None
    """random cases per unit (default: each unit's number)"""
    head_dim: HeadDim = None
    testbench: bool = False
    """add self-checking SystemVerilog testbenches, the reference RTL and a Makefile"""


@group(
    "--source model",
    "Rows of a quantized model's attention, in the arithmetic attention: LayerNorm, GELU and "
    "residuals are float32. Selections: all, 3, 0,2, 0-4.",
    2,
)
@dataclass(frozen=True)
class Rows:
    """Rows captured from a model."""

    model: Model = None
    layers: Annotated[str | None, value(selection)] = None
    """attention layers in execution order, by number or name (default: 0)"""
    heads: Annotated[str | None, value(selection)] = None
    """heads of each layer (default: 0)"""
    images: Annotated[str | None, value(selection)] = None
    """validation images (default: 0)"""
    windows: Annotated[str | None, value(selection)] = None
    """windows of an image in Swin (default: 0)"""
    rows: Annotated[str | None, value(selection)] = None
    """queries (default: all)"""


EMIT_EXAMPLES = """\
example:
  bitlog2 golden emit --out vectors --config BitLog2_Half_17
  bitlog2 golden emit --from vectors/manifest.json --out again
  bitlog2 golden emit --from-stimulus edited --out mine     edited/<unit>.<stream>.mem of the inputs
  bitlog2 golden emit --out many --unit log2_quantizer --source random --count 10000000
  bitlog2 golden emit --out vectors --testbench && make -C vectors SIM=verilator
  bitlog2 golden emit --out rows --source model --model digits --layers 0,3 --heads all --images 0-3
"""


def emit(
    *,
    out: Path,
    from_: Annotated[Path | None, value(name="--from")] = None,
    from_stimulus: Path | None = None,
    cases: Cases | None = None,
    rows: Rows | None = None,
    data: ModelData | None = None,
    quantization: QuantizationOptions | None = None,
    json: Json = None,
) -> int:
    """Make a vector set.

    Args:
        out: folder of the set
        from_: make the set of this manifest.json again; the other choices are taken from it
        from_stimulus: make a set of the stimulus files in this folder, written or edited by you;
            its manifest.json gives the configuration, or --config where it has none
    """
    chosen = cases or Cases()
    of_model = (rows or Rows(), data or ModelData(), quantization or QuantizationOptions())
    if chosen.source == "model":
        why = "with --source model, which takes it from the model"
        refuse(why, chosen, but=("--source", "--unit", "--seed", "--testbench"))
        refuse("with --source model", ("--from", from_), ("--from-stimulus", from_stimulus))
        emission = _emit_rows(out, chosen, *of_model)
    else:
        refuse("without --source model", *of_model)
        emission = _emit(out, from_, from_stimulus, chosen)
    write_json(json, emission)
    print("\n".join(emission.lines()))
    return 0


def _emit(out: Path, manifest: Path | None, stimulus: Path | None, cases: Cases) -> "Emission":
    """Make a set of a manifest, of files, or of a unit's own stimulus."""
    from bitlog2 import golden

    if stimulus is not None:
        why = "with --from-stimulus, which takes the cases from its folder"
        refuse(why, ("--from", manifest))
        refuse(why, cases, but=("--config", "--unit", "--head-dim", "--testbench"))
        return golden.emit_stimulus(
            stimulus,
            out,
            None if cases.config == "default" else golden.load_config(cases.config),
            head_dim=cases.head_dim,
            units=cases.unit or None,
            testbench=cases.testbench,
            progress=progress,
        )
    if manifest is not None:
        refuse("with --from, which takes everything from its manifest", cases)
        return golden.emit_from(manifest, out, progress=progress)
    return golden.emit(
        out,
        golden.load_config(cases.config),
        head_dim=cases.head_dim,
        units=cases.unit or None,
        sources=_sources(cases.source),
        seed=cases.seed,
        random_cases=cases.count,
        testbench=cases.testbench,
        progress=progress,
    )


def _sources(text: str) -> tuple[str, ...]:
    return SOURCES if text == "all" else (text,)


def _emit_rows(
    out: Path, cases: Cases, rows: Rows, data: ModelData, how: QuantizationOptions
) -> "Emission":
    """Make a set of rows of a model."""
    if cases.unit not in ((), ("attention_row",)):
        raise ValueError(
            f"--unit must be attention_row with --source model, got {', '.join(cases.unit)}"
        )
    if cases.seed > LARGEST_SEED:
        raise ValueError(f"--seed must be from 0 to {LARGEST_SEED} for a model, got {cases.seed}")
    from bitlog2.flow.capture import CaptureChoice, emit_captured
    from bitlog2.flow.selection import Selection
    from bitlog2.models.runs.request import usual_request

    choice = CaptureChoice(
        layers=Selection.of(rows.layers or "0"),
        images=Selection.of(rows.images or "0"),
        heads=Selection.of(rows.heads or "0"),
        windows=None if rows.windows is None else Selection.of(rows.windows),
        rows=Selection.of(rows.rows or "all"),
    )
    seed = dict(given(cases)).get("--seed")
    fields = model_fields(rows.model, data, how, seed)
    request = usual_request(**fields, arithmetics=("attention",), check="none", keep=True)
    return emit_captured(out, request, choice, testbench=cases.testbench, progress=progress)


PLAN_EXAMPLES = """example:
  bitlog2 golden plan
  bitlog2 golden plan --config BitLog2_Single_16 --unit exp2 --json plan.json
  bitlog2 golden plan --unit exp2 --bins
  bitlog2 golden plan --unit exp2 --covergroups bins.sv

exit status: 0 every declared coverage bin is filled, 1 some stay empty, 2 wrong usage"""


def plan(
    *,
    config: Config = "default",
    unit: Units = (),
    source: Annotated[str, value(one_of((*SOURCES, "all")))] = "all",
    seed: Annotated[int, value(LONG_SEED)] = 0,
    head_dim: HeadDim = None,
    bins: bool = False,
    covergroups: Annotated[Path | None, value(output_file)] = None,
    json: Json = None,
) -> int:
    """Show what a vector set will hold, without writing it.

    Args:
        source: cases
        seed: seed of random cases
        bins: name every coverage bin, with its requirement and the cases in it
        covergroups: write those that are values of ports there, as covergroups in SystemVerilog
    """
    from bitlog2 import golden

    vectors = golden.generate(
        golden.load_config(config),
        head_dim=head_dim,
        units=unit or None,
        sources=_sources(source),
        seed=seed,
        progress=progress,
    )
    if covergroups is not None:
        from bitlog2.golden.package.covergroups import render_covergroups

        units = [part.unit for part in vectors.units]
        covergroups.write_bytes(render_covergroups(vectors.target, units))
    return report(golden.Plan(vectors, bins), json)


RUN_EXAMPLES = """example:
  bitlog2 golden run vectors --out results
  bitlog2 golden run digits --out results       of an export: the output codes of every layer

of edited stimulus it writes the outputs alone; a set of it makes golden emit --from-stimulus"""

Set = Annotated[Path, value(help="the vector set, or an export")]


def run(
    set: Set,
    /,
    *,
    out: Path,
    unit: Units = (),
    json: Json = None,
) -> int:
    """Play the device: stimulus in, result files out.

    Args:
        out: folder of the result files
    """
    from bitlog2.golden import run_device

    written = run_device(set, out, unit or None, progress=progress)
    write_json(json, written)
    print("\n".join(f"{name}: {path}" for name, path in written.items()))
    return 0


VERIFY_EXAMPLES = """example:
  bitlog2 golden verify vectors
  bitlog2 golden verify vectors --actual attention_row=o.mem --actual attention_row.keys=keys.mem
  bitlog2 golden verify vectors --actual exp2=e.mem --case exp2=12          one case, whole
  bitlog2 golden verify digits                  of an export: its files, and that feeding it back
                                                gives the outputs in it

exit status: 0 everything agrees, 1 something differs, 2 the set or a file cannot be used"""


def _case(text: str) -> tuple[str, int]:
    """Parse a unit and the number of a case."""
    unit, number = pair("UNIT=N")(text)
    return unit, integer(0, MOST_CASES - 1)(number)


def verify(
    set: Set,
    /,
    *,
    actual: Annotated[
        tuple[tuple[str, str], ...], value(pair("UNIT=FILE or UNIT.STREAM=FILE"), repeated=True)
    ] = (),
    case: Annotated[tuple[str, int] | None, value(_case)] = None,
    junit: Junit = None,
    json: Json = None,
) -> int:
    """Check a vector set, and the outputs of a device against it.

    Args:
        actual: UNIT[.STREAM]=FILE, a device's outputs; UNIT alone means its expected stream; may be
            repeated
        case: UNIT=N, this case alone: every input, what is expected, and what differs
    """
    files = mapping("--actual", actual)
    from bitlog2 import golden
    from bitlog2.golden.junit import reporting

    with reporting(junit, "bitlog2 golden verify") as write:
        if case is None:
            found = golden.verify(set, files, progress=progress)
        else:
            found = golden.verify_case(set, *case, files)
        write(found)
    write_json(json, found)
    show(found.lines(f"bitlog2 golden verify {shlex.quote(str(set))}"))
    return found.status


emit_app = command(emit, EMIT_EXAMPLES)
plan_app = command(plan, PLAN_EXAMPLES)
run_app = command(run, RUN_EXAMPLES)
verify_app = command(verify, VERIFY_EXAMPLES)
