"""Gates of the datapaths of a sweep, counted by Yosys."""

from pathlib import Path

from bitlog2.golden.assurance import cost
from bitlog2.golden.assurance.cost import measure
from bitlog2.golden.simulation import ToolError
from bitlog2.golden.stimulus.unit import Progress, Target
from bitlog2.models.runs.result import Result
from bitlog2.models.runs.sweep import is_datapath, read_gates, write_gates
from bitlog2.sim.datapath import ATTENTION

#: The modules whose gates a sweep counts: one key's lane.
UNITS = tuple(unit.lane for unit in ATTENTION.values() if unit.lane)


def gates(
    run: Path, result: Result, wanted: bool | None, progress: Progress
) -> tuple[dict[str, int], str]:
    """Return the gates of the datapaths of a run, and why they were not counted now.

    Args:
        run: its folder.
        result: of the run.
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
    """Return the gates of every datapath of a run: of one key's lane and an output channel.

    What this Yosys counted before is kept, and each count as soon as it is made.
    """
    tool = f"Yosys {cost.yosys_version()}, generic gates of {', '.join(UNITS)}"
    found = read_gates(run, result, tool)
    cells = [c for c in result.cells if is_datapath(c) and c.name not in found]
    for cell in progress(cells, "gates", len(cells)):
        target = Target.of(cell.config)
        counts = [measure.synthesize(target, unit, {}, "generic") for unit in UNITS]
        found[cell.name] = sum(count.cells for count in counts)
        write_gates(run, result, found, tool)
    return found
