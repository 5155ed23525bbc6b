"""Files written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

__all__ = ["naming", "user_cache", "write_synced", "write_whole"]


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give an error of the system that names no file, such as a full disk, this one's name."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and wait until it is on the disk."""
    with naming(path), path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` at `path` in one step: a killed run leaves the old file or the new one.

    Raises:
        OSError: the folder is missing or cannot be written, or the disk is full.
    """
    partial = path.with_name(f".{path.name}.{uuid4().hex}.partial")
    try:
        write_synced(partial, data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def user_cache() -> tuple[Path, ...]:
    """Return the user's folder for caches; none where the user has no home."""
    home = os.path.expanduser("~")
    parent = os.environ.get("XDG_CACHE_HOME") or (f"{home}/.cache" if home != "~" else None)
    return () if parent is None else (Path(parent, "bitlog2"),)
