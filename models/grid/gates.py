"""Gates of a sweep's datapaths, kept in the folder of the run: counting them takes minutes."""

import json
from collections.abc import Mapping
from pathlib import Path

from bitlog2.sim.files import write_whole

from .json_object import read_object

__all__ = ["read_gates", "write_gates"]

_FILE = "gates.json"


def read_gates(run: Path) -> dict[str, int]:
    """Return the gates of each cell that were counted, by its name.

    Args:
        run: folder of a run, or the file of its result, which has none beside it.

    Raises:
        ValueError: the file is damaged.
    """
    path = run / _FILE
    if not path.is_file():
        return {}
    counts = read_object(path).get("gates")
    if not isinstance(counts, dict) or not all(
        type(count) is int and count > 0 for count in counts.values()
    ):
        raise ValueError(f"{path} must hold gates: a positive count for each cell")
    return counts


def write_gates(run: Path, gates: Mapping[str, int], tool: str) -> None:
    """Write the gates of each cell, whole or not at all.

    Args:
        run: folder of the run.
        gates: of each cell, by its name.
        tool: what counted them, with its version.

    Raises:
        OSError: the file cannot be written.
    """
    content = {"counted_by": tool, "gates": dict(gates)}
    write_whole(run / _FILE, (json.dumps(content, indent=2) + "\n").encode())
