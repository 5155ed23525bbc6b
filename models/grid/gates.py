"""Gates of a sweep's datapaths, kept in the folder of the run: counting them takes minutes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..sealed import read_sealed, write_sealed
from .folder import run_digest

__all__ = ["read_gates", "write_gates"]

_FILE = "gates.json"
_FORMAT = "bitlog2-gates-2"


def read_gates(run: Path, result: dict[str, Any], tool: str | None = None) -> dict[str, int]:
    """Return the gates of each cell that were counted, by its name.

    Args:
        run: folder of a run, or the file of its result, which has none beside it.
        result: of the run, as `build_result` makes it.
        tool: what must have counted them, else there are none; None for any.

    Raises:
        ValueError: the file was edited, or is of another run.
    """
    path = run / _FILE
    if not path.is_file():
        return {}
    content = read_sealed(path, _FORMAT)
    counts = content.get("gates")
    if not isinstance(counts, dict) or not all(
        type(count) is int and count > 0 for count in counts.values()
    ):
        raise ValueError(f"{path} must hold gates: a positive count for each cell")
    if content.get("run") != _digest(result):
        raise ValueError(f"{path} must be of the run in its folder, got one of another")
    return counts if tool in (None, content.get("counted_by")) else {}


def write_gates(run: Path, result: dict[str, Any], gates: Mapping[str, int], tool: str) -> None:
    """Write the gates of each cell, whole or not at all.

    Args:
        run: folder of the run.
        result: of the run.
        gates: of each cell, by its name, all counted by the tool.
        tool: what counted them, with its version.

    Raises:
        OSError: the file cannot be written.
    """
    run_of_it = _digest(result)
    content = {"format": _FORMAT, "run": run_of_it, "counted_by": tool, "gates": dict(gates)}
    write_sealed(run / _FILE, content)


def _digest(result: dict[str, Any]) -> str:
    return run_digest(result["request"], result["versions"])
