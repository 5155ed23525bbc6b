"""Sweeps: the datapaths that are varied, their gates counted by Yosys, and the table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

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
from bitlog2.sim.network import NetworkConfig
from bitlog2.sim.scheme import scheme_label
from bitlog2.table import aligned

#: The modules whose gates a sweep counts: one key's lane.
UNITS = tuple(unit.lane for unit in ATTENTION.values() if unit.lane)


#: Names that a sweep has for fields of the hardware, with the field and its default.
FIELDS = {
    name: (field, getattr(usual, field))
    for usual in (AttentionConfig(), NetworkConfig())
    for name, field in usual.swept().items()
}
_HEAD = (
    *("scheme", "F", "P", "top-1 %", "levels changed %", "output error %", "map error %"),
    *("attention error %", "register bits", "map bits", "gates"),
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


@dataclass(frozen=True)
class SweepTable:
    """The rows of a sweep: of datapaths, or of widths of the network around attention.

    Attributes:
        rows: of datapaths; empty where widths were varied.
        widths: of networks; else empty.
        not_counted: why gates were not counted; empty where they were, or were not wanted.
    """

    rows: list[SweepRow]
    widths: list[WidthRow]
    not_counted: str

    def lines(self) -> list[str]:
        """Return the table."""
        if self.widths:
            return _aligned(_WIDTH_HEAD, map(_width_cells, self.widths))
        lines = [f"gates not counted: {self.not_counted}"] if self.not_counted else []
        return [*lines, *_aligned(_HEAD, map(_cells, self.rows))]

    def csv(self) -> str:
        """Return the rows as CSV."""
        return rows_csv(self.widths or self.rows)

    def as_dict(self) -> dict[str, Any]:
        """Return the rows for a program."""
        return {"rows": self.widths or self.rows, "gates_not_counted": self.not_counted}


def table(run: Path, wanted: bool | None, progress: Progress) -> SweepTable:
    """Return the rows of a sweep that was run.

    Where widths of the network around attention are varied, the table is of these, without gates.

    Args:
        run: its folder.
        wanted: whether gates are counted, as `gates`.
        progress: shows progress.

    Raises:
        ToolError, ValueError, OSError: as `gates`, or a file cannot be read.
    """
    result = read_result(run)
    if widths := width_rows(run, result):
        return SweepTable([], widths, "")
    counts, why_not = gates(run, result, wanted, progress)
    return SweepTable(sweep_rows(result, counts), [], why_not)


_WIDTH_HEAD = (
    *("scheme", "bits", "W_r", "Z", "root", "gain", "u", "top-1 %", "agrees %", "same %"),
    *("saturated residual", "saturated u", "register bits"),
)


def _aligned(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return aligned([head, *rows], "<" + ">" * (len(head) - 1))


def _width_cells(row: WidthRow) -> list[str]:
    widths = (row.stream_bits, row.z_fraction_bits, row.root_bits, row.gain_bits, row.u_bits)
    return [
        *(scheme_label(row.scheme), f"{row.w_bits}/{row.a_bits}", *map(str, widths)),
        *(f"{row.top1:.2f}", f"{row.agrees:.2f}"),
        "-" if row.same is None else f"{row.same:.2f}",
        *(f"{row.residual_saturated:,}", f"{row.u_saturated:,}", str(row.register_bits)),
    ]


def _cells(row: SweepRow) -> list[str]:
    errors = (row.changed_levels, row.output_error, row.map_error, row.attention_error)
    return [
        *(scheme_label(row.scheme), str(row.fraction_bits), str(row.table_bits)),
        *(f"{each:.2f}" for each in (row.top1, *errors)),
        *(str(row.register_bits), str(row.storage_bits)),
        "-" if row.gates is None else f"{row.gates:,}",
    ]


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
