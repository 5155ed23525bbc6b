"""Small vector sets for the tests of `bitlog2.golden`, and the helpers themselves held to it."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import numpy as np

from bitlog2.golden import UNITS, Origin, RowCase, emit, emit_rows
from bitlog2.golden.package.folder import SUMS_NAME, render_checksums, sha256
from bitlog2.golden.package.generation import generate
from bitlog2.golden.stimulus.unit import Tables, Target, no_progress
from bitlog2.sim import AttentionConfig, LayerParams
from bitlog2.sim.datapath import ATTENTION
from bitlog2.sim.scheme import QUOTIENT

#: Narrow enough that a set of both units takes some tens of milliseconds.
SMALL = AttentionConfig(
    max_head_dim=4, max_tokens=6, table_bits=6, max_n=4, max_n2=12, distance_int_bits=4
)


#: What is no file, by kind, and what an error says of it.
IRREGULAR = {
    "pipe": "must be a file, got a named pipe",
    "socket": "must be a file, got a socket",
    "device": "must be a file, got a device",
    "dangling": "must be a file, got a link that leads nowhere",
    "loop": "symbolic links",
    "folder": "directory",
}


def make_irregular(path: Path, kind: str) -> None:
    """Put what is no file in the place of a file."""
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            place = os.open(path.parent, os.O_RDONLY)
            server.bind(f"/proc/self/fd/{place}/{path.name}")  # a socket's path may be short only
            os.close(place)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to({"device": "/dev/null", "dangling": "nowhere", "loop": path.name}[kind])


def emit_small(folder: Path, seed: int = 0) -> Path:
    """Emit the corner cases of both units for the small configuration."""
    emit(folder, SMALL, head_dim=2, sources=("corners",), seed=seed)
    return folder


def hand_row(row: int = 3) -> RowCase:
    """Return a row of two equal keys whose words the tests work out by hand."""
    return RowCase(
        scores=np.array([10, 10]),
        v=np.array([[1, 2], [3, 4]]),
        params=LayerParams(m=1, n=0, m2=1, n2=8),
        reason="worked by hand",
        origin=Origin("digits", "blocks.0.attn", head=1, image=7, row=row),
    )


def emit_hand_row(folder: Path, row: int = 3) -> Path:
    """Emit the hand-worked row as if a model had given it as its row of that number."""
    emit_rows(folder, AttentionConfig(), [hand_row(row)])
    return folder


def table(**columns: object) -> dict[str, np.ndarray]:
    """Return the columns of a stream."""
    return {name: np.array(values, np.int64) for name, values in columns.items()}


def config_with(unit: str, **fields: Any) -> AttentionConfig:
    """Return a configuration whose datapath has the unit: the default scheme, or RowMax_16."""
    declared = ATTENTION[unit].families
    scheme = AttentionConfig().scheme if QUOTIENT in declared else "RowMax_16"
    return AttentionConfig(**{"scheme": scheme} | fields)


def simulated(
    unit: str, inputs: Tables, config: AttentionConfig | None = None, head_dim: int = 1
) -> Tables:
    """Return what the kernels make of inputs, the specification having made the same of them."""
    target = Target(config or config_with(unit), head_dim)
    found = UNITS[unit].simulate(target, inputs, no_progress)
    specified = UNITS[unit].specify(target, inputs, no_progress)
    for stream, columns in specified.items():
        for field, values in columns.items():
            assert np.array_equal(found[stream][field], values), (stream, field)
    return found


def default_tables(unit: str, config: AttentionConfig | None = None) -> Tables:
    """Return every stream of a unit's default cases, at most 4 lanes wide."""
    used = config or config_with(unit)
    return generate(used, head_dim=min(4, used.max_head_dim), units=[unit]).units[0].tables


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder by their paths."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def renew_sums(folder: Path) -> None:
    """Write the checksums anew, as somebody would who edits a folder."""
    (folder / SUMS_NAME).write_bytes(
        render_checksums(
            {name: sha256(data) for name, data in contents(folder).items() if name != SUMS_NAME}
        )
    )


def test_golden_helpers_renewing_untouched_sums_changes_nothing(tmp_path: Path) -> None:
    folder = emit_hand_row(tmp_path / "set")
    before = contents(folder)
    renew_sums(folder)
    assert contents(folder) == before
