"""Tars and parquet files of images: their lists of images, and one image of them."""

import json
import re
import tarfile
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from posixpath import normpath
from typing import IO, Any

from bitlog2.extras import require

from ..naming import first_three, printable, shown
from .labels import SPLITS, Entry, Listing, is_hidden, is_image, is_number, left_out

#: Errors of tarfile on headers with wrong sizes.
_TAR_FAILS = (
    tarfile.TarError,
    ValueError,
    EOFError,
    ArithmeticError,
    MemoryError,
    RecursionError,
)
#: Longest .cls member: a class index, or a name.
_LONGEST_LABEL = 100


def read_member(archive: Path, start: int, size: int) -> bytes:
    """Return one image: `size` bytes of a tar from `start`, or row `size` of row group `start`.

    Raises:
        OSError: the tar ends before the image does; there is nothing in that row.
    """
    if archive.suffix.lower() == ".parquet":
        content = _row_group(archive, start)["image"][size].as_py()["bytes"]
        if content is None:
            raise OSError("a row without image.bytes")
        return bytes(content)
    with archive.open("rb") as file:
        file.seek(start)
        content = file.read(size)
    if len(content) < size:
        raise OSError(f"its tar ends {size - len(content)} bytes too early")
    return content


def list_tars(split: str, path: Path, tars: list[Path]) -> Listing:
    """List the images of tars, with remarks; the label of an image in no class is empty.

    Raises:
        ValueError: a tar is none, is compressed or damaged, holds no images, or is a webdataset
            shard without the class of an image.
    """
    entries, hidden = [], []
    held = [_members_of(split, tar) for tar in tars]
    sharded = any(name.endswith(".cls") for members in held for name in members)
    for number, (tar, members) in enumerate(zip(tars, held, strict=True)):
        folder = tar.name if tar == path else f"{path.name}/{tar.name}"
        images = [name for name in members if is_image(name)]
        hidden += [f"{folder}/{name}" for name in images if is_hidden(name)]
        images = [name for name in images if not is_hidden(name)]
        if not images:
            raise ValueError(f"{split} must hold images, got none in {tar}")
        samples = {_key(name) for name in members if not is_image(name)}
        for name in images:
            label = _class_of(split, name if tar == path else f"{tar.name}/{name}")
            flat = "/" not in name and tar != path and is_number(label)
            if sharded or (flat and _key(name) in samples):
                label = _read_label(split, tar, members.get(f"{_key(name)}.cls"), name)
            start, size = members[name]
            entries.append(Entry(label, name, f"{folder}/{name}", (number, start, size)))
    return Listing(entries, left_out(split, hidden))


def _key(name: str) -> str:
    """Return what members of one sample of a webdataset share: the path to the first dot."""
    folder, _, base = name.rpartition("/")
    return f"{folder}/{base.partition('.')[0]}".lstrip("/")


def _class_of(split: str, path: str) -> str:
    """Return the folder of an image; a tar counts as one, the folder of the split as none."""
    label = path.split("/")[-2] if "/" in path else ""
    label = re.sub(r"\.tar$", "", label, flags=re.IGNORECASE)
    return "" if label in SPLITS[split] else label


def _read_label(split: str, tar: Path, span: tuple[int, int] | None, image: str) -> str:
    if span is None:
        raise ValueError(
            f"{split} must have a .cls beside each image of a webdataset shard, got none for "
            f"{printable(image)} in {tar}"
        )
    content = read_member(tar, span[0], min(span[1], _LONGEST_LABEL + 1))
    label = content.decode("utf-8", "replace").strip()
    if not label or len(label) > _LONGEST_LABEL or not label.isprintable():
        raise ValueError(
            f"{split} must have a class in each .cls, got {shown(repr(label))} for "
            f"{printable(image)} in {tar}"
        )
    return label


def _members_of(split: str, tar: Path) -> dict[str, tuple[int, int]]:
    """Return first byte and number of bytes of each member; of one name the last, as tar does."""
    try:
        with tar.open("rb") as file:
            return {name: (start, size) for name, start, size in _members(file, tar.stat().st_size)}
    except _TAR_FAILS as error:
        with tar.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        reason = "gzip, gunzip it first" if packed else str(error) or type(error).__name__
        raise ValueError(
            f"{split} must be an uncompressed tar, got {tar}: {shown(reason)}"
        ) from error


def _members(file: IO[bytes], size: int, inside: str = "") -> Iterator[tuple[str, int, int]]:
    """Yield the files of a tar and of the tars in it, without a byte of them read.

    Raises:
        ValueError: a header has a wrong size (a reader would skip bytes for years), or an image
            is a link.
    """
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for member in archive:
            name = inside + normpath(member.name)
            if not 0 <= member.size <= size - member.offset_data or member.issparse():
                raise ValueError(f"the header of {member.name} gives {member.size} bytes")
            if (member.islnk() or member.issym()) and is_image(name):
                raise ValueError(f"{member.name} is a link")
            nested = name.lower().endswith(".tar")
            inner = archive.extractfile(member) if nested and member.isfile() else None
            if inner is not None:
                for path, start, length in _members(inner, member.size, f"{name}/"):
                    yield path, member.offset_data + start, length
            elif member.isfile():
                yield name, member.offset_data, member.size


def list_parquet(split: str, path: Path, shards: list[Path]) -> Listing:
    """List the rows of parquet files as the Hugging Face hub has them, with remarks.

    Columns: `image` (a struct of bytes and path) and `label` (integers from 0). Labels are class
    names by the file's metadata, unless these are ImageNet's 1,000: then the integers are.

    Raises:
        ModuleNotFoundError: pyarrow is not installed.
        ValueError: a file is no parquet, has other columns or labels.
    """
    entries: list[Entry] = []
    names: list[str] = []
    for number, shard in enumerate(shards):
        try:
            names, rows = _labels_of(_parquet().ParquetFile(shard))
        except (ValueError, OSError) as error:
            raise ValueError(
                f"{split} must be parquet files of images, got {printable(str(shard))}: "
                f"{shown(str(error))}"
            ) from error
        for group, row, key, label in rows:
            key = key or f"{group:06}/{row:06}"
            name = f"{path.name}/{shard.name}/{key}"
            entries.append(
                Entry(names[label] if names else str(label), key, name, (number, group, row))
            )
    if not entries:
        raise ValueError(f"{split} must hold images, got none in {path}")
    total = re.search(r"-of-0*(\d+)", shards[0].name)
    missing = total is not None and int(total[1]) != len(shards)
    note = f"{split}: {len(shards)} of {total and total[1]} parquet files are there"
    return Listing(entries, (note,) if missing else (), names or None)


def _labels_of(file: Any) -> tuple[list[str], list[tuple[int, int, str | None, int]]]:
    """Return the declared classes of a parquet file; group, row, path and label of each row."""
    columns = {part.path for part in map(file.schema.column, range(len(file.schema)))}
    if not {"image.bytes", "image.path", "label"} <= columns:
        raise ValueError(
            f"columns must be image.bytes, image.path and label, got {first_three(sorted(columns))}"
        )
    names = _declared(file.schema_arrow.metadata or {})
    rows = []
    for group in range(file.num_row_groups):
        table = file.read_row_group(group, ["image.path", "label"], use_threads=False)
        for row, each in enumerate(table.to_pylist()):
            label = each["label"]
            if not isinstance(label, int) or not 0 <= label < (len(names) or label + 1):
                raise ValueError(f"labels must be integers from 0, got {label!r} in row {row}")
            rows.append((group, row, (each["image"] or {}).get("path"), label))
    return names, rows


def _parquet() -> Any:
    require("parquet", "pyarrow")
    return import_module("pyarrow.parquet")


def _declared(metadata: dict[bytes, bytes]) -> list[str]:
    """Return the class names that the Hugging Face hub's metadata has, unless they are 1,000."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        names = [str(name) for name in features["label"]["names"]]
    except (KeyError, TypeError, ValueError):
        return []
    return [] if len(names) == 1000 else names


@lru_cache(maxsize=2)
def _row_group(shard: Path, group: int) -> Any:
    """Return the images of a row group: some 100 in the hub's files."""
    file = _parquet().ParquetFile(shard)
    return file.read_row_group(group, ["image.bytes"], use_threads=False)
