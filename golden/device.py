"""The simulator as the device under test: stimulus files in, result files out."""

from collections.abc import Sequence
from pathlib import Path

from bitlog2.sim.files import write_whole

from .memfile import render_stream
from .reading import open_set, read_inputs
from .replace import MANIFEST_NAME
from .unit import Progress, no_progress

__all__ = ["run_device"]


def run_device(
    folder: str | Path,
    out: str | Path,
    units: Sequence[str] | None = None,
    *,
    progress: Progress = no_progress,
) -> dict[str, Path]:
    """Write what the simulator makes of a set's stimulus; return the files by `unit.stream`.

    Each file is written whole or not at all, in the format that `verify` reads.

    Args:
        folder: the vector set; only its manifest and stimulus are read.
        out: folder for the result files, which may exist but must not be a vector set.
        units: names of units; None for those of the set.
        progress: shows how far it is.

    Raises:
        ValueError: `folder` is no usable set, `out` is one, or a unit is not in the set.
        OSError: a file cannot be read or written.
    """
    root, results = Path(folder), Path(out)
    manifest = open_set(root)
    known = [unit.name for unit in manifest.units]
    for name in units or ():
        if name not in known:
            raise ValueError(f"unit must be one of {', '.join(known)}, got {name!r}")
    if (results / MANIFEST_NAME).exists():
        raise ValueError(f"output must not be a vector set, got {results}")
    results.mkdir(parents=True, exist_ok=True)
    written = {}
    for unit in manifest.units:
        if units and unit.name not in units:
            continue
        tables = unit.simulate(manifest.target, read_inputs(root, manifest, unit), progress)
        for stream in unit.outputs:
            data = render_stream(stream.fields(manifest.target), tables[stream.name])
            path = results / unit.file_name(stream)
            write_whole(path, data)
            written[f"{unit.name}.{stream.name}"] = path
    return written
