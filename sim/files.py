"""Files written whole or not at all, and read where they are files."""

import os
import stat
from pathlib import Path
from uuid import uuid4

__all__ = ["read_regular", "refuse_irregular", "write_synced", "write_whole"]

_KINDS = ((stat.S_ISFIFO, "named pipe"), (stat.S_ISSOCK, "socket"))


def refuse_irregular(path: Path) -> None:
    """Refuse what is there and is neither a file nor a folder: who reads a pipe may wait for ever.

    Raises:
        ValueError: a pipe, a socket, a device, or a link that leads nowhere.
        OSError: a link that leads back to itself, or a folder that cannot be searched.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            raise ValueError(f"{path} must be a file, got a link that leads nowhere") from None
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "device")
        raise ValueError(f"{path} must be a file, got a {kind}")


def read_regular(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        ValueError: as `refuse_irregular`.
        OSError: it is missing, a folder, or cannot be read.
    """
    refuse_irregular(path)
    return path.read_bytes()


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` at `path` in one step: a killed run leaves the old file or the new one.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    partial = path.with_name(f".{path.name}.{uuid4().hex}.partial")
    try:
        write_synced(partial, data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
