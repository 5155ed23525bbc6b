"""The folder of a run: its request, its lock, the journals of its cells, its result."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from bitlog2.sim.files import write_whole

from .cell import Cell
from .journal import read_journal
from .json_object import read_object
from .record import BatchRecord
from .request import GridRequest

__all__ = ["RunFolder"]

_FORMAT = "bitlog2-run-1"
_REQUEST = "run.json"
_LOCK = "lock"
_RESULT = "result.json"
_CELLS = "cells"
_FINISHED = "finished"


class RunFolder:
    """A run on the disk.

    run.json        the request and the versions that the run began with
    lock            held by the process that runs it
    cells/NAME/     model.safetensors: the quantized model
                    data.json: what to know of the images, beside the unquantized model
                    map.json: what its code does to the map of the calibration images
                    batches-*.jsonl: a line a finished batch
                    finished: there when no batch is missing
    timings.jsonl   seconds of each batch: nothing else depends on time
    result.json     written when every cell is finished

    Attributes:
        path: the folder.
        request: what the run was asked for.
        versions: of the packages that it began with.
    """

    def __init__(self, path: Path, request: GridRequest, versions: dict[str, str]) -> None:
        self.path, self.request, self.versions = path, request, versions

    @classmethod
    def create(cls, path: Path, request: GridRequest, versions: dict[str, str]) -> "RunFolder":
        """Make a new run; one that is there already must have the same request.

        Raises:
            ValueError: the folder holds something else, or a run of another request.
            OSError: it cannot be written.
        """
        if cls.is_there(path):
            found = cls.open(path)
            if found.request != request:
                raise ValueError(
                    f"run {path} was asked for something else: choose another folder, or "
                    f"`bitlog2 resume {path}` for what it was asked for"
                )
            return found
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise ValueError(f"run must be a new or empty folder, got {path}, which holds files")
        content = {"format": _FORMAT, "request": request.as_dict(), "versions": versions}
        write_whole(path / _REQUEST, (json.dumps(content, indent=2) + "\n").encode())
        return cls(path, request, versions)

    @staticmethod
    def is_there(path: Path) -> bool:
        """Whether a folder holds a run."""
        return (path / _REQUEST).is_file()

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Return a run that is there.

        Raises:
            ValueError: it is no run, or its request cannot be used.
        """
        file = path / _REQUEST
        if not file.is_file():
            raise ValueError(f"run must be a folder with {_REQUEST}, got {path}")
        content = read_object(file)
        if content.get("format") != _FORMAT:
            raise ValueError(f"{file} must have the format {_FORMAT}")
        versions = content.get("versions")
        if not isinstance(versions, dict):
            raise ValueError(f"{file} must hold the versions that the run began with")
        try:
            request = GridRequest.from_dict(content.get("request"))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{file}: {error}") from None
        return cls(path, request, versions)

    def discard_unstarted(self) -> None:
        """Remove a run of which no cell has begun; any other stays as it is."""
        if not (self.path / _CELLS).exists():
            (self.path / _REQUEST).unlink(missing_ok=True)
            (self.path / _LOCK).unlink(missing_ok=True)
            if not any(self.path.iterdir()):
                self.path.rmdir()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run, so that no second process runs it.

        Raises:
            ValueError: another process holds it.
        """
        with (self.path / _LOCK).open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(
                    f"run {self.path} must not be in use: another process is running it"
                ) from None
            yield

    def cell_folder(self, cell: Cell) -> Path:
        """Return the folder of a cell, which may not be there yet."""
        return self.path / _CELLS / cell.name

    def model_file(self, cell: Cell) -> Path:
        """Return the file of a cell's quantized model, which may not be there yet."""
        return self.cell_folder(cell) / "model.safetensors"

    def statistics_file(self, cell: Cell) -> Path:
        """Return the file of a cell's map statistics, which may not be there yet."""
        return self.cell_folder(cell) / "map.json"

    def write_data_notes(self, model: str, notes: list[str], *, complete: bool) -> None:
        """Keep what a user should know of a model's images, and whether all classes are there."""
        path = self._data_file(model)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"complete": complete, "notes": notes}
        write_whole(path, (json.dumps(content) + "\n").encode())

    def data_notes(self, model: str) -> tuple[list[str], bool]:
        """Return what `write_data_notes` kept; nothing, and True, of a run older than that."""
        path = self._data_file(model)
        found = read_object(path) if path.is_file() else {}
        return found.get("notes", []), found.get("complete", True)

    def _data_file(self, model: str) -> Path:
        return self.cell_folder(Cell(model)) / "data.json"

    def is_finished(self, cell: Cell) -> bool:
        """Whether every batch of a cell is in its journals."""
        return (self.cell_folder(cell) / _FINISHED).exists()

    def mark_finished(self, cell: Cell) -> None:
        """Note that every batch of a cell is in its journals."""
        (self.cell_folder(cell) / _FINISHED).touch()

    def new_journal(self, cell: Cell, rank: int) -> Path:
        """Return the path of a journal that nobody has written yet."""
        return self.cell_folder(cell) / f"batches-{rank}-{uuid4().hex}.jsonl"

    def records(self, cell: Cell) -> dict[int, BatchRecord]:
        """Return the finished batches of a cell by number, in order.

        Raises:
            ValueError: a journal is damaged, or two say different things of a batch.
        """
        found: dict[int, BatchRecord] = {}
        folder = self.cell_folder(cell)
        for path in sorted(folder.glob("batches-*.jsonl")):
            for line in read_journal(path):
                record = BatchRecord.from_dict(line, path)
                if found.setdefault(record.batch, record) != record:
                    raise ValueError(
                        f"{folder} holds two different results of batch {record.batch}: it was "
                        "run on machines or versions that do not compute the same"
                    )
        return dict(sorted(found.items()))

    def add_timing(self, timing: dict[str, Any]) -> None:
        """Add a line to the timings; a torn one is no harm."""
        line = (json.dumps(timing, sort_keys=True) + "\n").encode()
        handle = os.open(self.path / "timings.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(handle, line)
        finally:
            os.close(handle)

    def write_result(self, content: dict[str, Any]) -> Path:
        """Write the result, whole or not at all; return its path."""
        path = self.path / _RESULT
        write_whole(path, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())
        return path

    @property
    def result_file(self) -> Path:
        """The file of the result, which may not be there yet."""
        return self.path / _RESULT
