"""`bitlog2 golden coverage`, `mutation`, `proof` and `cost`: how good vectors and RTL are."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from bitlog2.golden.assurance.modules import MODULES, MUTATED
from bitlog2.golden.simulation.contract import CONTRACTS, DEVICES
from bitlog2.names import CODED, COSTED, MOST_MUTANTS, PLACED, TECHNOLOGIES

from .options import RtlOptions, group, refuse
from .terminal import command, progress, report, show, write_json
from .values import (
    SEED,
    Config,
    HeadDim,
    Json,
    Junit,
    Lanes,
    integer,
    one_of,
    output_file,
    scheme_name,
    several,
    value,
)

COVERAGE_EXAMPLES = """example:
  bitlog2 golden emit --out vectors
  bitlog2 golden coverage vectors
  bitlog2 golden coverage vectors --unit exp2 --json coverage.json
  bitlog2 golden coverage vectors --unit exp2 --rtl my.sv --top my --reasons my_reasons.json
  bitlog2 golden coverage vectors --html coverage.html --lcov coverage.info

exit status: 0 every point is reached or has its reason, 1 a point lacks one, or a reason its
point, 2 the set cannot be used"""


def coverage(
    set: Path,
    /,
    *,
    unit: Annotated[tuple[str, ...], several(one_of(tuple(DEVICES)))] = (),
    lanes: Lanes = None,
    reasons: Path | None = None,
    rtl: RtlOptions | None = None,
    lcov: Annotated[Path | None, value(output_file)] = None,
    html: Annotated[Path | None, value(output_file)] = None,
    junit: Junit = None,
    json: Json = None,
) -> int:
    """Measure the lines and toggles of the reference RTL that a vector set reaches.

    Args:
        unit: devices; list, or repeated (default: all)
        set: the vector set
        reasons: JSON list of reasons why points are not reached
        lcov: write what genhtml and code hosts read there
        html: write the sources there, coloured by what is reached
    """
    device = (rtl or RtlOptions()).device()
    if device is None and lanes is not None:
        raise ValueError("--lanes must be left out without --rtl and -f")
    from bitlog2.golden.assurance.coverage import measure_structure, pages, read_reasons
    from bitlog2.golden.junit import reporting

    known = None if reasons is None else read_reasons(reasons.read_bytes(), str(reasons))
    with reporting(junit, "bitlog2 golden coverage") as write:
        found = measure_structure(
            set, unit or None, rtl=device, lanes=lanes, reasons=known, progress=progress
        )
        write(found)
    for file, page in ((lcov, pages.lcov), (html, pages.html)):
        if file is not None:
            file.write_text(page(found), encoding="utf-8")
    return report(found, json)


MUTATION_EXAMPLES = """example:
  bitlog2 golden mutation
  bitlog2 golden mutation vectors --module exp2 --module row_max --seed 1
  bitlog2 golden mutation --json mutation.json
  bitlog2 golden mutation vectors --unit exp2 --rtl my.sv --top my

Yosys puts up to 200 mutants of a module into one netlist, of which one is chosen at run time; a
bench compiled by Verilator runs the vectors against each. A survivor is proved equivalent under the
assumptions that are printed; or it gives every word and is told by its rate, the cycles of all
vectors without pauses; or it is a gap. Modules that attention_row has inside are mutated there,
too: with its taps compared, and by its outputs alone. With --rtl a device of yours is mutated, all
that is inside of it as one; what no vector tells apart and no proof is named.

exit status: 0 every mutant is caught, proved equivalent or told by its rate, 1 one is a gap or
undetermined, 2 wrong usage"""


#: Modules at a time.
_PROCESSES = 2


def mutation(
    set: Path | None = None,
    /,
    *,
    module: Annotated[tuple[str, ...], several(one_of(tuple(MUTATED)))] = (),
    unit: Annotated[str | None, value(one_of(tuple(DEVICES)))] = None,
    lanes: Lanes = None,
    most: Annotated[int, value(integer(1, 10000))] = MOST_MUTANTS,
    seed: Annotated[int, value(SEED)] = 0,
    processes: Annotated[int, value(integer(1, 64))] = _PROCESSES,
    keep: bool = False,
    rtl: RtlOptions | None = None,
    junit: Junit = None,
    json: Json = None,
) -> int:
    """Change RTL in hundreds of places and see which changes a set finds.

    Args:
        set: the vector set (default: the default one, made)
        module: modules of the reference; list, or repeated (default: all)
        unit: what the device of --rtl is
        most: mutants per module
        seed: seed of the choice of mutants, and of the pauses on streams
        processes: modules at a time
        keep: put the modules into the table that the package keeps, too
    """
    device = (rtl or RtlOptions()).device()
    if device is None:
        refuse("without --rtl and -f", ("--unit", unit), ("--lanes", lanes))
    else:
        refuse("with --rtl", ("--module", module or None), ("--keep", keep or None))
        refuse("with --rtl", ("--processes", None if processes == _PROCESSES else processes))
        if unit is None:
            raise ValueError("--unit must be given with --rtl")
    import tempfile

    from bitlog2.golden import emit
    from bitlog2.golden.assurance.mutation import kept_table, mutate, mutate_device
    from bitlog2.golden.junit import reporting

    with (
        tempfile.TemporaryDirectory(prefix="bitlog2-mutation-") as folder,
        reporting(junit, "bitlog2 golden mutation") as write,
    ):
        if set is None:
            set = Path(folder) / "set"
            units = None if unit is None else [DEVICES[unit].unit]
            emit(set, units=units, progress=progress)
        if device is not None and unit is not None:
            found = mutate_device(
                set, unit, device, lanes=lanes, most=most, seed=seed, progress=progress
            )
        else:
            found = mutate(
                set,
                module or None,
                most=most,
                seed=seed,
                processes=processes,
                progress=progress,
                tell=lambda findings: print(findings.line(), file=sys.stderr, flush=True),
            )
        write(found)
    if keep:
        _keep(found, kept_table(found.scheme))
    return report(found, json)


PROOF_EXAMPLES = """example:
  bitlog2 golden proof
  bitlog2 golden proof --claim comparing_counts --claim rtl_exp2 --scheme BitLog2_Half_17
  bitlog2 golden proof --json proof.json
  bitlog2 golden proof --unit exp2 --rtl my.sv --top my

With --rtl the claim rtl_UNIT is decided about a device of yours, whose module has ports by name and
no clock; a requantizer's has one product, written with *.

exit status: 0 every claim is proved, 1 one is refuted or not proved, 2 wrong usage"""


#: Units whose module has ports by name and no clock.
PLAIN = tuple(name for name, each in CONTRACTS.items() if each.plain)


def proof(
    *,
    claim: Annotated[tuple[str, ...], several(str)] = (),
    scheme: Annotated[tuple[str, ...], several(one_of(CODED))] = (),
    timeout: Annotated[int, value(integer(1, 86400))] = 600,
    unit: Annotated[str | None, value(one_of(PLAIN))] = None,
    config: Config = "default",
    rtl: RtlOptions | None = None,
    junit: Junit = None,
    json: Json = None,
) -> int:
    """Prove the specification's claims, and RTL against it.

    Args:
        claim: list, or repeated (default: all)
        scheme: list, or repeated (default: all)
        timeout: seconds of the solver per claim
        unit: what the device of --rtl is
    """
    device = (rtl or RtlOptions()).device()
    if device is None:
        given = None if config == "default" else config
        refuse("without --rtl and -f", ("--unit", unit), ("--config", given))
    else:
        refuse("with --rtl", ("--claim", claim or None), ("--scheme", scheme or None))
        if unit is None:
            raise ValueError("--unit must be given with --rtl")
    # The solver belongs to an extra: the other commands work without it.
    from bitlog2.golden import load_config
    from bitlog2.golden.assurance.proof import CLAIMS, Lines, decide, device_setting, selected
    from bitlog2.golden.junit import reporting
    from bitlog2.table import Columns

    with reporting(junit, "bitlog2 golden proof") as write:
        if device is None or unit is None:
            chosen = selected(CLAIMS, claim or None, scheme or CODED)
        else:
            setting = device_setting(unit, device, load_config(config))
            chosen = [(each, setting) for each in CLAIMS if each.name == f"rtl_{unit}"]
        lines = []
        head = ("claim", "scheme", "requirements", "over", "by", "result", "seconds")
        known = [
            (c.name, s.scheme.name, c.requirements, c.over(s), c.by, " " * 10, "")
            for c, s in chosen
        ]
        columns = Columns([head, *known], "<" * len(head))
        print(columns.line(head))
        for one, setting in chosen:
            line = decide(one, setting, timeout)
            lines.append(line)
            cells = (line.claim, line.scheme, line.requirements, line.over, line.by, line.result)
            show([columns.line((*cells, f"{line.seconds:.1f}"))])
            if line.detail:
                print(f"  {line.detail}", flush=True)
        found = Lines(claims=tuple(lines))
        write(found)
    write_json(json, found)
    held = sum(line.holds for line in lines)
    seconds = sum(line.seconds for line in lines)
    print(f"{held} of {len(lines)} claims hold, {seconds:.0f} seconds")
    return 0 if held == len(lines) else 1


COST_EXAMPLES = """example:
  bitlog2 golden cost --choice log2 --choice exp2
  bitlog2 golden cost --target ice40 --json cost.json
  bitlog2 golden cost --markdown
  bitlog2 golden cost --place --module exp2 --scheme BitLog2_Half_17
  bitlog2 golden cost --place --module softmax_row --lanes 1,4 --target ecp5
  bitlog2 golden cost --unit exp2 --rtl my.sv --top my

Without --place everything takes some six minutes of one core. With it a small unit takes some four
seconds for each device, softmax_row of one lane a quarter of a minute; multipliers on ice40, and
attention_row of D = 64, take much longer.

exit status: 0 everything was counted or placed, 1 a module was not placed, 2 wrong usage"""


@group("--place", "Modules placed and routed by nextpnr. Rows are left to ecp5 unless named.", 2)
@dataclass(frozen=True)
class Placing:
    """What is placed, and how."""

    module: Annotated[tuple[str, ...], several(one_of(tuple(MODULES)))] = ()
    """list, or repeated (default: every module but stand-ins)"""
    scheme: Annotated[tuple[str, ...], several(scheme_name(CODED))] = ()
    """list, or repeated (default: all)"""
    lanes: Annotated[tuple[int, ...], several(integer(1, 64))] = ()
    """keys per beat of the rows; list, or repeated (default: 1, 4, 16)"""
    head_dim: HeadDim = None
    seed: Annotated[int, value(SEED)] = 1
    """seed of nextpnr"""
    timeout: Annotated[int, value(integer(1, 86400))] = 3600
    """seconds of Yosys, and of nextpnr, per module"""


#: Options of a device that its synthesis takes.
_BUILT = ("--rtl", "-f", "-F", "--top", "--include", "--define", "--param")


def cost(
    *,
    choice: Annotated[tuple[str, ...], several(one_of(COSTED))] = (),
    target: Annotated[
        tuple[str, ...], several(one_of(tuple(dict.fromkeys(TECHNOLOGIES + PLACED))))
    ] = (),
    place: bool = False,
    placing: Placing | None = None,
    unit: Annotated[str | None, value(one_of(tuple(DEVICES)))] = None,
    config: Config = "default",
    rtl: RtlOptions | None = None,
    keep: bool = False,
    markdown: bool = False,
    json: Json = None,
) -> int:
    """Count gates, LUTs and logic levels of each choice, or place the modules on an FPGA.

    Args:
        choice: list, or repeated (default: all)
        target: gates (generic) or an FPGA, with --place ice40 or ecp5; list, or repeated (default:
            all)
        place: clock, cells and utilization of modules, and rates of rows, in place of choices
        unit: module of the reference that --rtl is held against
        keep: put the choices or the modules into the table that the package keeps, too
        markdown: print Markdown tables
    """
    placing, rtl = placing or Placing(), rtl or RtlOptions()
    if device := rtl.device():
        refuse("with --rtl", placing, ("--choice", choice or None), ("--place", place or None))
        refuse("with --rtl", ("--keep", keep or None))
        refuse("by cost, which looks at no port", rtl, but=_BUILT)
        if unit is None:
            raise ValueError("--unit must be given with --rtl")
        from bitlog2.golden import load_config
        from bitlog2.golden.assurance.cost import measure_device

        counted = measure_device(
            unit, device, target or None, config=load_config(config), progress=progress
        )
        write_json(json, counted)
        show(counted.markdown() if markdown else counted.lines())
        return 0
    refuse(
        "without --rtl and -f",
        ("--unit", unit),
        ("--config", None if config == "default" else config),
    )
    if not place:
        refuse("without --place", placing)
        from bitlog2.golden.assurance.cost import CHOICES_TABLE, measure_cost

        counted = measure_cost(choice or None, target or None, progress=progress)
        if keep:
            _keep(counted, CHOICES_TABLE)
        write_json(json, counted)
        print("\n".join(counted.markdown() if markdown else counted.lines()))
        return 0
    refuse("with --place", ("--choice", choice or None))
    from bitlog2.golden.assurance.cost import PLACED_TABLE, measure_place

    table = measure_place(
        placing.module,
        placing.scheme,
        placing.lanes,
        target,
        head_dim=placing.head_dim,
        seed=placing.seed,
        timeout=placing.timeout,
        notify=_note,
        so_far=(lambda table: _keep(table, PLACED_TABLE)) if keep else lambda table: None,
    )
    write_json(json, table)
    print("\n".join(table.markdown() if markdown else table.lines()))
    return table.status


def _note(line: str) -> None:
    """Print a step of a long run at once, apart from the result."""
    print(line, file=sys.stderr, flush=True)


def _keep(table: Any, path: Path) -> None:
    """Write a table with what the one that is there has besides."""
    from bitlog2.documents import parse

    if path.is_file():
        table = table.joined(parse(path.read_bytes(), type(table), path.name))
    write_json(path, table)


coverage_app = command(coverage, COVERAGE_EXAMPLES)
mutation_app = command(mutation, MUTATION_EXAMPLES)
proof_app = command(proof, PROOF_EXAMPLES)
cost_app = command(cost, COST_EXAMPLES)
