"""Sweeps: the datapaths that are varied, their gates counted by Yosys, and the table."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

from bitlog2.golden.assurance import cost
from bitlog2.golden.assurance.cost import measure
from bitlog2.golden.simulation import ToolError
from bitlog2.golden.stimulus.unit import Progress, Target
from bitlog2.models.runs.result import Result, read_result
from bitlog2.models.runs.sweep import (
    SweepRow,
    WidthRow,
    is_datapath,
    read_gates,
    rows_csv,
    sweep_rows,
    width_rows,
    write_gates,
)
from bitlog2.sim.config import AttentionConfig
from bitlog2.sim.datapath import ATTENTION
from bitlog2.sim.files import write_whole
from bitlog2.sim.network import NetworkConfig
from bitlog2.sim.scheme import scheme_label

#: The modules whose gates a sweep counts: one key's lane.
UNITS = tuple(unit.lane for unit in ATTENTION.values() if unit.lane)


#: Names that a sweep has for fields of the hardware, with the field and its default.
FIELDS = {
    name: (field, getattr(usual, field))
    for usual in (AttentionConfig(), NetworkConfig())
    for name, field in usual.swept().items()
}
_HEAD = (
    f"{'scheme':<19}{'F':>3}{'P':>4}{'top-1 %':>9}{'levels changed %':>18}{'output error %':>16}"
    f"{'map error %':>13}{'attention error %':>19}{'register bits':>15}{'map bits':>10}"
    f"{'gates':>8}"
)


def datapaths(
    lists: Mapping[str, Sequence[int]], *, alone: bool = False
) -> tuple[tuple[tuple[str, int], ...], ...]:
    """Return the hardware of some values by the names that a sweep has for fields.

    Args:
        lists: values by name.
        alone: the default, and each value with all else as it is by default; else every
            combination.
    """
    if alone:
        usual = {name: default for name, (_, default) in FIELDS.items()}
        others = ((name, x) for name, xs in lists.items() for x in xs if x != usual[name])
        return ((), *(((FIELDS[name][0], value),) for name, value in others))
    return tuple(
        tuple((FIELDS[name][0], value) for name, value in zip(lists, values, strict=True))
        for values in product(*lists.values())
    )


def table(run: Path, wanted: bool | None, csv: Path | None, progress: Progress) -> list[str]:
    """Return the lines of a sweep that was run, and write its rows.

    Where widths of the network around attention are varied, the table is of these, without gates.

    Args:
        run: its folder.
        wanted: whether gates are counted, as `gates`.
        csv: file of the rows; None for none.
        progress: shows progress.

    Raises:
        ToolError, ValueError, OSError: as `gates`, or a file cannot be read or written.
    """
    result = read_result(run)
    if widths := width_rows(run, result):
        if csv is not None:
            write_whole(csv, rows_csv(widths).encode())
        return [_WIDTH_HEAD, *map(_width_line, widths)]
    counts, why_not = gates(run, result, wanted, progress)
    rows = sweep_rows(result, counts)
    if csv is not None:
        write_whole(csv, rows_csv(rows).encode())
    lines = [f"gates not counted: {why_not}"] if why_not else []
    return [*lines, _HEAD, *map(_line, rows)]


_WIDTH_HEAD = (
    f"{'scheme':<19}{'bits':>6}{'W_r':>5}{'Z':>4}{'root':>6}{'gain':>6}{'u':>4}{'top-1 %':>9}"
    f"{'agrees %':>10}{'same %':>8}{'saturated residual':>20}{'u':>10}{'register bits':>15}"
)


def _width_line(row: WidthRow) -> str:
    same = "-" if row.same is None else f"{row.same:.2f}"
    return (
        f"{scheme_label(row.scheme):<19}{f'{row.w_bits}/{row.a_bits}':>6}{row.stream_bits:>5}"
        f"{row.z_fraction_bits:>4}{row.root_bits:>6}{row.gain_bits:>6}{row.u_bits:>4}"
        f"{row.top1:>9.2f}{row.agrees:>10.2f}{same:>8}{row.residual_saturated:>20,}"
        f"{row.u_saturated:>10,}{row.register_bits:>15}"
    )


def _line(row: SweepRow) -> str:
    return (
        f"{scheme_label(row.scheme):<19}{row.fraction_bits:>3}{row.table_bits:>4}{row.top1:>9.2f}"
        f"{row.changed_levels:>18.2f}{row.output_error:>16.2f}{row.map_error:>13.2f}"
        f"{row.attention_error:>19.2f}"
        f"{row.register_bits:>15}{row.storage_bits:>10}"
        f"{'-' if row.gates is None else f'{row.gates:,}':>8}"
    )


def gates(
    run: Path, result: Result, wanted: bool | None, progress: Progress
) -> tuple[dict[str, int], str]:
    """Return the gates of the datapaths of a run, and why they were not counted now.

    Args:
        run: its folder.
        result: result of the run.
        wanted: False for those that were counted before; None to count where Yosys is there.
        progress: shows progress.

    Returns:
        gates by name of the cell; an empty reason where they were counted or not wanted.

    Raises:
        ToolError: Yosys is wanted and not there.
        ValueError, OSError: the file of the counts is another's, or cannot be written.
    """
    if wanted is False:
        return read_gates(run, result), ""
    try:
        return _count_gates(run, result, progress), ""
    except ToolError as error:
        if wanted:
            raise
        return read_gates(run, result), str(error)


def _count_gates(run: Path, result: Result, progress: Progress) -> dict[str, int]:
    """Return the gates of every datapath of a run that the reference RTL has: of one key's lane and
    an output channel.

    What this Yosys counted before is kept, and each count as soon as it is made.
    """
    tool = f"Yosys {cost.yosys_version()}, generic gates of {', '.join(UNITS)}"
    found = read_gates(run, result, tool)
    built = (each for each in result.cells if is_datapath(each) and each.config.code.is_ladder)
    cells = [each for each in built if each.name not in found]
    for cell in progress(cells, "gates", len(cells)):
        target, there = Target.of(cell.config), {each.lane for each in cell.config.units.values()}
        units = [unit for unit in UNITS if unit in there]
        counts = [measure.synthesize(target, unit, {}, "generic") for unit in units]
        found[cell.name] = sum(count.cells for count in counts)
        write_gates(run, result, found, tool)
    return found
