"""Files written whole or not at all, and read where they are files."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

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


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an OSError name the file that was meant: that of a full disk names none."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def write(path: Path, data: bytes | str, *, sync: bool = False) -> None:
    """Write a file, text as UTF-8.

    Args:
        path: the file.
        data: all of it.
        sync: wait until it is on the disk.

    Raises:
        OSError: it cannot be written, or the disk is full: names the file.
    """
    with naming(path), path.open("wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
        if sync:
            file.flush()
            os.fsync(file.fileno())


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` at `path` in one step: a killed run leaves the old file or the new one.

    Raises:
        OSError: the folder is missing or cannot be written, or the disk is full: names `path`.
    """
    partial = path.with_name(f".{path.name}.{uuid4().hex}.partial")
    try:
        with naming(path):
            write(partial, data, sync=True)
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def user_cache(name: str) -> Path | None:
    """Return the folder of that name in this project's cache of the user, made.

    None where it cannot be written, and for a user without a home.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return writable(Path(home) / "bitlog2" / name) if os.path.isabs(home) else None


def writable(folder: Path) -> Path | None:
    """Return a folder, made if it is not there; None where nothing can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return None
    return folder
