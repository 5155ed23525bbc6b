"""Folders that are written whole or not at all, and the checksums of their files."""

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from uuid import uuid4

from bitlog2.sim.files import naming, read_regular, refuse_irregular, write

from ..threads import each_part

__all__ = [
    "BUILD_NAME",
    "CORE_NAME",
    "LIST_NAME",
    "MAKEFILE_NAME",
    "MANIFEST_NAME",
    "RTL_NAME",
    "SUMS_NAME",
    "check_replaceable",
    "checksums",
    "names_in",
    "names_in_sums",
    "render_checksums",
    "render_sums",
    "replace_folder",
    "sha256",
]

#: The reference RTL of a set with testbenches: the one folder of a set.
RTL_NAME = "rtl"
#: What its Makefile builds: no part of the set.
BUILD_NAME = "build"
MAKEFILE_NAME = "Makefile"
#: The RTL as a file list, and everything for FuseSoC.
LIST_NAME = "bitlog2.f"
CORE_NAME = "bitlog2.core"


def names_in(folder: Path, testbench: bool) -> list[str]:
    """Return the paths of a set's files below its folder, and of whatever else is there.

    Args:
        folder: of the set.
        testbench: whether testbenches belong to it: then the folder `build` is left out.

    Raises:
        ValueError, OSError: a pipe, a device, or a link that leads to no file.
    """
    names = []
    for path in folder.iterdir():
        if testbench and path.name == BUILD_NAME:
            continue
        refuse_irregular(path)
        inner = list(path.iterdir()) if path.name == RTL_NAME and path.is_dir() else []
        for each in inner:
            refuse_irregular(each)
        names += [f"{RTL_NAME}/{each.name}" for each in inner] or [path.name]
    return names


SUMS_NAME = "SHA256SUMS"


def sha256(data: bytes) -> str:
    """Return the SHA-256 in lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def checksums(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return the SHA-256 of each file by its name."""
    return dict(zip(files, each_part(sha256, files.values()), strict=True))


def render_sums(files: Mapping[str, bytes]) -> bytes:
    """Return `SHA256SUMS` of these files, sorted by name; itself is left out."""
    return render_checksums(checksums(files))


def render_checksums(sums: Mapping[str, str]) -> bytes:
    """Return `SHA256SUMS` of files with these checksums, as `render_sums`."""
    names = sorted(name for name in sums if name != SUMS_NAME)
    return "".join(f"{sums[name]}  {name}\n" for name in names).encode()


def names_in_sums(data: bytes) -> set[str]:
    """Return the names that a `SHA256SUMS` lists, whatever their sums."""
    lines = data.decode("utf-8", "replace").splitlines()
    return {line[66:] for line in lines if line[64:66] == "  "}


MANIFEST_NAME = "manifest.json"


def check_replaceable(folder: Path) -> None:
    """Refuse a folder that holds anything but a vector set.

    Raises:
        ValueError: it is no folder, or holds a file that no vector set lists.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ValueError(f"output must be a folder, got the file {folder}")
    names = {path.name for path in folder.iterdir()}
    if names and MANIFEST_NAME not in names:
        raise ValueError(
            f"output must be a new folder or a vector set, got {folder}: it is not empty and has "
            f"no {MANIFEST_NAME}"
        )
    sums = folder / SUMS_NAME
    own = {MANIFEST_NAME, SUMS_NAME} | (
        names_in_sums(read_regular(sums)) if sums.exists() else set()
    )
    if strangers := sorted(set(names_in(folder, MAKEFILE_NAME in own)) - own):
        raise ValueError(
            f"output {folder} would be replaced, but {strangers[0]} is no part of the vector set "
            "in it: move it away or choose another folder"
        )


def replace_folder(folder: Path, files: Iterable[tuple[str, bytes]]) -> dict[str, int]:
    """Write files into a temporary sibling, then put it in the place of `folder`.

    Between the two renames there is no folder, and its old content lies beside it: the next call
    puts it back before it starts. Leftovers of killed runs are removed.

    Args:
        folder: to be replaced, or new.
        files: path below the folder, at most one folder deep, and content; taken one at a time,
            so that they need not all be in memory.

    Returns:
        the bytes of each file by its path.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _recover(folder)
    new, old = _sibling(folder, "new"), _sibling(folder, "old")
    with naming(folder):
        new.mkdir()
    sizes = {}
    try:
        for name, data in files:
            (new / name).parent.mkdir(exist_ok=True)
            with naming(folder / name):
                write(new / name, data, sync=True)
            sizes[name] = len(data)
        for inner in {new, *((new / name).parent for name in sizes)}:
            _sync_folder(inner)
        if folder.exists():
            os.rename(folder, old)
        os.rename(new, folder)
        _sync_folder(folder.parent)
    finally:
        if old.exists() and not folder.exists():
            os.rename(old, folder)
        for leftover in (new, old):
            _remove(leftover, folder)
    return sizes


def _sibling(folder: Path, kind: str) -> Path:
    """Return a name of its own beside `folder`, on the same file system."""
    return folder.with_name(f"{_prefix(folder, kind)}{uuid4().hex}")


def _prefix(folder: Path, kind: str) -> str:
    return f".{folder.name}.bitlog2-{kind}-"


def _recover(folder: Path) -> None:
    """Put back the old folder of a run killed between its renames; remove what is left over."""
    siblings = sorted(folder.parent.iterdir())
    for kind in ("old", "new", "gone"):
        for path in siblings:
            if not path.name.startswith(_prefix(folder, kind)):
                continue
            if kind == "old" and not folder.exists():
                os.rename(path, folder)
            _remove(path, folder)


def _remove(path: Path, folder: Path) -> None:
    """Remove a folder under a name of its own: a live run that still writes into it then fails."""
    if path.exists():
        gone = _sibling(folder, "gone")
        os.rename(path, gone)
        shutil.rmtree(gone)


def _sync_folder(folder: Path) -> None:
    """Wait until a folder's names are on the disk, where the system can do that."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
