"""Journals: a line a finished batch, added whole and synced, so that a kill loses no line before.

A line is the CRC-32 of its text in eight hexadecimal digits, a blank, the text (JSON, one object)
and a newline. A killed writer leaves a torn last line at most: it is left out. Each attempt of each
worker writes a file of its own, so that no file has two writers.
"""

import json
import os
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from bitlog2.sim.files import naming

from ..sealed import parse_object

__all__ = ["Journal", "read_journal"]


class Journal:
    """A journal being written; a context manager.

    Args:
        path: a new file in a folder that exists.

    Raises:
        OSError: it is there already, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO = path.open("xb", buffering=0)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, record: dict[str, Any]) -> None:
        """Add a line, and wait until it is on the disk; OSError names the file."""
        with naming(self._path):
            rest = memoryview(_line(record))
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Return the records of a journal, but for a torn last line.

    Raises:
        OSError: it cannot be read.
        ValueError: a whole line is damaged.
    """
    *lines, _torn = path.read_bytes().split(b"\n")
    records = []
    for number, line in enumerate(lines, 1):
        record = _record(line)
        if record is None:
            raise ValueError(f"{path} must be a journal: line {number} is damaged")
        records.append(record)
    return records


def _line(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, separators=(",", ":"), sort_keys=True).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _record(line: bytes) -> dict[str, Any] | None:
    """Return what a line holds, None for a damaged one."""
    checksum, _, text = line.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(text):
        return None
    try:
        return parse_object(text)
    except ValueError:
        return None
