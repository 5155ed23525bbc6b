"""The folder of a run: records and journals."""

import fcntl
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO
from uuid import uuid4

from bitlog2.sim import REGISTERS
from bitlog2.sim.checks import brief
from bitlog2.sim.files import naming

from ..sealed import digest_of, parse_object, read_sealed, write_sealed
from ..watch.check import HeadChoice, LayerShape, values_compared
from ..watch.digest import model_digest
from ..watch.watermarks import WATERMARKED
from ..zoo.checkpoint import QuantizedModel, load_quantized
from .request import Cell, GridRequest, has_registers

__all__ = [
    "BatchRecord",
    "BatchRules",
    "Journal",
    "RunFolder",
    "read_journal",
    "run_digest",
]


@dataclass(frozen=True)
class BatchRecord:
    """A batch that was evaluated, and checked where that was asked for.

    Attributes:
        batch: its number, from 0, in the order of the images.
        numbers: positions of its images in the validation set; those left out are not among them.
        labels, top1: the class of each image, and the one that the model said.
        hits5: 1 for an image whose label is among the first five classes.
        skipped: names of the images that could not be read.
        pixels: SHA-256 of each image as the model got it.
        registers: SHA-256 of the attention registers of each image; empty where there are none or
            none was asked.
        compared, mismatched: values by register; empty where nothing was checked.
        mismatches: the first ones, in words.
        watermarks: (smallest, largest, values, saturated or None) by layer and register.
    """

    batch: int
    numbers: tuple[int, ...]
    labels: tuple[int, ...]
    top1: tuple[int, ...]
    hits5: tuple[int, ...]
    skipped: tuple[str, ...] = ()
    pixels: tuple[str, ...] = ()
    registers: tuple[str, ...] = ()
    compared: dict[str, int] = field(default_factory=dict)
    mismatched: dict[str, int] = field(default_factory=dict)
    mismatches: tuple[str, ...] = ()
    watermarks: dict[str, dict[str, tuple[int, int, int, int | None]]] = field(default_factory=dict)

    @property
    def seen(self) -> tuple[tuple[Any, ...], ...]:
        """What the model was given: two records of the same images agree in it."""
        return self.numbers, self.labels, self.pixels, self.skipped

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any], path: Path) -> "BatchRecord":
        """Return the record of `as_dict`.

        Raises:
            ValueError: a field is unknown, missing or of the wrong type; names `path`.
        """
        if set(values) != {each.name for each in fields(cls)}:
            raise ValueError(
                f"{path} must hold batch records, got the fields {brief(sorted(values))}"
            )
        try:
            given = {name: _tupled(value) for name, value in values.items()}
        except RecursionError:
            raise ValueError(f"{path} must hold batch records, got one nested too deep") from None
        record = cls(**given)
        if not record._well_formed():
            raise ValueError(f"{path} must hold batch records, got a malformed one")
        return record

    def _well_formed(self) -> bool:
        columns = (self.numbers, self.labels, self.top1, self.hits5)
        integers = all(
            isinstance(column, tuple) and all(_is_count(value) for value in column)
            for column in columns
        )
        texts = all(
            isinstance(names, tuple) and all(isinstance(name, str) for name in names)
            for names in (self.skipped, self.mismatches, self.pixels, self.registers)
        )
        counts = all(
            isinstance(by_register, dict)
            and set(by_register) <= set(REGISTERS)
            and all(_is_count(value) for value in by_register.values())
            for by_register in (self.compared, self.mismatched)
        )
        marks = isinstance(self.watermarks, dict) and all(
            isinstance(layer, dict)
            and set(layer) <= set(WATERMARKED)
            and all(_is_mark(mark) for mark in layer.values())
            for layer in self.watermarks.values()
        )
        if not (_is_count(self.batch) and integers and texts and counts and marks):
            return False
        images = len(self.numbers)
        digests = all(len(each) in (0, images) for each in (self.pixels, self.registers))
        return digests and all(len(column) == images for column in columns)


@dataclass(frozen=True)
class BatchRules:
    """What the batches of a cell must hold: it follows from its request, model and images.

    Attributes:
        images: positions in the validation set, those of images that cannot be read counted.
        batch_size: positions of a batch; fewer in the last.
        classes: of the model.
        choice: which heads are compared; None where none is.
        digest, watermarks: whether registers are digested, and their ranges collected.
        shapes: of the layers with registers.
    """

    images: int
    batch_size: int
    classes: int
    choice: HeadChoice | None = None
    digest: bool = False
    watermarks: bool = False
    shapes: Mapping[str, LayerShape] = field(default_factory=dict)

    @property
    def batches(self) -> int:
        """How many there are."""
        return -(-self.images // self.batch_size)

    def check(self, record: BatchRecord, path: Path) -> None:
        """Refuse a record that does not hold what it must; ValueError names `path`."""
        if fault := self._fault(record):
            raise ValueError(
                f"{path} must hold what its run asks for: batch {record.batch} {fault}"
            )

    def _fault(self, record: BatchRecord) -> str:
        if record.batch >= self.batches:
            return f"is none of {self.batches}"
        start = record.batch * self.batch_size
        positions = range(start, min(start + self.batch_size, self.images))
        numbers, hits = record.numbers, record.hits5
        read = set(numbers)
        left = [number for number in positions if number in read]
        if list(numbers) != left or len(numbers) + len(record.skipped) != len(positions):
            return "is not of its images"
        if max((*record.labels, *record.top1), default=0) >= self.classes:
            return f"names a class above {self.classes - 1}"
        right = [label == said for label, said in zip(record.labels, record.top1, strict=True)]
        if not all(int(first) <= hit <= 1 for first, hit in zip(right, hits, strict=True)):
            return "counts hits that are none"
        digests = (len(numbers), len(numbers) if self.digest else 0)
        if (len(record.pixels), len(record.registers)) != digests:
            return f"must have {digests[0]} digests of pixels and {digests[1]} of registers"
        marked = set(self.shapes) if self.watermarks and numbers else set()
        if set(record.watermarks) != marked:
            return f"must have watermarks of {len(marked)} layers, got {len(record.watermarks)}"
        return self._count_fault(record)

    def _count_fault(self, record: BatchRecord) -> str:
        wanted = dict.fromkeys(REGISTERS, 0)
        if self.choice is not None:
            wanted = values_compared(self.shapes, self.choice, record.numbers)
        for name, count in wanted.items():
            compared, differing = (
                each.get(name, 0) for each in (record.compared, record.mismatched)
            )
            if compared != count or differing > compared:
                return f"must have compared {count:,} values of {name}, got {compared:,}"
        return ""


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_mark(value: object) -> bool:
    if not isinstance(value, tuple) or len(value) != 4:
        return False
    numbers = [each for each in value if each is not None]
    return len(numbers) >= 3 and all(type(each) is int for each in numbers)


def _tupled(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_tupled(each) for each in value)
    if isinstance(value, dict):
        return {name: _tupled(each) for name, each in value.items()}
    return value


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


_FORMAT = "bitlog2-run-2"
_CELL_FORMAT = "bitlog2-cell-1"
_REQUEST = "run.json"
_LOCK = "lock"
_RESULT = "result.json"
_CELLS = "cells"
#: What every journal line and the file of a cell name: what they belong to.
_BOUND = ("run", "cell", "model")


def run_digest(request: dict[str, Any], versions: dict[str, str]) -> str:
    """Return the SHA-256 of what a run was asked for and its versions, which its files name."""
    return digest_of({"format": _FORMAT, "request": request, "versions": versions})


class RunFolder:
    """A run on the disk.

    run.json        the request and the versions that the run began with
    lock            held by the process that runs it
    cells/NAME/     model.safetensors: the quantized model
                    cell.json: of a quantized model what its code does to the map of the calibration
                    images, and its layers' shapes; of an unquantized one what it is evaluated on
                    batches-*.jsonl: a line a finished batch
    timings.jsonl   seconds of each batch: nothing else depends on time
    result.json     written when every cell is finished

    Each file names the run's digest, a cell's files the SHA-256 of its model too, and what JSON
    holds no batches the SHA-256 of its own content. A file that was edited, or that belongs to
    another run, cell or model, is refused.

    Attributes:
        path: the folder.
        request: what the run was asked for.
        versions: of the packages that it began with.
        digest: of both, 64 hexadecimal digits.
    """

    def __init__(self, path: Path, request: GridRequest, versions: dict[str, str]) -> None:
        self.path, self.request, self.versions = path, request, versions
        self.digest = run_digest(request.as_dict(), versions)

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
            return found if found.has_begun else cls._written(path, request, versions)
        path.mkdir(parents=True, exist_ok=True)
        _remove_partials(path.glob(f".{_REQUEST}.*.partial"))
        if any(each.name != _LOCK or not each.is_file() for each in path.iterdir()):
            raise ValueError(f"run must be a new or empty folder, got {path}, which holds files")
        return cls._written(path, request, versions)

    @classmethod
    def _written(cls, path: Path, request: GridRequest, versions: dict[str, str]) -> "RunFolder":
        content = {"format": _FORMAT, "request": request.as_dict(), "versions": versions}
        write_sealed(path / _REQUEST, content)
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
        content = read_sealed(file, _FORMAT)
        versions = content.get("versions")
        if not isinstance(versions, dict):
            raise ValueError(f"{file} must hold the versions that the run began with")
        try:
            request = GridRequest.from_dict(content.get("request"))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{file}: {error}") from None
        return cls(path, request, versions)

    @property
    def has_begun(self) -> bool:
        """Whether there is anything of a cell."""
        return (self.path / _CELLS).exists()

    def discard_unstarted(self) -> None:
        """Remove a run of which no cell has begun; any other stays as it is."""
        if not self.has_begun:
            (self.path / _REQUEST).unlink(missing_ok=True)
            (self.path / _LOCK).unlink(missing_ok=True)
            if not any(self.path.iterdir()):
                self.path.rmdir()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run, so that no second process runs it; what a killed one left is removed.

        Raises:
            ValueError: another process holds it, or its lock is no file.
        """
        path = self.path / _LOCK
        if (path.exists() or path.is_symlink()) and not path.is_file():
            raise ValueError(f"lock of a run must be a file, got {path}")
        with path.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(
                    f"run {self.path} must not be in use: another process is running it"
                ) from None
            _remove_partials((self.path / _CELLS).glob("*/.*.partial"))
            yield

    def cell_folder(self, cell: Cell) -> Path:
        """Return the folder of a cell, which may not be there yet."""
        return self.path / _CELLS / cell.name

    def model_file(self, cell: Cell) -> Path:
        """Return the file of a cell's quantized model, which may not be there yet."""
        return self.cell_folder(cell) / "model.safetensors"

    def write_cell(self, cell: Cell, model: str, content: dict[str, Any]) -> None:
        """Write what a cell begins with.

        Args:
            cell: of the run; its folder is there.
            model: SHA-256 of its model.
            content: JSON values.
        """
        bound = self.bound(cell, model)
        write_sealed(self._cell_file(cell), {"format": _CELL_FORMAT, **bound, **content})

    def read_cell(self, cell: Cell) -> dict[str, Any] | None:
        """Return what `write_cell` wrote with its `model`; None where the cell has not begun.

        Raises:
            ValueError: the file was edited, or is of another run or cell.
        """
        path = self._cell_file(cell)
        if not path.is_file():
            return None
        content = read_sealed(path, _CELL_FORMAT)
        self._hold(path, content, self.bound(cell, content.get("model")))
        return content

    def _cell_file(self, cell: Cell) -> Path:
        return self.cell_folder(cell) / "cell.json"

    def bound(self, cell: Cell, model: Any) -> dict[str, Any]:
        """Return what each file of a cell names: the run, the cell and the model's SHA-256."""
        return dict(zip(_BOUND, (self.digest, cell.name, model), strict=True))

    def _hold(self, path: Path, content: dict[str, Any], bound: dict[str, Any]) -> None:
        for name, value in bound.items():
            if content.get(name) != value:
                raise ValueError(
                    f"{path} must be of the {name} {brief(value)} as its folder is, got one of "
                    f"{brief(content.get(name))}"
                )

    def load_model(self, cell: Cell) -> tuple[QuantizedModel, str]:
        """Return a cell's quantized model and its SHA-256.

        Raises:
            ValueError: it is not the one that the cell began with.
            OSError: it is not there.
        """
        path = self.model_file(cell)
        found = load_quantized(path)
        about, digest = self.read_cell(cell) or {}, model_digest(found.model)
        is_it = (found.name, found.spec, found.seed) == (cell.model, cell.spec, cell.seed)
        if not is_it or about.get("model") != digest:
            raise ValueError(f"{path} must be the model that {cell.name} began with, got another")
        return found, digest

    def rules(self, cell: Cell) -> BatchRules | None:
        """Return what the batches of a cell must hold; None where it has not begun."""
        request = self.request
        data, about = self.read_cell(request.cells_of(cell.model)[0]), self.read_cell(cell)
        if data is None or about is None:
            return None
        registers = has_registers(cell)
        check = request.check_of(cell)
        return BatchRules(
            data["images"],
            request.batch_size,
            data["classes"],
            None if check == "none" else HeadChoice(check, cell.seed or 0),
            digest=registers and request.digest != "none",
            watermarks=registers and request.watermarks,
            shapes={
                layer: LayerShape(shape["heads"], shape["sizes"], tuple(shape["masked"]))
                for layer, shape in about.get("shapes", {}).items()
            },
        )

    def is_finished(self, cell: Cell) -> bool:
        """Whether every batch of a cell is in its journals; errors as `records`."""
        rules = self.rules(cell)
        return rules is not None and len(self.records(cell)) == rules.batches

    def new_journal(self, cell: Cell, rank: int) -> Path:
        """Return the path of a journal that nobody has written yet."""
        return self.cell_folder(cell) / f"batches-{rank}-{uuid4().hex}.jsonl"

    def records(self, cell: Cell) -> dict[int, BatchRecord]:
        """Return the finished batches of a cell by number, in order.

        Raises:
            ValueError: a journal is damaged, or of another run, cell or model; a batch is not what
                was asked for, or two say different things of it.
        """
        found: dict[int, BatchRecord] = {}
        folder = self.cell_folder(cell)
        journals = sorted(folder.glob("batches-*.jsonl"))
        if not journals:
            return {}
        rules, about = self.rules(cell), self.read_cell(cell)
        if rules is None or about is None:
            raise ValueError(f"{folder} must hold cell.json, got journals without it")
        bound = self.bound(cell, about["model"])
        for path in journals:
            for line in read_journal(path):
                self._hold(path, line, bound)
                values = {name: value for name, value in line.items() if name not in _BOUND}
                record = BatchRecord.from_dict(values, path)
                rules.check(record, path)
                if found.setdefault(record.batch, record) != record:
                    raise ValueError(
                        f"{folder} holds two different results of batch {record.batch}: it was "
                        "run on machines or versions that do not compute the same"
                    )
        return dict(sorted(found.items()))

    def add_timing(self, timing: dict[str, Any]) -> None:
        """Add a line to the timings; a torn one is no harm."""
        line = (json.dumps({"run": self.digest, **timing}, sort_keys=True) + "\n").encode()
        path = self.path / "timings.jsonl"
        with naming(path), path.open("ab", buffering=0) as file:
            file.write(line)

    def write_result(self, content: dict[str, Any]) -> Path:
        """Write the result, whole or not at all; return its path."""
        path = self.path / _RESULT
        write_sealed(path, content, sort_keys=True)
        return path

    @property
    def result_file(self) -> Path:
        """The file of the result, which may not be there yet."""
        return self.path / _RESULT


def _remove_partials(files: Iterable[Path]) -> None:
    """Remove files that a killed process had not written to their end."""
    for file in files:
        file.unlink(missing_ok=True)
