"""One verified folder: a manifest, the files that it lists, and SHA256SUMS; written as a whole."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from uuid import uuid4

from bitlog2.documents import brief, from_json, one_line, plain, render
from bitlog2.sim.files import naming, read_regular, refuse_irregular, write

from ..threads import each_part
from .manifest import (
    BUILD_NAME,
    MAKEFILE_NAME,
    MANIFEST_NAME,
    SUMS_NAME,
    File,
    FolderManifest,
    MemoryFile,
)
from .version_1 import VECTORS, upgraded

for _module in Path(__file__).parent.glob("?*_manifest.py"):
    import_module(f".{_module.stem}", __package__)

#: Format -> the class of its manifests: the kinds of folder, a module for each.
KINDS: dict[str, type[FolderManifest]] = dict(
    sorted(
        ((str(kind.__struct_config__.tag), kind) for kind in FolderManifest.__subclasses__()),
        reverse=True,
    )
)


def a_folder_of(*kinds: type[FolderManifest]) -> str:
    """Return kinds of folder in words: `a vector set or an export`."""
    return " or ".join(
        f"{'an' if kind.title[0] in 'aeiou' else 'a'} {kind.title}" for kind in kinds
    )


def read_manifest(data: bytes, size: Callable[[str], int] = lambda path: 0) -> FolderManifest:
    """Return a manifest of any format and schema version, in the newest.

    Args:
        data: the file.
        size: path -> bytes of a file in its folder: version 1 does not give that of all.

    Raises:
        ValueError: it is no JSON or no manifest, follows another specification version, or
            contradicts itself: one line with the field, its legal range and the value.
    """
    values = plain(data, MANIFEST_NAME)
    if not isinstance(values, dict):
        raise ValueError(f"{MANIFEST_NAME} must be an object, got {brief(values)}")
    form, version = values.get("format", VECTORS), values.get("schema_version")
    if not isinstance(form, str) or form not in KINDS:
        raise ValueError(
            f"{MANIFEST_NAME}: format must be one of {', '.join(KINDS)}, got {brief(form)}"
        )
    if type(version) is not int or version not in (1, 2):
        raise ValueError(
            f"{MANIFEST_NAME}: schema_version must be one of 1, 2, got {brief(version)}"
        )
    if version == 1:
        try:
            values = upgraded(values, size)
        except ValueError as error:
            raise ValueError(f"{MANIFEST_NAME}: {one_line(error)}") from None
    return from_json(values, KINDS[form], MANIFEST_NAME)


def paths_below(root: Path, left_out: str | None = None) -> set[str]:
    """Return the paths, with `/`, of all files below `root`, empty folders and links to folders.

    Args:
        root: the folder.
        left_out: name of a folder in it that is not looked into.

    Raises:
        ValueError, OSError: a pipe, a device, or a link that leads to no file.
    """
    found, folders = set(), [root]
    while folders:
        for path in folders.pop().iterdir():
            name = path.relative_to(root).as_posix()
            if name == left_out:
                continue
            refuse_irregular(path)
            if path.is_dir() and not path.is_symlink() and any(path.iterdir()):
                folders.append(path)
            else:
                found.add(name)
    return found


@dataclass(frozen=True)
class Folder:
    """A folder whose manifest is read; nothing else of it is trusted yet."""

    root: Path
    manifest: FolderManifest

    @cached_property
    def there(self) -> set[str]:
        """The paths that are there, irregular ones refused."""
        return paths_below(self.root, BUILD_NAME if MAKEFILE_NAME in self.listed else None)

    @cached_property
    def listed(self) -> dict[str, MemoryFile | File]:
        """The files that the manifest lists, by path."""
        return {each.path: each for each in self.manifest.files}

    def read(self, path: str) -> bytes:
        """Return a listed file.

        Raises:
            ValueError: it is missing, irregular, or has another size.
        """
        listed, file = self.listed[path], self.root / path
        refuse_irregular(file)
        if not file.is_file():
            raise ValueError(f"{self.manifest.title} {self.root} must hold {path}: it is missing")
        if (found := file.stat().st_size) != listed.bytes:
            raise ValueError(f"{path} must {listed.size}, got {found}")
        return file.read_bytes()

    def faults(self) -> list[str]:
        """Return what names, sizes and checksums find, one sentence each."""
        own = {MANIFEST_NAME, SUMS_NAME, *self.listed}
        title = self.manifest.title
        faults = [f"{name} is missing" for name in sorted(own - self.there)]
        faults += [f"{name} is no file of this {title}" for name in sorted(self.there - own)]
        present = [path for path in self.listed if path in self.there]
        faults += [fault for fault in each_part(self.fault, present) if fault is not None]
        if SUMS_NAME not in self.there:
            return faults
        sums = {path: each.sha256 for path, each in self.listed.items()}
        sums[MANIFEST_NAME] = sha256((self.root / MANIFEST_NAME).read_bytes())
        found, expected = read_regular(self.root / SUMS_NAME), render_checksums(sums)
        lines = set(found.decode("utf-8", "replace").split("\n"))
        wrong = [name for name, value in sums.items() if f"{value}  {name}" not in lines]
        if wrong:
            faults += [f"{SUMS_NAME} has not the checksum of {name}" for name in sorted(wrong)]
        elif found != expected:
            faults.append(f"{SUMS_NAME} must list every other file once, sorted by name")
        return faults

    def fault(self, path: str) -> str | None:
        """Return what is wrong with a listed file."""
        try:
            data = self.read(path)
        except ValueError as error:
            return str(error)
        if sha256(data) != self.listed[path].sha256:
            return f"{path} has not the checksum that {MANIFEST_NAME} gives"
        return None


def open_folder(root: Path, *kinds: type[FolderManifest]) -> Folder:
    """Return a folder with its manifest, of any schema version.

    Args:
        root: the folder.
        kinds: legal kinds; none for any.

    Raises:
        ValueError: no folder, none of these kinds, or none with a manifest that can be used.
    """
    title = " or ".join(kind.title for kind in kinds or KINDS.values())
    if not root.is_dir():
        raise ValueError(f"{title} must be a folder, got {root}")
    path = root / MANIFEST_NAME
    refuse_irregular(path)
    if not path.is_file():
        raise ValueError(f"{title} {root} must hold {MANIFEST_NAME}: it is missing")

    def size(name: str) -> int:
        return (root / name).stat().st_size if (root / name).is_file() else 0

    manifest = read_manifest(path.read_bytes(), size)
    if kinds and not isinstance(manifest, kinds):
        raise ValueError(f"{root} must be {a_folder_of(*kinds)}, got the {manifest.title} in it")
    return Folder(root, manifest)


def sha256(data: bytes) -> str:
    """Return the SHA-256 in lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def render_checksums(sums: Mapping[str, str]) -> bytes:
    """Return `SHA256SUMS` of files with these checksums, sorted by path."""
    return "".join(f"{sums[path]}  {path}\n" for path in sorted(sums)).encode()


def rendered(
    files: Iterable[tuple[str, bytes]], manifest: Callable[[Mapping[str, File]], FolderManifest]
) -> Iterator[tuple[str, bytes]]:
    """Yield every file of a folder by its path, the manifest and the checksums last.

    Args:
        files: path and content of the others, taken one at a time.
        manifest: gives the manifest when all of them are known.
    """
    known: dict[str, File] = {}
    for path, data in files:
        known[path] = File(path=path, bytes=len(data), sha256=sha256(data))
        yield path, data
    text = render(manifest(known))
    yield MANIFEST_NAME, text
    sums = {path: each.sha256 for path, each in known.items()}
    yield SUMS_NAME, render_checksums({**sums, MANIFEST_NAME: sha256(text)})


def check_replaceable(folder: Path, kind: type[FolderManifest]) -> None:
    """Refuse a folder that holds anything but one of that format, whole or damaged.

    The files that it may hold are those that its checksums list: so one with a damaged manifest is
    replaced too.

    Raises:
        ValueError: it is no folder, has another format, or holds a file that is not listed.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ValueError(f"output must be a folder, got the file {folder}")
    if not any(folder.iterdir()):
        return
    form = str(kind.__struct_config__.tag)
    found = _format_in(folder)
    if found is None or found not in (form, "damaged"):
        held = f"has no {MANIFEST_NAME}" if found is None else f"holds the format {brief(found)}"
        raise ValueError(
            f"output must be a new folder or {a_folder_of(kind)}, got {folder}: it is not empty "
            f"and {held}"
        )
    sums = folder / SUMS_NAME
    own = {MANIFEST_NAME, SUMS_NAME}
    if sums.exists():
        lines = read_regular(sums).decode("utf-8", "replace").splitlines()
        own |= {line[66:] for line in lines if line[64:66] == "  "}
    there = paths_below(folder, BUILD_NAME if MAKEFILE_NAME in own else None)
    if unlisted := sorted(there - own):
        raise ValueError(
            f"output {folder} would be replaced, but {unlisted[0]} is no part of the {kind.title} "
            "in it: move it away or choose another folder"
        )


def _format_in(folder: Path) -> str | None:
    """Return the format of the manifest in a folder, "damaged" for none that can be read."""
    path = folder / MANIFEST_NAME
    refuse_irregular(path)
    if not path.is_file():
        return None
    try:
        values = plain(path.read_bytes(), MANIFEST_NAME)
    except ValueError:
        return "damaged"
    return str(values.get("format", VECTORS)) if isinstance(values, dict) else "damaged"


def replace_folder(folder: Path, files: Iterable[tuple[str, bytes]]) -> dict[str, int]:
    """Write files into a temporary sibling, then put it in the place of `folder`.

    Between the two renames there is no folder, and its old content lies beside it: the next call
    puts it back before it starts. Leftovers of killed runs are removed.

    Args:
        folder: to be replaced, or new.
        files: path below the folder, and content; taken one at a time,
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
            (new / name).parent.mkdir(parents=True, exist_ok=True)
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
